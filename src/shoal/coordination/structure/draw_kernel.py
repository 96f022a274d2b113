# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Random numbers and orders from a seed: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). Hot path.

The caller owns the state, one uint64; the same seed gives the same numbers on every machine.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(["uint64(uint64[::1])"], cache=True, nogil=True)
def draw(state):
    """The next 64 bits."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(["float64(uint64[::1])"], cache=True, nogil=True)
def draw_unit(state):
    """The next number in [0, 1)."""
    return float(draw(state) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit(["void(int32[::1], uint64[::1])"], cache=True, nogil=True)
def shuffle(order, state):
    """Put the numbers into a random order (Fisher and Yates)."""
    for i in range(len(order) - 1, 0, -1):
        j = np.int64(draw(state) % np.uint64(i + 1))
        order[i], order[j] = order[j], order[i]
