"""Migrations: applied once, in order, by one at a time; and what they make is what ``schema.sql`` shows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from importlib.resources import files

import asyncpg
import pytest

from hintd.ports import StoreDown
from hintd.postgres.migrate import MigrationRefused, known_migrations, migrate

CATALOG = {
    "columns": """
        select table_name, column_name, ordinal_position, data_type, udt_name, is_nullable, column_default, is_identity
        from information_schema.columns where table_schema = 'public'
    """,
    "composite types": """
        select udt_name, attribute_name, ordinal_position, attribute_udt_name
        from information_schema.attributes where udt_schema = 'public'
    """,
    "indexes": "select indexname, indexdef from pg_indexes where schemaname = 'public'",
    "constraints": """
        select conname, pg_get_constraintdef(oid) from pg_constraint where connamespace = 'public'::regnamespace
    """,
    "storage": """
        select relname, reloptions from pg_class where relnamespace = 'public'::regnamespace and reloptions is not null
    """,
    "functions": """
        select pg_get_functiondef(p.oid) from pg_proc p where pronamespace = 'public'::regnamespace
        and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
    """,
    "extensions": "select extname from pg_extension",
}

NAMES = [migration.name for migration in known_migrations()]


@pytest.fixture
async def session(pg_dsn: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(pg_dsn)
    yield connection
    await connection.close()


async def read_catalog(connection: asyncpg.Connection) -> dict[str, list[str]]:
    return {name: sorted(str(tuple(row)) for row in await connection.fetch(sql)) for name, sql in CATALOG.items()}


async def test_migrations_make_what_the_schema_shows(store_dsn: str, session: asyncpg.Connection) -> None:
    await session.execute(files("hintd.postgres").joinpath("schema.sql").read_text("utf-8"))
    migrated = await asyncpg.connect(store_dsn)
    try:
        assert await read_catalog(migrated) == await read_catalog(session)
    finally:
        await migrated.close()


async def test_each_migration_is_applied_once(pg_dsn: str) -> None:
    assert (await migrate(pg_dsn), await migrate(pg_dsn)) == (NAMES, [])


async def test_of_many_at_once_one_migrates(pg_dsn: str) -> None:
    assert sorted(await asyncio.gather(*(migrate(pg_dsn) for _ in range(4)))) == [[], [], [], NAMES]


def test_migrations_are_numbered_without_gaps() -> None:
    assert [migration.number for migration in known_migrations()] == list(range(1, len(NAMES) + 1))


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("update migration set checksum = 'other' where number = 2", "0002_links is not the one"),
        ("insert into migration (number, name, checksum) values (9999, 'x', 'y')", "update hintd"),
    ],
    ids=["changed after its release", "of a later hintd"],
)
async def test_a_schema_that_is_not_ours_is_refused(
    pg_dsn: str, session: asyncpg.Connection, statement: str, sentence: str
) -> None:
    await migrate(pg_dsn)
    await session.execute(statement)
    with pytest.raises(MigrationRefused, match=sentence):
        await migrate(pg_dsn)


async def test_a_server_that_is_not_there_is_told_from_a_mistake(free_port: int) -> None:
    with pytest.raises(StoreDown):
        await migrate(f"postgresql://nobody@127.0.0.1:{free_port}/none")
