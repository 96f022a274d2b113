"""Thresholds from a budget: how many honest subjects may reach a level, or how many alerts a day there may be.

The threshold is the lowest at which the honest rate that was seen is within the budget; a level says the interval of
that rate too. Where a promise is wanted (`assured`), it is the lowest at which the upper end of the 95 %
Clopper-Pearson interval is within the budget. Choosing it from the rows that measure it does not spoil that: above the
k-th highest of n independent honest scores the true rate is at most the interval's upper end with the interval's
confidence, whatever the distribution (the tolerance limits of Wilks, Ann. Math. Stat. 1941). It holds for subjects like
these: not after a drift, and not for abuse among the presumed honest, which makes it stricter than needed. Without
the promise the true rate is over the budget about every second time, by little where honest subjects are many.

A budget so small that this many honest subjects cannot show it is met as far as they can: the threshold stands above
all of them, and the note says how many would be needed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from shoal.detectors.models.metadata import Level
from shoal.errors import InvalidInput, Problem
from shoal.learn.evaluation.rates import PER, Cells, Rate, exact
from shoal.learn.frame import Floats, Int64s

NAMES: tuple[Literal["watch", "challenge", "restrict"], ...] = ("watch", "challenge", "restrict")
DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Threshold:
    """A place for a threshold, the honest rate there (per 10,000 subjects and week), and what is to be said of it."""

    threshold: float
    rate: Rate
    note: str = ""


def honest_threshold(cells: Cells, budget: float, others: Floats, *, assured: bool = True) -> Threshold:
    """The lowest threshold within `budget` honest subjects per 10,000 and week. `others`: all scores of the part,
    between whose values the threshold stands; `assured`: see the module. Raises `InvalidInput` (`levels.budget`,
    `levels.no_honest`)."""
    if not (math.isfinite(budget) and budget > 0):
        raise InvalidInput(Problem("levels.budget", f"a budget of {budget}", allowed="over 0 per 10,000 and week"))
    if not len(cells.value):
        raise InvalidInput(Problem("levels.no_honest", "no honest subject to count"))
    order = np.argsort(-cells.value, kind="stable")
    value = cells.value[order]
    steps = np.flatnonzero(np.diff(value, append=-np.inf) < 0) + 1  # counts at which a threshold can stand
    share = budget / (PER * cells.factor)
    reached = np.cumsum(cells.weight[order])[steps - 1] / cells.weight.sum()
    best, rate = 0, cells.rate(np.inf)
    enough = rate.high <= budget if assured else share * rate.size >= 1
    for count in steps[reached <= share].tolist() if enough else ():
        found = cells.rate(float(value[count - 1]))
        if assured and found.high > budget:
            break
        best, rate = count, found
    threshold = _between(value, best, others)
    if enough:
        return Threshold(threshold, rate)
    needed = _needed(share) if assured else math.ceil(1 / share)
    note = (
        f"a budget of {budget:g} per 10,000 and week cannot be shown by {rate.size:,.0f} independent honest cases "
        f"(about {needed:,} are needed): the threshold stands above all of them, and up to {rate.high:.3g} are possible"
    )
    return Threshold(threshold, rate, note)


def alert_threshold(score: Floats, subject: Int64s, time: Int64s, weight: Floats, alerts_a_day: float) -> Threshold:
    """The lowest threshold at which at most so many subjects a day reach it, honest or not (a subject counts once a
    day; the mean over the days). No promise: it counts what was seen. Raises `InvalidInput` (`levels.budget`)."""
    if not (math.isfinite(alerts_a_day) and alerts_a_day > 0):
        raise InvalidInput(Problem("levels.budget", f"{alerts_a_day} alerts a day", allowed="over 0"))
    day = (time - time.min()) // DAY_US
    days = int(day.max()) + 1
    keys, inverse = np.unique(subject * days + day, return_inverse=True)
    worst, heaviest = np.full(len(keys), -np.inf), np.zeros(len(keys))
    np.maximum.at(worst, inverse, score)
    np.maximum.at(heaviest, inverse, weight)
    order = np.argsort(-worst, kind="stable")
    value, a_day = worst[order], np.cumsum(heaviest[order]) / days
    steps = np.flatnonzero(np.diff(value, append=-np.inf) < 0) + 1
    within = steps[a_day[steps - 1] <= alerts_a_day]
    count = int(within[-1]) if len(within) else 0
    seen = float(a_day[count - 1]) if count else 0.0
    return Threshold(_between(value, count, score), Rate(seen, seen, seen, float(days), count, len(keys)))


def fit_levels(
    cells: Cells, budgets: Mapping[str, float], others: Floats, *, assured: bool = True
) -> tuple[list[Level], list[str]]:
    """The levels of a definition, watch first, and the notes. A stricter level never stands below a laxer one."""
    levels, notes, floor = [], [], -math.inf
    if unknown := [name for name in budgets if name not in NAMES]:
        raise InvalidInput(
            [Problem("levels.name", f"no level {name!r}", allowed=", ".join(NAMES)) for name in sorted(unknown)]
        )
    for name in [name for name in NAMES if name in budgets]:
        found = honest_threshold(cells, budgets[name], others, assured=assured)
        if found.threshold < floor:
            found = Threshold(floor, cells.rate(floor), "stands where the laxer level does, whose budget is smaller")
        floor = found.threshold
        rate = found.rate
        levels.append(Level(name, found.threshold, float(budgets[name]), rate.value or 0.0, rate.low, rate.high))
        if found.note:
            notes.append(f"level {name}: {found.note}")
    return levels, notes


def _between(value: Floats, count: int, others: Floats) -> float:
    """A threshold that the first `count` of the falling values reach and the next does not: halfway to the next higher
    score of anyone, so that rounding cannot tip it."""
    if count == len(value):
        return float(min(value[-1], others.min(initial=np.inf)))
    below = float(value[count])
    above = others[others > below]
    if not len(above):
        return float(np.nextafter(below, np.inf))
    middle = below + (float(above.min()) - below) / 2
    return middle if middle > below else float(above.min())


def _needed(share: float) -> int:
    """How many honest cases without a single hit show that at most `share` are hit."""
    if share >= 1:
        return 1
    size = max(1, math.ceil(math.log(0.025) / math.log1p(-share)))
    while exact(0, size)[1] > share:
        size += 1
    return size
