"""PostgreSQL on one data directory, shared by all of hintd's processes there: the daemon and the commands beside it.

Who comes joins the running server or starts it; who leaves last stops it.  Two locks make that so:

- ``users.lock`` is held shared by every process that uses the server, so the one that can have it alone is the last;
- ``start.lock`` is held alone while somebody comes or leaves, so that nobody joins a server about to stop.

The system drops a killed process's locks by itself.  The server is no child of its starter and outlives a ``kill -9``
of it; whoever comes next joins it.  Dying with the parent would take it from the others that use it.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import structlog

from hintd.embedded.binaries import Binaries, EmbeddedPostgresError, choose_binaries
from hintd.embedded.places import ROOTS_PLACE, choose_account, choose_place, choose_socket_dir, make_private

log = structlog.get_logger(__name__)

_USER = "hintd"
_LOG_TAIL = 2_000  # characters of the server's log in an error
_LOOK_AGAIN_S = 0.05

_SETTINGS = {
    "listen_addresses": "",
    "port": "5432",
    "unix_socket_permissions": "0700",
    "timezone": "UTC",
    "logging_collector": "off",
    # The server's log must not hold values: neither rows in the details of an error nor statements.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_parameter_max_length_on_error": "0",
    "log_checkpoints": "off",
}


class EmbeddedPostgres:
    """``async with EmbeddedPostgres(data_dir) as server: server.dsn``.  ``settings`` go to the server as they are."""

    def __init__(
        self,
        data_dir: Path,
        *,
        settings: dict[str, str] | None = None,
        wait_s: float = 60.0,
        roots_place: Path = ROOTS_PLACE,
    ) -> None:
        self._settings = {**_SETTINGS, **(settings or {})}
        self._wait_s = wait_s
        self._account = choose_account(data_dir.absolute())
        self.place = choose_place(data_dir.absolute(), self._account, roots_place)
        self._data = self.place / "data"
        self._password_file = self.place / "password"
        self._chosen: Binaries | None = None
        self._users: int | None = None  # file descriptor of users.lock, held shared

    async def __aenter__(self) -> EmbeddedPostgres:
        await asyncio.to_thread(self.start)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.stop)

    @property
    def dsn(self) -> str:
        """Carries the password: not for logs."""
        password = quote(self._password_file.read_text("ascii"), safe="")
        return f"postgresql://{_USER}:{password}@/postgres?host={quote(str(self._socket_dir()))}&port=5432"

    def start(self) -> None:
        """Join the running server or start it.  Raises EmbeddedPostgresError."""
        make_private(self.place, self._account)
        coming = self._lock("start.lock", fcntl.LOCK_EX)
        try:
            self._users = self._lock("users.lock", fcntl.LOCK_SH)
            self._make_run()
        except BaseException:
            self._unlock_users()
            raise
        finally:
            os.close(coming)

    def stop(self) -> None:
        """Leave; stops the server when nobody else uses it."""
        if self._users is None:
            return
        leaving = self._lock("start.lock", fcntl.LOCK_EX)
        try:
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._stop_server()
        except BlockingIOError:
            pass  # others use it
        finally:
            self._unlock_users()
            os.close(leaving)

    def _stop_server(self) -> None:
        self._control("--mode=fast", "stop")  # fails where it was killed, which is as good
        if self._listens():
            raise EmbeddedPostgresError(f"PostgreSQL in {self.place} did not stop within {self._wait_s:.0f} s")

    async def keep_running(self, *, look_every_s: float = 1.0) -> None:
        """For ever: start the server again when it was killed.  For the daemon; commands do not live so long."""
        failing = False
        while True:
            await asyncio.sleep(look_every_s)
            try:
                await asyncio.to_thread(self._start_again)
                failing = False
            except (EmbeddedPostgresError, OSError) as error:  # its last processes may still hold the data directory
                if not failing:
                    log.warning("embedded_postgres_not_started", error=type(error).__name__)
                failing = True

    def _start_again(self) -> None:
        if self._listens():
            return
        starting = self._lock("start.lock", fcntl.LOCK_EX)
        try:
            self._make_run()
        finally:
            os.close(starting)

    def _make_run(self) -> None:
        """Under start.lock."""
        if not self._data.exists():
            self._create_data()
        if not self._listens() and not self._start_server() and not self._control("status"):
            raise EmbeddedPostgresError(f"PostgreSQL did not start; the end of its log: {self._log_tail()}")
        self._wait_until_ready()

    def _start_server(self) -> bool:
        """False also when there is one that does not listen yet: its starter was killed a moment ago."""
        settings = {**self._settings, "unix_socket_directories": str(self._socket_dir())}
        options = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in settings.items())
        return self._control(f"--log={self.place / 'postgres.log'}", "--options", options, "start")

    def _create_data(self) -> None:
        """Under another name until it is whole: an interrupted initdb leaves nothing that looks like data."""
        unfinished = self.place / "data.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        make_private(unfinished, self._account)
        self._write_password()
        created = self._run(
            self._binaries().directory / "initdb",
            f"--pgdata={unfinished}",
            f"--username={_USER}",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--auth=scram-sha-256",
            f"--pwfile={self._password_file}",
            "--data-checksums",
        )
        if created.returncode != 0:
            raise EmbeddedPostgresError(f"PostgreSQL's data could not be created: {created.stderr.strip()}")
        unfinished.rename(self._data)

    def _write_password(self) -> None:
        self._password_file.unlink(missing_ok=True)
        file = os.open(self._password_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(file, secrets.token_urlsafe(24).encode())
            os.fchown(file, self._account.uid, self._account.gid)
        finally:
            os.close(file)

    def _binaries(self) -> Binaries:
        if self._chosen is None:
            version = self._data / "PG_VERSION"
            self._chosen = choose_binaries(int(version.read_text("ascii")) if version.exists() else None)
        return self._chosen

    def _listens(self) -> bool:
        """A killed server leaves its socket, where nobody answers."""
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(f"{self._socket_dir()}/.s.PGSQL.{_SETTINGS['port']}")
            except OSError:
                return False
        return True

    def _wait_until_ready(self) -> None:
        """A server that somebody started and was killed over may still be recovering."""
        deadline = time.monotonic() + self._wait_s
        while self._pid_file_line(7) not in ("ready", "standby"):
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(f"PostgreSQL is not ready after {self._wait_s:.0f} s: {self._log_tail()}")
            time.sleep(_LOOK_AGAIN_S)

    def _pid_file_line(self, number: int) -> str:
        try:
            return (self._data / "postmaster.pid").read_text("utf-8").splitlines()[number].strip()
        except (FileNotFoundError, IndexError):
            return ""

    def _control(self, *arguments: str) -> bool:
        wait = () if arguments[-1] == "status" else ("--wait", f"--timeout={self._wait_s:.0f}")
        pg_ctl = self._binaries().directory / "pg_ctl"
        return self._run(pg_ctl, f"--pgdata={self._data}", "--silent", *wait, *arguments).returncode == 0

    def _run(self, program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        account: dict[str, Any] = {}
        if not self._account.is_ours:
            account = {"user": self._account.uid, "group": self._account.gid, "extra_groups": []}
        return subprocess.run(
            [program, *arguments],
            cwd=self.place,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8"},  # neither our secrets nor PG… variables
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # the server keeps it open: a pipe would never end
            stderr=subprocess.PIPE if program.name == "initdb" else subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C in the terminal is for hintd, which then stops the server itself
            check=False,
            **account,
        )

    def _socket_dir(self) -> Path:
        return choose_socket_dir(self.place, self._account)

    def _log_tail(self) -> str:
        try:
            return (self.place / "postgres.log").read_text("utf-8", "replace")[-_LOG_TAIL:].strip()
        except FileNotFoundError:
            return "it wrote none"

    def _lock(self, name: str, how: int) -> int:
        """Waits for it.  Python's descriptors are not inherited, so the server does not keep our locks."""
        file = os.open(self.place / name, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.fchown(file, self._account.uid, self._account.gid)  # so that the account itself can come, too
            fcntl.flock(file, how)
        except BaseException:
            os.close(file)
            raise
        return file

    def _unlock_users(self) -> None:
        if self._users is not None:
            os.close(self._users)
            self._users = None
