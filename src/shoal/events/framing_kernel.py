# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Where the elements of a JSON array begin and end, and where CSV records end: byte scans with carried state. Hot path.

The state is an int64 array that the caller owns, so that a scan goes on in the next chunk.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

DEPTH, IN_STRING, ESCAPED, START, FINISHED = 0, 1, 2, 3, 4
STATE_SIZE = 5

_QUOTE, _BACKSLASH, _COMMA, _NL, _SPACE = 34, 92, 44, 10, 32


@njit(cache=True, nogil=True)
def elements(data, at, state, spans):
    """Scan `data` from `at` for whole elements of the array whose `[` lies before; (next index, elements found).

    `spans` [n, 2] gets their starts and ends; the scan stops when it is full or the array ends (state FINISHED). The
    state's START is the start of an element that goes on, -1 between elements.
    """
    found = 0
    i = at
    while i < len(data) and found < len(spans):
        c = data[i]
        if state[IN_STRING]:
            if state[ESCAPED]:
                state[ESCAPED] = 0
            elif c == _BACKSLASH:
                state[ESCAPED] = 1
            elif c == _QUOTE:
                state[IN_STRING] = 0
        elif c == 123 or c == 91 or c == _QUOTE:
            if state[START] < 0:
                state[START] = i
            if c == _QUOTE:
                state[IN_STRING] = 1
            else:
                state[DEPTH] += 1
        elif state[DEPTH] == 0 and (c == _COMMA or c == 93 or c == 125):
            if state[START] >= 0:
                spans[found, 0], spans[found, 1] = state[START], i
                found += 1
                state[START] = -1
            if c != _COMMA:
                state[FINISHED] = 1
                return i + 1, found
        elif c == 125 or c == 93:
            state[DEPTH] -= 1
        elif c > _SPACE and state[START] < 0:
            state[START] = i
        i += 1
    return i, found


@njit(cache=True, nogil=True)
def last_record_end(data, at, quotes):
    """(index after the last newline outside quotes in data[at:], or -1; quotes seen modulo 2 at the end of data)."""
    end = -1
    for i in range(at, len(data)):
        c = data[i]
        if c == _QUOTE:
            quotes ^= 1
        elif c == _NL and quotes == 0:
            end = i + 1
    return end, quotes


def new_state() -> npt.NDArray[np.int64]:
    """A state before the first element of an array."""
    state = np.zeros(STATE_SIZE, dtype=np.int64)
    state[START] = -1
    return state
