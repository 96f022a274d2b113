# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""An undirected weighted graph as compressed rows, from edges in any order. Hot path.

Row v holds v's neighbours in ascending order, each once with the sum of the weights; self-loops and edges of weight 0
are left out. Rows are filled twice: reading rows in ascending order and writing each node into the rows of its
neighbours sorts them without comparing anything. The caller has checked the codes.
"""

from __future__ import annotations

import numpy as np
from numba import njit

CODES = ("int32", "int64")


@njit([f"int64({code}[::1], {code}[::1], float64[::1], int64[::1])" for code in CODES], cache=True, nogil=True)
def count_rows(left, right, weight, start):
    """Fill `start` int64 [n + 1] with where each row begins; its zeros are given, its last place is returned."""
    for e in range(len(left)):
        if left[e] != right[e] and weight[e] > 0.0:
            start[left[e] + 1] += 1
            start[right[e] + 1] += 1
    for v in range(1, len(start)):
        start[v] += start[v - 1]
    return start[len(start) - 1]


@njit([f"void({code}[::1], {code}[::1], float64[::1], int64[::1], float64[:, ::1])" for code in CODES],
      cache=True, nogil=True)  # fmt: skip
def fill_rows(left, right, weight, start, out):
    """Write each edge into the rows of both of its ends, in the order of edges: neighbour and weight side by side, so
    that each costs one line of cache."""
    place = start.copy()
    for e in range(len(left)):
        u, v = np.int64(left[e]), np.int64(right[e])
        if u == v or weight[e] <= 0.0:
            continue
        out[place[u], 0], out[place[u], 1] = v, weight[e]
        out[place[v], 0], out[place[v], 1] = u, weight[e]
        place[u] += 1
        place[v] += 1


@njit(["int64(int64[::1], float64[:, ::1], float64[:, ::1])"], cache=True, nogil=True)
def sort_rows(start, rows, out):
    """Write sorted rows without repetition to the front of `out`, adjusting `start`; how many places they take."""
    place = start.copy()
    n = len(start) - 1
    for u in range(n):
        for e in range(start[u], start[u + 1]):
            v = np.int64(rows[e, 0])
            at = place[v]
            if at > start[v] and out[at - 1, 0] == u:
                out[at - 1, 1] += rows[e, 1]
            else:
                out[at, 0], out[at, 1] = u, rows[e, 1]
                place[v] = at + 1
    size = np.int64(0)
    for row in range(n):
        begin, end = start[row], place[row]
        start[row] = size
        for e in range(begin, end):
            out[size, 0], out[size, 1] = out[e, 0], out[e, 1]
            size += 1
    start[n] = size
    return size
