"""The enricher equals its slow twin, whatever the batch, and keeps what the source gave."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.enrich_oracle import SlowTable, enrich
from oracles.mmdb_writer import mmdb
from shoal.enrich import Enricher, read_table
from shoal.errors import InvalidInput
from shoal.events.schema import BY_NAME, check_table

Row = dict[str, Any]
READ = ("ip", "url", "domain", "user_agent")
FILLED = (
    "country",
    "asn",
    "lat",
    "lon",
    "network_kind",
    "network",
    "enrichment",
    "domain",
    "registered_domain",
    "domain_suffix",
    "ua_family",
    "ua_version",
    "ua_os",
    "ua_device",
)
GEO = [
    ("192.0.2.0/24", {"country": "NO", "lat": 59.5, "lon": 10.5}),
    ("192.0.2.128/25", {"country": "SE", "asn": 7}),
    ("2001:db8::/32", {"asn": 9, "lat": 1.0, "lon": 2.0}),
]
KIND = [("192.0.2.0/26", {"network_kind": "office", "country": "DK"}), ("::/0", {"network_kind": "hosting"})]
SLOW = [SlowTable("geo", "1", GEO), SlowTable("kind", "2026-01", KIND)]
ROW = st.fixed_dictionaries(
    {
        "ip": st.sampled_from(
            [None, "", "host", "192.0.2.1", "192.0.2.77", "192.0.2.200", "::ffff:192.0.2.1", "2001:db8::5", "::1"]
        ),
        "url": st.sampled_from(
            [
                None,
                "",
                "x",
                "https://a.example.co.uk/x",
                "http://ann@bücher.example:1/",
                "http://1.2.3.4/",
                "http://a..b/",
            ]
        ),
        "domain": st.sampled_from([None, None, "", "Files.Example.com", "x.github.io."]),
        "user_agent": st.sampled_from([None, "", "curl/8.1", "Mozilla/5.0 (X11; Linux) Firefox/119.0", "é" * 600]),
        "country": st.sampled_from([None, None, "FI"]),
        "lat": st.sampled_from([None, None, 5.0]),
        "network": st.sampled_from([None, None, "mine"]),
        "ua_os": st.sampled_from([None, None, "BeOS"]),
    }
)


def table_of(rows: list[Row]) -> pa.Table:
    names = list(rows[0]) if rows else list(READ)
    return pa.table({name: pa.array([row[name] for row in rows], BY_NAME[name].kind.arrow) for name in names})


def rows_of(table: pa.Table) -> list[Row]:
    check_table(table)
    table.validate(full=True)
    return [{name: row.get(name) for name in (*READ, *FILLED)} for row in table.to_pylist()]


@pytest.fixture(scope="module")
def enricher(tmp_path_factory: pytest.TempPathFactory) -> Enricher:
    folder = tmp_path_factory.mktemp("tables")
    (folder / "geo.csv").write_text(
        "cidr,country,asn,lat,lon\n192.0.2.0/24,NO,,59.5,10.5\n192.0.2.128/25,SE,7,,\n2001:db8::/32,,9,1,2\n"
    )
    (folder / "kind.csv").write_text("cidr,network_kind,country\n192.0.2.0/26,office,DK\n::/0,hosting,\n")
    return Enricher([read_table(folder / "geo.csv", "1"), read_table(folder / "kind.csv", "2026-01")])


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(ROW, max_size=12), cut=st.integers(0, 12))
def test_any_batch_equals_the_slow_twin(enricher: Enricher, rows: list[Row], cut: int) -> None:
    table = table_of(rows)
    want = [{name: enrich(row, SLOW).get(name) for name in (*READ, *FILLED)} for row in rows]
    assert rows_of(enricher.enrich(table)) == want
    assert rows_of(enricher.enrich(table.slice(0, cut))) + rows_of(enricher.enrich(table.slice(cut))) == want
    chunked = pa.concat_tables([table.slice(0, cut), table.slice(cut)])
    assert rows_of(enricher.enrich(chunked)) == want


def test_without_tables_only_what_the_row_itself_tells() -> None:
    enricher = Enricher()
    found = enricher.enrich(table_of([{"ip": "192.0.2.9", "url": None, "domain": None, "user_agent": None}]))
    assert found.column_names == [*READ, "network"]
    assert "enrichment" not in found.column_names
    assert enricher.version.startswith("public-suffixes@")


def test_versions_of_the_tables_that_spoke(enricher: Enricher) -> None:
    assert enricher.version.startswith("geo@1;kind@2026-01;public-suffixes@")
    rows = [
        {"ip": "192.0.2.1", "country": None, "lat": None},  # country and place from geo, kind from kind
        {"ip": "192.0.2.200", "country": None, "lat": None},
        {"ip": "::1", "country": None, "lat": None},
        {"ip": "192.0.2.200", "country": "FI", "lat": None},  # the AS number alone
        {"ip": "198.51.100.1", "country": None, "lat": None},
    ]
    found = enricher.enrich(table_of(rows))
    assert found.column("enrichment").to_pylist() == ["geo@1;kind@2026-01", "geo@1", "kind@2026-01", "geo@1", None]
    assert found.column("country").to_pylist() == ["NO", "SE", None, "FI", None]


def test_an_mmdb_speaks_before_a_csv(tmp_path: Path) -> None:
    (tmp_path / "city.mmdb").write_bytes(mmdb({"192.0.2.0/24": {"country": {"iso_code": "IS"}}}))
    (tmp_path / "own.csv").write_text("cidr,country,asn\n192.0.2.0/24,NO,5\n198.51.100.0/24,SE,6\n")
    enricher = Enricher([read_table(tmp_path / "city.mmdb", "c"), read_table(tmp_path / "own.csv", "o")])
    found = enricher.enrich(pa.table({"ip": ["192.0.2.1", "198.51.100.1", None]}))
    assert found.column("country").to_pylist() == ["IS", "SE", None]
    assert found.column("asn").to_pylist() == [5, 6, None]
    assert found.column("enrichment").to_pylist() == ["city@c;own@o", "own@o", None]


def test_tables_that_cannot_stand_together(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("cidr,asn\n192.0.2.0/24,5\n")
    table = read_table(tmp_path / "a.csv", "1")
    with pytest.raises(InvalidInput, match=r"table\.twice"):
        Enricher([table, table])
    many = [read_table(tmp_path / "a.csv", str(i)) for i in range(63)]
    with pytest.raises(InvalidInput, match=r"table\.too_many"):
        Enricher(many)
    top = Enricher(many[:62]).enrich(pa.table({"ip": ["192.0.2.1"]}))
    assert top.column("enrichment").to_pylist() == ["a@0"]


def test_many_distinct_values_do_not_grow_the_caches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shoal.enrich.enricher.CACHED_HOSTS", 8)
    enricher = Enricher()
    for start in range(0, 60, 20):
        names = [f"h{i}.example.com" for i in range(start, start + 20)]
        found = enricher.enrich(pa.table({"domain": names}))
        assert found.column("registered_domain").to_pylist() == ["example.com"] * 20
        assert len(enricher._hosts) == 8
