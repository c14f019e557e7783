"""The README tells what the code does."""

from __future__ import annotations

import re

import pytest

from tests.readme import PARTS, README, with_generated_parts


def test_generated_tables_are_those_of_the_code():
    text = README.read_text("utf-8")
    assert with_generated_parts(text) == text, "run: python -m tests.readme"


@pytest.mark.parametrize("name", sorted(PARTS))
def test_every_generated_table_has_its_place(name: str):
    assert f"<!-- {name}: python -m tests.readme -->" in README.read_text("utf-8")


def test_every_rule_cited_in_the_code_stands_in_the_readme():
    chapters = set(re.findall(r"^### (\d+)\.|· (\d+)\.", README.read_text("utf-8"), re.MULTILINE))
    numbered = {number for pair in chapters for number in pair if number}
    root = README.parent / "hintd"
    cited = {
        number for path in root.rglob("*.py") for number in re.findall(r"README rules? (\d+)", path.read_text("utf-8"))
    }
    assert cited <= numbered, f"cited but not in the README: {sorted(cited - numbered)}"
