# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Random cut trees over a rolling sample: draw a tree, score a row, take it into the ring. Hot path.

A cut's column is drawn with odds proportional to the span of the rows in that column, its place evenly within the span
(Guha, Mishra, Roy, Schrijvers, ICML 2016). A tree is one row of `cuts`, a record a node: `column` (-1: a leaf),
`place`, `child` (the left one; the right one is next to it), `low` and `high` (the span that was cut) and `depth`, in
units of the depth that is usual for the tree's sample; and one row of `roots`, the box around its sample. The caller
owns all arrays. Random numbers are SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), one state a forest, so that the
same rows and seed give the same trees on every machine.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

SAMPLE = 256
"""Rows that a tree is drawn from (the sub-sample of Liu, Ting, Zhou, ICDM 2008)."""
NODES = 2 * SAMPLE
BINS = 1024
"""Cells of the histogram of scores."""
FILLED, TURN, SEEN, BLOCK, REFERENCE = 0, 1, 2, 3, 4
"""Places in the counters: rows taken into the ring, the tree that is drawn next, rows of warm-up seen, scores in the
block of the histogram that is being filled, and in the one before."""
LIMIT = 1e9
NODE = np.dtype(
    [("place", np.float64), ("low", np.float64), ("high", np.float64), ("depth", np.float64), ("column", np.int32),
     ("child", np.int32)]
)  # fmt: skip
"""One node of a tree."""


@njit(cache=True, nogil=True)
def draw(state):
    """The next number of SplitMix64, in [0, 1)."""
    state[0] += np.uint64(0x9E3779B97F4A7C15)
    z = state[0]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return float(z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@njit(cache=True, nogil=True)
def expected_depth(count):
    """Mean further depth of `count` rows under random cuts: of an unsuccessful search in a binary search tree."""
    if count <= 1:
        return 0.0
    if count == 2:
        return 1.0
    return 2.0 * (math.log(count - 1.0) + 0.5772156649015329) - 2.0 * (count - 1.0) / count


@njit(cache=True, nogil=True)
def scaled(value, centre, unit):
    """A value on the forest's measure, in (-1, 1): far values come ever nearer to the border and keep their order."""
    z = (value - centre) / unit
    z = min(max(z, -LIMIT), LIMIT)
    return z / (1.0 + abs(z))


@njit(cache=True, nogil=True)
def choose_rows(filled, rows, state):
    """Put a random sample of the first `filled` places of the ring at the front of `rows`; how many."""
    size = min(SAMPLE, filled)
    for i in range(filled):
        rows[i] = i
    for i in range(size):
        j = i + int(draw(state) * (filled - i))
        rows[i], rows[j] = rows[j], rows[i]
    return size


@njit(cache=True, nogil=True)
def choose_cut(ring, rows, begin, end, low, high, state):
    """The column of a cut of `rows[begin:end]`, or -1 where all are alike; fills the span [low, high] of each."""
    total = 0.0
    for j in range(ring.shape[1]):
        low[j] = high[j] = ring[rows[begin], j]
    for i in range(begin + 1, end):
        for j in range(ring.shape[1]):
            value = ring[rows[i], j]
            if value < low[j]:
                low[j] = value
            elif value > high[j]:
                high[j] = value
    for j in range(ring.shape[1]):
        total += high[j] - low[j]
    if total <= 0.0:
        return -1
    mark, chosen = draw(state) * total, -1
    for j in range(ring.shape[1]):
        span = high[j] - low[j]
        if span > 0.0:
            chosen = j
            if mark < span:
                break
            mark -= span
    return chosen


@njit(cache=True, nogil=True)
def part(ring, rows, begin, end, column, place):
    """Bring the rows below `place` to the front of `rows[begin:end]`; where the others begin."""
    left, right = begin, end - 1
    while left <= right:
        if ring[rows[left], column] < place:
            left += 1
        else:
            rows[left], rows[right] = rows[right], rows[left]
            right -= 1
    return left


@njit(cache=True, nogil=True)
def clear(cuts):
    """Make all nodes of a tree empty leaves."""
    for node in range(NODES):
        one = cuts[node]
        one.place = one.low = one.high = one.depth = 0.0
        one.column, one.child = -1, 0


@njit(cache=True, nogil=True)
def draw_tree(ring, filled, most, rows, state, cuts, root):
    """Draw one tree of at most `most` cuts on a way anew, from a sample of the ring's first `filled` rows."""
    clear(cuts)
    columns = ring.shape[1]
    low, high = np.empty(columns), np.empty(columns)
    stack = np.empty((NODES, 4), np.int64)  # node, begin, end, level
    size = choose_rows(filled, rows, state)
    usual = expected_depth(size)
    stack[0] = (0, 0, size, 0)
    top, used = 1, 1
    while top:
        top -= 1
        node, begin, end, level = stack[top]
        one = cuts[node]
        chosen = -1
        if end - begin > 1 and level < most:
            chosen = choose_cut(ring, rows, begin, end, low, high, state)
        if level == 0:
            root[:columns], root[columns:] = low, high
        if chosen < 0:
            one.depth = (level + expected_depth(end - begin)) / usual
            continue
        cut = low[chosen] + (high[chosen] - low[chosen]) * draw(state)
        if cut <= low[chosen]:
            cut = high[chosen]  # two neighbouring numbers: nothing lies between
        middle = part(ring, rows, begin, end, chosen, cut)
        one.column, one.place, one.child, one.depth = chosen, cut, used, level / usual
        one.low, one.high = low[chosen], high[chosen]
        stack[top] = (used, begin, middle, level + 1)
        stack[top + 1] = (used + 1, middle, end, level + 1)
        top, used = top + 2, used + 2


@njit(cache=True, nogil=True)
def outside_root(row, root):
    """Odds that the first cut of a tree drawn with this row parts it from the sample's box [2 d]."""
    columns = row.shape[0]
    away, span = 0.0, 0.0
    for j in range(columns):
        span += root[columns + j] - root[j]
        away += max(max(root[j] - row[j], row[j] - root[columns + j]), 0.0)
    return away / (away + span) if away > 0.0 else 0.0


@njit(cache=True, nogil=True)
def score_row(row, cuts, roots):
    """2^(-mean depth): near 1 for a row that the first cut parts from the others, about 0.5 for an ordinary one.

    The depth is the mean over the cuts that would have been drawn had the row been in the sample: at the root it may be
    parted from the others by a cut beyond their box, in any column; below that by one beyond their span in the column
    that was cut there (so that a node costs the same whatever the number of columns).
    """
    total = 0.0
    for tree in range(cuts.shape[0]):
        reach = 1.0 - outside_root(row, roots[tree])  # parted there: depth 0
        node = 0
        while True:
            one = cuts[tree, node]
            if one.column < 0:
                total += reach * one.depth
                break
            value = row[one.column]
            away = max(one.low - value, value - one.high)
            if away > 0.0:
                odds = away / (away + one.high - one.low)
                total += reach * odds * one.depth
                reach *= 1.0 - odds
            node = one.child + (value >= one.place)
    return math.exp(-0.6931471805599453 * (total / cuts.shape[0]))


@njit(cache=True, nogil=True)
def take_row(row, ring, most, rows, state, counters, cuts, roots):
    """Put a row into the ring; draw the tree whose turn it is, and all of them while the ring doubles."""
    window, trees = ring.shape[0], cuts.shape[0]
    ring[counters[FILLED] % window] = row
    counters[FILLED] += 1
    seen = counters[FILLED]
    if seen <= window and (seen & (seen - 1)) == 0:
        for tree in range(trees):
            draw_tree(ring, seen, most, rows, state, cuts[tree], roots[tree])
    elif seen % (window // trees) == 0:
        tree = counters[TURN]
        draw_tree(ring, min(seen, window), most, rows, state, cuts[tree], roots[tree])
        counters[TURN] = (tree + 1) % trees


@njit(cache=True, nogil=True)
def count_score(score, window, counters, block, above):
    """Count a score; after `window` of them their histogram becomes what later scores are compared with."""
    block[min(int(score * BINS), BINS - 1)] += 1
    counters[BLOCK] += 1
    if counters[BLOCK] == window:
        total = 0
        for cell in range(BINS - 1, -1, -1):
            total += block[cell]
            above[cell] = total
        block[:] = 0
        counters[REFERENCE], counters[BLOCK] = window, 0


@njit(cache=True, nogil=True)
def stream(x, learn, centre, unit, ring, most, rows, state, counters, cuts, roots, block, above, score, tail):
    """Score the finite rows of `x` [n, d] and then take those that `learn` marks; NaN for the others.

    `tail` is (1 + scores at or above in the last full block) / (n + 1), to the width of a histogram's cell; NaN before
    there is a block.
    """
    row = np.empty(x.shape[1])
    for i in range(x.shape[0]):
        score[i] = tail[i] = np.nan
        known = True
        for j in range(x.shape[1]):
            known = known and math.isfinite(x[i, j])
            row[j] = scaled(x[i, j], centre[j], unit[j])
        if not known:
            continue
        value = score_row(row, cuts, roots)
        score[i] = value
        if counters[REFERENCE]:
            higher = above[min(int(value * BINS), BINS - 1)]
            tail[i] = (1.0 + higher) / (counters[REFERENCE] + 1.0)
        if learn[i]:
            count_score(value, ring.shape[0], counters, block, above)
            take_row(row, ring, most, rows, state, counters, cuts, roots)


@njit(cache=True, nogil=True)
def begin(x, centre, unit, ring, most, rows, state, counters, cuts, roots):
    """Take the rows of the warm-up [n, d] into the ring and draw all trees."""
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            ring[counters[FILLED] % ring.shape[0], j] = scaled(x[i, j], centre[j], unit[j])
        counters[FILLED] += 1
    filled = min(counters[FILLED], ring.shape[0])
    for tree in range(cuts.shape[0]):
        draw_tree(ring, filled, most, rows, state, cuts[tree], roots[tree])
