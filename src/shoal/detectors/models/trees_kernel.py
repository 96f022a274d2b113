# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""The scorer of fitted trees: one row over eight trees at once, or eight rows over one tree. Hot path.

`trees.Trees` says how a node is packed. A row is first coded: each slot (an input, with what one of its nodes does when
the value is missing) gets the number of cuts below the value, so that a node is eight bytes and a step is
`left + (code > rank)`, without a branch. Leaves point at themselves. Eight descents run side by side because one alone
waits for memory. The sum of a row is made in the order of the trees, in float64, whichever way was taken: one row and
many rows, and LightGBM itself, give the same bits. Owns no state; trusts `trees` for every index.
"""

from __future__ import annotations

import numpy as np
from numba import njit

LEFT_BITS, SLOT_BITS = 31, 16
"""A node is `rank << 47 | slot << 31 | left`; the right child stands behind the left one."""
LAST = 65_535
"""The code above every cut, and the rank of a leaf."""
ZERO = 1.0000000180025095e-35
"""LightGBM's kZeroThreshold (1e-35 as a float32): what is not further from 0 is 0."""
LANES, BLOCK = 8, 64
_LEFT, _SLOT, _RANK = (1 << LEFT_BITS) - 1, (1 << SLOT_BITS) - 1, LEFT_BITS + SLOT_BITS


@njit(cache=True, nogil=True)
def _below(cuts, start, stop, value):
    """How many of the sorted cuts [start, stop) are below `value`."""
    low, count = start, stop - start
    while count > 0:
        half = (count + 1) >> 1
        low += half if cuts[low + half - 1] < value else 0
        count -= half
    return low - start


@njit(cache=True, nogil=True)
def encode(x, slots, starts, cuts, codes):
    """Code one row `x` [d] into `codes` uint16 [slots].

    `slots` int32 [slots, 2]: input, and `missing << 1 | default_left` with missing 0 none, 1 zero, 2 NaN (rows sorted
    by input). What LightGBM's `NumericalDecision` does at a node is done here, once for each slot.
    """
    last, code, zero, unknown = -1, 0, False, False
    for s in range(slots.shape[0]):
        column, rule = slots[s, 0], slots[s, 1]
        if column != last:
            value = x[column]
            unknown = np.isnan(value)
            zero = unknown or (-ZERO <= value <= ZERO)
            code = _below(cuts, starts[column], starts[column + 1], 0.0 if zero else value)
            last = column
        missing = rule >> 1
        if (missing == 2 and unknown) or (missing == 1 and zero):
            codes[s] = 0 if rule & 1 else LAST
        else:
            codes[s] = code


@njit(inline="always")
def _step(nodes, codes, base, at):
    node = nodes[at]
    return (node & _LEFT) + (codes[base + ((node >> LEFT_BITS) & _SLOT)] > (node >> _RANK))


@njit(cache=True, nogil=True)
def _descend(nodes, codes, base, stride, at, depth):
    """Take eight descents `depth` steps down: lane i starts at node `at[i]` with the codes at `base + i * stride`."""
    a, b, c, d, e, f, g, h = at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7]
    b1, b2, b3, b4 = base + stride, base + 2 * stride, base + 3 * stride, base + 4 * stride
    b5, b6, b7 = base + 5 * stride, base + 6 * stride, base + 7 * stride
    for _ in range(depth):
        a = _step(nodes, codes, base, a)
        b = _step(nodes, codes, b1, b)
        c = _step(nodes, codes, b2, c)
        d = _step(nodes, codes, b3, d)
        e = _step(nodes, codes, b4, e)
        f = _step(nodes, codes, b5, f)
        g = _step(nodes, codes, b6, g)
        h = _step(nodes, codes, b7, h)
    at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7] = a, b, c, d, e, f, g, h


@njit(cache=True, nogil=True)
def _one(nodes, values, roots, depths, codes, at):
    """The raw sum of one coded row: eight trees at once, added up in their order."""
    count, total = len(roots), 0.0
    for first in range(0, count, LANES):
        lanes = min(LANES, count - first)
        depth = 0
        for i in range(LANES):
            tree = first + min(i, lanes - 1)
            at[i] = roots[tree]
            depth = max(depth, depths[tree])
        _descend(nodes, codes, 0, 0, at, depth)
        for i in range(lanes):
            total += values[at[i]]
    return total


@njit(cache=True, nogil=True)
def score(x, nodes, values, roots, depths, slots, starts, cuts, out):
    """Raw sums `out` float64 [n] of the rows `x` float64 [n, d]."""
    n, width = x.shape[0], slots.shape[0]
    at = np.empty(LANES, np.int64)
    if n < LANES:
        codes = np.zeros(width + 1, np.uint16)
        for row in range(n):
            encode(x[row], slots, starts, cuts, codes)
            out[row] = _one(nodes, values, roots, depths, codes, at)
        return
    codes = np.zeros(BLOCK * (width + 1), np.uint16)
    stride = width + 1
    for first in range(0, n, BLOCK):
        rows = min(BLOCK, n - first)
        for i in range(rows):
            encode(x[first + i], slots, starts, cuts, codes[i * stride : (i + 1) * stride])
            out[first + i] = 0.0
        for tree in range(len(roots)):
            for start in range(0, rows, LANES):
                for i in range(LANES):
                    at[i] = roots[tree]
                _descend(nodes, codes, start * stride, stride, at, depths[tree])
                for i in range(min(LANES, rows - start)):
                    out[first + start + i] += values[at[i]]


@njit(cache=True, nogil=True)
def calibrate(raw, x, y, out):
    """Probabilities `out` [n]: linear between the points (`x` rising, `y` not falling), constant beyond them."""
    last = len(x) - 1
    for i in range(len(raw)):
        at = _below(x, 0, last + 1, raw[i])
        if at == 0:
            out[i] = y[0]
        elif at > last:
            out[i] = y[last]
        else:
            share = (raw[i] - x[at - 1]) / (x[at] - x[at - 1])
            out[i] = min(y[at - 1] + share * (y[at] - y[at - 1]), y[at])


@njit(cache=True, nogil=True)
def grade(raw, thresholds, out):
    """Levels `out` int64 [n]: the highest i + 1 whose threshold is not above the raw sum, 0 below all."""
    for i in range(len(raw)):
        out[i] = 0
        for level in range(len(thresholds)):
            if raw[i] >= thresholds[level]:
                out[i] = level + 1


@njit(cache=True, nogil=True)
def judge(x, nodes, values, roots, depths, slots, starts, cuts, points, chances, thresholds, raw, score_out, level):
    """`score`, `calibrate` and `grade` in one call."""
    score(x, nodes, values, roots, depths, slots, starts, cuts, raw)
    calibrate(raw, points, chances, score_out)
    grade(raw, thresholds, level)
