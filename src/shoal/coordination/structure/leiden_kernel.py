# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""The three steps of Leiden under the constant Potts model: move, refine, aggregate. Hot path.

Traag, Waltman and van Eck (Scientific Reports 9:5233, 2019), written from the paper. A graph is rows (`start`,
`beside`, `strength`, see `csr_kernel`) and `size` float64 [n], how many nodes of the first graph a node stands for. To
move a node of size s into a community of size S gains what ties it there less resolution * s * S. Among equal gains the
first in the node's row is taken, so that a component's communities do not depend on what else is in the graph. The
caller owns all arrays; `total` float64 [n] comes and goes as zeros.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from shoal.coordination.structure.draw_kernel import draw_unit

SLACK = 1e-12
"""A gain counts from this share of the node's strength on, which keeps roundings from moving nodes for ever."""


@njit(["float64(int64[::1], int32[::1], float64[::1], int32[::1], int64, float64[::1], int32[::1], int64[::1])"],
      cache=True, nogil=True)  # fmt: skip
def gather(start, beside, strength, label, v, total, seen, count):
    """Sum v's ties by label into `total`, noting the labels in `seen` and how many in `count[0]`; the sum of all."""
    whole = 0.0
    many = 0
    for e in range(start[v], start[v + 1]):
        c = label[beside[e]]
        if total[c] == 0.0:
            seen[many] = c
            many += 1
        total[c] += strength[e]
        whole += strength[e]
    count[0] = many
    return whole


@njit(["int64(int64[::1], int32[::1], float64[::1], float64[::1], float64, int32[::1], int32[::1], float64[::1])"],
      cache=True, nogil=True)  # fmt: skip
def move(start, beside, strength, size, resolution, order, label, total):
    """Move nodes to their best communities, beginning with `order` and going on with the neighbours of who moved,
    until nobody gains; changes `label` (any numbers below n). How many moves."""
    n = np.int64(len(size))
    mass, members = np.zeros(n), np.zeros(n, np.int32)
    for x in range(n):
        mass[label[x]] += size[x]
        members[label[x]] += 1
    free, waiting, queue = np.empty(n, np.int32), np.ones(n, np.uint8), order.copy()
    spare = 0
    for x in range(n - 1, -1, -1):
        if members[x] == 0:
            free[spare] = x
            spare += 1
    seen, count = np.empty(n, np.int32), np.zeros(1, np.int64)
    head, held, moves = np.int64(0), n, 0
    while held:
        v = np.int64(queue[head])
        head = head + 1 if head + 1 < n else np.int64(0)
        held -= 1
        waiting[v] = 0
        own = np.int64(label[v])
        whole = gather(start, beside, strength, label, v, total, seen, count)
        weight = resolution * size[v]
        stay = total[own] - weight * (mass[own] - size[v])
        best, gain = own, stay
        for k in range(count[0]):
            c = np.int64(seen[k])
            if c != own:
                found = total[c] - weight * mass[c]
                if found > gain:
                    best, gain = c, found
            total[c] = 0.0
        if gain < 0.0 and members[own] > 1:
            best, gain = np.int64(free[spare - 1]), 0.0
        if best == own or gain - stay <= SLACK * (whole + weight * mass[own]):
            continue
        if members[best] == 0:
            spare -= 1
        mass[own] -= size[v]
        mass[best] += size[v]
        members[own] -= 1
        members[best] += 1
        if members[own] == 0:
            mass[own] = 0.0
            free[spare] = own
            spare += 1
        label[v] = best
        moves += 1
        for e in range(start[v], start[v + 1]):
            u = np.int64(beside[e])
            if waiting[u] == 0 and label[u] != best:
                waiting[u] = 1
                at = head + held
                queue[at if at < n else at - n] = u
                held += 1
    return moves


@njit(["int64(int64, float64, float64[::1], float64[::1], float64, float64, float64[::1], int32[::1], int64,"
       " float64, uint64[::1])"], cache=True, nogil=True)  # fmt: skip
def choose(v, size, weight, outward, resolution, whole, total, seen, many, looseness, state):
    """The part that v joins: of those that are well tied and lose nothing the one that gains most, or, with looseness,
    one drawn with odds exp(gain / looseness); v where there is none. Leaves `total` as it is."""
    least = -SLACK * outward[v]
    best, gain = np.int64(v), least
    for k in range(many):
        c = np.int64(seen[k])
        found = total[c] - resolution * size * weight[c]
        if found > gain and outward[c] >= resolution * weight[c] * (whole - weight[c]) * (1.0 - SLACK):
            best, gain = c, found
    if looseness == 0.0 or best == v:
        return best
    odds = 0.0
    pick = best
    for k in range(many):
        c = np.int64(seen[k])
        found = total[c] - resolution * size * weight[c]
        if found > least and outward[c] >= resolution * weight[c] * (whole - weight[c]) * (1.0 - SLACK):
            own = np.exp((found - gain) / looseness)
            odds += own
            if draw_unit(state) * odds < own:
                pick = c
    return pick


@njit(["void(int64[::1], int32[::1], float64[::1], float64[::1], float64, int32[::1], int32[::1], float64[::1],"
       " int32[::1], float64, uint64[::1])"], cache=True, nogil=True)  # fmt: skip
def refine(start, beside, strength, size, resolution, order, label, total, part, looseness, state):
    """Part each community into connected ones: from nodes that are each alone, a node that is well tied to its
    community joins a part of it, itself well tied, as `choose` says. Writes `part` int32 [n], a member's number."""
    n = len(size)
    mass, weight, outward = np.zeros(n), np.empty(n), np.zeros(n)
    alone = np.ones(n, np.uint8)
    for x in range(n):
        mass[label[x]] += size[x]
        part[x] = x
        weight[x] = size[x]
        for e in range(start[x], start[x + 1]):
            if label[beside[e]] == label[x]:
                outward[x] += strength[e]
    seen = np.empty(n, np.int32)
    for i in range(n):
        v = np.int64(order[i])
        whole = mass[label[v]]
        if alone[v] == 0 or outward[v] < resolution * size[v] * (whole - size[v]) * (1.0 - SLACK):
            continue
        many = 0
        for e in range(start[v], start[v + 1]):
            u = beside[e]
            if label[u] == label[v]:
                c = part[u]
                if total[c] == 0.0:
                    seen[many] = c
                    many += 1
                total[c] += strength[e]
        best = choose(v, size[v], weight, outward, resolution, whole, total, seen, many, looseness, state)
        if best != v:
            part[v] = best
            alone[best] = 0
            outward[best] += outward[v] - 2.0 * total[best]
            weight[best] += weight[v]
        for k in range(many):
            total[seen[k]] = 0.0


@njit(["int64(int32[::1], int32[::1])"], cache=True, nogil=True)
def renumber(part, out):
    """Dense numbers by first member for labels below n; how many there are."""
    given = np.full(len(part), -1, np.int32)
    count = 0
    for v in range(len(part)):
        if given[part[v]] < 0:
            given[part[v]] = count
            count += 1
        out[v] = given[part[v]]
    return count


@njit(["int64(int64[::1], int32[::1], float64[::1], int32[::1], int64, float64[::1], int64[::1], int32[::1],"
       " float64[::1])"], cache=True, nogil=True)  # fmt: skip
def aggregate(start, beside, strength, part, count, total, out_start, out, out_strength):
    """Rows of the graph whose nodes are the `count` parts; what lies within a part is left out. How many places."""
    n = len(part)
    first = np.zeros(count + 1, np.int64)
    for v in range(n):
        first[part[v] + 1] += 1
    for c in range(count):
        first[c + 1] += first[c]
    place, nodes = first[:count].copy(), np.empty(n, np.int32)
    for v in range(n):
        nodes[place[part[v]]] = v
        place[part[v]] += 1
    size = 0
    for c in range(count):
        begin = size
        for i in range(first[c], first[c + 1]):
            v = nodes[i]
            for e in range(start[v], start[v + 1]):
                d = part[beside[e]]
                if d == c:
                    continue
                if total[d] == 0.0:
                    out[size] = d
                    size += 1
                total[d] += strength[e]
        for e in range(begin, size):
            out_strength[e] = total[out[e]]
            total[out[e]] = 0.0
        out_start[c + 1] = size
    return size


@njit(["float64(int64[::1], int32[::1], float64[::1], float64[::1], float64, int32[::1])"], cache=True, nogil=True)
def potts(start, beside, strength, size, resolution, label):
    """Weight within communities less resolution times the pairs within them (sizes multiplied), pairs of one node
    left out."""
    n = len(size)
    mass = np.zeros(n)
    inside, alone = 0.0, 0.0
    for v in range(n):
        mass[label[v]] += size[v]
        alone += size[v] * size[v]
        for e in range(start[v], start[v + 1]):
            if label[beside[e]] == label[v]:
                inside += strength[e]
    pairs = 0.0
    for c in range(n):
        pairs += mass[c] * mass[c]
    return 0.5 * (inside - resolution * (pairs - alone))


@njit(["void(int64[::1], int32[::1], int32[::1], int32[::1])"], cache=True, nogil=True)
def split(start, beside, label, parent):
    """Union-find over the ties within communities, from `parent` int32 [n] with each node his own: what is not
    connected becomes several communities, each known by its smallest member."""
    for v in range(len(label)):
        for e in range(start[v], start[v + 1]):
            u = np.int64(beside[e])
            if u < v and label[u] == label[v]:
                a, b = u, np.int64(v)
                while np.int64(parent[a]) != a:
                    parent[a] = parent[parent[a]]
                    a = np.int64(parent[a])
                while np.int64(parent[b]) != b:
                    parent[b] = parent[parent[b]]
                    b = np.int64(parent[b])
                if a < b:
                    parent[b] = a
                elif b < a:
                    parent[a] = b
    for v in range(len(parent)):
        parent[v] = parent[parent[v]]
