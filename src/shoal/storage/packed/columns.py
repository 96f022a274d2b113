"""Event tables as few bytes: a column is left out where another one or a number tells it. Hot path.

What is done to each column stands in the schema's metadata, and what is left is one Arrow IPC stream:

- `same`: equal to a column before it (`actor` and `account`, `as_of` and `time`): nothing is stored;
- `line`: whole numbers `first, first + step, …` (`seq`, `offset`, a constant): nothing is stored;
- `steps`: whole numbers without nulls, whose differences fit 32 bits: the first, and the differences;
- `codes`: texts of which few are distinct: an Arrow dictionary;
- `plain`: everything else, as it is.

Reading gives the very table that was packed. This module knows neither frames nor files.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import ipc

from shoal.errors import Corrupt, Unsupported
from shoal.storage.packed import columns_kernel as kernel

VERSION = 1
_META = b"shoal.packed"
_INT8_CODES = 127
_INT32 = (-(2**31), 2**31 - 1)
_NO_MASK = np.zeros(0, dtype=np.uint8)
Int64s = npt.NDArray[np.int64]
Note = list[Any]


def pack(table: pa.Table, compression: pa.Codec | None) -> memoryview:
    """A table (not empty) as bytes; its metadata is left out."""
    packer = _Packer(table.num_rows)
    for name, column in zip(table.column_names, table.columns, strict=True):
        packer.add(name, column.chunk(0) if column.num_chunks == 1 else column.combine_chunks())
    meta: bytes = msgpack.packb({"version": VERSION, "rows": table.num_rows, "columns": packer.notes})
    fields = [pa.field(name, array.type) for name, array in packer.stored.items()]
    batch = pa.RecordBatch.from_arrays(list(packer.stored.values()), schema=pa.schema(fields, metadata={_META: meta}))
    sink = pa.BufferOutputStream()
    options = ipc.IpcWriteOptions(compression=compression, use_threads=False)
    with ipc.new_stream(sink, batch.schema, options=options) as writer:
        writer.write_batch(batch)
    return memoryview(sink.getvalue())


class _Packer:
    """One table on its way: what is stored of it, and a note of what was done to each column."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.notes: list[Note] = []
        self.stored: dict[str, pa.Array] = {}
        self._seen: dict[tuple[Any, ...], list[tuple[str, pa.Array]]] = {}
        self._slots = np.empty(kernel.SLOTS, dtype=np.int32)
        self._codes = np.empty(rows, dtype=np.int16)
        self._firsts = np.empty(kernel.MAX_CODES, dtype=np.int64)

    def add(self, name: str, array: pa.Array) -> None:
        twin = self._twin(name, array)
        if twin is not None:
            self.notes.append([name, "same", twin])
        elif array.type == pa.string() and array.null_count < self.rows:
            self._add_texts(name, array)
        elif array.type == pa.int64() and not array.null_count:
            self._add_numbers(name, np.asarray(array), array)
        else:
            self._store(name, "plain", array)

    def _store(self, name: str, how: str, array: pa.Array, *more: Any) -> None:
        self.notes.append([name, how, *more])
        self.stored[name] = array

    def _twin(self, name: str, array: pa.Array) -> str | None:
        """An earlier column that is equal; only those with equal counts and sizes are compared."""
        size: tuple[Any, ...] = (array.type, array.null_count)
        if array.type == pa.string():
            size = (*size, _text_bytes(array))
        elif array.type == pa.int64() and not array.null_count:
            values = np.asarray(array)
            size = (*size, int(values[0]), int(values[-1]))
        seen = self._seen.setdefault(size, [])
        for other, earlier in seen:
            if earlier.equals(array):
                return other
        seen.append((name, array))
        return None

    def _add_texts(self, name: str, array: pa.Array) -> None:
        _, offset_buffer, data_buffer = array.buffers()
        offsets = np.frombuffer(offset_buffer, dtype=np.int32)[array.offset : array.offset + self.rows + 1]
        data = np.frombuffer(data_buffer, dtype=np.uint8) if data_buffer is not None and data_buffer.size else _NO_MASK
        valid = np.asarray(array.is_valid()).view(np.uint8) if array.null_count else _NO_MASK
        count = kernel.code_texts(data, offsets, valid, self._slots, self._codes, self._firsts)
        if count < 0:
            self._store(name, "plain", array)
            return
        width = np.int8 if count <= _INT8_CODES else np.int16
        mask = pa.array(self._codes.astype(width), mask=~valid.view(np.bool_) if len(valid) else None)
        texts = array.take(pa.array(self._firsts[:count]))
        self._store(name, "codes", pa.DictionaryArray.from_arrays(mask, texts))

    def _add_numbers(self, name: str, values: Int64s, array: pa.Array) -> None:
        low, high = kernel.step_range(values) if len(values) > 1 else (0, 0)
        first = int(values[0])
        if low == high:
            self.notes.append([name, "line", first, int(low)])
        elif _INT32[0] <= low and high <= _INT32[1]:
            steps = np.empty(len(values), dtype=np.int32)
            kernel.steps_of(values, steps)
            self._store(name, "steps", pa.array(steps), first)
        else:
            self._store(name, "plain", array)


def _text_bytes(array: pa.Array) -> int:
    offsets = np.frombuffer(array.buffers()[1], dtype=np.int32)
    return int(offsets[array.offset + len(array)] - offsets[array.offset])


def unpack(data: bytes | memoryview, wanted: Sequence[str] | None = None) -> pa.Table:
    """The table that was packed; of `wanted` only the columns that are there. Raises `Unsupported` for another version
    and `Corrupt` for bytes that contradict themselves."""
    with ipc.open_stream(data, options=ipc.IpcReadOptions(use_threads=False)) as stream:
        schema = stream.schema
        meta = msgpack.unpackb((schema.metadata or {}).get(_META, b"\x80"))
        if meta.get("version") != VERSION:
            raise Unsupported(f"packed events of version {meta.get('version')}; this release reads {VERSION}")
        stored = stream.read_all() if wanted is None else None
    notes = {note[0]: note[1:] for note in meta["columns"]}
    names = [name for name in notes if wanted is None or name in wanted]
    if stored is None:
        sources = {notes[name][1] if notes[name][0] == "same" else name for name in names}
        places = [place for place, name in enumerate(schema.names) if name in sources]
        if places:
            options = ipc.IpcReadOptions(use_threads=False, included_fields=places)
            with ipc.open_stream(data, options=options) as stream:
                stored = stream.read_all()
    made: dict[str, pa.Array] = {}

    def column(name: str) -> pa.Array:
        if name not in made:
            how, *more = notes[name]
            if how == "same":
                made[name] = column(more[0])
            elif how in _READ:
                made[name] = _READ[how](stored, name, meta["rows"], *more)
            else:
                raise Corrupt(f"packed events: column {name!r} is stored as {how!r}")
        return made[name]

    return pa.table({name: column(name) for name in names})


def _plain(stored: pa.Table, name: str, _rows: int) -> pa.Array:
    found = stored.column(name)
    return found.chunk(0) if found.num_chunks == 1 else found.combine_chunks()


def _decoded(stored: pa.Table, name: str, rows: int) -> pa.Array:
    return _plain(stored, name, rows).dictionary_decode()


def _line(_stored: pa.Table, _name: str, rows: int, first: int, step: int) -> pa.Array:
    return pa.array(first + step * np.arange(rows, dtype=np.int64))


def _summed(stored: pa.Table, name: str, rows: int, first: int) -> pa.Array:
    values = np.cumsum(np.asarray(_plain(stored, name, rows)), dtype=np.int64)
    return pa.array(values + first)


_READ: dict[str, Callable[..., pa.Array]] = {"plain": _plain, "codes": _decoded, "line": _line, "steps": _summed}
