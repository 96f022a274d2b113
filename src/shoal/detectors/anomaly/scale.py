"""Scalings: columns brought to one measure before distances are taken. Fitted once, then frozen.

`range` by the smallest and largest training value, `deviation` by mean and standard deviation, `normal` by rank, to
the normal score of that rank (van der Waerden), with linear tails in units of the standard deviation. `none` leaves
all. A column that was constant in training becomes 0 for that value and 1 for any other. All are elementwise, so that a
row's values come from the row alone; scaled values are cut at ±1e9, so that no square overflows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri

from shoal.errors import InvalidInput, Problem, Where, nearest_name

Floats = npt.NDArray[np.float64]
ScalingName = Literal["none", "range", "deviation", "normal"]
NAMES: tuple[ScalingName, ...] = ("none", "range", "deviation", "normal")
LIMIT = 1e9


class Scaling(Protocol):
    """A fitted scaling."""

    def apply(self, rows: Floats) -> Floats:
        """The rows [m, d] in the scaling's measure, as a new array."""


@dataclass(frozen=True)
class Unscaled:
    """Leaves the values as they are."""

    def apply(self, rows: Floats) -> Floats:
        """A copy."""
        return rows.copy()


@dataclass(frozen=True)
class Linear:
    """(value - origin) / unit; a unit of 0 marks a constant column."""

    origin: Floats
    unit: Floats

    def apply(self, rows: Floats) -> Floats:
        """Elementwise."""
        constant = self.unit == 0
        with np.errstate(over="ignore"):
            out = (rows - self.origin) / np.where(constant, 1.0, self.unit)
        out = np.clip(out, -LIMIT, LIMIT)
        out[:, constant] = rows[:, constant] != self.origin[constant]
        return out


@dataclass(frozen=True)
class NormalScores:
    """For each column its distinct training values, the normal score of each, and the unit of the tails."""

    values: tuple[Floats, ...]
    scores: tuple[Floats, ...]
    unit: Floats

    def apply(self, rows: Floats) -> Floats:
        """Interpolated between training values; beyond the outermost the score grows by one each standard deviation."""
        out = np.empty_like(rows)
        for j, (values, scores) in enumerate(zip(self.values, self.scores, strict=True)):
            column = rows[:, j]
            if len(values) == 1:
                out[:, j] = column != values[0]
                continue
            beyond = np.minimum(column - values[0], 0.0) + np.maximum(column - values[-1], 0.0)
            with np.errstate(over="ignore"):
                out[:, j] = np.clip(np.interp(column, values, scores) + beyond / self.unit[j], -LIMIT, LIMIT)
        return out


def fit_scaling(name: str, rows: Floats) -> Scaling:
    """The scaling `name` for the training rows [n, d], finite."""
    check_scaling(name)
    if name == "none":
        return Unscaled()
    if name == "range":
        low = rows.min(axis=0)
        return Linear(low, rows.max(axis=0) - low)
    unit = rows.std(axis=0)
    constant = rows.min(axis=0) == rows.max(axis=0)
    if name == "deviation":
        return Linear(np.where(constant, rows[0], rows.mean(axis=0)), np.where(constant, 0.0, unit))
    values, scores = [], []
    for j in range(rows.shape[1]):
        distinct, counts = np.unique(rows[:, j], return_counts=True)
        values.append(distinct)
        scores.append(ndtri((np.cumsum(counts) - counts / 2) / len(rows)))
    return NormalScores(tuple(values), tuple(scores), np.where(unit > 0, unit, 1.0))


def check_scaling(name: str) -> None:
    """Refuse an unknown scaling with `detector.setting`."""
    if name not in NAMES:
        problem = Problem(
            "detector.setting",
            f"unknown scaling {name!r}",
            Where(path="scaling"),
            allowed=", ".join(NAMES),
            nearest=nearest_name(name, NAMES),
        )
        raise InvalidInput(problem)
