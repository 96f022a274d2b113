# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""What an account did of late and ever: a bag of hashed event n-grams, and its place in an embedding. Hot path.

An n-gram's cell is a hash of its tokens. One that repeats the n-gram before it is passed over: a burst of a thousand
downloads says what its first two say. A bag holds at most so many n-grams, each with two weights: one that halves with
the account's own events, of what it does now, and one that halves with time, of its habits. Where no place is free, the
n-gram of the least habit gives way. The bag knows nothing of the embedding, so that another one can be taken up at any
time. The vectors are sums over the bag in the order of its places. `embedding.py` and `profile.py` own all arrays.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from shoal.detectors.behaviour.keys_kernel import find, key_of, take
from shoal.features.kernel.access_kernel import mix

NONE = np.int64(-(2**62))
LEAST = np.float32(2.0**-20)
"""An n-gram whose habit weighs less gives its place back."""


class Bags(NamedTuple):
    """Rows by account: `last` int64 [rows] (time of the last event), `before` int64 [rows, longest + 1] (tokens before,
    the newest first, and how many), `grams` int32 [rows, bag] (-1: free), `lately` and `habit` float32 [rows, bag]."""

    last: npt.NDArray[np.int64]
    before: npt.NDArray[np.int64]
    grams: npt.NDArray[np.int32]
    lately: npt.NDArray[np.float32]
    habit: npt.NDArray[np.float32]


class Plan(NamedTuple):
    """What was asked: `keys`, `tokens` int64 (rows of the frame); `limits` int64 [3]: half-life in µs, the most keys,
    cells; `keep` float64 [1]: what an event leaves of `lately`; `work` int64 [longest], scratch."""

    keys: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int64]
    limits: npt.NDArray[np.int64]
    keep: npt.NDArray[np.float64]
    work: npt.NDArray[np.int64]


class Space(NamedTuple):
    """An embedding: `weights` float64 [cells, dimensions] and `centres` float64 [groups, dimensions], both without rows
    while none is published; `sums` float64 [2, dimensions], scratch."""

    weights: npt.NDArray[np.float64]
    centres: npt.NDArray[np.float64]
    sums: npt.NDArray[np.float64]


HALF_LIFE, MOST, CELLS = range(3)


@njit(cache=True, nogil=True)
def step(last, token, cells, out):
    """The cells of the n-grams that end at a token, the shortest first, -1 where it is passed over. `last` int64
    [longest] holds the tokens before, the newest first, and how many there are at its end; it is moved on."""
    longest = len(out)
    before = last[longest]
    address = np.int64(0)
    same = before > 0 and last[0] == token
    for n in range(longest):
        out[n] = -1
        if n > 0:
            if n > before:
                continue
            address = mix(address ^ last[n - 1], n)
        else:
            address = mix(token, 0x6E6772616D)
        # the n-gram before this one is the same where all its tokens are one token
        run = same and n < before
        for k in range(n + 1):
            if not run:
                break
            run = last[k] == token
        if not run:
            out[n] = (mix(address, n) >> 20) & (cells - 1)
    for k in range(longest - 1, 0, -1):
        last[k] = last[k - 1]
    last[0] = token
    last[longest] = min(before + 1, longest)


@njit(cache=True, nogil=True)
def cells_of(accounts, tokens, longest, cells):
    """Row and cell of every n-gram; `accounts` int64 [n], the rows of one account together and in time order. The rows
    of the answer count accounts in the order in which they come."""
    rows = np.empty(len(tokens) * longest, np.int64)
    places = np.empty(len(tokens) * longest, np.int64)
    last = np.zeros(longest + 1, np.int64)
    out = np.empty(longest, np.int64)
    used = 0
    row = -1
    for i in range(len(tokens)):
        if i == 0 or accounts[i] != accounts[i - 1]:
            row += 1
            last[:] = 0
        step(last, tokens[i], cells, out)
        for n in range(longest):
            if out[n] >= 0:
                rows[used] = row
                places[used] = out[n]
                used += 1
    return rows[:used], places[:used]


@njit(cache=True, nogil=True)
def token_of(plan, values, valid, i):
    """One id of the token's columns; null is a value of its own."""
    ident = np.int64(0)
    for k in range(len(plan.tokens)):
        column = plan.tokens[k]
        ident = mix(ident ^ (values[column, i] if valid[column, i] else np.int64(0)), 2 * k + valid[column, i])
    return ident


@njit(cache=True, nogil=True)
def _put(bags, row, gram):
    """Add one occurrence of an n-gram, in its place, a free one, or the one of the least habit."""
    grams, habit = bags.grams[row], bags.habit[row]
    place = -1
    for k in range(len(grams)):
        if grams[k] == gram:
            bags.lately[row, k] += np.float32(1.0)
            habit[k] += np.float32(1.0)
            return
        if place < 0 or (grams[place] >= 0 and (grams[k] < 0 or habit[k] < habit[place])):
            place = k
    grams[place] = gram
    bags.lately[row, place] = 1.0
    habit[place] = 1.0


@njit(cache=True, nogil=True)
def _learn(plan, bags, row, token, now):
    """Take a token into the bag of an account. Time never turns back here: `as_of` does not."""
    if bags.last[row] != NONE:
        slow = np.float32(math.pow(2.0, -np.float64(now - bags.last[row]) / np.float64(plan.limits[HALF_LIFE])))
        for k in range(bags.grams.shape[1]):
            if bags.grams[row, k] < 0:
                continue
            bags.lately[row, k] *= np.float32(plan.keep[0])
            bags.habit[row, k] *= slow
            if bags.habit[row, k] < LEAST and bags.lately[row, k] < LEAST:
                bags.grams[row, k] = -1
    bags.last[row] = now
    step(bags.before[row], token, plan.limits[CELLS], plan.work)
    for n in range(len(plan.work)):
        if plan.work[n] >= 0:
            _put(bags, row, np.int32(plan.work[n]))


@njit(cache=True, nogil=True)
def _clear(bags, row):
    bags.last[row] = NONE
    bags.before[row, :] = 0
    bags.grams[row, :] = -1
    bags.lately[row, :] = 0.0
    bags.habit[row, :] = 0.0


@njit(cache=True, nogil=True)
def _unit(vector):
    square = 0.0
    for d in range(len(vector)):
        square += vector[d] * vector[d]
    if not square > 1e-24:
        return False
    length = math.sqrt(square)
    for d in range(len(vector)):
        vector[d] /= length
    return True


@njit(cache=True, nogil=True)
def place_of(space, grams, lately, habit):
    """The unit vectors of habit, `space.sums[0]`, and of late, `[1]`, and whether both are known."""
    space.sums[:, :] = 0.0
    for k in range(len(grams)):
        if grams[k] < 0:
            continue
        for d in range(space.weights.shape[1]):
            weight = space.weights[grams[k], d]
            space.sums[0, d] += np.float64(habit[k]) * weight
            space.sums[1, d] += np.float64(lately[k]) * weight
    first = _unit(space.sums[0])
    return _unit(space.sums[1]) and first


@njit(cache=True, nogil=True)
def _far(vector, other):
    square = 0.0
    for d in range(len(vector)):
        square += (vector[d] - other[d]) * (vector[d] - other[d])
    return square


@njit(cache=True, nogil=True)
def _tell(space, bags, row, i, out, whole, out_valid):
    if not place_of(space, bags.grams[row], bags.lately[row], bags.habit[row]):
        return
    many = space.weights.shape[1]
    group, least = 0, math.inf
    for g in range(len(space.centres)):
        square = _far(space.sums[0], space.centres[g])
        if square < least:
            group, least = g, square
    whole[0, i] = group
    out[1, i] = math.sqrt(_far(space.sums[1], space.centres[group]))
    out[2, i] = math.sqrt(_far(space.sums[1], space.sums[0]))
    for d in range(many):
        out[3 + d, i] = space.sums[0, d]
    for k in range(3 + many):
        out_valid[k, i] = 1


@njit(cache=True, nogil=True)
def run(plan, keys, bags, space, values, valid, wanted, still, as_of, size, out, whole, out_valid):
    """All rows of a batch in order. `wanted` int8 [n]: 1 a token; `still` uint8 [n]: 1 read and not learned; `out`
    float64 and `whole` int64 [3 + dimensions, >= n] are one memory: group, distance from the group, distance from the
    habit, the habit's vector. All null while nothing is published."""
    for i in range(size):
        ident, known = key_of(values, valid, plan.keys, i, 0)
        for k in range(len(out)):
            out[k, i] = 0.0
            out_valid[k, i] = 0
        if not known or wanted[i] != 1:
            continue
        row = find(keys, ident)
        if not still[i]:
            if row < 0:
                row = take(keys, ident, plan.limits[MOST])
                _clear(bags, row)
            else:
                keys.again[row] = 1
            _learn(plan, bags, row, token_of(plan, values, valid, i), as_of[i])
        if row >= 0 and len(space.weights):
            _tell(space, bags, row, i, out, whole, out_valid)
