"""Nodes with numbers and ties: what a node classifier is fitted on and scores.

A `NodeGraph` is a state of the world at one time. Whoever builds it decides what that time is: fit on the graph as it
was when the labels were known, score on the graph as it is now. Nodes have ids, so that a label that was known then
finds its node now. Immutable, but for a memo of columns that were computed from it. `of_entities` makes one from an
entity graph, tying accounts through what they share without making the pairs. Bad input is refused here, all problems
together; what is mended (loops, repeated edges, zeros) is said in `Direct`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from shoal.coordination.graph.graph import EntityGraph
from shoal.coordination.nodes.links import Direct, Link, Shared
from shoal.errors import InvalidInput, Problem, Where, nearest_name

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Relation: TypeAlias = Direct | Shared | Any  # a sparse matrix, too: SciPy has several kinds

DEFAULT_CAP = 1000
"""Accounts above which an entity ties nobody, where neither weights nor the relation's own cap say otherwise."""


class NodeGraph:
    """Nodes by code 0 … n - 1: `features` float64 [n, d] (NaN unknown), `names` of the features, `relations` by name
    (a sparse n × n matrix of positive weights, directed where it is not symmetric, or a `Direct` or `Shared`), `ids`
    int64 [n] (default: the codes), `times` int64 [n] µs UTC at which each node came to be known (None: not said).

    Raises `InvalidInput` with all problems: `nodes.features`, `nodes.names`, `nodes.infinite`, `nodes.relation`,
    `nodes.weights`, `nodes.ids`, `nodes.times`."""

    def __init__(
        self,
        features: npt.ArrayLike,
        relations: Mapping[str, Relation],
        *,
        names: Sequence[str] | None = None,
        ids: npt.ArrayLike | None = None,
        times: npt.ArrayLike | None = None,
    ) -> None:
        problems: list[Problem] = []
        self.features = _features(features, problems)
        count, width = self.features.shape
        self.names = tuple(f"f{at}" for at in range(width)) if names is None else tuple(names)
        if len(self.names) != width or len(set(self.names)) != width:
            message = f"{len(self.names)} names, {len(set(self.names))} of them different"
            problems.append(Problem("nodes.names", message, Where(path="names"), allowed=f"{width} different names"))
        self.links = {name: link for name, one in relations.items() if (link := _link(name, one, count, problems))}
        self.ids = np.arange(count) if ids is None else _whole(ids, count, "ids", problems)
        if len(np.unique(self.ids)) != len(self.ids):
            message = f"{len(self.ids) - len(np.unique(self.ids))} ids are repeated"
            problems.append(Problem("nodes.ids", message, Where(path="ids"), allowed="each node once"))
        self.times = None if times is None else _whole(times, count, "times", problems)
        if problems:
            raise InvalidInput(problems)
        self._order = np.argsort(self.ids, kind="stable")
        self.memo: dict[tuple[object, ...], object] = {}

    @property
    def size(self) -> int:
        """Number of nodes."""
        return len(self.features)

    def codes(self, ids: npt.ArrayLike) -> Ints:
        """Codes of ids, int64 [m]; -1 for one that it does not know."""
        wanted = np.asarray(ids, dtype=np.int64)
        if not self.size:
            return np.full(wanted.shape, -1, np.int64)
        arranged = self.ids[self._order]
        at = np.minimum(np.searchsorted(arranged, wanted), self.size - 1)
        return np.where(arranged[at] == wanted, self._order[at], -1)

    def keep(self, ids: npt.ArrayLike) -> NodeGraph:
        """The graph of these nodes alone: all others are gone, with their ties. Raises `InvalidInput`
        (`nodes.unknown`)."""
        codes = known_codes(self, ids, "ids")
        return NodeGraph(
            self.features[codes],
            {name: link.keep(codes) for name, link in self.links.items()},
            names=self.names,
            ids=self.ids[codes],
            times=None if self.times is None else self.times[codes],
        )

    def before(self, time: int) -> NodeGraph:
        """The graph of the nodes known before `time`, µs UTC. Ties and features stay as they are: a graph whose ties
        have times is built anew (`of_entities(until=…)`). Raises `InvalidInput` (`nodes.times`)."""
        if self.times is None:
            problem = Problem("nodes.times", "nothing says when its nodes came to be known", Where(path="times"))
            raise InvalidInput(problem)
        return self.keep(self.ids[self.times < time])

    @classmethod
    def of_entities(
        cls,
        graph: EntityGraph,
        features: npt.ArrayLike | None = None,
        *,
        names: Sequence[str] | None = None,
        weights: Mapping[str, Floats] | None = None,
        until: int | None = None,
    ) -> NodeGraph:
        """Accounts tied through the entities that they share, one relation for each of the entity graph.

        `features` [accounts, d], by account code (none: the number of entities of each relation, logarithm);
        `weights`: relation → float64 [entities], what a shared entity weighs, 0 for a hub that ties nobody; a relation
        that is not named gets 1 / log(2 + accounts of the entity), 0 above its cap. `until`: only what was first seen
        before this time, µs UTC; popularity is counted there too, but given weights and features are the caller's to
        have from that time. Raises `InvalidInput` (`nodes.relation`, `nodes.weights` and those of the constructor)."""
        weights = weights or {}
        problems = [
            Problem(
                "nodes.relation", f"weights for the unknown relation {name!r}", Where(path=f"weights.{name}"),
                allowed=", ".join(graph.relations), nearest=nearest_name(name, graph.relations),
            )
            for name in weights if name not in graph.relations
        ]  # fmt: skip
        links: dict[str, Relation] = {}
        held: list[Floats] = []
        for name, edges in graph.relations.items():
            kept = slice(None) if until is None else edges.first < until
            shape = graph.accounts, len(edges.entity_ids)
            members = sparse.csr_matrix(
                (np.ones(edges.size)[kept], (edges.account[kept], edges.entity[kept])), shape=shape
            )
            crowd = np.bincount(members.indices, minlength=shape[1])
            cap = DEFAULT_CAP if edges.relation.cap is None else edges.relation.cap
            given = weights.get(name, np.where(crowd <= cap, 1.0 / np.log(2.0 + crowd), 0.0))
            if given.shape != (shape[1],) or not (np.isfinite(given).all() and (given >= 0).all()):
                problems.append(_bad_weights(f"weights.{name}", f"{shape[1]} finite weights, 0 or more"))
            else:
                links[name] = Shared(members, given)
            held.append(np.log1p(np.diff(members.indptr).astype(np.float64)))
        if problems:
            raise InvalidInput(problems)
        if features is None:
            features = np.column_stack(held) if held else np.zeros((graph.accounts, 0))
            names = [f"{name}.entities" for name in graph.relations]
        return cls(features, links, names=names, ids=graph.account_ids, times=graph.created)


def known_codes(graph: NodeGraph, ids: npt.ArrayLike, path: str) -> Ints:
    """Codes of ids that must be known and given once each. Raises `InvalidInput` (`nodes.ids`, `nodes.unknown`)."""
    problems: list[Problem] = []
    wanted = _whole(ids, None, path, problems)
    if problems:
        raise InvalidInput(problems)
    codes = graph.codes(wanted)
    if (codes < 0).any():
        first = ", ".join(str(one) for one in wanted[codes < 0][:3])
        message = f"{int((codes < 0).sum())} of {len(codes)} nodes are not in the graph: {first}"
        problems.append(Problem("nodes.unknown", message, Where(path=path), hint="nodes are named by their ids"))
    if len(np.unique(wanted)) != len(wanted):
        message = f"{len(wanted) - len(np.unique(wanted))} nodes are repeated"
        problems.append(Problem("nodes.ids", message, Where(path=path), allowed="each node once"))
    if problems:
        raise InvalidInput(problems)
    return codes


def _features(given: npt.ArrayLike, problems: list[Problem]) -> Floats:
    try:
        found = np.asarray(given)
        if found.dtype.kind not in "biuf":
            raise TypeError(f"values of type {found.dtype}")
    except (TypeError, ValueError) as error:
        problems.append(Problem("nodes.features", str(error), Where(path="features"), allowed="a matrix of numbers"))
        return np.zeros((0, 0))
    if found.ndim != 2 or not len(found):
        shape = " x ".join(map(str, found.shape)) or "a single number"
        allowed = "nodes x features, one node or more"
        problems.append(Problem("nodes.features", f"the shape is {shape}", Where(path="features"), allowed=allowed))
        return np.zeros((0, 0))
    found = np.array(found, dtype=np.float64, order="C")
    for column in np.flatnonzero(np.isinf(found).any(axis=0)):
        message = f"{int(np.isinf(found[:, column]).sum())} values are infinite"
        hint = "NaN means unknown and may stand"
        problems.append(Problem("nodes.infinite", message, Where(path=f"features[:, {column}]"), hint=hint))
    return found


def _link(name: str, given: Relation, count: int, problems: list[Problem]) -> Link | None:
    where = Where(path=f"relations.{name}")
    if isinstance(given, Direct | Shared):
        if given.size == count:
            return given
        message = f"ties {given.size} nodes"
    elif not sparse.issparse(given):
        message = f"a {type(given).__name__}"
    elif given.shape != (count, count):
        message = f"the shape is {' x '.join(map(str, given.shape))}"
    elif not name:
        message = "a relation without a name"
    else:
        values = np.asarray(sparse.coo_matrix(given).data)
        if values.dtype.kind not in "biuf" or not (np.isfinite(values).all() and (values >= 0).all()):
            problems.append(_bad_weights(where.path, "finite weights, 0 or more"))
            return None
        return Direct(given)
    problems.append(Problem("nodes.relation", message, where, allowed=f"a sparse matrix of {count} x {count}"))
    return None


def _bad_weights(path: str, allowed: str) -> Problem:
    hint = "give what speaks against a tie as a relation of its own"
    return Problem("nodes.weights", "weights that no tie can have", Where(path=path), allowed=allowed, hint=hint)


def _whole(given: npt.ArrayLike, count: int | None, path: str, problems: list[Problem]) -> Ints:
    found = np.asarray(given)
    if found.size == 0:
        found = found.astype(np.int64)
    if found.dtype.kind not in "iu" or found.ndim != 1 or (count is not None and len(found) != count):
        shape = " x ".join(map(str, found.shape)) or "one value"
        slug = "nodes.times" if path == "times" else "nodes.ids"
        allowed = "whole numbers in one row" if count is None else f"{count} whole numbers in one row"
        problems.append(Problem(slug, f"{found.dtype} of shape {shape}", Where(path=path), allowed=allowed))
        return np.arange(count or 0)
    return found.astype(np.int64)
