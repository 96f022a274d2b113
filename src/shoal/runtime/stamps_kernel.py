# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""The writer's stamps: `as_of` and the flags late, behind and clamped. Hot path.

FEATURES.md points 1 and 3: `as_of` is the largest (clamped) time so far; a time beyond the bound is clamped, counted
and flagged; a
time behind `as_of` by more than the lateness is late, by less is behind.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from shoal.events.schema import Flag

_LATE, _BEHIND, _CLAMPED = int(Flag.LATE), int(Flag.BEHIND), int(Flag.CLAMPED)


@njit(cache=True, nogil=True)
def stamp(time, bound, as_of_before, lateness_us, as_of, flags):
    """Stamp `time` [n] int64 µs against `bound` [n] (latest allowed time); fills as_of, flags [n]; returns the last
    as_of."""
    current = as_of_before
    for row in range(len(time)):
        moment = time[row]
        bits = 0
        if moment > bound[row]:
            moment = bound[row]
            bits |= _CLAMPED
        if moment >= current:
            current = moment
        else:
            bits |= _LATE if current - moment > lateness_us else _BEHIND
        as_of[row] = current
        flags[row] = bits
    return current


_M1 = np.uint64(0x9E3779B97F4A7C15)
_M2 = np.uint64(0xBF58476D1CE4E5B9)


@njit(inline="always")
def _mix(h, m):
    h = (h ^ m) * _M1
    return h ^ (h >> np.uint64(29))


@njit(cache=True, nogil=True)
def fold_texts(data, offsets, valid, has_nulls, salt, out):
    """Fold one text column into the rows' body hashes `out` [n] uint64 (a null leaves the hash alone)."""
    for row in range(len(out)):
        if has_nulls and not valid[row]:
            continue
        start = offsets[row]
        end = offsets[row + 1]
        h = _mix(out[row] + salt, np.uint64(end - start) * _M2)
        i = start
        while i + 8 <= end:
            m = np.uint64(0)
            for j in range(8):
                m |= np.uint64(data[i + j]) << np.uint64(8 * j)
            h = _mix(h, m)
            i += 8
        m = np.uint64(0)
        shift = 0
        while i < end:
            m |= np.uint64(data[i]) << np.uint64(shift)
            shift += 8
            i += 1
        out[row] = _mix(h, m)


@njit(cache=True, nogil=True)
def fold_numbers(values, valid, has_nulls, salt, out):
    """Fold one int64 column into the rows' body hashes."""
    for row in range(len(out)):
        if has_nulls and not valid[row]:
            continue
        out[row] = _mix(out[row] + salt, np.uint64(values[row]))
