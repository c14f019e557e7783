"""Numbered SQL migrations: what is in ``migrations/`` and not in the table ``migration`` is applied, in order.

One runner at a time by an advisory lock; each migration in a transaction of its own, recorded with a checksum, so
that a file that was changed after the fact is found out.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files

import asyncpg

from hintd.postgres.pool import naming_the_loss

_LOCK = 0x68696E7464  # "hintd"
_OLDEST = 140000

_LEDGER = """
create table if not exists migration (
    number integer primary key,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default now()
)
"""


class MigrationRefused(Exception):
    """The schema cannot be brought up to date; ``str()`` says why and what to do."""


@dataclass(frozen=True, slots=True)
class Migration:
    number: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()


def known_migrations() -> tuple[Migration, ...]:
    found = (path for path in files("hintd.postgres").joinpath("migrations").iterdir() if path.name.endswith(".sql"))
    return tuple(
        Migration(int(path.name.partition("_")[0]), path.name.removesuffix(".sql"), path.read_text("utf-8"))
        for path in sorted(found, key=lambda path: path.name)
    )


async def migrate(dsn: str) -> list[str]:
    """Bring the schema up to date; the names of what was applied.  Raises MigrationRefused and StoreDown."""
    with naming_the_loss():
        connection = await asyncpg.connect(dsn)
        try:
            await connection.execute("select pg_advisory_lock($1)", _LOCK)
            return await _apply_missing(connection, known_migrations())
        finally:
            await connection.close()  # ends the session, and with it the lock


async def _apply_missing(connection: asyncpg.Connection[asyncpg.Record], known: tuple[Migration, ...]) -> list[str]:
    if await connection.fetchval("select current_setting('server_version_num')::int") < _OLDEST:
        raise MigrationRefused("hintd needs PostgreSQL 14 or newer: point [postgres] dsn at a newer server")
    await connection.execute(_LEDGER)
    rows = await connection.fetch("select number, checksum from migration")
    missing = _plan_migrations({row["number"]: row["checksum"] for row in rows}, known)
    for migration in missing:
        await _apply(connection, migration)
    return [migration.name for migration in missing]


def _plan_migrations(applied: dict[int, str], known: tuple[Migration, ...]) -> tuple[Migration, ...]:
    by_number = {migration.number: migration for migration in known}
    if newer := sorted(applied.keys() - by_number.keys()):
        raise MigrationRefused(f"the database has migration {newer[-1]}, which this hintd does not know: update hintd")
    for number, checksum in applied.items():
        if by_number[number].checksum != checksum:
            raise MigrationRefused(
                f"migration {by_number[number].name} is not the one that was applied to this database: "
                "a migration must never change after its release; restore the file"
            )
    return tuple(migration for migration in known if migration.number not in applied)


async def _apply(connection: asyncpg.Connection[asyncpg.Record], migration: Migration) -> None:
    try:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(
                "insert into migration (number, name, checksum) values ($1, $2, $3)",
                migration.number,
                migration.name,
                migration.checksum,
            )
    except (asyncpg.FeatureNotSupportedError, asyncpg.UndefinedFileError, asyncpg.InsufficientPrivilegeError) as error:
        if "pg_trgm" not in migration.sql:
            raise
        raise MigrationRefused(
            "PostgreSQL's extension pg_trgm cannot be created: install the server's contrib package "
            "(Debian has it in postgresql-NN), or let an administrator run 'create extension pg_trgm' in this database"
        ) from error
