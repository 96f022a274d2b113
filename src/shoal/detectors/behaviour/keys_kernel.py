# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Which row holds a key, and who gives way when all rows are taken. Hot path.

An open-addressing table of row numbers with linear probing; ids are compared in the rows. A row is given back by the
clock rule (Corbató 1968): a hand goes round and takes the first key that was not seen again since it last passed, so
that a flood of keys that come once drives out one another and not the accounts that live. What is driven out depends
on the order of events alone. `rows.py` sizes the arrays before a batch; nothing here allocates.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from shoal.features.kernel.access_kernel import mix

USED, HAND, DROPPED, SEED = 0, 1, 2, 3
"""Places in `Keys.head`: rows in use, the clock's hand, keys driven out, and the seed of the table's hash."""


class Keys(NamedTuple):
    """`head` int64 [4]; `table` int32 [a power of two], -1 empty; `ids` int64 [rows]; `again` uint8 [rows], 1 where the
    key was seen again since the hand passed."""

    head: npt.NDArray[np.int64]
    table: npt.NDArray[np.int32]
    ids: npt.NDArray[np.int64]
    again: npt.NDArray[np.uint8]


@njit(cache=True, nogil=True)
def find(keys, ident):
    """The row of an id, or -1."""
    mask = len(keys.table) - 1
    place = mix(ident, keys.head[SEED]) & mask
    while True:
        row = np.int64(keys.table[place])
        if row < 0 or keys.ids[row] == ident:
            return row
        place = (place + 1) & mask


@njit(cache=True, nogil=True)
def enter(keys, row):
    """Put a row's id into the table."""
    mask = len(keys.table) - 1
    place = mix(keys.ids[row], keys.head[SEED]) & mask
    while keys.table[place] >= 0:
        place = (place + 1) & mask
    keys.table[place] = row


@njit(cache=True, nogil=True)
def _leave(keys, row):
    mask = len(keys.table) - 1
    seed = keys.head[SEED]
    place = mix(keys.ids[row], seed) & mask
    while keys.table[place] != row:
        place = (place + 1) & mask
    ahead = place
    while True:
        ahead = (ahead + 1) & mask
        other = np.int64(keys.table[ahead])
        if other < 0:
            break
        home = mix(keys.ids[other], seed) & mask
        if ((ahead - home) & mask) >= ((ahead - place) & mask):
            keys.table[place] = other
            place = ahead
    keys.table[place] = -1


@njit(cache=True, nogil=True)
def take(keys, ident, most):
    """A row for an id that has none; what the row held before is the caller's to clear."""
    head = keys.head
    if head[USED] < most:
        row = head[USED]
        head[USED] += 1
    else:
        while keys.again[head[HAND]]:
            keys.again[head[HAND]] = 0
            head[HAND] = (head[HAND] + 1) % most
        row = head[HAND]
        head[HAND] = (row + 1) % most
        head[DROPPED] += 1
        _leave(keys, row)
    keys.ids[row] = ident
    keys.again[row] = 0
    enter(keys, row)
    return row


@njit(cache=True, nogil=True)
def enter_all(keys):
    """Fill an empty table with all rows in use."""
    for row in range(keys.head[USED]):
        enter(keys, row)


@njit(cache=True, nogil=True)
def key_of(values, valid, columns, i, seed):
    """One id of the key columns of row `i`, and whether none of them is null."""
    if len(columns) == 1:
        return values[columns[0], i], valid[columns[0], i] != 0
    ident = np.int64(seed)
    for k in range(len(columns)):
        if valid[columns[k], i] == 0:
            return ident, False
        ident = mix(values[columns[k], i] ^ ident, k + 1)
    return ident, True
