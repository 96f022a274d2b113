"""From the members' scores to one probability.

The members' shares are given; with `FEW` labels and more, weights are those of a logistic regression over the members'
out-of-fold scores, each brought to unit spread, none below 0, held near the shares with the force of one row
(stacking: Wolpert 1992; weights not negative: Breiman 1996), and the blend stands only where its log loss on rows left
out is under that of the best member alone by more than the difference's standard error. Calibration on the same scores:
a sigmoid (Platt 1999), or isotonic regression (Zadrozny and Elkan, KDD 2002) whose blocks are joined at their centres
(Oron and Flournoy 2017) and which goes on with the sigmoid's slope at its ends, so that it never ties two scores;
`auto` takes the one of less log loss on scores left out. Arrays only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FEW = 500
"""Labels under which nothing is chosen by them: the choice would be noise."""
HELD = 1.0
METHODS = ("auto", "sigmoid", "isotonic", "none")
LEAST_FREE = 100
"""Positive rows under which isotonic regression is not tried."""
PARTS = 5
_EDGE = 1e-4


def log_loss(z: Floats, y: Ints) -> float:
    """Mean log loss of log odds."""
    return float(np.mean(np.logaddexp(0.0, z) - y * z))


def sigmoid(z: Floats) -> Floats:
    """1 / (1 + exp(-z)) without overflow."""
    return np.asarray(np.exp(-np.logaddexp(0.0, -z)), dtype=np.float64)


def blend(z: Floats, y: Ints, prior: Floats) -> tuple[Floats, dict[str, float]]:
    """Weights [members] for scores `z` [n, members] of unit spread from their shares `prior` [members]; and, where
    there are labels enough to choose by, log losses on rows left out: of the `blend` and of the `best` member."""
    if len(y) < FEW or z.shape[1] == 1:
        return prior / prior.sum(), {}
    rows = _left_out(z, y, prior)
    alone = [_left_out(z[:, [at]], y, np.ones(1)) for at in range(z.shape[1])]
    best = int(np.argmin([one.mean() for one in alone]))
    gain = alone[best] - rows
    losses = {"blend": float(rows.mean()), "best": float(alone[best].mean())}
    if gain.mean() > gain.std() / np.sqrt(len(y)):
        return _stack(z, y, prior)[0], losses
    return np.eye(z.shape[1])[best], losses


def _stack(z: Floats, y: Ints, prior: Floats, held: float = HELD) -> tuple[Floats, float]:
    """Weights and intercept: first the scale of the given shares, then the weights, held near them."""
    shares = prior / prior.sum()
    if len(shares) > 1:
        shares = shares * _stack((z @ shares)[:, None], y, np.ones(1))[0]

    def loss(at: Floats) -> tuple[float, Floats]:
        w, b = at[:-1], at[-1]
        score = z @ w + b
        away = sigmoid(score) - y
        value = np.sum(np.logaddexp(0.0, score) - y * score) + held / 2 * np.sum((w - shares) ** 2)
        return float(value), np.append(z.T @ away + held * (w - shares), away.sum())

    bounds = [(0.0, 20.0)] * len(shares) + [(-30.0, 30.0)]
    found = minimize(loss, np.append(shares, 0.0), jac=True, method="L-BFGS-B", bounds=bounds)
    return np.asarray(found.x[:-1], dtype=np.float64), float(found.x[-1])


def _left_out(z: Floats, y: Ints, prior: Floats) -> Floats:
    """Log loss [n] of stacking on rows left out in turn."""
    part, out = np.arange(len(y)) % PARTS, np.empty(len(y))
    for one in range(PARTS):
        rest = part != one
        w, b = _stack(z[rest], y[rest], prior)
        score = z[~rest] @ w + b
        out[~rest] = np.logaddexp(0.0, score) - y[~rest] * score
    return out


@dataclass(frozen=True, eq=False)
class Calibration:
    """Log odds to log odds: straight lines through `x`, `y`, and on with `slope` beyond their ends."""

    method: str
    x: Floats
    y: Floats
    slope: float

    def apply(self, z: Floats) -> Floats:
        """Calibrated log odds [n], rising with `z`."""
        inside = np.interp(z, self.x, self.y)
        beyond = np.maximum(z - self.x[-1], 0.0) + np.minimum(z - self.x[0], 0.0)
        return np.asarray(inside + self.slope * beyond, dtype=np.float64)


def calibrate(z: Floats, y: Ints, method: str) -> tuple[Calibration, dict[str, float]]:
    """The calibration of log odds `z` [n], and the log loss of each way on rows left out (empty: none was asked)."""
    losses: dict[str, float] = {}
    if method == "none":
        return Calibration("none", np.zeros(1), np.zeros(1), 1.0), losses
    if method == "auto":
        method = "sigmoid"
        if min(int(y.sum()), int((1 - y).sum())) >= LEAST_FREE:
            for one in ("sigmoid", "isotonic"):
                losses[one] = _calibrated_left_out(z, y, one)
            method = min(losses, key=lambda one: losses[one])
    return _fit(z, y, method), losses


def _fit(z: Floats, y: Ints, method: str) -> Calibration:
    spread = float(z.std()) or 1.0
    weights, intercept = _stack(z[:, None] / spread, y, np.ones(1), 0.1)
    slope = max(float(weights[0]), 1e-3) / spread
    if method == "sigmoid":
        return Calibration("sigmoid", np.zeros(1), np.array([intercept]), slope)
    value = IsotonicRegression(out_of_bounds="clip").fit(z, y).predict(z)
    levels, block = np.unique(value, return_inverse=True)
    size = np.bincount(block)
    centre = np.bincount(block, weights=z) / size
    share = np.clip((levels * size + 0.5) / (size + 1.0), _EDGE, 1 - _EDGE)
    odds = np.maximum.accumulate(np.log(share / (1 - share)))
    odds += 1e-9 * np.arange(len(odds))  # blocks of one level after smoothing still rise
    return Calibration("isotonic", centre, odds, slope)


def _calibrated_left_out(z: Floats, y: Ints, method: str) -> float:
    part, total = np.arange(len(y)) % PARTS, 0.0
    for one in range(PARTS):
        rest = part != one
        total += log_loss(_fit(z[rest], y[rest], method).apply(z[~rest]), y[~rest]) * float((~rest).sum())
    return total / len(y)
