"""The graph network as a classifier of nodes: `NodeClassifier`'s manners, so that the two are compared and blended.

What each call may see is said in `nodes.classifier` and holds here: `fit` sees the graph as it was and the labels known
then, `predict_proba` the graph as it is now (inductive: networks read features and ties, never labels, so a new node is
scored as any other). One network a fold: it learns from the other folds, a part of which is set aside to stop early. A
new node gets the mean of all; a node that was fitted on is scored by the network of its fold alone, which neither
learned from its label nor was stopped by it. Calibration is fitted on these answers. `fit` needs the extra `gnn`,
scoring does not. The model owns its arrays; nothing is kept between calls.
"""

from __future__ import annotations

import inspect
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from shoal.coordination.gnn import scoring
from shoal.coordination.gnn.inputs import Inputs, inputs, raw
from shoal.coordination.gnn.labels import checked, deal
from shoal.coordination.gnn.training import Labels, Recipe, Trainer, device_of
from shoal.coordination.nodes.blend import METHODS, Calibration, calibrate, log_loss, sigmoid
from shoal.coordination.nodes.graph import NodeGraph, known_codes
from shoal.coordination.nodes.members import Scale
from shoal.errors import InvalidInput, Problem, Where, nearest_name

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

KINDS = ("sage", "bwgnn")
LEAST = 5
"""Labelled nodes of each class under which nothing is fitted."""
ASIDE = 7
"""One in so many of what a network may learn from is set aside to stop it."""
_WHOLE = {
    "hidden": (2, 1024), "layers": (2, 4), "epochs": (1, 10_000), "patience": (1, 10_000), "fan_out": (1, 1000),
    "batch": (2, 1_000_000), "full_batch": (0, 2**40), "folds": (2, 20), "seed": (0, 2**31 - 1),
    "num_threads": (1, 256),
}  # fmt: skip
_REAL = {"dropout": (0.0, 0.9), "learning_rate": (1e-6, 1.0), "weight_decay": (0.0, 1.0)}
_CHOICE = {
    "model": KINDS, "class_weight": ("balanced", "none"), "calibration": METHODS, "device": ("auto", "cpu", "cuda"),
}  # fmt: skip


class GnnClassifier:
    """Scikit-learn's manners over a `NodeGraph`. After `fit`: `classes_`, `fold_` (of the nodes fitted on), `report_`.

    `model`: sage (GraphSAGE with own weights for each relation and way) or bwgnn (beta wavelets). `hidden` units;
    `layers`: layers of sage, order of the wavelets. `patience`: epochs without a better average precision after which
    training stops. `class_weight`: balanced weighs the abusive up to the honest. `full_batch`: ties up to which the
    graph is trained on whole; above it in batches of `batch` labels with at most `fan_out` neighbours a node and view.
    `calibration`: auto, sigmoid, isotonic or none. `device`: auto is cuda where there is one, for fitting."""

    def __init__(
        self,
        *,
        model: Literal["sage", "bwgnn"] = "sage",
        hidden: int = 64,
        layers: int = 2,
        dropout: float = 0.3,
        epochs: int = 300,
        patience: int = 40,
        learning_rate: float = 0.01,
        weight_decay: float = 0.0,
        class_weight: str = "balanced",
        fan_out: int = 15,
        batch: int = 1024,
        full_batch: int = 2_000_000,
        folds: int = 4,
        calibration: str = "auto",
        seed: int = 0,
        num_threads: int = 1,
        device: str = "auto",
    ) -> None:
        self.model, self.hidden, self.layers, self.dropout = model, hidden, layers, dropout
        self.epochs, self.patience, self.learning_rate, self.weight_decay = (
            epochs,
            patience,
            learning_rate,
            weight_decay,
        )
        self.class_weight, self.fan_out, self.batch, self.full_batch = class_weight, fan_out, batch, full_batch
        self.folds, self.calibration, self.seed = folds, calibration, seed
        self.num_threads, self.device = num_threads, device

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
        `nodes.one_class`, `nodes.too_few_labels`; `MissingExtra` without PyTorch. Cost: `folds` trainings, each of up
        to `epochs` passes over the ties (whole) or over labels × fan_out^(layers - 1) (drawn)."""
        codes, labels = checked(graph, nodes, y, LEAST, self.problems())
        recipe = self._recipe()
        order = np.argsort(graph.ids[codes], kind="stable")  # so that the order of the labels changes nothing
        codes, labels = codes[order], labels[order]
        self.classes_ = np.array([0, 1])
        self._names, self._ids = graph.names, graph.ids[codes]
        self._relations = tuple((name, link.directed) for name, link in graph.links.items())
        draw = np.random.default_rng(self.seed)
        self.fold_ = deal(labels, self.folds, draw)
        self._scale = Scale.of(raw(graph))
        seen = inputs(graph, self._scale, self.model)
        trainer = Trainer(seen, recipe)
        self._networks, epochs, precisions = [], [], []
        z = np.zeros(len(codes))
        for fold in range(self.folds):
            rest = np.flatnonzero(self.fold_ != fold)
            aside = deal(labels[rest], ASIDE, draw) == 0
            learned, stop = (Labels(codes[part], labels[part]) for part in (rest[~aside], rest[aside]))
            trained = trainer.train(learned, stop, self.seed * 1_000 + fold)
            self._networks.append(trained.network)
            epochs.append(trained.epoch)
            precisions.append(trained.precision)
            out = self.fold_ == fold
            z[out] = scoring.score(trained.network, seen, self.model)[codes[out]]
        self._calibration, tried = calibrate(z, labels, self.calibration)
        self.report_: dict[str, Any] = {
            "labels": len(labels), "abusive": int(labels.sum()), "folds": self.folds, "inputs": seen.x.shape[1],
            "views": len(seen.links), "full_batch": trainer.full, "epochs": epochs, "precision_aside": precisions,
            "calibration": {"method": self._calibration.method, **tried},
            "log_loss_calibrated": log_loss(self._calibration.apply(z), labels),
        }  # fmt: skip
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
        """Calibrated log odds [m]; raises as `predict_proba`. As a column for trees it is honest also on the nodes
        that were fitted on."""
        codes, seen = self._seen(graph, nodes)
        known, fold = graph.codes(self._ids), np.full(graph.size, -1, np.int64)
        fold[known[known >= 0]] = self.fold_[known >= 0]
        fold, z = fold[codes], np.zeros(len(codes))
        new = fold < 0
        for at, network in enumerate(self._networks):
            rows = np.flatnonzero(new | (fold == at))
            if len(rows):
                z[rows] += scoring.score(network, seen, self.model)[codes[rows]]
        z[new] /= len(self._networks)
        return self._calibration.apply(z)

    def embeddings(self, graph: NodeGraph, nodes: npt.ArrayLike, network: int = 0) -> Floats:
        """What the last layer of one network reads, float64 [m, hidden]; raises as `predict_proba`, and
        `nodes.parameter` for a network that there is not.

        Networks do not share axes, so columns come from one. It learned from all labels but those of fold `network`:
        trees that read its embeddings are fitted on nodes with `fold_ == network`, or on later labels."""
        codes, seen = self._seen(graph, nodes)
        if network not in range(len(self._networks)):
            allowed = f"a whole number from 0 to {len(self._networks) - 1}"
            raise InvalidInput(Problem("nodes.parameter", f"{network!r}", Where(path="network"), allowed=allowed))
        return scoring.hidden(self._networks[network], seen, self.model)[codes]

    def problems(self) -> list[Problem]:
        """What is wrong with the parameters, each `nodes.parameter`."""
        wrong: list[tuple[str, str]] = []
        for name, choices in _CHOICE.items():
            if getattr(self, name) not in choices:
                wrong.append((name, ", ".join(choices)))
        for name, (low, high) in _WHOLE.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or not low <= value <= high:
                wrong.append((name, f"a whole number from {low} to {high}"))
        for name, (least, most) in _REAL.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float | np.number) or not least <= value <= most:
                wrong.append((name, f"a number from {least:g} to {most:g}"))
        return [
            Problem("nodes.parameter", f"{getattr(self, name)!r}", Where(path=name), allowed=allowed)
            for name, allowed in wrong
        ]

    def fitted(self) -> dict[str, Any]:
        """What scoring needs beside the parameters, for `store`. Raises `InvalidInput` (`nodes.not_fitted`)."""
        self._check_fitted()
        return {
            "names": self._names, "relations": self._relations, "ids": self._ids, "fold": self.fold_,
            "scale": self._scale, "networks": self._networks, "calibration": self._calibration, "report": self.report_,
        }  # fmt: skip

    def restore(
        self, *, names: tuple[str, ...], relations: tuple[tuple[str, bool], ...], ids: Ints, fold: Ints, scale: Scale,
        networks: list[scoring.Network], calibration: Calibration, report: dict[str, Any],
    ) -> None:  # fmt: skip
        """Take what `fitted` gave, as `store` has checked it."""
        self.classes_ = np.array([0, 1])
        self._names, self._relations, self._ids, self.fold_ = names, relations, ids, fold
        self._scale, self._networks, self._calibration, self.report_ = scale, networks, calibration, report

    def _recipe(self) -> Recipe:
        device = device_of(self.device)
        return Recipe(
            kind=self.model, hidden=self.hidden, depth=self.layers, dropout=float(self.dropout), epochs=self.epochs,
            patience=self.patience, rate=self.learning_rate, decay=self.weight_decay, fan_out=self.fan_out,
            balanced=self.class_weight == "balanced", batch=self.batch, full_batch=self.full_batch,
            threads=self.num_threads, device=device,
        )  # fmt: skip

    def _seen(self, graph: NodeGraph, nodes: npt.ArrayLike) -> tuple[Ints, Inputs]:
        self._check_fitted()
        relations = tuple((name, link.directed) for name, link in graph.links.items())
        problems = []
        for path, ours, theirs in (("features", self._names, graph.names), ("relations", self._relations, relations)):
            if ours != theirs:
                message = f"another graph than the one fitted on: {theirs}"
                problems.append(Problem("nodes.mismatch", message, Where(path=path), allowed=f"{ours}"))
        if problems:
            raise InvalidInput(problems)
        return known_codes(graph, nodes, "nodes"), inputs(graph, self._scale, self.model)

    def _check_fitted(self) -> None:
        if not hasattr(self, "_calibration"):
            raise InvalidInput(Problem("nodes.not_fitted", "the classifier is not fitted", hint="call fit first"))
