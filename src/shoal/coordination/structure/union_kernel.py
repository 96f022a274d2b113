# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Union-find: Rem's algorithm with splicing. Hot path.

`parent` int32 [n] is a forest in which nobody's parent has a larger code than himself, so that the root of a tree is
its smallest member and one pass in ascending order flattens it. Splicing joins and shortens both paths in the same
walk; it needs no ranks and was the fastest of 53 variants (Patwary, Blair and Manne, SEA 2010; the algorithm is
Rem's, in Dijkstra, A Discipline of Programming, 1976). The caller owns all arrays.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(["int64(int32[::1], int64)"], cache=True, nogil=True)
def find(parent, x):
    """The root of `x`, its component's smallest member; halves the path on its way."""
    while np.int64(parent[x]) != x:
        parent[x] = parent[parent[x]]
        x = np.int64(parent[x])
    return x


@njit(["boolean(int32[::1], int64, int64)"], cache=True, nogil=True)
def join(parent, u, v):
    """Make one component of those of `u` and `v`; whether they were two."""
    while True:
        pu, pv = np.int64(parent[u]), np.int64(parent[v])
        if pu == pv:
            return False
        if pu > pv:
            parent[u] = np.int32(pv)
            if pu == u:
                return True
            u = pu
        else:
            parent[v] = np.int32(pu)
            if pv == v:
                return True
            v = pv


EDGES = [f"int64(int32[::1], {code}[::1], {code}[::1])" for code in ("int32", "int64")]
MARKED = [f"int64(int32[::1], uint8[::1], {code}[::1], {code}[::1])" for code in ("int32", "int64")]


@njit(EDGES, cache=True, nogil=True)
def join_all(parent, left, right):
    """Join the ends of all edges; -1, or the first edge with a code out of range (those before it are joined)."""
    n = np.uint64(len(parent))
    for e in range(len(left)):
        u, v = np.int64(left[e]), np.int64(right[e])
        if np.uint64(u) >= n or np.uint64(v) >= n:
            return e
        join(parent, u, v)
    return -1


@njit(MARKED, cache=True, nogil=True)
def join_marked(parent, marks, left, right):
    """As `join_all` of codes that were checked, and sets the mark of one end of every edge; how many were two."""
    joined = 0
    for e in range(len(left)):
        u, v = np.int64(left[e]), np.int64(right[e])
        marks[u] = 1
        if join(parent, u, v):
            joined += 1
    return joined


@njit(["void(int32[::1])"], cache=True, nogil=True)
def flatten(parent):
    """Make every node's parent its root."""
    for x in range(len(parent)):
        parent[x] = parent[parent[x]]


@njit(["int64(int64[::1], int64[::1])"], cache=True, nogil=True)
def number(labels, out):
    """Dense numbers of labels that are smallest members, in their order; how many there are."""
    count = 0
    for x in range(len(labels)):
        if labels[x] == x:
            out[x] = count
            count += 1
        else:
            out[x] = out[labels[x]]
    return count
