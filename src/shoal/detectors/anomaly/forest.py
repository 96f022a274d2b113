"""Isolation forest: how few random cuts set a row apart (Liu, Ting, Zhou, ICDM 2008). scikit-learn's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import IsolationForest

from shoal.detectors.contract import RowDetector, check_count

Floats = npt.NDArray[np.float64]


class Forest(RowDetector):
    """`trees` trees of `sample` rows each; the same `seed` makes the same forest.

    A monotone change of a column changes little, so nothing is scaled. Training scores are in-sample: each row was in
    few of the samples, so the tail is close to that of new rows but not exact.
    """

    def __init__(self, trees: int = 200, *, sample: int = 256, seed: int = 0) -> None:
        check_count("trees", trees, 1, 10_000)
        check_count("sample", sample, 2, 1e9)
        self.trees, self.sample, self.seed = trees, sample, seed
        self._forest: IsolationForest

    def _fit(self, x: Floats) -> Floats:
        sample = min(self.sample, len(x))
        self._forest = IsolationForest(n_estimators=self.trees, max_samples=sample, random_state=self.seed).fit(x)
        return self._score(x)

    def _score(self, x: Floats) -> Floats:
        return np.asarray(-self._forest.score_samples(x), dtype=np.float64)
