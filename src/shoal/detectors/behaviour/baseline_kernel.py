# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Entity baselines: how unusual an account's open window is, for itself and beside its peers. Hot path.

A window opens with an account's first counted event and lasts a fixed time. The logarithm y of its amount is judged by
a normal model of the account's own windows with partial pooling: group mean and spread → the account's level → its part
of the week; Student's t, since the spread is learned too (Gelman et al., Bayesian Data Analysis, ch. 3 and 5). The
deviate is then turned into a probability by how large the peers' own deviates were (`tails_kernel`), so that bulk
actions that honest people do take now and then cost what they occur. Beside it stand the same against the peers' mean
at such a time and their spread, and the probability of the part of the week in the account's profile. A window is
learned when it is over, at the account's next event. `baseline.py` owns all arrays.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from shoal.detectors.behaviour.keys_kernel import find, key_of, take
from shoal.detectors.behaviour.peers_kernel import HOUR_US, group_of, note
from shoal.detectors.behaviour.tails_kernel import (
    BINS,
    STEPS,
    bin_of,
    harmonic,
    normal_score,
    steps_due,
    tail,
    weight_of,
)

OPENED, LAST, GROUP, EVENTS, PART = 0, 1, 2, 3, 4
AMOUNT, WEIGHT, LEVEL, SQUARES, SELF, AMONG, WHEN, SURPRISE, EXPECTED = range(9)
DEVIATE, APART, RARITY, LOG, ERROR, BESIDE = range(9, 15)
"""Columns of an account's whole numbers and of its floats."""
WHOLES, FLOATS = 5, 15
NONE = np.int64(-(2**62))
LOW = (-4.0625, -4.0625, 0.0)
WIDTH = (0.125, 0.125, 0.0625)
"""Bins of the histograms of `DEVIATE`, `APART` and `RARITY`."""
G_WEIGHT, G_SUM, G_BESIDE, G_ERROR = 0, 1, 2, 3
OWN_PRIOR, PART_PRIOR, SPREAD_PRIOR, PROFILE_PRIOR, GROUP_PRIOR = 2.0, 4.0, 20.0, 8.0, 10.0
"""Windows that the level above weighs: against an account's level, its part of the week, its spread, its profile of the
week; and the mass of all against a group's means."""
FIRST_LEVEL, FIRST_SPREAD, LEAST_SPREAD = 1.0, 1.0, 0.04
SMALLEST = 1e-300
MOST = 2.0**62
"""Amounts of a window are clamped to this, so that no sum becomes infinite."""


class Groups(NamedTuple):
    """What is learned of groups; the last is all. `landmark` int64 [2] (the landmark, 1 once it is set); `parts`
    float64 [groups, 4, parts]: weight, sum of y, squares of its distances from the group's mean and from what was
    expected of the account; `hists` float64 [groups, 3, BINS]; `mass` float64 [groups]: the sum of each histogram."""

    landmark: npt.NDArray[np.int64]
    parts: npt.NDArray[np.float64]
    hists: npt.NDArray[np.float64]
    mass: npt.NDArray[np.float64]


class Accounts(NamedTuple):
    """Rows by account: `wholes` int64 [rows, WHOLES], `floats` float64 [rows, FLOATS], `parts` float32 [rows, 2 *
    parts] (weight, then sum of what the part adds), `cells` uint16 [rows, cells]."""

    wholes: npt.NDArray[np.int64]
    floats: npt.NDArray[np.float64]
    parts: npt.NDArray[np.float32]
    cells: npt.NDArray[np.uint16]


class Plan(NamedTuple):
    """What was asked: `keys`, `traits` int64 (rows of the frame), `amount` int64 [2] (row of the frame or -1; 1 if it
    holds floats), `times` int64 [3] (window, half-life in µs; the most keys), `season` int64 [1] (parts of the week),
    `weights` float64 [3] (of self, among peers, when)."""

    keys: npt.NDArray[np.int64]
    traits: npt.NDArray[np.int64]
    amount: npt.NDArray[np.int64]
    times: npt.NDArray[np.int64]
    season: npt.NDArray[np.int64]
    weights: npt.NDArray[np.float64]


@njit(cache=True, nogil=True)
def part_of(time, parts):
    """The part of the week in which a time (µs UTC) lies: of 1, 8 (three hours of the day), 16 (the same, working days
    and weekends apart) or 168 (hours)."""
    hour = (time // HOUR_US) % 24
    weekday = (time // (24 * HOUR_US) + 3) % 7
    if parts == 168:
        return weekday * 24 + hour
    if parts == 16:
        return hour // 3 + (8 if weekday >= 5 else 0)
    return hour // 3 if parts == 8 else np.int64(0)


@njit(cache=True, nogil=True)
def age_groups(groups, now, half_life):
    """Move the landmark, where it is due."""
    mark = groups.landmark
    if mark[1] == 0:
        mark[0] = now // (STEPS * half_life) * (STEPS * half_life)
        mark[1] = 1
    steps = steps_due(mark[0], now, half_life)
    if steps > 0:
        factor = math.pow(2.0, -np.float64(min(steps * STEPS, 1024)))
        mark[0] += steps * STEPS * half_life
        for g in range(len(groups.mass)):
            groups.mass[g] *= factor
            for k in range(groups.parts.shape[2]):
                for j in range(4):
                    groups.parts[g, j, k] *= factor
            for h in range(3):
                for k in range(BINS):
                    groups.hists[g, h, k] *= factor


@njit(cache=True, nogil=True)
def _sum(groups, g, j):
    total = 0.0
    for k in range(groups.parts.shape[2]):
        total += groups.parts[g, j, k]
    return total


@njit(cache=True, nogil=True)
def _pooled(groups, g, part, j, first, unit):
    """A mean over weights, from all over the group to its part of the week; and that of the group alone."""
    every = len(groups.mass) - 1
    prior = GROUP_PRIOR * unit
    value = (_sum(groups, every, j) + first * unit) / (_sum(groups, every, G_WEIGHT) + unit)
    value = (_sum(groups, g, j) + prior * value) / (_sum(groups, g, G_WEIGHT) + prior)
    return (groups.parts[g, j, part] + prior * value) / (groups.parts[g, G_WEIGHT, part] + prior), value


@njit(cache=True, nogil=True)
def _rarity(groups, g, own, weight, aged, part, unit):
    """-log10 of the share of windows in parts of the week that are as rare for the account as this one, or rarer."""
    parts = groups.parts.shape[2]
    if parts == 1:
        return 0.0
    whole = _sum(groups, g, G_WEIGHT)
    base = 1.0 / parts
    here = 0.0
    total = 0.0
    for k in range(-1, parts):
        at = part if k < 0 else k
        pooled = (groups.parts[g, 0, at] + unit * GROUP_PRIOR * base) / (whole + unit * GROUP_PRIOR)
        share = (aged * own[at] + PROFILE_PRIOR * pooled) / (aged * weight + PROFILE_PRIOR)
        if k < 0:
            here = share
        elif share <= here * (1.0 + 1e-9):
            total += share
    return -math.log10(min(max(total, SMALLEST), 1.0))


@njit(cache=True, nogil=True)
def _aging(wholes, now, half_life):
    return math.pow(2.0, -np.float64(now - wholes[LAST]) / np.float64(half_life)) if wholes[LAST] != NONE else 0.0


@njit(cache=True, nogil=True)
def _amount_score(groups, wholes, floats, own, unit, half_life):
    """y of the open window, its distances from what is expected of the account and of its group, both as deviates."""
    part = wholes[PART]
    parts = groups.parts.shape[2]
    here, mean = _pooled(groups, wholes[GROUP], part, G_SUM, FIRST_LEVEL, unit)
    _, spread = _pooled(groups, wholes[GROUP], part, G_ERROR, FIRST_SPREAD, unit)
    _, beside = _pooled(groups, wholes[GROUP], part, G_BESIDE, FIRST_SPREAD, unit)
    aged = _aging(wholes, wholes[OPENED], half_life)
    weight = aged * floats[WEIGHT]
    level = (aged * floats[LEVEL] + OWN_PRIOR * mean) / (weight + OWN_PRIOR)
    mine = aged * own[parts + part] / (aged * own[part] + PART_PRIOR)
    expected = level + (here - mean) + mine
    y = math.log1p(floats[AMOUNT])
    variance = (SPREAD_PRIOR * max(spread, LEAST_SPREAD) + aged * floats[SQUARES]) / (SPREAD_PRIOR + weight)
    scale = math.sqrt(variance * (1.0 + 1.0 / (weight + OWN_PRIOR)))
    floats[LOG] = y
    floats[ERROR] = y - expected
    floats[BESIDE] = y - here
    floats[EXPECTED] = max(math.expm1(expected), 0.0)
    floats[DEVIATE] = normal_score((y - expected) / scale, SPREAD_PRIOR + weight)
    floats[APART] = (y - here) / math.sqrt(max(beside, LEAST_SPREAD))


@njit(cache=True, nogil=True)
def judge(plan, groups, wholes, floats, own, now):
    """Write the scores of the open window, as it stands, into the account's row."""
    half_life = plan.times[1]
    unit = weight_of(groups.landmark[0], now, half_life)
    g, every = wholes[GROUP], len(groups.mass) - 1
    _amount_score(groups, wholes, floats, own, unit, half_life)
    aged = _aging(wholes, wholes[OPENED], half_life)
    floats[RARITY] = _rarity(groups, g, own, floats[WEIGHT], aged, wholes[PART], unit)
    for h in range(3):
        at = bin_of(floats[DEVIATE + h], LOW[h], WIDTH[h])
        p = tail(groups.hists[g, h], groups.mass[g], groups.hists[every, h], groups.mass[every], at, unit)
        floats[SELF + h] = max(p, SMALLEST)
    w = plan.weights
    combined = harmonic(floats[SELF], w[0], floats[AMONG], w[1], floats[WHEN], w[2])
    floats[SURPRISE] = -math.log10(min(combined, 1.0))


@njit(cache=True, nogil=True)
def close(plan, groups, peers, wholes, floats, own, cells, now):
    """Learn the open window, which is over, into the account and its group; then look for its group again."""
    half_life = plan.times[1]
    age_groups(groups, now, half_life)
    unit = weight_of(groups.landmark[0], now, half_life)
    part, parts = wholes[PART], groups.parts.shape[2]
    aged = _aging(wholes, wholes[OPENED], half_life)
    weight = aged * floats[WEIGHT]
    gain = (weight + OWN_PRIOR) / (weight + OWN_PRIOR + 1.0)
    for turn in range(2):
        g = wholes[GROUP] if turn == 0 else len(groups.mass) - 1
        groups.parts[g, G_WEIGHT, part] += unit
        groups.parts[g, G_SUM, part] += unit * floats[LOG]
        groups.parts[g, G_BESIDE, part] += unit * floats[BESIDE] * floats[BESIDE]
        groups.parts[g, G_ERROR, part] += unit * gain * floats[ERROR] * floats[ERROR]
        groups.mass[g] += unit
        for h in range(3):
            groups.hists[g, h, bin_of(floats[DEVIATE + h], LOW[h], WIDTH[h])] += unit
    here, mean = _pooled(groups, wholes[GROUP], part, G_SUM, FIRST_LEVEL, unit)
    adds = here - mean
    level = (aged * floats[LEVEL] + OWN_PRIOR * mean) / (weight + OWN_PRIOR)
    for k in range(2 * parts):
        own[k] *= aged
    mine = own[parts + part] / (own[part] + PART_PRIOR)
    own[part] += 1.0
    own[parts + part] += floats[LOG] - adds - level
    floats[WEIGHT] = weight + 1.0
    floats[LEVEL] = aged * floats[LEVEL] + floats[LOG] - adds - mine
    floats[SQUARES] = aged * floats[SQUARES] + gain * floats[ERROR] * floats[ERROR]
    wholes[LAST] = wholes[OPENED]
    wholes[OPENED] = NONE
    floats[AMOUNT] = 0.0
    wholes[GROUP] = group_of(peers, cells, wholes[EVENTS])


@njit(cache=True, nogil=True)
def _clear(accounts, row):
    accounts.wholes[row, :] = 0
    accounts.wholes[row, OPENED] = NONE
    accounts.wholes[row, LAST] = NONE
    accounts.floats[row, :] = 0.0
    accounts.parts[row, :] = 0.0
    accounts.cells[row, :] = 0


@njit(cache=True, nogil=True)
def _amount_of(plan, values, valid, floats_of, i):
    """What event `i` adds to its window; below 0 where that is not known."""
    column = plan.amount[0]
    if column < 0:
        return 1.0
    if valid[column, i] == 0:
        return -1.0
    return floats_of[column, i] if plan.amount[1] else np.float64(values[column, i])


@njit(cache=True, nogil=True)
def _learn(plan, keys, accounts, groups, peers, values, valid, floats_of, wanted, i, ident, now):
    """Take event `i` into its account's row, which is found or made; gives the row."""
    row = find(keys, ident)
    if row < 0:
        row = take(keys, ident, plan.times[2])
        _clear(accounts, row)
    else:
        keys.again[row] = 1
    wholes, floats = accounts.wholes[row], accounts.floats[row]
    own, cells = accounts.parts[row], accounts.cells[row]
    if wholes[OPENED] != NONE and now - wholes[OPENED] >= plan.times[0]:
        close(plan, groups, peers, wholes, floats, own, cells, now)
    wholes[EVENTS] = note(cells, wholes[EVENTS], values, valid, plan.traits, i, now)
    if wanted:
        more = _amount_of(plan, values, valid, floats_of, i)
        if more >= 0.0:
            if wholes[OPENED] == NONE:
                wholes[OPENED] = now
                wholes[PART] = part_of(now, plan.season[0])
            floats[AMOUNT] = min(floats[AMOUNT] + more, MOST)
            age_groups(groups, now, plan.times[1])
            judge(plan, groups, wholes, floats, own, now)
    return row


@njit(cache=True, nogil=True)
def run(plan, keys, accounts, groups, peers, values, valid, floats_of, wanted, still, as_of, size, out, out_valid):
    """All rows of a batch in order. `wanted` int8 [n]: 1 counted; `still` uint8 [n]: 1 read and not learned;
    `floats_of` is `values` seen as floats; `out` float64 [6, >= n]."""
    for i in range(size):
        ident, known = key_of(values, valid, plan.keys, i, 0)
        for k in range(6):
            out[k, i] = 0.0
            out_valid[k, i] = 0
        if not known:
            continue
        now = as_of[i]
        if still[i]:
            row = find(keys, ident)
        else:
            row = _learn(plan, keys, accounts, groups, peers, values, valid, floats_of, wanted[i] == 1, i, ident, now)
        out_valid[5, i] = 1
        if row >= 0:
            wholes, floats = accounts.wholes[row], accounts.floats[row]
            if wholes[OPENED] != NONE and now - wholes[OPENED] < plan.times[0]:
                for k in range(5):
                    out[k, i] = floats[SELF + k]
                    out_valid[k, i] = 1
                out[5, i] = floats[AMOUNT]
