"""The composite resources: several requests in one call, later ones naming what earlier ones answered."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from hintd.sandbox.salesforce.org import Transaction
from hintd.sandbox.salesforce.refusal import Refusal
from hintd.sandbox.salesforce.wire import Answer, Call, refused
from hintd.sandbox.salesforce.work import Work

MOST_REQUESTS, MOST_HEAVY = 25, 5

Dispatch = Callable[[Work, Call], Answer]

_BASE = re.compile(r"/services/data/v(\d+\.\d)(/.*)")
_REFERENCE = re.compile(r"@\{([^}]+)\}")
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def composite(work: Work, call: Call, dispatch: Dispatch) -> Answer:
    """``POST /composite``."""
    body = call.record()
    requests = _requests(body.get("compositeRequest"))
    if body.get("allOrNone") is not True:
        return Answer(200, {"compositeResponse": _run(work, call, requests, dispatch)})
    return Answer(200, {"compositeResponse": _run_together(work, call, requests, dispatch)})


def graph(work: Work, call: Call, dispatch: Dispatch) -> Answer:
    """``POST /composite/graph``: each graph is all or nothing by itself."""
    graphs = call.record().get("graphs")
    if not isinstance(graphs, list) or not graphs:
        raise Refusal("REQUIRED_FIELD_MISSING", "graphs is required")
    answers = [_graph(work, call, one, dispatch) for one in graphs]
    return Answer(200, {"graphs": answers})


def _graph(work: Work, call: Call, one: Mapping[str, Any], dispatch: Dispatch) -> dict[str, Any]:
    responses = _run_together(work, call, _requests(one.get("compositeRequest"), most=500), dispatch)
    return {
        "graphId": one.get("graphId"),
        "graphResponse": {"compositeResponse": responses},
        "isSuccessful": all(response["httpStatusCode"] < 300 for response in responses),
    }


def _requests(given: Any, most: int = MOST_REQUESTS) -> list[Mapping[str, Any]]:
    if not isinstance(given, list) or not given or not all(isinstance(one, dict) for one in given):
        raise Refusal("REQUIRED_FIELD_MISSING", "compositeRequest is required")
    if len(given) > most:
        raise Refusal("LIMIT_EXCEEDED", f"The number of subrequests exceeds {most}")
    ids = [one.get("referenceId") for one in given]
    if None in ids or len(set(ids)) < len(ids):
        raise Refusal("PROCESSING_HALTED", "Each subrequest needs a referenceId of its own")
    heavy = [one for one in given if re.search(r"/(query|queryAll|composite/sobjects)\b", str(one.get("url")))]
    if len(heavy) > MOST_HEAVY and most == MOST_REQUESTS:
        raise Refusal("LIMIT_EXCEEDED", f"More than {MOST_HEAVY} queries and collections")
    return given


def _run_together(
    work: Work, call: Call, requests: list[Mapping[str, Any]], dispatch: Dispatch
) -> list[dict[str, Any]]:
    transaction = Transaction(work.org, call.author, work.started)
    responses = _run(work.inside(transaction), call, requests, dispatch)
    if all(response["httpStatusCode"] < 300 for response in responses):
        transaction.commit(work.now())
        return responses
    transaction.undo()
    return [
        _halted(response["referenceId"]) if response["httpStatusCode"] < 300 else response for response in responses
    ]


def _run(work: Work, call: Call, requests: list[Mapping[str, Any]], dispatch: Dispatch) -> list[dict[str, Any]]:
    answered: dict[str, Answer] = {}
    responses = []
    for one in requests:
        reference = str(one["referenceId"])
        try:
            answer = dispatch(work, _subcall(call, one, answered))
        except _NotAnswered:
            responses.append(_halted(reference))
            continue
        except Refusal as refusal:
            answer = refused(refusal)
        answered[reference] = answer
        responses.append(_response(reference, answer))
    return responses


class _NotAnswered(Exception):
    """A reference names a request that failed, or nothing that it answered."""


def _subcall(call: Call, one: Mapping[str, Any], answered: Mapping[str, Answer]) -> Call:
    url = urlsplit(_resolve(str(one.get("url")), answered))
    found = _BASE.fullmatch(url.path)
    if found is None:
        raise Refusal("INVALID_URL", "A subrequest's url begins with /services/data/")
    headers = one.get("httpHeaders") or {}
    return Call(
        method=str(one.get("method", "GET")).upper(),
        path=found[2],
        version=found[1],
        query=dict(parse_qsl(url.query)),
        headers={str(name).lower(): str(value) for name, value in headers.items()},
        body=_resolve(one.get("body"), answered),
        author=call.author,
    )


def _resolve(value: Any, answered: Mapping[str, Answer]) -> Any:
    if isinstance(value, dict):
        return {name: _resolve(item, answered) for name, item in value.items()}
    if isinstance(value, list):
        return [_resolve(item, answered) for item in value]
    if not isinstance(value, str) or "@{" not in value:
        return value
    return _REFERENCE.sub(lambda match: str(_look_up(match[1], answered)), value)


def _look_up(path: str, answered: Mapping[str, Answer]) -> Any:
    reference, _, rest = path.partition(".")
    answer = answered.get(reference)
    if answer is None or answer.status >= 300:
        raise _NotAnswered
    value = answer.body
    for name, index in _STEP.findall(rest):
        try:
            value = value[name] if name else value[int(index)]
        except (KeyError, IndexError, TypeError):
            raise _NotAnswered from None
    return value


def _response(reference: str, answer: Answer) -> dict[str, Any]:
    return {
        "body": answer.body,
        "httpHeaders": answer.headers,
        "httpStatusCode": answer.status,
        "referenceId": reference,
    }


def _halted(reference: str) -> dict[str, Any]:
    message = "The transaction was rolled back since another operation in the same transaction failed."
    return _response(reference, Answer(400, [{"errorCode": "PROCESSING_HALTED", "message": message}]))
