"""Fitted trees from LightGBM's text format, verified and laid out for the scorer.

A model file is input from outside: its size, its trees, their indices, depth and numbers are checked before anything
is scored, and every problem is told with its line. `Trees` is immutable by convention and shared by threads; it knows
numbers only, neither metadata nor words. Categorical splits, linear leaves, several classes and averaged forests are
refused: Shoal's inputs are numbers, its answer is one sum.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoal.detectors.models.text import Block, read_blocks
from shoal.detectors.models.trees_kernel import LAST, LEFT_BITS, SLOT_BITS, score
from shoal.errors import Where

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Trees:
    """Trees in the layout of the kernels; node numbers run over all trees.

    `nodes` uint64 [N]: `rank << 47 | slot << 31 | left`, the right child behind the left one, a leaf with rank 65,535
    and itself as left. Within a tree the nodes that more training rows passed come first, so that the usual path lies
    in few cache lines. `values` [N]: of leaves, 0 elsewhere. `covers` [N]: training rows that passed. `roots` uint64,
    `depths`, `order` (trees by rising depth) [T]. `slots` int32 [S, 2], `starts` int64 [d + 1], `cuts`: see
    `trees_kernel.encode`.
    """

    names: tuple[str, ...]
    nodes: npt.NDArray[np.uint64]
    values: Floats
    covers: Floats
    roots: npt.NDArray[np.uint64]
    depths: Ints
    order: Ints
    slots: npt.NDArray[np.int32]
    starts: Ints
    cuts: Floats

    @classmethod
    def read(cls, data: bytes, where: Where) -> Trees:
        """Parse and verify `data`, LightGBM's text format v4.

        Raises `InvalidInput` with all problems, `Unsupported` for a version or a kind of model that is not scored.
        """
        names, blocks = read_blocks(data, where)
        return _lay_out(names, blocks)

    @property
    def inputs(self) -> int:
        """How many columns a row has."""
        return len(self.names)

    @property
    def count(self) -> int:
        """How many trees there are."""
        return len(self.roots)

    def raw(self, x: Floats) -> Floats:
        """Raw sums [n] of the rows `x` float64 [n, d], C-contiguous; NaN is a missing value.

        A row's sum does not depend on its neighbours, and is LightGBM's own to the last bit.
        """
        out = np.empty(len(x))
        score(x, self.nodes, self.values, self.roots, self.depths, self.order, self.slots, self.starts, self.cuts, out)
        return out


def _lay_out(names: tuple[str, ...], blocks: list[Block]) -> Trees:
    cuts, starts = _cuts(len(names), blocks)
    slots, slot_of = _slots(blocks)
    total = sum(2 * block.leaves - 1 for block in blocks)
    nodes, values, covers = np.empty(total, np.uint64), np.zeros(total), np.empty(total)
    roots, depths = np.empty(len(blocks), np.uint64), np.empty(len(blocks), np.int64)
    first = 0
    for t, block in enumerate(blocks):
        size = 2 * block.leaves - 1
        here = slice(first, first + size)
        roots[t], depths[t] = first, block.depth
        _place(block, first, nodes[here], values[here], covers[here], slot_of, cuts, starts)
        first += size
    order = np.argsort(depths, kind="stable")
    return Trees(names, nodes, values, covers, roots, depths, order, slots, starts, cuts)


def _cuts(width: int, blocks: list[Block]) -> tuple[Floats, Ints]:
    """The distinct thresholds of each input, sorted, one input behind the other."""
    features = np.concatenate([block.feature for block in blocks])
    thresholds = np.concatenate([block.threshold for block in blocks])
    each = [np.unique(thresholds[features == column]) for column in range(width)]
    starts = np.concatenate([[0], np.cumsum([len(cut) for cut in each])]).astype(np.int64)
    return np.concatenate([*each, np.zeros(1)]), starts


def _slots(blocks: list[Block]) -> tuple[npt.NDArray[np.int32], dict[tuple[int, int], int]]:
    """The distinct pairs of input and missing rule. Without missing values the default direction says nothing."""
    seen = {
        (int(column), int(rule)) for block in blocks for column, rule in zip(block.feature, block.rule, strict=True)
    }
    pairs = sorted(seen)
    return np.array(pairs, np.int32).reshape(len(pairs), 2), {pair: i for i, pair in enumerate(pairs)}


def _place(
    block: Block,
    first: int,
    nodes: npt.NDArray[np.uint64],
    values: Floats,
    covers: Floats,
    slot_of: dict[tuple[int, int], int],
    cuts: Floats,
    starts: Ints,
) -> None:
    """Write one tree: siblings side by side, the pairs under the most covered nodes first."""
    waiting = [(-block.cover(0 if block.leaves > 1 else -1), 0, 0 if block.leaves > 1 else -1)]
    free = 1
    while waiting:
        cover, place, node = heapq.heappop(waiting)
        covers[place] = -cover
        if node < 0:
            nodes[place] = LAST << (LEFT_BITS + SLOT_BITS) | (first + place)
            values[place] = block.value[~node]
            continue
        column = int(block.feature[node])
        rank = int(np.searchsorted(cuts[starts[column] : starts[column + 1]], block.threshold[node]))
        slot = slot_of[column, int(block.rule[node])]
        nodes[place] = rank << (LEFT_BITS + SLOT_BITS) | slot << LEFT_BITS | (first + free)
        for side, child in enumerate((int(block.left[node]), int(block.right[node]))):
            heapq.heappush(waiting, (-block.cover(child), free + side, child))
        free += 2
