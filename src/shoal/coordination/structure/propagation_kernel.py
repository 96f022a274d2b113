# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Weighted label propagation with a queue. Hot path.

Raghavan, Albert and Kumara (Physical Review E 76:036106, 2007); the queue of nodes whose neighbours changed is that of
Traag and Šubelj (Scientific Reports 13:2701, 2023). A node leaves its label only for one that ties it more strongly, so
that the weight within communities rises with each move and the walk ends. Ties are drawn from a seed.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from shoal.coordination.structure.draw_kernel import draw
from shoal.coordination.structure.leiden_kernel import SLACK, gather


@njit(["int64(int64[::1], int32[::1], float64[::1], int32[::1], int32[::1], float64[::1], int64, uint64[::1])"],
      cache=True, nogil=True)  # fmt: skip
def propagate(start, beside, strength, order, label, total, largest, state):
    """Give nodes the label that ties them most, no label to more than `largest` nodes; changes `label` (below n). How
    many changes."""
    n = np.int64(len(label))
    members = np.zeros(n, np.int64)
    for x in range(n):
        members[label[x]] += 1
    waiting, queue = np.ones(n, np.uint8), order.copy()
    seen, count = np.empty(n, np.int32), np.zeros(1, np.int64)
    head, held, changes = np.int64(0), n, 0
    while held:
        v = np.int64(queue[head])
        head = head + 1 if head + 1 < n else np.int64(0)
        held -= 1
        waiting[v] = 0
        own = np.int64(label[v])
        whole = gather(start, beside, strength, label, v, total, seen, count)
        stay = total[own]
        best, most, alike = own, stay + SLACK * whole, np.uint64(0)
        for k in range(count[0]):
            c = np.int64(seen[k])
            if c != own and members[c] < largest:
                if total[c] > most:
                    best, most, alike = c, total[c], np.uint64(1)
                elif total[c] == most and best != own:
                    alike += np.uint64(1)
                    if draw(state) % alike == np.uint64(0):
                        best = c
            total[c] = 0.0
        if best == own:
            continue
        members[own] -= 1
        members[best] += 1
        label[v] = best
        changes += 1
        for e in range(start[v], start[v + 1]):
            u = np.int64(beside[e])
            if waiting[u] == 0 and label[u] != best:
                waiting[u] = 1
                at = head + held
                queue[at if at < n else at - n] = u
                held += 1
    return changes
