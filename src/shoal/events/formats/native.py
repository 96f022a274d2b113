"""The native format: one JSON object a line whose keys are the event table's columns. Hot path.

The kernel reads the lines that are plain, columns at once; lines that are not are read by `native_rows` and put in
their places. With `rows_only` the kernel is left out: the slow twin, for tests and comparison. A decoder holds no
state between blocks.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from shoal.events.deadletters import DeadLetter, dead_letter
from shoal.events.decode import Decoded, event_table
from shoal.events.facts import FACT_SCHEMA
from shoal.events.formats import native_rows
from shoal.events.formats.records import split_lines
from shoal.events.formats.values import BadValue
from shoal.events.labels import LABEL_SCHEMA


class Rows:
    """Lines read one by one: the rows of each kind, with their offsets, and the dead letters."""

    def __init__(self, source: str, partition: str) -> None:
        self._source, self._partition = source, partition
        self.rows: dict[str, list[dict[str, Any]]] = {
            native_rows.EVENT: [],
            native_rows.FACT: [],
            native_rows.LABEL: [],
        }
        self.dead: list[DeadLetter] = []

    def read(self, line: bytes, offset: int) -> None:
        """Read one line."""
        try:
            kind, row = native_rows.read_line(line)
        except BadValue as bad:
            self.dead.append(dead_letter(self._source, self._partition, offset, bad.reason, bad.detail, line))
            return
        row["offset"] = offset
        self.rows[kind].append(row)

    def events(self) -> pa.Table:
        """The event rows as an event table."""
        rows = self.rows[native_rows.EVENT]
        names = {"time", "type", "offset"}.union(*rows) if rows else {"time", "type", "offset"}
        return event_table({name: [row.get(name) for row in rows] for name in names}, self._source, self._partition)

    def decoded(self, events: pa.Table, read: int) -> Decoded:
        """The block's outcome, around its event table."""
        facts = pa.Table.from_pylist(self.rows[native_rows.FACT], schema=FACT_SCHEMA)
        labels = pa.Table.from_pylist(self.rows[native_rows.LABEL], schema=LABEL_SCHEMA)
        return Decoded(events, facts, labels, tuple(self.dead), read)


class NativeDecoder:
    """Decoder of native NDJSON."""

    def __init__(self, source: str, partition: str, *, rows_only: bool = False) -> None:
        self._source, self._partition = source, partition
        self._rows_only = rows_only

    def decode(self, block: bytes, offset: int) -> Decoded:
        """Decode a block of lines; see `Decoder`."""
        lines = split_lines(block)
        rows = Rows(self._source, self._partition)
        for place, line in enumerate(lines, start=offset):
            rows.read(line, place)
        return rows.decoded(rows.events(), len(lines))


def sniff(head: bytes) -> float:
    """How much the first bytes look like native lines: `"time"` and `"type"` as keys of the first objects."""
    lines = split_lines(head[:65536])[:5]
    if not lines or not lines[0].lstrip().startswith(b"{"):
        return 0.0
    good = sum(1 for line in lines if (b'"time"' in line and b'"type"' in line) or b'"record"' in line)
    return 0.9 * good / len(lines)
