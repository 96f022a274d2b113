# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Variable-order surprise of an account's events: own n-grams, its peers', everybody's. Hot path.

Counts of contexts and of tokens in context stand in cells: a fixed number for each account, another for all together
with one space a peer group. A set of eight cells is looked through; where none is free the smallest count gives way, so
that memory is bounded and a flood of new tokens drives out rare ones first. Counts are halved after so many events.
P(token | context of k) is interpolated as in `takeover.sessions.levels` (Dirichlet priors, MacKay and Peto 1995):
everybody's shorter context → everybody's → the peers' → the account's, the latter with its own shorter context in so
far as its habits are known. A token never seen has a share of a nominal alphabet. `sequence.py` owns all arrays.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from shoal.detectors.behaviour.keys_kernel import find, key_of, take
from shoal.detectors.behaviour.peers_kernel import Peers, group_of, note
from shoal.detectors.behaviour.tails_kernel import BINS, STEPS, bin_of, steps_due, tail, weight_of
from shoal.features.kernel.access_kernel import mix

SET = 8
LONGEST = 4
"""Longest n-gram: three tokens of context."""
LAST, GROUP, EVENTS, COUNT, PLACE, SEEN, CONTEXT = 0, 1, 2, 3, 4, 5, 6
WHOLES = CONTEXT + LONGEST - 1
"""An account's whole numbers: time of its last event, peer group, events in the sketch, tokens counted, place in the
ring, events in the ring, and the tokens before, the newest first."""
START = np.int64(0x5354415254)
ROOT = np.int64(0x526F6F74)
WHOLE = np.int64(0x7FFFFFFF00000001)
"""The tokens before a session's first; the empty context; what stands for "any token" in a context's own count."""
OWN_PRIOR, CONTEXT_PRIOR, GROUP_PRIOR, BASE_PRIOR, ALPHABET = 50.0, 2.0, 20.0, 1.0, 4096.0
NONE = np.int64(-(2**62))
REGROUP = 16
"""An account's group is looked for after so many of its events."""
LOW, WIDTH = -4.0, 0.125
SHARED_MOST = np.uint32(2**31)


class Shared(NamedTuple):
    """Counts of groups and of all (the last): `marks` int64 and `counts` uint32 [cells]; `totals` int64 [groups];
    `landmark` int64 [2]; `hists` float64 [groups, BINS]; `mass` float64 [groups]."""

    marks: npt.NDArray[np.int64]
    counts: npt.NDArray[np.uint32]
    totals: npt.NDArray[np.int64]
    landmark: npt.NDArray[np.int64]
    hists: npt.NDArray[np.float64]
    mass: npt.NDArray[np.float64]


class Accounts(NamedTuple):
    """Rows by account: `wholes` int64 [rows, WHOLES], `highest` float64 [rows] (most bits of the session), `ring`
    float32 [rows, 2 * recent] (bits, then ratios), `marks` uint32 and `counts` uint16 [rows, own cells], `cells`
    uint16 [rows, sketch]."""

    wholes: npt.NDArray[np.int64]
    highest: npt.NDArray[np.float64]
    ring: npt.NDArray[np.float32]
    marks: npt.NDArray[np.uint32]
    counts: npt.NDArray[np.uint16]
    cells: npt.NDArray[np.uint16]


class Plan(NamedTuple):
    """What was asked: `keys`, `tokens` int64 (rows of the frame); `limits` int64 [7]: session gap and half-life in µs,
    the most keys, the longest n-gram, recent events, tokens after which own and shared counts are halved."""

    keys: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int64]
    limits: npt.NDArray[np.int64]


GAP, HALF_LIFE, MOST, ORDER, RECENT, OWN_MEMORY, SHARED_MEMORY = range(7)


@njit(cache=True, nogil=True)
def token_of(plan, values, valid, i):
    """One id of the token's columns; null is a value of its own."""
    ident = np.int64(0)
    for k in range(len(plan.tokens)):
        column = plan.tokens[k]
        ident = mix(ident ^ (values[column, i] if valid[column, i] else np.int64(0)), 2 * k + valid[column, i])
    return ident


@njit(cache=True, nogil=True)
def _own_mark(address):
    return np.uint32((address >> 32) | 1)


@njit(cache=True, nogil=True)
def _own_count(marks, counts, address):
    first = (address & (len(marks) // SET - 1)) * SET
    mark = _own_mark(address)
    for k in range(first, first + SET):
        if marks[k] == mark:
            return np.float64(counts[k])
    return 0.0


@njit(cache=True, nogil=True)
def _own_add(marks, counts, address):
    first = (address & (len(marks) // SET - 1)) * SET
    mark = _own_mark(address)
    least = first
    for k in range(first, first + SET):
        if marks[k] == mark:
            counts[k] += 1
            return
        if counts[k] < counts[least]:
            least = k
    marks[least] = mark
    counts[least] = 1


@njit(cache=True, nogil=True)
def _shared_count(shared, address):
    first = (address & (len(shared.marks) // SET - 1)) * SET
    for k in range(first, first + SET):
        if shared.marks[k] == address:
            return np.float64(shared.counts[k])
    return 0.0


@njit(cache=True, nogil=True)
def _shared_add(shared, address):
    first = (address & (len(shared.marks) // SET - 1)) * SET
    least = first
    for k in range(first, first + SET):
        if shared.marks[k] == address and shared.counts[k] > 0:
            if shared.counts[k] < SHARED_MOST:
                shared.counts[k] += 1
            return
        if shared.counts[k] < shared.counts[least]:
            least = k
    shared.marks[least] = address
    shared.counts[least] = 1


@njit(cache=True, nogil=True)
def _space(context, group):
    return mix(context, group + 3)


@njit(cache=True, nogil=True)
def probabilities(shared, wholes, marks, counts, known, token, order):
    """P(token) after the tokens before it, by the account and by its peers. `known`: 0 where there is no account."""
    every = len(shared.totals) - 1
    group = wholes[GROUP] if known else np.int64(0)
    total = np.float64(wholes[COUNT]) if known else 0.0
    trust = total / (total + OWN_PRIOR)
    context = ROOT
    p_all = 1.0 / ALPHABET
    p_own = 0.0
    p_peers = 0.0
    for k in range(order):
        if k > 0:
            context = mix(context ^ (wholes[CONTEXT + k - 1] if known else START), k)
        prior = BASE_PRIOR if k == 0 else CONTEXT_PRIOR
        place = _space(context, every)
        seen = _shared_count(shared, mix(place, token))
        whole = np.float64(shared.totals[every]) if k == 0 else _shared_count(shared, mix(place, WHOLE))
        p_all = (seen + prior * p_all) / (max(whole, seen) + prior)
        place = _space(context, group)
        seen = _shared_count(shared, mix(place, token))
        whole = np.float64(shared.totals[group]) if k == 0 else _shared_count(shared, mix(place, WHOLE))
        p_peers = (seen + GROUP_PRIOR * p_all) / (max(whole, seen) + GROUP_PRIOR)
        if not known:
            p_own = p_peers
        elif k == 0:
            seen = _own_count(marks, counts, mix(context, token))
            p_own = (seen + OWN_PRIOR * p_peers) / (total + OWN_PRIOR)
        else:
            seen = _own_count(marks, counts, mix(context, token))
            whole = _own_count(marks, counts, mix(context, WHOLE))
            below = trust * p_own + (1.0 - trust) * p_peers
            p_own = (seen + CONTEXT_PRIOR * below) / (max(whole, seen) + CONTEXT_PRIOR)
    return p_own, p_peers


@njit(cache=True, nogil=True)
def _halve_own(wholes, marks, counts):
    wholes[COUNT] >>= 1
    for k in range(len(marks)):
        counts[k] >>= 1
        if counts[k] == 0:
            marks[k] = 0


@njit(cache=True, nogil=True)
def _halve_shared(shared):
    for g in range(len(shared.totals)):
        shared.totals[g] >>= 1
    for k in range(len(shared.marks)):
        shared.counts[k] >>= np.uint32(1)
        if shared.counts[k] == 0:
            shared.marks[k] = 0


@njit(cache=True, nogil=True)
def _count(plan, shared, wholes, marks, counts, token):
    """Learn a token after the tokens before it, at all three levels."""
    every, group = len(shared.totals) - 1, wholes[GROUP]
    wholes[COUNT] += 1
    shared.totals[every] += 1
    shared.totals[group] += 1
    context = ROOT
    for k in range(plan.limits[ORDER]):
        if k > 0:
            context = mix(context ^ wholes[CONTEXT + k - 1], k)
            _own_add(marks, counts, mix(context, WHOLE))
        _own_add(marks, counts, mix(context, token))
        for turn in range(2):
            place = _space(context, group if turn else every)
            if k > 0:
                _shared_add(shared, mix(place, WHOLE))
            _shared_add(shared, mix(place, token))
    if wholes[COUNT] >= plan.limits[OWN_MEMORY]:
        _halve_own(wholes, marks, counts)
    if shared.totals[every] >= plan.limits[SHARED_MEMORY]:
        _halve_shared(shared)


@njit(cache=True, nogil=True)
def _age(shared, now, half_life):
    mark = shared.landmark
    if mark[1] == 0:
        mark[0] = now // (STEPS * half_life) * (STEPS * half_life)
        mark[1] = 1
    steps = steps_due(mark[0], now, half_life)
    if steps > 0:
        factor = math.pow(2.0, -np.float64(min(steps * STEPS, 1024)))
        mark[0] += steps * STEPS * half_life
        for g in range(len(shared.mass)):
            shared.mass[g] *= factor
            for k in range(BINS):
                shared.hists[g, k] *= factor


@njit(cache=True, nogil=True)
def _begin(wholes):
    for k in range(LONGEST - 1):
        wholes[CONTEXT + k] = START


@njit(cache=True, nogil=True)
def _clear(accounts, row):
    accounts.wholes[row, :] = 0
    accounts.wholes[row, LAST] = NONE
    accounts.highest[row] = 0.0
    accounts.ring[row, :] = 0.0
    accounts.marks[row, :] = 0
    accounts.counts[row, :] = 0
    accounts.cells[row, :] = 0


@njit(cache=True, nogil=True)
def _means(ring, seen, recent):
    """The mean bits and ratio of the events in the ring, added in the order of its places."""
    bits = 0.0
    ratio = 0.0
    many = min(seen, recent)
    for k in range(many):
        bits += np.float64(ring[k])
        ratio += np.float64(ring[recent + k])
    return bits / many, ratio / many


@njit(cache=True, nogil=True)
def _row_of(plan, keys, accounts, ident, now):
    """The row of an account, found or made, with its context and session as of now."""
    row = find(keys, ident)
    if row < 0:
        row = take(keys, ident, plan.limits[MOST])
        _clear(accounts, row)
    else:
        keys.again[row] = 1
    wholes = accounts.wholes[row]
    if wholes[LAST] == NONE or now - wholes[LAST] > plan.limits[GAP]:
        _begin(wholes)
        accounts.highest[row] = 0.0
    return row


@njit(cache=True, nogil=True)
def _learn(plan, accounts, shared, peers, row, values, valid, i, token, bits, ratio, now):
    """Take a judged event into the account and the shared counts; gives the two means and the tail probability."""
    wholes, ring = accounts.wholes[row], accounts.ring[row]
    recent = plan.limits[RECENT]
    accounts.highest[row] = max(accounts.highest[row], bits)
    ring[wholes[PLACE]] = bits
    ring[recent + wholes[PLACE]] = ratio
    wholes[PLACE] = (wholes[PLACE] + 1) % recent
    wholes[SEEN] = min(wholes[SEEN] + 1, recent)
    mean_bits, mean_ratio = _means(ring, wholes[SEEN], recent)
    _age(shared, now, plan.limits[HALF_LIFE])
    unit = weight_of(shared.landmark[0], now, plan.limits[HALF_LIFE])
    every, group = len(shared.totals) - 1, wholes[GROUP]
    at = bin_of(mean_ratio, LOW, WIDTH)
    p = tail(shared.hists[group], shared.mass[group], shared.hists[every], shared.mass[every], at, unit)
    for turn in range(2):
        g = group if turn else every
        shared.hists[g, at] += unit
        shared.mass[g] += unit
    _count(plan, shared, wholes, accounts.marks[row], accounts.counts[row], token)
    for k in range(LONGEST - 2, 0, -1):
        wholes[CONTEXT + k] = wholes[CONTEXT + k - 1]
    wholes[CONTEXT] = token
    wholes[LAST] = now
    wholes[EVENTS] = note(accounts.cells[row], wholes[EVENTS], values, valid, plan.tokens, i, now)
    if wholes[EVENTS] % REGROUP == 0:
        wholes[GROUP] = group_of(peers, accounts.cells[row], wholes[EVENTS])
    return mean_bits, mean_ratio, p


@njit(cache=True, nogil=True)
def run(plan, keys, accounts, shared, peers, values, valid, wanted, still, as_of, size, out, out_valid):
    """All rows of a batch in order. `wanted` int8 [n]: 1 a token; `still` uint8 [n]: 1 read and not learned; `out`
    float64 [6, >= n]: bits, ratio, mean bits, mean ratio, session's highest, tail probability."""
    order = plan.limits[ORDER]
    for i in range(size):
        ident, known = key_of(values, valid, plan.keys, i, 0)
        for k in range(6):
            out[k, i] = 0.0
            out_valid[k, i] = 0
        if not known or wanted[i] != 1:
            continue
        token = token_of(plan, values, valid, i)
        row = find(keys, ident) if still[i] else _row_of(plan, keys, accounts, ident, as_of[i])
        at = max(row, 0)
        own, peer = probabilities(
            shared, accounts.wholes[at], accounts.marks[at], accounts.counts[at], row >= 0, token, order
        )
        out[0, i] = -math.log2(own)
        out[1, i] = math.log2(peer / own)
        out_valid[0, i] = 1
        out_valid[1, i] = 1
        if not still[i]:
            mean_bits, mean_ratio, p = _learn(
                plan, accounts, shared, peers, row, values, valid, i, token, out[0, i], out[1, i], as_of[i]
            )
            out[2, i] = mean_bits
            out[3, i] = mean_ratio
            out[4, i] = accounts.highest[row]
            out[5, i] = p
            for k in range(2, 6):
                out_valid[k, i] = 1
