"""Gradient-boosted trees under a small budgeted search.

Settings are drawn at random from stated ranges (the defaults are the first draw) and compete by successive halving
(Jamieson and Talwalkar, AISTATS 2016): all grow a few trees, the better third goes on growing, one is left. Judged by
the log loss of a later part with other accounts, which also says when to stop. A home-made search, because a booster
goes on growing between the rounds instead of being fitted again, because the part that judges is neither a fold nor
random, which scikit-learn's searches ask for, and because Optuna would add a database and a scheduler to draw nine
numbers.

LightGBM runs in one thread, row-wise, deterministic: the same rows and seed give the same text. Columns that are
constant among the rows to fit stay in the schema and are blanked here, so that no tree reads them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np

from shoal.learn.fitting.settings import FitSettings
from shoal.learn.frame import Bools, Floats

FIRST_ROUND, GROWTH, KEPT = 30, 3, 3
"""Trees of the first round; each next round grows this many times as many and keeps one in three."""
UNJUDGED_TREES = 80
"""Trees where no part can say when to stop."""
DEFAULTS: Mapping[str, float] = {
    "learning_rate": 0.08, "num_leaves": 31, "min_data_in_leaf": 20, "feature_fraction": 0.8, "lambda_l2": 1.0,
    "path_smooth": 0.0,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows to learn from: `x` [n, d], `y` [n] 0 or 1, `weight` [n]."""

    x: Floats
    y: Floats
    weight: Floats


@dataclass(frozen=True, eq=False)
class Grown:
    """Trees as LightGBM writes them; the settings that won; the loss of each draw at its last round; whether a later
    part said when to stop."""

    text: str
    count: int
    params: Mapping[str, float]
    losses: tuple[float, ...]
    stopped: bool
    gain: Floats
    booster: lgb.Booster


def grow(fit: Sample, stop: Sample | None, monotone: Sequence[int], constant: Bools, settings: FitSettings) -> Grown:
    """Trees for `fit`, chosen and stopped by `stop` (None: the defaults, `UNJUDGED_TREES` of them).

    `monotone` [d] of -1, 0, 1; `constant` [d] columns to leave out. Cost: `trials` × 30 trees, a third of them × 90,
    one to the end."""
    fit = Sample(_blank(fit.x, constant), fit.y, fit.weight)
    if stop is not None:
        stop = Sample(_blank(stop.x, constant), stop.y, stop.weight)
    data = _datasets(fit, stop)
    if stop is None:
        booster = _booster(data, DEFAULTS, monotone, settings)
        for _ in range(min(settings.trees, UNJUDGED_TREES)):
            booster.update()
        return _grown(booster, booster.current_iteration(), DEFAULTS, (), stopped=False)
    runs = [_Run(data, params, monotone, settings) for params in _draws(settings, len(fit.y))]
    losses = [0.0] * len(runs)
    alive, rounds = list(range(len(runs))), FIRST_ROUND
    while len(alive) > 1:
        for at in alive:
            losses[at] = runs[at].grow(rounds)
        alive = sorted(alive, key=lambda at: (losses[at], at))[: max(1, len(alive) // KEPT)]
        rounds *= GROWTH
    best = runs[alive[0]]
    losses[alive[0]] = best.grow(settings.trees)
    return _grown(best.booster, best.best, best.params, tuple(losses), stopped=True)


class _Run:
    """One draw of settings: grows in steps, and stops by itself when the later part has not gained for a while."""

    def __init__(
        self, data: Sequence[lgb.Dataset], params: Mapping[str, float], monotone: Sequence[int], settings: FitSettings
    ) -> None:
        self.params, self._most, self._patience = params, settings.trees, settings.patience
        self.booster = _booster(data, params, monotone, settings)
        self.best, self._loss, self._done = 0, np.inf, False

    def grow(self, trees: int) -> float:
        """Grow to `trees` in all; answer the least loss so far."""
        while not self._done and self.booster.current_iteration() < min(trees, self._most):
            self._done = self.booster.update()
            loss = float(self.booster.eval_valid()[0][2])
            if loss < self._loss - 1e-9:
                self._loss, self.best = loss, self.booster.current_iteration()
            elif self.booster.current_iteration() - self.best >= self._patience:
                self._done = True
        return self._loss


_FIXED: Mapping[str, Any] = {
    "objective": "binary", "metric": "binary_logloss", "num_threads": 1, "deterministic": True, "force_row_wise": True,
    "verbosity": -1, "feature_pre_filter": False, "min_data_in_bin": 1,
}  # fmt: skip


def _datasets(fit: Sample, stop: Sample | None) -> list[lgb.Dataset]:
    """The rows in bins, once for all draws: none of what is drawn changes the bins."""
    found = [lgb.Dataset(fit.x, fit.y, weight=fit.weight, params=dict(_FIXED))]
    if stop is not None:
        found.append(lgb.Dataset(stop.x, stop.y, weight=stop.weight, reference=found[0], params=dict(_FIXED)))
    return found


def _booster(
    data: Sequence[lgb.Dataset], params: Mapping[str, float], monotone: Sequence[int], settings: FitSettings
) -> lgb.Booster:
    whole: dict[str, Any] = {**_FIXED, "seed": settings.seed % 2**31, **params}
    if any(monotone):
        whole |= {"monotone_constraints": list(monotone), "monotone_constraints_method": "intermediate"}
    booster = lgb.Booster(whole, data[0])
    for one in data[1:]:
        booster.add_valid(one, "stop")
    return booster


def _draws(settings: FitSettings, rows: int) -> list[Mapping[str, float]]:
    chance = np.random.default_rng(settings.seed)
    found: list[Mapping[str, float]] = [{**DEFAULTS, "num_leaves": min(31, settings.leaves)}]
    for _ in range(settings.trials - 1):
        leaves = round(float(np.exp(chance.uniform(np.log(4), np.log(max(5, settings.leaves))))))
        found.append(
            {
                "learning_rate": float(np.exp(chance.uniform(np.log(0.03), np.log(0.2)))),
                "num_leaves": min(leaves, settings.leaves),
                "min_data_in_leaf": round(
                    float(np.exp(chance.uniform(np.log(5), np.log(max(10, min(200, rows / 50))))))
                ),
                "feature_fraction": float(chance.uniform(0.4, 1.0)),
                "lambda_l2": float(np.exp(chance.uniform(np.log(0.1), np.log(30.0)))),
                "path_smooth": float(chance.choice([0.0, 0.0, 1.0, 10.0])),
            }
        )
    return found


def _blank(x: Floats, constant: Bools) -> Floats:
    if not constant.any():
        return x
    x = x.copy()
    x[:, constant] = 0.0
    return x


def _grown(
    booster: lgb.Booster, best: int, params: Mapping[str, float], losses: tuple[float, ...], *, stopped: bool
) -> Grown:
    best = max(1, best)
    gain = np.asarray(booster.feature_importance("gain", iteration=best), dtype=np.float64)
    text = booster.model_to_string(num_iteration=best)
    return Grown(text, best, dict(params), losses, stopped, gain, booster)
