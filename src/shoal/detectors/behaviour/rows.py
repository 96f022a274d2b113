"""Rows of state by key: arrays that grow together up to a stated number of keys, their snapshot and their restoring.

A signal owns one `KeyedRows` for its whole life. It makes room before a batch, so that its kernels never allocate;
how it grows is not part of the state, which is why equal histories give equal snapshots. Knows no event.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from shoal.detectors.behaviour.keys_kernel import DROPPED, SEED, USED, Keys, enter_all
from shoal.errors import Corrupt

Array = npt.NDArray[np.generic]
Arrays = Mapping[str, Array]


class KeyedRows:
    """At most `most` keys, each with one row in every column; `columns` maps a name to its dtype and its width (0: one
    value a row)."""

    def __init__(self, most: int, columns: Mapping[str, tuple[str, int]], seed: int) -> None:
        self.most, self.columns = most, dict(columns)
        head = np.zeros(4, np.int64)
        head[SEED] = seed
        self.keys = Keys(head, np.full(16, -1, np.int32), np.zeros(0, np.int64), np.zeros(0, np.uint8))
        self.arrays = {name: _empty(dtype, 0, width) for name, (dtype, width) in self.columns.items()}

    @property
    def used(self) -> int:
        """Keys that have a row."""
        return int(self.keys.head[USED])

    @property
    def dropped(self) -> int:
        """Keys that were driven out so far."""
        return int(self.keys.head[DROPPED])

    @property
    def bytes_per_key(self) -> int:
        """Bytes of a key's row in all columns, its id and at most 16 bytes of table."""
        return 9 + 16 + sum(array.itemsize * max(self.columns[name][1], 1) for name, array in self.arrays.items())

    def reserve(self, more: int) -> None:
        """Make room for `more` further keys (of which those beyond `most` will drive out others)."""
        wanted, held = min(self.most, self.used + more), len(self.keys.ids)
        if wanted <= held:
            return
        size = min(self.most, max(wanted, 2 * held, 1024))
        self._hold(size)

    def snapshot(self) -> dict[str, Array]:
        """The rows in use, by column."""
        used = self.used
        out: dict[str, Array] = {name: array[:used].copy() for name, array in self.arrays.items()}
        return out | {"head": self.keys.head.copy(), "ids": self.keys.ids[:used].copy(),
                      "again": self.keys.again[:used].copy()}  # fmt: skip

    def restore(self, arrays: Arrays) -> None:
        """Take over a snapshot; raises `Corrupt` where it does not fit."""
        head = expect(arrays, "head", np.dtype("i8"), (4,))
        used = int(head[USED])
        if not 0 <= used <= self.most or int(head[SEED]) != int(self.keys.head[SEED]):
            raise Corrupt("behaviour: the snapshot's rows do not fit the settings or the identity")
        if not int(head[2]) >= 0 or not 0 <= int(head[1]) < max(self.most, 1):
            raise Corrupt("behaviour: the snapshot's head is out of range")
        ids = expect(arrays, "ids", np.dtype("i8"), (used,))
        if len(np.unique(ids)) != used:
            raise Corrupt("behaviour: a key stands twice in the snapshot")
        kept = {"again": expect(arrays, "again", np.dtype("u1"), (used,))}
        for name, (dtype, width) in self.columns.items():
            kept[name] = expect(arrays, name, np.dtype(dtype), (used, width) if width else (used,))
        self.keys.head[:] = 0
        self.keys.head[SEED] = head[SEED]
        self._hold(max(used, 1))
        self.keys.head[:] = head
        self.keys.ids[:used] = ids
        self.keys.again[:used] = kept["again"]
        for name in self.columns:
            self.arrays[name][:used] = kept[name]
        self.keys.table[:] = -1
        enter_all(self.keys)

    def _hold(self, size: int) -> None:
        used, old = self.used, self.keys
        bits = max(int(2 * size - 1).bit_length(), 4)
        keys = Keys(old.head, np.full(1 << bits, -1, np.int32), np.zeros(size, np.int64), np.zeros(size, np.uint8))
        keys.ids[:used], keys.again[:used] = old.ids[:used], old.again[:used]
        enter_all(keys)
        self.keys = keys
        for name, (dtype, width) in self.columns.items():
            grown = _empty(dtype, size, width)
            grown[:used] = self.arrays[name][:used]
            self.arrays[name] = grown


def expect(arrays: Arrays, name: str, dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> npt.NDArray[np.generic]:
    """An array of a snapshot; raises `Corrupt` where it is missing or has another dtype or shape."""
    found = arrays.get(name)
    if found is None or found.dtype != dtype or found.shape != shape:
        what = "missing" if found is None else f"{found.dtype} {found.shape}"
        raise Corrupt(f"behaviour: {name} is {what}, not {dtype} {shape}")
    return found


def _empty(dtype: str, size: int, width: int) -> npt.NDArray[np.generic]:
    return np.zeros((size, width) if width else size, np.dtype(dtype))
