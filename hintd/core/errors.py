"""What can go wrong with a remote, typed by what to do about it; adapters classify, services never see a status code.

An exception means that no answer was got, or an answer that stops the work.  A refusal of one record is a value
(``Refusal``), because the other records go on.
"""

from __future__ import annotations

from dataclasses import dataclass

from hintd.core.model import Owner


class RemoteError(Exception):
    """A remote did not do what was asked.  ``str()`` is a sentence without any patient's value."""


class Retryable(RemoteError):
    """The same call may succeed later: network, 5xx, throttling, a locked row, a lost answer.

    ``after_s``: wait at least this long, where the remote or the budget says so.
    """

    def __init__(self, sentence: str, *, after_s: float | None = None) -> None:
        super().__init__(sentence)
        self.after_s = after_s


class RemoteDown(Retryable):
    """The remote as a whole cannot be reached or throttles: nothing is wrong with the record."""


class Throttled(RemoteDown):
    """The remote says that it is too much for this second; the budget slows everybody down by itself."""


class CredentialsRefused(RemoteError):
    """The connection's credentials do not work: it pauses until a person has mended them."""


class Misconfigured(RemoteError):
    """The remote lacks something hintd needs (a field, a permission, a setting): ``str()`` says what to do."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A remote refused to write one record, for good.

    ``code`` is the remote's word for it, or the status; ``fields`` the remote's names of the fields to blame, if
    told; ``message`` the remote's sentence, which may quote a patient's values: seal it, never log it.
    """

    code: str
    message: str
    owner: Owner
    fields: tuple[str, ...] = ()
    existing_id: str | None = None  # the other record, where the refusal is about a duplicate


class Refused(RemoteError):
    """A refusal where only an exception can carry it."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"refused: {refusal.code}")
        self.refusal = refusal
