"""Ties between nodes as operators: what a neighbourhood sums to, without ever writing down all pairs.

`Direct` holds a sparse matrix of ties. `Shared` holds who has which entity and a weight for each entity; two nodes are
tied by the sum of the weights of what they share, but the pairs are never made: a product with the ties is a product
with the memberships, back, and minus one's own part. So an address with 10,000 accounts costs 10,000 operations and
not 10⁸. No node is tied to itself. Immutable; knows no features, labels or times.
"""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt
from scipy import sparse

from shoal.coordination.nodes.links_kernel import extremes, shared_largest

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


class Link(Protocol):
    """Weighted ties among `size` nodes; row i is what i reaches."""

    @property
    def size(self) -> int:
        """Number of nodes."""

    @property
    def directed(self) -> bool:
        """Whether i may reach j with another weight than j reaches i."""

    @property
    def degree(self) -> Ints:
        """Neighbours of each node [n]; through entities, one for each entity shared with it."""

    @property
    def weight(self) -> Floats:
        """Sum of the weights of a node's ties [n]."""

    @property
    def echo(self) -> Floats | None:
        """Sum over j of a_ij a_ji / (w_i w_j) [n]: how much of what a node says comes back in two steps when ties are
        divided by the roots of both ends' weights; None where that is not to be had cheaply."""

    def sums(self, x: Floats) -> Floats:
        """Weighted sums over neighbours, [n, k] of `x` [n, k]."""

    def extremes(self, x: Floats) -> tuple[Floats, Floats]:
        """Least and largest value over neighbours, [n, k] each; NaN is passed over, and stands where none is known."""

    def turned(self) -> Link:
        """The ties the other way round."""

    def both(self) -> Link:
        """The ties without their direction: the weights of both ways added where it is directed."""

    def keep(self, codes: Ints) -> Link:
        """The ties among these nodes only, in this order."""


class Direct:
    """Ties given one by one. `matrix`: n × n, weights positive and finite; loops are dropped, repeats added up."""

    def __init__(self, matrix: sparse.spmatrix | sparse.sparray) -> None:
        held = sparse.csr_matrix(matrix, dtype=np.float64, copy=True)
        held.sum_duplicates()
        held.setdiag(0.0)
        held.eliminate_zeros()
        held.sort_indices()
        self.matrix = held

    @property
    def size(self) -> int:
        """Number of nodes."""
        return int(self.matrix.shape[0])

    @cached_property
    def directed(self) -> bool:
        """Whether the matrix differs from its transpose."""
        return bool((self.matrix != self.matrix.T).nnz)

    @cached_property
    def degree(self) -> Ints:
        """Neighbours of each node."""
        return np.asarray(np.diff(self.matrix.indptr), dtype=np.int64)

    @cached_property
    def weight(self) -> Floats:
        """Sum of the weights of a node's ties."""
        return np.asarray(self.matrix.sum(axis=1), dtype=np.float64).ravel()

    @cached_property
    def echo(self) -> Floats | None:
        """See `Link.echo`."""
        part = np.divide(1.0, self.weight, out=np.zeros(self.size), where=self.weight > 0)
        return np.asarray(self.matrix.multiply(self.matrix.T).tocsr() @ part * part, dtype=np.float64)

    def sums(self, x: Floats) -> Floats:
        """Weighted sums over neighbours."""
        return np.asarray(self.matrix @ x)

    def extremes(self, x: Floats) -> tuple[Floats, Floats]:
        """Least and largest value over neighbours."""
        low, high = np.empty(x.shape), np.empty(x.shape)
        start, other = self.matrix.indptr.astype(np.int64), self.matrix.indices.astype(np.int64)
        extremes(start, other, np.ascontiguousarray(x), low, high)
        return low, high

    def turned(self) -> Direct:
        """The transpose."""
        return Direct(self.matrix.T)

    def both(self) -> Direct:
        """The matrix and its transpose, added where they differ."""
        return Direct(self.matrix + self.matrix.T) if self.directed else self

    def keep(self, codes: Ints) -> Direct:
        """The ties among these nodes."""
        return Direct(self.matrix[codes][:, codes])


class Shared:
    """Ties through what is shared. `members`: n × entities, any positive number where a node has an entity (only that
    it has it counts); `weights` [entities]: what one shared entity weighs, 0 for one that ties nobody."""

    directed = False
    echo: Floats | None = None

    def __init__(self, members: sparse.spmatrix | sparse.sparray, weights: Floats) -> None:
        held = sparse.csr_matrix(members, dtype=np.float64, copy=True)
        held.sum_duplicates()
        held.eliminate_zeros()
        crowd = np.bincount(held.indices, minlength=held.shape[1])
        useful = np.flatnonzero((crowd > 1) & (weights > 0))
        held = sparse.csr_matrix(held[:, useful])
        held.data[:] = 1.0
        held.sort_indices()
        self.members = held
        self.weights = np.asarray(weights, dtype=np.float64)[useful]
        self._back = sparse.csr_matrix(held.T)

    @property
    def size(self) -> int:
        """Number of nodes."""
        return int(self.members.shape[0])

    @cached_property
    def degree(self) -> Ints:
        """Neighbours, counted once for each entity shared with them."""
        return np.asarray(self.members @ (np.diff(self._back.indptr) - 1.0)).round().astype(np.int64)

    @cached_property
    def weight(self) -> Floats:
        """Sum of the weights of a node's ties."""
        return np.asarray(self.members @ (self.weights * (np.diff(self._back.indptr) - 1.0)), dtype=np.float64)

    @cached_property
    def _own(self) -> Floats:
        return np.asarray(self.members @ self.weights, dtype=np.float64)

    def sums(self, x: Floats) -> Floats:
        """Weighted sums over neighbours: to the entities, back, minus one's own part."""
        own = self._own if x.ndim == 1 else self._own[:, None]
        weights = self.weights if x.ndim == 1 else self.weights[:, None]
        return np.asarray(self.members @ (weights * (self._back @ x)) - own * x)

    def extremes(self, x: Floats) -> tuple[Floats, Floats]:
        """Least and largest value over neighbours."""
        low, high, column = np.empty(x.shape), np.empty(x.shape), np.empty(len(x))
        start, account = self._back.indptr.astype(np.int64), self._back.indices.astype(np.int64)
        for j in range(x.shape[1]):
            shared_largest(start, account, np.ascontiguousarray(x[:, j]), column)
            high[:, j] = column
            shared_largest(start, account, np.ascontiguousarray(-x[:, j]), column)
            low[:, j] = -column
        return low, high

    def turned(self) -> Shared:
        """Itself: sharing has no direction."""
        return self

    def both(self) -> Shared:
        """Itself: sharing has no direction."""
        return self

    def keep(self, codes: Ints) -> Shared:
        """The ties among these nodes; an entity keeps its weight, and ties nobody where one of its nodes is left."""
        return Shared(self.members[codes], self.weights)


def mean(link: Link, x: Floats) -> Floats:
    """Weighted means over neighbours [n, k]; NaN in `x` is passed over; NaN where nothing is known."""
    known = ~np.isnan(x)
    if known.all():
        total, weight = link.sums(x), link.weight[:, None]
    else:
        total, weight = link.sums(np.where(known, x, 0.0)), link.sums(known.astype(np.float64))
        weight = np.where(weight > 1e-12 * np.maximum(link.weight[:, None], 1e-300), weight, 0.0)
    return np.asarray(np.divide(total, weight, out=np.full(x.shape, np.nan), where=weight > 0))


def balanced(link: Link, x: Floats) -> Floats:
    """Sums over neighbours of finite `x` [n, k], each tie divided by the roots of both ends' weights."""
    root = np.divide(1.0, np.sqrt(link.weight), out=np.zeros(link.size), where=link.weight > 0)[:, None]
    return link.sums(x * root) * root
