"""The API's documentation as OpenAPI 3.1, made of the table of routes and the types that they speak in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from hintd.web.routes import File, Route
from hintd.web.shapes import FailureJson
from hintd.web.wishes import Nothing

_REF = "#/components/schemas/{name}"
_BEARER = {"token": {"type": "http", "scheme": "bearer", "description": "[service] api_token"}}
_FILE = {"schema": {"type": "string", "format": "binary"}}
_FORM = {"schema": {"type": "object", "properties": {"file": _FILE["schema"]}, "required": ["file"]}}

Schemas = dict[str, Any]


def document_of(routes: Sequence[Route], prefix: str) -> dict[str, Any]:
    """``prefix``: where the routes are mounted."""
    schemas = _schemas([each for route in routes for each in (route.query, route.body, _document(route))])
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    for route in routes:
        schemas.pop(route.query.__name__, None)  # told as parameters
    return {
        "openapi": "3.1.0",
        "info": {"title": "hintd", "version": "1", "description": "Contacts and patients, kept in agreement."},
        "servers": [{"url": prefix}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {"securitySchemes": _BEARER, "schemas": schemas},
    }


def _schemas(kinds: Iterable[Any]) -> Schemas:
    told = [kind for kind in dict.fromkeys(kinds) if kind not in (None, Nothing, File)]
    return msgspec.json.schema_components([*told, FailureJson], ref_template=_REF)[1]


def _document(route: Route) -> Any:
    return route.answer if route.media_type == "application/json" else None


def _operation(route: Route, schemas: Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.act.__name__,
        "summary": route.summary,
        "parameters": [*map(_path_parameter, route.parameters), *_query_parameters(route.query, schemas)],
        "responses": {
            str(route.status): {"description": "Done.", "content": {route.media_type: _answer(route)}},
            "default": {"description": "Refused or failed.", "content": {"application/json": _ref(FailureJson)}},
        },
    }
    if route.body == File:
        operation["requestBody"] = {"required": True, "content": {"text/csv": _FILE, "multipart/form-data": _FORM}}
    elif route.body is not Nothing:
        operation["requestBody"] = {"required": True, "content": {"application/json": _ref(route.body)}}
    return operation


def _answer(route: Route) -> dict[str, Any]:
    kind = _document(route)
    return {"schema": {"type": "string"}} if kind is None else _ref(kind)


def _ref(kind: Any) -> dict[str, Any]:
    return {"schema": {"$ref": _REF.format(name=kind.__name__)}}


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _query_parameters(query: Any, schemas: Schemas) -> list[dict[str, Any]]:
    if query is Nothing:
        return []
    schema = schemas[query.__name__]
    required = schema.get("required", ())
    return [
        {"name": name, "in": "query", "required": name in required, "schema": kind}
        for name, kind in schema["properties"].items()
    ]
