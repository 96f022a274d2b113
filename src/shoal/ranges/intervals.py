"""Interval tables: which range holds an address, the most specific one winning. Hot path.

A table cuts the one 128-bit space (see `addresses_kernel`) into pieces that do not overlap; each piece has the payload
row of the smallest range that holds it (of equal ranges the later one), or -1. A look-up is one sorted search. A piece
takes 20 bytes, and neighbours with the same row are one piece. Immutable once built; knows nothing of what the rows
mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shoal.ranges.addresses_kernel import (
    BAD_PREFIX,
    HOST_BITS,
    LAST_BEFORE_FIRST,
    MIXED_VERSIONS,
    NOT_ADDRESS,
    V4_HIGH,
    Int8s,
    Int32s,
    UInt64s,
    parse_networks,
)
from shoal.ranges.intervals_kernel import search, sweep

V4_FIRST, V4_LAST = V4_HIGH, V4_HIGH | 0xFFFFFFFF
LAST_ADDRESS = 2**128 - 1
_LOW = 2**64 - 1

RANGE_PROBLEMS: dict[int, str] = {
    NOT_ADDRESS: "is no address, CIDR or first-last range",
    BAD_PREFIX: "has a prefix length that is no number within the address's size",
    HOST_BITS: "has bits set behind its prefix length",
    LAST_BEFORE_FIRST: "ends before it begins",
    MIXED_VERSIONS: "mixes IPv4 and IPv6",
}
"""State of `parse_networks` → what is wrong with the text, in words."""


@dataclass(frozen=True)
class Network:
    """A range of addresses in the one space: first and last, both within it."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last <= LAST_ADDRESS:
            raise ValueError(f"no range: {self.first} to {self.last}")


def parse_network(text: str) -> Network:
    """An address, a CIDR or `first-last`; raises ValueError saying what is wrong.

    >>> parse_network("::/127")
    Network(first=0, last=1)
    """
    first_hi, first_lo, last_hi, last_lo, state = parse_networks(pa.array([text], pa.string()))
    if state[0]:
        raise ValueError(f"{text!r} {RANGE_PROBLEMS[int(state[0])]}")
    return Network(int(first_hi[0]) << 64 | int(first_lo[0]), int(last_hi[0]) << 64 | int(last_lo[0]))


class IntervalTable:
    """Sorted intervals that do not overlap, each with the row of its payload; see the module's docstring.

    An IPv6 range that is larger than the IPv4 block ::ffff:0:0/96 does not speak for IPv4 addresses: `::/0` holds no
    IPv4 address.
    """

    def __init__(self, start_hi: UInt64s, start_lo: UInt64s, rows: Int32s) -> None:
        self._hi, self._lo, self._rows = start_hi, start_lo, rows

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._hi.nbytes + self._lo.nbytes + self._rows.nbytes

    @classmethod
    def of(cls, networks: Sequence[Network], rows: Sequence[int] | None = None) -> IntervalTable:
        """Build from ranges; range i has payload row i unless `rows` is given."""
        firsts, lasts = [n.first for n in networks], [n.last for n in networks]
        first = np.array([[n >> 64 for n in firsts], [n & _LOW for n in firsts]], dtype=np.uint64)
        last = np.array([[n >> 64 for n in lasts], [n & _LOW for n in lasts]], dtype=np.uint64)
        given = np.arange(len(firsts)) if rows is None else np.asarray(rows)
        return cls.of_halves(first, last, given.astype(np.int32))

    @classmethod
    def of_halves(cls, first: UInt64s, last: UInt64s, rows: Int32s) -> IntervalTable:
        """Build from uint64[2, n] halves of the first and last addresses and int32[n] payload rows (≥ 0).

        n log n; 250,000 ranges take about 0.1 s.
        """
        size_lo = last[1] - first[1]
        size_hi = last[0] - first[0] - (last[1] < first[1]).astype(np.uint64)
        order = np.arange(len(rows))
        first, last, pick = _without_ipv4(first, last)
        size_hi, size_lo, order, rows = size_hi[pick], size_lo[pick], order[pick], rows[pick]
        best = np.lexsort((-order, size_lo, size_hi))
        rank_of = np.empty(len(rows), dtype=np.int64)
        rank_of[best] = np.arange(len(rows))
        points = _cut_points(first, last)
        found = sweep(points, first, last, np.lexsort((first[1], first[0])), rows[best].astype(np.int32), rank_of)
        keep = np.ones(len(found), dtype=np.bool_)
        keep[1:] = found[1:] != found[:-1]
        return cls(points[0][keep].copy(), points[1][keep].copy(), found[keep].copy())

    def lookup(self, hi: UInt64s, lo: UInt64s, version: Int8s | None = None) -> npt.NDArray[np.int32]:
        """The payload row of the most specific range that holds each address, or -1; int32[n].

        Where `version` (of `parse_addresses`) is given, rows that are no address get -1; without it they would be
        taken for `::`.
        """
        out = np.empty(len(hi), dtype=np.int32)
        search(self._hi, self._lo, self._rows, hi, lo, out)
        if version is not None:
            out[version == 0] = -1
        return out


def _without_ipv4(first: UInt64s, last: UInt64s) -> tuple[UInt64s, UInt64s, npt.NDArray[np.int64]]:
    """Cut the IPv4 block out of each range that reaches beyond it; also which range each piece is of."""
    low, high = np.uint64(V4_FIRST), np.uint64(V4_LAST)
    zero = np.uint64(0)
    starts_below = (first[0] == zero) & (first[1] < low)
    ends_above = (last[0] > zero) | (last[1] > high)
    meets = (first[0] == zero) & (first[1] <= high) & ((last[0] > zero) | (last[1] >= low))
    beyond = meets & (starts_below | ends_above)
    plain = np.flatnonzero(~beyond)
    left, right = np.flatnonzero(beyond & starts_below), np.flatnonzero(beyond & ends_above)
    pick = np.concatenate([plain, left, right])
    starts, ends = first[:, pick].copy(), last[:, pick].copy()
    begin, end = len(plain), len(plain) + len(left)
    ends[0, begin:end], ends[1, begin:end] = 0, V4_FIRST - 1
    starts[0, end:], starts[1, end:] = 0, V4_LAST + 1
    return starts, ends, pick


def _cut_points(first: UInt64s, last: UInt64s) -> UInt64s:
    """0, each first and each last + 1, sorted and distinct; uint64[2, p]."""
    top = np.uint64(2**64 - 1)
    one = np.uint64(1)
    after = last[:, ~((last[0] == top) & (last[1] == top))]
    after_lo = after[1] + one
    after_hi = after[0] + (after_lo == 0).astype(np.uint64)
    hi = np.concatenate([np.zeros(1, np.uint64), first[0], after_hi])
    lo = np.concatenate([np.zeros(1, np.uint64), first[1], after_lo])
    order = np.lexsort((lo, hi))
    hi, lo = hi[order], lo[order]
    keep = np.ones(len(hi), dtype=np.bool_)
    keep[1:] = (hi[1:] != hi[:-1]) | (lo[1:] != lo[:-1])
    return np.stack([hi[keep], lo[keep]])
