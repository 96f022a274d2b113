"""Shares and histograms of rows that are weighted and come in clusters.

A subject's rows, and its weeks, are no independent evidence; a sampled row stands for several. Both make a sample
worth fewer independent ones than it has rows. The *effective size* says how many (Kish, Survey Sampling, 1965): it
goes into Clopper and Pearson's interval in place of the count, as Korn and Graubard do (Survey Methodology 1998).

`Cells` cut the time of a part into windows of about a week: what a budget of honest subjects per week is counted in.
Pure: arrays in, figures out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from shoal.learn.cohorts import DAY_US
from shoal.learn.frame import Bools, Floats, Int64s
from shoal.learn.intervals import LEVEL

WEEK_US = 7 * DAY_US
PER = 10_000
"""Budgets and honest rates are per this many subjects and week."""
TAILS: tuple[float, ...] = (0.1, 0.05, 0.02)
"""Shares of the highest cells in which the likeness of a subject's weeks is measured."""


@dataclass(frozen=True)
class Rate:
    """A share with its interval. `value` None: of nothing. `size`: effective number of independent cases, `hits` and
    `cases` the plain counts behind it."""

    value: float | None
    low: float
    high: float
    size: float = 0.0
    hits: int = 0
    cases: int = 0

    def times(self, factor: float) -> Rate:
        """The same rate in another unit."""
        value = None if self.value is None else self.value * factor
        return Rate(value, self.low * factor, self.high * factor, self.size, self.hits, self.cases)


def exact(hits: float, size: float, level: float = LEVEL) -> tuple[float, float]:
    """Clopper and Pearson's limits for `hits` of `size`, either of which may be a fraction.

    >>> low, high = exact(0, 10)
    >>> round(high, 3)
    0.308
    """
    if size <= 0:
        return 0.0, 1.0
    alpha, hits = 1 - level, min(max(hits, 0.0), size)
    low = 0.0 if hits <= 0 else float(stats.beta.ppf(alpha / 2, hits, size - hits + 1))
    high = 1.0 if hits >= size else float(stats.beta.ppf(1 - alpha / 2, hits + 1, size - hits))
    return low, high


def effective_size(hit: Bools, weight: Floats, cluster: Int64s) -> float:
    """How many independent, unweighted cases would give the weighted share of `hit` the same variance.

    From the linearised variance of a ratio over clusters; where nothing or everything is hit the variance says
    nothing, and the clusters are counted (by weight: (Σw)² / Σw²). At least 1 where there is a case."""
    if not len(hit):
        return 0.0
    total = float(weight.sum())
    clusters = _dense(cluster)
    plain = total**2 / float((weight**2).sum())
    share = float(weight[hit].sum()) / total
    if 0 < share < 1:
        away = np.bincount(clusters, weight * (hit - share))
        variance = float((away**2).sum()) / total**2
        return max(1.0, min(plain, share * (1 - share) / variance)) if variance > 0 else plain
    of_clusters = np.bincount(clusters, weight)
    return max(1.0, min(plain, total**2 / float((of_clusters**2).sum())))


def _dense(cluster: Int64s) -> Int64s:
    """Codes from 0 that are few enough to count by; as they are where they are so already, which spares a sort."""
    if len(cluster) and int(cluster.min()) >= 0 and int(cluster.max()) <= 4 * len(cluster) + 1000:
        return cluster
    return np.unique(cluster, return_inverse=True)[1].astype(np.int64)


def rate_of(hit: Bools, weight: Floats, cluster: Int64s, level: float = LEVEL) -> Rate:
    """The weighted share of cases that are hit; `cluster` says which cases belong together."""
    size = effective_size(hit, weight, cluster)
    if not size:
        return Rate(None, 0.0, 1.0)
    value = float(weight[hit].sum() / weight.sum())
    low, high = exact(value * size, size, level)
    return Rate(value, min(low, value), max(high, value), size, int(hit.sum()), len(hit))


@dataclass(frozen=True, eq=False)
class Cells:
    """Honest subjects by window: `value` [m] the highest score of a subject in a window, its `weight`, and the
    `subject` it is of. `factor`: windows a week, at least 1 (what is counted in less than a week is scaled up, which
    overstates the week and never understates it).

    A subject that is odd in one week is odd in the next. How much, is measured where there is something to measure, in
    the upper tail (`TAILS`), and the least effective size found there serves all thresholds: far up, where nobody or
    one subject is hit, the hits themselves say nothing."""

    value: Floats
    weight: Floats
    subject: Int64s
    factor: float

    @cached_property
    def size(self) -> float:
        """Effective number of independent cells."""
        order = np.argsort(-self.value, kind="stable")
        tail = np.cumsum(self.weight[order]) / max(float(self.weight.sum()), 1e-300)
        sizes = [float(len(self.value))]
        for share in TAILS:
            hit = np.zeros(len(self.value), np.bool_)
            hit[order[tail <= share]] = True
            if hit.any():
                sizes.append(effective_size(hit, self.weight, self.subject))
        return min(sizes) if len(self.value) else 0.0

    def rate(self, threshold: float) -> Rate:
        """Honest subjects per 10,000 and week whose score reaches the threshold."""
        if not len(self.value):
            return Rate(None, 0.0, 1.0).times(PER * self.factor)
        hit = self.value >= threshold
        value = float(self.weight[hit].sum() / self.weight.sum())
        low, high = exact(value * self.size, self.size)
        return Rate(value, min(low, value), max(high, value), self.size, int(hit.sum()), len(hit)).times(
            PER * self.factor
        )


def cells_of(score: Floats, weight: Floats, subject: Int64s, time: Int64s, honest: Bools) -> Cells:
    """The cells of honest rows. Windows are equal parts of the time from the first to the last of all rows given, as
    near to a week as parts can be."""
    if not honest.any():
        empty = np.zeros(0)
        return Cells(empty, empty, np.zeros(0, np.int64), 1.0)
    first, span = int(time.min()), max(1, int(time.max() - time.min()) + 1)
    windows = max(1, round(span / WEEK_US))
    window = np.minimum((time[honest] - first) * windows // span, windows - 1)
    keys, inverse = np.unique(subject[honest] * windows + window, return_inverse=True)
    value, heaviest = np.full(len(keys), -np.inf), np.zeros(len(keys))
    np.maximum.at(value, inverse, score[honest])
    np.maximum.at(heaviest, inverse, weight[honest])
    return Cells(value, heaviest, keys // windows, max(1.0, WEEK_US * windows / span))
