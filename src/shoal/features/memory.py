"""Memory that grows in place: what the slabs of an engine's state stand in. Hot path (growth only).

A small block is an array that is copied when it grows. A large one is a private mapping that reserves addresses ahead
of what is used, so that growing touches nothing, and that the system moves by its page tables where they do run out:
rows are never copied and their pages never asked for twice. What is reserved and not yet used costs no memory. Where
the system cannot do that, blocks are copied. A block is owned by the `State` that made it; addresses change by `grow`.
"""

from __future__ import annotations

import contextlib
import mmap
import sys

import numpy as np
import numpy.typing as npt

LARGE_BYTES = 1 << 20
"""From this size on a block is a mapping."""
_AHEAD = 8
_LARGE_PAGE = 1 << 21
_CAN_MOVE = sys.platform == "linux"
_NO_RESERVE = 0x4000
"""MAP_NORESERVE of Linux: addresses alone are no promise of memory."""


def _mapping(size: int) -> mmap.mmap | None:
    """A private mapping in large pages where the system has them; None where it grants no more addresses."""
    try:
        made = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE)
    except OSError:
        return None
    with contextlib.suppress(OSError, AttributeError):
        made.madvise(mmap.MADV_HUGEPAGE)
    return made


class Memory:
    """A block of bytes, zero where never written once it is large."""

    bytes: npt.NDArray[np.uint8]

    def __init__(self, size: int) -> None:
        self._map: mmap.mmap | None = None
        self._reserved = size
        self.bytes = np.empty(size, dtype=np.uint8)

    def grow(self, size: int, used: int) -> None:
        """Make it at least `size` bytes; the first `used` keep what they hold."""
        if size <= self._reserved:
            return
        if not _CAN_MOVE or size < LARGE_BYTES:
            self._copy(np.empty(size, dtype=np.uint8), used)
            self._reserved = size
            return
        reserved = (size * _AHEAD + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE
        if self._map is not None:
            self.bytes = np.zeros(0, dtype=np.uint8)
            with contextlib.suppress(BufferError, OSError):  # someone still looks at the bytes: then they are copied
                self._map.resize(reserved)
            self.bytes = np.frombuffer(self._map, dtype=np.uint8)
        if len(self.bytes) < size:
            self._map = _mapping(reserved)
            whole = np.empty(size, dtype=np.uint8) if self._map is None else np.frombuffer(self._map, dtype=np.uint8)
            self._copy(whole, used)
        self._reserved = len(self.bytes)

    def _copy(self, target: npt.NDArray[np.uint8], used: int) -> None:
        target[:used] = self.bytes[:used]
        self.bytes = target


def zero_words(count: int) -> npt.NDArray[np.int64]:
    """`count` zero words; many of them in large pages, for tables that are looked up at random."""
    size = 8 * count
    if not _CAN_MOVE or size < LARGE_BYTES:
        return np.zeros(count, dtype=np.int64)
    held = _mapping(size + _LARGE_PAGE)
    if held is None:
        return np.zeros(count, dtype=np.int64)
    whole = np.frombuffer(held, dtype=np.int64)
    start = -int(whole.ctypes.data) % _LARGE_PAGE // 8
    return whole[start : start + count]
