"""Revisions, the manual: a part missing, a decision that waits for it, and what becomes of it.

Each case: a pack's rules, records in, and for each event its tier at first and behind its last revision.
"""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "runtime"))

from revise_parts import Stored, event, fact, run, whole, write_pack

A = {"account": "ann"}
CASES = {
    "a fact that arrives later decides the event again": (
        ("free",),
        [event("e", 0, **A), fact("ann", "tier", "free", 60)],
        {"e": (0, 2)},
    ),
    "a fact that says no settles it without a match": (
        ("free",),
        [event("e", 0, **A), fact("ann", "tier", "paid", 60)],
        {"e": (0, 0)},
    ),
    "a fact about somebody else changes nothing": (
        ("free",),
        [event("e", 0, **A), fact("bob", "tier", "free", 60)],
        {"e": (0, None)},
    ),
    "another fact changes nothing": (
        ("free",),
        [event("e", 0, **A), fact("ann", "verified", "true", 60)],
        {"e": (0, None)},
    ),
    "an event may tell the fact": (
        ("acme",),
        [event("e", 0, **A), event("made", 60, type="account.created", account="ann", org="acme")],
        {"e": (0, 2), "made": (2, None)},
    ),
    "the owner is told first, then the owner's tier": (
        ("lent",),
        [event("e", 0, link="l"), fact("l", "owner", "olga", 60, of="link"), fact("olga", "tier", "free", 120)],
        {"e": (0, 1)},
    ),
    "beyond the horizon it stays as it was": (
        ("free",),
        [event("e", 0, **A), fact("ann", "tier", "free", 90_000), event("now", 90_001, account="bob")],
        {"e": (0, None), "now": (0, None)},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_facts_that_arrive_later(name: str, tmp_path: Path) -> None:
    rules, records, wanted = CASES[name]
    folder = tmp_path / "h"
    run(folder, write_pack(tmp_path / "pack", *rules), records)
    whole(folder)
    stored = Stored(folder)
    ids = [str(record["event_id"]) for record in records if "event_id" in record]
    first = dict(zip(ids, stored.rows["tier"].to_pylist(), strict=True))
    seqs = dict(zip(ids, stored.rows["seq"].to_pylist(), strict=True))
    last = {row.seq: row.tier for row in stored.revisions}
    assert {one: (first[one], last.get(seqs[one])) for one in ids} == wanted
    counts = stored.counts
    assert counts.get("deferred", 0) == len(stored.open) + counts.get("settled", 0) + counts.get("closed", 0)


def test_an_enrichment_table_that_comes_back(tmp_path: Path) -> None:
    folder, pack = tmp_path / "h", write_pack(tmp_path / "pack")
    folder.mkdir()
    table = tmp_path / "geo.csv"
    (folder / "shoal.toml").write_text(f'enrichment = ["{table}"]\n')
    first = [event("e1", 0, ip="192.0.2.1", **A), event("e2", 1, ip="198.51.100.1", **A), event("e3", 2, **A)]
    run(folder, pack, first)
    (missing,) = Stored(folder).missing
    assert missing.name == str(table)
    assert "cannot read the table" in missing.why
    assert json.loads(missing.columns) == ["asn", "country", "lat", "lon", "network_kind"]
    assert Stored(folder).rows["provisional"].to_pylist() == [True, True, True]
    table.write_text("cidr,country\n192.0.2.0/24,XX\n198.51.100.0/24,NO\n")
    run(folder, pack, first, [event("e4", 60, ip="192.0.2.9", account="bob")])
    whole(folder)
    stored = Stored(folder)
    assert stored.missing == []
    assert list(stored.tiers().values()) == [3, 1, 1, 3]
    assert [(row.tier_before, row.tier, row.provisional, row.known) for row in stored.revisions] == [
        (1, 3, 0, '{"country":"XX"}'),
        (1, 1, 0, '{"country":"NO"}'),
    ]
    assert [row.seq for row in stored.open] == stored.rows["seq"].to_pylist()[2:3]
    assert {(row.subject, row.action) for row in stored.outbox} == {
        (who, action) for who in ("ann", "bob") for action in ("watch", "rate_limit", "review")
    }
    assert len(stored.outbox) == 6
