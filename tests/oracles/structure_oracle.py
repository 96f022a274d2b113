"""The algorithms of `shoal.coordination.structure`, each as plainly as it can be said."""

from __future__ import annotations

import math


def plain_components(n, left, right):
    """Components by repeated walks: the smallest member of each node's component."""
    beside = [set() for _ in range(n)]
    for u, v in zip(left, right, strict=True):
        beside[u].add(v)
        beside[v].add(u)
    labels = [-1] * n
    for start in range(n):
        if labels[start] >= 0:
            continue
        waiting = [start]
        while waiting:
            node = waiting.pop()
            if labels[node] < 0:
                labels[node] = start
                waiting += beside[node]
    return labels


def plain_potts(labels, left, right, weight, resolution, sizes):
    """The quality of the constant Potts model, pair by pair."""
    value = sum(w for u, v, w in zip(left, right, weight, strict=True) if u != v and labels[u] == labels[v])
    for u in range(len(labels)):
        for v in range(u):
            if labels[u] == labels[v]:
                value -= resolution * sizes[u] * sizes[v]
    return value


def partitions(n):
    """All partitions of n nodes, as labels."""
    if n == 0:
        yield []
        return
    for smaller in partitions(n - 1):
        for label in range(max(smaller, default=-1) + 2):
            yield [*smaller, label]


def plain_best(n, left, right, weight, resolution, sizes):
    """The highest quality of all partitions."""
    return max(plain_potts(one, left, right, weight, resolution, sizes) for one in partitions(n))


def plain_peel(accounts, entities, edges, scores, least, prior, offset, scale):
    """The densest state of greedy peeling: accounts, entities and density, or None. `edges` maps (account, entity) to a
    weight; sums are whole numbers of 1 / scale."""
    popular = [sum(1 for _, x in edges if x == entity) for entity in range(entities)]
    units = {(a, x): round(weight * (1.0 / math.log(offset + popular[x])) * scale) for (a, x), weight in edges.items()}
    own = [round(score * prior * scale) for score in scores] + [0] * entities
    left = {a for a in range(accounts) if scores[a] >= least} | {accounts + x for x in range(entities)}
    best = None
    while left:
        inside = {(a, x): w for (a, x), w in units.items() if a in left and accounts + x in left}
        ties = dict.fromkeys(left, 0)
        keys = {v: own[v] for v in left}
        for (a, x), w in inside.items():
            for v in (a, accounts + x):
                ties[v] += 1
                keys[v] += w
        for v in left:
            if ties[v] < (1 if v < accounts else 2):
                keys[v] = -1
        if -1 not in keys.values():
            density = float(sum(inside.values()) + sum(own[v] for v in left)) / float(len(left))
            if best is None or density > best[2]:
                best = (sorted(v for v in left if v < accounts), sorted(v - accounts for v in left if v >= accounts),
                        density)  # fmt: skip
        left.remove(min(left, key=lambda v: (keys[v], v)))
    return best
