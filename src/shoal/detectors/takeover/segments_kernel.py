# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""The loop of the segment signal over a batch: read all segments of a login, answer, then learn. Hot path.

One row after the other, so that a batch of any size gives the same. The state is a tuple of arrays that the signal
owns; `segments_layout` says what stands where. Nothing allocates but the scratch of a batch.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from shoal.detectors.takeover.segments_evidence_kernel import (
    CLOSE,
    FAILING,
    GUARD,
    MAIN,
    ONSET,
    PART_STRENGTH,
    ROOT,
    ROOT_STRENGTH,
    STANDING,
    STRANGE,
    STRENGTH,
    close,
    count_trial,
    expected,
    fade_and_close,
    fading,
    hour_odds,
    injection,
    is_open,
    joined,
    odds_of,
    part_of,
    proof,
    settle,
    settle_hours,
    step,
    supposed,
    trials_of,
    usual,
)
from shoal.detectors.takeover.segments_layout import (
    ABSORB_US,
    ACCOUNT,
    ACCOUNTS,
    ADDRESS,
    AGE,
    AT_SEEN,
    CAMPAIGNS,
    COUNTS,
    DAY_US,
    DISTINCT_ACCOUNTS,
    DISTINCT_NETWORKS,
    EXCESS,
    EXPECTED,
    FAILED,
    FAILURES,
    HALF_LIFE_DAYS,
    HIT_RATE,
    IN_CAMPAIGN,
    KNOWN,
    KNOWN_MIN,
    LEADING,
    LOG_E,
    LOST_PAIRS,
    LOST_SEGMENTS,
    MIN_ACCOUNTS,
    NAMELESS,
    NAMELESS_SHARE,
    NETWORK,
    NETWORKS,
    NEVER,
    NONE,
    ONSET_PROOF,
    OPENED,
    OWN_FAILURES,
    PENDING,
    PROBABILITY,
    RECENT_FAILURES,
    RECENT_OWN,
    RECENT_SUCCESSES,
    REGISTERS,
    RETRY_MIN,
    SETTLED,
    SLACK,
    SPRAYING,
    STARTED,
    SUCCESSES,
    TESTS,
    TRIES,
    TRIES_EACH,
)
from shoal.detectors.takeover.segments_tables_kernel import (
    add_distinct,
    count_distinct,
    find_segment,
    is_recent,
    note,
    take_segment,
)
from shoal.features.kernel.access_kernel import mix

_NULL = 0x6E756C6C
_PERSON = 0xACC0
LEAST_PART = 0.2
"""An attempt is in a campaign where at least this share of strangers' attempts like it is the campaign's."""


class State(NamedTuple):
    """What the signal remembers; see `segments_layout`."""

    pairs: npt.NDArray[np.int64]
    tried: npt.NDArray[np.int64]
    ids: npt.NDArray[np.int64]
    cells: npt.NDArray[np.float64]
    times: npt.NDArray[np.int64]
    registers: npt.NDArray[np.uint8]
    hours: npt.NDArray[np.float64]
    figures: npt.NDArray[np.float64]


class Plan(NamedTuple):
    """What the settings say: options, the columns of each segmentation (`starts` into `columns`), its parent (an
    earlier one; 0 is all logins), and the columns by which an account is known."""

    floats: npt.NDArray[np.float64]
    integers: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]
    columns: npt.NDArray[np.int64]
    parents: npt.NDArray[np.int64]
    known: npt.NDArray[np.int64]


@njit(cache=True, nogil=True)
def _segment_key(plan, k, values, valid, i):
    """The id of the row's segment in segmentation `k`; 0 where none of its columns is known."""
    key, some = mix(k, 0x5E6), False
    for at in range(plan.starts[k], plan.starts[k + 1]):
        column = plan.columns[at]
        if valid[column, i] != 0:
            key, some = mix(key, values[column, i]), True
        else:
            key = mix(key, _NULL)
    if not some:
        return 0
    return key if key != 0 else 1


@njit(cache=True, nogil=True)
def _is_known(state, plan, account, values, valid, i, as_of):
    """Whether the account was seen lately with one of the values by which it is known."""
    for j in range(len(plan.known)):
        column = plan.known[j]
        if valid[column, i] != 0:
            pair = mix(mix(account, j + 1), values[column, i])
            if is_recent(state.pairs, pair, as_of, plan.integers[KNOWN_MIN]):
                return True
    return False


@njit(cache=True, nogil=True)
def _remember(state, plan, account, values, valid, i, as_of):
    """Note the person and the values that go with it."""
    ttl = plan.integers[KNOWN_MIN]
    state.figures[LOST_PAIRS] += note(state.pairs, mix(account, _PERSON), as_of, ttl)
    for j in range(len(plan.known)):
        column = plan.known[j]
        if valid[column, i] != 0:
            pair = mix(mix(account, j + 1), values[column, i])
            state.figures[LOST_PAIRS] += note(state.pairs, pair, as_of, ttl)


@njit(cache=True, nogil=True)
def _locate(state, plan, values, valid, i, as_of, add, slots):
    """The rows of the segments of row `i`, -1 where there is none; with `add`, new ones are made."""
    slots[0] = len(state.ids) - 1
    half_life_us = plan.floats[HALF_LIFE_DAYS] * DAY_US
    for k in range(1, len(slots)):
        key = _segment_key(plan, k, values, valid, i)
        slot = -1 if key == 0 else find_segment(state.ids, key)
        if slot < 0 and key != 0 and add:
            slot, weight = take_segment(state.ids, state.cells, state.times, state.registers, key, as_of, half_life_us)
            if weight > 20.0:
                state.figures[LOST_SEGMENTS] += 1.0
        slots[k] = slot
        if add and slot >= 0:
            state.times[slot, AT_SEEN] = as_of
    if add:
        state.times[slots[0], AT_SEEN] = as_of


@njit(cache=True, nogil=True)
def _ratios(state, plan, slots, ratios):
    """What is usual in each segment of a row, for each test; parents stand before their children."""
    for k in range(len(slots)):
        parent = plan.parents[k]
        strength = ROOT_STRENGTH if k == 0 else STRENGTH
        for test in range(TESTS):
            above = ROOT[test] if k == 0 else ratios[parent, test]
            ratios[k, test] = usual(state.cells, slots[k], test, above, strength)


@njit(cache=True, nogil=True)
def _parts(state, plan, slots, ratios, as_of, parts):
    """Which share of strangers' attempts is a campaign's, in each segment of a row; the share of the row itself."""
    for k in range(len(slots)):
        above = 0.0 if k == 0 else parts[plan.parents[k]]
        strength = 1.0 if k == 0 else PART_STRENGTH
        parts[k] = part_of(
            plan.floats, state.cells, state.times, slots[k], as_of, ratios[k, FAILING], ratios[k, STRANGE], above,
            strength,
        )  # fmt: skip
    return joined(parts)


@njit(cache=True, nogil=True)
def _answer(state, plan, slots, ratios, parts, known, outcome, as_of, values, floats, valid, i):
    """Write the outputs of row `i`; what is counted is of the segment that shows the campaign best."""
    cells, times = state.cells, state.times
    lead, best, most = -1, -1.0, 0.0
    any_open = False
    part = _parts(state, plan, slots, ratios, as_of, parts)
    for k in range(len(slots)):
        slot = slots[k]
        if slot < 0 or cells[slot, FAILURES] == 0.0:
            continue
        opened = is_open(plan.floats, cells, times, slot, as_of)
        if not opened and times[slot, OPENED] != NONE:
            continue
        weight = proof(cells, slot, MAIN) * fading(plan.floats, times, slot, as_of)
        any_open |= opened
        most = max(most, weight)
        rank = weight if not opened else 1e6 * (1.0 + parts[k])
        if rank >= best:
            lead, best = k, rank
    likely = odds_of(part, known, outcome, ratios[0, FAILING], plan.floats[HIT_RATE])
    likely *= 1.0 if any_open else most / (1.0 + most)
    valid[:, i] = 1
    values[IN_CAMPAIGN, i] = 1 if any_open and not known and part >= LEAST_PART else 0
    values[KNOWN, i] = 1 if known else 0
    floats[PROBABILITY, i] = likely
    floats[LOG_E, i] = math.log(most) if most > 1e-13 else NEVER
    if lead < 0:
        valid[EXCESS : AGE + 2, i] = 0
        valid[SPRAYING, i] = 0
        return
    slot = slots[lead]
    failures, accounts = cells[slot, FAILURES], max(cells[slot, ACCOUNTS], 1.0)
    floats[EXCESS, i] = failures / (failures + cells[slot, SUCCESSES]) - ratios[lead, FAILING]
    values[FAILED, i] = np.int64(failures)
    floats[EXPECTED, i] = expected(cells, slot, ratios[lead, FAILING], ratios[lead, STRANGE])
    values[DISTINCT_ACCOUNTS, i] = np.int64(cells[slot, ACCOUNTS])
    values[DISTINCT_NETWORKS, i] = np.int64(cells[slot, NETWORKS])
    floats[TRIES_EACH, i] = cells[slot, TRIES] / accounts
    floats[NAMELESS_SHARE, i] = cells[slot, NAMELESS] / failures
    values[LEADING, i] = lead
    opened = is_open(plan.floats, cells, times, slot, as_of)
    floats[AGE, i] = (as_of - times[slot, STARTED]) / 1e6
    values[SPRAYING, i] = 1 if cells[slot, TRIES] >= 2.0 * accounts else 0
    valid[AGE, i] = valid[SPRAYING, i] = 1 if opened else 0


@njit(cache=True, nogil=True)
def _test(state, plan, slot, failed, known, ratio, odds, as_of, budget):
    """The tests of a trial in one segment, against `ratio` [TESTS] with its uncertainty and the `odds` [TESTS]."""
    cells, times = state.cells, state.times
    fade_and_close(plan.floats, cells, times, slot, as_of)
    evidence = proof(cells, slot, MAIN)
    low = evidence <= max(ONSET * budget, cells[slot, ONSET_PROOF])
    if failed and not known and times[slot, OPENED] == NONE and low:
        cells[slot, ONSET_PROOF : NETWORKS + 1] = 0.0
        cells[slot, ONSET_PROOF] = evidence
        state.registers[slot, :] = 0
        times[slot, STARTED] = as_of
    for test in range(TESTS):
        if test == MAIN or (test == FAILING and not known) or (test == STRANGE and failed):
            high = supposed(ratio[test], trials_of(cells, slot, test), odds[test])
            step(cells, slot, test, failed and not known, high, budget)


@njit(cache=True, nogil=True)
def _count(state, plan, slot, failed, known, nameless, account, values, valid, i):
    """What happened in the segment of late, and since its evidence began to rise."""
    cells, integers = state.cells, plan.integers
    cells[slot, RECENT_FAILURES] += 1.0 if failed and not known else 0.0
    cells[slot, RECENT_SUCCESSES] += 0.0 if failed else 1.0
    cells[slot, RECENT_OWN] += 1.0 if failed and known else 0.0
    if not failed:
        if cells[slot, FAILURES] > 0.0 and not known:
            cells[slot, SUCCESSES] += 1.0
        return
    if known:
        if cells[slot, FAILURES] > 0.0:
            cells[slot, OWN_FAILURES] += 1.0
        return
    cells[slot, FAILURES] += 1.0
    cells[slot, TRIES] += 1.0
    cells[slot, NAMELESS] += 1.0 if nameless else 0.0
    if add_distinct(state.registers, slot, 0, account):
        cells[slot, ACCOUNTS] = count_distinct(state.registers, slot, 0)
    column = integers[NETWORK]
    if column < 0 or valid[column, i] == 0:
        column = integers[ADDRESS]
    if column >= 0 and valid[column, i] != 0 and add_distinct(state.registers, slot, REGISTERS, values[column, i]):
        cells[slot, NETWORKS] = count_distinct(state.registers, slot, REGISTERS)


@njit(cache=True, nogil=True)
def _open_or_close(state, plan, slot, as_of, budget):
    """Open a campaign where the evidence suffices and enough people are hit; end one that has died down."""
    cells, times = state.cells, state.times
    weight = proof(cells, slot, MAIN)
    if times[slot, OPENED] == NONE:
        guarded = min(proof(cells, slot, FAILING), proof(cells, slot, STRANGE)) >= GUARD * budget
        if weight >= 1.0 and guarded and cells[slot, ACCOUNTS] >= plan.integers[MIN_ACCOUNTS]:
            times[slot, OPENED] = as_of
            state.figures[CAMPAIGNS] += 1.0
            cells[slot, PENDING : PENDING + COUNTS] = 0.0
            if slot == len(state.ids) - 1:
                state.hours[:, PENDING : PENDING + COUNTS] = 0.0
    elif weight < CLOSE:
        close(cells, times, slot)


@njit(cache=True, nogil=True)
def _wait(row, slot, failed, known):
    """A trial that waits to be learned."""
    row[slot, PENDING] += 0.0 if known else 1.0
    row[slot, PENDING + 1] += 1.0 if failed else 0.0
    row[slot, PENDING + 2] += 1.0 if failed and not known else 0.0


@njit(cache=True, nogil=True)
def _learn(state, plan, slots, ratios, odds, failed, known, nameless, account, as_of, values, valid, i):
    """A login is a trial of all its segments: tested against what is usual, then put by to be learned."""
    floats, root = plan.floats, slots[0]
    cell = (as_of % DAY_US) * len(state.hours) // DAY_US
    before = state.times[root, SETTLED]
    budget = injection(floats, state.figures, len(slots))
    count_trial(state.figures, as_of, floats[HALF_LIFE_DAYS])
    for k in range(len(slots)):
        slot = slots[k]
        if (
            slot >= 0
            and settle(state.cells, state.times, slot, as_of, floats[HALF_LIFE_DAYS], STANDING * budget)
            and k == 0
        ):
            settle_hours(state.hours, state.times[root, SETTLED] - before, floats[HALF_LIFE_DAYS])
    _ratios(state, plan, slots, ratios)
    for test in range(TESTS):
        odds[test] = floats[SLACK] * hour_odds(state.hours, cell, test, ratios[0, test])
    clean = True
    for k in range(len(slots)):
        slot = slots[k]
        if slot < 0:
            continue
        _test(state, plan, slot, failed, known, ratios[k], odds, as_of, budget)
        _count(state, plan, slot, failed, known, nameless, account, values, valid, i)
        _open_or_close(state, plan, slot, as_of, budget)
        opened = state.times[slot, OPENED]
        clean &= opened == NONE or as_of - opened > plan.integers[ABSORB_US]
    if clean:
        for k in range(len(slots)):
            if slots[k] >= 0:
                _wait(state.cells, slots[k], failed, known)
        _wait(state.hours, cell, failed, known)


@njit(cache=True, nogil=True)
def _again(state, slots):
    """A further try of an account by a stranger: no new trial, but it tells spraying from stuffing."""
    for k in range(len(slots)):
        if slots[k] >= 0 and state.cells[slots[k], FAILURES] > 0.0:
            state.cells[slots[k], TRIES] += 1.0


@njit(cache=True, nogil=True)
def run(state, plan, values, valid, as_of, learns, masks, size, out, floats, mark):
    """Read and learn `size` rows. `masks` [5, n]: failed, succeeded, attempted, right password, familiar (1 holds);
    `learns` uint8 [n]; `out` int64 (`floats` is the same memory) and `mark` uint8 [OUTPUTS, n] receive the columns."""
    slots = np.full(len(plan.parents), -1, np.int64)
    ratios = np.zeros((len(plan.parents), TESTS), np.float64)
    odds = np.zeros(TESTS, np.float64)
    parts = np.zeros(len(plan.parents), np.float64)
    column = plan.integers[ACCOUNT]
    for i in range(size):
        failed, succeeded = masks[0, i] == 1, masks[1, i] == 1 and masks[0, i] != 1
        asked = failed or succeeded or masks[2, i] == 1 or masks[3, i] == 1
        familiar = masks[4, i] == 1 and learns[i] != 0
        mark[:, i] = 0
        out[:, i] = 0
        if valid[column, i] == 0 or not (asked or familiar):
            continue
        account, now = values[column, i], as_of[i]
        if asked:
            known = _is_known(state, plan, account, values, valid, i, now)
            trial = (failed or (succeeded and not known)) and learns[i] != 0
            if trial and failed:
                trial = not is_recent(state.tried, account, now, plan.integers[RETRY_MIN])
            _locate(state, plan, values, valid, i, now, trial, slots)
            _ratios(state, plan, slots, ratios)
            outcome = 1 if failed else (2 if masks[2, i] == 1 and not succeeded else 0)
            _answer(state, plan, slots, ratios, parts, known, outcome, now, out, floats, mark, i)
            if trial:
                if failed:
                    note(state.tried, account, now, plan.integers[RETRY_MIN])
                nameless = not is_recent(state.pairs, mix(account, _PERSON), now, plan.integers[KNOWN_MIN])
                _learn(state, plan, slots, ratios, odds, failed, known, nameless, account, now, values, valid, i)
            elif failed and not known and learns[i] != 0:
                _again(state, slots)
        if familiar:
            _remember(state, plan, account, values, valid, i, now)
