# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Neighbours drawn with a capped fan-out, for ties given one by one and for ties through shared entities. Hot path.

A row with at most `fan_out` neighbours keeps them all, each at its share of the row's weight. Any other is drawn from
with replacement in proportion to weight, each draw at 1 / fan_out: the expected row is the exact one. Randomness is a
counter (SplitMix64 of seed, node and draw): the same seed gives a node the same draws in any batch.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit("float64(uint64, uint64, uint64)", cache=True, nogil=True)
def unit(seed, node, draw):
    """A number of [0, 1) from three counters (Steele, Lea, Flood, OOPSLA 2014)."""
    z = seed + node * np.uint64(0x9E3779B97F4A7C15) + draw * np.uint64(0xD1B54A32D192ED03)
    for _ in range(2):
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return np.float64(z >> np.uint64(11)) / 9007199254740992.0


@njit("int64(float64[::1], int64, int64, float64)", cache=True, nogil=True)
def pick(total, low, high, part):
    """Place in [low, high) at `part` of the running totals `total` there (that of `low` includes its own weight)."""
    before = total[low - 1] if low > 0 else 0.0
    wanted = before + part * (total[high - 1] - before)
    last = high - 1
    while low < last:
        middle = (low + last) // 2
        if total[middle] > wanted:
            last = middle
        else:
            low = middle + 1
    return low


@njit(
    "int64(int64[::1], int64[::1], float64[::1], float64[::1], int64[::1], int64, uint64,"
    " int64[::1], int64[::1], float64[::1])",
    cache=True, nogil=True,
)  # fmt: skip
def draw_direct(start, other, weight, total, targets, fan_out, seed, rows, columns, values):
    """Ties of `targets` [m] into rows, columns, values (room for m × fan_out); their number. `total`: running totals of
    `weight`."""
    at = 0
    for row in range(len(targets)):
        i = targets[row]
        low, high = start[i], start[i + 1]
        if low == high:
            continue
        if high - low <= fan_out:
            whole = 0.0
            for e in range(low, high):
                whole += weight[e]
            for e in range(low, high):
                rows[at], columns[at], values[at] = row, other[e], weight[e] / whole
                at += 1
            continue
        for draw in range(fan_out):
            e = pick(total, low, high, unit(seed, np.uint64(i), np.uint64(draw)))
            rows[at], columns[at], values[at] = row, other[e], 1.0 / fan_out
            at += 1
    return at


@njit(
    "int64(int64[::1], int64[::1], float64[::1], int64[::1], int64[::1], float64[::1], int64[::1], int64, uint64,"
    " int64[::1], int64[::1], float64[::1])",
    cache=True, nogil=True,
)  # fmt: skip
def draw_shared(start, entity, total, back, account, weight, targets, fan_out, seed, rows, columns, values):
    """As `draw_direct`, through entities: `entity[start[i]:start[i + 1]]` are those of node i, `account[back[e]:…]` who
    has e, `weight` of each entity; `total`: running totals of weight × others, over memberships."""
    at = 0
    for row in range(len(targets)):
        i = targets[row]
        low, high = start[i], start[i + 1]
        count, whole = 0, 0.0
        for m in range(low, high):
            others = back[entity[m] + 1] - back[entity[m]] - 1
            count += others
            whole += weight[entity[m]] * others
        if count == 0:
            continue
        if count <= fan_out:
            for m in range(low, high):
                for a in range(back[entity[m]], back[entity[m] + 1]):
                    if account[a] != i:
                        rows[at], columns[at], values[at] = row, account[a], weight[entity[m]] / whole
                        at += 1
            continue
        for draw in range(fan_out):
            e = entity[pick(total, low, high, unit(seed, np.uint64(i), np.uint64(2 * draw)))]
            others = back[e + 1] - back[e] - 1
            a = back[e] + min(np.int64(unit(seed, np.uint64(i), np.uint64(2 * draw + 1)) * others), others - 1)
            if account[a] == i:  # the last one stands in for oneself
                a = back[e + 1] - 1
            rows[at], columns[at], values[at] = row, account[a], 1.0 / fan_out
            at += 1
    return at
