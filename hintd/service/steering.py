"""What a person tells a connection to do: to pause, to go on, to be swept out of turn (README rule 8).

A pause by a person is told from one for refused credentials, which ends by itself once a probe succeeds, by its reason:
whatever else changes the connection's state rewrites or clears that.
"""

from __future__ import annotations

from dataclasses import replace

from hintd.ports import Connection, Cursors

_BY_PERSON = "paused by "
_SWEEP_ASKED = "sweep.asked"


def is_paused_by_person(connection: Connection) -> bool:
    return connection.state == "paused" and (connection.paused_why or "").startswith(_BY_PERSON)


def paused(connection: Connection, person: str) -> Connection:
    """The connection as a person's pause leaves it; only a person ends it.  Repeated, it changes nothing."""
    if is_paused_by_person(connection):
        return connection
    return replace(connection, state="paused", paused_why=f"{_BY_PERSON}{person}")


def resumed(connection: Connection) -> Connection:
    """The connection gone on, whoever paused it: credentials that are still refused pause it again."""
    return replace(connection, state="active", paused_why=None)


async def ask_for_sweep(cursors: Cursors, connection_id: int) -> None:
    """The scheduler sweeps the connection within seconds, once however often it was asked meanwhile."""
    await cursors.save(connection_id, _SWEEP_ASKED, b"asked")


async def take_asked_sweep(cursors: Cursors, connection_id: int) -> bool:
    """Whether somebody asked since the last time; to be called before the sweep, so that asking during it counts."""
    if not await cursors.load(connection_id, _SWEEP_ASKED):
        return False
    await cursors.save(connection_id, _SWEEP_ASKED, b"")
    return True
