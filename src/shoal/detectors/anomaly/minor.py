"""Minor components: departures in the directions in which the training rows hardly vary.

Columns that depend on each other leave such directions, and a row that breaks the dependence stands out there and
nowhere else (Shyu, Chen, Sarinnapakorn, Chang, ICDM Foundations Workshop 2003). Owns a centre and the directions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shoal.detectors.anomaly.scale import Scaling, check_scaling, fit_scaling
from shoal.detectors.contract import RowDetector, check_count

Floats = npt.NDArray[np.float64]

FLOOR = 0.01
"""This share of the mean variance is added to every direction's: below it a direction is noise of the measure."""
BLOCK_ROWS = 1024


class MinorComponents(RowDetector):
    """Squared distance in the last `share` of the variance, each direction in units of its own.

    Directions without any variance (more columns than rows, constant columns) count among them. Where no direction
    holds as little as `share`, `minor_` is 0 and the last one is taken. Training scores are in-sample.
    """

    def __init__(self, share: float = 0.05, *, scaling: str = "range") -> None:
        check_count("share", share, 0, 1)
        check_scaling(scaling)
        self.share, self.scaling = share, scaling
        self.minor_ = 0
        self._scaling: Scaling
        self._centre: Floats
        self._directions: Floats
        self._scales: Floats
        self._unit = 1.0
        self._minor = 0
        self._rest = False

    def _fit(self, x: Floats) -> Floats:
        self._scaling = fit_scaling(self.scaling, x)
        rows = self._scaling.apply(x)
        self._centre = rows.mean(axis=0)
        variances, directions = _principal(rows - self._centre)
        floor = FLOOR * float(variances.sum()) / len(variances)
        self._unit = floor if floor > 0 else 1.0
        self._rest = len(variances) < x.shape[1]
        upward = np.cumsum(variances)
        self.minor_ = int(np.searchsorted(upward, self.share * upward[-1], "right"))
        self.minor_ += x.shape[1] - len(variances)
        self._minor = max(self.minor_ - (x.shape[1] - len(variances)), 0 if self._rest else 1)
        # with directions left over, all are needed to know the length of what is left
        kept = len(variances) if self._rest else self._minor
        self._directions = np.ascontiguousarray(directions[:, :kept])
        self._scales = np.sqrt(variances[: self._minor] + self._unit)
        return self._score(x)

    def _score(self, x: Floats) -> Floats:
        out = np.empty(len(x))
        for start in range(0, len(x), BLOCK_ROWS):
            away = self._scaling.apply(x[start : start + BLOCK_ROWS]) - self._centre
            turned = np.zeros((len(away), self._directions.shape[1]))
            left = np.zeros(len(away))
            for j, weights in enumerate(self._directions):  # not a matrix product: its last bits depend on the batch
                turned += away[:, j : j + 1] * weights
                left += away[:, j] ** 2
            total = np.zeros(len(away))
            for j in range(turned.shape[1]):
                left -= turned[:, j] ** 2
                if j < self._minor:
                    total += (turned[:, j] / self._scales[j]) ** 2
            out[start : start + BLOCK_ROWS] = total + np.maximum(left, 0.0) / self._unit if self._rest else total
        return out


def _principal(away: Floats) -> tuple[Floats, Floats]:
    """Variances, smallest first, and directions [d, r], r the lesser of rows and columns."""
    n, d = away.shape
    if d <= n:
        variances, directions = np.linalg.eigh(away.T @ away / n)
        return np.maximum(variances, 0.0), directions
    variances, turned = np.linalg.eigh(away @ away.T / n)
    kept = variances > 1e-12 * max(float(variances[-1]), 1e-300)
    if not kept.any():
        return np.zeros(1), np.zeros((d, 1))
    return variances[kept], away.T @ (turned[:, kept] / np.sqrt(variances[kept] * n))
