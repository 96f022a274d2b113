# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""The kernels of interval tables: a sweep that resolves overlaps, and a sorted search. Hot path.

Both work on pairs of uint64 halves of one 128-bit space (IPv4 within ::ffff:0:0/96). They own no state and trust their
caller: ranges are ordered, the table starts at 0.
"""

from __future__ import annotations

import heapq

import numpy as np
from numba import njit, uint64


@njit(inline="always")
def _before(hi, lo, other_hi, other_lo):
    return hi < other_hi or (hi == other_hi and lo < other_lo)


@njit(cache=True, nogil=True)
def sweep(points, first, last, by_first, row_of_rank, rank_of):
    """Cut the space at `points` [2, p] (sorted, distinct, the first is 0); the best range of each piece.

    `first`, `last` [2, n]: the ranges; `by_first` [n]: their order by start; `rank_of` [n]: 0 for the most specific;
    `row_of_rank` [n]: the payload row of each rank. Returns int32[p]: payload rows, -1 where no range holds the piece.
    """
    count = points.shape[1]
    out = np.full(count, -1, np.int32)
    n = len(by_first)
    rank_range = np.empty(n, np.int64)
    for i in range(n):
        rank_range[rank_of[i]] = i
    heap = [np.int64(0)]
    heap.clear()
    upcoming = 0
    for p in range(count):
        hi, lo = points[0, p], points[1, p]
        while upcoming < n:
            index = by_first[upcoming]
            if _before(hi, lo, first[0, index], first[1, index]):
                break
            heapq.heappush(heap, rank_of[index])
            upcoming += 1
        while len(heap) > 0:
            index = rank_range[heap[0]]
            if not _before(last[0, index], last[1, index], hi, lo):
                break
            heapq.heappop(heap)
        if len(heap) > 0:
            out[p] = row_of_rank[heap[0]]
    return out


@njit(cache=True, nogil=True)
def search(start_hi, start_lo, rows, hi, lo, out):
    """`out[i]` = the row of the last start that is not above (hi[i], lo[i]). About 20 steps a look-up."""
    size = len(rows)
    for i in range(len(out)):
        a, b = uint64(hi[i]), uint64(lo[i])
        low, high = 0, size
        while high - low > 1:
            middle = (low + high) >> 1
            if _before(a, b, start_hi[middle], start_lo[middle]):
                high = middle
            else:
                low = middle
        out[i] = rows[low]
