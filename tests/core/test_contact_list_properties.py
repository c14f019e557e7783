"""Laws of reading Contact ids, on files that nobody would write."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from hintd.core.contact_list import ContactListReader, Line, LineKind, UnreadableFile
from hintd.core.csv_dialect import HEAD_BYTES
from hintd.core.salesforce_id import to_18

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
LATIN = "Aa9 ,;\t\r\n\"'=.\xe9\xa0\xdf\u20ac"  # all of Windows-1252

few = settings(max_examples=200, deadline=None)


@dataclass(frozen=True)
class File:
    content: bytes
    ids: list[str]


def read(chunks: list[bytes]) -> list[Line] | str:
    reader = ContactListReader(1_000)
    try:
        return [*(line for chunk in chunks for line in reader.feed(chunk)), *reader.finish()]
    except UnreadableFile as refusal:
        return str(refusal)


def cut(content: bytes, places: list[int]) -> list[bytes]:
    at = [0, *sorted(place % (len(content) + 1) for place in places), len(content)]
    return [content[start:end] for start, end in pairwise(at)]


BARE_IDS = st.text(BASE62, min_size=12, max_size=12).map("003".__add__)
IDS = BARE_IDS.map(lambda bare: to_18(bare) or bare)
PIECES = st.sampled_from([
    "0032X00002QU10J", "0032X00002QU10JQAT", '"', '""', ",", ";", "\t", "\r", "\n", "\r\n", "\0", "=", "'", "x", " ",
    "sep=;", "\ufeff", "\xa0", "\xe9", "\U0001f600", "Id",
])  # fmt: skip
CODECS = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])


def quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


@st.composite
def files(draw: st.DrawFn) -> File:
    """Well-formed ones, in which every other column may hold anything that quotes can hold."""
    separator, line_end = draw(st.sampled_from(",;\t")), draw(st.sampled_from(["\r\n", "\n", "\r"]))
    codec = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]))
    quote_id = draw(st.sampled_from([str, quoted]))
    ids = draw(st.lists(IDS, min_size=1, max_size=20, unique=True))
    others = draw(st.lists(st.text(LATIN, max_size=12), min_size=len(ids), max_size=len(ids)))
    header = draw(st.sampled_from(["", quoted("Contact ID") + separator + quoted("Name") + line_end]))
    blank = draw(st.sampled_from(["", line_end, separator + line_end]))
    rows = [quote_id(contact_id) + separator + quoted(other) for contact_id, other in zip(ids, others, strict=True)]
    return File((header + (line_end + blank).join(rows)).encode(codec), ids)


@given(file=files())
@few
def test_the_ids_of_a_well_formed_file_are_found_in_order(file: File) -> None:
    lines = read([file.content])
    assert [line.contact_id for line in lines if line.kind is LineKind.ID] == file.ids
    assert len(lines) == len(file.ids)


@given(file=files(), places=st.lists(st.integers(0), max_size=5), offset=st.integers(0, 3))
@few
def test_cuts_change_nothing_once_the_head_is_read(file: File, places: list[int], offset: int) -> None:
    long = b"\n".join([file.content] * (HEAD_BYTES // len(file.content) + 2))
    near_head = [HEAD_BYTES - offset, HEAD_BYTES + offset]
    assert read(cut(long, [*places, *near_head])) == read([long])


@given(content=st.tuples(st.lists(PIECES).map("".join), CODECS), noise=st.binary(max_size=3), places=st.data())
@few
def test_cuts_change_nothing_of_odd_text(content: tuple[str, str], noise: bytes, places: st.DataObject) -> None:
    long = (noise + content[0].encode(content[1])) * 2
    filler = b" " * places.draw(st.sampled_from([0, HEAD_BYTES]))
    whole = filler + long
    near = st.integers(len(filler), len(whole))
    assert read(cut(whole, places.draw(st.lists(near, max_size=8)))) == read([whole])


@given(content=st.binary(max_size=400))
@few
def test_every_byte_can_be_a_chunk_of_its_own(content: bytes) -> None:
    whole = b"0032X00002QU10J\n" * 1_100 + content
    bytewise = [whole[: -len(content) or None], *(bytes([byte]) for byte in content)]
    assert read(bytewise) == read([whole])


@given(content=st.one_of(st.binary(max_size=2_000), st.lists(PIECES, max_size=200).map(lambda p: "".join(p).encode())))
@few
def test_any_bytes_are_lines_or_a_refusal(content: bytes) -> None:
    lines = read([content])
    assert isinstance(lines, str) or all((line.contact_id is None) == (line.kind is LineKind.IGNORED) for line in lines)


@given(
    before=st.lists(st.sampled_from(['"', '""', ",", ";", "\n", "\r", "x", "sep=;", "\xe9"]), max_size=30),
    ids=st.lists(IDS, min_size=1, max_size=20, unique=True),
)
@few
def test_no_odd_text_before_quoted_rows_hides_one_of_them(before: list[str], ids: list[str]) -> None:
    rows = "".join(f'\n"{contact_id}","x"' for contact_id in ids)
    lines = read([("".join(before) + rows).encode()])
    assert [line.contact_id for line in lines if line.kind is LineKind.ID] == ids
