# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Decayed histograms and the tail probabilities that are read from them. Hot path.

Weights are in forward-decay form (Cormode et al., ICDE 2009): an addition at time t weighs 2^((t - L) / H), so that
nothing is aged until the exponent grows large; then all is scaled by an exact power of two and the landmark L moves.
The probability is the conformal one, (1 + mass at or above) / (1 + mass) (Vovk, Gammerman and Shafer 2005), the peers'
own mass first and the mass of all others as its prior; beyond the largest value seen it goes on exponentially, with
the mean excess over the upper 5 % as its scale, so that two values beyond all others keep their order.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

BINS = 128
STEPS = 64
"""After so many half-lives the landmark moves."""
UPPER, FEW = 0.05, 20.0
"""The share of the mass whose mean excess is the scale of the continuation; with so many observations its slope is half
of what it says."""
NEGLIGIBLE = 1e-6
"""What is left of an observation when it no longer counts as one that was seen."""
PRIOR = 200.0
"""How many observations the mass of all weighs against the peers' own."""


@njit(cache=True, nogil=True)
def bin_of(x, low, width):
    """The bin of a value; the first and the last are open."""
    k = (x - low) / width
    if not k > 0.0:
        return 0
    return np.int64(k) if k < BINS - 1 else BINS - 1


@njit(cache=True, nogil=True)
def beyond(hist, at, weight):
    """Mass at or above bin `at`, and the exponential continuation: 1 up to the largest bin in use, less beyond it.

    `weight` is what an observation of now weighs: the fewer there are, the flatter it goes on, and flat without any.
    """
    above = 0.0
    for k in range(at, BINS):
        above += hist[k]
    least = NEGLIGIBLE * weight
    if above > least:
        return above, 1.0
    top = at - 1
    while top >= 0 and hist[top] <= least:
        top -= 1
    if top < 0:
        return above, 1.0
    whole = 0.0
    for k in range(top + 1):
        whole += hist[k]
    seen = 0.0
    excess = 0.0
    k = top
    while k >= 0:
        seen += hist[k]
        if seen >= UPPER * whole:
            break
        k -= 1
    for j in range(k, top + 1):
        excess += hist[j] * (j - k + 0.5)
    many = whole / weight
    return above, math.exp((top - at) / (excess / seen) * (many / (many + FEW)))


@njit(cache=True, nogil=True)
def tail(own, own_mass, everyone, all_mass, at, weight):
    """The probability of bin `at` or above, by the peers' histogram and that of all; `weight` is what an observation
    of now weighs, `*_mass` the sums of the histograms."""
    above, end = beyond(everyone, at, weight)
    p_all = (above / weight + end) / (all_mass / weight + 1.0)
    above, end = beyond(own, at, weight)
    return min((above / weight + end + PRIOR * p_all) / (own_mass / weight + 1.0 + PRIOR), 1.0)


@njit(cache=True, nogil=True)
def harmonic(a, wa, b, wb, c, wc):
    """The harmonic mean of three probabilities with weights that sum to 1 (Wilson, PNAS 2019)."""
    return 1.0 / (wa / a + wb / b + wc / c)


@njit(cache=True, nogil=True)
def normal_score(t, nu):
    """The normal deviate with the tail of Student's t with `nu` degrees (Wallace, Ann. Math. Stat. 1959)."""
    z = (8.0 * nu + 1.0) / (8.0 * nu + 3.0) * math.sqrt(nu * math.log1p(t * t / nu))
    return z if t >= 0.0 else -z


@njit(cache=True, nogil=True)
def steps_due(landmark, now, half_life):
    """How many whole steps of `STEPS` half-lives lie between the landmark and now."""
    return (now - landmark) // (STEPS * half_life)


@njit(cache=True, nogil=True)
def weight_of(landmark, now, half_life):
    """What an observation of now weighs."""
    return math.pow(2.0, np.float64(now - landmark) / np.float64(half_life))
