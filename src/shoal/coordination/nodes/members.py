"""What a node classifier is blended from: boosted trees, and a straight line over normal scores.

Trees take columns as they are. The line takes them as normal scores of their ranks among all nodes of the graph that
was fitted on, so that no outlier and no unit matters; it is the steadier part where labels are few. Both answer log
odds. LightGBM in row-wise deterministic mode: the same rows and seed give the same text for any number of threads of
the same machine. State is open text: LightGBM's own, and numbers for JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.special import ndtri

from shoal.coordination.nodes.blend import FEW, sigmoid

Floats = npt.NDArray[np.float64]
Float32s = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

GRID = 65
"""Quantiles of a column that its normal scores are read from."""
NEWTON_STEPS = 30
WIDE = 600
STEEPEST = 2.5
"""Normal scores are cut here (one in eighty)."""


def grow(x: Float32s, y: Ints, *, trees: int | None, leaves: int | None, seed: int, threads: int) -> str:
    """Boosted trees for rows `x` [n, c] and `y` [n] of 0 and 1, as LightGBM's text."""
    few = len(y) < FEW
    settings: dict[str, Any] = {
        "objective": "binary", "num_leaves": leaves or (6 if few else 15), "min_data_in_leaf": 5 if few else 20,
        "learning_rate": 0.04 if few else 0.06, "feature_fraction": 0.15 if few else 0.3, "bagging_fraction": 0.7,
        "bagging_freq": 1, "lambda_l2": 5.0, "max_bin": 127, "min_data_in_bin": 1 if few else 3,
        "feature_pre_filter": False, "deterministic": True, "force_row_wise": True, "num_threads": threads,
        "seed": seed % 2**31, "verbosity": -1,
    }  # fmt: skip
    booster = lgb.train(settings, lgb.Dataset(x, y), trees or (150 if few else 200))
    return str(booster.model_to_string())


class Forest:
    """Trees for scoring: several texts, read once."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.texts = tuple(texts)
        self._boosters = [lgb.Booster(model_str=text) for text in self.texts]

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self._boosters[0].num_feature())

    def score(self, x: Float32s, threads: int) -> Floats:
        """Mean log odds over the texts [n]."""
        found = np.zeros(len(x))
        for one in self._boosters:
            found += np.asarray(one.predict(x, raw_score=True, num_threads=threads), dtype=np.float64)
        return found / len(self._boosters)

    def gain(self) -> Floats:
        """Gain of each column, summed over the texts."""
        return np.asarray(np.sum([one.feature_importance("gain") for one in self._boosters], axis=0), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Scale:
    """Normal scores of columns: `quantiles` [GRID, c] of the known values; NaN in a column of which none is known."""

    quantiles: Floats

    @classmethod
    def of(cls, x: Float32s) -> Scale:
        """From the rows of a graph."""
        levels = np.linspace(0.0, 1.0, GRID)
        found = np.full((GRID, x.shape[1]), np.nan)
        for j in range(x.shape[1]):
            column = x[:, j]
            known = column[~np.isnan(column)]
            if len(known):
                found[:, j] = np.quantile(known.astype(np.float64), levels)
        return cls(found)

    def apply(self, x: Float32s) -> Floats:
        """Normal scores [n, c]: a tie is the middle of its ranks; 0 where unknown, and in a constant column."""
        out = np.zeros(x.shape)
        for j in range(x.shape[1]):
            points = self.quantiles[:, j]
            if np.isnan(points[0]) or points[0] == points[-1]:
                continue
            column = x[:, j].astype(np.float64)
            rank = (_rank(column, points) + 1.0 - _rank(-column, -points[::-1])) / 2.0
            score = np.clip(ndtri(np.clip(rank, 1e-9, 1 - 1e-9)), -STEEPEST, STEEPEST)
            out[:, j] = np.where(np.isnan(column), 0.0, score)
        return out


def _rank(column: Floats, points: Floats) -> Floats:
    return np.asarray(np.interp(column, points, np.linspace(0.0, 1.0, len(points))), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Line:
    """Log odds `intercept + scores @ slopes` of normal scores [n, c]."""

    slopes: Floats
    intercept: float

    @classmethod
    def of(cls, scores: Floats, y: Ints, strength: float) -> Line:
        """Logistic regression with an L2 penalty on slopes; `strength` is its inverse, scikit-learn's C. Newton's
        steps, halved where the loss would rise; L-BFGS from `WIDE` columns on, where a step would cost their cube."""
        x = np.column_stack([scores, np.ones(len(y))])
        penalty = np.append(np.full(scores.shape[1], 1.0 / strength), 1e-9)
        if x.shape[1] > WIDE:
            w = _descended(x, y, penalty)
            return cls(w[:-1], float(w[-1]))
        w, loss = np.zeros(x.shape[1]), np.inf
        for _ in range(NEWTON_STEPS):
            p = sigmoid(x @ w)
            slope = x.T @ (p - y) + penalty * w
            curve = (x * (p * (1.0 - p) + 1e-12)[:, None]).T @ x
            curve[np.diag_indices_from(curve)] += penalty
            step = np.linalg.solve(curve, slope)
            for _ in range(30):
                z = x @ (w - step)
                new = float(np.sum(np.logaddexp(0.0, z) - y * z) + penalty @ (w - step) ** 2 / 2)
                if new <= loss:
                    break
                step /= 2.0
            w, gain, loss = w - step, loss - new, new
            if gain < 1e-7 * len(y):
                break
        return cls(w[:-1], float(w[-1]))

    def score(self, scores: Floats) -> Floats:
        """Log odds [n]."""
        return np.asarray(scores @ self.slopes + self.intercept, dtype=np.float64)


def _descended(x: Floats, y: Ints, penalty: Floats) -> Floats:
    """The same minimum by L-BFGS (Liu and Nocedal 1989): a step costs one pass over the rows."""

    def loss(w: Floats) -> tuple[float, Floats]:
        z = x @ w
        slope = x.T @ (sigmoid(z) - y) + penalty * w
        return float(np.sum(np.logaddexp(0.0, z) - y * z) + penalty @ w**2 / 2), slope

    found = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B",
                     options={"maxiter": 1000, "maxfun": 2000, "ftol": 1e-10, "gtol": 1e-5})  # fmt: skip
    return np.asarray(found.x, dtype=np.float64)
