"""The local index of every patient and Contact: what matching joins and live search reads, without an API call."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from hintd.core.match import Candidate, IndexRow
from hintd.core.model import Side
from hintd.core.search import search_name
from hintd.postgres.codec import decode_texts
from hintd.postgres.pool import Database, Seal
from hintd.postgres.rows import record_rows

_PUT = "select put_records($1, $2::record_row[])"
_PAGE = 5_000  # rows per statement: some megabytes of arguments

_GET = "select * from record where connection_id = $1 and side = $2 and record_id = $3"

_CANDIDATES = """
select record.*, case side
    when 'hint' then (
        select link.contact_id from link
        where link.connection_id = record.connection_id and link.patient_id = record_id and state <> 'unlinked')
    else (
        select link.patient_id from link
        where link.connection_id = record.connection_id and link.contact_id = record_id and state <> 'unlinked')
    end as linked_with
from record
where connection_id = $1 and side = $2 and match_name = $3 and date_of_birth = $4 and not gone
order by record_id
"""

# <% finds words alike (typing errors, a name half typed), like finds a beginning too short to have trigrams of its own.
# Each way is cut off before the ranking: a text of one or two letters is in the name of half a practice.
_SEARCH = """
with found as (
    (select * from record
    where connection_id = $1 and side = 'hint' and not gone and search_name like '%' || $2 || '%' limit 500)
    union
    (select * from record
    where connection_id = $1 and side = 'hint' and not gone and $2 <% search_name limit 500)
), best as (
    select *, word_similarity($2, search_name) as by_words, similarity($2, search_name) as as_whole from found
    order by by_words desc, as_whole desc, search_name, record_id limit $3
)
select best.*, (
        select link.contact_id from link
        where link.connection_id = best.connection_id and link.patient_id = record_id and state <> 'unlinked'
    ) as linked_with
from best order by by_words desc, as_whole desc, search_name, record_id
"""

_COUNT_ANEW = "analyze (skip_locked) record"


class PostgresIndex:
    def __init__(self, database: Database, *, seal: Seal, unseal: Seal) -> None:
        self._db = database
        self._seal = seal
        self._unseal = unseal

    async def put(self, connection_id: int, rows: Sequence[IndexRow]) -> None:
        for start in range(0, len(rows), _PAGE):
            await self._db.run(_PUT, connection_id, record_rows(rows[start : start + _PAGE], self._seal))

    async def tidy(self) -> None:
        await self._db.run(_COUNT_ANEW)

    async def get(self, connection_id: int, side: Side, record_id: str) -> IndexRow | None:
        row = await self._db.row(_GET, connection_id, side, record_id)
        return None if row is None else self._row(row)

    async def candidates(
        self, connection_id: int, side: Side, match_name: str, date_of_birth: str
    ) -> Sequence[Candidate]:
        if not match_name or not date_of_birth:
            return []
        return self._candidates(await self._db.rows(_CANDIDATES, connection_id, side, match_name, date_of_birth))

    async def search(self, connection_id: int, text: str, *, limit: int = 20) -> Sequence[Candidate]:
        if not (words := search_name(text)):
            return []
        return self._candidates(await self._db.rows(_SEARCH, connection_id, words, limit))

    def _candidates(self, rows: Sequence[asyncpg.Record]) -> list[Candidate]:
        return [Candidate(self._row(row), row["linked_with"]) for row in rows]

    def _row(self, row: asyncpg.Record) -> IndexRow:
        return index_row(row, *decode_texts(self._unseal(row["reach"])))


def index_row(row: asyncpg.Record, email: str | None = None, phone: str | None = None) -> IndexRow:
    """A row of ``record``; what is sealed is given beside it, where it is needed."""
    return IndexRow(
        side=Side(row["side"]),
        record_id=row["record_id"],
        stamp=row["stamp"],
        match_name=row["match_name"],
        first_name=row["first_name"],
        last_name=row["last_name"],
        suffix=row["suffix"],
        date_of_birth=row["date_of_birth"],
        email=email,
        phone=phone,
        gone=row["gone"],
        created_at=row["created_at"],
        claimed=row["claimed"],
    )
