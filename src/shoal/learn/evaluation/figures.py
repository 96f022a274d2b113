"""The figures of an evaluation as plain data: what a card stores, and a page or a terminal shows.

Everything is a number, a text, or a list of these, so that it goes through JSON and back. None: not known, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shoal.learn.evaluation.rates import Rate


@dataclass(frozen=True)
class Estimate:
    """A figure with its bootstrap interval by subject."""

    value: float | None
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class AtThreshold:
    """What a threshold does. `recall`: abusive subjects that reach it while abusive; `honest`: honest ones per 10,000
    and week; `precision`: abusive among the subjects that reach it, weighed as the service is; `subjects_a_day`: that
    reach it, by the same weight. `promised`: the interval's upper end at fitting (None: no promise)."""

    name: str
    threshold: float
    recall: Rate
    honest: Rate
    precision: float | None
    subjects_a_day: float
    budget: float | None = None
    promised: float | None = None


@dataclass(frozen=True)
class Ranked:
    """How well one score ranks: by row, by subject, and the subjects caught at honest shares `budgets` (per 10,000 and
    week) whose thresholds are set on these very rows, equal for all scores that are compared."""

    name: str
    row_auroc: Estimate
    row_average_precision: Estimate
    subject_auroc: Estimate
    subject_average_precision: Estimate
    budgets: list[float]
    recalls: list[Estimate]


@dataclass(frozen=True)
class SliceFigures:
    """One slice: rows and subjects in it, and what a level does there."""

    name: str
    rows: int
    subjects: int
    positive_subjects: int
    auroc: float | None
    recall: Rate
    honest: Rate


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows with a score in [`low`, `high`]: the mean score, and the share that is abusive."""

    low: float
    high: float
    expected: float
    observed: Rate
    weight: float


@dataclass(frozen=True)
class CalibrationFigures:
    """`error`: mean distance of bins from the line, by weight; `expected` and `observed` shares of abusive rows over
    all; `brier` and `log_loss` beside those of always saying the observed share."""

    bins: list[ReliabilityBin]
    error: float
    expected: float
    observed: Rate
    brier: float
    brier_constant: float
    log_loss: float
    log_loss_constant: float


@dataclass(frozen=True)
class Evaluation:
    """A model on rows that it was not fitted on. `slice_level`: which level the slices are cut at; `gain` curves by
    name (share looked at, share of abusive rows' subjects caught); `histogram` of scores: edges, shares of honest and
    of abusive rows."""

    detector: str
    model: str
    first_us: int
    last_us: int
    until_us: int
    rows: int
    positive_rows: int
    subjects: int
    positive_subjects: int
    ranked: list[Ranked]
    levels: list[AtThreshold]
    calibration: CalibrationFigures
    slices: list[SliceFigures]
    slice_level: str
    gain: dict[str, tuple[list[float], list[float]]]
    histogram: tuple[list[float], list[float], list[float]]
    labels: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def model_ranked(self) -> Ranked:
        """The model's own figures, which stand first."""
        return self.ranked[0]
