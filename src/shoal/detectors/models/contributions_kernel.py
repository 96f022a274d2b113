# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""SHAP values of trees by quadrature: exact, and linear in the depth. Hot path of reasons.

Path-dependent TreeSHAP (Lundberg, Erion, Lee 2018; 2020) sets a game whose value at a leaf is a product over the inputs
of its path: `one` (0 or 1: does the row go that way) where an input is known, `share` (of the training rows) where it
is not. The Shapley value of an input in a product game is an integral (Owen's multilinear extension, 1972):

    (one_i - share_i) · leaf · ∫₀¹ Π_{j≠i} (one_j t + share_j (1 - t)) dt

whose integrand is a polynomial, so that Gauss-Legendre points give it exactly, and every factor is positive. A node
holds the product at each point, made from its parent's; sums over the leaves below go back up (as Yu et al., "Linear
TreeShap", 2022, do with polynomials). Owns no state; rows do not meet.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from shoal.detectors.models.trees_kernel import LEFT_BITS, SLOT_BITS, encode

_LEFT, _SLOT = np.uint64((1 << LEFT_BITS) - 1), np.uint64((1 << SLOT_BITS) - 1)
_SLOT_AT, _RANK_AT = np.uint64(LEFT_BITS), np.uint64(LEFT_BITS + SLOT_BITS)


@njit(cache=True, nogil=True)
def trace(nodes, covers, roots, slots, parent, same, share, column):
    """Fill, by node: its parent (-1), the nearest node above whose edge asks the same input (-1), the share of training
    rows that go this way by this input, and the input of its edge. Returns the most inputs on one path."""
    count = len(nodes)
    inputs = np.zeros(count, np.int64)
    most = 0
    for tree in range(len(roots)):
        root = np.int64(roots[tree])
        parent[root], same[root], share[root], column[root] = -1, -1, 1.0, -1
    for node in range(count):
        most = max(most, inputs[node])
        left = np.int64(nodes[node] & _LEFT)
        if left == node:
            continue
        asked = slots[(nodes[node] >> _SLOT_AT) & _SLOT, 0]
        above = node
        while above >= 0 and column[above] != asked:
            above = parent[above]
        for child in (left, left + 1):
            parent[child], same[child], column[child] = node, above, asked
            share[child] = covers[child] / covers[node] * (share[above] if above >= 0 else 1.0)
            inputs[child] = inputs[node] + (above < 0)
    return most


@njit(cache=True, nogil=True)
def _down(first, last, nodes, codes, parent, same, share, points, one, product, factor):
    """From the root to the leaves of one tree: whether the row goes to a node, and at inner nodes the factor of the
    input asked above and the product of the factors of all inputs above, each input once (its last)."""
    count = len(points)
    for q in range(count):
        product[0, q] = 1.0
    for node in range(first + 1, last):
        i, above, up = node - first, same[node], parent[node]
        asked = nodes[up]
        goes_right = np.int64(codes[(asked >> _SLOT_AT) & _SLOT]) > np.int64(asked >> _RANK_AT)
        here = (node == np.int64(asked & _LEFT) + goes_right) and (above < 0 or one[above - first])
        one[i] = here
        if np.int64(nodes[node] & _LEFT) == node:
            continue
        k, part = up - first, share[node]
        gain = (1.0 if here else 0.0) - part
        for q in range(count):
            factor[i, q] = part + gain * points[q]
            product[i, q] = product[k, q] * factor[i, q]
        if above >= 0:
            k = above - first
            for q in range(count):
                product[i, q] /= factor[k, q]


@njit(cache=True, nogil=True)
def _up(first, last, nodes, values, same, share, column, points, one, product, factor, below, sums):
    """From the leaves to the root: what the leaves below a node are worth with the factors below it, and the gains of
    the input that it asks, added to `sums` [d, points]. Where that input was asked above already, its factor there is
    divided out, and what the edge above will claim for these leaves is taken back."""
    count = len(points)
    for node in range(last - 1, first - 1, -1):
        i, left = node - first, np.int64(nodes[node] & _LEFT)
        if left == node:
            for q in range(count):
                below[i, q] = values[node]
            continue
        m, n, above, asked = left - first, left - first + 1, same[left], column[left]
        part_m, part_n = share[left], share[left + 1]
        gain_m, gain_n = (1.0 if one[m] else 0.0) - part_m, (1.0 if one[n] else 0.0) - part_n
        if above < 0:
            for q in range(count):
                t, b, c = points[q], below[m, q], below[n, q]
                below[i, q] = (part_m + gain_m * t) * b + (part_n + gain_n * t) * c
                sums[asked, q] += product[i, q] * (gain_m * b + gain_n * c)
        else:
            k = above - first
            claimed = (1.0 if one[k] else 0.0) - share[above]
            for q in range(count):
                t, b, c, inverse = points[q], below[m, q], below[n, q], 1.0 / factor[k, q]
                below[i, q] = ((part_m + gain_m * t) * b + (part_n + gain_n * t) * c) * inverse
                sums[asked, q] += product[i, q] * inverse * (gain_m * b + gain_n * c - claimed * below[i, q])


@njit(cache=True, nogil=True)
def shap(x, nodes, values, roots, slots, starts, cuts, parent, same, share, column, points, weights, most, out):
    """SHAP values `out` float64 [n, d] of the rows `x` [n, d]; `most`: nodes of the largest tree."""
    count, width = len(points), x.shape[1]
    codes, one = np.zeros(slots.shape[0] + 1, np.uint16), np.zeros(most, np.bool_)
    product, factor, below = np.empty((most, count)), np.empty((most, count)), np.empty((most, count))
    sums = np.empty((width, count))
    for row in range(x.shape[0]):
        encode(x[row], slots, starts, cuts, codes)
        sums[:] = 0.0
        for tree in range(len(roots)):
            first = np.int64(roots[tree])
            last = np.int64(roots[tree + 1]) if tree + 1 < len(roots) else len(nodes)
            _down(first, last, nodes, codes, parent, same, share, points, one, product, factor)
            _up(first, last, nodes, values, same, share, column, points, one, product, factor, below, sums)
        for i in range(width):
            total = 0.0
            for q in range(count):
                total += sums[i, q] * weights[q]
            out[row, i] = total
