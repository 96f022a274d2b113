"""Owners whose sets are alike: MinHash and bands propose, the exact comparison disposes.

Popular items join nobody (a stock photo, a default folder): those in more sets than a cap are dropped before anything
is hashed, and what remains counts by its rarity. Sets that agree in a band are candidates; a crowded band pairs each
set with the next few only, so pairs grow with sets. Each candidate is compared item by item, so a false candidate costs
time and never a wrong word. Pure; deterministic for a seed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from shoal.coordination.content.minhash_kernel import bands, compare, signatures
from shoal.coordination.content.sets import Ints, Sets
from shoal.coordination.evidence import PairEvidence, empty
from shoal.coordination.graph import EntityGraph
from shoal.errors import InvalidInput, Problem, Where

Floats = npt.NDArray[np.float64]
SOURCE = "content"
MOST = 10.0
"""Alike contents alone never tell more than e^10 to one."""
MOST_ITEM = 5.0
ONE_HAND = 0.3
"""How often an item of one account of a hand is found with another of its accounts; strangers have it by its share."""


@dataclass(frozen=True)
class ContentSettings:
    """How sets are compared. Raises `InvalidInput` (`content.setting`) with all problems.

    `bands` of `rows` places each: a pair of similarity s is proposed with probability 1 - (1 - s^rows)^bands (40 and
    3: 0.99 at 0.5, 0.66 at 0.3). An item in more than `cap` sets and more than `cap_share` of all sets joins nobody.
    Sets of fewer than `least_items` items that may join are not compared; pairs need `least_shared` items in common
    and a similarity (by rarity) of `similarity`. `neighbours`: pairs of one set in one band, at most.
    """

    bands: int = 40
    rows: int = 3
    cap: int = 200
    cap_share: float = 0.005
    least_items: int = 2
    least_shared: int = 2
    similarity: float = 0.2
    neighbours: int = 16
    seed: int = 1

    def __post_init__(self) -> None:
        bounds = {
            "bands": (1, 1_024), "rows": (1, 32), "cap": (2, 10**9), "cap_share": (0.0, 1.0), "least_items": (1, 10**6),
            "least_shared": (1, 10**6), "similarity": (0.0, 1.0), "neighbours": (1, 10_000), "seed": (0, 2**32),
        }  # fmt: skip
        problems = []
        for field in fields(self):
            value, (low, high) = getattr(self, field.name), bounds[field.name]
            whole = field.type == "int"
            right = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not right or (whole and value != int(value)) or not low <= value <= high:
                allowed = f"{'a whole number' if whole else 'a number'}, {low:g} to {high:g}"
                problems.append(
                    Problem("content.setting", f"{field.name} is {value!r}", Where(path=field.name), allowed)
                )
        if problems:
            raise InvalidInput(problems)


@dataclass(frozen=True)
class Similar:
    """Pairs of alike sets, `left < right` (places in the sets), sorted. `shared` int64: rare items in both;
    `similarity` float64 in (0, 1]: Jaccard by rarity; `llr` float64. `proposed`: candidates that were compared;
    `dropped`: items that join nobody."""

    sets: Sets
    left: Ints
    right: Ints
    shared: Ints
    similarity: Floats
    llr: Floats
    proposed: int
    dropped: int

    def evidence(self, graph: EntityGraph) -> PairEvidence:
        """As evidence over the accounts of a graph (source `content`); owners that it does not know are left out."""
        code = graph.codes(self.sets.owner)
        one, other = code[self.left], code[self.right]
        known = (one >= 0) & (other >= 0)
        if not known.any():
            return empty(SOURCE)
        low, high = np.minimum(one, other), np.maximum(one, other)
        order = np.lexsort((high, low))
        order = order[known[order]]
        return PairEvidence(SOURCE, low[order], high[order], self.llr[order], self.shared[order])


def minhash(sets: Sets, permutations: int, seed: int = 1) -> npt.NDArray[np.uint32]:
    """Signatures, uint32 [sets, permutations]: the share of places in which two agree estimates their Jaccard
    similarity, with a standard error of sqrt(s (1 - s) / permutations). About 1 ns an item and permutation."""
    rng = np.random.default_rng(seed)
    multiply = rng.integers(1, 1 << 63, permutations, np.uint64) * np.uint64(2) + np.uint64(1)
    add = rng.integers(0, 1 << 63, permutations, np.uint64)
    out = np.empty((sets.size, permutations), np.uint32)
    signatures(sets.start, sets.item, multiply, add, out)
    return out


def band_keys(sets: Sets, count: int, rows: int, seed: int = 1) -> Ints:
    """Keys of bands, int64 [sets, count]: sets with one key in common agree in `rows` places."""
    out = np.empty((sets.size, count), np.int64)
    bands(minhash(sets, count * rows, seed), rows, out)
    return out


def rare_only(sets: Sets, cap: int, cap_share: float = 0.0, least_items: int = 1) -> tuple[Sets, Ints, int]:
    """The sets less their popular items and less those that are left with too few: (sets, place of each among the
    given ones, number of items dropped)."""
    values, inverse, counts = np.unique(sets.item, return_inverse=True, return_counts=True)
    popular = counts > max(cap, cap_share * sets.size)
    keep = ~popular[inverse.reshape(-1)] if len(values) else np.zeros(0, bool)
    left = (
        np.add.reduceat(np.append(keep, False), np.minimum(sets.start[:-1], len(keep))) if sets.size else sets.start[:0]
    )
    left = np.where(sets.sizes > 0, left, 0)
    kept = np.flatnonzero(left >= least_items)
    enough = np.zeros(sets.size, bool)
    enough[kept] = True
    keep &= np.repeat(enough, sets.sizes)
    start = np.concatenate([[0], np.cumsum(left[kept])]).astype(np.int64)
    out = Sets(sets.owner[kept], start, sets.item[keep], sets.first[kept], sets.last[kept])
    return out, kept, int(popular.sum())


def similar(sets: Sets, settings: ContentSettings | None = None) -> Similar:
    """Pairs of owners whose sets are alike beyond what popularity explains."""
    settings = settings or ContentSettings()
    rare, place, dropped = rare_only(sets, settings.cap, settings.cap_share, settings.least_items)
    left, right = _candidates(band_keys(rare, settings.bands, settings.rows, settings.seed), settings.neighbours)
    shared, alike, llr = exact(rare, left, right, sets.size)
    good = (shared >= settings.least_shared) & (alike >= settings.similarity) & (llr > 0)
    out = (place[left[good]], place[right[good]], shared[good], alike[good], np.minimum(llr[good], MOST))
    return Similar(sets, *out, proposed=len(left), dropped=dropped)


def exact(sets: Sets, left: Ints, right: Ints, of: int) -> tuple[Ints, Floats, Floats]:
    """Compare pairs of sets item by item: (items shared, similarity by rarity, log-likelihood ratio), `of` being the
    number of owners among whom an item is rare or not. Cost: the sum of the sizes of the pairs."""
    _, inverse, counts = np.unique(sets.item, return_inverse=True, return_counts=True)
    share = np.clip(counts / max(of, 2), 1e-9, 0.999)
    weight = np.log(1.0 / share)
    spoken = np.clip(np.log(ONE_HAND / share), 0.0, MOST_ITEM)
    silent = np.log((1 - ONE_HAND) / (1 - np.minimum(share, ONE_HAND)))
    back = inverse.reshape(-1)
    size = len(left)
    shared = np.zeros(size, np.int64)
    inside, outside, llr = np.zeros(size), np.zeros(size), np.zeros(size)
    compare(
        sets.start, sets.item, spoken[back], silent[back], weight[back], left, right, shared, inside, outside, llr
    )  # fmt: skip
    return shared, inside / np.maximum(outside, 1e-12), llr


def _candidates(keys: Ints, neighbours: int) -> tuple[Ints, Ints]:
    """Sets that have a band in common: (left, right), left < right, each pair once, sorted."""
    size = keys.shape[0]
    found = []
    for band in range(keys.shape[1]):
        order = np.argsort(keys[:, band], kind="stable")
        arranged = keys[order, band]
        for step in range(1, min(neighbours, size - 1) + 1):
            same = np.flatnonzero(arranged[step:] == arranged[:-step])
            if not len(same):
                break
            found.append(order[same] * size + order[same + step])
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    pairs = np.unique(np.concatenate(found))
    return pairs // size, pairs % size
