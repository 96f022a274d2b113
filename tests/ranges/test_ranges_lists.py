"""Named lists: exact texts, ranges of addresses, all mistakes told together with their lines."""

import ipaddress
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.errors import InvalidInput
from shoal.ranges import NamedList

WORDS = st.text(max_size=8)


@settings(max_examples=100, deadline=None)
@given(
    st.sets(WORDS.filter(lambda w: w.strip() and w.isprintable()), max_size=20),
    st.lists(st.none() | WORDS, max_size=20),
)
def test_text_membership_equals_a_set(entries: set[str], texts: list[str | None]) -> None:
    asked = [*texts, *sorted(entries)]
    made = NamedList.of("words", sorted(entries), kind="text")
    array = pa.array(["x", *asked], pa.string()).slice(1)
    assert made.contains(array).tolist() == [text in entries for text in asked]
    assert made.texts == entries


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 255), st.integers(24, 32)), min_size=1, max_size=6),
    st.lists(st.integers(0, 255), max_size=12),
)
def test_address_membership_equals_ipaddress(nets: list[tuple[int, int]], hosts: list[int]) -> None:
    networks = [ipaddress.ip_network((f"192.0.2.{h}", n), strict=False) for h, n in nets]
    addresses = [ipaddress.ip_address(f"192.0.2.{h}") for h in hosts]
    made = NamedList.of("office", [str(network) for network in networks])
    assert made.kind == "address"
    want = [any(a in n for n in networks) for a in addresses]
    assert made.contains(pa.array([str(a) for a in addresses], pa.string())).tolist() == want
    assert made.contains(pa.array([f"::ffff:{a}" for a in addresses], pa.string())).tolist() == want


def test_rules_of_case_and_kind() -> None:
    made = NamedList.of("partners", ["Example.com"])
    assert made.kind == "text"
    assert made.contains(pa.array(["Example.com", "example.com", "Example.com ", None])).tolist() == [
        True,
        False,
        False,
        False,
    ]
    office = NamedList.of("office", ["192.0.2.1-192.0.2.9", "2001:DB8::/32", "198.51.100.4"])
    asked = pa.array(["192.0.2.9", "192.0.2.10", "2001:db8::1", "198.51.100.4", "office", "", None])
    assert office.contains(asked).tolist() == [True, False, True, True, False, False, False]
    assert NamedList.of("ips", ["192.0.2.1"], kind="text").contains(
        pa.array(["192.0.2.1", "::ffff:192.0.2.1"])
    ).tolist() == [True, False]
    empty = NamedList.of("none", [])
    assert empty.contains(pa.array(["", None, "192.0.2.1"])).tolist() == [False] * 3


def test_version_is_given_or_the_hash_of_the_entries() -> None:
    assert NamedList.of("a", ["x"], "7").version == "7"
    one, other = NamedList.of("a", ["x", "y"]), NamedList.of("b", ["y", "x", "x"])
    assert one.version == other.version != NamedList.of("a", ["x"]).version
    assert one.version.startswith("sha256:")


def slugs(error: InvalidInput) -> list[tuple[int, str]]:
    return [(problem.where.line, problem.slug) for problem in error.problems]


@pytest.mark.parametrize(
    ("content", "kind", "want"),
    [
        (b"192.0.2.0/24\noffice\n", None, [(2, "lists.bad_address")]),
        (b"office\n192.0.2.0/24\n10.0.0.1/8\n", None, [(1, "lists.bad_address"), (3, "lists.host_bits")]),
        (b"10.0.0.1/8\n", None, [(1, "lists.host_bits")]),
        (b"a.example\n", "address", [(1, "lists.bad_address")]),
        (b"1.2.3.4/40\n5.6.7.8-1.2.3.4\n1.1.1.1-::1\n", "address", [(n, "lists.bad_address") for n in (1, 2, 3)]),
        (b"ok\n\xff\xfe\nbell\x07\n", "text", [(2, "lists.encoding"), (3, "lists.bad_text")]),
        (b"x" * 5000, None, [(1, "lists.long_entry")]),
    ],
)
def test_malformed_files(tmp_path: Path, content: bytes, kind: str | None, want: list[tuple[int, str]]) -> None:
    path = tmp_path / "office.txt"
    path.write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        NamedList.read(path, kind=kind)  # type: ignore[arg-type]
    assert slugs(caught.value) == want
    assert all(str(path) in str(problem) for problem in caught.value.problems)


def test_malformed_entries_in_memory() -> None:
    with pytest.raises(InvalidInput) as caught:
        NamedList.of("mixed", ["", " ", "ok", 7])  # type: ignore[list-item]
    assert [p.slug for p in caught.value.problems] == ["lists.empty_entry", "lists.empty_entry", "lists.bad_text"]
    assert "mixed[3]" in str(caught.value)
    with pytest.raises(InvalidInput) as caught:
        NamedList.of("many", ["10.0.0.1", *[f"bad{i}" for i in range(250)]])
    assert len(caught.value.problems) == 101
    assert "150 more" in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"lists\.unreadable"):
        NamedList.read(tmp_path / "absent.txt")


def test_reading_skips_comments_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "partners.txt"
    path.write_bytes("\ufeff# ours\n\n a.example \r\nb.example # since May\nc#d\n".encode())
    made = NamedList.read(path)
    assert (made.name, made.kind, made.texts) == ("partners", "text", frozenset({"a.example", "b.example", "c#d"}))


def test_texts_of_one_length_are_told_apart() -> None:
    made = NamedList.of("hosts", [f"h{i:04d}.example" for i in range(0, 2000, 2)])
    asked = pa.array([f"h{i:04d}.example" for i in range(2000)])
    assert made.contains(asked).tolist() == [i % 2 == 0 for i in range(2000)]
