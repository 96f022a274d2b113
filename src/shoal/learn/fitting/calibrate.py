"""From the trees' raw sum to a probability, on matured rows that the trees have not seen.

Three ways, chosen by the log loss of accounts left out in turn: isotonic regression (Zadrozny and Elkan, KDD 2002);
Venn-Abers in its inductive form (Vovk, Petej and Fedorova, NIPS 2015), which asks isotonic regression what it would
say if the new row were honest (p0) and if it were abusive (p1), and answers p1 / (1 - p0 + p1); and a sigmoid (Platt
1999, with his targets off 0 and 1), for parts with too few abusive accounts to bear a free form. All end as points
with straight lines between, so that serving needs no library. Weights make the rows weigh as the service does; Vovk's
guarantee is for unweighted rows, so here it is a good habit and no proof.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from sklearn.isotonic import IsotonicRegression, isotonic_regression

from shoal.detectors.models.metadata import Calibration
from shoal.learn.evaluation.rates import effective_size
from shoal.learn.fitting.settings import METHODS
from shoal.learn.frame import Bools, Floats, Int64s

MOST_POINTS = 200
FOLDS = 5
MIN_FREE = 20
"""Positive accounts under which only the sigmoid is fitted."""
_TINY = 1e-9

Points = tuple[Floats, Floats]


@dataclass(frozen=True)
class Choice:
    """How the method was chosen: the mean log loss and Brier score of each on accounts left out; empty where there was
    nothing to choose."""

    method: str
    log_loss: dict[str, float]
    brier: dict[str, float]
    why: str


def fit_calibration(
    raw: Floats, positive: Bools, weight: Floats, group: Int64s, *, method: str | None = None
) -> tuple[Calibration, Choice]:
    """Points for `Calibration` from raw sums [n] of a part with both classes; `group` are the accounts."""
    weight = weight / weight.mean()
    groups = len(np.unique(group[positive]))
    if method is None and groups < MIN_FREE:
        choice = Choice("sigmoid", {}, {}, f"{groups} abusive accounts are too few for a free form")
    elif method is not None:
        choice = Choice(method, {}, {}, "asked for")
    else:
        choice = _choose(raw, positive, weight, group)
    x, y = points_of(choice.method, raw, positive, weight, group)
    return (
        Calibration(choice.method, x.tolist(), y.tolist(), rows=len(raw), positives=int(positive.sum())),
        choice,
    )


def points_of(method: str, raw: Floats, positive: Bools, weight: Floats, group: Int64s) -> Points:
    """The points of one method: x strictly rising, y not falling, within the share that the part can tell from 0 and
    from 1 (a count of none among n says at most that it is rare)."""
    x, y = _METHODS[method](raw, positive.astype(np.float64), weight)
    prevalence = float(np.average(positive, weights=weight))
    none, all_ = np.zeros(len(raw), np.bool_), positive
    low = prevalence / (1 + effective_size(none, weight, group))
    high = 1 - (1 - prevalence) / (1 + effective_size(all_[all_], weight[all_], group[all_]))
    y = np.maximum.accumulate(np.clip(y, min(low, high), high))
    return _thin(x, y)


def apply(points: Points, raw: Floats) -> Floats:
    """Probabilities [n] of raw sums: straight lines between points, constant beyond."""
    return np.interp(raw, points[0], points[1])


def log_loss(probability: Floats, positive: Bools, weight: Floats) -> float:
    """Weighted mean log loss, natural logarithm."""
    p = np.clip(probability, _TINY, 1 - _TINY)
    return float(np.average(-np.where(positive, np.log(p), np.log1p(-p)), weights=weight))


def brier(probability: Floats, positive: Bools, weight: Floats) -> float:
    """Weighted mean square error of probabilities (Brier 1950)."""
    return float(np.average((probability - positive) ** 2, weights=weight))


def _choose(raw: Floats, positive: Bools, weight: Floats, group: Int64s) -> Choice:
    fold = _folds(positive, group)
    losses: dict[str, list[float]] = {name: [] for name in METHODS}
    squares: dict[str, list[float]] = {name: [] for name in METHODS}
    sizes = []
    for number in range(FOLDS):
        out = fold == number
        if not positive[out].any() or not positive[~out].any():
            continue
        sizes.append(float(weight[out].sum()))
        for name in METHODS:
            points = points_of(name, raw[~out], positive[~out], weight[~out], group[~out])
            p = apply(points, raw[out])
            losses[name].append(log_loss(p, positive[out], weight[out]))
            squares[name].append(brier(p, positive[out], weight[out]))
    if not sizes:
        return Choice("sigmoid", {}, {}, "no account could be left out")
    loss = {name: float(np.average(losses[name], weights=sizes)) for name in METHODS}
    square = {name: float(np.average(squares[name], weights=sizes)) for name in METHODS}
    best = min(METHODS, key=lambda name: (loss[name], square[name], METHODS.index(name)))
    return Choice(best, loss, square, f"least log loss of {', '.join(METHODS)} on accounts left out")


def _folds(positive: Bools, group: Int64s) -> Int64s:
    """Accounts dealt in turn, abusive ones and others apart, so that each fold has its share of both."""
    numbers, inverse = np.unique(group, return_inverse=True)
    abusive = np.bincount(inverse, positive, len(numbers)) > 0
    fold = np.zeros(len(numbers), np.int64)
    for kind in (abusive, ~abusive):
        at = np.flatnonzero(kind)
        fold[at] = np.arange(len(at)) % FOLDS
    return fold[inverse]


def _isotonic(raw: Floats, y: Floats, weight: Floats) -> Points:
    fitted = IsotonicRegression(out_of_bounds="clip").fit(raw, y, sample_weight=weight)
    return np.asarray(fitted.X_thresholds_, np.float64), np.asarray(fitted.y_thresholds_, np.float64)


def _venn_abers(raw: Floats, y: Floats, weight: Floats) -> Points:
    """p1 / (1 - p0 + p1) at places among the scores; between them the answer changes little, as scores are dense.

    Neighbours with the same outcome get the same value from any isotonic fit, so runs of them are one point each, which
    makes the fits as small as the positives are few, and changes nothing."""
    seen, inverse = np.unique(raw, return_inverse=True)
    weights = np.bincount(inverse, weight)
    sums = np.bincount(inverse, weight * y)
    starts = np.flatnonzero(np.diff(sums / weights, prepend=-1.0) != 0)
    at = np.linspace(0, len(seen) - 1, min(MOST_POINTS // 2, len(seen))).round().astype(np.int64)
    top = np.arange(max(0, len(seen) - MOST_POINTS // 4), len(seen))  # where steps are steep and rows few
    places = np.unique(np.concatenate([at, top]))
    answers = []
    for place in places.tolist():
        cuts = np.unique(np.concatenate([starts, [place, min(place + 1, len(seen) - 1)]]))
        w, s = np.add.reduceat(weights, cuts), np.add.reduceat(sums, cuts)
        own = int(np.searchsorted(cuts, place))
        p0, p1 = (_with_one(w, s, own, said) for said in (0.0, 1.0))
        answers.append(p1 / (1 - p0 + p1))
    return seen[places], np.maximum.accumulate(np.array(answers))


def _with_one(weight: Floats, sums: Floats, at: int, said: float) -> float:
    """What isotonic regression says at a point after one more row there."""
    w, s = weight.copy(), sums.copy()
    w[at] += 1.0
    s[at] += said
    return float(isotonic_regression(s / w, sample_weight=w)[at])


def _sigmoid(raw: Floats, y: Floats, weight: Floats) -> Points:
    positives, others = float(weight[y > 0].sum()), float(weight[y <= 0].sum())
    target = np.where(y > 0, (positives + 1) / (positives + 2), 1 / (others + 2))
    centre, scale = float(np.average(raw, weights=weight)), max(float(raw.std()), 1e-12)
    z = (raw - centre) / scale

    def loss(parameters: Floats) -> tuple[float, Floats]:
        s = parameters[0] * z + parameters[1]
        away = 1 / (1 + np.exp(-np.clip(s, -500, 500))) - target
        value = float((weight * (np.logaddexp(0, s) - target * s)).sum())
        return value, np.array([float((weight * away * z).sum()), float((weight * away).sum())])

    begin = np.array([1.0, np.log((positives + 1) / (others + 1))])
    slope, offset = minimize(loss, begin, jac=True, method="L-BFGS-B", bounds=[(0.0, None), (None, None)]).x
    x = np.unique(np.concatenate([np.linspace(raw.min(), raw.max(), MOST_POINTS // 2), np.unique(raw[y > 0])]))
    return x, 1 / (1 + np.exp(-np.clip(slope * (x - centre) / scale + offset, -500, 500)))


def _thin(x: Floats, y: Floats) -> Points:
    """At most `MOST_POINTS` points, keeping the ends and, among the others, places even in rank and in y."""
    x, first = np.unique(x, return_index=True)
    y = y[first]
    if len(x) > MOST_POINTS:
        half = MOST_POINTS // 2
        by_rank = np.linspace(0, len(x) - 1, half).round().astype(np.int64)
        by_height = np.searchsorted(y, np.linspace(y[0], y[-1], half))
        kept = np.unique(np.concatenate([by_rank, np.minimum(by_height, len(x) - 1)]))
        x, y = x[kept], y[kept]
    return x, y


_METHODS: dict[str, Callable[[Floats, Floats, Floats], Points]] = {
    "isotonic": _isotonic,
    "venn_abers": _venn_abers,
    "sigmoid": _sigmoid,
}
