"""Nearest neighbours: the mean distance to the k nearest training rows, exact.

A tree (SciPy's k-d tree) where the dimension is low, else all distances in blocks of rows. Both take each pair by
itself, unlike the matrix product of scikit-learn's brute force, whose last bits depend on the batch.
Ramaswamy, Rastogi, Shim (SIGMOD 2000); Angiulli, Pizzuti (PKDD 2002) for the mean; Aggarwal, Hinneburg, Keim (ICDT
2001) for powers below one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from shoal.detectors.anomaly.neighbours_kernel import root_distances
from shoal.detectors.anomaly.scale import Scaling, check_scaling, fit_scaling
from shoal.detectors.contract import RowDetector, check_count
from shoal.errors import InvalidInput, Problem, Where

Floats = npt.NDArray[np.float64]

TREE_DIMENSIONS = 12
"""Above this many columns a tree looks at nearly all rows."""
POWERS = (0.5, 1, 2)
BLOCK_CELLS = 4_000_000
"""Distances held at once."""


class NearestNeighbours(RowDetector):
    """Mean distance to the `k` nearest training rows: a count, or a share of the training rows if below 1.

    `power` 2 is the Euclidean distance; 1 sums the differences of the columns, less swayed by a single one; 0.5 sums
    their square roots, which asks in how many columns a row departs more than how far. All three are metrics.
    With `reference`, at most that many training rows, drawn by `seed`, are looked among (0: all of them); a share `k`
    is of those. Training scores leave the row itself out, so `tail_probability` is calibrated for new rows, up to ties.
    Cost: fit n log n, scoring about k log n for a row up to 12 columns; above, and with `power` 0.5, n x d.
    """

    def __init__(
        self, k: float = 5, *, power: float = 2, scaling: str = "deviation", reference: int = 0, seed: int = 0
    ) -> None:
        check_count("k", k, 1e-6, 1e9)
        if k >= 1:
            check_count("k", k % 1, 0, 0)
        if power not in POWERS:
            allowed = ", ".join(f"{each:g}" for each in POWERS)
            message = f"{power!r} is no power of the distance"
            raise InvalidInput(Problem("detector.setting", message, Where(path="power"), allowed=allowed))
        check_scaling(scaling)
        check_count("reference", reference, 0, 1e9)
        if reference:
            check_count("reference", reference, 2, 1e9)
        self.k, self.power, self.scaling, self.reference, self.seed = k, power, scaling, reference, seed
        self._scaling: Scaling
        self._rows: Floats
        self._columns: Floats
        self._tree: cKDTree | None = None
        self._count = 0

    def _fit(self, x: Floats) -> Floats:
        self._scaling = fit_scaling(self.scaling, x)
        rows = self._scaling.apply(x)
        kept = np.ones(len(x), dtype=np.bool_)
        if 0 < self.reference < len(x):
            kept[np.random.default_rng(self.seed).permutation(len(x))[self.reference :]] = False
        self._rows = np.ascontiguousarray(rows[kept])
        n = len(self._rows)
        self._count = min(max(round(self.k * n), 1) if self.k < 1 else int(self.k), n - 1)
        self._columns = np.ascontiguousarray(self._rows.T) if self.power < 1 else np.empty((0, 0))
        tree = self.power >= 1 and x.shape[1] <= TREE_DIMENSIONS
        self._tree = cKDTree(self._rows, balanced_tree=False) if tree else None
        scores = np.empty(len(x))
        scores[kept] = self._means(self._rows, own=True)
        scores[~kept] = self._means(rows[~kept], own=False)
        return scores

    def _score(self, x: Floats) -> Floats:
        return self._means(self._scaling.apply(x), own=False)

    def _means(self, rows: Floats, *, own: bool) -> Floats:
        """Mean distance to the nearest; `own` says that each row stands among the training rows and is left out."""
        out = np.empty(len(rows))
        take = self._count + own
        step = max(BLOCK_CELLS // (take if self._tree is not None else len(self._rows)), 1)
        for start in range(0, len(rows), step):
            block = rows[start : start + step]
            if self._tree is not None:
                near = self._tree.query(block, k=np.arange(1, take + 1), p=float(self.power))[0]
            else:
                far = self._distances(block)
                near = np.sort(np.partition(far, take - 1, axis=1)[:, :take], axis=1)
            out[start : start + step] = _mean_of_columns(near[:, own:])
        return out

    def _distances(self, block: Floats) -> Floats:
        if self.power < 1:
            return np.asarray(root_distances(np.ascontiguousarray(block), self._columns))
        return np.asarray(cdist(block, self._rows, "cityblock" if self.power == 1 else "euclidean"))


def _mean_of_columns(near: Floats) -> Floats:
    """Summed one column after another: one order of summation whatever the number of rows."""
    total = np.zeros(len(near))
    for j in range(near.shape[1]):
        total += near[:, j]
    return np.asarray(total / near.shape[1])
