# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""SHAP values of trees by quadrature: exact, and linear in the depth. Hot path of reasons.

Path-dependent TreeSHAP (Lundberg, Erion, Lee 2018; 2020) sets a game whose value at a leaf is a product over the inputs
of its path: `one` (0 or 1: does the row go that way) where an input is known, `share` (of the training rows) where it
is not. The Shapley value of an input in a product game is an integral (Owen's multilinear extension, 1972):

    (one_i - share_i) · leaf · ∫₀¹ Π_{j≠i} (one_j t + share_j (1 - t)) dt

whose integrand is a polynomial, so that Gauss-Legendre points give it exactly; every term is positive, nothing cancels.
A node holds the product at each point, made from its parent's; sums over the leaves below go back up (as Yu et al.,
"Linear TreeShap", 2022, do with polynomials). Owns no state; rows do not meet.
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
def _down(first, last, nodes, codes, parent, same, share, points, one, product, inverse):
    """From the root to the leaves of one tree: whether the row goes here, the product, the factor's inverse."""
    count = len(points)
    for q in range(count):
        product[0, q] = 1.0
    for node in range(first + 1, last):
        i, above, up = node - first, same[node], parent[node]
        asked = nodes[up]
        goes_right = np.int64(codes[(asked >> _SLOT_AT) & _SLOT]) > np.int64(asked >> _RANK_AT)
        here = (node == np.int64(asked & _LEFT) + goes_right) and (above < 0 or one[above - first])
        one[i] = here
        full, part = 1.0 if here else 0.0, share[node]
        k = up - first
        for q in range(count):
            factor = full * points[q] + part * (1.0 - points[q])
            inverse[i, q] = 1.0 / factor
            product[i, q] = product[k, q] * factor
        if above >= 0:
            k = above - first
            for q in range(count):
                product[i, q] *= inverse[k, q]


@njit(cache=True, nogil=True)
def _up(first, last, nodes, values, parent, same, share, column, weights, one, product, inverse, sums):
    """From the leaves to the root: `product` becomes the weighted sum over the leaves below; `sums` [d, points]."""
    count = len(weights)
    for node in range(last - 1, first, -1):
        i, above, asked, k = node - first, same[node], column[node], parent[node] - first
        if np.int64(nodes[node] & _LEFT) == node:
            for q in range(count):
                product[i, q] *= values[node] * weights[q]
        gain = (1.0 if one[i] else 0.0) - share[node]
        for q in range(count):
            sums[asked, q] += gain * product[i, q] * inverse[i, q]
        if above >= 0:
            j = above - first
            gain = (1.0 if one[j] else 0.0) - share[above]
            for q in range(count):
                sums[asked, q] -= gain * product[i, q] * inverse[j, q]
        if node & 1 == first & 1:  # the right one of two siblings: it comes first, and clears what the parent held
            for q in range(count):
                product[k, q] = product[i, q]
        else:
            for q in range(count):
                product[k, q] += product[i, q]


@njit(cache=True, nogil=True)
def shap(
    x, nodes, values, roots, slots, starts, cuts, parent, same, share, column, points, weights, most, out
):  # fmt: skip
    """SHAP values `out` float64 [n, d] of the rows `x` [n, d]; `most`: nodes of the largest tree."""
    count, width = len(points), x.shape[1]
    codes = np.zeros(slots.shape[0] + 1, np.uint16)
    one = np.zeros(most, np.bool_)
    product, inverse = np.empty((most, count)), np.empty((most, count))
    sums = np.empty((width, count))
    for row in range(x.shape[0]):
        encode(x[row], slots, starts, cuts, codes)
        sums[:] = 0.0
        for tree in range(len(roots)):
            first = np.int64(roots[tree])
            last = np.int64(roots[tree + 1]) if tree + 1 < len(roots) else len(nodes)
            _down(first, last, nodes, codes, parent, same, share, points, one, product, inverse)
            _up(first, last, nodes, values, parent, same, share, column, weights, one, product, inverse, sums)
        for i in range(width):
            total = 0.0
            for q in range(count):
                total += sums[i, q]
            out[row, i] = total
