"""Neighbourhoods to train on: exact matrices of means for small graphs, drawn blocks with a capped fan-out for others.

A row of a matrix of means holds the shares of a node's neighbours and sums to 1 (0 without neighbours). A `Block` holds
one such matrix for each view of the ties, from its sources (columns) to its targets (rows); the targets are the first
of the sources, so that a node finds itself. Blocks are drawn outwards from a batch, as GraphSAGE does (Hamilton, Ying,
Leskovec, NeurIPS 2017). Knows links only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from shoal.coordination.gnn.draws_kernel import draw_direct, draw_shared
from shoal.coordination.nodes.links import Direct, Link, Shared

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Block:
    """Means from `sources` (codes [s]) to the first `targets` of them, one matrix [targets, s] a view."""

    sources: Ints
    targets: int
    means: tuple[sparse.csr_matrix, ...]


class Drawer:
    """Draws from the ties of one link."""

    def __init__(self, link: Link) -> None:
        self.link = link
        if isinstance(link, Direct):
            matrix = link.matrix
            self._start, self._other = _int64(matrix.indptr), _int64(matrix.indices)
            self._weight = np.ascontiguousarray(matrix.data)
            self._total = np.cumsum(self._weight)
            self.ties = int(matrix.nnz)
        elif isinstance(link, Shared):
            back = sparse.csr_matrix(link.members.T)
            self._start, self._entity = _int64(link.members.indptr), _int64(link.members.indices)
            self._back, self._account = _int64(back.indptr), _int64(back.indices)
            self._weight = np.ascontiguousarray(link.weights)
            others = np.diff(self._back) - 1
            self._total = np.cumsum((self._weight * others)[self._entity])
            self.ties = int((others * (others + 1)).sum())
        else:
            raise TypeError(f"no draws from a {type(link).__name__}")

    def draw(self, targets: Ints, fan_out: int, seed: int) -> tuple[Ints, Ints, Floats]:
        """Rows (places in `targets`), columns (codes) and shares of at most `fan_out` neighbours each."""
        room = max(len(targets) * fan_out, 1)
        rows, columns, values = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room)
        where = (np.ascontiguousarray(targets), fan_out, np.uint64(seed), rows, columns, values)
        if isinstance(self.link, Direct):
            count = draw_direct(self._start, self._other, self._weight, self._total, *where)
        else:
            tables = (self._start, self._entity, self._total, self._back, self._account, self._weight)
            count = draw_shared(*tables, *where)
        return rows[:count], columns[:count], values[:count]

    def exact(self) -> sparse.csr_matrix:
        """The whole matrix of means [n, n]; through entities, all pairs are made: for few `ties` only."""
        if isinstance(self.link, Direct):
            whole = self.link.matrix
        else:
            assert isinstance(self.link, Shared)
            members = self.link.members
            whole = sparse.csr_matrix(members @ sparse.diags(self.link.weights) @ members.T)
            whole.setdiag(0.0)
            whole.eliminate_zeros()
        part = np.divide(1.0, self.link.weight, out=np.zeros(self.link.size), where=self.link.weight > 0)
        return sparse.csr_matrix(sparse.diags(part) @ whole, dtype=np.float32)


def blocks(drawers: Sequence[Drawer], batch: Ints, depth: int, fan_out: int, seed: int) -> list[Block]:
    """`depth` blocks, the widest first: the targets of the last are `batch` (codes, each once)."""
    found: list[Block] = []
    targets = batch
    for step in range(depth):
        drawn = [one.draw(targets, fan_out, seed + 7919 * step + 104_729 * at) for at, one in enumerate(drawers)]
        new = np.setdiff1d(np.concatenate([columns for _, columns, _ in drawn] or [np.zeros(0, np.int64)]), targets)
        sources = np.concatenate([targets, new])
        order = np.argsort(sources, kind="stable")
        means = tuple(
            sparse.csr_matrix(
                (values, (rows, order[np.searchsorted(sources, columns, sorter=order)])),
                shape=(len(targets), len(sources)), dtype=np.float32,
            )
            for rows, columns, values in drawn
        )  # fmt: skip
        found.append(Block(sources, len(targets), means))
        targets = sources
    return found[::-1]


def whole(drawers: Sequence[Drawer], size: int, depth: int) -> list[Block]:
    """The same, exact and of all nodes: for graphs small enough for a full batch."""
    every = np.arange(size)
    return [Block(every, size, tuple(one.exact() for one in drawers))] * depth


def _int64(given: npt.NDArray[np.int32] | Ints) -> Ints:
    return np.ascontiguousarray(given, dtype=np.int64)
