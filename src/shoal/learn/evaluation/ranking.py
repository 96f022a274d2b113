"""How well scores rank: area under the ROC curve, average precision, recall at a share of honest ones, gain curve.

Sorted once, asked many times with other weights: a bootstrap draws weights, not rows. Tied scores are one step, so no
order among them can flatter. Values agree with scikit-learn's `roc_auc_score` and `average_precision_score`.

The unit is the row or the subject. `by_subject` takes a subject's worst row: of an abusive subject among its positive
rows (a hit on the owner before the takeover catches nobody), of an honest one among all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from shoal.learn.frame import Bools, Floats, Int64s
from shoal.learn.intervals import LEVEL

REPEATS = 200
"""Bootstrap draws; fewer for large parts (see `bootstrap`)."""
_WORK = 40_000_000


@dataclass(frozen=True, eq=False)
class Ranking:
    """Scores in falling order: `positive` [n], `step` [n] the number of the distinct score from 0, `order` [n] the
    places in what was given."""

    positive: Bools
    step: Int64s
    order: Int64s

    @classmethod
    def of(cls, score: Floats, positive: Bools) -> Ranking:
        """Of finite scores [n], higher is worse."""
        order = np.argsort(-score, kind="stable")
        ordered = score[order]
        step = np.cumsum(np.diff(ordered, prepend=ordered[:1]) != 0).astype(np.int64)
        return cls(positive[order], step, order)

    def _sums(self, weight: Floats) -> tuple[Floats, Floats]:
        """Weights of positives and of others by distinct score, worst first."""
        ordered = weight[self.order]
        size = int(self.step[-1]) + 1 if len(self.step) else 0
        positive = np.bincount(self.step, ordered * self.positive, size).astype(np.float64)
        return positive, np.bincount(self.step, ordered * ~self.positive, size).astype(np.float64)

    def auroc(self, weight: Floats) -> float:
        """The chance that a positive scores above another, ties half; NaN where one class is missing."""
        positive, other = self._sums(weight)
        total = positive.sum() * other.sum()
        if total <= 0:
            return float("nan")
        below = other.sum() - np.cumsum(other)
        return float((positive * (below + 0.5 * other)).sum() / total)

    def average_precision(self, weight: Floats) -> float:
        """The mean of precision over positives, as a step function; NaN where there is no positive."""
        positive, other = self._sums(weight)
        if positive.sum() <= 0:
            return float("nan")
        caught = np.cumsum(positive)
        precision = caught / np.maximum(caught + np.cumsum(other), 1e-300)
        return float((positive * precision).sum() / positive.sum())

    def recall_at(self, share: float, weight: Floats) -> float:
        """Recall at the lowest threshold that at most `share` of the others reach; NaN where a class is missing."""
        positive, other = self._sums(weight)
        if positive.sum() <= 0 or other.sum() <= 0:
            return float("nan")
        within = np.cumsum(other) <= share * other.sum() * (1 + 1e-12)
        return float(np.cumsum(positive)[within][-1] / positive.sum()) if within.any() else 0.0

    def gain(self, weight: Floats, points: int = 200) -> tuple[list[float], list[float]]:
        """The cumulative gain: share of all that is looked at, worst first, and share of positives among it."""
        positive, other = self._sums(weight)
        looked = np.cumsum(positive + other) / max(float(weight.sum()), 1e-300)
        caught = np.cumsum(positive) / max(float(positive.sum()), 1e-300)
        grid = np.concatenate([[0.0], np.geomspace(1e-5, 1.0, points)])
        x, y = np.concatenate([[0.0], looked]), np.concatenate([[0.0], caught])
        return grid.tolist(), np.interp(grid, x, y).tolist()


@dataclass(frozen=True, eq=False)
class Subjects:
    """Subjects with their worst score: `number` as in the rows' codes, `positive`, `score`, `weight`, all [m]."""

    number: Int64s
    positive: Bools
    score: Floats
    weight: Floats


def by_subject(score: Floats, positive: Bools, subject: Int64s, weight: Floats) -> Subjects:
    """The subjects of rows; see the module. A subject weighs as its heaviest row."""
    numbers, inverse = np.unique(subject, return_inverse=True)
    abusive = np.bincount(inverse, positive, len(numbers)) > 0
    counted = positive | ~abusive[inverse]
    worst, heaviest = np.full(len(numbers), -np.inf), np.zeros(len(numbers))
    np.maximum.at(worst, inverse[counted], score[counted])
    np.maximum.at(heaviest, inverse[counted], weight[counted])
    return Subjects(numbers, abusive, worst, heaviest)


def bootstrap(
    measure: Callable[[Floats], Floats], weight: Floats, cluster: Int64s, seed: int, repeats: int = REPEATS
) -> Floats:
    """`measure(weight)` under weights drawn by cluster with replacement [repeats, k]. Large samples get fewer repeats,
    at least 50. Percentiles of it are an interval (Efron and Tibshirani 1993, 13.3)."""
    numbers, inverse = np.unique(cluster, return_inverse=True)
    chance = np.random.default_rng(seed)
    repeats = int(min(repeats, max(50, _WORK // max(1, len(weight)))))
    drawn = []
    for _ in range(repeats):
        times = chance.multinomial(len(numbers), np.full(len(numbers), 1 / len(numbers)))
        drawn.append(measure(weight * times[inverse]))
    return np.array(drawn)


def limits(drawn: Floats, level: float = LEVEL) -> list[tuple[float, float]]:
    """The interval of each column of bootstrap draws; NaN draws (a class was missing) are left out."""
    found = []
    for column in drawn.T:
        finite = column[np.isfinite(column)]
        if len(finite):
            low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
            found.append((float(low), float(high)))
        else:
            found.append((float("nan"), float("nan")))
    return found
