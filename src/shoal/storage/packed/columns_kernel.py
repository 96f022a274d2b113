# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Codes for the texts of a column of which few are distinct, and steps between numbers. Hot path.

A text is found again by a fast hash and then compared in full. That hash is not
keyed: who sends texts that collide makes probes long, so a column that needs more than `MAX_PROBES` of them is given
up, as one with many distinct texts is. Nothing here is kept.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types, uint64

from shoal.events.identity import last_word, load_word

SLOTS = 8192
MAX_CODES = SLOTS // 2
MAX_PROBES = 16
_FEW = 256

_BYTES = types.Array(types.uint8, 1, "C", readonly=True)
_OFFSETS = types.Array(types.int32, 1, "C", readonly=True)
_IN = types.Array(types.int64, 1, "C", readonly=True)


@njit(inline="always")
def _hash(data, start, end):
    value = uint64(end - start) * uint64(0x9E3779B97F4A7C15)
    at = start
    while at + 8 <= end:
        value = (value ^ load_word(data, at)) * uint64(0xD6E8FEB86659FD93)
        value ^= value >> uint64(32)
        at += 8
    value = (value ^ last_word(data, at, end)) * uint64(0xFF51AFD7ED558CCD)
    return value ^ (value >> uint64(32))


@njit(inline="always")
def _same(data, one, other, length):
    at = 0
    while at + 8 <= length:
        if load_word(data, one + at) != load_word(data, other + at):
            return False
        at += 8
    return last_word(data, one + at, one + length) == last_word(data, other + at, other + length)


@njit(
    types.int64(_BYTES, _OFFSETS, _BYTES, types.int32[::1], types.int16[::1], types.int64[::1]),
    cache=True,
    nogil=True,
)
def code_texts(data, offsets, valid, slots, codes, firsts):
    """Codes int16[n] (in order of appearance; 0 where null) of texts, and the row in which each first stands.

    `valid` may be empty (no nulls); `slots` int32[SLOTS] is scratch. Returns how many are distinct, or -1 where they
    are too many to be worth it (more than 256 and an eighth of the rows so far).
    """
    slots[:] = -1
    count = 0
    before, before_length, before_code = 0, -1, 0
    for row in range(len(codes)):
        if len(valid) and not valid[row]:
            codes[row] = 0
            continue
        start, end = offsets[row], offsets[row + 1]
        if end - start == before_length and _same(data, before, start, end - start):
            codes[row] = before_code  # runs are common, and need no hash
            continue
        before, before_length = start, end - start
        at = np.int64(_hash(data, start, end) & uint64(SLOTS - 1))
        probes = 0
        while True:
            code = slots[at]
            if code < 0:
                if count >= MAX_CODES or count > _FEW + row // 8:
                    return -1
                slots[at] = count
                firsts[count] = row
                before_code = codes[row] = count
                count += 1
                break
            first = offsets[firsts[code]]
            if offsets[firsts[code] + 1] - first == end - start and _same(data, first, start, end - start):
                before_code = codes[row] = code
                break
            probes += 1
            if probes > MAX_PROBES:
                return -1
            at = (at + 1) & (SLOTS - 1)
    return count


@njit(types.UniTuple(types.int64, 2)(_IN), cache=True, nogil=True)
def step_range(values):
    """(smallest, largest) step from one number to the next, of at least two; steps that overflow give the widest."""
    low, high = types.int64(9223372036854775807), types.int64(-9223372036854775808)
    for row in range(1, len(values)):
        before, now = values[row - 1], values[row]
        step = now - before
        if ((now ^ before) & (now ^ step)) < 0:
            return types.int64(-9223372036854775808), types.int64(9223372036854775807)
        low, high = min(low, step), max(high, step)
    return low, high


@njit(types.void(_IN, types.int32[::1]), cache=True, nogil=True)
def steps_of(values, out):
    """Steps (which fit) from one number to the next; the first is 0."""
    out[0] = 0
    for row in range(1, len(values)):
        out[row] = values[row] - values[row - 1]
