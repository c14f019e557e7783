"""The order in which the tests look for servers."""

from __future__ import annotations

import time
from contextlib import ExitStack

import asyncpg
import pytest

from tests.conftest import Servers
from tests.services import NoServer, Server, docker_answers, first_of, given_by, may_use_local, port_answers


def none_here(_: ExitStack) -> Server | None:
    return None


def test_the_first_source_that_has_a_server_gives_it() -> None:
    asked: list[str] = []

    def source(name: str) -> Server:
        asked.append(name)
        return Server(name, name)

    sources = (none_here, lambda _: source("second"), lambda _: source("third"))
    assert first_of(sources, ExitStack(), "nothing").url == "second"
    assert asked == ["second"]


def test_without_any_source_the_sentence_is_said() -> None:
    with pytest.raises(NoServer, match="install something"):
        first_of((none_here, none_here), ExitStack(), "install something")


def test_a_given_address_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HINTD_TEST_ANY", "amqp://there/")
    assert given_by("HINTD_TEST_ANY")(ExitStack()) == Server("amqp://there/", "given by HINTD_TEST_ANY")
    monkeypatch.delenv("HINTD_TEST_ANY")
    assert given_by("HINTD_TEST_ANY")(ExitStack()) is None


@pytest.mark.parametrize(
    ("name", "value", "may"),
    [
        pytest.param("CI", "true", True, id="a CI service"),
        pytest.param("HINTD_TEST_USE_LOCAL", "1", True, id="asked for"),
        pytest.param("CI", "", False, id="neither"),
    ],
)
def test_a_local_server_is_used_only_where_that_is_said(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, may: bool
) -> None:
    for each in ("CI", "HINTD_TEST_USE_LOCAL"):
        monkeypatch.delenv(each, raising=False)
    monkeypatch.setenv(name, value)
    assert may_use_local() is may


def test_a_missing_docker_engine_is_found_out_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    started = time.monotonic()
    assert not docker_answers()
    assert time.monotonic() - started < 1


def test_a_port_that_nobody_listens_on_does_not_answer(free_port: int) -> None:
    assert not port_answers(free_port)


def test_a_server_is_started_once_for_the_whole_run(servers: Servers) -> None:
    assert servers.rabbit() is servers.rabbit()
    assert servers.postgres() is servers.postgres()
    assert set(servers.started) == {"RabbitMQ", "Postgres"}


async def test_each_test_has_an_empty_database_and_one_with_the_schema(pg_dsn: str, store_dsn: str) -> None:
    tables = "select count(*) from information_schema.tables where table_schema = 'public'"
    counts = []
    for dsn in (pg_dsn, store_dsn):
        connection = await asyncpg.connect(dsn)
        counts.append(await connection.fetchval(tables))
        await connection.close()
    assert counts[0] == 0
    assert counts[1] > 0
