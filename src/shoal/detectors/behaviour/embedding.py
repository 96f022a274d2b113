"""An embedding of what accounts do: SVD of their event n-grams, and peer groups by it. Fitted offline, used by row.

`NgramEmbedding` learns directions in which the n-grams of accounts differ (latent semantic analysis, Deerwester et al.,
JASIS 1990) and gives each account a vector of unit length; a running account costs one short addition an event.
`PeerGroups` are k-means centres of such vectors. Both are frozen, made of plain arrays that can be stored without
pickle, and serve as inputs of models and as groups of peers. Knows ids (`events.identity`) and arrays, no event type.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.cluster import KMeans
from sklearn.decomposition import TruncatedSVD

from shoal.detectors.behaviour.embedding_kernel import cells_of, step
from shoal.errors import Corrupt, InvalidInput, Problem, Where

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
FORMAT = 1
LONGEST, MOST_CELLS = 4, 2**20


@dataclass(frozen=True)
class NgramEmbedding:
    """`weights` float64 [cells, dimensions]: what an n-gram of a cell adds to its account's vector.

    >>> accounts = np.repeat(np.arange(40), 6)
    >>> tokens = np.where(accounts % 2 == 0, np.tile([1, 2, 3], 80), np.tile([4, 5, 6], 80))
    >>> fitted = NgramEmbedding.fit(accounts, tokens, dimensions=2)
    >>> who, vectors = fitted.transform(accounts, tokens)
    >>> bool(vectors[0] @ vectors[2] > 0.99 > 0.01 > abs(vectors[0] @ vectors[1]))
    True
    """

    weights: Floats
    longest: int

    @classmethod
    def fit(
        cls, accounts: Ints, tokens: Ints, *, dimensions: int = 16, longest: int = 2, cells: int = 4096, seed: int = 0
    ) -> NgramEmbedding:
        """Learn from rows of ids [n] in time order; `cells` is a power of two.

        Raises `InvalidInput` with all problems. The same rows and seed give the same weights (signs are fixed by the
        largest weight of each direction).
        """
        problems = _unfit(accounts, tokens)
        for name, value, low, high in (
            ("dimensions", dimensions, 1, 512), ("longest", longest, 1, LONGEST), ("cells", cells, 16, MOST_CELLS)
        ):  # fmt: skip
            if not low <= value <= high or (name == "cells" and value & (value - 1)):
                allowed = f"{low} to {high}" + (", a power of two" if name == "cells" else "")
                problems.append(Problem("embedding.setting", f"{name} is {value}", Where(path=name), allowed))
        if problems:
            raise InvalidInput(problems)
        _, counts = _counts(accounts, tokens, longest, cells)
        many = counts.shape[0]
        if many <= dimensions:
            message = f"{many} accounts are too few for {dimensions} dimensions"
            raise InvalidInput(
                Problem("embedding.too_few", message, Where(path="accounts"), f"{dimensions + 1} or more")
            )
        return cls.of_bags(counts, dimensions=dimensions, longest=longest, seed=seed)

    @classmethod
    def of_bags(cls, counts: sparse.csr_matrix, *, dimensions: int, longest: int, seed: int = 0) -> NgramEmbedding:
        """Learn from weights of n-grams, float64 [accounts, cells] with more accounts than dimensions; what `fit` does
        once it has counted."""
        many = counts.shape[0]
        seen = np.asarray((counts > 0).sum(axis=0)).ravel()
        rare = np.log((1.0 + many) / (1.0 + seen)) + 1.0  # smoothed inverse document frequency
        weighed = counts @ sparse.diags(rare)
        norms = np.sqrt(np.asarray(weighed.multiply(weighed).sum(axis=1)).ravel())
        weighed = sparse.diags(1.0 / np.maximum(norms, 1e-12)) @ weighed
        svd = TruncatedSVD(dimensions, algorithm="randomized", n_iter=7, random_state=seed).fit(weighed)
        directions = svd.components_
        largest = directions[np.arange(dimensions), np.abs(directions).argmax(axis=1)]
        weights = (directions * np.where(largest < 0, -1.0, 1.0)[:, None]).T * rare[:, None]
        return cls(np.ascontiguousarray(weights), longest)

    @property
    def dimensions(self) -> int:
        """Numbers of a vector."""
        return int(self.weights.shape[1])

    def transform(self, accounts: Ints, tokens: Ints) -> tuple[Ints, Floats]:
        """The accounts of the rows [n], sorted by id, and their vectors [m, dimensions]; no vector depends on another
        account. A vector is zero where nothing that was fitted on occurs. Raises `InvalidInput`."""
        problems = _unfit(accounts, tokens)
        if problems:
            raise InvalidInput(problems)
        who, counts = _counts(accounts, tokens, self.longest, len(self.weights))
        return who, self.vectors(counts)

    def vectors(self, counts: sparse.csr_matrix) -> Floats:
        """The vectors of bags, float64 [accounts, cells]: of unit length, or zero."""
        return _unit(np.asarray(counts @ self.weights))

    def stream(self) -> AccountVector:
        """The vector of one account, to be given its tokens as they come."""
        return AccountVector(self)

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """The whole as arrays, for `numpy.savez` or a model file."""
        return {"embedding.head": np.array([FORMAT, self.longest], np.int64), "embedding.weights": self.weights}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> NgramEmbedding:
        """What `arrays` gave; raises `Corrupt` where it is none of this."""
        head, weights = arrays.get("embedding.head"), arrays.get("embedding.weights")
        if head is None or head.shape != (2,) or head.dtype != np.int64 or head[0] != FORMAT:
            raise Corrupt("embedding.head is missing or of another version")
        if not 1 <= head[1] <= LONGEST or not _floats(weights) or len(weights) & (len(weights) - 1):
            raise Corrupt("embedding.weights is no matrix of finite numbers with a power of two of rows")
        return cls(np.ascontiguousarray(weights), int(head[1]))


class AccountVector:
    """One account's running vector: `longest` tokens and `dimensions` sums, whatever it does."""

    def __init__(self, embedding: NgramEmbedding) -> None:
        self._embedding = embedding
        self._last = np.zeros(embedding.longest + 1, np.int64)
        self._cells = np.empty(embedding.longest, np.int64)
        self._sum = np.zeros(embedding.dimensions)

    def push(self, token: int) -> Floats:
        """Take the next token's id; gives the vector so far, of unit length or zero."""
        step(self._last, np.int64(token), len(self._embedding.weights), self._cells)
        for cell in self._cells.tolist():
            if cell >= 0:
                self._sum += self._embedding.weights[cell]
        out: Floats = _unit(self._sum[None])[0]
        return out


@dataclass(frozen=True)
class PeerGroups:
    """`centres` float64 [groups, dimensions], the largest group first."""

    centres: Floats

    @classmethod
    def fit(cls, vectors: Floats, groups: int = 16, seed: int = 0) -> PeerGroups:
        """k-means of vectors [m, dimensions], m ≥ groups, all finite; raises `InvalidInput`."""
        if not _floats(vectors) or not 1 <= groups <= len(vectors):
            message = f"{groups} groups of vectors {np.shape(vectors)}"
            allowed = "a matrix of finite numbers, and 1 to as many groups as it has rows"
            raise InvalidInput(Problem("embedding.groups", message, Where(path="vectors"), allowed))
        found = KMeans(groups, n_init=4, random_state=seed).fit(vectors)
        sizes = np.bincount(found.labels_, minlength=groups)
        return cls(np.asarray(found.cluster_centers_[np.argsort(-sizes, kind="stable")], dtype=np.float64))

    def assign(self, vectors: Floats) -> Ints:
        """The nearest centre of each row [m]; ties go to the larger group. Raises `InvalidInput`."""
        if not _floats(vectors) or vectors.shape[1] != self.centres.shape[1]:
            allowed = f"finite numbers, {self.centres.shape[1]} columns"
            raise InvalidInput(
                Problem("embedding.vectors", f"vectors {np.shape(vectors)}", Where(path="vectors"), allowed)
            )
        distances = ((vectors[:, None, :] - self.centres[None]) ** 2).sum(axis=2)
        return np.asarray(distances.argmin(axis=1), dtype=np.int64)

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """The whole as arrays."""
        return {"groups.head": np.array([FORMAT], np.int64), "groups.centres": self.centres}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> PeerGroups:
        """What `arrays` gave; raises `Corrupt` where it is none of this."""
        head, centres = arrays.get("groups.head"), arrays.get("groups.centres")
        if head is None or head.shape != (1,) or head[0] != FORMAT or not _floats(centres):
            raise Corrupt("groups.centres is missing, or no matrix of finite numbers, or of another version")
        return cls(np.ascontiguousarray(centres))


def _counts(accounts: Ints, tokens: Ints, longest: int, cells: int) -> tuple[Ints, sparse.csr_matrix]:
    order = np.argsort(accounts, kind="stable")
    rows, places = cells_of(accounts[order], tokens[order], longest, cells)
    who = np.unique(accounts)
    counts = sparse.csr_matrix((np.ones(len(rows)), (rows, places)), shape=(len(who), cells))
    counts.sum_duplicates()
    return who, counts


def _unit(vectors: Floats) -> Floats:
    norms = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    return np.where(norms > 1e-12, vectors / np.maximum(norms, 1e-12), 0.0)


def _floats(matrix: object) -> TypeGuard[Floats]:
    if not isinstance(matrix, np.ndarray) or matrix.dtype != np.float64 or matrix.ndim != 2 or not matrix.size:
        return False
    return bool(np.isfinite(matrix).all())


def _unfit(accounts: Ints, tokens: Ints) -> list[Problem]:
    problems = []
    for name, array in (("accounts", accounts), ("tokens", tokens)):
        if not isinstance(array, np.ndarray) or array.dtype != np.int64 or array.ndim != 1:
            what = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
            problems.append(Problem("embedding.not_ids", f"{name}: {what}", Where(path=name), "an int64 array of ids"))
    if not problems and len(accounts) != len(tokens):
        message = f"{len(accounts)} accounts and {len(tokens)} tokens"
        problems.append(Problem("embedding.lengths", message, Where(path="tokens"), "one token a row"))
    if not problems and not len(accounts):
        problems.append(Problem("embedding.too_few", "there are no rows", Where(path="accounts"), "one row or more"))
    return problems
