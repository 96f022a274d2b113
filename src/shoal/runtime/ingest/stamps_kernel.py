# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""The writer's stamps: `as_of` and the flags late, behind and clamped. Hot path.

FEATURES.md points 1 and 3: `as_of` is the largest (clamped) time so far; a time beyond the bound is clamped, counted
and flagged; a time behind `as_of` by more than the lateness is late, by less is behind.
"""

from __future__ import annotations

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
