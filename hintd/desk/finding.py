"""Finding what a request names: connections by name, and links by a record's id."""

from __future__ import annotations

from hintd.composition import House
from hintd.core.model import Link, Side
from hintd.ports import Connection
from hintd.web.desk import AgainstRule, Unknown


async def find_connection(house: House, name: str) -> Connection:
    """Raises Unknown."""
    connection = await house.stores.connections.by_name(name)
    if connection is None:
        names = ", ".join(c.name for c in await house.stores.connections.all()) or "none yet"
        raise Unknown(f"There is no connection {name}. Connections: {names}.", "unknown_connection")
    return connection


async def find_connected(house: House, name: str) -> Connection:
    """Raises Unknown, and AgainstRule where the practice was disconnected."""
    connection = await find_connection(house, name)
    refuse_disconnected(connection)
    return connection


def refuse_disconnected(connection: Connection) -> None:
    """Raises AgainstRule."""
    if connection.state == "disconnected":
        sentence = f"{connection.name} is disconnected. Connect it again with: hintd connection add {connection.name}"
        raise AgainstRule(sentence, "disconnected")


async def find_id(house: House, name: str | None) -> int | None:
    """The connection's id; None for all connections.  Raises Unknown."""
    return None if name is None else (await find_connection(house, name)).id


async def standing_link(house: House, connection: Connection, side: Side, record_id: str) -> Link:
    """Raises Unknown."""
    found = await house.stores.links.find(connection.id, side, record_id)
    if found is None:
        id_name = "contact_id" if side is Side.SALESFORCE else "patient_id"
        sentence = (
            f"{side.capitalize()}'s record {record_id} has no link in {connection.name}; its explanation (hintd link "
            "explain) says why."
        )
        raise Unknown(sentence, "not_linked", **{id_name: record_id})
    return found
