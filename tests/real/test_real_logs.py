"""Real audit logs: the intruder comes first, with reasons; order of delivery does not matter; every technique is
found."""

from pathlib import Path

import pytest

from benchmarks.cloudlogs import findings, m365_orders, stratus_logs, told
from shoal.policy.definitions import Tier

pytestmark = pytest.mark.data


def test_the_intruder_of_the_s3_lab_comes_first(data_folder: Path, tmp_path: Path) -> None:
    ranked, counts = findings(data_folder / "cloudlogs" / "cloudtrail_s3_lab.ndjson.gz", "cloudtrail", tmp_path / "h")
    assert counts["read"] == 30_477
    assert counts["decided"] == 23_981
    assert counts["duplicate"] == 30_477 - 23_981
    assert counts.get("dead_lettered", 0) == 0
    first = ranked[0]
    assert first.subject == "jmerckle"
    rules = {rule.rule for rule in first.rules}
    assert {"privilege.granted_to_oneself", "credential.created_for_oneself"} <= rules
    assert all(rule.reason for rule in first.rules)
    assert {"discovery", "privilege-escalation", "persistence"} <= set(first.stages)
    bulk = [place for place, entry in enumerate(ranked) if "collection" in entry.stages]
    assert bulk, "the bulk read is reported"
    assert bulk[0] > 0, "below the intrusion"
    told_bulk = ranked[bulk[0]]
    assert "1,168" in " ".join(rule.reason for rule in told_bulk.rules)
    assert told_bulk.tier == Tier.WATCH
    assert len(ranked) <= 2 + 5


def test_the_m365_log_is_told_alike_in_any_order(data_folder: Path, tmp_path: Path) -> None:
    orders = m365_orders(data_folder / "cloudlogs" / "m365_audit.csv.gz", tmp_path)
    outcomes = {}
    for name, path in orders.items():
        ranked, counts = findings(path, "m365", tmp_path / f"h-{name}")
        assert (counts["read"], counts["decided"], counts["duplicate"]) == (9_611, 5_373, 4_235)
        assert counts["dead_lettered"] == 3
        outcomes[name] = told(ranked)
    assert outcomes["delivered"] == outcomes["sorted"] == outcomes["reversed"] == outcomes["shuffled"]
    rules = {rule for _, _, _, listed in outcomes["delivered"] for rule, _ in listed}
    assert "credential.spray" in rules
    assert {"consent.application", "consent.broad_scopes"} <= rules


def test_every_technique_has_a_finding(data_folder: Path, tmp_path: Path) -> None:
    paths = stratus_logs(data_folder / "cloudlogs" / "stratus_cloudtrail.ndjson.gz", tmp_path)
    assert len(paths) == 35
    silent = [
        name for k, (name, path) in enumerate(paths.items()) if not findings(path, "cloudtrail", tmp_path / str(k))[0]
    ]
    assert silent == []
