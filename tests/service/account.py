"""An account of what happened in a simulated world, kept beside the service: who edited which field when, and what
hintd wrote.  The verdict over a run compares it with what both sides hold in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from hintd.core.fields import Book, Field
from hintd.core.model import Contact, Link, LinkState, Record, Side, Value
from hintd.core.normalize import same
from tests.fakes.hint import MemoryPractice, PatientSaved
from tests.fakes.memory import Memory
from tests.fakes.salesforce import ContactSaved, MemoryOrg

Pair = tuple[str, str]  # (Contact id, patient id)


@dataclass(frozen=True, slots=True)
class Edit:
    """A person (or an automation of the org) gave a field of one side a value."""

    at: datetime
    side: Side
    value: Value


@dataclass(frozen=True, slots=True)
class Written:
    """hintd changed a field's value."""

    at: datetime
    side: Side
    field: str
    value: Value
    asked: bool  # the field was in the request, so the value is hintd's and not an automation's


@dataclass(slots=True)
class Account:
    """``contests``: the edits of a pair's field since both sides last agreed on it."""

    book: Book
    memory: Memory
    practice: MemoryPractice
    org: MemoryOrg
    now: Callable[[], datetime]
    tell: Callable[[str], None]
    contests: dict[tuple[Pair, str], list[Edit]] = field(default_factory=dict)
    written: dict[Pair, list[Written]] = field(default_factory=dict)
    rewritten: set[tuple[str, str]] = field(default_factory=set)  # (Contact id, field) where an automation interfered
    vague: set[Pair] = field(default_factory=set)  # linked anew, merged or parted: no edit is held against it
    created: Counter[str] = field(default_factory=Counter)  # by the partner's id
    edits: int = 0  # saves by people
    saves: int = 0  # saves by hintd

    def patient_saved(self, saved: PatientSaved) -> None:
        if saved.before is None:
            if not saved.by_person and saved.after.contact_id:
                self.created[saved.after.contact_id] += 1
                self.saves += 1
            return
        self._saved(Side.HINT, saved.patient_id, saved.by_person, saved.before, saved.after, frozenset(saved.sent))

    def contact_saved(self, saved: ContactSaved) -> None:
        if saved.before is None:
            if not saved.by_person and saved.after.patient_id:
                self.created[saved.after.patient_id] += 1
                self.saves += 1
            return
        self._saved(
            Side.SALESFORCE, saved.contact_id, saved.by_person, saved.before, saved.after, frozenset(saved.sent)
        )

    def link_of(self, side: Side, record_id: str) -> Link | None:
        row = self.memory.row_of(1, side, record_id)
        return None if row is None else row.link

    def _saved(
        self, side: Side, record_id: str, by_person: bool, before: Record, after: Record, sent: frozenset[str]
    ) -> None:
        link = self.link_of(side, record_id)
        changed = [f for f in self.book.fields if not self._same(f, before, after)]
        who = "person" if by_person else "hintd"
        self.tell(f"{who} saved {side} {record_id}: {', '.join(_change(f, before, after) for f in changed) or '-'}")
        self.edits += by_person
        self.saves += not by_person
        if link is None:
            self._not_yet_linked(after)
            return
        pair = (link.contact_id, link.patient_id)
        if link.state is LinkState.LINKING:
            self.vague.add(pair)
        for each in changed:
            asked = self._remote_name(side, each) in sent
            if not by_person:
                entry = Written(self.now(), side, each.name, after.values[each.name], asked)
                self.written.setdefault(pair, []).append(entry)
                if asked:
                    continue
            if side is Side.SALESFORCE and not asked:
                self.rewritten.add((link.contact_id, each.name))
            self._edited(link, pair, each, Edit(self.now(), side, after.values[each.name]), before)

    def _not_yet_linked(self, after: Record) -> None:
        """An edit of a new Contact whose link is still in the making belongs to no pair yet."""
        if isinstance(after, Contact) and after.patient_id and self.link_of(Side.HINT, after.patient_id) is not None:
            self.vague.add((after.id, after.patient_id))

    def _remote_name(self, side: Side, each: Field) -> str:
        if side is Side.SALESFORCE:
            return self.book.api_name(each)
        return each.hint.partition(":")[0].partition(".")[0]

    def _edited(self, link: Link, pair: Pair, each: Field, edit: Edit, before: Record) -> None:
        key = (pair, each.name)
        patient, contact = self.practice.look(pair[1]), self.org.look(pair[0])
        held: dict[Side, Record | None] = {Side.HINT: patient, Side.SALESFORCE: contact, edit.side: before}
        if not self._agreed(link, each, held):
            self.contests.setdefault(key, []).append(edit)
            return
        recent = [e for e in self.contests.get(key, ()) if (edit.at - e.at).total_seconds() <= 2.5]
        self.contests[key] = [*recent, edit]

    def _agreed(self, link: Link, each: Field, held: dict[Side, Record | None]) -> bool:
        """Did the pair rest on what each side held just before?  Two equal edits that hintd has not seen are none."""
        values = {side: None if record is None else record.values.get(each.name) for side, record in held.items()}
        return all(
            each.name in link.half(side).values
            and each.name not in link.half(side).seen
            and same(each, values[side], link.half(side).values[each.name], self.book.rules)
            for side in Side
        )

    def _same(self, each: Field, before: Record, after: Record) -> bool:
        return same(each, before.values.get(each.name), after.values.get(each.name), self.book.rules)


def _change(each: Field, before: Record, after: Record) -> str:
    return f"{each.name} {before.values.get(each.name)!r} -> {after.values.get(each.name)!r}"
