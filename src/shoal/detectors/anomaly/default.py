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
from shoal.detectors.anomaly.neighbours import TREE_DIMENSIONS, NearestNeighbours
from shoal.detectors.contract import RowDetector
from shoal.detectors.tail import Tail
from shoal.errors import InvalidInput, Problem, Where, nearest_name

Floats = npt.NDArray[np.float64]
Training = Literal["mixed", "clean"]
TRAININGS: tuple[Training, ...] = ("mixed", "clean")

FEW_VALUES = 10
"""A column with at most so many distinct values is discrete: its ranks are mostly ties."""
MIXED_REFERENCE = 5_000
"""With k a share, more reference rows change little and cost much."""
CLEAN_REFERENCE = 20_000
"""Where no tree helps; the nearest row of a low dimension is looked for among all."""
NEAR_SHARE = 0.05


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
    """A weighted mean of neighbour distances and a covariance, chosen by what the training rows are.

    `training` is `mixed` (the rows hold unknown anomalies: scores of these very rows are wanted) or `clean` (a stretch
    that is taken for ordinary: scores of new rows are wanted).

    - mixed: neighbours are 5 % of the rows, so that a group of anomalies does not vouch for itself, and the covariance
      is robust. Members are joined by their excess over the bulk, which anomalies among the rows hardly move.
    - clean: the single nearest row, and a shrunk covariance of normal scores. Members are joined by surprise
      (minus the log tail probability, leave-one-out for the neighbours).

    `tail_probability` is that of the joint score against the joint scores of the training rows.
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
        discrete = float(np.mean([len(np.unique(column)) <= FEW_VALUES for column in x.T]))
        found = self._mixed(discrete) if self.training == "mixed" else self._clean(discrete, x.shape[1])
        self._members, choices, self._joins, parts = [], [], [], []
        for member, choice in found:
            scores = member.fit(x).decision_scores_
            if isinstance(member, Covariance) and member.robust and not member.robust_:
                choice = Choice("covariance, shrunk", choice.weight, "no robust covariance exists for these rows")
            self._members.append((member, choice.weight))
            choices.append(choice)
            join = Excess.of(scores) if self.training == "mixed" else Tail.of(scores)
            self._joins.append(join)
            parts.append(_joined(join, scores))
        self.chosen_ = tuple(choices)
        return self._mean(parts)

    def _mixed(self, discrete: float) -> list[tuple[RowDetector, Choice]]:
        members: list[tuple[RowDetector, Choice]] = [
            (self._near(NEAR_SHARE, "range", MIXED_REFERENCE), Choice("neighbours, range", 1.0, "always")),
            (Covariance(seed=self.seed), Choice("covariance, robust", 1.0, "always")),
        ]
        if discrete <= 0.5:
            near = self._near(NEAR_SHARE, "normal", MIXED_REFERENCE)
            members.append((near, Choice("neighbours, normal scores", 0.5, "most columns are continuous")))
        return members

    def _clean(self, discrete: float, columns: int) -> list[tuple[RowDetector, Choice]]:
        reference = 0 if columns <= TREE_DIMENSIONS else CLEAN_REFERENCE
        members: list[tuple[RowDetector, Choice]] = [
            (self._near(1, "range", reference), Choice("neighbours, range", 2.0, "always")),
            (Covariance(robust=False, scaling="normal"), Choice("covariance, normal scores", 0.5, "always")),
        ]
        if discrete <= 0.5:
            near = self._near(1, "normal", reference)
            members.append((near, Choice("neighbours, normal scores", 1.0, "most columns are continuous")))
        return members

    def _near(self, k: float, scaling: str, reference: int) -> NearestNeighbours:
        return NearestNeighbours(k, power=1, scaling=scaling, reference=reference, seed=self.seed)

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
