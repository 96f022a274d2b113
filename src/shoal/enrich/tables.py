"""Tables of ranges that the user supplies: their contract, and the reader of CSVs. `mmdb` reads MMDB files.

A table tells, for addresses, some of `TABLE_COLUMNS`; each has a name and a version, which are recorded in the rows
that it enriched. A CSV has a header, `cidr` or `first,last`, and at least one of the columns; empty cells are null; of
overlapping ranges the most specific one speaks. Tables are read once and never change. They know no event.
"""

from __future__ import annotations

import csv
import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa

from shoal.errors import InvalidInput, Problem, Where, nearest_name
from shoal.events.schema import BY_NAME
from shoal.ranges.addresses_kernel import HOST_BITS, Int8s, Int32s, UInt64s, parse_addresses, parse_networks
from shoal.ranges.intervals import RANGE_PROBLEMS, IntervalTable

TABLE_COLUMNS: tuple[str, ...] = ("country", "asn", "lat", "lon", "network_kind")
"""What a table may tell of an address, in the order of the event table's fields."""
NETWORK_KINDS: tuple[str, ...] = ("home", "mobile", "office", "vpn", "hosting", "unknown")
MAX_ASN = 2**32 - 1
MAX_PROBLEMS = 100

_COUNTRY = re.compile(r"[A-Za-z]{2}\Z")
_ASN = re.compile(r"(?:[Aa][Ss])?([0-9]{1,10})\Z")
_NUMBER = re.compile(r"[+-]?[0-9]{1,3}(?:\.[0-9]{1,18})?\Z")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:+-]{0,99}\Z")

Payload = tuple[str | None, int | None, float | None, float | None, str | None]
"""Country, AS number, latitude, longitude, network kind."""
NO_PAYLOAD: Payload = (None, None, None, None, None)

MAX_CELL = 4_096
"""Characters of a cell; the interpreter's own bound belongs to whoever set it last."""


@dataclass(frozen=True)
class Addresses:
    """Parsed addresses: halves uint64[n] and version int8[n] (0 = none), see `ranges.parse_addresses`."""

    hi: UInt64s
    lo: UInt64s
    version: Int8s

    @classmethod
    def of(cls, texts: pa.Array) -> Addresses:
        """Parse a text array."""
        return cls(*parse_addresses(texts))


class EnrichmentTable(Protocol):
    """What the enricher asks of a table; implementations are pure functions of the address."""

    @property
    def name(self) -> str:
        """Its name, as recorded in the rows: letters, digits and `_.:+-`."""

    @property
    def version(self) -> str:
        """Its version, as recorded in the rows: letters, digits and `_.:+-`."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Which of `TABLE_COLUMNS` it can tell."""

    def lookup(self, addresses: Addresses) -> Mapping[str, pa.Array]:
        """For each of `columns` an array of n values in the column's Arrow type, null where nothing is known."""


def read_table(path: Path, version: str = "", name: str = "") -> EnrichmentTable:
    """An `.mmdb` file, or a CSV of ranges.

    `name`: the file's stem unless given. `version`: unless given, the build time of an MMDB file or `sha256:` and 12
    hex digits of a CSV. Raises `InvalidInput` with all problems (slugs `table.*`), with file and line for a CSV.
    """
    if path.suffix.lower() == ".mmdb":
        from shoal.enrich.mmdb import MmdbTable

        return MmdbTable.open(path, version, name)
    return RangeTable.read(path, version, name)


def checked_label(text: str, what: str, where: Where) -> str:
    """A name or version that can be recorded; raises `InvalidInput` (`table.label`)."""
    if not _NAME.match(text):
        allowed = "letters, digits and _.:+-, at most 100"
        raise InvalidInput(Problem("table.label", f"{text!r} is no {what} for a table", where, allowed=allowed))
    return text


def payload_arrays(payloads: list[Payload], columns: tuple[str, ...]) -> dict[str, pa.Array]:
    """The columns of a list of payloads as Arrow arrays."""
    arrays = {}
    for index, column in enumerate(TABLE_COLUMNS):
        if column in columns:
            arrays[column] = pa.array([payload[index] for payload in payloads], BY_NAME[column].kind.arrow)
    return arrays


class RangeTable:
    """A table of ranges in memory: 20 bytes a range, and each distinct payload once."""

    def __init__(self, name: str, version: str, intervals: IntervalTable, payload: Mapping[str, pa.Array]) -> None:
        self.name, self.version = name, version
        self.columns = tuple(payload)
        self._intervals = intervals
        self._payload = dict(payload)

    def __len__(self) -> int:
        return len(self._intervals)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._intervals.nbytes + sum(int(array.nbytes) for array in self._payload.values())

    def lookup(self, addresses: Addresses) -> Mapping[str, pa.Array]:
        """See `EnrichmentTable`."""
        rows = self._intervals.lookup(addresses.hi, addresses.lo, addresses.version)
        picked = pa.array(rows, mask=rows < 0)
        return {column: array.take(picked) for column, array in self._payload.items()}

    @classmethod
    def read(cls, path: Path, version: str = "", name: str = "") -> RangeTable:
        """Read a CSV; raises `InvalidInput` with all problems, each with file and line."""
        try:
            raw = path.read_bytes()
        except OSError as error:
            message = f"cannot read the table: {error.strerror or error}"
            raise InvalidInput(Problem("table.unreadable", message, Where(str(path)))) from error
        label = checked_label(name or path.stem, "name", Where(str(path)))
        stamp = version or f"sha256:{hashlib.sha256(raw).hexdigest()[:12]}"
        return _Reader(path, raw).table(label, checked_label(stamp, "version", Where(str(path))))


class _Reader:
    """One reading of one CSV: collects ranges, payloads and problems."""

    def __init__(self, path: Path, raw: bytes) -> None:
        self.file = str(path)
        self.raw = raw
        self.problems: list[Problem] = []
        self.firsts: list[str] = []
        self.lasts: list[str] = []
        self.lines: list[int] = []
        self.rows: list[int] = []
        self.known: dict[tuple[str, ...], int] = {}
        self.payloads: list[Payload] = []

    def table(self, name: str, version: str) -> RangeTable:
        """The whole table, or `InvalidInput`."""
        records = self._records()
        header = next(records, None)
        if header is None:
            self._problem("table.empty", "the table is empty", 0, hint="the first line names the columns")
            self._stop()
            raise AssertionError
        places = self._header(header[1])
        self._stop()
        pair = "first" in places
        told = [(column, places[column]) for column in TABLE_COLUMNS if column in places]
        for line, record in records:
            if len(record) != len(header[1]):
                message = f"{len(record)} cells where the header has {len(header[1])}"
                self._problem("table.cells", message, line)
                continue
            cells = [cell.strip() for cell in record]
            row = self._payload(tuple(cells[place] for _, place in told), tuple(c for c, _ in told), line)
            if row < 0:
                continue
            self.firsts.append(cells[places["first" if pair else "cidr"]])
            self.lasts.append(cells[places["last"]] if pair else "")
            self.lines.append(line)
            self.rows.append(row)
        first, last = self._pairs() if pair else self._cidrs()
        if not self.lines and not self.problems:
            self._problem("table.empty", "the table has no ranges", 0)
        self._stop()
        intervals = IntervalTable.of_halves(first, last, np.asarray(self.rows, dtype=np.int32))
        return RangeTable(name, version, intervals, payload_arrays(self.payloads, tuple(c for c, _ in told)))

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """(line, cells) of each record that is not blank and not a comment."""
        try:
            text = self.raw.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = self.raw.count(b"\n", 0, error.start) + 1
            self._problem("table.encoding", "the table is not UTF-8", line)
            self._stop()
            raise AssertionError from error
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        try:
            for record in reader:
                if max(map(len, record), default=0) > MAX_CELL:
                    raise csv.Error(f"a cell is longer than {MAX_CELL:,} characters")
                if record and not record[0].lstrip().startswith("#") and any(cell.strip() for cell in record):
                    yield reader.line_num, record
        except csv.Error as error:
            self._problem("table.csv", f"no CSV from here: {error}", reader.line_num)

    def _header(self, cells: list[str]) -> dict[str, int]:
        names = [cell.strip().lower() for cell in cells]
        known = ("cidr", "first", "last", *TABLE_COLUMNS)
        allowed = ", ".join(known)
        for name in names:
            if name not in known:
                near = nearest_name(name, known)
                self._problem("table.column", f"no column {name!r}", 1, allowed=allowed, nearest=near)
        for name in sorted({name for name in names if names.count(name) > 1}):
            self._problem("table.column", f"column {name!r} stands twice", 1)
        have = set(names)
        if ("cidr" in have) == bool(have & {"first", "last"}) or ("first" in have) != ("last" in have):
            self._problem("table.column", "the ranges are not named once", 1, allowed="cidr, or first and last")
        if not have & set(TABLE_COLUMNS):
            self._problem("table.column", "no column tells anything", 1, allowed=", ".join(TABLE_COLUMNS))
        if ("lat" in have) != ("lon" in have):
            self._problem("table.column", "lat and lon go together", 1)
        return {name: place for place, name in enumerate(names)}

    def _payload(self, cells: tuple[str, ...], columns: tuple[str, ...], line: int) -> int:
        """The row of the payload; -1 where it has problems."""
        row = self.known.get(cells)
        if row is not None:
            return row
        told = dict(zip(columns, cells, strict=True))
        before = len(self.problems)
        payload = (
            self._country(told.get("country", ""), line),
            self._asn(told.get("asn", ""), line),
            self._degrees("lat", told.get("lat", ""), 90, line),
            self._degrees("lon", told.get("lon", ""), 180, line),
            self._kind(told.get("network_kind", ""), line),
        )
        if not any(cells):
            self._problem("table.nothing", "the range tells nothing", line)
        elif (payload[2] is None) != (payload[3] is None) and len(self.problems) == before:
            self._problem("table.place", "lat and lon go together", line)
        if len(self.problems) > before:
            return -1
        self.known[cells] = len(self.payloads)
        self.payloads.append(payload)
        return len(self.payloads) - 1

    def _country(self, cell: str, line: int) -> str | None:
        if cell and not _COUNTRY.match(cell):
            self._problem("table.country", f"{cell[:40]!r} is no country", line, allowed="two letters, ISO 3166-1")
            return None
        return cell.upper() or None

    def _asn(self, cell: str, line: int) -> int | None:
        found = _ASN.match(cell)
        if cell and (found is None or int(found.group(1)) > MAX_ASN):
            self._problem("table.asn", f"{cell[:40]!r} is no AS number", line, allowed=f"0 to {MAX_ASN}")
            return None
        return int(found.group(1)) if found else None

    def _degrees(self, column: str, cell: str, limit: int, line: int) -> float | None:
        if not cell:
            return None
        if not _NUMBER.match(cell) or abs(float(cell)) > limit:
            self._problem("table.degrees", f"{column} is {cell[:40]!r}", line, allowed=f"-{limit} to {limit}")
            return None
        return float(cell)

    def _kind(self, cell: str, line: int) -> str | None:
        if cell and cell not in NETWORK_KINDS:
            allowed, near = ", ".join(NETWORK_KINDS), nearest_name(cell, NETWORK_KINDS)
            self._problem("table.network_kind", f"no network kind {cell[:40]!r}", line, allowed=allowed, nearest=near)
            return None
        return cell or None

    def _cidrs(self) -> tuple[UInt64s, UInt64s]:
        first_hi, first_lo, last_hi, last_lo, state = parse_networks(pa.array(self.firsts, pa.string()))
        self._range_problems(self.firsts, state)
        return np.stack([first_hi, first_lo]), np.stack([last_hi, last_lo])

    def _pairs(self) -> tuple[UInt64s, UInt64s]:
        texts = [f"{first}-{last}" for first, last in zip(self.firsts, self.lasts, strict=True)]
        first_hi, first_lo, last_hi, last_lo, state = parse_networks(pa.array(texts, pa.string()))
        self._range_problems(texts, state)
        return np.stack([first_hi, first_lo]), np.stack([last_hi, last_lo])

    def _range_problems(self, texts: list[str], state: Int8s | Int32s) -> None:
        for index in np.flatnonzero(state).tolist():
            why = int(state[index])
            slug = "table.host_bits" if why == HOST_BITS else "table.range"
            self._problem(slug, f"{texts[index][:100]!r} {RANGE_PROBLEMS[why]}", self.lines[index])

    def _problem(
        self, slug: str, message: str, line: int, allowed: str = "", nearest: str = "", hint: str = ""
    ) -> None:
        self.problems.append(Problem(slug, message, Where(self.file, line), allowed, nearest, hint))

    def _stop(self) -> None:
        """Raise what was collected, in the order of the lines."""
        if not self.problems:
            return
        told = sorted(self.problems, key=lambda problem: problem.where.line)
        more = len(told) - MAX_PROBLEMS
        if more > 0:
            told = [*told[:MAX_PROBLEMS], Problem("table.more", f"and {more} more problems", Where(self.file))]
        raise InvalidInput(told)
