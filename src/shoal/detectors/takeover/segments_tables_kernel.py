# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""The memory of segments: recent pairs, rows of segments, small sketches of distinct values. Hot path.

All of it has a fixed size. Recent pairs lie in buckets of eight words (31 bits of the pair's hash and the minute in
which it was last seen): a pair is found where it was seen within its time to live, and a new one takes the place of the
bucket's oldest. Rows of segments lie in buckets of eight too, where a new segment takes the place of the lightest one
that is neither an open campaign nor just seen. What is pushed out while it still counted is counted. The sketch is a
HyperLogLog (Flajolet et al., AofA 2007) of 128 registers with linear counting below 2.5 times that: its standard error
is 9 %, less when small. Nothing here depends on how a stream was cut.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, uint64

from shoal.detectors.takeover.segments_layout import (
    AT_SEEN,
    BASE,
    NONE,
    OPENED,
    PENDING,
    REGISTERS,
    WAYS,
)
from shoal.features.kernel.access_kernel import mix

_LOW = 0xFFFFFFFF
_MINUTE_US = 60_000_000


@njit(cache=True, nogil=True)
def _age(word, minute):
    """Minutes since a word was written; the 32 bits of the minute wrap after 8,000 years."""
    return (minute - (word & _LOW)) & _LOW


@njit(cache=True, nogil=True)
def is_recent(table, key, as_of, ttl_min):
    """Whether the key was written within the last `ttl_min` minutes."""
    minute = as_of // _MINUTE_US
    mark = (key >> 33) & 0x7FFFFFFF
    start = (key & (len(table) // WAYS - 1)) * WAYS
    for slot in range(start, start + WAYS):
        word = table[slot]
        if word != 0 and ((word >> 32) & _LOW) == mark:
            return _age(word, minute) <= ttl_min
    return False


@njit(cache=True, nogil=True)
def note(table, key, as_of, ttl_min):
    """Write the key down as seen now; 1 where another one that was still recent had to go for it."""
    minute = as_of // _MINUTE_US
    mark = (key >> 33) & 0x7FFFFFFF
    start = (key & (len(table) // WAYS - 1)) * WAYS
    fresh = (mark << 32) | (minute & _LOW)
    place, oldest = start, np.int64(-1)
    for slot in range(start, start + WAYS):
        word = table[slot]
        if word == 0:
            place, oldest = slot, np.int64(_LOW) + 1
            break
        if ((word >> 32) & _LOW) == mark:
            table[slot] = fresh
            return 0
        age = _age(word, minute)
        if age > oldest:
            place, oldest = slot, age
    table[place] = fresh
    return 1 if oldest <= ttl_min else 0


@njit(cache=True, nogil=True)
def find_segment(ids, key):
    """The row of a segment, or -1."""
    start = (key & ((len(ids) - 1) // WAYS - 1)) * WAYS
    for slot in range(start, start + WAYS):
        if ids[slot] == key:
            return slot
    return -1


@njit(cache=True, nogil=True)
def _weight(cells, times, slot, as_of, half_life_us):
    """How much a segment has seen, decayed to now."""
    count = cells[slot, BASE] + cells[slot, BASE + 1] + cells[slot, PENDING] + cells[slot, PENDING + 1]
    return (1.0 + count) * math.exp2(-(as_of - times[slot, AT_SEEN]) / half_life_us)


@njit(cache=True, nogil=True)
def take_segment(ids, cells, times, registers, key, as_of, half_life_us):
    """A new row for a segment that has none, and the weight of the one that went for it (0: the row was free).

    Rows of open campaigns stay, and those seen at this very moment (the row at hand may have others in the bucket);
    where that leaves none the answer is (-1, 0)."""
    start = (key & ((len(ids) - 1) // WAYS - 1)) * WAYS
    place, least = -1, math.inf
    for slot in range(start, start + WAYS):
        if ids[slot] == 0:
            place, least = slot, 0.0
            break
        if times[slot, OPENED] != NONE or times[slot, AT_SEEN] >= as_of:
            continue
        weight = _weight(cells, times, slot, as_of, half_life_us)
        if weight < least:
            place, least = slot, weight
    if place < 0:
        return -1, 0.0
    ids[place] = key
    cells[place, :] = 0.0
    times[place, :] = NONE
    registers[place, :] = 0
    return place, least


@njit(cache=True, nogil=True)
def add_distinct(registers, slot, first, value):
    """Note a value's hash in the sketch whose registers begin at `first`; whether a register changed."""
    bits = uint64(mix(value, 0x5EED))
    place = first + np.int64(bits & uint64(REGISTERS - 1))
    rest = bits >> uint64(7)
    rank = 1
    while rank < 40 and (rest & uint64(1)) == uint64(0):
        rest >>= uint64(1)
        rank += 1
    if registers[slot, place] >= rank:
        return False
    registers[slot, place] = rank
    return True


@njit(cache=True, nogil=True)
def count_distinct(registers, slot, first):
    """The estimated number of different values, a whole number."""
    total, empty = 0.0, 0
    for place in range(first, first + REGISTERS):
        rank = registers[slot, place]
        total += math.exp2(-float(rank))
        empty += 1 if rank == 0 else 0
    m = float(REGISTERS)
    raw = 0.7213 / (1.0 + 1.079 / m) * m * m / total
    if raw <= 2.5 * m and empty > 0:
        raw = m * math.log(m / empty)
    return math.floor(raw + 0.5)
