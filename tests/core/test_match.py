"""The demographic match: first name, last name and date of birth, nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hintd.core.match import Candidate, IndexRow, Match, decide_match, fold_name, match_name, split_suffix
from hintd.core.model import Side
from tests.core.halves import T0


def row(record_id: str, last: str = "Lee", side: Side = Side.SALESFORCE, **more) -> IndexRow:
    return replace(IndexRow(side, record_id, T0, match_name("Ann", last), "Ann", last, None, "1980-01-02"), **more)


OWN = row("pat-1", side=Side.HINT)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(("Ann", "De La Cruz"), ("ann", "Delacruz"), id="white space"),
        pytest.param(("Ann", "O'Brien"), ("Ann", "O Brien"), id="punctuation"),
        pytest.param(("Élan", "Núñez"), ("Elan", "Nunez"), id="accents"),
        pytest.param(("Ann", "Lee Jr."), ("Ann", "Lee"), id="suffix"),
        pytest.param(("Ann", "Straße"), ("ANN", "STRASSE"), id="case"),
    ],
)
def test_names_that_fold_alike(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert match_name(*one) == match_name(*other) != ""


@pytest.mark.parametrize("names", [(None, "Lee"), ("Ann", None), ("Ann", " "), ("-", "Lee")])
def test_a_missing_name_matches_nobody(names: tuple[str | None, str | None]) -> None:
    assert match_name(*names) == ""


def test_names_in_the_other_order_do_not_match() -> None:
    assert match_name("Ann", "Lee") != match_name("Lee", "Ann")
    assert fold_name(" Mary-Ann ") == "maryann"


@pytest.mark.parametrize(
    ("last", "suffix", "split"),
    [
        ("Lee Jr.", None, ("Lee", "jr")),
        ("Lee, III", None, ("Lee", "iii")),
        ("Lee", "Senior", ("Lee", "sr")),
        ("Lee Jr", "Sr", ("Lee", "sr")),
        ("Junior", None, ("Junior", None)),
    ],
)
def test_suffixes(last: str, suffix: str | None, split: tuple[str, str | None]) -> None:
    assert split_suffix(last, suffix) == split


FREE = Candidate(row("003A"), None)


@pytest.mark.parametrize(
    ("own", "candidates", "rivals", "match"),
    [
        pytest.param(OWN, [FREE], [Candidate(OWN, None)], Match.ONE, id="one and free"),
        pytest.param(OWN, [], [], Match.NONE, id="nobody"),
        pytest.param(replace(OWN, date_of_birth=None), [FREE], [], Match.NO_DATE_OF_BIRTH, id="no date of birth"),
        pytest.param(OWN, [FREE, Candidate(row("003B"), "pat-9")], [], Match.AMBIGUOUS, id="a linked one counts"),
        pytest.param(OWN, [Candidate(row("003A"), "pat-9")], [], Match.LINKED_ELSEWHERE, id="linked"),
        pytest.param(OWN, [Candidate(row("003A", claimed=True), None)], [], Match.LINKED_ELSEWHERE, id="checked"),
        pytest.param(OWN, [FREE], [Candidate(row("pat-2"), None)], Match.AMBIGUOUS, id="a free rival"),
        pytest.param(OWN, [FREE], [Candidate(row("pat-2"), "003Z")], Match.ONE, id="a linked rival does not count"),
        pytest.param(
            replace(OWN, suffix="Jr"), [Candidate(row("003A", suffix="Sr"), None)], [], Match.NONE, id="contradiction"
        ),
        pytest.param(replace(OWN, suffix="Jr"), [FREE], [], Match.ONE, id="a suffix on one side only"),
        pytest.param(
            replace(OWN, suffix="Jr"),
            [FREE, Candidate(row("003B", suffix="Sr"), None)],
            [],
            Match.ONE,
            id="a contradicting one is no candidate",
        ),
    ],
)
def test_the_decision(own: IndexRow, candidates: list[Candidate], rivals: list[Candidate], match: Match) -> None:
    decision = decide_match(own, candidates, rivals)
    assert decision.match is match
    assert (decision.record_id == "003A") is (match in (Match.ONE, Match.LINKED_ELSEWHERE))


def test_a_decision_can_be_explained() -> None:
    decision = decide_match(replace(OWN, suffix="Jr"), [Candidate(row("003A", suffix="Sr"), "pat-9")], [])
    (considered,) = decision.considered
    assert (considered.record_id, considered.differed, considered.linked_with) == ("003A", ("suffix",), "pat-9")
