"""The documentation agrees with what is served: every route is in it, and every documented operation answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from hintd.core.batch import BatchKind, BatchState
from hintd.web.api import PREFIX, ROUTES
from hintd.web.openapi import document_of
from hintd.web.routes import Route
from tests.fakes.desk import CONTACT, ITEM_ID, World, a_batch
from tests.web.conftest import Caller, Reply

DOCUMENT = document_of(ROUTES, PREFIX)
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods]
IN_PATH = {"{name}": "north", "{contact_id}": CONTACT, "{batch_id}": "bat-1", "{item_id}": str(ITEM_ID)}
STATES = {"follow_batch": BatchState.DONE}
QUERIES = {
    "search_patients": {"text": "Ada"},
    "show_link": {"contact_id": CONTACT},
    "explain_link": {"contact_id": CONTACT},
}
BODIES: dict[str, Any] = {
    "create_link": {"contact_id": CONTACT, "new_patient": True},
    "preview_link": {"contact_id": CONTACT, "new_patient": True},
    "unfreeze_fields": {},
    "restore_value": {"field": "email", "at": "2026-11-22T12:00:00Z"},
    "resolve_parked": {"dismiss": True},
    "start_batch": {"direction": "patients-to-contacts"},
    "preview_batch": {"direction": "patients-to-contacts"},
}


def named(route: Route) -> str:
    return f"{route.method} {route.path}"


def operation(path: str, method: str) -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["paths"][path][method]
    return found


def references(part: Any) -> Iterator[str]:
    match part:
        case {"$ref": ref}:
            yield ref
        case dict():
            for inner in part.values():
                yield from references(inner)
        case list():
            for inner in part:
                yield from references(inner)


async def test_the_document_is_served(api: Caller) -> None:
    reply = await api.get("/openapi.json")
    assert reply.status == 200
    assert reply.json["openapi"] == "3.1.0"
    assert reply.json["paths"].keys() == DOCUMENT["paths"].keys()


@pytest.mark.parametrize("route", ROUTES, ids=named)
def test_every_route_is_documented(route: Route) -> None:
    told = operation(route.path, route.method.lower())
    assert told["summary"].endswith(".")
    assert str(route.status) in told["responses"]
    assert {p["name"] for p in told["parameters"] if p["in"] == "path"} == set(re.findall(r"{(\w+)}", route.path))


async def call(api: Caller, world: World, path: str, method: str) -> tuple[dict[str, Any], Reply]:
    """The operation as documented, and what it answers to a request that is right."""
    told = operation(path, method)
    name = told["operationId"]
    world.batches["bat-1"] = a_batch("bat-1", BatchKind.PREVIEW, state=STATES.get(name, BatchState.QUEUED))
    asked = re.sub(r"\{\w+\}", lambda found: IN_PATH[found[0]], path)
    body = {"json": BODIES[name]} if name in BODIES else {}
    return told, await api.ask(method.upper(), asked, params=QUERIES.get(name, {}), **body)


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
async def test_every_documented_operation_answers_as_documented(
    api: Caller, world: World, path: str, method: str
) -> None:
    told, reply = await call(api, world, path, method)
    assert 200 <= reply.status < 300
    content = told["responses"][str(reply.status)]["content"]
    assert reply.headers["Content-Type"].split(";")[0] in content


@pytest.mark.parametrize("route", [r for r in ROUTES if r.media_type == "application/json"], ids=named)
async def test_answers_have_the_documented_names(api: Caller, world: World, route: Route) -> None:
    told, reply = await call(api, world, route.path, route.method.lower())
    schema = told["responses"][str(reply.status)]["content"]["application/json"]["schema"]
    assert reply.json.keys() == SCHEMAS[schema["$ref"].split("/")[-1]]["properties"].keys()


def test_every_reference_is_resolved_and_nothing_is_left_over() -> None:
    assert {ref.removeprefix("#/components/schemas/") for ref in references(DOCUMENT)} == set(SCHEMAS)


def test_operations_have_names_of_their_own() -> None:
    names = [operation(path, method)["operationId"] for path, method in OPERATIONS]
    assert len(set(names)) == len(names) == len(ROUTES)


def test_queries_are_documented_with_their_bounds() -> None:
    (limit,) = (p for p in operation("/log", "get")["parameters"] if p["name"] == "limit")
    assert (limit["in"], limit["required"]) == ("query", False)
    assert (limit["schema"]["minimum"], limit["schema"]["maximum"]) == (1, 1000)


def test_whoever_reads_it_learns_of_the_token() -> None:
    (name,) = DOCUMENT["security"][0]
    assert DOCUMENT["components"]["securitySchemes"][name] == {
        "type": "http",
        "scheme": "bearer",
        "description": "[service] api_token",
    }
