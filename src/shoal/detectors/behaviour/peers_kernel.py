# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Peer groups by what an account does: a sketch of its events, and sequential k-means over the sketches. Hot path.

The sketch counts an account's events in hashed cells, a block of 16 for each trait (type, client, …) and one of eight
for the time of day; all counts are halved when there are 1,024 events, so that it forgets by what was done since, not
by the clock. A group is a centre in the space of the square roots of the blocks' shares (Hellinger distance). An
account goes to the nearest centre, which moves towards it (MacQueen 1967); one that is far from all founds a group
while there is room (Hartigan's leader, 1975). So groups are a function of the journal, and are not declared by anybody.
Group 0 is that of accounts with too few events to tell.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from shoal.features.kernel.access_kernel import mix

CELLS, DAY_PARTS = 16, 8
HALVED_AT = 1024
HEAVIEST = 1000.0
"""A centre never moves by less than a thousandth of the way, so that it follows a drift."""
HOUR_US = 3_600_000_000


class Peers(NamedTuple):
    """`head` int64 [1]: groups in use; `centres` float64 [groups, cells]; `mass` float64 [groups]; `work` float64
    [cells], scratch; `limits` float64 [2]: events below which an account is young, squared distance of a new group."""

    head: npt.NDArray[np.int64]
    centres: npt.NDArray[np.float64]
    mass: npt.NDArray[np.float64]
    work: npt.NDArray[np.float64]
    limits: npt.NDArray[np.float64]


@njit(cache=True, nogil=True)
def note(cells, total, values, valid, traits, i, as_of):
    """Count event `i` in an account's sketch; gives its events so far."""
    for b in range(len(traits)):
        value = values[traits[b], i] if valid[traits[b], i] else np.int64(0)
        cells[b * CELLS + (mix(value, b + 1) & (CELLS - 1))] += 1
    cells[len(traits) * CELLS + (as_of // (3 * HOUR_US)) % DAY_PARTS] += 1
    total += 1
    if total >= HALVED_AT:
        for k in range(len(cells)):
            cells[k] >>= 1
        total >>= 1
    return total


@njit(cache=True, nogil=True)
def _shares(cells, work):
    size = len(cells)
    start = 0
    while start < size:
        end = min(start + CELLS, size)
        whole = 0.0
        for k in range(start, end):
            whole += cells[k]
        for k in range(start, end):
            work[k] = math.sqrt(cells[k] / whole) if whole > 0.0 else 0.0
        start = end


@njit(cache=True, nogil=True)
def group_of(peers, cells, total):
    """The group of an account with this sketch; moves the centre, or founds a group."""
    if total < peers.limits[0]:
        return 0
    x = peers.work
    _shares(cells, x)
    best = -1
    least = math.inf
    for g in range(peers.head[0]):
        distance = 0.0
        for k in range(len(x)):
            d = x[k] - peers.centres[g, k]
            distance += d * d
        if distance < least:
            best = g
            least = distance
    if least > peers.limits[1] and peers.head[0] < len(peers.mass):
        best = peers.head[0]
        peers.head[0] += 1
        peers.mass[best] = 0.0
    step = 1.0 / (peers.mass[best] + 1.0)
    for k in range(len(x)):
        peers.centres[best, k] += step * (x[k] - peers.centres[best, k])
    peers.mass[best] = min(peers.mass[best] + 1.0, HEAVIEST)
    return best + 1
