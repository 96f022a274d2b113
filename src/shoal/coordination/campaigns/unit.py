"""The cluster-as-unit model: from a campaign's features to the probability that it is abusive, learned from labels.

After Xiao, Freeman and Hwa (AISec 2015): judging the group as one thing finds what no member shows alone. A ridge
logistic regression and small boosted trees are fitted, and the one with the better out-of-fold log loss is kept; folds
hold whole operations (or worlds) together. Probabilities come from inductive Venn-Abers predictors (Vovk, Petej,
Fedorova 2015) on the out-of-fold scores: two isotonic fits that bracket the truth, whose span is the interval. Kept as
JSON text with a format name and version. Holds no state but a cache of its own calibration.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
from sklearn.isotonic import isotonic_regression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold

from shoal.coordination.campaigns.score import FEATURES
from shoal.errors import Corrupt, InvalidInput, Problem, Unsupported, Where

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

FORMAT, VERSION = "shoal.campaign_model", 1
LEAST = 5
"""Campaigns of each class that a fit needs."""
TREES_FROM = 200
"""Campaigns from which trees are tried."""
PENALTIES = (0.01, 0.1, 1.0)
CLIP = 4.0
"""Standardised features are held within so many deviations: a campaign far outside is judged as the edge is."""
_TREES = {
    "objective": "binary", "num_leaves": 7, "min_data_in_leaf": 8, "learning_rate": 0.05, "lambda_l2": 1.0,
    "feature_fraction": 0.7, "bagging_fraction": 0.8, "bagging_freq": 1, "seed": 1, "deterministic": True,
    "force_row_wise": True, "num_threads": 1, "verbosity": -1,
}  # fmt: skip
_ROUNDS = 120
_NODES = ("feature", "threshold", "left", "right", "value")


@dataclass(frozen=True)
class UnitCard:
    """How a model was fitted and what it showed on folds that it had not seen. `auc`, `log_loss` out of fold;
    `baseline_auc`: that of the members' mean score, NaN where none was given; `beats_baseline`: whether the model is
    the better of the two (False where it ties or loses, True where there is no baseline)."""

    campaigns: int
    abusive: int
    folds: int
    kind: str
    auc: float
    log_loss: float
    baseline_auc: float
    beats_baseline: bool


@dataclass(frozen=True)
class Tree:
    """One tree as arrays over nodes: an inner node goes `left` where the value of `feature` is at most `threshold`,
    else `right`; a leaf has feature -1 and its log-odds in `value`. Children come after their parents, so that no text
    can make a walk without end."""

    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    value: Floats

    def values(self, matrix: Floats) -> Floats:
        """Leaf value for each row, float64 [campaigns]."""
        at = np.zeros(len(matrix), np.int64)
        rows = np.arange(len(matrix))
        while (inner := self.feature[at] >= 0).any():
            low = matrix[rows, np.maximum(self.feature[at], 0)] <= self.threshold[at]
            at = np.where(inner, np.where(low, self.left[at], self.right[at]), at)
        return self.value[at]

    def sound(self, columns: int) -> bool:
        """Whether all arrays fit together."""
        n = len(self.feature)
        own, inner = np.arange(n), self.feature >= 0
        sizes = {len(self.threshold), len(self.left), len(self.right), len(self.value)}
        return bool(
            n
            and sizes == {n}
            and (self.feature < columns).all()
            and (self.left[inner] > own[inner]).all()
            and (self.right[inner] > own[inner]).all()
            and max(self.left.max(), self.right.max()) < n
        )


@dataclass(frozen=True)
class UnitModel:
    """A fitted model. `columns`: features it reads, by name. Logistic: `centre`, `scale`, `weights` float64
    [features] and `intercept`; `trees`: arrays of nodes, see `Tree`. `seen_score`, `seen_label`: out-of-fold log-odds,
    ascending, and labels, for calibration."""

    kind: str
    columns: tuple[str, ...]
    centre: Floats
    scale: Floats
    weights: Floats
    intercept: float
    trees: tuple[Tree, ...]
    seen_score: Floats
    seen_label: Ints
    _bounds: dict[int, tuple[float, float]] = field(default_factory=dict, compare=False, repr=False)

    def raw(self, matrix: Floats) -> Floats:
        """Log-odds before calibration, float64 [campaigns]."""
        _check_matrix(matrix, len(self.columns))
        if self.kind == "trees":
            return np.sum([one.values(matrix) for one in self.trees], axis=0) if self.trees else np.zeros(len(matrix))
        x = np.clip((matrix - self.centre) / self.scale, -CLIP, CLIP)
        return np.asarray(x @ self.weights + self.intercept, np.float64)

    def predict(self, matrix: Floats) -> tuple[Floats, Floats, Floats]:
        """Probability, and the Venn-Abers bounds around it, float64 [campaigns] each."""
        low, high = np.zeros(len(matrix)), np.zeros(len(matrix))
        for i, value in enumerate(self.raw(matrix).tolist()):
            low[i], high[i] = self._bracket(value)
        return high / (1 - low + high), low, high

    def predict_proba(self, matrix: Floats) -> Floats:
        """Probabilities of benign and abusive, float64 [campaigns, 2]."""
        p, _, _ = self.predict(matrix)
        return np.column_stack([1 - p, p])

    def _bracket(self, value: float) -> tuple[float, float]:
        """Isotonic fits with the new score labelled 0, and 1; they depend on its place among the seen ones only."""
        left = int(np.searchsorted(self.seen_score, value, "left"))
        right = int(np.searchsorted(self.seen_score, value, "right"))
        key = left * (len(self.seen_score) + 1) + right
        if key not in self._bounds:
            label, weight = self.seen_label.astype(np.float64), np.ones(len(self.seen_label))
            block = label[left:right]
            out = []
            for assumed in (0.0, 1.0):
                mean = (block.sum() + assumed) / (len(block) + 1)
                y = np.concatenate([label[:left], [mean], label[right:]])
                w = np.concatenate([weight[:left], [len(block) + 1.0], weight[right:]])
                out.append(float(isotonic_regression(y, sample_weight=w, y_min=0.0, y_max=1.0)[left]))
            self._bounds[key] = (out[0], out[1])
        return self._bounds[key]

    def to_text(self) -> str:
        """The model as JSON text."""
        body = {
            "format": FORMAT,
            "version": VERSION,
            "kind": self.kind,
            "columns": list(self.columns),
            "centre": self.centre.tolist(),
            "scale": self.scale.tolist(),
            "weights": self.weights.tolist(),
            "intercept": self.intercept,
            "trees": [{name: getattr(tree, name).tolist() for name in _NODES} for tree in self.trees],
            "seen_score": self.seen_score.tolist(),
            "seen_label": self.seen_label.tolist(),
        }
        return json.dumps(body, allow_nan=False)


@dataclass(frozen=True)
class Fitted:
    """A model and its card."""

    model: UnitModel
    card: UnitCard


def fit(
    features: Floats,
    labels: Ints,
    *,
    groups: Sequence[str] | None = None,
    mean_score: Floats | None = None,
    folds: int = 5,
    columns: Sequence[str] = FEATURES,
) -> Fitted:
    """Fit on labelled campaigns.

    `features` float64 [campaigns, columns], `labels` 0 benign and 1 abusive [campaigns]; `groups`: what must not stand
    on both sides of a fold (an operation, a world, a week), each campaign its own where None; `mean_score`: members'
    mean score, the baseline. Raises `InvalidInput` with all problems: one class only, too few, values that are no
    numbers, unequal lengths.
    """
    labels = np.asarray(labels)
    _check_fit(features, labels, groups, mean_score, folds, len(columns))
    y = labels.astype(np.int64)
    of = np.arange(len(y)) if groups is None else np.unique(np.asarray(groups, np.str_), return_inverse=True)[1]
    parts = _parts(y, of, folds)
    tried = {f"logistic:{c}": _out_of_fold(features, y, parts, "logistic", c) for c in PENALTIES}
    if len(y) >= TREES_FROM:
        tried["trees:0"] = _out_of_fold(features, y, parts, "trees", 0.0)
    loss = {name: float(log_loss(y, _probability(raw))) for name, raw in tried.items()}
    best = min(loss, key=lambda name: (loss[name], name))
    kind, penalty = best.split(":")
    raw = tried[best]
    order = np.lexsort((y, raw))
    made = _grow(features, y, kind, float(penalty), tuple(columns), raw[order], y[order])
    auc = float(roc_auc_score(y, raw))
    baseline = math.nan
    if mean_score is not None and (known := ~np.isnan(mean_score)).any() and len(np.unique(y[known])) == 2:
        baseline = float(roc_auc_score(y[known], mean_score[known]))
    card = UnitCard(
        len(y), int(y.sum()), len(parts), kind, auc, loss[best], baseline, math.isnan(baseline) or auc > baseline
    )  # fmt: skip
    return Fitted(made, card)


def _parts(y: Ints, of: Ints, folds: int) -> list[tuple[Ints, Ints]]:
    """Folds that both classes are in, as far as there are groups."""
    least = min(len(np.unique(of[y == label])) for label in (0, 1))
    splitter = StratifiedGroupKFold(min(folds, least), shuffle=True, random_state=1)
    made = [(train, test) for train, test in splitter.split(np.zeros((len(y), 1)), y, of)]
    return [(train, test) for train, test in made if len(np.unique(y[train])) == 2 and len(test)]


def _out_of_fold(x: Floats, y: Ints, parts: Sequence[tuple[Ints, Ints]], kind: str, penalty: float) -> Floats:
    out = np.zeros(len(y))
    for train, test in parts:
        none = np.zeros(0)
        made = _grow(x[train], y[train], kind, penalty, ("",) * x.shape[1], none, none.astype(np.int64))
        out[test] = made.raw(x[test])
    return out


def _probability(raw: Floats) -> Floats:
    return np.clip(1 / (1 + np.exp(-np.clip(raw, -30, 30))), 1e-6, 1 - 1e-6)


def _grow(
    x: Floats, y: Ints, kind: str, penalty: float, columns: tuple[str, ...], seen_score: Floats, seen_label: Ints
) -> UnitModel:
    centre, scale = x.mean(axis=0), x.std(axis=0)
    scale = np.where(scale > 1e-9, scale, 1.0)
    if kind == "trees":
        data = lightgbm.Dataset(x, label=y, params={"verbosity": -1}, free_raw_data=True)
        grown = tuple(
            _tree(one["tree_structure"]) for one in lightgbm.train(_TREES, data, _ROUNDS).dump_model()["tree_info"]
        )
        return UnitModel(kind, columns, centre, scale, np.zeros(x.shape[1]), 0.0, grown, seen_score, seen_label)
    z = np.clip((x - centre) / scale, -CLIP, CLIP)
    fitted = LogisticRegression(C=penalty, solver="newton-cholesky", max_iter=200).fit(z, y)
    return UnitModel(
        kind, columns, centre, scale, fitted.coef_[0].astype(np.float64), float(fitted.intercept_[0]), (), seen_score,
        seen_label,
    )  # fmt: skip


def _tree(root: dict[str, Any]) -> Tree:
    """LightGBM's nested nodes as arrays, parents first."""
    nodes: list[list[float]] = []

    def add(node: dict[str, Any]) -> int:
        at = len(nodes)
        if "leaf_value" in node:
            nodes.append([-1, 0.0, -1, -1, node["leaf_value"]])
            return at
        nodes.append([node["split_feature"], node["threshold"], -1, -1, 0.0])
        nodes[at][2] = add(node["left_child"])
        nodes[at][3] = add(node["right_child"])
        return at

    add(root)
    feature, threshold, left, right, value = (np.array(column) for column in zip(*nodes, strict=True))
    ints = [column.astype(np.int64) for column in (feature, left, right)]
    return Tree(ints[0], threshold.astype(np.float64), ints[1], ints[2], value.astype(np.float64))


def _check_matrix(matrix: Floats, columns: int) -> None:
    at = Where(path="features")
    if matrix.ndim != 2 or matrix.shape[1] != columns:
        raise InvalidInput(Problem("campaigns.features", f"{matrix.shape} where [campaigns, {columns}] is read", at))
    if not np.isfinite(matrix).all():
        raise InvalidInput(Problem("campaigns.features", "a feature is no finite number", at))


def _check_fit(
    features: Floats, labels: Ints, groups: Sequence[str] | None, mean_score: Floats | None, folds: int, columns: int
) -> None:
    problems: list[Problem] = []
    try:
        _check_matrix(features, columns)
    except InvalidInput as error:
        problems += error.problems
    count = len(features)
    others = (("labels", labels), ("groups", groups), ("mean_score", mean_score))
    for name, values in others:
        if values is not None and len(values) != count:
            message = f"{len(values)} {name} for {count} campaigns"
            problems.append(Problem("campaigns.lengths", message, Where(path=name)))
    at = Where(path="labels")
    if not np.isin(labels, (0, 1)).all():
        problems.append(Problem("campaigns.labels", "a label is neither 0 nor 1", at, allowed="0 benign, 1 abusive"))
    else:
        abusive = int(np.sum(labels == 1))
        if min(abusive, len(labels) - abusive) < LEAST:
            message = f"{abusive} abusive and {len(labels) - abusive} benign campaigns"
            hint = f"a fit needs at least {LEAST} of each; without labels the score is unsupervised"
            problems.append(Problem("campaigns.one_class", message, at, hint=hint))
        elif groups is not None and len(groups) == len(labels):
            named = np.asarray(groups, np.str_)
            if min(len(np.unique(named[labels == label])) for label in (0, 1)) < 2:
                hint = "folds keep a group together: each class needs two groups or more"
                problems.append(Problem("campaigns.one_group", "a class is all of one group", at, hint=hint))
    if folds < 2:
        problems.append(Problem("campaigns.folds", f"{folds} folds", Where(path="folds"), allowed="2 or more"))
    if problems:
        raise InvalidInput(problems)


def from_text(text: str, columns: Sequence[str] = FEATURES) -> UnitModel:
    """Read what `to_text` wrote. Raises `Unsupported` for another format, version or set of features, `Corrupt` for
    what is no model."""
    try:
        body = json.loads(text)
    except ValueError as error:
        raise Corrupt(f"{FORMAT}: no JSON: {error}") from error
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise Unsupported(f"no {FORMAT}")
    if body.get("version") != VERSION:
        raise Unsupported(f"{FORMAT} version {body.get('version')!r}; this release reads {VERSION}")
    if body.get("columns") != list(columns):
        raise Unsupported(f"{FORMAT}: fitted on other features than this release makes; fit it anew")
    try:
        made = UnitModel(
            body["kind"], tuple(body["columns"]), _floats(body["centre"]), _floats(body["scale"]),
            _floats(body["weights"]), float(body["intercept"]), tuple(_read_tree(one) for one in body["trees"]),
            _floats(body["seen_score"]),
            np.asarray(body["seen_label"], np.int64),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError) as error:
        raise Corrupt(f"{FORMAT}: {error!r}") from error
    wide = {len(made.centre), len(made.scale), len(made.weights)} == {len(columns)}
    calibrated = len(made.seen_score) == len(made.seen_label) > 0 and (np.diff(made.seen_score) >= 0).all()
    labelled = np.isin(made.seen_label, (0, 1)).all() and (made.scale > 0).all() if wide and calibrated else False
    if (
        made.kind not in ("logistic", "trees")
        or not labelled
        or not all(tree.sound(len(columns)) for tree in made.trees)
    ):
        raise Corrupt(f"{FORMAT}: parts that do not fit together")
    return made


def _read_tree(body: dict[str, Any]) -> Tree:
    ints = {name: np.asarray(body[name]) for name in ("feature", "left", "right")}
    if any(column.ndim != 1 or (len(column) and column.dtype.kind != "i") for column in ints.values()):
        raise ValueError("a tree whose places are no whole numbers")
    return Tree(ints["feature"], _floats(body["threshold"]), ints["left"], ints["right"], _floats(body["value"]))


def _floats(values: object) -> Floats:
    out = np.asarray(values, np.float64)
    if out.ndim != 1 or not np.isfinite(out).all():
        raise ValueError("numbers that are none")
    return out
