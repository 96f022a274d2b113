"""The policy as a manual: a few lines of YAML and events in, decisions and actions out."""

import pyarrow as pa

from oracles.plain_runtime import PlainRuntime
from shoal.packs.load import load_pack

HOUR = 3_600_000_000
HEAD = 'format: shoal.pack\nversion: 1\nname: spec\npack_version: "1"\ndescription: spec\n'
STORY = "title: t, description: d, false_positives: [x], evasion: e, reason: why"
POLICY = """\
format: shoal.policy
version: 1
evidence: 24h
threats:
  takeover:
    role: victim
    steps:
      - {tier: watch, severity: low}
      - {tier: challenge, severity: low, rules: 2}
      - {tier: restrict, severity: high}
    actions:
      - {action: step_up, from: challenge, lease: 4h}
      - {action: revoke_sessions, from: restrict, lease: 4h}
      - {action: rate_limit, from: challenge, on: ip, lease: 1h}
  malware:
    role: perpetrator
    steps: [{tier: block, severity: critical}]
    actions: [{action: stop_link, from: restrict, lease: 7d}]
"""
ALLOW = """\
allow:
  - {id: office, column: ip, list: office, owner: me, expires: 1970-01-02, reason: ours}
"""


def rule(name, condition, subject="account", threat="takeover", severity="low", more=""):
    return f"""\
  r.{name}:
    {{{STORY}, condition: "{condition}", subject: {subject}, threat: {threat}, severity: {severity}{more}}}
"""


RULES = (
    rule("place", "type = 'place'")
    + rule("device", "type = 'device'")
    + rule("export", "type = 'export'", severity="high")
    + rule("size", "size_bytes > 10", more=", on_unknown: defer")
    + rule("hash", "type = 'hash'", subject="link", threat="malware", severity="critical", more=", confirmed: true")
)


def decide(folder, *rows, allow=False):
    """Run the events; per event (tier, tier enforced, planned actions)."""
    files = {
        "pack.yaml": HEAD,
        "policy.yaml": POLICY + (ALLOW if allow else ""),
        "rules/r.yaml": "format: shoal.rules\nversion: 1\nrules:\n" + RULES,
        "lists/office.txt": "# kind: address\n192.0.2.0/24\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    pack = load_pack(folder)
    names = sorted({name for row in rows for name in row})
    table = pa.table({n: pa.array([row.get(n) for row in rows], pack.event_columns[n].arrow) for n in names})
    runtime = PlainRuntime(pack)
    decisions = runtime.run(table).decisions
    actions = [[] for _ in rows]
    box = decisions.outbox
    for hit, action, text in zip(box.hit, box.action, box.text, strict=True):
        actions[decisions.hits.row[hit]].append((runtime.policy.actions[action], text))
    return decisions, list(zip(decisions.tier.tolist(), decisions.enforced.tolist(), actions, strict=True))


def event(hours, kind, **columns):
    return {"time": int(hours * HOUR), "type": kind, "size_bytes": 1, "account": "ann", **columns}


def test_independent_rules_add_up_and_a_victim_is_secured(tmp_path):
    _, told = decide(tmp_path, event(0, "place"), event(1, "device", ip="198.51.100.7"), event(2, "export"))
    assert told == [
        (1, 1, []),
        (2, 2, [("step_up", "ann"), ("rate_limit", "198.51.100.7")]),
        (3, 3, [("revoke_sessions", "ann")]),
    ]


def test_the_same_rule_again_is_no_further_evidence(tmp_path):
    _, told = decide(tmp_path, event(0, "place"), event(1, "place"), event(2, "place"))
    assert [tier for tier, _, _ in told] == [1, 1, 1]


def test_evidence_is_remembered_for_a_window_and_forgotten_after_two(tmp_path):
    _, told = decide(tmp_path, event(0, "place"), event(24, "device"), event(24 + 72, "place"))
    assert [tier for tier, _, _ in told] == [1, 2, 1]


def test_an_action_is_planned_once_while_its_lease_runs(tmp_path):
    _, told = decide(tmp_path, *(event(h, "export") for h in (0, 1, 3.9, 4, 7.9, 8)))
    assert [[name for name, _ in actions] for _, _, actions in told] == [
        ["step_up", "revoke_sessions"], [], [], ["step_up", "revoke_sessions"], [], ["step_up", "revoke_sessions"],
    ]  # fmt: skip


def test_an_allow_entry_suppresses_action_not_recording_and_ends(tmp_path):
    office = {"ip": "192.0.2.9"}
    decisions, told = decide(tmp_path, event(0, "export", **office), event(25, "export", **office), allow=True)
    assert told[0] == (3, 0, [])
    assert told[1][:2] == (3, 3)
    assert [name for name, _ in told[1][2]] == ["step_up", "revoke_sessions", "rate_limit"]
    assert decisions.hits.suppressed.tolist() == [0, -1]


def test_a_confirmed_verdict_is_never_suppressed(tmp_path):
    _, told = decide(tmp_path, event(0, "hash", link="l1", ip="192.0.2.9"), allow=True)
    assert told == [(4, 4, [("stop_link", "l1")])]


def test_a_rule_that_defers_makes_the_decision_provisional(tmp_path):
    decisions, told = decide(tmp_path, event(0, "place", size_bytes=None), event(1, "none"))
    assert decisions.provisional.tolist() == [True, False]
    assert [tier for tier, _, _ in told] == [1, 0]


def test_nobody_revokes_the_sessions_of_an_event(tmp_path):
    decisions, told = decide(tmp_path, event(0, "export", account=None, event_id="e1"))
    assert told == [(3, 3, [])]
    assert decisions.hits.text == ("e1",)
