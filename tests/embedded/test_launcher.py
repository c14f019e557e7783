"""The embedded PostgreSQL: joined by all, stopped by the last, adopted after a kill, true to its version."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from hintd.embedded.binaries import EmbeddedPostgresError, choose_binaries
from hintd.embedded.places import Account, choose_place, choose_socket_dir
from hintd.embedded.postgres import EmbeddedPostgres

FAST = {"fsync": "off", "full_page_writes": "off"}

USER_WHO_IS_KILLED = """
import sys
from pathlib import Path
from hintd.embedded.postgres import EmbeddedPostgres
EmbeddedPostgres(Path(sys.argv[1])).start()
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """pytest's own directories are closed to the account that root's server runs as."""
    directory = Path(tempfile.mkdtemp(prefix="hintd-test-"))
    directory.chmod(0o711)
    yield directory
    server = EmbeddedPostgres(directory)
    if server.place.exists():
        server.start()
        server.stop()  # also one whose users were killed
    shutil.rmtree(directory)


def server_at(data_dir: Path) -> EmbeddedPostgres:
    return EmbeddedPostgres(data_dir, settings=FAST)


async def ask(server: EmbeddedPostgres, *statements: str) -> object:
    connection = await asyncpg.connect(server.dsn)
    try:
        for statement in statements:
            answer = await connection.fetchval(statement)
    finally:
        await connection.close()
    return answer


def postmaster_pid(server: EmbeddedPostgres) -> int:
    return int((server.place / "data" / "postmaster.pid").read_text().split()[0])


async def cannot_connect(server: EmbeddedPostgres) -> bool:
    try:
        await ask(server, "select 1")
    except (OSError, asyncpg.PostgresError):
        return True
    return False


async def test_users_share_one_server_and_the_last_one_stops_it(data_dir: Path) -> None:
    async with server_at(data_dir) as first:
        pid = postmaster_pid(first)
        async with server_at(data_dir) as second:
            assert (postmaster_pid(second), await ask(second, "select 1")) == (pid, 1)
        assert await ask(first, "create table t as select 7 as n", "select n from t") == 7
    assert await cannot_connect(first)
    async with server_at(data_dir) as again:
        assert await ask(again, "select n from t") == 7


async def test_who_starts_it_may_leave_first(data_dir: Path) -> None:
    first, second = server_at(data_dir), server_at(data_dir)
    await first.__aenter__()
    await second.__aenter__()
    await first.__aexit__()
    assert await ask(second, "select 1") == 1
    await second.__aexit__()
    assert await cannot_connect(second)


async def test_many_come_at_once_to_one_server(data_dir: Path) -> None:
    servers = [server_at(data_dir) for _ in range(3)]
    await asyncio.gather(*(server.__aenter__() for server in servers))
    assert len({postmaster_pid(server) for server in servers}) == 1
    await asyncio.gather(*(server.__aexit__() for server in servers))
    assert await cannot_connect(servers[0])


async def test_a_server_whose_user_was_killed_is_adopted_and_stopped_by_the_next(data_dir: Path) -> None:
    command = [sys.executable, "-c", USER_WHO_IS_KILLED, str(data_dir)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as user:
        assert user.stdout is not None
        assert await asyncio.to_thread(user.stdout.readline) == "ready\n"
        user.kill()
    async with server_at(data_dir) as server:
        assert await ask(server, "select 1") == 1
    assert await cannot_connect(server)


async def test_a_killed_server_is_started_again_with_all_that_was_committed(data_dir: Path) -> None:
    async with EmbeddedPostgres(data_dir) as server:
        await ask(server, "create table t as select 7 as n")
        watching = asyncio.create_task(server.keep_running(look_every_s=0.05))
        os.kill(postmaster_pid(server), signal.SIGKILL)
        async with asyncio.timeout(60):
            while await cannot_connect(server):
                await asyncio.sleep(0.05)
        assert await ask(server, "select n from t") == 7
        watching.cancel()


async def test_what_is_private_is_closed_to_others(data_dir: Path) -> None:
    async with server_at(data_dir) as server:
        modes = {name: (server.place / name).stat().st_mode & 0o777 for name in ("password", "run", "data")}
        assert modes == {"password": 0o600, "run": 0o700, "data": 0o700}
        assert await ask(server, "show listen_addresses") == ""
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.dsn, password="guessed")
        assert server.place.stat().st_uid == (server.place / "data").stat().st_uid


async def test_data_of_another_major_version_is_never_opened(data_dir: Path) -> None:
    async with server_at(data_dir) as server:
        version = server.place / "data" / "PG_VERSION"
    ours = version.read_text()
    version.write_text("99\n")
    with pytest.raises(EmbeddedPostgresError, match="made by PostgreSQL 99"):
        await server_at(data_dir).__aenter__()
    version.write_text(ours)


async def test_an_interrupted_creation_is_begun_anew(data_dir: Path) -> None:
    unfinished = server_at(data_dir).place / "data.new"
    unfinished.mkdir(parents=True)
    (unfinished / "PG_VERSION").write_text("15\n")
    async with server_at(data_dir) as server:
        assert await ask(server, "select 1") == 1


def test_binaries_that_are_named_but_not_there_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HINTD_PG_BIN", str(tmp_path))
    with pytest.raises(EmbeddedPostgresError, match="HINTD_PG_BIN"):
        choose_binaries(None)


def test_a_directory_that_the_account_cannot_reach_gets_another_place_for_good(tmp_path: Path) -> None:
    closed, elsewhere = tmp_path / "closed", tmp_path / "elsewhere"
    closed.mkdir(mode=0o700)
    stranger = Account(os.geteuid() + 12345, os.getegid() + 12345)
    place = choose_place(closed, stranger, elsewhere)
    assert place.parent == elsewhere
    closed.chmod(0o711)
    assert choose_place(closed, stranger, tmp_path / "third") == place


def test_a_socket_path_that_would_be_too_long_is_made_short(tmp_path: Path) -> None:
    us = Account(os.geteuid(), os.getegid())
    long = tmp_path / ("x" * 120)
    short = choose_socket_dir(long, us)
    try:
        assert (str(short).startswith("/tmp/hintd-"), short.stat().st_mode & 0o777) == (True, 0o700)
    finally:
        short.rmdir()
