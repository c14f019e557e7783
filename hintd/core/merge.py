"""The three-way merge of one field, with a base of two halves (README rule 2).

"Changed" means: differs from that side's own half of the base.  Each system stores what it is given in its own way,
so the halves may differ from each other for good; that is an accepted difference, not a change.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from hintd.core.fields import Field, Kind, Winner
from hintd.core.model import Link, Side, Value
from hintd.core.normalize import same
from hintd.core.observe import Unknown, current
from hintd.core.rules import Rules

HINT_WINS_WITHIN = timedelta(seconds=1)


class Step(StrEnum):
    AGREED = "agreed"  # both hold the same: it becomes the base
    TO_SALESFORCE = "to_salesforce"
    TO_HINT = "to_hint"
    LEFT = "left"  # a read-only field was edited and the setting says to leave and report it


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about one field, and why.  ``value`` is the winning value in its own side's spelling, ``replaced``
    what stands on the side that is written; ``was_conflict``: the replaced value was itself an edit."""

    field: Field
    step: Step
    cause: str
    value: Value = None
    replaced: Value = None
    was_conflict: bool = False

    @property
    def target(self) -> Side:
        return Side.HINT if self.step is Step.TO_HINT else Side.SALESFORCE


def merge_field(field: Field, link: Link, rules: Rules, prefer: Side | None) -> Decision | None:
    """None: nothing to do.  ``prefer``: the side that wins a conflict whatever the field's own winner is."""
    hint, salesforce = current(link.hint, field.name), current(link.salesforce, field.name)
    hint_changed, salesforce_changed = field.name in link.hint.seen, field.name in link.salesforce.seen
    if isinstance(salesforce, Unknown) or not (hint_changed or salesforce_changed):
        return None
    if isinstance(hint, Unknown):
        return _unshown(field, salesforce)
    if same(field, hint, salesforce, rules):
        return Decision(field, Step.AGREED, "agreed", hint)
    if not _has_base(field, link):
        return _first_meeting(field, link, (hint, salesforce), prefer)
    if hint_changed and salesforce_changed:
        return _conflict(field, link, (hint, salesforce), prefer)
    if hint_changed:
        return _follow(field, Side.HINT, (hint, salesforce), rules)
    return _follow(field, Side.SALESFORCE, (hint, salesforce), rules)


def _unshown(field: Field, salesforce: Value) -> Decision | None:
    """Hint does not show the field: it flows from Salesforce only (README rule 14).  Not so a phone: writing ``phones``
    replaces the whole list, and what is in it is not known."""
    if field.kind is Kind.PHONE or not field.flows_to(Side.HINT):
        return None
    return _to_hint(field, salesforce, None, "changed_in_salesforce")


def _has_base(field: Field, link: Link) -> bool:
    return field.name in link.hint.values and field.name in link.salesforce.values


def _to_hint(field: Field, value: Value, replaced: Value, cause: str, was_conflict: bool = False) -> Decision:
    return Decision(field, Step.TO_HINT, cause, value, replaced, was_conflict)


def _to_salesforce(field: Field, value: Value, replaced: Value, cause: str, was_conflict: bool = False) -> Decision:
    return Decision(field, Step.TO_SALESFORCE, cause, value, replaced, was_conflict)


def _is_blank(value: Value) -> bool:
    return value is None or value == "" or value is False


def _first_meeting(field: Field, link: Link, values: tuple[Value, Value], prefer: Side | None) -> Decision:
    """The pair never agreed on this field: blanks are filled, else one side wins."""
    hint, salesforce = values
    if not field.flows_to(Side.HINT):
        return _to_salesforce(field, hint, salesforce, "linked", not _is_blank(salesforce))
    if not field.flows_to(Side.SALESFORCE):
        return _to_hint(field, salesforce, hint, "linked", not _is_blank(hint))
    if _is_blank(salesforce):
        return _to_salesforce(field, hint, salesforce, "filled")
    if _is_blank(hint):
        return _to_hint(field, salesforce, hint, "filled")
    if (prefer or _winner(field, link)) is Side.HINT:
        return _to_salesforce(field, hint, salesforce, "linked", True)
    return _to_hint(field, salesforce, hint, "linked", True)


def _follow(field: Field, changed: Side, values: tuple[Value, Value], rules: Rules) -> Decision:
    """One side changed: the other follows, unless the field does not flow that way."""
    hint, salesforce = values
    if field.flows_to(changed.other):
        if changed is Side.HINT:
            return _to_salesforce(field, hint, salesforce, "changed_in_hint")
        return _to_hint(field, salesforce, hint, "changed_in_salesforce")
    if not rules.revert_read_only:
        return Decision(field, Step.LEFT, "left")
    if changed is Side.HINT:
        return _to_hint(field, salesforce, hint, "reverted", True)
    return _to_salesforce(field, hint, salesforce, "reverted", True)


def _conflict(field: Field, link: Link, values: tuple[Value, Value], prefer: Side | None) -> Decision:
    hint, salesforce = values
    if _conflict_winner(field, link, prefer) is Side.HINT:
        return _to_salesforce(field, hint, salesforce, "conflict_hint_won", True)
    return _to_hint(field, salesforce, hint, "conflict_salesforce_won", True)


def _conflict_winner(field: Field, link: Link, prefer: Side | None) -> Side:
    if not field.flows_to(Side.HINT):
        return Side.HINT
    if not field.flows_to(Side.SALESFORCE):
        return Side.SALESFORCE
    return prefer or _winner(field, link)


def _winner(field: Field, link: Link) -> Side:
    if field.winner is not Winner.LATER:
        return Side.HINT if field.winner is Winner.HINT else Side.SALESFORCE
    return later_side(_seen_at(link, Side.HINT, field), _seen_at(link, Side.SALESFORCE, field))


def later_side(hint_at: datetime | None, salesforce_at: datetime | None) -> Side:
    """The later change wins, and Hint when the stamps are within a second of each other (README rule 2)."""
    if salesforce_at is None or hint_at is None:
        return Side.HINT if salesforce_at is None else Side.SALESFORCE
    return Side.SALESFORCE if salesforce_at - hint_at > HINT_WINS_WITHIN else Side.HINT


def overwritten_wins(field: Field, side: Side, hint_at: datetime | None, salesforce_at: datetime | None) -> bool:
    """Is an edit of ``side`` that was overwritten before it was seen to be put back?"""
    if not field.flows_to(side.other):
        return False
    if field.winner is not Winner.LATER and hint_at is not None and salesforce_at is not None:
        return (field.winner is Winner.HINT) is (side is Side.HINT)
    return later_side(hint_at, salesforce_at) is side


def _seen_at(link: Link, side: Side, field: Field) -> datetime | None:
    seen = link.half(side).seen.get(field.name)
    return seen.stamp if seen is not None else None
