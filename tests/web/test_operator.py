"""The operator's port: health, readiness, and who may see the metrics."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from aiohttp import TCPConnector
from aiohttp.test_utils import TestClient, TestServer

from hintd.web.operator import make_operator_app


async def rendered() -> bytes:
    return b"hintd_waiting 0\n"


async def status_of(path: str, problems: Mapping[str, str]) -> int:
    app = make_operator_app(rendered, lambda: problems)
    async with TestClient(TestServer(app)) as client, client.get(path) as response:
        return response.status


@pytest.mark.parametrize(
    ("path", "problems", "status"),
    [
        ("/healthz", {"bus": "It is down."}, 200),
        ("/readyz", {}, 200),
        ("/readyz", {"bus": "It is down."}, 503),
        ("/metrics", {}, 200),
        ("/api/v1/connections", {}, 404),
    ],
)
async def test_operators_ask_after_health(path: str, problems: dict[str, str], status: int) -> None:
    assert await status_of(path, problems) == status


@pytest.mark.parametrize(
    ("header", "token", "status"),
    [
        ("Bearer right", "right", 200),
        ("Bearer wrong", "right", 401),
        ("right", "right", 401),
        ("Bearer ", "", 401),
        ("", "", 401),
    ],
)
async def test_metrics_are_shown_elsewhere_for_the_token_only(header: str, token: str, status: int) -> None:
    server = TestServer(make_operator_app(rendered, dict, token=token))
    elsewhere = TestClient(
        server, connector=TCPConnector(local_addr=("127.0.0.5", 0)), headers={"Authorization": header}
    )
    async with elsewhere as client, client.get("/metrics") as response:
        assert response.status == status
