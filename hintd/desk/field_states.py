"""A link's fields as people look at them: what both sides hold, and in which state each field is.  Pure."""

from __future__ import annotations

from collections.abc import Sequence

from hintd.core.fields import Field
from hintd.core.model import Link, LinkState, Value
from hintd.core.normalize import same
from hintd.core.observe import Unknown, current
from hintd.core.rules import Rules
from hintd.web.shapes import FieldStateJson


def field_states(link: Link, fields: Sequence[Field], rules: Rules) -> list[FieldStateJson]:
    """Fields that neither side has ever shown are left out."""
    known = [
        f for f in fields if not all(isinstance(current(h, f.name), Unknown) for h in (link.hint, link.salesforce))
    ]
    return [_field_state(link, field, rules) for field in known]


def _field_state(link: Link, field: Field, rules: Rules) -> FieldStateJson:
    name = field.name
    return {
        "name": name,
        "hint": _known(current(link.hint, name)),
        "salesforce": _known(current(link.salesforce, name)),
        "base_hint": link.hint.values.get(name),
        "base_salesforce": link.salesforce.values.get(name),
        "state": _state(link, field, rules),
    }


def _known(value: Value | Unknown) -> Value:
    return None if isinstance(value, Unknown) else value


def _state(link: Link, field: Field, rules: Rules) -> str:
    name = field.name
    if name in link.frozen:
        return "frozen"
    if name in link.held:
        return "held"
    if link.state is LinkState.LINKING or name in link.hint.seen or name in link.salesforce.seen:
        return "waiting"
    hint, salesforce = current(link.hint, name), current(link.salesforce, name)
    if isinstance(hint, Unknown) or isinstance(salesforce, Unknown):
        return "accepted"
    return "equal" if same(field, hint, salesforce, rules) else "accepted"
