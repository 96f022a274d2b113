"""Judge a model on matured rows that it was not fitted on.

By row and by subject; at the model's own levels and at equal budgets beside its baselines; in slices (new accounts,
mobile, VPN, months, and whatever slice columns the frame has); calibration with the bins of a reliability plot. Rows
weigh as the service does, intervals are by subject. Unlabelled rows older than the maturity window count as honest:
abuse that nobody reported lowers what precision and honest rates say, and is in no recall.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from shoal.detectors.models.model import Model
from shoal.errors import InvalidInput, Problem
from shoal.learn.cohorts import DAY_US
from shoal.learn.evaluation.baselines import Baselines
from shoal.learn.evaluation.figures import (
    AtThreshold,
    CalibrationFigures,
    Estimate,
    Evaluation,
    Ranked,
    ReliabilityBin,
    SliceFigures,
)
from shoal.learn.evaluation.ranking import Ranking, bootstrap, by_subject, limits
from shoal.learn.evaluation.rates import PER, Cells, cells_of, rate_of
from shoal.learn.frame import Bools, Floats, Int64s, TrainingFrame
from shoal.learn.targets import Targets, read_targets

BUDGETS: tuple[float, ...] = (1.0, 10.0, 50.0, 100.0)
"""Honest subjects per 10,000 and week at which scores are compared: .01 % to 1 %."""
BINS: tuple[float, ...] = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999, 1.0)
"""Quantiles of the score between which reliability is counted: abuse is rare, so they crowd at the top."""
NEW_S = 7 * 86_400.0
MOST_VALUES = 6
FEW = 30


@dataclass(frozen=True, eq=False)
class Judged:
    """Rows with what is known of them: the common ground of evaluation, comparison and monitoring."""

    x: Floats
    raw: Floats
    positive: Bools
    weight: Floats
    subject: Int64s
    time: Int64s

    def cells(self, raw: Floats | None = None, rows: Bools | None = None) -> Cells:
        """Honest subjects by week under a score (default: the model's), among some rows (default: all)."""
        rows = np.ones(len(self.raw), np.bool_) if rows is None else rows
        score = self.raw if raw is None else raw
        return cells_of(score, self.weight, self.subject, self.time, ~self.positive & rows)


def evaluate(
    model: Model,
    frame: TrainingFrame,
    labels: pa.Table | Iterable[Mapping[str, Any]],
    *,
    until_us: int,
    maturity_us: int | None = None,
    lead_us: int = 0,
    seed: int = 0,
) -> Evaluation:
    """Judge `model` on all matured rows of `frame`, with what was known by `until_us` (see `read_targets`).

    Raises `InvalidInput` where the frame's inputs are not the model's (`model.*`), or one class has no matured row
    (`evaluate.one_class`), and as `read_targets`.
    """
    model.check({one.name: one for one in frame.inputs})
    targets = read_targets(frame, labels, until_us, maturity_us=maturity_us, lead_us=lead_us)
    rows = np.flatnonzero(targets.usable & (frame.time <= until_us - targets.maturity_us))
    seen = int((frame.seq[rows] <= model.metadata.origin.last_seq).sum())
    notes = []
    if seen:
        notes.append(
            f"{seen:,} of {len(rows):,} rows stand in the stretch of the journal that the model was fitted on: "
            "figures of these are flattered"
        )
    return judge_rows(model, frame, targets, rows, frame.weight[rows], notes=notes, seed=seed)


def judge_rows(
    model: Model,
    frame: TrainingFrame,
    targets: Targets,
    rows: Int64s,
    weight: Floats,
    *,
    baselines: Baselines | None = None,
    notes: Iterable[str] = (),
    seed: int = 0,
) -> Evaluation:
    """Judge `model` on some rows with their weights; `evaluate` and `fit` call it."""
    judged = judged_rows(model, frame, targets, rows, weight)
    others = {} if baselines is None else baselines.scores(judged.x)
    levels = [
        at_threshold(judged, one.name, one.threshold, budget=one.budget, promised=one.high)
        for one in model.metadata.levels
    ]
    level = next((one for one in levels if one.name == "challenge"), levels[0] if levels else None)
    units = by_subject(judged.raw, judged.positive, judged.subject, judged.weight)
    gain = {"model": Ranking.of(units.score, units.positive).gain(units.weight)}
    for name, score in others.items():
        other = by_subject(score, judged.positive, judged.subject, judged.weight)
        gain[name] = Ranking.of(other.score, other.positive).gain(other.weight)
    positives = int(units.positive.sum())
    said = list(notes)
    if positives < FEW:
        said.append(f"only {positives} abusive subjects are in the rows judged: read the intervals, not the figures")
    return Evaluation(
        model.metadata.name,
        model.identity,
        int(judged.time.min()),
        int(judged.time.max()),
        targets.until_us,
        len(rows),
        int(judged.positive.sum()),
        len(units.number),
        positives,
        [rank_scores("model", judged, judged.raw, seed)]
        + [rank_scores(name, judged, score, seed) for name, score in others.items()],
        levels,
        calibration_figures(judged, model.score(judged.raw)),
        [] if level is None else _slices(judged, frame, rows, level.threshold),
        "" if level is None else level.name,
        gain,
        _histogram(judged),
        targets.words(),
        said,
    )


def judged_rows(model: Model, frame: TrainingFrame, targets: Targets, rows: Int64s, weight: Floats) -> Judged:
    """The rows scored by the one scorer. Raises `InvalidInput` (`evaluate.one_class`)."""
    positive = targets.positive[rows]
    if not positive.any() or positive.all():
        which = "abusive" if not positive.any() else "honest"
        raise InvalidInput(
            Problem("evaluate.one_class", f"no {which} row has matured", hint="a longer history, or more labels")
        )
    x = np.ascontiguousarray(frame.x[rows])
    return Judged(x, model.raw(x), positive, weight, frame.subjects[rows], frame.time[rows])


def at_threshold(
    judged: Judged, name: str, threshold: float, *, budget: float | None = None, promised: float | None = None
) -> AtThreshold:
    """What a threshold of the raw sum does."""
    units = by_subject(judged.raw, judged.positive, judged.subject, judged.weight)
    hit = units.score >= threshold
    caught = rate_of(hit[units.positive], units.weight[units.positive], units.number[units.positive])
    reached = float(units.weight[hit].sum())
    days = max(1.0, float(judged.time.max() - judged.time.min()) / DAY_US)
    return AtThreshold(
        name,
        threshold,
        caught,
        judged.cells().rate(threshold),
        float(units.weight[hit & units.positive].sum()) / reached if reached else None,
        reached / days,
        budget,
        promised,
    )


def rank_scores(name: str, judged: Judged, score: Floats, seed: int) -> Ranked:
    """How well a score ranks the rows and subjects, with intervals by subject."""
    rows = Ranking.of(score, judged.positive)
    drawn = bootstrap(
        lambda weight: np.array([rows.auroc(weight), rows.average_precision(weight)]),
        judged.weight,
        judged.subject,
        seed,
    )
    plain = [rows.auroc(judged.weight), rows.average_precision(judged.weight)]
    units = by_subject(score, judged.positive, judged.subject, judged.weight)
    of_units = Ranking.of(units.score, units.positive)
    cells = judged.cells(score)
    catching, shares, members = catching_ranking(units.score, units.positive, units.number, cells)

    def measure(weight: Floats) -> Floats:
        return np.array([catching.recall_at(share, weight) for share in shares])

    drawn_units = bootstrap(
        lambda weight: np.array([of_units.auroc(weight), of_units.average_precision(weight)]),
        units.weight,
        units.number,
        seed,
    )
    weights = np.concatenate([units.weight[units.positive], cells.weight])
    drawn_recall = bootstrap(measure, weights, members, seed)
    of_rows, of_subjects = limits(drawn), limits(drawn_units)
    return Ranked(
        name,
        _estimate(plain[0], of_rows[0]),
        _estimate(plain[1], of_rows[1]),
        _estimate(of_units.auroc(units.weight), of_subjects[0]),
        _estimate(of_units.average_precision(units.weight), of_subjects[1]),
        list(BUDGETS),
        [_estimate(value, pair) for value, pair in zip(measure(weights).tolist(), limits(drawn_recall), strict=True)],
    )


def catching_ranking(
    score: Floats, positive: Bools, number: Int64s, cells: Cells
) -> tuple[Ranking, list[float], Int64s]:
    """A ranking of abusive subjects against honest subject-weeks, the shares of the latter that `BUDGETS` are, and
    which subject each member is of."""
    both = np.concatenate([score[positive], cells.value])
    is_abusive = np.arange(len(both)) < int(positive.sum())
    shares = [budget / (PER * cells.factor) for budget in BUDGETS]
    return Ranking.of(both, is_abusive), shares, np.concatenate([number[positive], cells.subject])


def calibration_figures(judged: Judged, score: Floats) -> CalibrationFigures:
    """Expected against observed, in bins and in all."""
    order = np.argsort(score, kind="stable")
    below = np.cumsum(judged.weight[order])
    at = np.searchsorted(below, np.array(BINS[1:-1]) * below[-1])
    inner = np.unique(score[order][np.minimum(at, len(order) - 1)])
    number = np.searchsorted(inner, score, side="right")
    bins = []
    for one in np.unique(number).tolist():
        here = number == one
        weight = judged.weight[here]
        expected = float(np.average(score[here], weights=weight))
        observed = rate_of(judged.positive[here], weight, judged.subject[here])
        low, high = float(score[here].min()), float(score[here].max())
        bins.append(ReliabilityBin(low, high, expected, observed, float(weight.sum())))
    total = sum(one.weight for one in bins)
    error = sum(one.weight * abs(one.expected - (one.observed.value or 0.0)) for one in bins) / total
    observed = rate_of(judged.positive, judged.weight, judged.subject)
    p, base = np.clip(score, 1e-9, 1 - 1e-9), observed.value or 0.0
    loss = -np.where(judged.positive, np.log(p), np.log1p(-p))
    entropy = 0.0 if base in (0.0, 1.0) else -(base * np.log(base) + (1 - base) * np.log1p(-base))
    return CalibrationFigures(
        bins,
        error,
        float(np.average(score, weights=judged.weight)),
        observed,
        float(np.average((score - judged.positive) ** 2, weights=judged.weight)),
        base * (1 - base),
        float(np.average(loss, weights=judged.weight)),
        float(entropy),
    )


def _slices(judged: Judged, frame: TrainingFrame, rows: Int64s, threshold: float) -> list[SliceFigures]:
    found = []
    for name, mask in slice_masks(frame, rows):
        if not mask.any():
            continue
        positive, weight, subject = judged.positive[mask], judged.weight[mask], judged.subject[mask]
        units = by_subject(judged.raw[mask], positive, subject, weight)
        area = Ranking.of(units.score, units.positive).auroc(units.weight)
        hit = units.score >= threshold
        found.append(
            SliceFigures(
                name,
                int(mask.sum()),
                len(units.number),
                int(units.positive.sum()),
                None if np.isnan(area) else area,
                rate_of(hit[units.positive], units.weight[units.positive], units.number[units.positive]),
                judged.cells(rows=mask).rate(threshold),
            )
        )
    return found


def slice_masks(frame: TrainingFrame, rows: Int64s) -> list[tuple[str, Bools]]:
    """The slices of some rows: words and a mask each."""
    found: list[tuple[str, Bools]] = []
    words = {"mobile": ("mobile client", "other client"), "vpn": ("behind a VPN", "not behind a VPN")}
    for name, values in frame.slices.items():
        if isinstance(values, pa.Array):
            texts = values.take(pa.array(rows))
            codes = texts.dictionary_encode()
            numbers = codes.indices.fill_null(-1).to_numpy(zero_copy_only=False)
            counts = np.bincount(numbers[numbers >= 0], minlength=len(codes.dictionary))
            for one in np.argsort(-counts, kind="stable")[:MOST_VALUES].tolist():
                found.append((f"{name}: {codes.dictionary[one].as_py()}", numbers == one))
            continue
        value = values[rows]
        if name == "account_age_s":
            found.append(("account younger than 7 days", value < NEW_S))
            found.append(("account of 7 days and older", value >= NEW_S))
        else:
            yes, no = words.get(name, (name, f"not {name}"))
            found += [(yes, value > 0), (no, value <= 0)]
        if np.isnan(value).any():
            found.append((f"{name} unknown", np.isnan(value)))
    months = frame.time[rows].astype("datetime64[us]").astype("datetime64[M]")
    for month in np.unique(months):
        found.append((f"month {month}", months == month))
    return found


def _histogram(judged: Judged) -> tuple[list[float], list[float], list[float]]:
    low, high = float(judged.raw.min()), float(judged.raw.max())
    edges = np.linspace(low, high if high > low else low + 1.0, 41)
    shares = []
    for mask in (~judged.positive, judged.positive):
        counts = np.histogram(judged.raw[mask], edges, weights=judged.weight[mask])[0]
        shares.append((counts / max(float(counts.sum()), 1e-300)).tolist())
    return edges.tolist(), shares[0], shares[1]


def _estimate(value: float, pair: tuple[float, float]) -> Estimate:
    value, low, high = float(value), pair[0], pair[1]
    return Estimate(*(None if np.isnan(one) else float(one) for one in (value, low, high)))
