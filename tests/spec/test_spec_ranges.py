"""What named lists and ranges do, as tables."""

import pyarrow as pa
import pytest

from shoal.errors import InvalidInput
from shoal.ranges import IntervalTable, NamedList, parse_addresses, parse_network, prefix_texts


def test_the_most_specific_range_speaks() -> None:
    table = IntervalTable.of([parse_network(text) for text in ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "::/0")])
    hi, lo, version = parse_addresses(
        pa.array(["10.9.9.9", "10.1.9.9", "10.1.2.3", "11.0.0.1", "2001:db8::1", "x", None])
    )
    assert table.lookup(hi, lo, version).tolist() == [0, 1, 2, -1, 3, -1, -1]


def test_prefixes() -> None:
    texts = pa.array(["192.0.2.77", "::ffff:192.0.2.77", "2001:db8:0:1::9", "0:0:5::1", "::1", "office", None])
    found = ["192.0.2.0/24", "192.0.2.0/24", "2001:db8::/48", "0:0:5::/48", "::/48", None, None]
    assert prefix_texts(*parse_addresses(texts)).to_pylist() == found


def test_a_list_of_addresses_and_a_list_of_texts() -> None:
    office = NamedList.of("office", ["192.0.2.0/24", "2001:db8::1-2001:db8::9"])
    assert office.contains(pa.array(["192.0.2.9", "2001:db8::5", "2001:db8::a", "office", None])).tolist() == [
        True,
        True,
        False,
        False,
        False,
    ]
    partners = NamedList.of("partners", ["a.example"])
    assert partners.contains(pa.array(["a.example", "A.example", "b.a.example", None])).tolist() == [
        True,
        False,
        False,
        False,
    ]


def test_all_mistakes_are_told_together() -> None:
    with pytest.raises(InvalidInput) as caught:
        NamedList.of("office", ["192.0.2.0/24", "10.0.0.1/8", "ofice"])
    assert str(caught.value).splitlines() == [
        "[office[1]]: '10.0.0.1/8' has bits set behind its prefix length [lists.host_bits]",
        "[office[2]]: 'ofice' is no address, CIDR or first-last range; allowed: 192.0.2.7, 192.0.2.0/24, "
        "2001:db8::/32, 192.0.2.1-192.0.2.9 (if this is a list of texts, say so: kind: text) [lists.bad_address]",
    ]
