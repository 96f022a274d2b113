"""The node classifier: which accounts are abusive, from their features, their ties and the labels that are known.

What each call may see:

- `fit(graph, nodes, y)` sees the graph as it was when these labels were known, and these labels. Whoever gives a graph
  with later nodes, ties or features lets the future in; the classifier cannot tell.
- `predict_proba(graph, nodes)` sees the graph as it is now and the labels of `fit`, found again by the nodes' ids; no
  label is taken from anywhere else. A new node is scored by all models. A node that was fitted on is scored by the
  models that did not learn from it, and its own label is in none of its columns: nothing is ever scored by what
  learned from its label, so a fit's own nodes can be scored honestly.

Nodes are dealt to folds without a look at labels. Per fold, trees (and a line) are fitted on the others; their answers
out of fold choose blend and calibration. The same input and seed give the same model.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from shoal.coordination.nodes.blend import FEW, METHODS, blend, calibrate, log_loss, sigmoid
from shoal.coordination.nodes.columns import Columns, Extent, labelled, structural
from shoal.coordination.nodes.graph import NodeGraph, known_codes
from shoal.coordination.nodes.members import Forest, Line, Scale, grow
from shoal.errors import InvalidInput, Problem, Where, nearest_name

Floats = npt.NDArray[np.float64]
Float32s = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

MEMBERS = ("trees", "line", "belief")
LEAST = 5
"""Labelled nodes of each class under which nothing is fitted."""
MANY = 20_000
"""Labelled nodes from which five folds do; under it there are ten."""
STRENGTHS = (0.003, 0.01, 0.03, 0.1)
"""Inverse penalties that the line is tried with."""
CHOOSING = 2
"""Folds that the line's penalty is chosen on."""
FEW_STRENGTH = 0.02
"""The one it is given under `FEW` labels, which cannot choose."""
FAR = (".belief0.9", ".belief0.9_share")
"""Endings of the columns that make the member `belief`."""
PRIOR = {"trees": 1.0, "line": 1.0, "belief": 0.25}
"""What the members weigh before any label speaks."""


class NodeClassifier:
    """Scikit-learn's manners over a `NodeGraph`. After `fit`: `classes_`, `columns_` (names), `fold_` (of the nodes
    fitted on, by rising id), `report_` (what the blend and the calibration were chosen by).

    `members`: any of trees, line, belief. `labels`: whether neighbours' labels are read (belief needs them).
    `columns`: full, compact or own (`columns.structural`; but for full, labels are read by the member belief alone), or
    auto, which is compact under 500 labels and full from there. `wavelets`: order of the bands, 0 for none. `trees`,
    `leaves`: of each booster (None: by the number of labels); `bags`: boosters a fold, of different seeds. `folds`:
    None for 10 under 20,000 labels, 5 above. `calibration`: auto, sigmoid, isotonic or none. `num_threads`: of LightGBM
    and of linear algebra while fitting.
    """

    def __init__(
        self,
        *,
        members: tuple[str, ...] = MEMBERS,
        labels: bool = True,
        columns: Literal["auto", "full", "compact", "own"] = "auto",
        wavelets: int = 4,
        trees: int | None = None,
        leaves: int | None = None,
        bags: int = 1,
        folds: int | None = None,
        calibration: str = "auto",
        seed: int = 0,
        num_threads: int = 1,
    ) -> None:
        self.members, self.labels, self.columns, self.wavelets = members, labels, columns, wavelets
        self.trees, self.leaves = trees, leaves
        self.bags, self.folds, self.calibration = bags, folds, calibration
        self.seed, self.num_threads = seed, num_threads

    @classmethod
    def parameters(cls) -> tuple[str, ...]:
        """Names of the parameters."""
        return tuple(name for name in inspect.signature(cls.__init__).parameters if name != "self")

    def get_params(self, deep: bool = True) -> dict[str, Any]:  # noqa: ARG002 - scikit-learn's signature
        """The parameters by name."""
        return {name: getattr(self, name) for name in self.parameters()}

    def set_params(self, **params: Any) -> Self:
        """Set parameters; raises `InvalidInput` (`nodes.parameter`) for one that there is not."""
        known = self.parameters()
        problems = [
            Problem("nodes.parameter", f"no parameter {name!r}", Where(path=name), ", ".join(known),
                    nearest_name(name, known))
            for name in params if name not in known
        ]  # fmt: skip
        if problems:
            raise InvalidInput(problems)
        for name, value in params.items():
            setattr(self, name, value)
        return self

    def fit(self, graph: NodeGraph, nodes: npt.ArrayLike, y: npt.ArrayLike) -> Self:
        """Learn from labels `y` (1 abusive, 0 honest) of `nodes` (ids), in the graph as it was when they were known.

        Raises `InvalidInput` with all problems: `nodes.parameter`, `nodes.ids`, `nodes.unknown`, `nodes.labels`,
        `nodes.features`, `nodes.one_class`, `nodes.too_few_labels`. Cost: the columns, those of
        labels once a fold, and folds × bags boosters."""
        problems = self._problems()
        codes, labels = _check_labels(graph, nodes, y, problems)
        if not graph.names and not graph.links:
            problem = Problem("nodes.features", "neither features nor ties", Where(path="graph"), allowed="one of them")
            raise InvalidInput(problem)
        order = np.argsort(graph.ids[codes], kind="stable")  # so that the order of the labels changes nothing
        codes, labels = codes[order], labels[order]
        self.classes_ = np.array([0, 1])
        self._names, self._ids, self._y = graph.names, graph.ids[codes], labels
        self._relations = tuple((name, link.directed) for name, link in graph.links.items())
        self.fold_ = _deal(len(codes), self.folds or (10 if len(codes) < MANY else 5), self.seed)
        self._extent: Extent = ("compact" if len(labels) < FEW else "full") if self.columns == "auto" else self.columns
        columns = self._columns(graph, codes)
        self.columns_ = columns.names
        with threadpool_limits(self.num_threads):
            self._fit_members(graph, columns.matrix, labels)
        return self

    def predict_proba(self, graph: NodeGraph, nodes: npt.ArrayLike) -> Floats:
        """Probabilities [m, 2] of honest and abusive for `nodes` (ids), in the graph as it is now; see the module for
        nodes that were fitted on. Raises `InvalidInput`: `nodes.not_fitted`, `nodes.mismatch`, `nodes.ids`,
        `nodes.unknown`."""
        p = sigmoid(self.decision_function(graph, nodes))
        return np.column_stack([1.0 - p, p])

    def predict(self, graph: NodeGraph, nodes: npt.ArrayLike) -> Ints:
        """1 where the probability is over a half; raises as `predict_proba`."""
        return (self.decision_function(graph, nodes) > 0).astype(np.int64)

    def decision_function(self, graph: NodeGraph, nodes: npt.ArrayLike) -> Floats:
        """Calibrated log odds [m]; raises as `predict_proba`."""
        self._check_graph(graph)
        codes = known_codes(graph, nodes, "nodes")
        if not len(codes):
            return np.zeros(0)
        fold = self._folds_of(graph)[codes]
        x = self._columns(graph, codes).matrix
        return self._calibration.apply(self._unit(self._member_scores(x, fold)) @ self._weights)

    def member_scores(self, graph: NodeGraph, nodes: npt.ArrayLike) -> Mapping[str, Floats]:
        """Scores of each member alone, before blend and calibration; raises as `predict_proba`."""
        self._check_graph(graph)
        codes = known_codes(graph, nodes, "nodes")
        z = self._member_scores(self._columns(graph, codes).matrix, self._folds_of(graph)[codes])
        return {name: z[:, at] for at, name in enumerate(self._used)}

    def _problems(self) -> list[Problem]:
        wrong: list[tuple[str, str]] = []
        if not self.members or not set(self.members) <= set(MEMBERS) or len(set(self.members)) != len(self.members):
            wrong.append(("members", f"some of {', '.join(MEMBERS)}, each once"))
        elif "belief" in self.members and not self.labels and len(self.members) == 1:
            wrong.append(("members", "belief needs labels=True"))
        if self.columns not in ("auto", "full", "compact", "own"):
            wrong.append(("columns", "auto, full, compact, own"))
        if self.calibration not in METHODS:
            wrong.append(("calibration", ", ".join(METHODS)))
        for name, low, high, absent in (
            ("wavelets", 0, 8, False), ("trees", 1, 10_000, True), ("leaves", 2, 1024, True), ("bags", 1, 100, False),
            ("folds", 2, 50, True), ("num_threads", 1, 256, False), ("seed", 0, 2**31 - 1, False),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is None and absent:
                continue
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
                wrong.append((name, f"a whole number from {low} to {high}" + (", or None" if absent else "")))
        return [
            Problem("nodes.parameter", f"{getattr(self, name)!r}", Where(path=name), allowed=allowed)
            for name, allowed in wrong
        ]

    def _columns(self, graph: NodeGraph, codes: Ints) -> Columns:
        """Columns of these nodes."""
        found = structural(graph, self.wavelets, extent=self._extent)
        x, names = found.matrix[codes], found.names
        if self.labels and graph.links:
            fold, known = self._folds_of(graph), graph.codes(self._ids)
            held = known >= 0
            more = labelled(graph, known[held], self._y[held], fold, codes, compact=self._extent != "full")
            x, names = np.hstack([x, more.matrix]), names + more.names
        return Columns(names, x)

    def _folds_of(self, graph: NodeGraph) -> Ints:
        """The fold of each node of the graph, -1 for one that was not fitted on."""
        known, fold = graph.codes(self._ids), np.full(graph.size, -1, np.int64)
        fold[known[known >= 0]] = self.fold_[known >= 0]
        return fold

    def _fit_members(self, graph: NodeGraph, x: Float32s, y: Ints) -> None:
        folds = list(range(int(self.fold_.max()) + 1))
        self._forests: list[Forest] = []
        self._lines: list[Line] = []
        self._scale: Scale | None = None
        self._belief_unit: tuple[Floats, Floats] | None = None
        self._beliefs = _beliefs(self.columns_) if self.labels else []
        self._used = tuple(one for one in self.members if one != "belief" or self._beliefs)
        own = self._own_width(graph)
        line: dict[str, float] = {}
        if "trees" in self._used:
            self._forests = [
                Forest([
                    grow(x[rest, :own], y[rest], trees=self.trees, leaves=self.leaves, threads=self.num_threads,
                         seed=self.seed + 1_000 * bag + fold)
                    for bag in range(self.bags)
                ])
                for fold in folds if len(rest := np.flatnonzero(self.fold_ != fold))
            ]  # fmt: skip
        if "line" in self._used:
            self._scale = Scale.of(self._all_rows(graph, x)[:, :own])
            line = self._choose_line(self._scale.apply(x[:, :own]), y, folds)
        if "belief" in self._used:
            told = np.nan_to_num(x[:, self._beliefs].astype(np.float64))
            self._belief_unit = _unit_of(told)
        z = self._member_scores(x, self.fold_)
        self._unit_of = _unit_of(z)
        z = self._unit(z)
        self._weights, losses = blend(z, y, np.array([PRIOR[name] for name in self._used]))
        score = z @ self._weights
        self._calibration, tried = calibrate(score, y, self.calibration)
        self.report_: dict[str, Any] = {
            "labels": len(y),
            "abusive": int(y.sum()),
            "folds": len(folds),
            "columns": len(self.columns_),
            "weights": dict(zip(self._used, self._weights.tolist(), strict=True)),
            "log_loss": losses,
            "line": line,
            "calibration": {"method": self._calibration.method, **tried},
            "log_loss_calibrated": log_loss(self._calibration.apply(score), y),
        }

    def fitted(self) -> dict[str, Any]:
        """What `store` writes. Raises `InvalidInput` (`nodes.not_fitted`)."""
        if not hasattr(self, "_calibration"):
            raise InvalidInput(Problem("nodes.not_fitted", "the classifier is not fitted", hint="call fit first"))
        return {
            "names": self._names, "relations": self._relations, "ids": self._ids, "y": self._y,
            "extent": self._extent, "used": self._used, "unit": self._unit_of, "weights": self._weights,
            "calibration": self._calibration, "forests": self._forests, "lines": self._lines, "scale": self._scale,
            "belief_unit": self._belief_unit,
        }  # fmt: skip

    def restore(self, **state: Any) -> None:
        """Take what `store` read and checked."""
        self.classes_ = np.array([0, 1])
        self._names, self._relations = state["names"], state["relations"]
        self._ids, self._y, self.fold_ = state["ids"], state["y"], state["fold"]
        self._extent, self.columns_, self._used = state["extent"], state["columns"], state["used"]
        self._beliefs = _beliefs(self.columns_)
        self._unit_of, self._weights, self._calibration = state["unit"], state["weights"], state["calibration"]
        self._forests, self._lines, self._scale = state["forests"], state["lines"], state["scale"]
        self._belief_unit, self.report_ = state["belief_unit"], state["report"]

    def _own_width(self, graph: NodeGraph) -> int:
        """Columns that trees and line read: with the compact ones, those of labels are the belief's alone."""
        if self._extent == "full":
            return len(self.columns_)
        return len(structural(graph, self.wavelets, extent=self._extent).names)

    def _unit(self, z: Floats) -> Floats:
        centre, spread = self._unit_of
        return (z - centre) / spread

    def _all_rows(self, graph: NodeGraph, x: Float32s) -> Float32s:
        """Columns of all nodes that need no label, beside those of labels of the rows that were fitted on."""
        whole = structural(graph, self.wavelets, extent=self._extent).matrix
        width = x.shape[1] - whole.shape[1]
        if not width:
            return whole
        out = np.full((len(whole), x.shape[1]), np.nan, np.float32)
        out[:, : whole.shape[1]] = whole
        out[: len(x), whole.shape[1] :] = x[:, whole.shape[1] :]
        return out

    def _choose_line(self, scores: Floats, y: Ints, folds: list[int]) -> dict[str, float]:
        losses: dict[str, float] = {}
        for strength in STRENGTHS if len(y) >= FEW else ():
            z, told = np.zeros(len(y)), np.zeros(len(y), bool)
            for fold in folds[:CHOOSING]:
                out = self.fold_ == fold
                z[out], told = Line.of(scores[~out], y[~out], strength).score(scores[out]), told | out
            losses[f"{strength:g}"] = log_loss(z[told], y[told])
            if losses[f"{strength:g}"] > min(losses.values()):
                break
        best = float(min(losses, key=lambda one: losses[one])) if losses else FEW_STRENGTH
        self._lines = [Line.of(scores[self.fold_ != fold], y[self.fold_ != fold], best) for fold in folds]
        return losses

    def _member_scores(self, x: Float32s, fold: Ints) -> Floats:
        """Log odds of each member [m, members]: by the models of a node's own fold, by all for a new one."""
        z, models = np.zeros((len(x), len(self._used))), int(self.fold_.max()) + 1
        new = fold < 0
        for at, name in enumerate(self._used):
            if name == "belief" and self._belief_unit is not None:
                centre, spread = self._belief_unit
                told = np.nan_to_num(x[:, self._beliefs].astype(np.float64))
                z[:, at] = ((told - centre) / spread).sum(axis=1)
                continue
            scores = None
            if name == "line" and self._scale is not None:
                scores = self._scale.apply(x[:, : self._scale.quantiles.shape[1]])
            for model in range(models):
                rows = np.flatnonzero(new | (fold == model))
                if not len(rows):
                    continue
                if scores is None:
                    forest = self._forests[model]
                    z[rows, at] += forest.score(x[rows, : forest.width], self.num_threads)
                else:
                    z[rows, at] += self._lines[model].score(scores[rows])
            z[new, at] /= models
        return z

    def _check_graph(self, graph: NodeGraph) -> None:
        self.fitted()
        relations = tuple((name, link.directed) for name, link in graph.links.items())
        problems = []
        for path, ours, theirs in (("features", self._names, graph.names), ("relations", self._relations, relations)):
            if ours != theirs:
                message = f"another graph than the one fitted on: {theirs}"
                problems.append(Problem("nodes.mismatch", message, Where(path=path), allowed=f"{ours}"))
        if problems:
            raise InvalidInput(problems)


def _beliefs(names: tuple[str, ...]) -> list[int]:
    """The columns that make the member `belief`."""
    return [at for at, name in enumerate(names) if name.endswith(FAR)]


def _unit_of(z: Floats) -> tuple[Floats, Floats]:
    """Centre and spread of columns; the spread of a constant one is 1."""
    spread = z.std(axis=0)
    return z.mean(axis=0), np.where(spread > 1e-12, spread, 1.0)


def _deal(count: int, folds: int, seed: int) -> Ints:
    """Folds of equal size, dealt by place alone."""
    dealt = np.arange(count) % folds
    return np.asarray(np.random.default_rng(seed).permutation(dealt), dtype=np.int64)


def _check_labels(
    graph: NodeGraph, nodes: npt.ArrayLike, y: npt.ArrayLike, problems: list[Problem]
) -> tuple[Ints, Ints]:
    codes = np.zeros(0, np.int64)
    try:
        codes = known_codes(graph, nodes, "nodes")
    except InvalidInput as error:
        problems.extend(error.problems)
    labels = np.asarray(y)
    if labels.dtype.kind not in "biuf" or labels.ndim != 1 or not np.isin(labels, (0, 1)).all():
        allowed = "1 abusive or 0 honest for each node"
        problems.append(Problem("nodes.labels", "labels that are not 0 or 1", Where(path="y"), allowed=allowed))
    elif len(labels) != np.asarray(nodes).size:
        message = f"{len(labels)} labels for {np.asarray(nodes).size} nodes"
        problems.append(Problem("nodes.labels", message, Where(path="y"), allowed="one label a node"))
    else:
        counts = [int((labels == one).sum()) for one in (0, 1)]
        if min(counts) == 0:
            kind = "abusive" if counts[0] else "honest" if counts[1] else "any"
            message = f"no label of {'the ' + kind + ' class' if kind != 'any' else 'any class'}"
            hint = "with abusive labels only, take honest ones from a sample that somebody looked at"
            problems.append(Problem("nodes.one_class", message, Where(path="y"), allowed="both classes", hint=hint))
        elif min(counts) < LEAST:
            message = f"{counts[1]} abusive and {counts[0]} honest labels"
            problems.append(Problem("nodes.too_few_labels", message, Where(path="y"), allowed=f"{LEAST} of each up"))
    if problems:
        raise InvalidInput(problems)
    return codes, labels.astype(np.int64)
