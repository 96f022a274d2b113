"""Bursts: more accounts on one object in a short time than its own rate and everybody's let expect.

A scan statistic. From each action on an object a window is opened; how many of the object's other actions fall into it
is set against all actions of the table that do. Where times have nothing to do with objects, the object's other n - 1
actions are a sample of the N - 1 others, so their number in a window that holds M of those has a hypergeometric
distribution; its tail is bounded by the binomial of n - 1 trials with M / (N - 1). False discoveries are controlled
over all windows opened (Benjamini and Hochberg; windows overlap, and tests that rise together keep its promise).
An account counts once an object, with one of its actions there: one person's hundred visits are no burst.

What it cannot tell: why. A press day, a sale or an outage is a burst as well as a bought one; where such things happen
beside abuse, a group found here is a question, not an answer. Kulldorff (1997) for scan statistics. Pure arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import betainc

from shoal.coordination.coaction.significance import q_values

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Bursts:
    """Stretches of an object's actions, none overlapping another of its object, sorted by (object, first).

    `object`, `first`, `last`, `accounts` int64 [bursts]; `p`, `q` float64: of its most telling window; `window_s`: the
    length of that. `member_start` int64 [bursts + 1] into `member` int64: the accounts, ascending.
    """

    object: Ints
    first: Ints
    last: Ints
    accounts: Ints
    p: Floats
    q: Floats
    window_s: Ints
    member_start: Ints
    member: Ints
    tested: int

    @property
    def size(self) -> int:
        """Number of bursts."""
        return len(self.object)

    @property
    def of(self) -> Ints:
        """The burst of each entry of `member`, int64."""
        return np.repeat(np.arange(self.size), np.diff(self.member_start))


@dataclass(frozen=True)
class Windows:
    """A window opened at each action: `end` int64 [actions], the place behind its last one; how many actions of its
    object it holds (`inside`), of everybody (`everybody`), and `p` float64."""

    end: Ints
    inside: Ints
    everybody: Ints
    p: Floats


def once(account: Ints, object_: Ints, time: Ints) -> tuple[Ints, Ints, Ints]:
    """One action of each account on each object, sorted by (object, time, account): any one, told by their numbers.

    Not the first: the first visits to a place with regulars all lie at the beginning of the table.
    """
    order = np.lexsort((time, account, object_))
    account, object_, time = account[order], object_[order], time[order]
    new = np.ones(len(order), bool)
    new[1:] = (account[1:] != account[:-1]) | (object_[1:] != object_[:-1])
    begin = np.flatnonzero(new)
    often = np.diff(np.append(begin, len(order)))
    chosen = begin + (_mixed(account[begin], object_[begin]) % often.astype(np.uint64)).astype(np.int64)
    account, object_, time = account[chosen], object_[chosen], time[chosen]
    order = np.lexsort((account, time, object_))
    return account[order], object_[order], time[order]


def _mixed(account: Ints, object_: Ints) -> npt.NDArray[np.uint64]:
    """Two numbers mixed to one that tells neither (the finisher of SplitMix64; Steele et al., OOPSLA 2014)."""
    mixed = account.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + object_.astype(np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(mixed ^ (mixed >> np.uint64(31)))


def opened(object_: Ints, time: Ints, window: int, least: int) -> Windows:
    """The windows of a length (µs) at each action; `object_` and `time` sorted by both. p is 1 below `least`."""
    size = len(time)
    _, code, count = np.unique(object_, return_inverse=True, return_counts=True)
    everybody = np.sort(time)
    rank = np.empty(size, np.int64)
    rank[np.argsort(time, kind="stable")] = np.arange(size)
    low, high = np.searchsorted(everybody, time), np.searchsorted(everybody, time + window, "right")
    key = code * (size + 1) + rank  # ascending: by object, then by time
    begin, end = np.searchsorted(key, code * (size + 1) + low), np.searchsorted(key, code * (size + 1) + high)
    inside, within, others = end - begin, high - low, count[code] - 1
    p = np.ones(size)
    at = np.flatnonzero((inside >= max(least, 2)) & (inside - 1 > others * (within - 1) / max(size - 1, 1)))
    met = inside[at] - 1
    p[at] = betainc(met, others[at] - met + 1, (within[at] - 1) / max(size - 1, 1))
    return Windows(end, inside, within, p)


def find_bursts(account: Ints, object_: Ints, time: Ints, windows_s: tuple[int, ...], least: int, fdr: float) -> Bursts:
    """Bursts of at least `least` accounts, at a false-discovery rate over all windows of all lengths."""
    account, object_, time = once(account, object_, time)
    size = len(time)
    ends, p = np.zeros((len(windows_s), size), np.int64), np.ones((len(windows_s), size))
    for i, length in enumerate(windows_s):
        one = opened(object_, time, length * 1_000_000, least) if size else Windows(ends[i], ends[i], ends[i], p[i])
        ends[i], p[i] = one.end, one.p
    tested = p.size
    q = q_values(p.ravel(), tested).reshape(p.shape)
    good = q <= fdr
    reach = np.where(good, ends, 0).max(axis=0, initial=0)  # behind the last action that a window from here holds
    return _merged(account, object_, time, p, q, reach, windows_s, tested)


def _merged(
    account: Ints, object_: Ints, time: Ints, p: Floats, q: Floats, reach: Ints, windows_s: tuple[int, ...], tested: int
) -> Bursts:
    """Windows that overlap as one burst; they never leave their object."""
    size = len(time)
    inside = np.maximum.accumulate(reach) > np.arange(size) if size else np.zeros(0, bool)
    begins = (
        np.flatnonzero(inside & (reach > 0) & ~np.concatenate([[False], inside[:-1]])) if size else np.zeros(0, int)
    )
    edge = (
        np.flatnonzero(inside[1:] & (np.maximum.accumulate(reach)[:-1] <= np.arange(1, size))) + 1 if size else begins
    )
    begins = np.union1d(begins, edge).astype(np.int64)
    stops = np.maximum.accumulate(reach)[np.append(begins[1:], size) - 1] if len(begins) else begins
    rows = [np.arange(start, stop) for start, stop in zip(begins, stops, strict=True)]
    best = [np.unravel_index(int(np.argmin(p[:, one])), (len(p), len(one))) for one in rows]
    lengths = np.asarray([len(one) for one in rows], np.int64)
    flat = np.concatenate([np.zeros(0, np.int64), *(np.sort(account[one]) for one in rows)])
    return Bursts(
        object_[begins], time[begins], time[stops - 1], lengths,
        np.asarray([p[i, begin + j] for (i, j), begin in zip(best, begins, strict=True)], np.float64),
        np.asarray([q[i, begin + j] for (i, j), begin in zip(best, begins, strict=True)], np.float64),
        np.asarray([windows_s[i] for i, _ in best], np.int64),
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), flat, tested,
    )  # fmt: skip
