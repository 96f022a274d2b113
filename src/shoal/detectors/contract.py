"""The contract of a detector over rows of numbers: `fit`, `decision_function`, `tail_probability`.

The shape is PyOD's, since its users know it: rows by columns, a higher score is worse, the scores of the rows it was
fitted on in `decision_scores_`. Three laws stand above it, and one suite holds every implementation to them:
a row's score does not depend on its neighbours in the batch (many at once and one by one are equal bit for bit), the
same rows and seed give the same scores, and no call changes what it was given.

What is wrong with the input is said here, once, for all detectors. `fit` refuses what is not finite; scoring answers
NaN (unknown) for such a row, because an error would let one row spoil its neighbours. Knows arrays only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol, Self, runtime_checkable

import numpy as np
import numpy.typing as npt

from shoal.detectors.tail import Tail
from shoal.errors import InvalidInput, Problem, Where

Floats = npt.NDArray[np.float64]

MIN_ROWS = 10
"""Fewer rows have no tail to speak of."""
LARGEST = 1e30
"""The largest value that `fit` takes (the forest holds 32-bit floats); a larger one at scoring counts as this."""


@runtime_checkable
class Detector(Protocol):
    """What a detector of unusual rows offers, whoever wrote it."""

    decision_scores_: Floats
    """Scores of the rows it was fitted on [n]; leave-one-out where the detector says so."""

    def fit(self, x: npt.ArrayLike) -> Self:
        """Learn what is usual from the rows of `x` [n, d], which carry no labels; raises `InvalidInput`."""

    def decision_function(self, x: npt.ArrayLike) -> Floats:
        """Score the rows of `x` [m, d]: higher is worse, NaN where a value of the row is not finite."""

    def tail_probability(self, x: npt.ArrayLike) -> Floats:
        """The share of usual rows that score at least as high, in (0, 1]; NaN where the score is."""


class RowDetector(ABC):
    """The contract but for two steps: `_fit` (learn, answer the training scores) and `_score` (finite rows)."""

    decision_scores_: Floats
    _tail: Tail
    _width: int = -1

    @abstractmethod
    def _fit(self, x: Floats) -> Floats:
        """Learn from finite rows [n, d]; answer their scores [n]."""

    @abstractmethod
    def _score(self, x: Floats) -> Floats:
        """Scores [m] of finite rows [m, d], each from its own row alone."""

    def fit(self, x: npt.ArrayLike) -> Self:
        """Learn from the rows of `x` [n, d], n ≥ 10, all finite.

        Raises `InvalidInput` with all problems: `detector.not_numbers`, `detector.shape`, `detector.too_few_rows`,
        `detector.not_finite` and `detector.too_large` (one for each column).
        """
        rows = read_rows(x)
        problems = _unfit(rows)
        if problems:
            raise InvalidInput(problems)
        scores = self._fit(rows)
        self._width = rows.shape[1]
        self._tail = Tail.of(scores)
        self.decision_scores_ = scores
        return self

    def decision_function(self, x: npt.ArrayLike) -> Floats:
        """Score the rows of `x` [m, d]: higher is worse, NaN for a row with a value that is not finite.

        Raises `InvalidInput`: `detector.not_fitted`, `detector.not_numbers`, `detector.shape`.
        """
        if self._width < 0:
            raise InvalidInput(Problem("detector.not_fitted", "the detector is not fitted", hint="call fit first"))
        rows = read_rows(x)
        if rows.shape[1] != self._width:
            message = f"the rows have {rows.shape[1]} columns"
            raise InvalidInput(Problem("detector.shape", message, Where(path="x"), allowed=f"{self._width} columns"))
        scores = np.full(len(rows), np.nan)
        finite = np.isfinite(rows).all(axis=1)
        if finite.any():
            scores[finite] = self._score(np.clip(rows[finite], -LARGEST, LARGEST))
        return scores

    def tail_probability(self, x: npt.ArrayLike) -> Floats:
        """The conformal p-value of each row against the training scores (see `Tail`); raises as `decision_function`."""
        return self._tail.probability(self.decision_function(x))

    def surprise(self, x: npt.ArrayLike) -> Floats:
        """Minus the logarithm of the tail probability, continued beyond the worst training row (see `Tail`)."""
        return self._tail.surprise(self.decision_function(x))


def read_rows(x: npt.ArrayLike) -> Floats:
    """`x` as a fresh float64 matrix [n, d]; raises `InvalidInput` where it is none."""
    try:
        given = np.asarray(x)
        if given.dtype.kind not in "biuf":
            raise TypeError(f"values of type {given.dtype}")
    except (TypeError, ValueError) as error:
        problem = Problem("detector.not_numbers", str(error), Where(path="x"), allowed="a matrix of real numbers")
        raise InvalidInput(problem) from None
    if given.ndim != 2 or not given.shape[1]:
        shape = " x ".join(map(str, given.shape)) or "a single number"
        message = f"the shape is {shape}"
        raise InvalidInput(Problem("detector.shape", message, Where(path="x"), allowed="rows x columns, one column up"))
    return np.array(given, dtype=np.float64, order="C")


def _unfit(rows: Floats) -> list[Problem]:
    problems = []
    if len(rows) < MIN_ROWS:
        message = f"{len(rows)} rows are too few to learn from"
        problems.append(Problem("detector.too_few_rows", message, Where(path="x"), allowed=f"{MIN_ROWS} rows or more"))
    bad = (~np.isfinite(rows)).sum(axis=0)
    for column in np.flatnonzero(bad):
        message = f"{bad[column]} of {len(rows)} values are NaN or infinite"
        hint = "leave such rows out, or fill them with a value that means unknown"
        problems.append(Problem("detector.not_finite", message, Where(path=f"x[:, {column}]"), hint=hint))
    wild = np.isfinite(rows).all(axis=0) & (np.abs(rows).max(axis=0, initial=0.0) > LARGEST)
    for column in np.flatnonzero(wild):
        message = f"values go beyond {LARGEST:g}"
        problems.append(
            Problem("detector.too_large", message, Where(path=f"x[:, {column}]"), hint="take the logarithm")
        )
    return problems


def check_count(slug_path: str, value: float, low: float, high: float) -> None:
    """Refuse a setting outside [`low`, `high`] with `detector.setting`."""
    if not low <= value <= high:
        problem = Problem(
            "detector.setting", f"{value!r} is out of range", Where(path=slug_path), allowed=f"{low:g} to {high:g}"
        )
        raise InvalidInput(problem)
