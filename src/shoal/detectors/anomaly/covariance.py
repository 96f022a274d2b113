"""Distance from the centre in units of the covariance (Mahalanobis), robust or shrunk.

Robust: the half of the rows with the smallest determinant (Rousseeuw, Van Driessen, Technometrics 1999; scikit-learn's
`MinCovDet`), so that anomalies among the training rows do not widen the measure that should find them. Shrunk: Ledoit
and Wolf (J. Multivariate Analysis 2004), which exists for any number of rows. Owns a centre and a whitening matrix.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
from sklearn.covariance import LedoitWolf, MinCovDet

from shoal.detectors.anomaly.scale import Scaling, check_scaling, fit_scaling
from shoal.detectors.contract import RowDetector

Floats = npt.NDArray[np.float64]

RIDGE = 1e-8
"""Directions with less than this share of the largest variance count as having it."""
ROBUST_COLUMNS = 100
"""Above this many columns the search for the subset costs more than it gives."""
BLOCK_ROWS = 1024


class Covariance(RowDetector):
    """Squared Mahalanobis distance, robust unless that cannot be had.

    The shrunk covariance is taken where `robust` is false, with fewer than 2 rows a column (and no subset of half of
    them has full rank), above 100 columns, and where the robust one comes out singular; `robust_` says which it was.
    Training scores are in-sample.
    """

    def __init__(self, *, robust: bool = True, scaling: str = "deviation", seed: int = 0) -> None:
        check_scaling(scaling)
        self.robust, self.scaling, self.seed = robust, scaling, seed
        self.robust_ = False
        self._scaling: Scaling
        self._centre: Floats
        self._whitening: Floats

    def _fit(self, x: Floats) -> Floats:
        self._scaling = fit_scaling(self.scaling, x)
        rows = self._scaling.apply(x)
        fitted = self._fit_robust(rows) if self.robust else None
        self.robust_ = fitted is not None
        if fitted is None:
            shrunk = LedoitWolf().fit(rows)
            fitted = shrunk.location_, shrunk.covariance_
        self._centre = fitted[0]
        variances, axes = np.linalg.eigh(fitted[1])
        floor = max(float(variances[-1]) * RIDGE, 1e-300)
        self._whitening = axes / np.sqrt(np.maximum(variances, floor))
        return self._score(x)

    def _fit_robust(self, rows: Floats) -> tuple[Floats, Floats] | None:
        n, d = rows.shape
        if n < 2 * d or d > ROBUST_COLUMNS:
            return None
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # that the matrix is singular is asked below
            try:
                fitted = MinCovDet(random_state=self.seed).fit(rows)
            except ValueError:
                return None
            variances = np.linalg.eigvalsh(fitted.covariance_)
        if not np.isfinite(variances).all() or variances[0] <= RIDGE * variances[-1]:
            return None
        return fitted.location_, fitted.covariance_

    def _score(self, x: Floats) -> Floats:
        out = np.empty(len(x))
        for start in range(0, len(x), BLOCK_ROWS):
            away = self._scaling.apply(x[start : start + BLOCK_ROWS]) - self._centre
            turned = np.zeros_like(away)
            for j, weights in enumerate(self._whitening):  # not a matrix product: its last bits depend on the batch
                turned += away[:, j : j + 1] * weights
            total = np.zeros(len(away))
            for j in range(turned.shape[1]):
                total += turned[:, j] ** 2
            out[start : start + BLOCK_ROWS] = total
        return out
