"""The algorithms of `shoal.coordination.structure`, each as plainly as it can be said."""

from __future__ import annotations


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
