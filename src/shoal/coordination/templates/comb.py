"""The timing comb: sign-ups that come too evenly, or too densely, for people.

Times are first carried to the service's own clock, on which each hour is as long as it has sign-ups: a wave of honest
ones raises the rate for everybody and is no evidence. On that clock strangers come at random (a Poisson process), so

- `density`: how far a group stands closer than the service's rate of such sign-ups, as -log10 of a Poisson tail;
- `evenness`: gaps more alike than random ones, by Greenwood's statistic (the sum of squared shares, 1946), -log10 p;
- `teeth`: times that fall into one phase of a period (a minute, five, ten, fifteen, an hour, as schedulers use), by the
  Rayleigh test on wall time, corrected for the number of periods, -log10 p.

Pure functions of arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, poisson

from shoal.coordination.templates.signups import HOUR, Ints

Floats = npt.NDArray[np.float64]
SECOND = 1_000_000
PERIODS_S = (60, 300, 600, 900, 1_800, 3_600)
MOST = 50.0


@dataclass(frozen=True)
class Comb:
    """`density`, `evenness`, `teeth`: -log10 p of each test, 0 … 50. `every_s`: the median gap. `period_s`: of the
    clearest teeth, 0 where there are none."""

    density: float
    evenness: float
    teeth: float
    every_s: float
    period_s: int

    @property
    def score(self) -> float:
        """The clearest of the three."""
        return max(self.density, self.evenness, self.teeth)


def comb(times: Ints, every: Ints, usual: float) -> Comb:
    """Test the times of a group.

    `times` int64 [n] ascending, µs: the group's; `every` int64 [m] ascending: those of all sign-ups of the service,
    the group's among them; `usual` in (0, 1]: the share of all sign-ups that are of this form in ordinary life.
    Fewer than three times are no comb.
    """
    size = len(times)
    if size < 3:
        return Comb(0.0, 0.0, 0.0, float(np.diff(times).mean()) / SECOND if size == 2 else 0.0, 0)
    others = _without(every, times)
    clock = _clock(others, times)
    expected = max((clock[-1] - clock[0]) * usual, 1e-9)
    density = -poisson.logsf(size - 2, expected) / np.log(10)  # the first one opens the stretch
    teeth, period = _teeth(times)
    every_s = float(np.median(np.diff(times))) / SECOND
    return Comb(_bounded(density), _evenness(clock), teeth, every_s, period)


def _without(every: Ints, times: Ints) -> Ints:
    """`every` less one of each of `times`."""
    values, counts = np.unique(every, return_counts=True)
    mine, own = np.unique(times, return_counts=True)
    at = np.minimum(np.searchsorted(values, mine), max(len(values) - 1, 0))
    if len(values):
        there = values[at] == mine
        counts[at[there]] -= np.minimum(own[there], counts[at[there]])
    return np.repeat(values, counts)


def _clock(others: Ints, times: Ints) -> Floats:
    """Times on the clock of the service: how many others had signed up, evenly within each hour, half a one added to
    each hour so that the clock never stands still."""
    first = times[0] // HOUR
    edges = np.arange(first, times[-1] // HOUR + 2) * HOUR
    counts = np.diff(np.searchsorted(others, edges)) + 0.5
    passed = np.concatenate([[0.0], np.cumsum(counts)])
    at = times // HOUR - first
    return np.asarray(passed[at] + counts[at] * (times - edges[at]) / HOUR)


def _evenness(clock: Floats) -> float:
    """-log10 p that random gaps are as alike as these: the lower tail of Greenwood's statistic, normal on its log
    (mean and spread by its exact moments)."""
    gaps = np.diff(clock)
    n = len(gaps)
    if n < 5 or gaps.sum() <= 0:
        return 0.0
    share = gaps / gaps.sum()
    found = float((share**2).sum())
    mean = 2.0 / (n + 1)
    variance = 4.0 * (n - 1) / ((n + 1) ** 2 * (n + 2) * (n + 3))
    spread = np.sqrt(np.log1p(variance / mean**2))
    z = (np.log(found) - (np.log(mean) - spread**2 / 2)) / spread
    return _bounded(-norm.logcdf(z) / np.log(10))


def _teeth(times: Ints) -> tuple[float, int]:
    best, period = 0.0, 0
    for seconds in PERIODS_S:
        if times[-1] - times[0] < 3 * seconds * SECOND:
            continue
        phase = (times % (seconds * SECOND)) / (seconds * SECOND) * 2 * np.pi
        strength = np.abs(np.exp(1j * phase).mean()) ** 2 * len(times)
        found = (strength - np.log(len(PERIODS_S))) / np.log(10)  # p = exp(-n R²), as many periods tried
        if found > best + 1e-9:
            best, period = float(found), seconds
    return _bounded(best), period if best > 2 else 0


def _bounded(value: float) -> float:
    return float(np.clip(np.nan_to_num(value, posinf=MOST), 0.0, MOST))
