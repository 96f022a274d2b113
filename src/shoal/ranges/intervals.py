"""Interval tables: which range holds an address."""

from __future__ import annotations
from collections.abc import Sequence
from dataclasses import dataclass
import numpy as np
import numpy.typing as npt
from shoal.ranges.addresses_kernel import UInt64s


@dataclass(frozen=True)
class Network:
    """A range of addresses: first and last as 128-bit integers (IPv4 as ::ffff:a.b.c.d)."""

    first: int
    last: int


def parse_network(text: str) -> Network:
    """An address, a CIDR or `first-last`; raises ValueError with the reason."""
    raise NotImplementedError


class IntervalTable:
    """Sorted, non-overlapping intervals in one 128-bit space, each with the row of its payload."""

    @classmethod
    def of(cls, networks: Sequence[Network], rows: Sequence[int] | None = None) -> IntervalTable:
        """Build from ranges (row i of the payload for range i unless `rows` is given); the most specific wins."""
        raise NotImplementedError

    def lookup(self, hi: UInt64s, lo: UInt64s) -> npt.NDArray[np.int32]:
        """The payload row of the most specific range that holds each address, or -1."""
        raise NotImplementedError
