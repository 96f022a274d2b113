"""Column by column: empirical tails and histograms, summed as if the columns were independent.

Cheap, needs no distance and no scaling, tells which column was unusual, and sees nothing that only shows in several
columns together.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shoal.detectors.contract import RowDetector, check_count

Floats = npt.NDArray[np.float64]


class Tails(RowDetector):
    """Empirical cumulative tails after ECOD (Li, Zhao et al., TKDE 2022).

    The largest of three sums over the columns of minus the log tail share: left tails, right tails, and the tail on
    the side of each column's skew. Shares are (1 + count) / (n + 1), of the training rows alone: ECOD as published
    takes the batch in, so that a row's score there depends on its neighbours. Training scores are in-sample.
    """

    def __init__(self) -> None:
        self._columns: Floats
        self._left_skewed: npt.NDArray[np.bool_]

    def _fit(self, x: Floats) -> Floats:
        self._columns = np.sort(x, axis=0).T.copy()
        unit = np.maximum(np.abs(x).max(axis=0), 1e-300)
        away = x / unit - (x / unit).mean(axis=0)
        self._left_skewed = (away**3).mean(axis=0) < 0
        return self._score(x)

    def _score(self, x: Floats) -> Floats:
        n = self._columns.shape[1]
        sums = np.zeros((3, len(x)))
        for j, ordered in enumerate(self._columns):
            left = -np.log((np.searchsorted(ordered, x[:, j], "right") + 1.0) / (n + 1.0))
            right = -np.log((n - np.searchsorted(ordered, x[:, j], "left") + 1.0) / (n + 1.0))
            sums[0] += left
            sums[1] += right
            sums[2] += left if self._left_skewed[j] else right
        return np.asarray(sums.max(axis=0), dtype=np.float64)


class Histogram(RowDetector):
    """Minus the log density of each column's histogram, summed (HBOS; Goldstein, Dengel, KI 2012).

    `bins` bins of equal width between the smallest and largest training value; a value outside is less likely than an
    empty bin, and a constant column has one bin. Training scores are in-sample.
    """

    def __init__(self, bins: int = 10) -> None:
        check_count("bins", bins, 1, 10_000)
        self.bins = bins
        self._low: Floats
        self._high: Floats
        self._costs: Floats
        self._outside = 0.0

    def _fit(self, x: Floats) -> Floats:
        n, d = x.shape
        self._low, self._high = x.min(axis=0), x.max(axis=0)
        places = self._places(x)
        counts = np.stack([np.bincount(places[:, j], minlength=self.bins) for j in range(d)])
        self._costs = -np.log((counts + 0.5) / (n + 1.0))
        self._outside = float(-np.log(0.1 / (n + 1.0)))
        return self._score(x)

    def _places(self, x: Floats) -> npt.NDArray[np.int64]:
        width = self._high - self._low
        share = np.clip((x - self._low) / np.where(width > 0, width, 1.0), 0.0, 1.0)
        return np.minimum((share * self.bins).astype(np.int64), self.bins - 1)

    def _score(self, x: Floats) -> Floats:
        outside = (x < self._low) | (x > self._high)
        places = self._places(x)
        total = np.zeros(len(x))
        for j in range(x.shape[1]):
            total += np.where(outside[:, j], self._outside, self._costs[j, places[:, j]])
        return total
