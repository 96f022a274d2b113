# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Least and largest value among neighbours, for ties given one by one and for ties through shared entities. Hot path.

NaN means unknown and is passed over; a node of which no neighbour's value is known gets NaN.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit("void(int64[::1], int64[::1], float64[:, ::1], float64[:, ::1], float64[:, ::1])", cache=True, nogil=True)
def extremes(start, other, x, low, high):
    """Into `low`, `high` [n, k] the least and largest `x` [n, k] over the neighbours `other[start[i]:start[i + 1]]`."""
    for i in range(len(start) - 1):
        for j in range(x.shape[1]):
            low[i, j] = np.nan
            high[i, j] = np.nan
        for e in range(start[i], start[i + 1]):
            for j in range(x.shape[1]):
                value = x[other[e], j]
                if np.isnan(value):
                    continue
                if not value >= low[i, j]:
                    low[i, j] = value
                if not value <= high[i, j]:
                    high[i, j] = value


@njit("void(int64[::1], int64[::1], float64[::1], float64[::1])", cache=True, nogil=True)
def shared_largest(start, account, x, out):
    """Into `out` [n] the largest `x` [n] among those who share an entity with a node, itself left out.

    `account[start[e]:start[e + 1]]`: who shares entity e. Two passes over the edges: the two largest of each entity,
    then for each member the larger of them that is not its own."""
    out[:] = np.nan
    for e in range(len(start) - 1):
        first, second, who = np.nan, np.nan, np.int64(-1)
        for at in range(start[e], start[e + 1]):
            value = x[account[at]]
            if np.isnan(value):
                continue
            if not value <= first:
                first, second, who = value, first, account[at]
            elif not value <= second:
                second = value
        for at in range(start[e], start[e + 1]):
            one = account[at]
            best = second if one == who else first
            if not np.isnan(best) and not best <= out[one]:
                out[one] = best
