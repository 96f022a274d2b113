# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""A set of texts with bulk membership: an open-addressing table of SipHash values over one byte buffer. Hot path.

The hash only finds the slot; the bytes are compared, so the answer is exact. The key is random in each process, since
attackers choose the texts that are looked up. Immutable once built. (`pyarrow.compute.is_in` builds its table anew in
each call, which for a long list and a batch of one event costs milliseconds.)
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit, uint64

from shoal.events.identity import siphash13
from shoal.ranges.addresses_kernel import Bytes, plain_texts, text_buffers

_K0, _K1 = (np.uint64(secrets.randbits(64)) for _ in range(2))


class TextSet:
    """A frozen set of texts; `contains` answers for a whole array. About 10 bytes a text beside the text."""

    def __init__(self, texts: Iterable[str]) -> None:
        entries = [text.encode() for text in texts]
        self._data: Bytes = np.frombuffer(b"".join(entries) or b"\0", dtype=np.uint8)
        self._edges = np.zeros(len(entries) + 1, dtype=np.int64)
        np.cumsum([len(entry) for entry in entries], out=self._edges[1:])
        slots = 1 << max(3, (2 * len(entries)).bit_length())
        self._slots = np.full(slots, -1, dtype=np.int32)
        _build(self._data, self._edges, self._slots, _K0, _K1)

    def contains(self, texts: pa.Array) -> npt.NDArray[np.bool_]:
        """bool[n]: whether each text is in the set; a null is not."""
        texts = plain_texts(texts)
        data, offsets = text_buffers(texts)
        out = np.zeros(len(texts), dtype=np.bool_)
        _find(self._data, self._edges, self._slots, data, offsets, _K0, _K1, out)
        if texts.null_count:
            out[np.asarray(texts.is_null())] = False
        return out


@njit(inline="always")
def _same(data, start, end, other, other_start, other_end):
    if end - start != other_end - other_start:
        return False
    for i in range(end - start):
        if data[start + i] != other[other_start + i]:
            return False
    return True


@njit(cache=True, nogil=True)
def _build(data, edges, slots, k0, k1):
    mask = uint64(len(slots) - 1)
    for entry in range(len(edges) - 1):
        at = uint64(siphash13(data, edges[entry], edges[entry + 1], k0, k1)) & mask
        while slots[at] >= 0:
            at = (at + uint64(1)) & mask
        slots[at] = entry


@njit(cache=True, nogil=True)
def _find(data, edges, slots, texts, offsets, k0, k1, out):
    mask = uint64(len(slots) - 1)
    for row in range(len(out)):
        start, end = offsets[row], offsets[row + 1]
        at = uint64(siphash13(texts, start, end, k0, k1)) & mask
        while slots[at] >= 0:
            entry = slots[at]
            if _same(texts, start, end, data, edges[entry], edges[entry + 1]):
                out[row] = True
                break
            at = (at + uint64(1)) & mask
