"""Baselines of `benchmarks.segments`: what a service would write first, each with its best threshold.

A rule gives every row a score and a key; it alarms where the score reaches its threshold, and alarms of one key less
than a day apart are one campaign. The threshold is the lowest with at most one campaign a month on the honest worlds of
development. Failures of one account within six hours count once in all of them, as they do in the signal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.segments_world import HOUR_US, Logins

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
DAY_US = 24 * HOUR_US


@dataclass
class Scored:
    """Scores of some rows, and by what they were grouped."""

    rows: Ints
    key: Ints
    score: Floats


def trailing(key: Ints, time: Ints, hit: Floats, window_us: int) -> tuple[Floats, Floats]:
    """For each row (sorted by time): hits, and rows, of its key in the window that ends with it."""
    _, group = np.unique(key, return_inverse=True)
    begun = time - time.min()
    line = group.astype(np.int64) * (int(begun.max()) + 2 * window_us) + begun
    order = np.argsort(line, kind="stable")
    line, total = line[order], np.r_[0.0, np.cumsum(hit[order])]
    start = np.searchsorted(line, line - window_us, side="right")
    end = np.arange(1, len(line) + 1)
    hits, rows = np.zeros(len(line)), np.zeros(len(line))
    hits[order], rows[order] = total[end] - total[start], (end - start).astype(np.float64)
    return hits, rows


def by_address(column: str, hours: int) -> Callable[[Logins], Scored]:
    """Accounts that failed from one address or network within `hours`."""

    def score(logins: Logins) -> Scored:
        rows = np.flatnonzero(logins.first_failures)
        key = logins.column(column)[rows]
        count, _ = trailing(key, logins.time[rows], np.ones(len(rows)), hours * HOUR_US)
        return Scored(rows, key, count)

    return score


def cusum(logins: Logins) -> Scored:
    """CUSUM of the failure ratio of all logins, usual 11 %, against half as much again in odds of failing."""
    rows = np.flatnonzero(logins.first_failures | logins.succeeded)
    usual = 0.09
    other = 1.5 * usual / (1 - usual) / (1 + 1.5 * usual / (1 - usual))
    steps = np.where(logins.failed[rows], np.log(other / usual), np.log((1 - other) / (1 - usual)))
    path = np.cumsum(steps)
    floor = np.minimum.accumulate(np.minimum(path, 0.0))
    return Scored(rows, np.zeros(len(rows), np.int64), (path - floor).astype(np.float64))


def ratio(column: str, hours: int, least: int) -> Callable[[Logins], Scored]:
    """The failure ratio of a segment within `hours`, where it has at least `least` logins."""

    def score(logins: Logins) -> Scored:
        rows = np.flatnonzero(logins.first_failures | logins.succeeded)
        key = logins.column(column)[rows]
        failed, count = trailing(key, logins.time[rows], logins.failed[rows].astype(np.float64), hours * HOUR_US)
        return Scored(rows, key, np.where(count >= least, failed / count, 0.0))

    return score


RULES: Mapping[str, Callable[[Logins], Scored]] = {
    "address_1h": by_address("ip", 1),
    "network_24h": by_address("network", 24),
    "cusum_all": cusum,
    "ratio_agent_6h": ratio("user_agent", 6, 20),
    "ratio_asn_6h": ratio("asn", 6, 20),
}


def campaigns(scored: Scored, time: Ints, threshold: float) -> int:
    """Alarms, those of one key less than a day apart as one."""
    at = np.flatnonzero(scored.score >= threshold)
    if not len(at):
        return 0
    key, when = scored.key[at], time[scored.rows[at]]
    order = np.lexsort((when, key))
    key, when = key[order], when[order]
    return int(1 + np.sum((np.diff(key) != 0) | (np.diff(when) > DAY_US)))


def threshold_of(worlds: Sequence[tuple[Scored, Ints]], months: float) -> float:
    """The lowest threshold with at most one campaign a month on honest worlds."""
    seen = np.unique(np.concatenate([scored.score for scored, _ in worlds]))
    low, high = 0, len(seen)
    while low < high:
        middle = (low + high) // 2
        found = sum(campaigns(scored, time, float(seen[middle])) for scored, time in worlds)
        low, high = (low, middle) if found <= months else (middle + 1, high)
    return float(seen[low]) if low < len(seen) else float(seen[-1]) * (1 + 1e-9) + 1e-9
