# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""The sequential tests of one segment: what is usual there, the evidence against it, the share that is a campaign's.

A *stranger* is an attempt on an account that was never seen with this device or network. Of all attempts but the
owners' successes, how many are failures of strangers? That is the first test, whose evidence opens a campaign. Two more
stand guard: among strangers' attempts, how many fail (else a day on which devices are forgotten would count), and among
failures, how many are strangers' (else an outage would)? A campaign raises all three.

Each is a Shiryaev-Roberts e-detector (Shin, Ramdas and Rinaldo, NEJSDS 2023): M ← (M + w) L, where L is the likelihood
ratio of a Bernoulli trial, mixed over four shares that the campaign may have of the trials. If trials hit with at most
the supposed ratio, M less the w given so far is a supermartingale, and with M set to nothing at each alarm the number
of alarms (M ≥ 1) is on average at most the sum of all w: the budget is spent by trial, over all segments together,
however many there are. Fading M with time, and asking the guards, only make alarms rarer.
"""

from __future__ import annotations

import math

from numba import njit

from shoal.detectors.takeover.segments_layout import (
    ACCOUNTS,
    ALPHA,
    BASE,
    COMPONENTS,
    COUNTS,
    DAY,
    DAY_US,
    DAYS,
    FAILURES,
    FIRST_MONTH,
    LEAST_MONTH,
    MEMORY_US,
    NONE,
    OPENED,
    OWN_FAILURES,
    PENDING,
    PROOF,
    QUIET_US,
    RECENT_FAILURES,
    RECENT_OWN,
    RECENT_SUCCESSES,
    SETTLED,
    SUCCESSES,
    SUM,
    TESTED,
    TESTS,
    TODAY,
)

MAIN, FAILING, STRANGE = 0, 1, 2
"""The tests: strangers' failures among all trials, among strangers' attempts, among failures."""
ROOT = (0.4, 0.3, 0.9)
ROOT_STRENGTH, STRENGTH, HOUR_STRENGTH = 20.0, 8.0, 50.0
"""Before anything is known strangers fail three times in ten, and most failures are strangers' (nobody is known yet).
A segment starts as 8 trials of its parent, so that a new one may differ a good deal from it."""
DEVIATIONS = 2.0
"""The supposed ratio stands this many standard deviations above the learned one."""
FAILS = 0.98
"""Of a campaign's attempts so many fail, and so many are strangers', at least."""
CAP, CLOSE = math.exp(2.0), math.exp(-5.0)
"""Evidence of an open campaign is kept below the one, and the campaign ends below the other."""
STANDING = 50.0
"""Evidence of this many injections: what waits to be learned waits on."""
ONSET = 10.0
"""Where evidence is below this many injections, or below what it was when counting began, counting begins anew."""
GUARD = 1000.0
"""Evidence, in injections, that the two guards must show as well."""
KNOWN_SHARE = 0.001
"""Odds that a campaign's attempt looks like the owner's own device or network."""
PART_STRENGTH = 3.0
"""A segment's share of attempts that are a campaign's starts as so many attempts of its parent's."""
SHARES = (0.9, 0.4, 0.15, 0.05)


@njit(cache=True, nogil=True)
def trials_of(row, slot, test):
    """How many trials of a test the learned counts hold."""
    if test == MAIN:
        return row[slot, BASE] + row[slot, BASE + 1] - row[slot, BASE + 2]
    return row[slot, BASE + test - 1]


@njit(cache=True, nogil=True)
def usual(cells, slot, test, parent, strength):
    """The learned ratio of a test in a segment, drawn towards its parent's."""
    if slot < 0:
        return parent
    return (cells[slot, BASE + 2] + strength * parent) / (trials_of(cells, slot, test) + strength)


@njit(cache=True, nogil=True)
def hour_odds(hours, cell, test, ratio):
    """How the odds of a test at this time of the day compare with all day's."""
    here = usual(hours, cell, test, ratio, HOUR_STRENGTH)
    return here / (1.0 - here) * (1.0 - ratio) / ratio


@njit(cache=True, nogil=True)
def supposed(ratio, trials, odds):
    """The ratio that honest trials are supposed not to exceed: the learned one, its uncertainty, the slack."""
    high = ratio + DEVIATIONS * math.sqrt(ratio * (1.0 - ratio) / (trials + STRENGTH + 1.0))
    high = min(high, 0.97)
    worst = high / (1.0 - high) * odds
    return min(max(worst / (1.0 + worst), 0.001), 0.97)


@njit(cache=True, nogil=True)
def proof(cells, slot, test):
    """The evidence of a test in a segment."""
    total = 0.0
    for j in range(PROOF + test * COMPONENTS, PROOF + (test + 1) * COMPONENTS):
        total += cells[slot, j]
    return total


@njit(cache=True, nogil=True)
def fading(floats, times, slot, as_of):
    """The factor by which the evidence of a segment has faded since it was last tested."""
    since = as_of - times[slot, TESTED] if times[slot, TESTED] != NONE else 0
    if times[slot, OPENED] != NONE:
        return math.exp(-7.0 * since / floats[QUIET_US])
    return math.exp(-since / floats[MEMORY_US])


@njit(cache=True, nogil=True)
def step(cells, slot, test, hit, ratio, budget):
    """One trial of a test; `ratio` is the supposed one."""
    first = PROOF + test * COMPONENTS
    for j in range(COMPONENTS):
        other = ratio + SHARES[j] * (FAILS - ratio)
        likelihood = other / ratio if hit else (1.0 - other) / (1.0 - ratio)
        cells[slot, first + j] = min((cells[slot, first + j] + budget / COMPONENTS) * likelihood, CAP)


@njit(cache=True, nogil=True)
def injection(floats, figures, segmentations):
    """The budget of one trial: false campaigns a month, over all trials of a month in all segmentations."""
    month = FIRST_MONTH
    if figures[DAYS] > 0.0:
        month = max(30.0 * figures[SUM] / figures[DAYS], LEAST_MONTH)
    return floats[ALPHA] / (month * segmentations)


@njit(cache=True, nogil=True)
def settle(cells, times, slot, as_of, half_life_days, least):
    """Take what has waited since an earlier day into the learned counts, unless evidence above `least` stands."""
    day = as_of // DAY_US
    if times[slot, SETTLED] == NONE:
        times[slot, SETTLED] = day
    if day <= times[slot, SETTLED] or (times[slot, OPENED] == NONE and proof(cells, slot, MAIN) >= least):
        return False
    fade = math.exp2(-(day - times[slot, SETTLED]) / half_life_days)
    for j in range(COUNTS):
        cells[slot, BASE + j] = cells[slot, BASE + j] * fade + cells[slot, PENDING + j]
        cells[slot, PENDING + j] = 0.0
    times[slot, SETTLED] = day
    return True


@njit(cache=True, nogil=True)
def settle_hours(hours, days, half_life_days):
    """The same for the hours of the day, which wait with the segment of all logins; `days` have passed."""
    fade = math.exp2(-days / half_life_days)
    for cell in range(len(hours)):
        for j in range(COUNTS):
            hours[cell, BASE + j] = hours[cell, BASE + j] * fade + hours[cell, PENDING + j]
            hours[cell, PENDING + j] = 0.0


@njit(cache=True, nogil=True)
def count_trial(figures, as_of, half_life_days):
    """The mean number of trials a day, which the budget is spread over; today's count from tomorrow on."""
    day = float(as_of // DAY_US)
    if figures[TODAY] == 0.0 and figures[DAYS] == 0.0:
        figures[DAY] = day
    passed = day - figures[DAY]
    if passed > 0.0:
        fade = math.exp2(-passed / half_life_days)
        figures[SUM] = (figures[SUM] + figures[TODAY]) * fade
        figures[DAYS] = (figures[DAYS] + passed) * fade
        figures[TODAY], figures[DAY] = 0.0, day
    figures[TODAY] += 1.0


@njit(cache=True, nogil=True)
def expected(cells, slot, failing, strange):
    """Failures of strangers that honest people would have made, by what else they did: the larger of two guesses."""
    by_success = cells[slot, SUCCESSES] * failing / max(1.0 - failing, 0.03)
    by_failure = cells[slot, OWN_FAILURES] * strange / max(1.0 - strange, 0.03)
    return min(max(by_success, by_failure) + 0.5, cells[slot, FAILURES] + 0.5)


@njit(cache=True, nogil=True)
def part_of(floats, cells, times, slot, as_of, failing, strange, parent, strength):
    """Which share of the strangers' attempts of late, in a segment, is above what honest people do."""
    if slot < 0:
        return parent
    since = as_of - times[slot, TESTED] if times[slot, TESTED] != NONE else 0
    fade = math.exp(-since / floats[QUIET_US])
    failures, successes = cells[slot, RECENT_FAILURES] * fade, cells[slot, RECENT_SUCCESSES] * fade
    by_success = successes * failing / max(1.0 - failing, 0.03)
    by_failure = cells[slot, RECENT_OWN] * fade * strange / max(1.0 - strange, 0.03)
    above = max(failures - max(by_success, by_failure), 0.0)
    return (above + strength * parent) / (failures + successes + strength)


@njit(cache=True, nogil=True)
def logit(share):
    """The logarithm of the odds of a share, which is kept from 0 and 1."""
    kept = min(max(share, 1e-4), 0.999)
    return math.log(kept / (1.0 - kept))


@njit(cache=True, nogil=True)
def joined(parts):
    """One share from those of all segments of an attempt: that of all logins, moved by the segment in which the
    campaign is most over-represented and by the one in which it is most absent."""
    base, up, down = logit(parts[0]), 0.0, 0.0
    for k in range(1, len(parts)):
        moved = logit(parts[k]) - base
        up, down = max(up, moved), min(down, moved)
    return 1.0 / (1.0 + math.exp(-(base + up + down)))


@njit(cache=True, nogil=True)
def odds_of(part, known, outcome, failing, hit_rate):
    """The odds, as a probability, that an attempt is a campaign's, by Bayes' rule from the share `part` of strangers'
    attempts. `outcome`: 1 failed, 0 the password was right, 2 not known yet; `failing`: how many honest strangers fail.
    """
    if known:
        return KNOWN_SHARE * part
    ratio = 1.0
    if outcome == 1:
        ratio = (1.0 - hit_rate) / max(failing, 0.01)
    elif outcome == 0:
        ratio = hit_rate / max(1.0 - failing, 0.01)
    return part * ratio / (part * ratio + 1.0 - part)


@njit(cache=True, nogil=True)
def is_open(floats, cells, times, slot, as_of):
    """Whether a campaign stands in the segment now: opened, and its evidence not faded since."""
    if times[slot, OPENED] == NONE:
        return False
    return proof(cells, slot, MAIN) * fading(floats, times, slot, as_of) >= CLOSE


@njit(cache=True, nogil=True)
def close(cells, times, slot):
    """The campaign is over: the test begins anew."""
    times[slot, OPENED] = NONE
    cells[slot, PROOF : ACCOUNTS + 2] = 0.0


@njit(cache=True, nogil=True)
def fade_and_close(floats, cells, times, slot, as_of):
    """Bring the evidence of a segment up to now."""
    if times[slot, OPENED] != NONE and not is_open(floats, cells, times, slot, as_of):
        close(cells, times, slot)
    factor = fading(floats, times, slot, as_of)
    for j in range(PROOF, PROOF + TESTS * COMPONENTS):
        cells[slot, j] *= factor
    if times[slot, TESTED] != NONE:
        factor = math.exp(-(as_of - times[slot, TESTED]) / floats[QUIET_US])
        for j in range(RECENT_FAILURES, RECENT_OWN + 1):
            cells[slot, j] *= factor
    times[slot, TESTED] = as_of
