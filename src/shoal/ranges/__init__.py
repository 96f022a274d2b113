"""Ranges: named lists and interval tables with sorted search; enrich, expressions and intel use them.

`addresses_kernel` reads and writes address texts in bulk, `intervals` finds the most specific range of an address,
`lists` holds the named lists of packs and of the user. Everything here is immutable once built and knows no event.
"""

from shoal.ranges.addresses_kernel import parse_addresses, prefix_texts
from shoal.ranges.intervals import IntervalTable, Network, parse_network
from shoal.ranges.lists import NamedList

__all__ = ["IntervalTable", "NamedList", "Network", "parse_addresses", "parse_network", "prefix_texts"]
