"""A model in service: have its inputs or its score moved, is it still calibrated, and who should be told.

The population stability index of an input is Σ (p - q) ln(p / q) over the cells of the histogram in the model file, the
unknown being a cell. It is never 0 by chance alone: without drift it is about (1/n + 1/m) χ² with one degree of
freedom less than cells (Yurdakul, PhD thesis, Western Michigan University 2018). So each has a bound for the sizes at
hand, with rows of one subject counted for what they are worth (Rao and Scott, JASA 1981), and is an alarm only above
both the bound (1 % over all inputs together) and the customary 0.1, a grave one above 0.25. Calibration is checked on
matured labels: expected against observed abusive rows, with an interval by subject.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import stats

from shoal.detectors.models.model import Model
from shoal.errors import InvalidInput, Problem
from shoal.learn.evaluation.evaluate import Judged, at_threshold, judged_rows
from shoal.learn.evaluation.figures import AtThreshold
from shoal.learn.evaluation.rates import Rate, effective_size, rate_of
from shoal.learn.frame import Floats, Int64s, TrainingFrame
from shoal.learn.targets import read_targets

MOVED, MOVED_MUCH = 0.1, 0.25
CHANCE = 0.01
"""The chance of any alarm of inputs while nothing moves."""
MIN_ROWS = 100
_FLOOR = 1e-4
SCORE = "score"


@dataclass(frozen=True)
class Moved:
    """One input, or the score: its index, the bound that chance alone stays under, how much of it was and is unknown,
    and the cell that moved most, in words."""

    name: str
    index: float
    bound: float
    missing_before: float
    missing_now: float
    most: str

    @property
    def alarm(self) -> int:
        """0 steady, 1 moved, 2 moved much."""
        if self.index <= max(self.bound, MOVED):
            return 0
        return 2 if self.index > MOVED_MUCH else 1


@dataclass(frozen=True)
class DriftReport:
    """`inputs` by falling index, `score`; `expected` and `observed` shares of abusive rows among `matured` rows
    (`observed.value` None: none has matured); `levels` on matured rows; `alarms` in plain words, gravest first."""

    detector: str
    model: str
    first_us: int
    last_us: int
    rows: int
    subjects: int
    inputs: list[Moved]
    score: Moved
    matured: int
    expected: float | None
    observed: Rate
    levels: list[AtThreshold]
    alarms: list[str]
    notes: list[str]


def monitor(
    model: Model,
    frame: TrainingFrame,
    labels: pa.Table | Iterable[Mapping[str, Any]],
    *,
    until_us: int,
    maturity_us: int | None = None,
) -> DriftReport:
    """Compare the rows of `frame` (all that the model scored of late) with what the model was fitted on.

    Needs no label; those there are tell of calibration. Raises `InvalidInput` where the frame's inputs are not the
    model's (`model.*`) or it has under 100 rows (`monitor.too_few_rows`).
    """
    model.check({one.name: one for one in frame.inputs})
    if len(frame) < MIN_ROWS:
        raise InvalidInput(Problem("monitor.too_few_rows", f"{len(frame):,} rows", allowed=f"{MIN_ROWS} or more"))
    raw = model.raw(np.ascontiguousarray(frame.x))
    metadata, alone = model.metadata, -1 - np.arange(len(frame))
    subject = np.unique(np.where(frame.subjects < 0, alone, frame.subjects), return_inverse=True)[1].astype(np.int64)
    reference, tests = max(1, metadata.origin.rows), len(metadata.inputs) + 1
    worth = metadata.origin.subjects or reference
    notes, inputs = [], []
    for at, column in enumerate(metadata.inputs):
        before = _with_missing(column.shares, column.missing)
        inputs.append(
            _moved(column.name, frame.x[:, at], frame.weight, subject, column.edges, before, reference, worth, tests)
        )
    score = _moved(SCORE, raw, frame.weight, subject, metadata.edges, [*metadata.shares, 0.0], reference, worth, tests)
    targets = read_targets(frame, labels, until_us, maturity_us=maturity_us)
    rows = np.flatnonzero(targets.usable & (frame.time <= until_us - targets.maturity_us))
    expected, observed, levels = None, Rate(None, 0.0, 1.0), []
    if len(rows):
        weight, positive = frame.weight[rows], targets.positive[rows]
        expected = float(np.average(model.score(raw[rows]), weights=weight))
        observed = rate_of(positive, weight, subject[rows])
        if positive.any() and not positive.all():
            levels = _levels(model, judged_rows(model, frame, targets, rows, weight))
        else:
            notes.append("matured rows are of one class: what the levels catch is unknown")
    else:
        notes.append("no row has matured: calibration is unknown")
    inputs.sort(key=lambda one: (-one.index, one.name))
    return DriftReport(
        metadata.name,
        model.identity,
        int(frame.time.min()),
        int(frame.time.max()),
        len(frame),
        len(np.unique(subject)),
        inputs,
        score,
        len(rows),
        expected,
        observed,
        levels,
        _alarms([score, *inputs], expected, observed, levels),
        notes,
    )


def stability_index(before: Sequence[float], now: Sequence[float]) -> float:
    """Σ (p - q) ln(p / q) of two lists of shares; an empty cell counts as 1 in 10,000.

    >>> stability_index([0.5, 0.5], [0.5, 0.5])
    0.0
    """
    p, q = np.maximum(np.array(now), _FLOOR), np.maximum(np.array(before), _FLOOR)
    p, q = p / p.sum(), q / q.sum()
    return float(((p - q) * np.log(p / q)).sum())


def _levels(model: Model, judged: Judged) -> list[AtThreshold]:
    return [
        at_threshold(judged, one.name, one.threshold, budget=one.budget, promised=one.high)
        for one in model.metadata.levels
    ]


def _with_missing(shares: Sequence[float], missing: float) -> list[float]:
    return [*(share * (1 - missing) for share in (shares or [0.0])), missing]


def _moved(
    name: str,
    value: Floats,
    weight: Floats,
    subject: Int64s,
    edges: Sequence[float],
    before: Sequence[float],
    reference: int,
    reference_subjects: int,
    tests: int,
) -> Moved:
    cells = len(edges) + 2  # the last one: unknown
    unknown = np.isnan(value)
    cell = np.where(unknown, cells - 1, np.searchsorted(np.array(edges), np.nan_to_num(value), side="right"))
    now = np.bincount(cell, weight, cells) / weight.sum()
    used = [at for at in range(cells) if before[at] > 0 or now[at] > 0]
    size = _worth(cell, weight, subject, now)
    # Rows of a subject were as alike then as they are now.
    alike = max(1.0, len(value) / size)
    then = max(1.0, min(float(reference), max(float(reference_subjects), reference / alike)))
    bound = stats.chi2.ppf(1 - CHANCE / tests, max(1, len(used) - 1)) * (1 / size + 1 / then)
    away = (now - np.array(before)).tolist()
    most = max(range(cells), key=lambda at: abs(away[at]))
    words = f"{_cell_words(most, edges)}: {before[most]:.1%} then, {now[most]:.1%} now"
    return Moved(name, stability_index(before, now.tolist()), float(bound), float(before[-1]), float(now[-1]), words)


def _worth(cell: Int64s, weight: Floats, subject: Int64s, shares: Floats) -> float:
    """How many independent rows these are worth: the mean over cells of the design effects, each by how far its share
    is from 1 (Rao and Scott's first-order correction)."""
    total, parts = 0.0, 0.0
    for one in np.flatnonzero((shares > 0) & (shares < 1)).tolist():
        size = effective_size(cell == one, weight, subject)
        total += (1 - shares[one]) * len(cell) / size
        parts += 1 - shares[one]
    return len(cell) * parts / total if total else float(len(np.unique(subject)))


def _cell_words(at: int, edges: Sequence[float]) -> str:
    if at == len(edges) + 1:
        return "unknown"
    if not edges:
        return "known"
    if at == 0:
        return f"under {edges[0]:.4g}"
    if at == len(edges):
        return f"{edges[-1]:.4g} and more"
    return f"{edges[at - 1]:.4g} to {edges[at]:.4g}"


def _alarms(moved: Sequence[Moved], expected: float | None, observed: Rate, levels: Sequence[AtThreshold]) -> list[str]:
    found = []
    for level in levels:
        if level.budget is not None and level.honest.low > level.budget:
            found.append(
                f"level {level.name} touches {level.honest.value or 0:.3g} honest subjects per 10,000 and week "
                f"({level.honest.low:.3g} to {level.honest.high:.3g}), over its budget of {level.budget:g}: fit again"
            )
    if expected is not None and observed.value is not None and not observed.low <= expected <= observed.high:
        more = "more" if observed.value > expected else "less"
        found.append(
            f"calibration: {observed.value:.3%} of matured rows were abusive ({observed.low:.3%} to "
            f"{observed.high:.3%}), {more} than the {expected:.3%} that the scores expect"
        )
    for one in sorted((one for one in moved if one.alarm), key=lambda one: (-one.alarm, one.name != SCORE, -one.index)):
        much = "much " if one.alarm == 2 else ""
        what = "the score has" if one.name == SCORE else f"input {one.name} has"
        found.append(f"{what} moved {much}(index {one.index:.2f}, by chance under {one.bound:.2g}): {one.most}")
    return found
