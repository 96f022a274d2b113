# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""An open-addressing map from 64-bit keys to row numbers, and a pool of texts known by their keyed id. Hot path.

The keys are ids of `events.identity` (SipHash under the deployment's key), so their bits are already uniform and an
attacker cannot aim at a slot. A pool only grows; its owner (`facts.FactTable`) drops what is unused when it writes a
snapshot. Not shared between threads.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit, uint64

from shoal.ranges.addresses_kernel import text_buffers

Int64s = npt.NDArray[np.int64]
Int32s = npt.NDArray[np.int32]


@njit(cache=True, nogil=True)
def find(slots, keys, key):
    """The row of a key, or -1."""
    mask = uint64(len(slots) - 1)
    at = uint64(key) & mask
    while slots[at] >= 0:
        if keys[slots[at]] == key:
            return slots[at]
        at = (at + uint64(1)) & mask
    return np.int32(-1)


@njit(cache=True, nogil=True)
def find_or_add(slots, keys, count, key):
    """(row of a key, the new count); a key that is new becomes row `count`. The caller has made room."""
    mask = uint64(len(slots) - 1)
    at = uint64(key) & mask
    while slots[at] >= 0:
        if keys[slots[at]] == key:
            return slots[at], count
        at = (at + uint64(1)) & mask
    slots[at] = count
    keys[count] = key
    return np.int32(count), count + 1


@njit(cache=True, nogil=True)
def fill_slots(slots, keys, count):
    """Enter the first `count` keys (all different) into empty slots."""
    mask = uint64(len(slots) - 1)
    for row in range(count):
        at = uint64(keys[row]) & mask
        while slots[at] >= 0:
            at = (at + uint64(1)) & mask
        slots[at] = row


def slots_for(rows: int) -> Int32s:
    """Empty slots for up to `rows` keys, at most half full."""
    return np.full(1 << max(4, (2 * rows - 1).bit_length()), -1, dtype=np.int32)


def grown(array: npt.NDArray[np.generic], size: int) -> npt.NDArray[np.generic]:
    """A copy of `array` with room for `size` entries (zeros behind)."""
    wide = np.zeros(size, dtype=array.dtype)
    wide[: len(array)] = array
    return wide


class TextPool:
    """Texts by id: each has a code (int32, in the order of arrival); codes turn back into texts in bulk."""

    def __init__(self) -> None:
        self.count = 0
        self.ids: Int64s = np.zeros(16, dtype=np.int64)
        self._slots = slots_for(16)
        self._edges: Int64s = np.zeros(17, dtype=np.int64)
        self._data: npt.NDArray[np.uint8] = np.zeros(256, dtype=np.uint8)

    def add(self, texts: pa.Array, ids: Int64s) -> Int32s:
        """The codes of texts (a `string` array and its ids), -1 for null; texts that are new are taken in."""
        size = len(texts)
        codes = np.full(size, -1, dtype=np.int32)
        data, offsets = text_buffers(texts)
        null = np.asarray(texts.is_null()) if texts.null_count else np.zeros(size, dtype=np.bool_)
        self._reserve(size, int(offsets[-1]) - int(offsets[0]))
        self.count = int(
            _add(self._slots, self.ids, self._edges, self._data, self.count, data, offsets, null, ids, codes)
        )
        return codes

    def text(self, code: int) -> str:
        """The text of one code."""
        return bytes(self._data[self._edges[code] : self._edges[code + 1]]).decode()

    def texts(self, codes: Int32s) -> pa.Array:
        """The texts of codes as a `string` array, null for -1. About 10 ns a row."""
        some = np.maximum(codes, 0)
        offsets = np.zeros(len(codes) + 1, dtype=np.int64)
        np.cumsum(np.where(codes >= 0, self._edges[some + 1] - self._edges[some], 0), out=offsets[1:])
        if offsets[-1] > np.iinfo(np.int32).max:
            raise OverflowError("the texts of one batch take more than 2 GiB; cut the batch")
        out = np.empty(int(offsets[-1]), dtype=np.uint8)
        _gather(self._edges, self._data, codes, offsets, out)
        mask = pa.py_buffer(np.packbits(codes >= 0, bitorder="little"))
        return pa.StringArray.from_buffers(len(codes), pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(out), mask)

    def replace(self, codes: Int32s, texts: list[str]) -> None:
        """Put other texts in the place of some; codes and ids stay. Rewrites the whole pool."""
        kept = self.texts(np.arange(self.count, dtype=np.int32)).to_pylist()
        for code, text in zip(codes.tolist(), texts, strict=True):
            kept[code] = text
        entries = [text.encode() for text in kept]
        np.cumsum([len(entry) for entry in entries], out=self._edges[1 : self.count + 1])
        self._data = np.frombuffer(b"".join(entries).ljust(256, b"\0"), dtype=np.uint8).copy()

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.ids.nbytes + self._slots.nbytes + self._edges.nbytes + self._data.nbytes

    def _reserve(self, rows: int, data_bytes: int) -> None:
        need = self.count + rows
        if need > len(self.ids):
            size = max(need, 2 * len(self.ids))
            self.ids = grown(self.ids, size)  # type: ignore[assignment]
            self._edges = grown(self._edges, size + 1)  # type: ignore[assignment]
            self._slots = slots_for(size)
            fill_slots(self._slots, self.ids, self.count)
        need = int(self._edges[self.count]) + data_bytes
        if need > len(self._data):
            self._data = grown(self._data, max(need, 2 * len(self._data)))  # type: ignore[assignment]


@njit(cache=True, nogil=True)
def _add(slots, pool_ids, edges, pool, count, data, offsets, null, ids, codes):
    for row in range(len(codes)):
        if null[row]:
            continue
        before = count
        codes[row], count = find_or_add(slots, pool_ids, count, ids[row])
        if count > before:
            at = edges[before]
            for i in range(offsets[row], offsets[row + 1]):
                pool[at] = data[i]
                at += 1
            edges[count] = at
    return count


@njit(cache=True, nogil=True)
def _gather(edges, pool, codes, offsets, out):
    for row in range(len(codes)):
        if codes[row] >= 0:
            start = edges[codes[row]]
            at = offsets[row]
            for i in range(offsets[row + 1] - at):
                out[at + i] = pool[start + i]
