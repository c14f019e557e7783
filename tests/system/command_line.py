"""The command line as people and scripts use it: a real process per command, beside a sandbox and a real Postgres."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.postgres_server import Databases
from tests.private_rabbit import free_port

KEY = f"[security]\nencryption_keys = ['{base64.urlsafe_b64encode(bytes(32)).decode()}']"


def clean_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("HINTD_") or "TEST" in name}


@dataclass(frozen=True)
class Result:
    code: int
    document: Any
    err: str


def hintd(*arguments: str, config: Path | None = None) -> Result:
    """One command with ``--json``: its code, the one document on its stdout, and its stderr."""
    given = ("--config", str(config)) if config else ()
    done = subprocess.run(
        [sys.executable, "-m", "hintd", *arguments, *given, "--json"],
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=60,
    )
    assert "Traceback" not in done.stderr
    return Result(done.returncode, json.loads(done.stdout), done.stderr)


async def hintd_beside(variables: Mapping[str, str], *arguments: str) -> Result:
    """As ``hintd``, configured by environment variables, while this process's own loop goes on."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "hintd", *arguments, "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment() | dict(variables),
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    assert b"Traceback" not in err
    return Result(process.returncode, json.loads(out), err.decode())


@dataclass(frozen=True)
class World:
    """A sandbox, a database, and a configuration that joins the two."""

    url: str
    config: Path

    def hintd(self, *arguments: str) -> Result:
        return hintd(*arguments, config=self.config)

    def control(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self.url}/control{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as got:
            raw = got.read()
        return json.loads(raw) if raw else None

    def patient(self, first: str, last: str) -> Any:
        patients = self.control("GET", "/records")["hint"]
        return next(p for p in patients if (p["first_name"], p["last_name"]) == (first, last))

    def contact(self, first: str, last: str) -> Any:
        contacts = self.control("GET", "/records")["salesforce"]
        return next(c for c in contacts if (c["FirstName"], c["LastName"]) == (first, last))


def configuration(dsn: str, url: str, grpc: str) -> str:
    return f"""
[service]
public_listen = "127.0.0.1:{free_port()}"
operator_listen = "127.0.0.1:{free_port()}"
[postgres]
dsn = "{dsn}"
[hint]
api_url = "{url}"
partner_key = "sbx-partner-key"
webhook_secret = "sbx-webhook-secret"
[salesforce]
login_url = "{url}"
pubsub_address = "{grpc}"
pubsub_tls = false
auth = "client_credentials"
client_id = "sbx-client"
client_secret = "sbx-secret"
{KEY}
"""


@contextmanager
def open_clinic(databases: Databases, directory: Path) -> Iterator[World]:
    """Nothing is connected yet."""
    dsn = asyncio.run(databases.create(migrated=False))
    process = subprocess.Popen(
        [sys.executable, "-m", "hintd", "sandbox", "--port", "0", "--grpc-port", "0", "--json"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    told = json.loads("".join(iter(process.stdout.readline, "}\n")) + "}")
    config = directory / "hintd.toml"
    config.write_text(configuration(dsn, told["url"], told["grpc_address"]))
    yield World(told["url"], config)
    process.terminate()
    process.wait(10)
    process.stdout.close()
    asyncio.run(databases.drop(dsn))
