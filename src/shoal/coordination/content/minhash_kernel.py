# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Kernels of MinHash: signatures, bands, and the exact comparison of two sets.

A signature holds, for each of k hash functions, the smallest hash over a set's items; two sets agree in one place with
probability equal to their Jaccard similarity (Broder 1997). Hash functions are multiply-shift over 64 bits
(Dietzfelbinger et al. 1997) of ids that are keyed hashes themselves. Places are cut into bands; sets that agree in a
whole band are candidates (Indyk and Motwani, STOC 1998). Pure arrays; no fast-math, one thread.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64


@njit(cache=True, nogil=True)
def mixed(value):
    """A 64-bit integer with its bits spread (the finaliser of SplitMix64)."""
    x = uint64(value)
    x = (x ^ (x >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> uint64(27))) * uint64(0x94D049BB133111EB)
    return x ^ (x >> uint64(31))


@njit(cache=True, nogil=True)
def signatures(start, item, multiply, add, out):
    """Fill `out` uint32 [sets, k]: the smallest hash over the items of each set; an empty set has the largest value
    everywhere."""
    count = len(multiply)
    row = np.empty(count, np.uint32)
    for one in range(len(start) - 1):
        for at in range(count):
            row[at] = np.uint32(0xFFFFFFFF)
        for place in range(start[one], start[one + 1]):
            x = mixed(item[place])
            for at in range(count):
                value = np.uint32((multiply[at] * x + add[at]) >> uint64(32))
                row[at] = min(row[at], value)
        for at in range(count):
            out[one, at] = row[at]


@njit(cache=True, nogil=True)
def bands(signature, rows, out):
    """Fill `out` int64 [sets, bands]: one key for each `rows` places of a signature."""
    for one in range(signature.shape[0]):
        for band in range(out.shape[1]):
            key = uint64(band + 1) * uint64(0x9E3779B97F4A7C15)
            for at in range(band * rows, band * rows + rows):
                key = mixed(key ^ uint64(signature[one, at]))
            out[one, band] = np.int64(key)


@njit(cache=True, nogil=True)
def compare(start, item, spoken, silent, weight, left, right, shared, inside, outside, llr):
    """Compare pairs of sets exactly: `shared` int64 the number of items in both, `inside` and `outside` float64 the
    weights of their intersection and union, `llr` float64 the sum of `spoken` over the items in both and of `silent`
    over those in one. `spoken`, `silent`, `weight` float64 stand by place in `item`."""
    for pair in range(len(left)):
        i, end_i = start[left[pair]], start[left[pair] + 1]
        j, end_j = start[right[pair]], start[right[pair] + 1]
        count = 0
        both = 0.0
        every = 0.0
        said = 0.0
        while i < end_i or j < end_j:
            if j >= end_j or (i < end_i and item[i] < item[j]):
                every += weight[i]
                said += silent[i]
                i += 1
            elif i >= end_i or item[j] < item[i]:
                every += weight[j]
                said += silent[j]
                j += 1
            else:
                count += 1
                both += weight[i]
                every += weight[i]
                said += spoken[i]
                i += 1
                j += 1
        shared[pair] = count
        inside[pair] = both
        outside[pair] = every
        llr[pair] = said
