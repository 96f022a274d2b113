"""What a model has to beat: its best single input, and logistic regression on all of them.

A model that does not clearly beat one column with a threshold should not be published; the card shows both beside it.
Fitted on the same rows as the trees. Deterministic.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from shoal.learn.evaluation.ranking import Ranking
from shoal.learn.frame import Bools, Floats

MOST_ROWS = 40_000
LEAST = -1e308
"""The score of a row whose single input is unknown: below all."""


@dataclass(frozen=True, eq=False)
class Baselines:
    """Two fitted baselines; `scores` gives theirs by name."""

    best: int
    sign: float
    name: str
    _centre: Floats
    _scale: Floats
    _weights: Floats
    _offset: float

    @classmethod
    def fit(cls, x: Floats, positive: Bools, weight: Floats, names: tuple[str, ...], seed: int = 0) -> Baselines:
        """From rows [n, d] of both classes; at most `MOST_ROWS` of the honest ones are drawn."""
        if len(x) > MOST_ROWS:
            honest = np.flatnonzero(~positive)
            drawn = np.random.default_rng(seed).permutation(honest)[: max(1, MOST_ROWS - int(positive.sum()))]
            kept = np.sort(np.concatenate([np.flatnonzero(positive), drawn]))
            x, positive, weight = x[kept], positive[kept], weight[kept]
        areas = np.array([Ranking.of(np.nan_to_num(column, nan=LEAST), positive).auroc(weight) for column in x.T])
        flipped = np.array([Ranking.of(np.nan_to_num(-column, nan=LEAST), positive).auroc(weight) for column in x.T])
        best = int(np.argmax(np.maximum(areas, flipped)))
        sign = 1.0 if areas[best] >= flipped[best] else -1.0
        told = _log(x)
        known = ~np.isnan(told)
        count = np.maximum(known.sum(axis=0), 1)
        centre = np.where(known, told, 0.0).sum(axis=0) / count
        scale = np.sqrt((np.where(known, told - centre, 0.0) ** 2).sum(axis=0) / count)
        scale[scale < 1e-12] = 1.0
        balanced = np.where(positive, weight / weight[positive].sum(), weight / weight[~positive].sum())
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model = LogisticRegression(C=1.0, max_iter=300).fit(
                _design(told, centre, scale), positive, sample_weight=balanced * len(x) / 2
            )
        return cls(best, sign, names[best], centre, scale, model.coef_[0], float(model.intercept_[0]))

    def scores(self, x: Floats) -> dict[str, Floats]:
        """Scores [n] of rows [n, d] by name; higher is worse."""
        column = np.nan_to_num(self.sign * x[:, self.best], nan=LEAST)
        linear = (_design(_log(x), self._centre, self._scale) * self._weights).sum(axis=1) + self._offset
        arrow = "high" if self.sign > 0 else "low"
        return {f"best single input ({self.name}, {arrow})": column, "logistic regression": linear}


def _log(x: Floats) -> Floats:
    """Counts and times spread over decades: the logarithm of the size, with the sign kept."""
    logs: Floats = np.sign(x) * np.log1p(np.abs(x))
    return logs


def _design(told: Floats, centre: Floats, scale: Floats) -> Floats:
    """Standardised, 0 where unknown, and beside each column whether it was."""
    missing = np.isnan(told)
    return np.hstack([np.clip(np.where(missing, 0.0, (told - centre) / scale), -8, 8), missing.astype(np.float64)])
