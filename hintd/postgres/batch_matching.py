"""The join that finds, for a page of items, everything that their matching needs (README rule 4)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter

import asyncpg

from hintd.core.batch import BatchItem
from hintd.core.match import Candidate
from hintd.core.model import Side
from hintd.ports import ToMatch
from hintd.postgres.index import index_row

# The look-ups are lateral with "offset 0", each for one side, so that all columns of the index narrow each of them.
TO_MATCH = """
with item as materialized (
    select position, record_id as own_id, partner_id, decision, why,
        case $3 when 'hint' then (
            select link.contact_id from link
            where link.connection_id = $2 and link.patient_id = batch_item.record_id and state <> 'unlinked')
        else (
            select link.patient_id from link
            where link.connection_id = $2 and link.contact_id = batch_item.record_id and state <> 'unlinked')
        end as own_linked_with,
        case $3 when 'hint' then array(
            select parted.contact_id from parted where connection_id = $2 and parted.patient_id = batch_item.record_id)
        else array(
            select parted.patient_id from parted where connection_id = $2 and parted.contact_id = batch_item.record_id)
        end as parted_from
    from batch_item
    where batch_id = $1 and position > $4 order by position limit $5
), own as materialized (
    select item.position, found.*
    from item, lateral (
        select * from record where connection_id = $2 and side = $3 and record_id = own_id offset 0
    ) found
), known as (
    select *, true as is_own from own
    union all
    select own.position, found.*, false
    from own, (values ('hint'), ('salesforce')) as each_side (name), lateral (
        select * from record
        where connection_id = $2 and side = each_side.name and not gone
            and match_name = own.match_name and date_of_birth = own.date_of_birth
            and own.match_name <> '' and own.date_of_birth <> ''
        offset 0
    ) found
)
select item.position, own_id, partner_id, decision, why, own_linked_with, parted_from, is_own,
    side, record_id, stamp, match_name, first_name, last_name, suffix, date_of_birth, gone, created_at, claimed,
    case side
        when 'hint' then (
            select link.contact_id from link
            where link.connection_id = $2 and link.patient_id = known.record_id and state <> 'unlinked')
        when 'salesforce' then (
            select link.patient_id from link
            where link.connection_id = $2 and link.contact_id = known.record_id and state <> 'unlinked')
    end as linked_with
from item left join known on known.position = item.position
order by item.position, record_id
"""


def read_to_match(rows: Sequence[asyncpg.Record], own_side: Side) -> list[ToMatch]:
    """One of each item; ``rows`` has one of each record found for it, at least one."""
    return [_to_match(list(found), own_side) for _, found in groupby(rows, key=itemgetter("position"))]


def _to_match(found: Sequence[asyncpg.Record], own_side: Side) -> ToMatch:
    first = found[0]
    own = next((index_row(row) for row in found if row["is_own"]), None)
    alike = [row for row in found if row["is_own"] is False]
    return ToMatch(
        item=BatchItem(first["position"], first["own_id"], first["partner_id"], first["decision"], first["why"]),
        own=own,
        candidates=_of_side(alike, own_side.other),
        rivals=_of_side(alike, own_side),
        linked_with=first["own_linked_with"],
        parted_from=frozenset(first["parted_from"]),
    )


def _of_side(rows: Iterable[asyncpg.Record], side: Side) -> tuple[Candidate, ...]:
    return tuple(Candidate(index_row(row), row["linked_with"]) for row in rows if row["side"] == side)
