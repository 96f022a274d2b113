# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Variable-order surprise of an account's events: own n-grams, its peers', everybody's. Hot path.

An account keeps its last tokens (16 bits each); how often a context and a token behind it occurred is counted in them
when it is asked, so that counts are exact and old habits go by themselves. The counts of groups and of all stand in
cells: a set of eight is looked through, and where none is free the smallest count gives way, so that a flood of new
tokens drives out rare ones first. P(token | context of k) is interpolated as in `takeover.sessions.levels` (Dirichlet
priors, MacKay and Peto 1995): everybody's shorter context → everybody's → the peers' → the account's, the latter with
its own shorter context in so far as its habits are known; the last two are mixed by how well each foretold the
account so far. A token never seen has a share of a nominal alphabet.
`sequence.py` owns all arrays.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from shoal.detectors.behaviour.keys_kernel import find, key_of, take
from shoal.detectors.behaviour.peers_kernel import group_of, note
from shoal.detectors.behaviour.tails_kernel import BINS, STEPS, bin_of, steps_due, tail, weight_of
from shoal.features.kernel.access_kernel import mix

SET = 8
LONGEST = 4
"""Longest n-gram: three tokens of context."""
LAST, GROUP, EVENTS, PUSHED, PLACE, SEEN, CONTEXT = 0, 1, 2, 3, 4, 5, 6
WHOLES = CONTEXT + LONGEST - 1
"""An account's whole numbers: time of its last event, peer group, events in the sketch, marks pushed into the history,
place in the ring, events in the ring, and the tokens before, the newest first."""
FIRST = np.uint16(0)
"""The mark that begins a session."""
RUN = 4
"""So many of the same token in a row are learned; the rest of a burst says nothing new and drives nothing out."""
START = np.int64(0x5354415254)
ROOT = np.int64(0x526F6F74)
WHOLE = np.int64(0x7FFFFFFF00000001)
"""The tokens before a session's first; the empty context; what stands for "any token" in a context's own count."""
OWN_PRIOR, CONTEXT_PRIOR, GROUP_PRIOR, BASE_PRIOR, ALPHABET = 50.0, 2.0, 20.0, 1.0, 4096.0
NONE = np.int64(-(2**62))
REGROUP = 16
"""An account's group is looked for after so many of its events."""
KEPT, MOST_EVIDENCE = 0.98, 8.0
"""What is kept of the evidence from event to event, and its bound in nats: an account whose habits tell nothing is
judged as its peers are, within a bounded number of bits of the better of the two (Herbster and Warmuth 1998)."""
LOW, WIDTH = -4.0625, 0.125
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
    """Rows by account: `wholes` int64 [rows, WHOLES], `highest` float64 [rows] (most bits of the session), `evidence`
    float64 [rows] (log odds of its habits against its peers', by its last events), `ring` float32 [rows, 2 * recent]
    (bits, then ratios), `history` uint16 [rows, a power of two], `cells` uint16 [rows, sketch]."""

    wholes: npt.NDArray[np.int64]
    highest: npt.NDArray[np.float64]
    evidence: npt.NDArray[np.float64]
    ring: npt.NDArray[np.float32]
    history: npt.NDArray[np.uint16]
    cells: npt.NDArray[np.uint16]


class Plan(NamedTuple):
    """What was asked: `keys`, `tokens` int64 (rows of the frame); `limits` int64 [6]: session gap and half-life in µs,
    the most keys, the longest n-gram, recent events, tokens after which shared counts are halved; `work` float64 [2,
    LONGEST], scratch."""

    keys: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int64]
    limits: npt.NDArray[np.int64]
    work: npt.NDArray[np.float64]


GAP, HALF_LIFE, MOST, ORDER, RECENT, SHARED_MEMORY = range(6)


@njit(cache=True, nogil=True)
def token_of(plan, values, valid, i):
    """One id of the token's columns; null is a value of its own."""
    ident = np.int64(0)
    for k in range(len(plan.tokens)):
        column = plan.tokens[k]
        ident = mix(ident ^ (values[column, i] if valid[column, i] else np.int64(0)), 2 * k + valid[column, i])
    return ident


@njit(cache=True, nogil=True)
def _mark_of(token):
    """The 16 bits of a token that an account's history keeps; two tokens share them once in 65,535."""
    return np.uint16((token & 0x7FFFFFFFFFFFFFFF) % 65_535 + 1)


@njit(cache=True, nogil=True)
def own_counts(history, pushed, mark, order, work):
    """How often each context of the newest tokens stands in the history, `work[0]`, and how often with the token behind
    it, `work[1]`, for contexts of 0 to `order` - 1 tokens. Behind `FIRST` nothing is told apart."""
    work[:, :] = 0.0
    mask = len(history) - 1
    held = min(pushed, len(history))
    for j in range(held):
        at = pushed - 1 - j
        here = history[at & mask]
        if here == FIRST:
            continue
        hit = 1.0 if here == mark else 0.0
        work[0, 0] += 1.0
        work[1, 0] += hit
        for k in range(1, order):
            if j + k >= held or k > held or history[(at - k) & mask] != history[(pushed - k) & mask]:
                break
            begun = history[(at - k) & mask] == FIRST
            for m in range(k, order if begun else k + 1):
                work[0, m] += 1.0
                work[1, m] += hit
            if begun:
                break


@njit(cache=True, nogil=True)
def _push(history, wholes, mark):
    history[wholes[PUSHED] & (len(history) - 1)] = mark
    wholes[PUSHED] += 1


@njit(cache=True, nogil=True)
def _running(history, wholes, mark):
    """Whether the newest `RUN` marks are all this one."""
    if wholes[PUSHED] < RUN:
        return False
    for k in range(1, RUN + 1):
        if history[(wholes[PUSHED] - k) & (len(history) - 1)] != mark:
            return False
    return True


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
def _seen(shared, place, token, k, group):
    seen = _shared_count(shared, mix(place, token))
    whole = np.float64(shared.totals[group]) if k == 0 else _shared_count(shared, mix(place, WHOLE))
    return seen, max(whole, seen)


@njit(cache=True, nogil=True)
def probabilities(plan, shared, wholes, history, known, token):
    """P(token) after the tokens before it, by the account's habits and by its peers. `known`: 0 for a stranger."""
    every, work = len(shared.totals) - 1, plan.work
    group = wholes[GROUP] if known else np.int64(0)
    if known:
        own_counts(history, wholes[PUSHED], _mark_of(token), plan.limits[ORDER], work)
    else:
        work[:, :] = 0.0
    trust = work[0, 0] / (work[0, 0] + OWN_PRIOR)
    context = ROOT
    p_all = 1.0 / ALPHABET
    p_own = 0.0
    p_peers = 0.0
    for k in range(plan.limits[ORDER]):
        if k > 0:
            context = mix(context ^ (wholes[CONTEXT + k - 1] if known else START), k)
        seen, whole = _seen(shared, _space(context, every), token, k, every)
        prior = BASE_PRIOR if k == 0 else CONTEXT_PRIOR
        p_all = (seen + prior * p_all) / (whole + prior)
        seen, whole = _seen(shared, _space(context, group), token, k, group)
        p_peers = (seen + GROUP_PRIOR * p_all) / (whole + GROUP_PRIOR)
        if k == 0:
            p_own = (work[1, 0] + OWN_PRIOR * p_peers) / (work[0, 0] + OWN_PRIOR)
        else:
            below = trust * p_own + (1.0 - trust) * p_peers
            p_own = (work[1, k] + CONTEXT_PRIOR * below) / (work[0, k] + CONTEXT_PRIOR)
    return p_own, p_peers


@njit(cache=True, nogil=True)
def _halve_shared(shared):
    for g in range(len(shared.totals)):
        shared.totals[g] >>= 1
    for k in range(len(shared.marks)):
        shared.counts[k] >>= np.uint32(1)
        if shared.counts[k] == 0:
            shared.marks[k] = 0


@njit(cache=True, nogil=True)
def _count(plan, shared, wholes, history, token):
    """Learn a token after the tokens before it, at all three levels; no more of a run than `RUN`."""
    mark = _mark_of(token)
    if _running(history, wholes, mark):
        return
    every, group = len(shared.totals) - 1, wholes[GROUP]
    shared.totals[every] += 1
    shared.totals[group] += 1
    context = ROOT
    for k in range(plan.limits[ORDER]):
        if k > 0:
            context = mix(context ^ wholes[CONTEXT + k - 1], k)
        for turn in range(2):
            place = _space(context, group if turn else every)
            if k > 0:
                _shared_add(shared, mix(place, WHOLE))
            _shared_add(shared, mix(place, token))
    _push(history, wholes, mark)
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
def _clear(accounts, row):
    accounts.wholes[row, :] = 0
    accounts.wholes[row, LAST] = NONE
    accounts.highest[row] = 0.0
    accounts.evidence[row] = 0.0
    accounts.ring[row, :] = 0.0
    accounts.history[row, :] = 0
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
        for k in range(LONGEST - 1):
            wholes[CONTEXT + k] = START
        history = accounts.history[row]
        if wholes[PUSHED] == 0 or history[(wholes[PUSHED] - 1) & (len(history) - 1)] != FIRST:
            _push(history, wholes, FIRST)
        accounts.highest[row] = 0.0
    return row


@njit(cache=True, nogil=True)
def mixed(own, peers, evidence):
    """The Bayesian mixture of the two, by how well each foretold the account's last events."""
    share = 1.0 / (1.0 + math.exp(-evidence))
    return share * own + (1.0 - share) * peers


@njit(cache=True, nogil=True)
def weighed(evidence, own, peers):
    """The evidence for the account's habits against its peers' after one more event, old events forgotten."""
    return min(max(KEPT * evidence + math.log(own / peers), -MOST_EVIDENCE), MOST_EVIDENCE)


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
    _count(plan, shared, wholes, accounts.history[row], token)
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
        own, peer = probabilities(plan, shared, accounts.wholes[at], accounts.history[at], row >= 0, token)
        both = mixed(own, peer, accounts.evidence[at] if row >= 0 else 0.0)
        out[0, i] = -math.log2(both)
        out[1, i] = math.log2(peer / both)
        out_valid[0, i] = 1
        out_valid[1, i] = 1
        if not still[i]:
            accounts.evidence[row] = weighed(accounts.evidence[row], own, peer)
            mean_bits, mean_ratio, p = _learn(
                plan, accounts, shared, peers, row, values, valid, i, token, out[0, i], out[1, i], as_of[i]
            )
            out[2, i] = mean_bits
            out[3, i] = mean_ratio
            out[4, i] = accounts.highest[row]
            out[5, i] = p
            for k in range(2, 6):
                out_valid[k, i] = 1
