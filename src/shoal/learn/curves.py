"""The curve of a threshold: subjects caught and honest subjects touched, for each place where it could stand.

One value per subject goes in (the highest that it ever reached, or the lowest where less is worse), with what is
known of the subject; a subject without a label is counted apart and never taken for honest. Out comes one point per
threshold, each share with its interval. Pure: arrays in, points out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoal.errors import InvalidInput, Problem
from shoal.learn.intervals import Share

ABUSIVE, HONEST, UNKNOWN = 1, 0, -1
"""What is known of a subject."""


@dataclass(frozen=True)
class CurvePoint:
    """With the threshold here: labelled abusive subjects caught, labelled honest ones touched, and unlabelled ones
    hit."""

    threshold: float
    caught: Share
    touched: Share
    unknown: int

    @property
    def precision(self) -> Share:
        """Abusive among the labelled subjects that are hit."""
        return Share(self.caught.successes, self.caught.successes + self.touched.successes)


def threshold_curve(
    values: npt.NDArray[np.float64],
    known: npt.NDArray[np.int8],
    *,
    thresholds: Sequence[float] | None = None,
    higher_is_worse: bool = True,
    points: int = 25,
) -> list[CurvePoint]:
    """Points by threshold, from the laxest to the strictest. A subject is hit when value >= threshold (<= where lower
    is worse); a NaN value (the feature was never known) is never hit and counts in the totals.

    `values` [n], `known` [n] of ABUSIVE, HONEST, UNKNOWN. `thresholds`: default at most `points` quantiles of the
    values seen. Raises `InvalidInput` for shapes that differ, an unknown code or a NaN threshold. O(n log n)."""
    if values.shape != known.shape or values.ndim != 1:
        raise InvalidInput(Problem("curve.shape", f"values {values.shape} and labels {known.shape} differ"))
    if not np.isin(known, (ABUSIVE, HONEST, UNKNOWN)).all():
        raise InvalidInput(Problem("curve.label", "labels are 1 (abusive), 0 (honest) or -1 (unknown)"))
    sign = 1.0 if higher_is_worse else -1.0
    worst = sign * values
    if thresholds is None:
        seen = np.unique(worst[~np.isnan(worst)])
        at = np.unique(np.linspace(0, len(seen) - 1, min(points, len(seen))).round().astype(np.int64))
        wanted = seen[at] if len(seen) else seen
    else:
        wanted = np.sort(sign * np.asarray(thresholds, dtype=np.float64))
        if np.isnan(wanted).any():
            raise InvalidInput(Problem("curve.threshold", "a threshold is not a number"))
    groups = {code: np.sort(worst[(known == code) & ~np.isnan(worst)]) for code in (ABUSIVE, HONEST, UNKNOWN)}
    totals = {code: int((known == code).sum()) for code in (ABUSIVE, HONEST)}

    def hit(code: int, threshold: float) -> int:
        group = groups[code]
        return len(group) - int(np.searchsorted(group, threshold, side="left"))

    return [
        CurvePoint(
            float(sign * threshold) + 0.0,
            Share(hit(ABUSIVE, threshold), totals[ABUSIVE]),
            Share(hit(HONEST, threshold), totals[HONEST]),
            hit(UNKNOWN, threshold),
        )
        for threshold in wanted.tolist()
    ]
