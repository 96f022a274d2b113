"""Tables of ranges: CSVs and MMDB files, what they tell, and every way in which they can be wrong."""

import ipaddress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from oracles.mmdb_writer import mmdb
from shoal.enrich.mmdb import MmdbTable, read_record
from shoal.enrich.tables import Addresses, EnrichmentTable, RangeTable, read_table
from shoal.errors import Corrupt, InvalidInput

GOOD = """cidr,country,asn,lat,lon,network_kind
# ours
192.0.2.0/24,no,AS64500,59.9,10.7,office
192.0.2.128/25,SE,,,,vpn

2001:db8::/32,FI,64501,-1,180,
"""


def write(folder: Path, content: str | bytes, name: str = "geo.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def told(table: EnrichmentTable, *texts: str | None) -> list[dict[str, Any]]:
    return pa.table(dict(table.lookup(Addresses.of(pa.array(texts, pa.string()))))).to_pylist()


def test_a_csv_tells_by_the_most_specific_range(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, GOOD))
    assert (table.name, table.version[:7]) == ("geo", "sha256:")
    found = told(table, "192.0.2.1", "::ffff:192.0.2.1", "192.0.2.200", "2001:db8::9", "198.51.100.1", None, "office")
    ours = {"country": "NO", "asn": 64500, "lat": 59.9, "lon": 10.7, "network_kind": "office"}
    nothing = dict.fromkeys(ours)
    assert found == [
        ours,
        ours,
        {**nothing, "country": "SE", "network_kind": "vpn"},
        {"country": "FI", "asn": 64501, "lat": -1.0, "lon": 180.0, "network_kind": None},
        nothing,
        nothing,
        nothing,
    ]


def test_a_csv_of_first_and_last(tmp_path: Path) -> None:
    table = read_table(
        write(tmp_path, "\ufefffirst,last,asn\r\n192.0.2.1,192.0.2.3,1\r\n::1,::2,2\r\n"), version="v7", name="net"
    )
    assert (table.name, table.version, table.columns) == ("net", "v7", ("asn",))
    assert [row["asn"] for row in told(table, "192.0.2.0", "192.0.2.1", "192.0.2.3", "192.0.2.4", "::2")] == [
        None,
        1,
        1,
        None,
        2,
    ]


def slugs(error: InvalidInput) -> list[tuple[int, str]]:
    return [(problem.where.line, problem.slug) for problem in error.problems]


@pytest.mark.parametrize(
    ("content", "want"),
    [
        ("", [(0, "table.empty")]),
        ("cidr,country\n", [(0, "table.empty")]),
        ("cidr,contry\n192.0.2.0/24,NO\n", [(1, "table.column"), (1, "table.column")]),
        ("country\nNO\n", [(1, "table.column")]),
        ("cidr,first,last,asn\n1.2.3.4,1.2.3.4,1.2.3.4,1\n", [(1, "table.column")]),
        ("first,asn\n1.2.3.4,1\n", [(1, "table.column")]),
        ("cidr,cidr,asn\n1.2.3.4,1.2.3.4,1\n", [(1, "table.column")]),
        ("cidr\n1.2.3.4\n", [(1, "table.column")]),
        ("cidr,lat\n1.2.3.4,5\n", [(1, "table.column")]),
        ("cidr,asn\n1.2.3.4\n1.2.3.4,5,6\n", [(2, "table.cells"), (3, "table.cells")]),
        (
            "cidr,asn\n1.2.3.4/8,1\nhost,1\n1.2.3.4/33,1\n,1\n",
            [(2, "table.host_bits"), *[(n, "table.range") for n in (3, 4, 5)]],
        ),
        ("first,last,asn\n1.2.3.4,1.2.3.3,1\n::1,1.2.3.4,1\n1.2.3.4,,1\n", [(n, "table.range") for n in (2, 3, 4)]),
        ("cidr,country\n1.2.3.4,Norway\n1.2.3.4,N1\n", [(2, "table.country"), (3, "table.country")]),
        ("cidr,asn\n1.2.3.4,-1\n1.2.3.4,4294967296\n1.2.3.4,1e3\n", [(n, "table.asn") for n in (2, 3, 4)]),
        ("cidr,lat,lon\n1.2.3.4,91,0\n1.2.3.4,nan,0\n1.2.3.4,0,181\n", [(n, "table.degrees") for n in (2, 3, 4)]),
        ("cidr,lat,lon\n1.2.3.4,5,\n", [(2, "table.place")]),
        ("cidr,network_kind\n1.2.3.4,ofice\n", [(2, "table.network_kind")]),
        ("cidr,asn,country\n1.2.3.4,,\n", [(2, "table.nothing")]),
        ("cidr,asn\n1.2.3.4,x\nhost,1\n", [(2, "table.asn"), (3, "table.range")]),
        (b"cidr,asn\n1.2.3.4,1\n\xff,2\n", [(3, "table.encoding")]),
        ('cidr,asn\n1.2.3.4,1\n"1.2.3.4"x,2\n', [(3, "table.csv")]),
        ('cidr,asn\n"1.2.3.4\n5",2\nx\u2028,3\n', [(3, "table.range"), (4, "table.range")]),
        ('cidr,asn\n1.2.3.4,1\n"open,2\n', [(3, "table.csv")]),
        ("cidr,asn\n" + "x" * 200_000 + ",1\n", [(2, "table.csv")]),
        ("cidr,asn\n" + "x,1\n" * 300, [*[(n, "table.range") for n in range(2, 102)], (0, "table.more")]),
    ],
)
def test_malformed_csvs(tmp_path: Path, content: str | bytes, want: list[tuple[int, str]]) -> None:
    path = write(tmp_path, content)
    with pytest.raises(InvalidInput) as caught:
        RangeTable.read(path)
    assert slugs(caught.value) == want
    assert all(problem.where.file == str(path) for problem in caught.value.problems)


def test_the_nearest_name_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"did you mean 'office'"):
        RangeTable.read(write(tmp_path, "cidr,network_kind\n1.2.3.4,ofice\n"))


@pytest.mark.parametrize(("name", "version"), [("a b", ""), ("a;b", ""), ("", "v@1"), ("x" * 101, "")])
def test_labels_that_cannot_be_recorded(tmp_path: Path, name: str, version: str) -> None:
    with pytest.raises(InvalidInput, match=r"table\.label"):
        read_table(write(tmp_path, GOOD), version=version, name=name)


CITY = {"country": {"iso_code": "NO", "geoname_id": 1}, "location": {"latitude": 59.9, "longitude": 10.7}}


@pytest.mark.parametrize("ip_version", [4, 6])
def test_an_mmdb_file(tmp_path: Path, ip_version: int) -> None:
    networks: dict[str, Any] = {"192.0.2.0/24": CITY, "198.51.100.0/24": {"autonomous_system_number": 64500}}
    if ip_version == 6:
        networks["2001:db8::/32"] = {"registered_country": {"iso_code": "fi"}}
    path = write(tmp_path, mmdb(networks, ip_version=ip_version), "city.mmdb")
    table = read_table(path)
    assert (table.name, table.version) == ("city", "2023-11-14T22:13:20Z")
    texts = ("192.0.2.7", "::ffff:192.0.2.7", "198.51.100.1", "203.0.113.1", "2001:db8::1", None, "192.0.2.7")
    found = told(table, *texts)
    assert [(row["country"], row["asn"], row["lat"]) for row in found] == [
        ("NO", None, 59.9),
        ("NO", None, 59.9),
        (None, 64500, None),
        (None, None, None),
        ("FI" if ip_version == 6 else None, None, None),
        (None, None, None),
        ("NO", None, 59.9),
    ]
    assert told(table, *texts) == found  # from the cache


@pytest.mark.parametrize(
    ("record", "want"),
    [
        (None, (None,) * 5),
        ("NO", (None,) * 5),
        ({"country": "NO"}, (None,) * 5),
        ({"country": {"iso_code": 7}, "location": []}, (None,) * 5),
        ({"country": {"iso_code": "NOR"}, "autonomous_system_number": True}, (None,) * 5),
        ({"autonomous_system_number": -1}, (None,) * 5),
        ({"autonomous_system_number": 2**32}, (None,) * 5),
        ({"location": {"latitude": 91.0, "longitude": 1.0}}, (None,) * 5),
        ({"location": {"latitude": float("nan"), "longitude": 1.0}}, (None,) * 5),
        ({"location": {"latitude": 1.0}}, (None,) * 5),
        ({"traits": {"autonomous_system_number": 5, "is_hosting_provider": True}}, (None, 5, None, None, "hosting")),
        ({"is_anonymous_vpn": True, "is_hosting_provider": True}, (None, None, None, None, "vpn")),
        ({"connection_type": "Cellular"}, (None, None, None, None, "mobile")),
        ({"connection_type": ["Cellular"]}, (None,) * 5),
    ],
)
def test_records_of_other_types_are_null(record: object, want: tuple[object, ...]) -> None:
    assert read_record(record) == want


@pytest.mark.parametrize("content", [b"", b"not an mmdb file", b"\xab\xcd\xefMaxMind.com", mmdb({"::/1": CITY})[:-40]])
def test_files_that_are_no_mmdb(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_table(write(tmp_path, content, "geo.mmdb"))
    assert [problem.slug for problem in caught.value.problems] in (["table.mmdb"], ["table.unreadable"])


def test_a_damaged_mmdb_is_told_as_such(tmp_path: Path) -> None:
    content = bytearray(mmdb({"192.0.2.0/24": CITY}))
    at = content.index(b"iso_code") - 2
    content[at : at + 10] = b"\xff" * 10
    table = MmdbTable.open(write(tmp_path, bytes(content), "geo.mmdb"))
    with pytest.raises(Corrupt, match="damaged"):
        told(table, "192.0.2.1")


@pytest.mark.parametrize("name", ["absent.csv", "absent.mmdb", "."])
def test_files_that_are_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidInput, match=r"table\.(unreadable|mmdb)"):
        read_table(tmp_path / name)


def test_a_large_table_is_compact(tmp_path: Path) -> None:
    lines = [f"{ipaddress.ip_address(i << 16)}/16,{chr(65 + i % 26)}A" for i in range(1, 50_000)]
    table = RangeTable.read(write(tmp_path, "cidr,country\n" + "\n".join(lines)))
    assert len(table) == 50_001
    assert table.nbytes < 25 * len(table)
