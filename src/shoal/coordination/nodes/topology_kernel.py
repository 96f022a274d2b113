# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Triangles and core numbers of an undirected graph without loops, as sorted CSR. Hot path of wide graphs."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit("int64[::1](int64[::1], int64[::1])", cache=True, nogil=True)
def triangles(start, other):
    """Triangles through each node [n]. Each is found once, from its node of least degree (forward algorithm of Schank
    and Wagner, WEA 2005): O(edges^1.5) whatever the hubs."""
    n = len(start) - 1
    found = np.zeros(n, np.int64)
    mark = np.full(n, -1, np.int64)
    for u in range(n):
        du = start[u + 1] - start[u]
        for e in range(start[u], start[u + 1]):
            v = other[e]
            dv = start[v + 1] - start[v]
            if dv > du or (dv == du and v > u):
                mark[v] = u
        for e in range(start[u], start[u + 1]):
            v = other[e]
            if mark[v] != u:
                continue
            dv = start[v + 1] - start[v]
            for f in range(start[v], start[v + 1]):
                w = other[f]
                dw = start[w + 1] - start[w]
                if mark[w] == u and (dw > dv or (dw == dv and w > v)):
                    found[u] += 1
                    found[v] += 1
                    found[w] += 1
    return found


@njit("int64[::1](int64[::1], int64[::1])", cache=True, nogil=True)
def cores(start, other):
    """Core number of each node [n]: the largest k such that it stands in a part where all have k neighbours in it.
    Batagelj and Zaversnik 2003: O(edges) with nodes in buckets by what is left of their degree."""
    n = len(start) - 1
    left = np.empty(n, np.int64)
    most = 0
    for i in range(n):
        left[i] = start[i + 1] - start[i]
        most = max(most, left[i])
    bucket = np.zeros(most + 2, np.int64)
    for i in range(n):
        bucket[left[i] + 1] += 1
    for d in range(most + 1):
        bucket[d + 1] += bucket[d]
    place = np.empty(n, np.int64)
    order = np.empty(n, np.int64)
    filled = bucket.copy()
    for i in range(n):
        place[i] = filled[left[i]]
        order[place[i]] = i
        filled[left[i]] += 1
    for at in range(n):
        i = order[at]
        for e in range(start[i], start[i + 1]):
            j = other[e]
            if left[j] > left[i]:
                first = bucket[left[j]]
                k = order[first]
                if k != j:
                    order[first], order[place[j]] = j, k
                    place[k], place[j] = place[j], first
                bucket[left[j]] += 1
                left[j] -= 1
    return left
