"""Address texts in bulk equal Python's `ipaddress`, valid or not, nulls, slices and all."""

import ipaddress

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles import ranges_oracle as oracle
from shoal.ranges import parse_addresses, prefix_texts
from shoal.ranges.addresses_kernel import parse_networks

VALID = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(str),
    st.ip_addresses(v=6).map(lambda a: a.exploded.upper()),
    st.ip_addresses(v=4).map(lambda a: f"::ffff:{a}"),
    st.ip_addresses(v=4).map(lambda a: f"64:ff9b::{a}"),
    st.integers(0, 2**128 - 1).map(lambda n: str(ipaddress.IPv6Address(n & (2**128 - 2**64) | n & 0xFF))),
)
NEAR = st.text(alphabet="0123456789abfFg:.%/ -", max_size=24)
PIECES = st.lists(
    st.sampled_from(["", "0", "00", "1", "255", "256", "ffff", "1ffff", "g", "1.2.3.4", ":", "::"]), max_size=10
)
NEAR_PIECES = st.one_of(PIECES.map(":".join), PIECES.map(".".join), PIECES.map("".join))


def mutated(texts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def change(pair: tuple[str, int, str]) -> str:
        text, at, piece = pair
        at %= len(text) + 1
        return text[:at] + piece + text[at + len(piece) // 2 :]

    return st.tuples(texts, st.integers(0, 60), st.sampled_from(["", ":", ".", "::", "0", "%a", "%", "é", " "])).map(
        change
    )


ANY = st.one_of(st.none(), VALID, mutated(VALID), NEAR, NEAR_PIECES, st.text(max_size=12))


def values(texts: list[str | None], array: pa.Array | None = None) -> list[tuple[int, int]]:
    hi, lo, version = parse_addresses(pa.array(texts, pa.string()) if array is None else array)
    return [(int(h) << 64 | int(x), int(v)) for h, x, v in zip(hi, lo, version, strict=True)]


@settings(max_examples=300, deadline=None)
@given(st.lists(ANY, max_size=12))
def test_addresses_equal_python(texts: list[str | None]) -> None:
    assert values(texts) == [oracle.parse_address(text) for text in texts]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(st.none(), VALID), max_size=12), st.integers(0, 4))
def test_prefixes_equal_python_also_in_slices(texts: list[str | None], skip: int) -> None:
    array = pa.array(texts, pa.string()).slice(min(skip, len(texts)))
    found = prefix_texts(*parse_addresses(array))
    found.validate(full=True)
    assert found.to_pylist() == [oracle.prefix_text(text) for text in texts[min(skip, len(texts)) :]]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.256",
        "01.2.3.4",
        "1.2.3.4 ",
        " 1.2.3.4",
        "1.2.3.4/24",
        "1.2.3.4:80",
        "1..2.3",
        "١.2.3.4",
        "host.example",
        "1.2.3.-4",
        ":",
        ":::",
        "1::2::3",
        "1:2:3:4:5:6:7",
        "1:2:3:4:5:6:7:8:9",
        "1:2:3:4:5:6:7:8::",
        "::1:2:3:4:5:6:7:8",
        "12345::",
        "g::",
        "[::1]",
        "::1%",
        "::1%a%b",
        "::1%a/b",
        "::1.2.3",
        "::1.2.3.4.5",
        "1.2.3.4::",
        "1:2:3:4:5:6:7:1.2.3.4",
        "::1:",
        ":1::",
        "0x7f.0.0.1",
        "2130706433",
    ],
)
def test_malformed_addresses(text: str) -> None:
    assert oracle.parse_address(text)[1] == 0
    assert values([text]) == [(0, 0)]


def test_mapped_ipv6_is_the_ipv4_address() -> None:
    assert values(["::ffff:192.0.2.7"]) == values(["192.0.2.7"]) == values(["::FFFF:c000:207"])
    assert prefix_texts(*parse_addresses(pa.array(["::ffff:192.0.2.7"]))).to_pylist() == ["192.0.2.0/24"]


def test_other_text_arrays_are_read() -> None:
    plain = pa.array(["192.0.2.7", None, "::1"])
    want = values([], plain)
    assert values([], plain.cast(pa.large_string())) == want
    assert values([], plain.dictionary_encode()) == want
    assert values([], pa.chunked_array([plain.slice(0, 1), plain.slice(1)])) == want
    assert values([], pa.chunked_array([], type=pa.string())) == []


LENGTHS = st.one_of(st.integers(0, 130).map(str), st.sampled_from(["", "08", "+8", "-1", "8 ", "999", "255.0.0.0"]))
NETWORKS = st.one_of(
    st.tuples(VALID, LENGTHS).map("/".join),
    st.tuples(st.ip_addresses(v=4), st.integers(0, 32)).map(
        lambda p: str(ipaddress.ip_network((int(p[0]), p[1]), False))
    ),
    st.tuples(st.ip_addresses(v=6), st.integers(0, 128)).map(
        lambda p: str(ipaddress.ip_network((int(p[0]), p[1]), False))
    ),
    st.tuples(VALID, VALID).map("-".join),
    ANY.filter(lambda text: text is not None),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(NETWORKS, max_size=8))
def test_networks_equal_python(texts: list[str]) -> None:
    first_hi, first_lo, last_hi, last_lo, state = parse_networks(pa.array(texts, pa.string()))
    for row, text in enumerate(texts):
        want = oracle.range_of(text)
        if "%" in text and ("/" in text):
            continue  # a zone within a CIDR: the versions of Python disagree
        assert (state[row] == 0) == (want is not None), text
        if want is not None:
            first = int(first_hi[row]) << 64 | int(first_lo[row])
            last = int(last_hi[row]) << 64 | int(last_lo[row])
            assert (first, last) == want, text


def test_the_kernels_read_within_bounds() -> None:
    """A text at the very end of the buffer, cut at each place: the answer is that of the cut text alone."""
    text = "1:2::192.0.2.255"
    cuts = [text[:n] for n in range(len(text) + 1)]
    assert values(cuts) == [oracle.parse_address(cut) for cut in cuts]
    assert np.all(parse_networks(pa.array(["", "/", "-", "1.2.3.4/", "1.2.3.4-"]))[4] != 0)
