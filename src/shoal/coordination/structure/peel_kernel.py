# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Greedy peeling of a bipartite graph with a four-way heap that knows where each node stands. Hot path.

Nodes below `accounts` are accounts, those behind them entities. A node's key is its own suspicion and the weight of its
edges to nodes that are left, in whole units, so that sums are exact and nothing depends on the order of edges. The node
with the least key leaves first, of equal ones that of the lowest code. An entity that fewer than two accounts share,
and an account without an entity, tie nobody: they leave at once, and no block is measured before they have. The caller
owns all arrays.
"""

from __future__ import annotations

import numpy as np
from numba import njit

FORCED = -1
"""The key of a node that must leave."""
KEY, NODE = 0, 1
"""Columns of the heap, int64 [nodes, 2]."""
PLACE, SHARED = 0, 1
"""Columns of `node` int32 [nodes, 2]: where a node stands in the heap, and how many neighbours it has left."""


@njit(["void(int64[:, ::1], int32[:, ::1], int64)"], cache=True, nogil=True)
def rise(heap, node, at):
    """Move the node at `at` up to where it belongs."""
    own, who = heap[at, KEY], heap[at, NODE]
    while at > 0:
        above = (at - 1) >> 2
        key, other = heap[above, KEY], heap[above, NODE]
        if key < own or (key == own and other < who):
            break
        heap[at, KEY], heap[at, NODE] = key, other
        node[other, PLACE] = at
        at = above
    heap[at, KEY], heap[at, NODE] = own, who
    node[who, PLACE] = at


@njit(["void(int64[:, ::1], int32[:, ::1], int64, int64)"], cache=True, nogil=True)
def sink(heap, node, at, size):
    """Move the node at `at` down to where it belongs."""
    own, who = heap[at, KEY], heap[at, NODE]
    while True:
        low = 4 * at + 1
        if low >= size:
            break
        least = low
        for k in range(low + 1, min(low + 4, size)):
            if heap[k, KEY] < heap[least, KEY] or (
                heap[k, KEY] == heap[least, KEY] and heap[k, NODE] < heap[least, NODE]
            ):
                least = k
        key, child = heap[least, KEY], heap[least, NODE]
        if own < key or (own == key and who < child):
            break
        heap[at, KEY], heap[at, NODE] = key, child
        node[child, PLACE] = at
        at = least
    heap[at, KEY], heap[at, NODE] = own, who
    node[who, PLACE] = at


@njit(["float64(int64[::1], int32[::1], float64[::1], float64[::1], int64)"], cache=True, nogil=True)
def weigh(start, beside, strength, worth, accounts):
    """Multiply each edge by the worth of its entity, in both rows; the sum over edges."""
    whole = 0.0
    for v in range(len(start) - 1):
        for e in range(start[v], start[v + 1]):
            strength[e] *= worth[beside[e] - accounts if v < accounts else v - accounts]
            whole += strength[e]
    return 0.5 * whole


@njit(["int64(int64[::1], int32[::1], uint8[::1], int64)"], cache=True, nogil=True)
def within(start, beside, left, accounts):
    """Edges between accounts and entities that are left."""
    edges = 0
    for v in range(accounts):
        if left[v]:
            for e in range(start[v], start[v + 1]):
                edges += left[beside[e]]
    return edges


@njit(["int64(int64[::1], int32[::1], int64[::1], int64[::1], uint8[::1], int64, int64[:, ::1], int32[:, ::1])"],
      cache=True, nogil=True)  # fmt: skip
def lay(start, beside, units, prior, left, accounts, heap, node):
    """The heap of the nodes that are left, with their keys; how many they are."""
    size = np.int64(0)
    for v in range(len(left)):
        if left[v] == 0:
            continue
        key, shared = prior[v], 0
        for e in range(start[v], start[v + 1]):
            if left[beside[e]]:
                key += units[e]
                shared += 1
        node[v, PLACE], node[v, SHARED] = size, shared
        heap[size, KEY], heap[size, NODE] = FORCED if shared < (1 if v < accounts else 2) else key, v
        size += 1
    for i in range(size >> 2, -1, -1):
        if i < size:
            sink(heap, node, i, size)
    return size


@njit(["int64(int64[::1], int32[::1], int64[::1], int64[::1], uint8[::1], int64, int32[::1], float64[::1])"],
      cache=True, nogil=True)  # fmt: skip
def peel(start, beside, units, prior, left, accounts, gone, density):
    """Take out all nodes, writing them into `gone` in their order; how many were out where what was left was densest
    (-1: it never tied anybody), and in `density[0]` how dense it was then, in units a node. Clears `left`."""
    n = len(left)
    heap, node = np.empty((n, 2), np.int64), np.zeros((n, 2), np.int32)
    size = lay(start, beside, units, prior, left, accounts, heap, node)
    mass, forced = np.int64(0), np.int64(0)
    for i in range(size):
        x = heap[i, NODE]
        mass += prior[x]
        forced += heap[i, KEY] == FORCED
        if x < accounts:
            for e in range(start[x], start[x + 1]):
                if left[beside[e]]:
                    mass += units[e]
    best, out, density[0] = np.int64(-1), np.int64(0), -1.0
    while size:
        if forced == 0 and mass / size > density[0]:
            best, density[0] = out, mass / size
        v = heap[0, NODE]
        forced -= heap[0, KEY] == FORCED
        size -= 1
        if size:
            heap[0, KEY], heap[0, NODE] = heap[size, KEY], heap[size, NODE]
            sink(heap, node, 0, size)
        gone[out] = v
        out += 1
        left[v] = 0
        node[v, SHARED] = -1
        mass -= prior[v]
        for e in range(start[v], start[v + 1]):
            u = np.int64(beside[e])
            if node[u, SHARED] <= 0:
                continue
            mass -= units[e]
            node[u, SHARED] -= 1
            at = np.int64(node[u, PLACE])
            if heap[at, KEY] == FORCED:
                continue
            if node[u, SHARED] < (1 if u < accounts else 2):
                heap[at, KEY] = FORCED
                forced += 1
            else:
                heap[at, KEY] -= units[e]
            rise(heap, node, at)
    return best
