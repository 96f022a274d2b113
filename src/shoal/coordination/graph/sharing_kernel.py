# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Pairs of accounts that share entities, and components of hard links under a guard. Hot path.

Pairs are made account by account: what an account shares with others is added up in one array over all accounts, so
that memory is for the pairs alone and they come out sorted. Components: union by the smaller code, with sizes at roots.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types

from shoal.coordination.structure.union_kernel import find

_OUT = types.int64[::1]
_FLOATS = types.float64[::1]
_IN = types.Array(types.int64, 1, "C", readonly=True)
_VALUES = types.Array(types.float64, 1, "C", readonly=True)
_I, _F = types.int64, types.float64


@njit(inline="always")
def _gap(first_a, last_a, first_b, last_b):
    """Microseconds between two spans of time; 0 where they meet."""
    return max(max(first_a, first_b) - min(last_a, last_b), 0)


@njit(_I(_IN, _IN, _IN, _IN, _IN, _IN, _IN, _VALUES, _F, _F, _OUT, _OUT, _FLOATS, _OUT), cache=True, nogil=True)
def shared_pairs(start, entity, account, first, last, by_entity, entity_start, worth, half_life_us, most, left, right,
                 llr, support):  # fmt: skip
    """All pairs with an entity of `worth` above 0 in common, sorted; gives how many they are.

    `worth` float64 [entities]; what a pair shares adds up to at most `most`. `half_life_us` 0: no decay between the
    two accounts' uses. The outputs have room for each entity's pairs."""
    accounts = len(start) - 1
    total, number = np.zeros(accounts, np.float64), np.zeros(accounts, np.int64)
    met = np.empty(accounts, np.int64)
    size = 0
    for a in range(accounts):
        count = 0
        for edge in range(start[a], start[a + 1]):
            x = entity[edge]
            if worth[x] <= 0.0:
                continue
            for at in range(entity_start[x + 1] - 1, entity_start[x] - 1, -1):  # accounts ascend: from the end to a
                other = by_entity[at]
                b = account[other]
                if b <= a:
                    break
                value = worth[x]
                if half_life_us > 0.0:
                    value *= 2.0 ** (-_gap(first[edge], last[edge], first[other], last[other]) / half_life_us)
                if number[b] == 0:
                    met[count] = b
                    count += 1
                total[b] += value
                number[b] += 1
        met[:count].sort()
        for k in range(count):
            b = met[k]
            left[size], right[size], llr[size], support[size] = a, b, min(total[b], most), number[b]
            total[b], number[b] = 0.0, 0
            size += 1
    return size


@njit(types.boolean(types.int32[::1], _OUT, _I, _I), cache=True, nogil=True)
def join_sized(parent, sizes, u, v):
    """Join the groups of two accounts; whether they were two. The root is the smallest code."""
    a, b = find(parent, u), find(parent, v)
    if a == b:
        return False
    low, high = min(a, b), max(a, b)
    parent[high] = low
    sizes[low] += sizes[high]
    sizes[high] = 0
    return True


@njit(_I(types.int32[::1], _OUT, _IN, _IN, _IN, _I, types.uint8[::1]), cache=True, nogil=True)
def join_entities(parent, sizes, order, start, members, limit, refused):
    """Join the accounts of each entity, in `order`, where the group would have at most `limit`; gives how many were
    refused, marked in `refused` by entity. `members[start[x] : start[x + 1]]` are the accounts of entity x."""
    count = 0
    for k in range(len(order)):
        x = order[k]
        root = find(parent, members[start[x]])
        total, several = sizes[root], False
        for at in range(start[x] + 1, start[x + 1]):
            other = find(parent, members[at])
            if other != root and sizes[other] > 0:
                total += sizes[other]
                sizes[other] = -sizes[other]  # counted
                several = True
        for at in range(start[x] + 1, start[x + 1]):
            other = find(parent, members[at])
            sizes[other] = abs(sizes[other])
        if not several:
            continue
        if total > limit:
            refused[x] = 1
            count += 1
            continue
        for at in range(start[x] + 1, start[x + 1]):
            join_sized(parent, sizes, members[start[x]], members[at])
    return count
