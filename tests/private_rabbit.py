"""A RabbitMQ of the tests' own, from the installed binaries: its own directory, ports, account and epmd.

``rabbitmq-server`` is run directly, without systemd or the root-only wrapper; as root it runs as the account
``rabbitmq``.  It can be stopped, killed and started again on the same directory and port.
"""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_PLACES = ("/usr/lib/rabbitmq/bin", "/usr/local/lib/rabbitmq/sbin", "/opt/rabbitmq/sbin", "/opt/homebrew/sbin")
_READY_S = 90.0
_STOP_S = 30.0


class RabbitNotStarted(Exception):
    """``str()`` says why, with the end of the server's own output."""


def find_rabbit() -> Path | None:
    """The directory of ``rabbitmq-server``, None when it is not installed or cannot run under this account."""
    if os.geteuid() == 0 and not _account_exists("rabbitmq"):
        return None
    places = (Path(place) for place in _PLACES)
    return next((place for place in places if os.access(place / "rabbitmq-server", os.X_OK)), None)


def _account_exists(name: str) -> bool:
    return any(entry.pw_name == name for entry in pwd.getpwall())


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PrivateRabbit:
    """``with PrivateRabbit(directory) as rabbit: ... rabbit.url``.  The directory must be reachable by others when
    we are root (a temporary directory of 0711, not pytest's ``tmp_path``)."""

    def __init__(self, directory: Path) -> None:
        binaries = find_rabbit()
        if binaries is None:
            raise RabbitNotStarted("rabbitmq-server is not installed")
        self._binaries = binaries
        self._directory = directory
        self.port, self._dist_port, self._epmd_port = free_port(), free_port(), free_port()
        self._password = secrets.token_urlsafe(18)
        self._account: dict[str, Any] = {}
        if os.geteuid() == 0:
            entry = pwd.getpwnam("rabbitmq")
            self._account = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self._server: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"amqp://hintd:{self._password}@127.0.0.1:{self.port}/"

    def __enter__(self) -> Self:
        self._lay_out()
        self.start()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Returns when the listener speaks AMQP.  Raises RabbitNotStarted."""
        with (self._directory / "output").open("ab") as output:
            self._server = subprocess.Popen(
                [self._binaries / "rabbitmq-server"],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._directory,
                start_new_session=True,
                **self._account,
            )
        try:
            self._wait_ready(self._server)
        except BaseException:
            self.stop(signal.SIGKILL)
            raise

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stops it and all that it started, epmd too, which puts itself into a session of its own."""
        epmd = self._epmd_pids()
        if self._server is not None and self._server.poll() is None:
            os.killpg(self._server.pid, how)
            try:
                self._server.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._server.pid, signal.SIGKILL)
                self._server.wait()
        for pid in epmd:
            try:
                os.kill(pid, signal.SIGTERM)
            except ProcessLookupError:
                pass

    def control(self, *arguments: str) -> str:
        """Runs ``rabbitmqctl`` against this server."""
        return subprocess.run(
            [self._binaries / "rabbitmqctl", "-q", *arguments],
            env=self._environment(),
            cwd=self._directory,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
            **self._account,
        ).stdout

    def _lay_out(self) -> None:
        for name in ("mnesia", "log"):
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        settings = {
            "listeners.tcp.default": f"127.0.0.1:{self.port}",
            "default_user": "hintd",
            "default_pass": self._password,
            "disk_free_limit.absolute": "50MB",
            "log.console": "false",
            "log.file.level": "warning",
            "raft.wal_max_size_bytes": "64000000",
        }
        (self._directory / "rabbitmq.conf").write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
        (self._directory / "rabbitmq.conf").chmod(0o600)
        (self._directory / "enabled_plugins").write_text("[].\n")
        if self._account:
            for path in (self._directory, *self._directory.rglob("*")):
                shutil.chown(path, self._account["user"], self._account["group"])

    def _environment(self) -> dict[str, str]:
        directory = self._directory
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(directory),  # where the Erlang cookie goes
            "LANG": "C.UTF-8",
            "RABBITMQ_NODENAME": f"hintd{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._dist_port),
            "RABBITMQ_MNESIA_BASE": str(directory / "mnesia"),
            "RABBITMQ_LOG_BASE": str(directory / "log"),
            "RABBITMQ_CONFIG_FILE": str(directory / "rabbitmq.conf"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(directory / "enabled_plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(directory / "none"),
            "RABBITMQ_PID_FILE": str(directory / "pid"),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        }

    def _wait_ready(self, server: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + _READY_S
        while not self._speaks_amqp():
            if server.poll() is not None:
                raise RabbitNotStarted(f"rabbitmq-server ended: {self._output()}")
            if time.monotonic() > deadline:
                raise RabbitNotStarted(f"rabbitmq-server was not ready within {_READY_S:.0f} s: {self._output()}")
            time.sleep(0.05)

    def _speaks_amqp(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as connection:
                connection.settimeout(5)
                connection.sendall(b"AMQP\x00\x00\x09\x01")
                return connection.recv(1) == b"\x01"  # a method frame: Connection.Start
        except OSError:
            return False

    def _output(self) -> str:
        return (self._directory / "output").read_text(errors="replace")[-2000:]

    def _epmd_pids(self) -> list[int]:
        ours = f"ERL_EPMD_PORT={self._epmd_port}".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                command = (entry / "cmdline").read_bytes().split(b"\0")[0]
                if command.endswith(b"epmd") and ours in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
            except OSError:
                continue
        return found
