"""Two models on the same rows: who is better, by how much, and whether that is more than chance.

The rows are drawn again by subject, both models being judged on each draw (paired), so that what is hard for both
cancels out. The second should not replace the first where the interval of the difference holds 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from shoal.detectors.models.model import Model
from shoal.errors import InvalidInput, Problem
from shoal.learn.evaluation.evaluate import BUDGETS, Judged, catching_ranking, judged_rows
from shoal.learn.evaluation.ranking import Ranking, bootstrap, by_subject, limits
from shoal.learn.frame import Floats, TrainingFrame
from shoal.learn.targets import read_targets

REPEATS = 400


@dataclass(frozen=True)
class Difference:
    """One figure of both models and its difference, second less first, with the paired interval; `surely`: 1 the
    second is better, -1 the first, 0 it cannot be told."""

    name: str
    first: float
    second: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        """Second less first."""
        return self.second - self.first

    @property
    def surely(self) -> int:
        """Whether the interval leaves out 0, and on which side."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


@dataclass(frozen=True)
class Comparison:
    """Two models by their identities on `rows` rows of `subjects` subjects, `positive_subjects` of them abusive."""

    first: str
    second: str
    rows: int
    subjects: int
    positive_subjects: int
    differences: list[Difference]
    notes: list[str]


def compare(
    first: Model,
    second: Model,
    frame: TrainingFrame,
    labels: pa.Table | Iterable[Mapping[str, Any]],
    *,
    until_us: int,
    maturity_us: int | None = None,
    lead_us: int = 0,
    seed: int = 0,
) -> Comparison:
    """Judge both on the matured rows of `frame` that stand after both stretches they were fitted on (all rows where
    none do, which the notes say). The frame may hold more inputs than each reads.

    Raises `InvalidInput` where an input of a model is not in the frame (`model.*`), and as `evaluate`.
    """
    offered = {one.name: one for one in frame.inputs}
    for model in (first, second):
        model.check(offered)
    targets = read_targets(frame, labels, until_us, maturity_us=maturity_us, lead_us=lead_us)
    mature = targets.usable & (frame.time <= until_us - targets.maturity_us)
    fitted = max(model.metadata.origin.last_seq for model in (first, second))
    notes, later = [], mature & (frame.seq > fitted)
    if not later.any() or len(np.unique(targets.positive[later])) < 2:
        notes.append("no rows after those that the models were fitted on: figures of both are flattered")
        later = mature
    rows = np.flatnonzero(later)
    judged = [
        judged_rows(model, _columns(frame, model), targets, rows, frame.weight[rows]) for model in (first, second)
    ]
    differences = compare_scores(judged[0], judged[0].raw, judged[1].raw, seed)
    units = by_subject(judged[0].raw, judged[0].positive, judged[0].subject, judged[0].weight)
    return Comparison(
        first.identity, second.identity, len(rows), len(units.number), int(units.positive.sum()), differences, notes
    )


def compare_scores(judged: Judged, first: Floats, second: Floats, seed: int = 0) -> list[Difference]:
    """The differences of two scores [n] of the same rows. Raises `InvalidInput` (`compare.shape`)."""
    if first.shape != second.shape or first.shape != judged.positive.shape:
        raise InvalidInput(
            Problem("compare.shape", f"scores {first.shape} and {second.shape}, rows {len(judged.positive)}")
        )
    names = ["AUROC by row", "average precision by row"]
    rows = [Ranking.of(score, judged.positive) for score in (first, second)]
    found = _paired(
        names,
        lambda weight, at: [rows[at].auroc(weight), rows[at].average_precision(weight)],
        [judged.weight, judged.weight],
        [judged.subject, judged.subject],
        seed,
    )
    units = [by_subject(score, judged.positive, judged.subject, judged.weight) for score in (first, second)]
    subjects = [Ranking.of(one.score, one.positive) for one in units]
    found += _paired(
        ["AUROC by subject", "average precision by subject"],
        lambda weight, at: [subjects[at].auroc(weight), subjects[at].average_precision(weight)],
        [one.weight for one in units],
        [one.number for one in units],
        seed,
    )
    cells = [judged.cells(score) for score in (first, second)]
    catching = [
        catching_ranking(one.score, one.positive, one.number, cell) for one, cell in zip(units, cells, strict=True)
    ]
    found += _paired(
        [f"caught at {budget:g} honest per 10,000 and week" for budget in BUDGETS],
        lambda weight, at: [catching[at][0].recall_at(share, weight) for share in catching[at][1]],
        [np.concatenate([one.weight[one.positive], cell.weight]) for one, cell in zip(units, cells, strict=True)],
        [one[2] for one in catching],
        seed,
    )
    return found


def _paired(names: list[str], measure: Any, weights: list[Floats], clusters: list[Any], seed: int) -> list[Difference]:
    """Both are measured on the same draws: the same seed over the same subjects, in the order of their numbers."""
    plain = [measure(weight, at) for at, weight in enumerate(weights)]
    drawn = [
        bootstrap(lambda weight, at=at: np.array(measure(weight, at)), weights[at], clusters[at], seed, REPEATS)  # type: ignore[misc]
        for at in (0, 1)
    ]
    pairs = limits(drawn[1] - drawn[0])
    return [Difference(name, float(plain[0][at]), float(plain[1][at]), *pairs[at]) for at, name in enumerate(names)]


def _columns(frame: TrainingFrame, model: Model) -> TrainingFrame:
    """The frame with the inputs of one model, in its order."""
    at = [[one.name for one in frame.inputs].index(name) for name in model.inputs]
    definition = replace(frame.definition, inputs=model.inputs)
    return replace(frame, definition=definition, inputs=tuple(frame.inputs[one] for one in at), x=frame.x[:, at])
