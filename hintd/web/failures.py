"""From an exception to an answer: a status, a word, a sentence.  What nobody foresaw is told by an id, without its
text, which may quote a patient's value.  The words are the same as those of the command line."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

import structlog
from aiohttp import web

from hintd.service.failures import Meaning, foreseen
from hintd.web.desk import DeskError

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    status: int
    code: str
    sentence: str
    ids: Mapping[str, str] = field(default_factory=dict)


_STATUS: Mapping[Meaning, int] = {
    Meaning.UNUSABLE: 400,
    Meaning.TOO_LARGE: 413,
    Meaning.UNKNOWN: 404,
    Meaning.AGAINST_RULE: 409,
    Meaning.PREVENTED: 409,
    Meaning.NOT_SET_UP: 502,
    Meaning.DOWN: 503,
    Meaning.BROKEN: 500,
}

_CUT_SHORT = Failure(400, "incomplete", "The body did not arrive whole.")


def failure_of(error: Exception, *, where: str) -> Failure:
    """``where``: the route, for the log of what nobody foresaw."""
    match error:
        case ExceptionGroup():
            return failure_of(error.exceptions[0], where=where)
        case DeskError():
            return Failure(_STATUS[error.meaning], error.code, str(error), error.ids)
        case web.RequestPayloadError() | ConnectionError():
            return _CUT_SHORT
        case web.HTTPException():
            return _of_http(error)
    found = foreseen(error)
    if found is None:
        return _unforeseen(error, where)
    return Failure(_STATUS[found.meaning], found.word, found.sentence, found.ids)


def _of_http(error: web.HTTPException) -> Failure:
    """What the router itself finds wrong."""
    match error.status:
        case 404:
            return Failure(404, "unknown_path", "There is nothing at this address; see /api/v1/openapi.json.")
        case 405:
            return Failure(405, "unknown_method", "This address does not take this method; see /api/v1/openapi.json.")
    return Failure(error.status, "bad_request", f"{HTTPStatus(error.status).phrase}.")


def _unforeseen(error: Exception, where: str) -> Failure:
    error_id = os.urandom(8).hex()
    _log.error("request_failed", path=where, error=error_id, exc_info=(type(error), error, error.__traceback__))
    return Failure(500, "bug", f"This failed in a way that nobody foresaw; the log knows more of error {error_id}.")
