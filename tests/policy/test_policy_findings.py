"""Findings: gathered however the journal is cut, told by their peak, ranked by what deserves a look."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.plain_runtime import PlainRuntime
from shoal.errors import Corrupt, Unsupported
from shoal.packs.load import load_pack
from shoal.policy.findings import FindingLog, RuleHits, rank, score

PACK = load_pack("cloud_audit")
START = 1_767_603_600_000_000


def table(rows):
    columns = {"time": pa.int64(), "event_id": pa.string()}
    names = sorted({name for row in rows for name in row} - set(columns))
    data = {name: pa.array([row.get(name) for row in rows], PACK.event_columns[name].arrow) for name in names}
    data["time"] = pa.array([row["time"] for row in rows], pa.int64())
    data["event_id"] = pa.array([f"e{i}" for i in range(len(rows))], pa.string())
    return pa.table(data)


def call(second, account, operation, type_="resource.listed", **columns):
    base = {"actor": account, "outcome": "success", "service": "iam.amazonaws.com", "user_agent": "aws-cli/2.15"}
    return {
        "time": START + second * 1_000_000,
        "account": account,
        "operation": operation,
        "type": type_,
        **base,
        **columns,
    }


LISTING = ("ListUsers", "ListGroups", "ListPolicies", "ListRoles", "GetPolicyVersion", "ListAttachedUserPolicies")


def intrusion():
    rows = [call(i, "mallory", name) for i, name in enumerate(LISTING)]
    rows.append(call(10, "mallory", "PutUserPolicy", "permission.granted", recipient="mallory", permission="p"))
    rows.append(call(20, "mallory", "CreateAccessKey", "credential.created", recipient="mallory"))
    return rows


def bulk_read(count=320):
    return [
        call(
            30 + i // 100,
            "backup",
            "GetObject",
            "file.downloaded",
            service="s3.amazonaws.com",
            file=f"b/{i}",
            size_bytes=10,
        )
        for i in range(count)
    ]


def gather(rows, cuts=()):
    runtime, start, events = PlainRuntime(PACK), 0, table(rows)
    for end in [*sorted({c for c in cuts if c < len(rows)}), len(rows)]:
        runtime.run(events.slice(start, end - start))
        start = end
    return runtime


def test_a_chain_of_stages_outranks_one_loud_rule():
    ranked = gather(bulk_read() + intrusion()).findings.ranked()
    assert [r.subject for r in ranked] == ["mallory", "backup"]
    first, second = ranked
    assert first.stages == ("persistence", "privilege-escalation", "discovery")
    assert next(rule.rule for rule in first.rules) == "privilege.granted_to_oneself"
    assert {rule.rule for rule in first.rules} == {
        "privilege.granted_to_oneself", "discovery.identity_enumeration", "credential.created_for_oneself",
    }  # fmt: skip
    assert second.rules[0].rule == "collection.bulk_read"
    assert second.rules[0].reason.startswith("320 different objects (3.2 kB) read within an hour")
    assert second.rules[0].count == 21
    assert "gave itself p (PutUserPolicy)" in first.findings[0].reasons[0]


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 330), max_size=5))
def test_findings_do_not_depend_on_the_cut(cuts):
    rows = sorted(bulk_read() + intrusion(), key=lambda row: row["time"])
    whole, parts = gather(rows), gather(rows, cuts)
    assert parts.findings.snapshot() == whole.findings.snapshot()
    assert parts.policy.snapshot() == whole.policy.snapshot()


def test_findings_come_back():
    runtime = gather(intrusion())
    again = FindingLog(runtime.rules, runtime.policy)
    again.restore(runtime.findings.snapshot())
    assert again.snapshot() == runtime.findings.snapshot()
    assert again.ranked() == runtime.findings.ranked()


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda data: b"", Corrupt),
        (lambda data: data[:-1], Corrupt),
        (lambda data: b"\x93\x01\x02\x03", Corrupt),
        (lambda data: data.replace(b"shoal.findings", b"shoal.findingz"), Corrupt),
        (lambda data: data.replace(b"\xa7version\x01", b"\xa7version\x09"), Unsupported),
        (lambda data: data.replace(b"\xa4tier", b"\xa4teir"), Corrupt),
    ],
)
def test_damaged_findings_are_refused(spoil, error):
    runtime = gather(intrusion())
    with pytest.raises(error):
        runtime.findings.restore(spoil(runtime.findings.snapshot()))
    assert len(runtime.findings.findings()) == 1


def hits(name, severity, confidence=0.5, tactic="discovery", family=""):
    return RuleHits(name, name, severity, tactic, (), family or name, confidence)


def test_the_score_counts_families_once_and_stages_more():
    one = [hits("a", 3)]
    assert score([*one, hits("b", 3, family="a")]) == score(one)
    assert score([*one, hits("b", 3)]) == 2 * score(one)
    assert score([*one, hits("b", 3, tactic="impact")]) == 3 * score(one)
    assert score([]) == 0
    assert rank([]) == []
