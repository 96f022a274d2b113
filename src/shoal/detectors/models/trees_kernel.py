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
from numba import njit, uint64

LEFT_BITS, SLOT_BITS = 31, 16
"""A node is `rank << 47 | slot << 31 | left`; the right child stands behind the left one."""
LAST = 65_535
"""The code above every cut, and the rank of a leaf."""
ZERO = 1.0000000180025095e-35
"""LightGBM's kZeroThreshold (1e-35 as a float32): what is not further from 0 is 0."""
LANES, BLOCK, SWEEP = 8, 64, 32
_LEFT, _SLOT = np.uint64((1 << LEFT_BITS) - 1), np.uint64((1 << SLOT_BITS) - 1)
_SLOT_AT, _RANK_AT = np.uint64(LEFT_BITS), np.uint64(LEFT_BITS + SLOT_BITS)


@njit(cache=True, nogil=True)
def _below(cuts, start, stop, value):
    """How many of the sorted cuts [start, stop) are below `value`: halved while many, then counted in one sweep, which
    the compiler makes into vector instructions without a branch."""
    low, count = start, stop - start
    while count > SWEEP:
        half = count >> 1
        low += half if cuts[low + half - 1] < value else 0
        count -= half
    below = 0
    for cut in cuts[low : low + count]:
        below += cut < value
    return low - start + below


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
    # unsigned throughout: a signed index costs numba a test for negative ones
    node = nodes[at]
    return (node & _LEFT) + uint64(uint64(codes[base + ((node >> _SLOT_AT) & _SLOT)]) > (node >> _RANK_AT))


@njit(cache=True, nogil=True)
def _descend(nodes, codes, base, stride, at, depth):
    """Take eight descents `depth` steps down: lane i starts at node `at[i]` with the codes at `base + i * stride`."""
    a, b, c, d, e, f, g, h = at[0], at[1], at[2], at[3], at[4], at[5], at[6], at[7]
    b1 = base + stride
    b2 = b1 + stride
    b3 = b2 + stride
    b4 = b3 + stride
    b5 = b4 + stride
    b6 = b5 + stride
    b7 = b6 + stride
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
def _one(nodes, values, roots, depths, order, codes, at, leaves):
    """The raw sum of one coded row: eight trees of like depth at once, their leaves added up in the trees' order."""
    count, total, none = len(roots), 0.0, uint64(0)
    for first in range(0, count, LANES):
        for i in range(LANES):
            at[i] = roots[order[min(first + i, count - 1)]]
        _descend(nodes, codes, none, none, at, depths[order[min(first + LANES, count) - 1]])
        for i in range(min(LANES, count - first)):
            leaves[order[first + i]] = values[at[i]]
    for tree in range(count):
        total += leaves[tree]
    return total


@njit(cache=True, nogil=True)
def score(x, nodes, values, roots, depths, order, slots, starts, cuts, out):
    """Raw sums `out` float64 [n] of the rows `x` float64 [n, d]; `order`: the trees by rising depth."""
    n, stride = x.shape[0], slots.shape[0] + 1
    at = np.empty(LANES, np.uint64)
    if n < LANES:
        codes, leaves = np.zeros(stride, np.uint16), np.empty(len(roots))
        for row in range(n):
            encode(x[row], slots, starts, cuts, codes)
            out[row] = _one(nodes, values, roots, depths, order, codes, at, leaves)
        return
    codes = np.zeros(BLOCK * stride, np.uint16)  # what a full group reads behind the last row are codes of others
    for first in range(0, n, BLOCK):
        rows = min(BLOCK, n - first)
        for i in range(rows):
            encode(x[first + i], slots, starts, cuts, codes[i * stride : (i + 1) * stride])
            out[first + i] = 0.0
        for tree in range(len(roots)):
            for start in range(0, rows, LANES):
                for i in range(LANES):
                    at[i] = roots[tree]
                _descend(nodes, codes, uint64(start * stride), uint64(stride), at, depths[tree])
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
def judge(
    x, nodes, values, roots, depths, order, slots, starts, cuts, points, chances, thresholds, raw, score_out, level
):
    """`score`, `calibrate` and `grade` in one call."""
    score(x, nodes, values, roots, depths, order, slots, starts, cuts, raw)
    calibrate(raw, points, chances, score_out)
    grade(raw, thresholds, level)


@njit(cache=True, nogil=True)
def gather(values, floats, valid, at, is_float, rows, out):
    """Rows of a frame: `out` float64 [n, d] from `values` int64 [columns, capacity] and its float64 view. What is
    null is NaN, and so is what is infinite, as in training: no tree was taught where to put it."""
    for i in range(len(at)):
        column = at[i]
        for j in range(len(rows)):
            row = rows[j]
            if not valid[column, row]:
                out[j, i] = np.nan
            elif is_float[i]:
                value = floats[column, row]
                out[j, i] = value if abs(value) < np.inf else np.nan
            else:
                out[j, i] = values[column, row]
