"""What a model file says of its inputs and of its score at the time of fitting: typical values, and histograms that
monitoring compares with.

Shares are of the cells [-inf, e1), [e1, e2), …, [ek, inf) that rising edges cut, among rows where the value is known,
and sum to 1; how often it was unknown stands apart. Weighted as the service is.
"""

from __future__ import annotations

import numpy as np

from shoal.detectors.models.definition import Input
from shoal.detectors.models.metadata import InputColumn
from shoal.learn.frame import Bools, Floats

CELLS = 10


def describe_inputs(inputs: tuple[Input, ...], x: Floats, weight: Floats, honest: Bools) -> list[InputColumn]:
    """One `InputColumn` an input from rows [n, d]; `honest` [n] are those that typical values come from."""
    found = []
    for at, one in enumerate(inputs):
        value, known = x[:, at], ~np.isnan(x[:, at])
        usual = value[honest & known]
        edges = edges_of(value[known], weight[known])
        found.append(
            InputColumn(
                one.name,
                one.kind.name.lower(),
                one.hash,
                one.description,
                one.unit,
                typical=float(np.median(usual)) if len(usual) else None,
                high=float(np.quantile(usual, 0.99)) if len(usual) else None,
                missing=float(np.clip(weight[~known].sum() / weight.sum(), 0.0, 1.0)) if len(weight) else 0.0,
                edges=edges.tolist(),
                shares=shares_of(value[known], weight[known], edges).tolist(),
            )
        )
    return found


def edges_of(value: Floats, weight: Floats, cells: int = CELLS) -> Floats:
    """Edges that cut the values in cells of about equal weight; fewer where values are few. A value that alone has
    much weight gets a cell of its own."""
    if not len(value):
        return np.zeros(0)
    distinct, inverse = np.unique(value, return_inverse=True)
    if len(distinct) <= cells:
        return distinct[1:]
    below = np.cumsum(np.bincount(inverse, weight))
    at = np.searchsorted(below, below[-1] * np.arange(1, cells) / cells, side="left")
    edges = np.concatenate([distinct[at], distinct[np.minimum(at + 1, len(distinct) - 1)][at == 0]])
    return np.unique(edges[edges > distinct[0]])


def shares_of(value: Floats, weight: Floats, edges: Floats) -> Floats:
    """The share of weight in each cell [k + 1]; none where there is no value."""
    if not len(value):
        return np.zeros(0)
    cell = np.searchsorted(edges, value, side="right")
    sums = np.bincount(cell, weight, len(edges) + 1)
    shares: Floats = np.clip(sums / sums.sum(), 0.0, 1.0)
    return shares
