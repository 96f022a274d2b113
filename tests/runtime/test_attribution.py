"""Decisions set against truth: what is about abuse, what a rule is worth, who was touched when; and the page of it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from shoal.learn.intervals import Share
from shoal.policy.definitions import Tier
from shoal.reports.demo import write_demo
from shoal.runtime.review.attribution import attribute
from shoal.runtime.review.demopage import demo_page
from shoal.runtime.review.scoring import DAY_US, Score, Touch
from shoal.simulate.truth import TRUTH_EVENTS, TRUTH_LABELS
from shoal.storage.store import DecisionRow

HOUR = DAY_US // 24


def touch(seq: int, event: str, subject: str, tier: Tier, rules: str, *, person: str = "", kind: str = "ip") -> Touch:
    row = DecisionRow(seq, 0, seq * HOUR, event, kind, subject, 1, "x", int(tier), rules, "[]", "[]", "p")
    return Touch(row, person or None, person or None, None)


def label(subject_type: str, subject: str, start: int, end: int | None, kind: str = "credential_stuffing") -> dict:
    return {
        "subject_type": subject_type, "subject": subject, "kind": kind, "start": start, "end": end,
        "source": "simulator", "confidence": 1.0, "known_at": start, "retracted": False, "attack": "a1",
    }  # fmt: skip


def truth(event: str, time: int, *, harmful: bool = True, attack: str | None = "a1") -> dict:
    return {"event_id": event, "time": time, "attack": attack, "kind": "credential_stuffing", "harmful": harmful}


LABELS = pa.Table.from_pylist(
    [label("ip", "192.0.2.1", 2 * HOUR, 6 * HOUR), label("account", "kim", 3 * HOUR, None, "account_takeover")],
    TRUTH_LABELS,
)
EVENTS = pa.Table.from_pylist(
    [
        truth("e2", 2 * HOUR),
        truth("e5", 5 * HOUR),
        truth("e9", 9 * HOUR, harmful=False),
        truth("late", 8 * HOUR, attack="a2"),
    ],
    TRUTH_EVENTS,
)


def test_what_a_decision_was_about() -> None:
    found = attribute(
        LABELS,
        EVENTS,
        [
            touch(1, "e1", "192.0.2.1", Tier.CHALLENGE, '["r1"]', person="ann"),  # before its label: an honest person
            touch(2, "e2", "192.0.2.1", Tier.WATCH, '["r1"]', person="bob"),  # a harmful event
            touch(4, "e4", "192.0.2.1", Tier.RESTRICT, '["r1","r2"]', person="cat"),  # its label stands
            touch(7, "e7", "192.0.2.9", Tier.CHALLENGE, '["r2"]', person="kim"),  # felt by a hijacked account
            touch(9, "e9", "192.0.2.8", Tier.CHALLENGE, '["r2"]', person="dan"),  # not a harmful event
            touch(10, "e10", "192.0.2.8", Tier.WATCH, '["r3"]', person="eve"),  # watch touches nobody
        ],
        start_us=0,
    )
    assert found.rules == {"r1": Share(1, 1), "r2": Share(2, 3), "r3": Share(0, 1)}
    first, second = found.attacks
    assert (first.attack, first.start_us, first.end_us) == ("a1", 2 * HOUR, 5 * HOUR)
    assert first.first == {Tier.WATCH: 2 * HOUR, Tier.CHALLENGE: 4 * HOUR, Tier.RESTRICT: 4 * HOUR}
    assert second.attack == "a2"
    assert second.first == {}
    assert found.honest_by_day == {0: 2}  # ann and dan
    assert {tier: len(times) for tier, times in found.times_by_tier.items()} == {
        Tier.WATCH: 2, Tier.CHALLENGE: 3, Tier.RESTRICT: 1, Tier.BLOCK: 0,
    }  # fmt: skip
    assert found.truth_of("ip", "192.0.2.1") == "credential_stuffing"
    assert found.truth_of("ip", "192.0.2.9") == ""


def test_an_empty_world_has_a_page(tmp_path: Path) -> None:
    seen = attribute(TRUTH_LABELS.empty_table(), TRUTH_EVENTS.empty_table(), [], start_us=0)
    page = demo_page(
        "nothing <b>at all</b>",
        Score([], 0, {}, 0.0),
        seen,
        [],
        {"r1": "a rule"},
        accounts=0,
        events=0,
        records=0,
        seconds=0.0,
        first_us=0,
        last_us=DAY_US,
        tiers={0: 0},
        stages={},
        dead={},
    )
    html = write_demo(tmp_path / "report.html", page).read_text(encoding="utf-8")
    assert "nothing &lt;b&gt;at all" in html
    assert "No rule brought a subject to watch" in html
    assert "Rules that never matched here: r1." in html
