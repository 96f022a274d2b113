"""The columns that trees learn from: a node's own features, its place, its neighbourhood, and its neighbours' labels.

`structural` reads no label. `labelled` reads the labels that are known, and never a node's own: nodes are dealt to
folds without looking at labels, and a node's columns are computed as if nobody of its fold were labelled. So a known
node sees nine tenths of the labels (with ten folds), a new one all of them; its own label, and anything that came back
of it, is not in its columns, to the last bit. Names tell relation and meaning (`rated.out.mean1.age`). Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from shoal.coordination.nodes.belief import propagate
from shoal.coordination.nodes.graph import NodeGraph
from shoal.coordination.nodes.links import Direct, Link, balanced, mean
from shoal.coordination.nodes.spectral import wavelets
from shoal.coordination.nodes.topology import clustering, cores, page_rank, triangles

Floats = npt.NDArray[np.float64]
Float32s = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

Extent = Literal["full", "compact", "own"]
COUPLINGS = ((0.5, True), (0.9, False))
"""Couplings of belief propagation, and whether the echo is cancelled: near and far."""


@dataclass(frozen=True, eq=False)
class Columns:
    """`matrix` float32 [n, c] under `names`; NaN unknown."""

    names: tuple[str, ...]
    matrix: Float32s


def views(graph: NodeGraph) -> Iterator[tuple[str, Link]]:
    """Each relation as it is where it has no direction; else the ways out and in, apart."""
    for name, link in graph.links.items():
        if link.directed:
            yield f"{name}.out", link
            yield f"{name}.in", link.turned()
        else:
            yield name, link


def structural(graph: NodeGraph, order: int = 4, *, extent: Extent = "full") -> Columns:
    """Columns that need no label, for all nodes; `order` of the beta wavelets, 0 for none. Kept in the graph's memo.

    Per relation: degree, weight, triangles, clustering, core, PageRank; and of each feature and of these places: mean,
    standard deviation, least and largest over neighbours, distance from the mean, mean of means and of deviations and
    deviation of means over two hops, bands of the wavelets. `extent`: compact is without least, largest and bands, of
    which a hundred labels cannot tell the good ones; own is a node's own features alone."""
    order = order if extent == "full" else 0
    key = ("structural", order, extent)
    if (held := graph.memo.get(key)) is not None and isinstance(held, Columns):
        return held
    parts, names = [graph.features], list(graph.names)
    if extent == "own":
        return Columns(tuple(names), graph.features.astype(np.float32))
    for name, link in graph.links.items():
        place, place_names = _place(link)
        parts.append(place)
        names += [f"{name}.{one}" for one in place_names]
    told = np.column_stack(parts)
    told_names, places = tuple(names), told[:, len(graph.names) :]
    for name, link in views(graph):
        for one, part in _neighbourhood(link, told, len(graph.names), extent == "compact"):
            names += [f"{name}.{one}.{column}" for column in told_names[: part.shape[1]]]
            parts.append(part)
    if order:
        filled = _filled(np.column_stack([graph.features, places]))
        for name, link in graph.links.items():
            for band, part in enumerate(wavelets(link.both(), filled, order)):
                names += [f"{name}.band{band}.{column}" for column in told_names]
                parts.append(part)
    found = Columns(tuple(names), np.column_stack(parts).astype(np.float32))
    graph.memo[key] = found
    return found


def labelled(graph: NodeGraph, known: Ints, y: Ints, fold: Ints, wanted: Ints, *, compact: bool = False) -> Columns:
    """Columns of neighbours' labels for the nodes `wanted` (codes).

    `known`: codes with a label, `y` 0 or 1 of each; `fold` int64 [n]: nobody of a node's own fold counts as labelled
    for it, -1 for a node to which all labels speak (it must not be among `known`). Per relation: the smoothed share of
    abusive ones among labelled neighbours (plain, balanced, over two hops), how far their number is from chance, how
    many are labelled; mean features of abusive and of honest neighbours; beliefs propagated near and far (`compact`:
    beliefs alone)."""
    names: tuple[str, ...] = ()
    out = np.zeros((len(wanted), 0), np.float32)
    filled = _filled(graph.features)
    for one in np.unique(fold[wanted]):
        rows = np.flatnonzero(fold[wanted] == one)
        kept = fold[known] != one if one >= 0 else np.ones(len(known), bool)
        found, matrix = _from_labels(graph, filled, known[kept], y[kept], wanted[rows], compact)
        if not names:
            names, out = found, np.empty((len(wanted), len(found)), np.float32)
        out[rows] = matrix
    return Columns(names, out)


def _place(link: Link) -> tuple[Floats, list[str]]:
    degree = link.both().degree.astype(np.float64)
    columns, names = [np.log1p(degree), np.log1p(link.both().weight)], ["degree", "weight"]
    if link.directed:
        columns += [np.log1p(link.degree), np.log1p(link.turned().degree)]
        names += ["out_degree", "in_degree"]
    if isinstance(link, Direct):
        found = triangles(link)
        columns += [np.log1p(found), clustering(link, found)]
        names += ["triangles", "clustering"]
    columns += [np.log1p(cores(link.both())), page_rank(link)]
    return np.column_stack(columns), [*names, "core", "rank"]


def _neighbourhood(link: Link, x: Floats, own: int, compact: bool) -> Iterator[tuple[str, Floats]]:
    near = mean(link, x)
    spread = np.sqrt(np.maximum(mean(link, x**2) - near**2, 0.0))
    yield "mean1", near
    yield "std1", spread
    if not compact:
        low, high = link.extremes(x)
        yield "min1", low
        yield "max1", high
    yield "away1", (x - near)[:, :own]
    far = mean(link, near)
    yield "mean2", far
    yield "std_of2", mean(link, spread)
    yield "std2", np.sqrt(np.maximum(mean(link, near**2) - far**2, 0.0))


def _filled(x: Floats) -> Floats:
    """Unknown values at the column's median, for what cannot pass over them; a column of unknowns is 0."""
    known = ~np.isnan(x)
    if known.all():
        return x
    medians = [float(np.median(x[known[:, j], j])) if known[:, j].any() else 0.0 for j in range(x.shape[1])]
    return np.where(known, x, np.array(medians))


def _from_labels(
    graph: NodeGraph, x: Floats, known: Ints, y: Ints, rows: Ints, compact: bool
) -> tuple[tuple[str, ...], Floats]:
    held, abusive = np.zeros(graph.size), np.zeros(graph.size)
    held[known], abusive[known] = 1.0, y
    base = (float(y.sum()) + 1.0) / (len(y) + 2.0)
    names: list[str] = []
    parts: list[Floats] = []
    for name, link in () if compact else views(graph):
        for column, part in _votes(link, held, abusive, base):
            names.append(f"{name}.{column}")
            parts.append(part[rows])
        for kind, chosen in (("abusive", abusive), ("honest", held - abusive)):
            total, weight = link.sums(chosen[:, None] * x), link.sums(chosen[:, None])
            part = np.divide(total, weight, out=np.full(x.shape, np.nan), where=weight > 1e-12)
            names += [f"{name}.{kind}_mean.{column}" for column in graph.names]
            parts += list(part[rows].T)
    explicit = np.column_stack([np.where(held > 0, abusive - base, 0.0), held])
    for name, link in graph.links.items():
        for coupling, echo in COUPLINGS:
            belief = propagate(link.both(), explicit, coupling, echo=echo)[rows]
            names += [f"{name}.belief{coupling:g}", f"{name}.belief{coupling:g}_share"]
            parts += [belief[:, 0], belief[:, 0] / (np.abs(belief[:, 1]) + 1e-6)]
    matrix = np.column_stack(parts) if parts else np.zeros((len(rows), 0))
    return tuple(names), matrix


def _votes(link: Link, held: Floats, abusive: Floats, base: float) -> Iterator[tuple[str, Floats]]:
    both = np.column_stack([abusive, held])
    votes = link.sums(both)
    typical = float(link.weight.sum() / max(link.degree.sum(), 1)) or 1.0  # the weight of a tie
    yield "abusive_share", (votes[:, 0] + base * typical) / (votes[:, 1] + typical)
    spread = np.sqrt(np.maximum(votes[:, 1], typical) * typical * base * (1.0 - base))
    yield "abusive_excess", (votes[:, 0] - base * votes[:, 1]) / spread
    yield "abusive_weight", np.log1p(votes[:, 0])
    yield "labelled_share", np.divide(votes[:, 1], link.weight, out=np.zeros(link.size), where=link.weight > 0)
    near = balanced(link, both)
    steady = float(np.median(near[near[:, 1] > 0, 1])) if (near[:, 1] > 0).any() else 1.0
    yield "abusive_balanced", (near[:, 0] + 0.2 * base * steady) / (near[:, 1] + 0.2 * steady)
    part = np.divide(1.0, link.weight, out=np.zeros(link.size), where=link.weight > 0)[:, None]
    two, far = link.sums(part * votes) * part, balanced(link, near)
    yield "abusive_share2", (two[:, 0] + 1e-9 * base) / (two[:, 1] + 1e-9)
    yield "abusive_balanced2", (far[:, 0] + 1e-9 * base) / (far[:, 1] + 1e-9)
