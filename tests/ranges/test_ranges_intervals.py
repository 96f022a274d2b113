"""Interval tables equal a linear scan: overlaps, equal ranges, both versions, the ends of the space."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oracles import ranges_oracle as oracle
from shoal.ranges import IntervalTable, Network, parse_network

V4, TOP = 0xFFFF << 32, 2**128 - 1
POINTS = st.one_of(
    st.integers(0, 12),
    st.integers(V4 - 3, V4 + 8),
    st.integers(V4 + 2**32 - 4, V4 + 2**32 + 3),
    st.integers(2**64 - 3, 2**64 + 3),
    st.integers(TOP - 4, TOP),
)
RANGES = st.lists(st.tuples(POINTS, POINTS).map(lambda p: (min(p), max(p))), max_size=12)


def look(table: IntervalTable, addresses: list[int]) -> list[int]:
    hi = np.array([a >> 64 for a in addresses], dtype=np.uint64)
    lo = np.array([a & (2**64 - 1) for a in addresses], dtype=np.uint64)
    return table.lookup(hi, lo).tolist()


@settings(max_examples=200, deadline=None)
@given(RANGES, st.lists(POINTS, min_size=1, max_size=20))
@example([(0, TOP)], [V4, V4 - 1, TOP, 0])
@example([(0, 5), (0, 5), (3, 9)], [0, 3, 5, 9, 10])
def test_lookup_equals_a_linear_scan(ranges: list[tuple[int, int]], addresses: list[int]) -> None:
    table = IntervalTable.of([Network(*pair) for pair in ranges])
    assert look(table, addresses) == [oracle.most_specific(ranges, a) for a in addresses]


def test_neighbours_with_one_payload_are_one_piece() -> None:
    table = IntervalTable.of([parse_network("192.0.2.0/25"), parse_network("192.0.2.128/25")], rows=[7, 7])
    assert len(table) == 3  # nothing, 7, nothing
    assert look(table, [V4 | 0xC0000200, V4 | 0xC00002FF, V4 | 0xC0000300]) == [7, 7, -1]


def test_an_empty_table_and_rows_that_are_no_address() -> None:
    assert look(IntervalTable.of([]), [0, TOP]) == [-1, -1]
    table = IntervalTable.of([parse_network("::/127")])
    zero = np.zeros(2, np.uint64)
    assert table.lookup(zero, zero, np.array([6, 0], np.int8)).tolist() == [0, -1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no address"),
        ("10.0.0.1/8", "bits set behind"),
        ("10.0.0.0/33", "prefix length"),
        ("10.0.0.0/", "prefix length"),
        ("10.0.0.0/255.0.0.0", "prefix length"),
        ("10.0.0.9-10.0.0.1", "ends before"),
        ("10.0.0.9-::1", "mixes"),
        ("10.0.0.9-", "no address"),
        ("2001:db8::1/32", "bits set behind"),
        ("office", "no address"),
    ],
)
def test_malformed_networks(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_network(text)


@pytest.mark.parametrize(("first", "last"), [(3, 2), (-1, 2), (0, 2**128)])
def test_impossible_ranges(first: int, last: int) -> None:
    with pytest.raises(ValueError, match="no range"):
        Network(first, last)
