"""The default: it looks at the training rows, chooses members and weighs them, with no labels.

What it looks at: how many rows and columns, whether columns are discrete, whether a robust covariance exists. What it
cannot measure it is told: whether the training rows are `clean` (ordinary rows only) or `mixed` (anomalies among them).
docs/anomaly.md says on which sets the choice was made. Owns its members; `chosen_` names them and why.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from shoal.detectors.anomaly.covariance import Covariance
from shoal.detectors.anomaly.minor import MinorComponents
from shoal.detectors.anomaly.neighbours import NearestNeighbours
from shoal.detectors.contract import MIN_ROWS, RowDetector
from shoal.detectors.tail import Tail
from shoal.errors import InvalidInput, Problem, Where, nearest_name

Floats = npt.NDArray[np.float64]
Training = Literal["mixed", "clean"]
TRAININGS: tuple[Training, ...] = ("mixed", "clean")

FEW_VALUES = 10
"""A column with at most so many distinct values is discrete: its ranks are mostly ties."""
MIXED_REFERENCE = 5_000
"""With k a share, more reference rows change little and cost much."""
CLEAN_REFERENCE = 10_000
"""The single nearest row is looked for among as many: all pairs are measured."""
NEAR_SHARE = 0.05
POWER = 0.5
TRIMS = (0.25, 0.4)
"""Shares of the rows, those with the worst joint score, that are left out of the neighbours of the next round."""


@dataclass(frozen=True)
class Choice:
    """A member of the combination: its name, weight, and why it was taken."""

    name: str
    weight: float
    reason: str


@dataclass(frozen=True)
class Excess:
    """Scores as distance above the median, in units of the way from there to the 90 % quantile of training."""

    median: float
    unit: float

    @classmethod
    def of(cls, scores: Floats) -> Excess:
        """From training scores; where the 90 % quantile is the median too, the next higher that differs is taken."""
        median = float(np.median(scores))
        for share in (0.9, 0.99, 1.0):
            unit = float(np.quantile(scores, share)) - median
            if unit > 1e-12 * max(abs(median), 1e-300):
                return cls(median, unit)
        return cls(median, 1.0)

    def apply(self, scores: Floats) -> Floats:
        """Elementwise."""
        return (scores - self.median) / self.unit


class Anomaly(RowDetector):
    """A weighted mean of neighbour distances and of a covariance or minor components, by what the training rows are.

    `training` is `mixed` (the rows hold unknown anomalies: scores of these very rows are wanted) or `clean` (a stretch
    that is taken for ordinary: scores of new rows are wanted).

    - mixed: neighbours are 5 % of the rows, so that a group of anomalies does not vouch for itself, and the covariance
      is robust. Members are joined by their excess over the bulk, which anomalies among the rows hardly move. Then the
      worst quarter of the rows is left out of the neighbours and all are scored again; then the worst 40 %.
    - clean: the single nearest row, and minor components. Members are joined by surprise (minus the log tail
      probability, leave-one-out for the neighbours).

    `tail_probability` is that of the joint score against the joint scores of all training rows.
    """

    def __init__(self, training: str = "mixed", *, seed: int = 0) -> None:
        if training not in TRAININGS:
            raise InvalidInput(
                Problem(
                    "detector.setting",
                    f"unknown training {training!r}",
                    Where(path="training"),
                    allowed=", ".join(TRAININGS),
                    nearest=nearest_name(training, TRAININGS),
                )
            )
        self.training, self.seed = training, seed
        self.chosen_: tuple[Choice, ...] = ()
        self._members: list[tuple[RowDetector, float]] = []
        self._joins: list[Excess | Tail] = []

    def _fit(self, x: Floats) -> Floats:
        return self._fit_mixed(x) if self.training == "mixed" else self._fit_clean(x)

    def _fit_mixed(self, x: Floats) -> Floats:
        covariance = Covariance(seed=self.seed)
        wide = covariance.fit(x).decision_scores_
        name, reason = "covariance, robust", "always"
        if not covariance.robust_:
            name, reason = "covariance, shrunk", "no robust covariance exists for these rows"
        kept, scores = np.ones(len(x), dtype=np.bool_), np.empty(len(x))
        for trim in (*TRIMS, 0.0):
            near = self._near(NEAR_SHARE, "range", MIXED_REFERENCE)
            far = np.empty(len(x))
            far[kept] = near.fit(x[kept]).decision_scores_
            if not kept.all():
                far[~kept] = near.decision_function(x[~kept])
            self._members = [(near, 1.0), (covariance, 0.25)]
            parts = self._join([far, wide])
            scores = self._mean(parts)
            if trim:
                kept[:] = False
                kept[np.argsort(scores, kind="stable")[: max(round((1 - trim) * len(x)), MIN_ROWS)]] = True
        self.chosen_ = Choice("neighbours, range, trimmed", 1.0, "always"), Choice(name, 0.25, reason)
        return scores

    def _fit_clean(self, x: Floats) -> Floats:
        found: list[tuple[RowDetector, Choice]] = [
            (self._near(1, "range", CLEAN_REFERENCE), Choice("neighbours, range", 2.0, "always"))
        ]
        if float(np.mean([len(np.unique(column)) <= FEW_VALUES for column in x.T])) <= 0.5:
            near = self._near(1, "normal", CLEAN_REFERENCE)
            found.append((near, Choice("neighbours, normal scores", 1.0, "most columns are continuous")))
        scores = [member.fit(x).decision_scores_ for member, _ in found]
        for scaling, words in (("range", "range"), ("normal", "normal scores")):
            minor = MinorComponents(scaling=scaling)
            own = minor.fit(x).decision_scores_
            if minor.minor_:
                reason = "the rows hardly vary in some directions"
                found.append((minor, Choice(f"minor components, {words}", 0.7, reason)))
                scores.append(own)
        self._members = [(member, choice.weight) for member, choice in found]
        self.chosen_ = tuple(choice for _, choice in found)
        return self._mean(self._join(scores))

    def _join(self, scores: list[Floats]) -> list[Floats]:
        """The members' training scores in one measure, which is kept."""
        make = Excess.of if self.training == "mixed" else Tail.of
        self._joins = [make(each) for each in scores]
        return [_joined(join, each) for join, each in zip(self._joins, scores, strict=True)]

    def _near(self, k: float, scaling: str, reference: int) -> NearestNeighbours:
        return NearestNeighbours(k, power=POWER, scaling=scaling, reference=reference, seed=self.seed)

    def _score(self, x: Floats) -> Floats:
        pairs = zip(self._members, self._joins, strict=True)
        return self._mean([_joined(join, member.decision_function(x)) for (member, _), join in pairs])

    def _mean(self, parts: list[Floats]) -> Floats:
        total = np.zeros(len(parts[0]))
        for (_, weight), part in zip(self._members, parts, strict=True):
            total += weight * part
        return total / sum(weight for _, weight in self._members)


def _joined(join: Excess | Tail, scores: Floats) -> Floats:
    return join.apply(scores) if isinstance(join, Excess) else join.surprise(scores)
