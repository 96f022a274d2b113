"""Communities of a weighted graph: Leiden under the constant Potts model, and label propagation.

The constant Potts model wants communities in which the weight between members exceeds `resolution` times the number of
pairs: a group keeps together what is tied more densely than `resolution`, whatever the size of the graph (no resolution
limit; Traag, Van Dooren and Nesterov, Physical Review E 84:016114, 2011). Leiden (Traag, Waltman and van Eck,
Scientific Reports 9:5233, 2019) finds such a partition and every community is connected. Label propagation is faster
and asks for no resolution, but promises neither. Both are functions of their input: no clock, no global random source.
A community is known by its smallest member. No state.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoal.coordination.structure import leiden_kernel as K  # noqa: N812 - a namespace of kernels
from shoal.coordination.structure.checks import (
    Codes,
    Floats,
    Ints,
    code_problem,
    edge_arrays,
    float_array,
    node_problems,
    number_problems,
    refuse,
)
from shoal.coordination.structure.csr_kernel import count_rows, fill_rows, sort_rows
from shoal.coordination.structure.draw_kernel import shuffle
from shoal.coordination.structure.propagation_kernel import propagate
from shoal.coordination.structure.unionfind import numbered
from shoal.errors import Problem, Where

Labels = npt.NDArray[np.int32]
LOOSENESS = 0.01
"""Of seeded refinement, in mean weights of an edge (theta of the paper, and its value)."""
PATIENCE, GAIN = 2, 1e-9
"""Seeded rounds end when so many in a row have not gained this share of the quality."""
LARGEST = 1e15
"""Weights and sizes up to here: sums of a hundred million of them stay far from overflow."""


@dataclass(frozen=True)
class Rows:
    """An undirected graph as sorted rows: `start` int64 [n + 1], `beside` int32 and `strength` float64 [2 edges]."""

    start: Ints
    beside: Labels
    strength: Floats

    @property
    def size(self) -> int:
        """Number of nodes."""
        return len(self.start) - 1


@dataclass(frozen=True)
class _Walk:
    resolution: float
    looseness: float
    state: npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Partition:
    """Communities: `labels` int64 [n], the smallest member of each node's; how many they are; the `quality` of the
    Potts model (None for label propagation) and how often the whole graph was gone through."""

    labels: Ints
    count: int
    quality: float | None
    rounds: int


def communities(
    n: int,
    left: Codes,
    right: Codes,
    weight: Floats | None = None,
    *,
    resolution: float,
    sizes: Floats | None = None,
    seed: int | None = None,
    rounds: int = 10,
    start: Ints | None = None,
) -> Partition:
    """Leiden communities of `n` nodes under the constant Potts model.

    `weight` float64 [edges], 0 or more, ones where None; repeated edges add up, self-loops and edges of weight 0 say
    nothing. `resolution`: weight a pair that a community must exceed, 0 or more. `sizes` float64 [n]: what a node
    counts for in pairs, ones where None. Nodes are visited by code until nothing changes, and so the communities of a
    connected component depend on nothing outside it. `seed`: further rounds draw order and refinement from it, until
    they gain nothing: a little more quality, and never less. `rounds`: at most so often through the whole graph.
    `start`: a partition to begin with, labels 0 … n - 1. Raises `InvalidInput`.

    Some 1.5 s of CPU a million edges, 40 bytes an edge at the peak beside the input.

    >>> ends = np.array([[0, 1], [1, 2], [0, 2], [2, 3], [3, 4], [4, 5], [3, 5]]).T
    >>> communities(6, *ends, resolution=0.5).labels.tolist()
    [0, 0, 0, 3, 3, 3]
    """
    problems = number_problems(resolution, "resolution", 0.0, LARGEST)
    problems += number_problems(rounds, "rounds", 1, 10_000, whole=True)
    graph, masses = _checked(n, left, right, weight, sizes, seed, problems)
    label = np.arange(n, dtype=np.int32)
    if start is not None:
        label = _begin(n, start)
    walk = _Walk(float(resolution), 0.0, np.zeros(1, np.uint64))
    order, found, done = np.arange(n, dtype=np.int32), _smallest(graph, label), 0
    while done < rounds:
        tried, done = _smallest(graph, _pass(graph, masses, walk, found, order)), done + 1
        if np.array_equal(tried, found):
            break
        found = tried
    quality, idle = _potts(graph, masses, resolution, found), PATIENCE if seed is None else 0
    walk = _Walk(float(resolution), LOOSENESS * _typical(graph), np.array([seed or 0], np.uint64))
    while done < rounds and idle < PATIENCE:
        shuffle(order, walk.state)
        tried, done = _smallest(graph, _pass(graph, masses, walk, found, order)), done + 1
        reached = _potts(graph, masses, resolution, tried)
        idle = idle + 1 if reached <= quality + GAIN * abs(quality) else 0
        if reached >= quality:
            found, quality = tried, reached
    return Partition(found.astype(np.int64), numbered(found.astype(np.int64))[1], quality, done)


def propagated(
    n: int,
    left: Codes,
    right: Codes,
    weight: Floats | None = None,
    *,
    largest: int | None = None,
    seed: int = 0,
) -> Partition:
    """Communities of `n` nodes by weighted label propagation; each is connected.

    `largest`: a label takes nobody beyond so many nodes (None: no bound). `seed`: of the order and of ties. The rest as
    for `communities`. About a third of its cost.
    """
    problems = [] if largest is None else number_problems(largest, "largest", 1, 2**31, whole=True)
    graph, _ = _checked(n, left, right, weight, None, seed, problems)
    label, state = np.arange(n, dtype=np.int32), np.array([seed], np.uint64)
    bound = n if largest is None else int(largest)
    order = np.arange(n, dtype=np.int32)
    shuffle(order, state)
    if n:
        propagate(graph.start, graph.beside, graph.strength, order, label, np.zeros(n), bound, state)
    labels = _smallest(graph, label).astype(np.int64)
    return Partition(labels, numbered(labels)[1], None, 1)


def potts_quality(
    labels: Ints,
    left: Codes,
    right: Codes,
    weight: Floats | None = None,
    *,
    resolution: float,
    sizes: Floats | None = None,
) -> float:
    """Weight of edges within communities less `resolution` times the pairs of different nodes within them; `labels`
    are numbers 0 … n - 1. Raises `InvalidInput`."""
    n = len(labels)
    problems = number_problems(resolution, "resolution", 0.0, LARGEST)
    graph, masses = _checked(n, left, right, weight, sizes, None, problems)
    return float(K.potts(graph.start, graph.beside, graph.strength, masses, float(resolution), _begin(n, labels)))


def recluster(
    labels: Ints,
    components: Ints,
    touched: Ints,
    left: Codes,
    right: Codes,
    weight: Floats | None = None,
    *,
    resolution: float,
    sizes: Floats | None = None,
    rounds: int = 10,
) -> Ints:
    """Communities after edges were added, where those of untouched components are known: int64 [n].

    `labels`: what `communities` (without a seed) or this function gave for the first nodes; nodes behind them are new.
    `components` int64 [n] and `touched`: as `Components` tells them. Edges: all of them, or those of touched components
    alone. The same labels as a run over everything, at the cost of the touched components. Raises `InvalidInput`.
    """
    n = len(components)
    problems: list[Problem] = []
    one, other = edge_arrays(left, right, ("left", "right"), problems)
    strength = float_array(weight, "weight", len(one), problems, high=LARGEST)
    masses = float_array(sizes, "sizes", n, problems, high=LARGEST)
    if len(labels) > n:
        problems.append(Problem("structure.lengths", f"{len(labels):,} labels", Where(path="labels"), f"up to {n:,}"))
    refuse(problems)
    where = code_problem(n, np.asarray(components), "components") + code_problem(n, np.asarray(touched), "touched")
    refuse(where + code_problem(n, one, "left") + code_problem(n, other, "right"))
    again = np.zeros(n, np.bool_)
    again[touched] = True
    picked = again[components]
    nodes, mine = np.flatnonzero(picked), picked[one]
    code = np.zeros(n, np.int64)
    code[nodes] = np.arange(len(nodes))
    found = communities(len(nodes), code[one[mine]], code[other[mine]], strength[mine], resolution=resolution,
                        sizes=masses[nodes], rounds=rounds)  # fmt: skip
    out = np.concatenate([np.asarray(labels, np.int64), np.arange(len(labels), n)])
    out[nodes] = nodes[found.labels]
    return out


def rows_of(n: int, left: Codes, right: Codes, weight: Floats) -> Rows:
    """Sorted rows of edges whose codes and weights were checked."""
    first = np.zeros(n + 1, np.int64)
    size = count_rows(left, right, weight, first)
    rows, out = np.empty((size, 2)), np.empty((size, 2))
    fill_rows(left, right, weight, first, rows)
    size = sort_rows(first, rows, out)
    return Rows(first, out[:size, 0].astype(np.int32), np.ascontiguousarray(out[:size, 1]))


def _checked(
    n: int, left: Codes, right: Codes, weight: Floats | None, sizes: Floats | None, seed: int | None,
    problems: list[Problem],
) -> tuple[Rows, Floats]:  # fmt: skip
    problems += node_problems(n)
    one, other = edge_arrays(left, right, ("left", "right"), problems)
    strength = float_array(weight, "weight", len(one), problems, high=LARGEST)
    if seed is not None:
        problems += number_problems(seed, "seed", 0, 2**63 - 1, whole=True)
    refuse(problems)
    masses = float_array(sizes, "sizes", n, problems, high=LARGEST)
    refuse(problems + code_problem(n, one, "left") + code_problem(n, other, "right"))
    return rows_of(n, one, other, strength), masses


def _begin(n: int, labels: Ints) -> Labels:
    problems: list[Problem] = []
    given, _ = edge_arrays(labels, labels, ("labels", "labels"), problems)
    if not problems and len(given) != n:
        problems = [Problem("structure.lengths", f"{len(given):,} labels", Where(path="labels"), f"{n:,}")]
    refuse(problems[:1])
    refuse(code_problem(n, given, "labels"))
    return given.astype(np.int32)


def _typical(graph: Rows) -> float:
    return float(graph.strength.mean()) if len(graph.strength) else 1.0


def _potts(graph: Rows, sizes: Floats, resolution: float, label: Labels) -> float:
    return float(K.potts(graph.start, graph.beside, graph.strength, sizes, float(resolution), label))


def _renumbered(label: Labels) -> tuple[Labels, int]:
    out = np.empty(len(label), np.int32)
    return out, int(K.renumber(label, out))


def _smallest(graph: Rows, label: Labels) -> Labels:
    """The connected parts of communities, each known by its smallest member."""
    parent = np.arange(graph.size, dtype=np.int32)
    K.split(graph.start, graph.beside, label, parent)
    return parent


def _pass(graph: Rows, sizes: Floats, walk: _Walk, label: Labels, order: Labels) -> Labels:
    """Once through moving, refining and aggregating until every community is one node; the labels of the nodes."""
    label, place, rows = label.copy(), np.arange(graph.size, dtype=np.int32), graph
    while True:
        n = rows.size
        total = np.zeros(n)
        K.move(rows.start, rows.beside, rows.strength, sizes, walk.resolution, order, label, total)
        label, count = _renumbered(label)
        if count == n:
            break
        part = np.empty(n, np.int32)
        K.refine(rows.start, rows.beside, rows.strength, sizes, walk.resolution, order, label, total, part,
                 walk.looseness, walk.state)  # fmt: skip
        part, many = _renumbered(part)
        if many == n:
            break
        grown = np.zeros(many, np.int32)
        grown[part] = label
        rows = _aggregated(rows, part, many, total)
        sizes = np.bincount(part, weights=sizes, minlength=many).astype(np.float64)
        place, label, order = part[place], grown, np.arange(many, dtype=np.int32)
        if walk.looseness:
            shuffle(order, walk.state)
    return label[place]


def _aggregated(rows: Rows, part: Labels, count: int, total: Floats) -> Rows:
    first = np.zeros(count + 1, np.int64)
    out, strength = np.empty(len(rows.beside), np.int32), np.empty(len(rows.beside))
    size = K.aggregate(rows.start, rows.beside, rows.strength, part, count, total, first, out, strength)
    return Rows(first, out[:size].copy(), strength[:size].copy())
