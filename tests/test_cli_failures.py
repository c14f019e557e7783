"""What a command tells of an error: a word, an exit code and a sentence, the same words as the API's."""

from __future__ import annotations

import pytest

from hintd.cli.failures import FAILED, NOT_THERE, REFUSED, USAGE, CommandFailed, failure_of
from hintd.config import BadConfig
from hintd.core.batch import CommandRefused
from hintd.core.contact_list import UnreadableFile
from hintd.core.errors import CredentialsRefused, Refusal, Refused, RemoteDown
from hintd.core.model import Owner
from hintd.ports import BatchRunning, BusDown, FenceLost, NoSuchBatch, StoreDown
from hintd.sealing import CannotUnseal
from hintd.service.batches import BatchRefused, BatchUnclear
from hintd.service.linking import LinkingRefused
from hintd.web.desk import AgainstRule, TooLarge, Unknown, Unusable

ERRORS: list[tuple[Exception, str, int]] = [
    (CommandFailed("Give either.", kind="usage", code=USAGE), "usage", USAGE),
    (Unusable("That makes no sense.", "usage"), "usage", USAGE),
    (TooLarge("The file is too large.", "too_large"), "too_large", USAGE),
    (Unknown("There is no such link.", "not_linked"), "not_linked", FAILED),
    (AgainstRule("It is closed.", "closed"), "closed", REFUSED),
    (BadConfig("[hint] is wrong."), "bad_config", USAGE),
    (UnreadableFile("The file has no id."), "unreadable_file", USAGE),
    (BatchUnclear("It needs a file."), "usage", USAGE),
    (BatchRefused("It is no preview."), "refused", REFUSED),
    (BatchRunning("bat-1"), "batch_running", REFUSED),
    (CommandRefused("The batch is done."), "refused", REFUSED),
    (NoSuchBatch("There is no batch bat-1."), "unknown_batch", NOT_THERE),
    (LinkingRefused("The patient is linked."), "refused", REFUSED),
    (FenceLost("the lease was lost"), "in_hand", FAILED),
    (Refused(Refusal("TOO_LONG", "a value", Owner.CLINIC)), "refused_by_remote", FAILED),
    (CredentialsRefused("Hint refuses the token."), "credentials_refused", FAILED),
    (RemoteDown("Hint throttles."), "remote_down", NOT_THERE),
    (StoreDown("no connection"), "postgres_down", NOT_THERE),
    (BusDown("no connection"), "bus_down", NOT_THERE),
    (CannotUnseal("A stored body cannot be unsealed"), "cannot_unseal", FAILED),
    (ExceptionGroup("a task group's", [StoreDown("no connection")]), "postgres_down", NOT_THERE),
]


@pytest.mark.parametrize(("error", "kind", "code"), ERRORS, ids=[type(row[0]).__name__ for row in ERRORS])
def test_a_foreseen_error_has_a_word_a_code_and_a_sentence(error: Exception, kind: str, code: int) -> None:
    failure = failure_of(error)
    assert (failure.kind, failure.code) == (kind, code)
    assert failure.sentence.endswith(".")
    assert "a value" not in failure.sentence


def test_what_it_is_about_is_told_by_its_id() -> None:
    assert failure_of(BatchRunning("bat-1")).ids == {"batch_id": "bat-1"}


def test_an_unforeseen_error_is_told_without_its_text() -> None:
    failure = failure_of(KeyError("Secretname"))
    assert (failure.kind, failure.code) == ("bug", FAILED)
    assert "Secretname" not in failure.sentence
