"""What a network reads: a node's features and degrees as normal scores, which of them are unknown, and the ties.

The scale is learned on the graph of `fit` and applied to any later one. Views of ties: for GraphSAGE each relation as
it is, or the ways out and in apart where it is directed; for BWGNN each relation without its direction. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from shoal.coordination.nodes.columns import views
from shoal.coordination.nodes.graph import NodeGraph
from shoal.coordination.nodes.links import Link, mean
from shoal.coordination.nodes.members import Scale

Floats = npt.NDArray[np.float64]
Float32s = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Inputs:
    """`x` float32 [n, d], finite; `links`, one a view."""

    x: Float32s
    links: tuple[Link, ...]

    @cached_property
    def near(self) -> tuple[Float32s, ...]:
        """Means of `x` over neighbours, one [n, d] a view: exact, computed once."""
        return tuple(around(link, self.x).astype(np.float32) for link in self.links)

    @cached_property
    def roots(self) -> tuple[Float32s, ...]:
        """Roots of the nodes' weights, one [n] a view."""
        return tuple(np.sqrt(link.weight).astype(np.float32) for link in self.links)


def around(link: Link, x: npt.NDArray[np.floating]) -> Floats:
    """Means over neighbours of finite `x` [n, k]; 0 where there are none."""
    return np.nan_to_num(mean(link, np.asarray(x, dtype=np.float64)), nan=0.0)


def raw(graph: NodeGraph) -> Float32s:
    """Features, and logarithms of degree and weight of each view against the graph's mean, float32 [n, d]; NaN unknown.

    Against the mean, so that a graph that has only grown since `fit` looks as it did."""
    parts = [graph.features]
    for _, link in views(graph):
        place = np.column_stack([link.degree.astype(np.float64), link.weight])
        parts.append(np.log1p(place) - np.log1p(place.mean(axis=0)))
    return np.column_stack(parts).astype(np.float32)


def inputs(graph: NodeGraph, scale: Scale, kind: str) -> Inputs:
    """What a network of this kind (sage or bwgnn) reads of a graph."""
    unknown = np.isnan(graph.features)
    x = np.column_stack([scale.apply(raw(graph)), unknown]).astype(np.float32)
    if kind == "bwgnn":
        return Inputs(x, tuple(link.both() for link in graph.links.values()))
    return Inputs(x, tuple(link for _, link in views(graph)))
