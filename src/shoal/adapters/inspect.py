"""A look at a file: which format it seems to be and why, and how its first records become events.

Reads no more than the first megabytes. A record that cannot be read is shown as the dead letter that it would be:
nothing here fails on what a file holds. Holds no state.
"""

from __future__ import annotations

import os
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import orjson
import zstandard

from shoal.adapters.files import READ_BYTES, STDIN, Overgrown, expand
from shoal.adapters.mapping.source import DAMAGED, PARQUET, MappedFormat
from shoal.events.deadletters import DeadLetter
from shoal.events.decode import Decoded
from shoal.events.formats import FORMATS, SURE, Format, rank_formats
from shoal.events.formats.m365 import csv_records
from shoal.events.formats.records import split_lines
from shoal.events.formats.syslog import open_message
from shoal.events.formats.tabular.decoder import header_of
from shoal.events.formats.values import BadValue, parse_time
from shoal.events.framing import HEAD_BYTES, frame

MOST_BYTES = 4 << 20
MOST_RECORDS = 20_000
BROKEN: tuple[type[Exception], ...] = (*DAMAGED, EOFError, ValueError, Overgrown, zlib.error, zstandard.ZstdError)
"""What reading a damaged stream raises."""
_BLOCK = 1 << 17
_SHOWN = frozenset({"source", "partition", "offset", "attributes"})


class _Enough(Exception):  # noqa: N818 - a sign, no error: an end of the stream would look like a damaged file
    pass


@dataclass(frozen=True)
class Shown:
    """One record side by side: source field, our column, value; and the names that stayed in attributes."""

    offset: int
    lines: tuple[tuple[str, str, Any], ...]
    attributes: tuple[str, ...]


@dataclass
class Inspection:
    """What was seen of a file."""

    path: str
    scores: list[tuple[str, float]]
    format: str | None
    compression: str = ""
    read: int = 0
    events: int = 0
    facts: int = 0
    labels: int = 0
    types: Counter[str] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)
    letters: list[DeadLetter] = field(default_factory=list)
    shown: list[Shown] = field(default_factory=list)
    whole: bool = False
    looks_like_table: bool = False
    fault: str = ""
    why: str = ""


def inspect_file(path: str, chosen: Format | None = None, rows: int = 5) -> Inspection:
    """Look at a file, or at standard input where `path` is `-`; `chosen`: a format instead of the guess."""
    if path == STDIN:
        return _inspect(path, sys.stdin.buffer, chosen, rows)
    with open(path, "rb") as stream:
        return _inspect(path, stream, chosen, rows)


def _inspect(path: str, stream: BinaryIO, chosen: Format | None, rows: int) -> Inspection:
    first = stream.read(READ_BYTES)
    seen = Inspection(path, [], None, compression=_compression(first))
    chunks = _plain_chunks(first, stream, chosen, seen)
    head, held = b"", []
    for chunk in chunks:
        held.append(chunk)
        head += chunk
        if len(head) >= HEAD_BYTES:
            break
    seen.scores = rank_formats(head[:HEAD_BYTES])
    seen.looks_like_table = _is_table(head)
    best = FORMATS[seen.scores[0][0]]
    seen.why = ", ".join(mark.decode().strip('"') for mark in best.marks if mark in head) if seen.scores[0][1] else ""
    if chosen is None and seen.scores[0][1] >= SURE:
        chosen = FORMATS[seen.scores[0][0]]
    if chosen is None:
        return seen
    seen.format = chosen.name
    if isinstance(chosen, MappedFormat):
        if head.startswith(PARQUET):
            if path != STDIN:
                _take_all(chosen.read_parquet(path, "inspect", path), seen, rows)
            else:
                seen.fault = "Parquet is not read from standard input"
            return seen
        chosen.check_csv(head, path)
    decoder = chosen.decoder("inspect", os.path.basename(path))

    def decoded() -> Iterator[Decoded]:
        offset = 0
        for block in frame(_chain(held, chunks), chosen.framing, _BLOCK):
            if not seen.shown:
                seen.shown = _side_by_side(chosen, block, rows)
            made = decoder.decode(block, offset)
            offset += made.read
            yield made

    _take_all(decoded(), seen, rows)
    return seen


def _take_all(blocks: Iterator[Decoded], seen: Inspection, rows: int) -> None:
    """Count what blocks hold, as far as a look goes."""
    try:
        for made in blocks:
            seen.read += made.read
            seen.events += made.events.num_rows
            seen.facts += made.facts.num_rows
            seen.labels += made.labels.num_rows
            seen.types.update(made.events.column("type").to_pylist())
            seen.dead.update(letter.reason for letter in made.dead)
            seen.letters += made.dead[: max(0, 5 - len(seen.letters))]
            if not seen.shown:
                seen.shown = [_shown(row, {}) for row in made.events.slice(0, rows).to_pylist()]
            if seen.read >= MOST_RECORDS:
                return
    except _Enough:
        return
    except DAMAGED as error:
        seen.fault = str(error)[:300]
    seen.whole = not seen.fault


def _plain_chunks(first: bytes, stream: BinaryIO, chosen: Format | None, seen: Inspection) -> Iterator[bytes]:
    """Decompressed chunks; `_Enough` at the bound; what is wrong with the stream is noted and ends it."""

    def raw() -> Iterator[bytes]:
        if first:
            yield first
        while chunk := stream.read(READ_BYTES):
            yield chunk

    given = 0
    try:
        plain = expand(raw())
        for chunk in chosen.recode(plain) if isinstance(chosen, MappedFormat) else plain:
            given += len(chunk)
            yield chunk
            if given >= MOST_BYTES:
                raise _Enough
    except BROKEN as error:
        seen.fault = str(error)[:300]


def _chain(held: list[bytes], rest: Iterator[bytes]) -> Iterator[bytes]:
    yield from held
    yield from rest


def _compression(first: bytes) -> str:
    return "gzip" if first.startswith(b"\x1f\x8b") else "zstd" if first.startswith(b"\x28\xb5\x2f\xfd") else ""


def _is_table(head: bytes) -> bool:
    """Whether the bytes may be CSV or Parquet that needs a mapping."""
    if head.startswith(PARQUET):
        return True
    line = head.removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0]
    if not line or line[:1] in b"{[<" or b"\0" in line.strip(b"\xff\xfe"):
        return head[:2] in (b"\xff\xfe", b"\xfe\xff")
    return max(len(header_of(line, mark)) for mark in ",;\t|") > 1


def _side_by_side(chosen: Format, block: bytes, rows: int) -> list[Shown]:
    """The first records of a block, each decoded alone and held against its own fields."""
    found: list[Shown] = []
    for raw, fields in _records(chosen, block):
        if len(found) >= rows:
            break
        made = chosen.decoder("inspect", "").decode(raw, 0).events
        for row in made.to_pylist()[: rows - len(found)]:
            row["offset"] = len(found)
            found.append(_shown(row, fields))
    return found


def _records(chosen: Format, block: bytes) -> Iterator[tuple[bytes, dict[str, Any]]]:
    """The records of a block as a decoder takes them, with their leaves by path."""
    is_csv = chosen.framing == "csv" and block.lstrip()[:1] not in (b"{", b"[")
    if is_csv:
        records = csv_records(block.removeprefix(b"\xef\xbb\xbf"))
        top = next(records, b"")
        delimiter = chosen.plan.delimiter if isinstance(chosen, MappedFormat) and chosen.plan is not None else ","
        names = header_of(top, delimiter)
        for raw in records:
            values = header_of(raw, delimiter) if raw else []
            fields = dict(zip(names, values, strict=False))
            audit = next((value for name, value in fields.items() if name.lower() == "auditdata"), None)
            yield top + b"\n" + raw, leaves(_loaded(audit.encode())) if audit is not None else dict(fields)
        return
    for line in split_lines(block):
        try:
            payload = open_message(line) if chosen.framing == "syslog" else line
        except BadValue:
            payload = b""
        yield line, leaves(_loaded(payload))


def _loaded(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return {}


def leaves(value: Any, path: str = "", found: dict[str, Any] | None = None) -> dict[str, Any]:
    """The single values of a JSON value by dotted path; the parameters of an API by their names.

    >>> leaves({"a": {"b": 1}, "c": [{"name": "x", "value": 2}]})
    {'a.b': 1, 'c.x': 2}
    """
    out: dict[str, Any] = {} if found is None else found
    if len(out) > 500 or path.count(".") > 12:
        return out
    if isinstance(value, dict):
        name = value.get("name", value.get("Name"))
        if path and isinstance(name, str) and len(value) == 2:
            parent = path.rpartition(".")[0]
            inner = next(item for key, item in value.items() if key.lower() != "name")
            return leaves(inner, f"{parent}.{name}" if parent else name, out)
        for key, item in value.items():
            leaves(item, f"{path}.{key}" if path else key, out)
    elif isinstance(value, list):
        for place, item in enumerate(value[:20]):
            leaves(item, f"{path}.{place}" if path else str(place), out)
    elif value is not None:
        out[path] = value
    return out


def _shown(row: dict[str, Any], fields: dict[str, Any]) -> Shown:
    lines = []
    for name, value in row.items():
        if value is not None and name not in _SHOWN:
            lines.append((_source_of(name, value, fields), name, value))
    attributes = row.get("attributes")
    names = tuple(_loaded(attributes.encode())) if attributes else ()
    return Shown(row["offset"], tuple(lines), names)


def _is_time(given: Any, value: int) -> bool:
    try:
        return type(given) is str and parse_time(given, zone_required=False) == value
    except BadValue:
        return False


def _source_of(name: str, value: Any, fields: dict[str, Any]) -> str:
    """The field whose value it is, as it stands or in lower case; "" where it was made of several or of none."""
    plain = str(value).lower()
    if name == "time":
        return next((path for path, given in fields.items() if _is_time(given, value)), "")
    same = [path for path, given in fields.items() if given == value or str(given).lower() == plain]
    if same:
        return min(same, key=lambda path: (path.rpartition(".")[2].lower() != name, path.count(".")))
    near = [
        path for path, given in fields.items() if isinstance(given, str) and len(given) > 3 and plain in given.lower()
    ]
    return near[0] if near and len(plain) > 3 else ""
