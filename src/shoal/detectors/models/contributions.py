"""What each input added to a row's raw sum: exact SHAP values (path-dependent), from our own kernel.

`Paths` holds what the kernel needs beside the trees and is the same for all rows; it is made once a model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoal.detectors.models.contributions_kernel import shap, trace
from shoal.detectors.models.trees import Floats, Trees

Indices = npt.NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Paths:
    """By node: `parent`, `same`, `share`, `column` (see `contributions_kernel.trace`); points and weights of the
    quadrature on [0, 1]; `largest`: nodes of the largest tree; `expected`: the mean raw sum over training rows."""

    parent: Indices
    same: Indices
    share: Floats
    column: Indices
    points: Floats
    weights: Floats
    largest: int
    expected: float

    @classmethod
    def of(cls, trees: Trees) -> Paths:
        """Trace the paths of all trees."""
        count = len(trees.nodes)
        parent, same, column = (np.empty(count, np.int32) for _ in range(3))
        share = np.empty(count)
        most = trace(trees.nodes, trees.covers, trees.roots, trees.slots, parent, same, share, column)
        # n points are exact up to degree 2n - 1; the integrand has a factor for each input of the path but one
        points, weights = np.polynomial.legendre.leggauss(max((most + 1) // 2, 1))
        roots = trees.roots.astype(np.int64)
        sizes = np.diff([*roots, count])
        expected = float((trees.values * trees.covers / trees.covers[np.repeat(roots, sizes)]).sum())
        return cls(parent, same, share, column, (points + 1.0) / 2.0, weights / 2.0, int(sizes.max()), expected)


def contributions(trees: Trees, paths: Paths, x: Floats) -> Floats:
    """SHAP values [n, d] of rows `x` [n, d]: they and `paths.expected` add up to the raw sum, up to rounding."""
    out = np.empty(x.shape)
    shap(
        x, trees.nodes, trees.values, trees.roots, trees.slots, trees.starts, trees.cuts,
        paths.parent, paths.same, paths.share, paths.column, paths.points, paths.weights, paths.largest, out,
    )  # fmt: skip
    return out
