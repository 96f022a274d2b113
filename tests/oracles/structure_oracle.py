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
