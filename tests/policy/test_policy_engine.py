"""The policy engine equals its plain twin on generated streams, however they are cut, and over snapshots."""

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.policy_oracle import PlainPolicy
from shoal.errors import Corrupt, InvalidInput, Unsupported
from shoal.events.identity import Identity
from shoal.events.schema import Kind
from shoal.expressions.frame import Frame, Layout
from shoal.policy.definitions import AllowEntry, PlannedAction, Policy, Step, ThreatPolicy, Tier
from shoal.policy.policy import PolicyEngine, rule_indices
from shoal.rules.rules import Rule, Severity

IDENTITY = Identity(bytes(range(16)))
COLUMNS = dict.fromkeys(("event_id", "account", "actor", "ip", "link"), Kind.TEXT)
LAYOUT = Layout.of(COLUMNS)
HOUR_US = 3_600_000_000
EXPIRES = 30 * HOUR_US


def rule(name, subject="account", threat="takeover", severity=Severity.MEDIUM, **more):
    return Rule(f"t.{name}", name, "true", subject, threat, severity, f"{name} fired", **more)


RULES = (
    rule("travel"),
    rule("device", family="newness", severity=Severity.LOW),
    rule("network", subject="actor", family="newness", severity=Severity.LOW),
    rule("export", severity=Severity.HIGH, on_unknown="match"),
    rule("late_part", on_unknown="defer", severity=Severity.HIGH),
    rule("burst", subject="ip", threat="stuffing", severity=Severity.HIGH),
    rule("bad_hash", subject="link", threat="malware", severity=Severity.CRITICAL, confirmed=True),
    rule("odd_link", subject="link", threat="malware", severity=Severity.LOW),
)
POLICY = Policy(
    {
        "takeover": ThreatPolicy(
            "takeover",
            "victim",
            (
                Step(Tier.WATCH, Severity.LOW),
                Step(Tier.CHALLENGE, Severity.MEDIUM),
                Step(Tier.CHALLENGE, Severity.LOW, 2),
                Step(Tier.RESTRICT, Severity.HIGH, 2),
            ),
            (
                PlannedAction("step_up", Tier.CHALLENGE, 3_600),
                PlannedAction("revoke_sessions", Tier.RESTRICT, 7_200),
                PlannedAction("rate_limit", Tier.WATCH, 1_800, "ip"),
            ),
        ),
        "stuffing": ThreatPolicy(
            "stuffing",
            "perpetrator",
            (Step(Tier.BLOCK, Severity.HIGH),),
            (PlannedAction("rate_limit", Tier.WATCH, 600),),
        ),
        "malware": ThreatPolicy(
            "malware",
            "perpetrator",
            (Step(Tier.WATCH, Severity.LOW), Step(Tier.BLOCK, Severity.CRITICAL)),
            (PlannedAction("stop_link", Tier.BLOCK, 86_400), PlannedAction("review", Tier.WATCH, 86_400)),
        ),
    },
    (
        AllowEntry("office", "ip", "office", "security", EXPIRES, frozenset({"stuffing"})),
        AllowEntry("press", "link", "press", "security", EXPIRES),
        AllowEntry("vip", "account", "vips", "security", EXPIRES, frozenset(), frozenset({"step_up"})),
    ),
    evidence_s=7_200,
)


@dataclass
class FakeRules:
    """Stands for a RuleSet: the engine asks it for its rules and for reasons."""

    rules: tuple = RULES
    text_columns: frozenset = frozenset()

    def render_rows(self, index, frame, rows):
        return [self.rules[index].reason] * len(rows)


@dataclass
class TextList:
    entries: frozenset

    def contains(self, texts):
        return np.array([text in self.entries for text in texts.to_pylist()], dtype=bool)


LIST_TEXTS = {"office": frozenset({"i1"}), "press": frozenset({"l1"}), "vips": frozenset({"a2"})}
LISTS = {name: TextList(texts) for name, texts in LIST_TEXTS.items()}


@dataclass
class Stamps:
    seq: np.ndarray
    as_of: np.ndarray


def engine():
    return PolicyEngine(POLICY, FakeRules(), LAYOUT, IDENTITY, LISTS)


def batch(rows, first_seq):
    frame = Frame.of_rows([row for row, _, _ in rows], LAYOUT, IDENTITY)
    matches = np.array([verdicts for _, verdicts, _ in rows], dtype=np.int8).reshape(-1, len(RULES)).T.copy()
    seq = np.arange(first_seq, first_seq + len(rows), dtype=np.int64)
    return frame, matches, Stamps(seq, np.array([as_of for _, _, as_of in rows], dtype=np.int64))


def told(subject, decisions, h):
    """A hit in the oracle's words."""
    hits, outbox = decisions.hits, decisions.outbox
    actions = [
        (subject.actions[outbox.action[o]], subject.kinds[outbox.kind[o]], outbox.text[o])
        for o in np.flatnonzero(outbox.hit == h)
    ]
    kind = subject.kinds[hits.kind[h]]
    return {
        "key": (subject.threats[hits.threat[h]], kind, int(hits.seq[h]) if kind == "event" else hits.text[h]),
        "rules": sorted(RULES[r].id for r in rule_indices(hits.rules[h])),
        "tier": int(hits.tier[h]),
        "families": int(hits.families[h]),
        "fresh": bool(hits.fresh[h]),
        "provisional": bool(hits.provisional[h]),
        "actions": actions,
    }


def run(rows, cuts, reopen=False):
    subject, out, start = engine(), [], 0
    for end in [*sorted(set(cuts)), len(rows)]:
        part = rows[start:end]
        frame, matches, stamps = batch(part, start)
        decisions = subject.decide(frame, matches, stamps)
        per_row = [[] for _ in part]
        for h in range(len(decisions.hits)):
            per_row[decisions.hits.row[h]].append(told(subject, decisions, h))
        out += [
            (hits, int(decisions.tier[i]), int(decisions.enforced[i]), bool(decisions.provisional[i]))
            for i, hits in enumerate(per_row)
        ]
        start = end
        if reopen:
            state, subject = subject.snapshot(), engine()
            subject.restore(state)
            assert subject.snapshot() == state
    return out


def expected(rows):
    plain, out = PlainPolicy(POLICY, RULES, LIST_TEXTS), []
    defer = [i for i, r in enumerate(RULES) if r.on_unknown == "defer"]
    for seq, (row, verdicts, as_of) in enumerate(rows):
        hits = plain.decide(row, verdicts, seq, as_of)
        for hit in hits:
            hit["actions"] = [(a, k, row["event_id"] if k == "event" else v) for a, k, v in hit["actions"]]
        tier = max((hit["tier"] for hit in hits), default=0)
        enforced = max((hit.pop("enforced") for hit in hits), default=0)
        out.append((hits, tier, enforced, any(verdicts[i] == 2 for i in defer)))
    return out


def texts(prefix):
    return st.one_of(st.none(), st.sampled_from([f"{prefix}{i}" for i in range(3)]))


@st.composite
def streams(draw):
    size, now, rows = draw(st.integers(1, 40)), 0, []
    for seq in range(size):
        now += draw(st.sampled_from([0, 1, HOUR_US // 4, HOUR_US, 5 * HOUR_US]))
        row = {"event_id": f"e{seq}", "account": draw(texts("a")), "ip": draw(texts("i")), "link": draw(texts("l"))}
        row["actor"] = draw(st.one_of(st.just(row["account"]), texts("a")))
        verdicts = draw(st.lists(st.sampled_from([0, 0, 0, 1, 2]), min_size=len(RULES), max_size=len(RULES)))
        rows.append((row, verdicts, now))
    return rows, draw(st.lists(st.integers(0, size), max_size=4))


@settings(max_examples=100, deadline=None)
@given(streams())
def test_equals_the_plain_policy_however_cut(stream):
    rows, cuts = stream
    want = expected(rows)
    assert run(rows, []) == want
    assert run(rows, cuts) == want
    assert run(rows, cuts, reopen=True) == want


def one(account="a0", fired=(), as_of=0, **columns):
    row = {"event_id": "e", "account": account, "actor": account, "ip": None, "link": None, **columns}
    return row, [1 if r.title in fired else 0 for r in RULES], as_of


def test_state_outgrows_its_first_table():
    rows = [one(f"user{i}", ("travel",), i * 1000) for i in range(5_000)]
    again = [one(f"user{i}", ("travel",), 5_000_000 + i) for i in range(5_000)]
    subject = engine()
    first = subject.decide(*batch(rows, 0))
    second = subject.decide(*batch(again, 5_000))
    assert len(first.outbox) == 5_000
    assert len(second.outbox) == 0
    assert not second.hits.fresh.any()


def test_growing_forgets_only_what_has_expired():
    subject = engine()
    subject.decide(*batch([one(f"old{i}", ("travel",), 0) for i in range(400)], 0))
    size = len(subject._leases.used)
    for k in range(1, 20):
        subject.decide(*batch([one(f"k{k}_{i}", ("travel",), k * 10 * HOUR_US) for i in range(400)], 400 * k))
    assert len(subject._leases.used) <= 4 * size


def test_reasons_are_given_for_fresh_hits_and_planned_actions_only():
    subject = engine()
    decisions = subject.decide(*batch([one("a0", ("travel",), t) for t in (0, 1, 2 * HOUR_US)], 0))
    assert decisions.hits.reasons == {0: ("travel fired",), 2: ("travel fired",)}
    assert decisions.outbox.hit.tolist() == [0, 2]
    assert decisions.outbox.until.tolist() == [HOUR_US, 3 * HOUR_US]


def test_rule_bits_are_recorded_for_every_row():
    rows = [one(fired=("travel", "odd_link")), one()]
    rows[1][1][4] = 2
    decisions = engine().decide(*batch(rows, 0))
    assert [list(rule_indices(word)) for word in decisions.matched] == [[0, 7], []]
    assert [list(rule_indices(word)) for word in decisions.unknown] == [[], [4]]
    assert decisions.tier.tolist() == [Tier.CHALLENGE, Tier.ALLOW]
    assert decisions.provisional.tolist() == [False, True]


def test_an_empty_batch_and_a_quiet_one():
    subject = engine()
    assert len(subject.decide(*batch([], 0)).hits) == 0
    quiet = subject.decide(*batch([one(), one()], 0))
    assert quiet.tier.tolist() == [0, 0]
    assert quiet.hits.reasons == {}


def test_a_missing_subject_falls_back_to_the_event():
    decisions = engine().decide(*batch([one(None, ("burst",))], 7))
    subject = engine()
    assert subject.kinds[decisions.hits.kind[0]] == "event"
    assert decisions.hits.text == ("e",)
    assert decisions.hits.subject.tolist() == [7]


def test_a_snapshot_survives_reordered_names():
    subject = engine()
    subject.decide(*batch([one("a0", ("travel",), 5), one("a1", ("device",), 6)], 0))
    other_rules = FakeRules(tuple(reversed(RULES)))
    threats = dict(reversed(POLICY.threats.items()))
    other = PolicyEngine(Policy(threats, POLICY.allow, POLICY.evidence_s), other_rules, LAYOUT, IDENTITY, LISTS)
    other.restore(subject.snapshot())
    rows = [one("a0", ("travel",), 7), one("a1", ("travel",), 8)]
    frame, matches, stamps = batch(rows, 2)
    decisions = other.decide(frame, matches[::-1].copy(), stamps)
    assert decisions.hits.fresh.tolist() == [False, True]
    assert decisions.hits.families.tolist() == [1, 2]
    assert [other.actions[a] for a in decisions.outbox.action] == ["step_up"]


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda data: b"", Corrupt),
        (lambda data: data[:-3], Corrupt),
        (lambda data: b"\x80", Corrupt),
        (lambda data: data.replace(b"shoal.policy_state", b"shoal.policy_stats"), Corrupt),
        (lambda data: data.replace(b"\xa7version\x01", b"\xa7version\x02"), Unsupported),
    ],
)
def test_damaged_snapshots_are_refused(spoil, error):
    subject = engine()
    subject.decide(*batch([one("a0", ("travel",), 5)], 0))
    before = subject.snapshot()
    with pytest.raises(error):
        subject.restore(spoil(before))
    assert subject.snapshot() == before


@pytest.mark.parametrize(
    ("policy", "rules", "slug"),
    [
        (POLICY, (rule("x", threat="tkeover"),), "rule.unknown_threat"),
        (POLICY, (rule("x", subject="session"),), "rule.unknown_subject"),
        (POLICY, tuple(rule(f"x{i}") for i in range(64)), "policy.too_many_families"),
        (Policy(POLICY.threats, (AllowEntry("e", "ip", "offce", "o", 1),)), (), "allow.unknown_list"),
        (Policy(POLICY.threats, (AllowEntry("e", "pi", "office", "o", 1),)), (), "allow.unknown_column"),
        (
            Policy(POLICY.threats, (AllowEntry("e", "ip", "office", "o", 1, frozenset({"x"})),)),
            (),
            "allow.unknown_threat",
        ),
        (
            Policy(POLICY.threats, (AllowEntry("e", "ip", "office", "o", 1, frozenset(), frozenset({"x"})),)),
            (),
            "allow.unknown_action",
        ),
        (
            Policy({"t": ThreatPolicy("t", "victim", (), (PlannedAction("suspend", Tier.BLOCK, 1),))}),
            (),
            "policy.victim_contained",
        ),
        (
            Policy({"t": ThreatPolicy("t", "victim", (), (PlannedAction("sus", Tier.BLOCK, 1),))}),
            (),
            "policy.unknown_action",
        ),
        (
            Policy({"t": ThreatPolicy("t", "perpetrator", (), (PlannedAction("suspend", Tier.BLOCK, 1, "link"),))}),
            (),
            "policy.action_subject",
        ),
        (
            Policy({"t": ThreatPolicy("t", "perpetrator", (), (PlannedAction("review", Tier.BLOCK, 1, "lnk"),))}),
            (),
            "policy.unknown_subject",
        ),
    ],
)
def test_a_policy_that_does_not_fit_is_refused(policy, rules, slug):
    with pytest.raises(InvalidInput) as refused:
        PolicyEngine(policy, FakeRules(rules), LAYOUT, IDENTITY, LISTS)
    assert slug in {problem.slug for problem in refused.value.problems}


def test_warming_changes_nothing():
    subject = engine()
    before = subject.snapshot()
    subject.warm()
    assert subject.snapshot() == before
