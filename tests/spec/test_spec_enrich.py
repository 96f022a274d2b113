"""What enrichment and facts do, as tables: the manual of `docs/enrichment.md`."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from shoal.enrich import Enricher, FactTable, read_table
from shoal.errors import InvalidInput
from shoal.events.identity import Identity
from shoal.events.schema import BY_NAME

Row = dict[str, Any]
DOC = Path(__file__).resolve().parents[2] / "docs" / "enrichment.md"
IDENTITY = Identity(bytes(16))


def table_of(*rows: Row) -> pa.Table:
    names = sorted({name for row in rows for name in row}, key=list(BY_NAME).index)
    return pa.table({name: pa.array([row.get(name) for row in rows], BY_NAME[name].kind.arrow) for name in names})


def told(table: pa.Table, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row.get(name) for name in names) for row in table.to_pylist()]


def block_of(language: str) -> str:
    return DOC.read_text(encoding="utf-8").split(f"```{language}\n")[1].split("```")[0]


def test_the_documented_table(tmp_path: Path) -> None:
    (tmp_path / "office.csv").write_text(block_of("csv"))
    enricher = Enricher([read_table(tmp_path / "office.csv", "7")])
    found = enricher.enrich(table_of({"ip": "192.0.2.1"}, {"ip": "192.0.2.200"}, {"ip": "2001:db8::1"}, {"ip": "::1"}))
    assert told(found, "network", "country", "asn", "network_kind", "enrichment") == [
        ("192.0.2.0/24", "NO", 64500, "office", "office@7"),
        ("192.0.2.0/24", "NO", 64500, "vpn", "office@7"),
        ("2001:db8::/48", "SE", None, None, "office@7"),
        ("::/48", None, None, None, None),
    ]


def test_the_documented_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    content = "cidr,country,network_kind\n192.0.2.0/24,Norway,\n10.0.0.1/8,NO,\n192.0.2.0/24,,ofice\n"
    Path("office.csv").write_text(content)
    with pytest.raises(InvalidInput) as caught:
        read_table(Path("office.csv"))
    assert str(caught.value) == block_of("text").strip()


def test_what_the_source_gave_stays() -> None:
    event = {"ip": "192.0.2.1", "network": "ours", "url": "https://a.example/x", "domain": "Given.example"}
    (found,) = told(Enricher().enrich(table_of(event)), "network", "domain", "registered_domain")
    assert found == ("ours", "Given.example", "given.example")


def test_domains_and_clients() -> None:
    events = [
        {"url": "https://ann@x.ann.github.io:8443/a", "user_agent": "rclone/v1.64.0"},
        {
            "url": "http://0x7f.1/",
            "user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:115.0) Gecko/20100101 Firefox/115.0",
        },
        {"url": "x.example/a", "user_agent": None},
    ]
    found = told(
        Enricher().enrich(table_of(*events)), "domain", "registered_domain", "domain_suffix", "ua_family", "ua_device"
    )
    assert found == [
        ("x.ann.github.io", "ann.github.io", "github.io", "rclone", "script"),
        ("127.0.0.1", None, None, "Firefox", "desktop"),
        (None, None, None, None, None),
    ]


def facts_of(*facts: tuple[int, str, str, str, str | None]) -> pa.Table:
    names = ("row", "subject_type", "subject", "name", "value")
    kinds = (pa.int64(), *[pa.string()] * 4)
    arrays = {n: pa.array([f[i] for f in facts], k) for i, (n, k) in enumerate(zip(names, kinds, strict=True))}
    return pa.table({**arrays, "time": pa.array([0] * len(facts), pa.int64())})


def test_a_fact_holds_from_its_row_on() -> None:
    events = table_of(*[{"type": "login.succeeded", "account": "ann"}] * 4)
    facts = facts_of(
        (1, "account", "ann", "tier", "free"), (2, "account", "ann", "tier", "pro"), (3, "account", "ann", "tier", None)
    )
    assert told(FactTable(IDENTITY).join(events, facts), "account_tier") == [(None,), ("free",), ("pro",), (None,)]


def test_an_event_sees_its_own_facts() -> None:
    events = table_of(
        {"type": "account.created", "time": 5, "account": "ann", "org": "acme"},
        {"type": "account.deleted", "time": 6, "account": "ann"},
        {"type": "folder.shared", "time": 7, "account": "bob", "recipient": "ann"},
    )
    found = FactTable(IDENTITY).join(events)
    assert told(found, "account_created", "org", "recipient_created", "recipient_org") == [
        (5, "acme", None, None),
        (5, "acme", None, None),
        (None, None, 5, "acme"),
    ]


def test_owners_of_links_and_files() -> None:
    events = table_of(
        {"type": "account.created", "time": 1, "account": "ann"},
        {"type": "file.uploaded", "time": 2, "actor": "ann", "file": "f", "file_sha256": "a" * 64},
        {"type": "link.created", "time": 3, "actor": "bob", "link": "l", "file": "f"},
        {"type": "link.visited", "time": 4, "link": "l", "file": "f"},
        {"type": "file.downloaded", "time": 5, "file": "f"},
        {"type": "file.modified", "time": 6, "actor": "cat", "file": "f"},
        {"type": "file.downloaded", "time": 7, "file": "f", "owner": "dan"},
    )
    assert told(FactTable(IDENTITY).join(events), "owner", "owner_created", "link_created", "file_sha256") == [
        (None, None, None, None),
        ("ann", 1, None, "a" * 64),
        ("bob", None, 3, "a" * 64),
        ("bob", None, 3, "a" * 64),
        ("ann", 1, None, "a" * 64),
        ("ann", 1, None, None),
        ("dan", None, None, None),
    ]


def test_who_writes_a_file_again_does_not_own_it() -> None:
    events = table_of(
        {"type": "file.uploaded", "actor": "ann", "file": "f"},
        {"type": "file.uploaded", "actor": "bob", "file": "f"},
        {"type": "file.uploaded", "actor": "bob", "file": "f", "owner": "cat"},
        {"type": "file.uploaded", "account": "dan", "file": "g"},
        {"type": "file.downloaded", "actor": "dan", "file": "f"},
    )
    assert told(FactTable(IDENTITY).join(events), "owner") == [("ann",), ("ann",), ("cat",), ("dan",), ("cat",)]
