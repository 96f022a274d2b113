"""Findings: gathered from what is durable however it was cut, told by their peak, ranked by what deserves a look."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from oracles.runtime_stream import write_lines
from shoal.clock import SystemClock
from shoal.policy.findings import Ranked
from shoal.runtime.deployment import find_pack, open_deployment
from shoal.runtime.home import open_home
from shoal.runtime.run import Progress, read_source

Maker = Callable[..., Path]
START = datetime(2026, 1, 5, 9, tzinfo=UTC)
LISTING = ("ListUsers", "ListGroups", "ListPolicies", "ListRoles", "GetPolicyVersion", "ListAttachedUserPolicies")


def call(
    second: float, account: str, operation: str, kind: str = "resource.listed", **columns: object
) -> dict[str, object]:
    moment = (START + timedelta(seconds=second)).isoformat().replace("+00:00", "Z")
    base = {"time": moment, "type": kind, "actor": account, "account": account, "operation": operation}
    return {**base, "outcome": "success", "service": "iam.amazonaws.com", "user_agent": "aws-cli/2.15", **columns}


def intrusion() -> list[dict[str, object]]:
    rows = [call(k, "mallory", name) for k, name in enumerate(LISTING)]
    rows.append(call(10, "mallory", "PutUserPolicy", "permission.granted", recipient="mallory", permission="p"))
    rows.append(call(20, "mallory", "CreateAccessKey", "credential.created", recipient="mallory"))
    return rows


def bulk_read(count: int = 320) -> list[dict[str, object]]:
    more = {"service": "s3.amazonaws.com", "size_bytes": 10}
    return [call(30 + k / 100, "backup", "GetObject", "file.downloaded", file=f"b/{k}", **more) for k in range(count)]


def ranked(folder: Path, source: Path, top: int = 10) -> list[Ranked]:
    deployment = open_deployment(open_home(folder, create=True))
    try:
        deployment.publish(find_pack("cloud_audit"), history_complete=True)
        silent = Progress(lambda _: None, lambda _a, _b: None)
        read_source(deployment, [source], "native", received=False, clock=SystemClock(), progress=silent)
        return deployment.findings(top).shown
    finally:
        deployment.close()


def test_a_chain_of_stages_outranks_one_loud_rule(tmp_path: Path, home_folder: Maker) -> None:
    found = ranked(home_folder("h"), write_lines(tmp_path / "e.ndjson", bulk_read() + intrusion()))
    assert [entry.subject for entry in found] == ["mallory", "backup"]
    first, second = found
    assert first.stages == ("persistence", "privilege-escalation", "discovery")
    assert {rule.rule for rule in first.rules} == {
        "privilege.granted_to_oneself",
        "discovery.identity_enumeration",
        "credential.created_for_oneself",
    }
    assert "gave itself p (PutUserPolicy)" in " ".join(first.findings[0].reasons)
    assert second.rules[0].rule == "collection.bulk_read"
    assert second.rules[0].reason.startswith("320 different objects (3.2 kB) read within an hour"), "told at its peak"
    assert second.rules[0].count == 21


def test_findings_do_not_depend_on_the_cut_nor_on_a_second_look(tmp_path: Path, home_folder: Maker) -> None:
    source = write_lines(tmp_path / "e.ndjson", bulk_read() + intrusion())
    whole = ranked(home_folder("whole"), source)
    folder = home_folder("cut", batch_rows=7)
    assert ranked(folder, source) == whole
    assert ranked(folder, source) == whole


def test_at_most_so_many_of_a_threat(tmp_path: Path, home_folder: Maker) -> None:
    more = [{**row, "account": "carl", "actor": "carl", "recipient": "carl"} for row in intrusion()]
    rows = [{k: v for k, v in row.items() if k != "recipient" or row["type"] != "resource.listed"} for row in more]
    source = write_lines(tmp_path / "e.ndjson", bulk_read() + intrusion() + rows)
    folder = home_folder("h")
    assert [entry.subject for entry in ranked(folder, source)] == ["carl", "mallory", "backup"]
    deployment = open_deployment(open_home(folder, create=False))
    one = deployment.findings(10, per_threat=1)
    deployment.close()
    assert [entry.subject for entry in one.shown] == ["carl", "backup"]
    assert one.total == 3
