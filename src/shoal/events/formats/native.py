"""The native format: one JSON object a line whose keys are the event table's columns. Hot path.

The kernel reads the lines that are plain, columns at once; lines that it declines are read by `native_rows` and put in
their places. With `rows_only` the kernel is left out: the slow twin, for tests and comparison. A decoder keeps scratch
buffers between blocks, nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoal.events.deadletters import DeadLetter, dead_letter
from shoal.events.decode import Decoded, event_table, splice
from shoal.events.facts import FACT_SCHEMA
from shoal.events.formats import native_kernel as kernel
from shoal.events.formats import native_rows
from shoal.events.formats.records import split_lines
from shoal.events.formats.values import BadValue
from shoal.events.labels import LABEL_SCHEMA
from shoal.events.schema import Kind

_PADDING = b"\n" * 16  # a last newline, and what a look at eight bytes may touch
_BOM = b"\xef\xbb\xbf"


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
        names = {"time", "type", "offset"}.union(*rows)
        return event_table({name: [row.get(name) for row in rows] for name in names}, self._source, self._partition)

    def decoded(self, events: pa.Table, read: int) -> Decoded:
        """The block's outcome, around its event table."""
        facts = pa.Table.from_pylist(self.rows[native_rows.FACT], schema=FACT_SCHEMA)
        labels = pa.Table.from_pylist(self.rows[native_rows.LABEL], schema=LABEL_SCHEMA)
        return Decoded(events, facts, labels, tuple(self.dead), read)


class _Keys:
    """The known keys as the kernel wants them."""

    def __init__(self) -> None:
        special = {"ip": kernel.IP, "attributes": kernel.ATTRIBUTES, "type": kernel.TYPE}
        self.names = (*native_rows.KEYS, "record")
        self.kinds = np.array(
            [special.get(name, int(kind)) for name, kind in native_rows.KEYS.items()] + [kernel.RECORD], dtype=np.int64
        )
        self.bytes = np.frombuffer("".join(self.names).encode(), dtype=np.uint8).copy()
        self.starts = np.cumsum([0, *(len(name) for name in self.names)], dtype=np.int64)
        self.slots = np.full(kernel.HASH_SLOTS, -1, dtype=np.int64)
        for column in range(len(self.names)):
            slot = kernel.key_hash(self.bytes, self.starts[column], self.starts[column + 1])
            while self.slots[slot] >= 0:
                slot = (slot + 1) % kernel.HASH_SLOTS
            self.slots[slot] = column
        self.words, self.masks = np.zeros((len(self.names), 3), np.uint64), np.zeros((len(self.names), 3), np.uint64)
        for column, name in enumerate(self.names):
            shown = f'{name}":'.encode()
            self.words[column] = np.frombuffer(shown.ljust(24, b"\0"), "<u8")
            self.masks[column] = np.frombuffer((b"\xff" * len(shown)).ljust(24, b"\0"), "<u8")
        self.needed = np.uint64((1 << self.names.index("time")) | (1 << self.names.index("type")))
        assert max(map(len, self.names)) <= 22  # the kernel compares a guessed key in three words
        assert len(self.names) <= 63  # the kernel marks the keys of a line in 64 bits


_keys: list[_Keys] = []


def _known_keys() -> _Keys:
    if not _keys:
        _keys.append(_Keys())
    return _keys[0]


class NativeDecoder:
    """Decoder of native NDJSON."""

    def __init__(self, source: str, partition: str, *, rows_only: bool = False) -> None:
        self._source, self._partition = source, partition
        self._rows_only = rows_only
        self._tok_col: npt.NDArray[np.uint8] = np.empty(0, np.uint8)
        self._tok_val: npt.NDArray[np.int64] = np.empty(0, np.int64)

    def decode(self, block: bytes, offset: int) -> Decoded:
        """Decode a block of lines; see `Decoder`."""
        rows = Rows(self._source, self._partition)
        if self._rows_only:
            lines = split_lines(block)
            for place, line in enumerate(lines, start=offset):
                rows.read(line, place)
            return rows.decoded(rows.events(), len(lines))
        fast, offsets, read = self._scan(block.removeprefix(_BOM), offset, rows)
        slow = rows.events()
        return rows.decoded(splice(fast, offsets, slow), read)

    def _scan(self, block: bytes, offset: int, rows: Rows) -> tuple[pa.Table, npt.NDArray[np.int64], int]:
        """The plain lines as a table, with their offsets; the others are read by `rows`."""
        keys = _known_keys()
        data = np.frombuffer(block + _PADDING, dtype=np.uint8)
        size = len(block) + 1
        if len(self._tok_col) < size // 2 + 16:
            self._tok_col, self._tok_val = np.empty(size // 2 + 16, np.uint8), np.empty(size // 2 + 16, np.int64)
        most = int(np.count_nonzero(data[: len(block)] == 10)) + 1  # several times as fast as bytes.count
        row_ends, row_lines = np.empty(most, np.int64), np.empty(most, np.int64)
        declined = np.empty((most, 3), np.int64)
        read, count, slow = kernel.scan(
            data, size, keys.bytes, keys.starts, keys.words, keys.masks, keys.kinds, keys.slots, keys.needed,
            self._tok_col, self._tok_val, row_ends, row_lines, declined,
        )  # fmt: skip
        for number, start, end in declined[:slow].tolist():
            rows.read(block[start:end], offset + number)
        offsets = row_lines[:count] + offset
        return self._build(data, row_ends, offsets, keys), offsets, read

    def _build(
        self,
        data: npt.NDArray[np.uint8],
        row_ends: npt.NDArray[np.int64],
        offsets: npt.NDArray[np.int64],
        keys: _Keys,
    ) -> pa.Table:
        """The tokens of the plain rows as an event table."""
        rows, columns = len(offsets), len(keys.kinds)
        sizes, counts = np.zeros(columns + 1, np.int64), np.zeros(columns + 1, np.int64)
        kernel.measure(self._tok_col, self._tok_val, row_ends, rows, keys.kinds, sizes, counts)
        present = np.flatnonzero(counts)
        slot_of = np.full(columns + 1, -1, np.int64)
        slot_of[present] = np.arange(len(present))
        starts = np.cumsum([0, *(sizes[present] + kernel.GAP).tolist()], dtype=np.int64)
        text = np.empty(int(starts[-1]), np.uint8)
        text_offsets = np.zeros((len(present), rows + 1), np.int32)
        numbers = np.empty((len(present), rows), np.int64)
        valid = np.zeros((len(present), rows // 8 + 1), np.uint8)
        kernel.build(data, self._tok_col, self._tok_val, row_ends, rows, keys.kinds, slot_of, text,
                     starts[:-1].copy(), text_offsets, numbers, valid)  # fmt: skip
        built: dict[str, Any] = {"offset": pa.array(offsets)}
        for slot, column in enumerate(present.tolist()):
            name = "attributes" if column == columns else keys.names[column]
            kind = Kind.TEXT if column == columns else native_rows.KEYS[name]
            nulls = rows - int(counts[column])
            validity = pa.py_buffer(valid[slot]) if nulls else None
            if kind is Kind.TEXT or kind is Kind.FLOAT:
                part = text[starts[slot] : starts[slot] + sizes[column]]
                buffers = [validity, pa.py_buffer(text_offsets[slot]), pa.py_buffer(part)]
                array = pa.Array.from_buffers(pa.string(), rows, buffers, nulls)
                built[name] = pc.cast(array, pa.float64()) if kind is Kind.FLOAT else array
            elif kind is Kind.BOOL:
                mask = None if not nulls else ~np.unpackbits(valid[slot], count=rows, bitorder="little").astype(bool)
                built[name] = pa.array(numbers[slot] == 1, mask=mask)
            else:
                built[name] = pa.Array.from_buffers(pa.int64(), rows, [validity, pa.py_buffer(numbers[slot])], nulls)
        for name in ("time", "type"):
            if name not in built:
                built[name] = pa.nulls(rows, native_rows.KEYS[name].arrow)
        return event_table(built, self._source, self._partition)


def warm() -> None:
    """Compile the kernel, or load it from its cache (a second or so; 15 s the first time on a machine)."""
    NativeDecoder("", "").decode(b'{"time":"2024-01-01T00:00:00Z","type":"a.b","ip":"::1","size_bytes":1,"lat":1.5,'
                                 b'"external":true,"x":1}\n', 0)  # fmt: skip


def sniff(head: bytes) -> float:
    """How much the first bytes look like native lines: `"time"` and `"type"` as keys of the first objects."""
    lines = split_lines(head[:65536])[:5]
    if not lines or not lines[0].lstrip().startswith(b"{"):
        return 0.0
    good = sum(1 for line in lines if (b'"time"' in line and b'"type"' in line) or b'"record"' in line)
    return 0.9 * good / len(lines)
