"""Decisions set against a world's truth one by one: was each about abuse, what was each rule worth, when was each
attack
first seen, and what did honest people feel on which day.

A decision is *about abuse* when its event is a harmful one, or when its subject, or the account that feels it, bears a
label of abuse that stands at that moment. A rule's precision counts subjects, not decisions: one noisy address is one
error. Knows tables only: truth and decisions in, figures out. The sums by kind of attack are `scoring`'s.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import orjson
import pyarrow as pa

from shoal.learn.intervals import Share
from shoal.policy.definitions import Tier
from shoal.runtime.review.scoring import DAY_US, Touch


@dataclass
class AttackSeen:
    """One attack: when its harm began and ended, and when it was first decided on (`as_of`, µs), by tier."""

    attack: str
    kind: str
    start_us: int
    end_us: int
    first: dict[Tier, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Attribution:
    """The whole comparison. `rules`: abusive among the subjects that a rule matched with at least `watch`.
    `honest_by_day`: honest accounts first touched at `challenge` or above, by day from the start of the world."""

    attacks: list[AttackSeen]
    rules: dict[str, Share]
    times_by_tier: dict[Tier, list[int]]
    honest_by_day: dict[int, int]
    subjects: dict[tuple[str, str], str]

    def truth_of(self, subject_type: str, subject: str) -> str:
        """The kind of abuse of a subject, or that it is honest."""
        kind = "file_sha256" if subject_type == "content" else subject_type
        return self.subjects.get((kind, subject), "")


def attribute(labels: pa.Table, truth: pa.Table, touches: Iterable[Touch], *, start_us: int) -> Attribution:
    """Set decisions (in seq order) against truth tables, whose columns are those of `simulate.truth`."""
    harmful: dict[str, str] = {}
    attacks: dict[str, AttackSeen] = {}
    for event in truth.to_pylist():
        if event["harmful"] and event["attack"]:
            harmful[event["event_id"]] = event["attack"]
            seen = attacks.setdefault(
                event["attack"], AttackSeen(event["attack"], event["kind"], event["time"], event["time"])
            )
            seen.start_us = min(seen.start_us, event["time"])
            seen.end_us = max(seen.end_us, event["time"])
    labelled = _labelled(labels)
    rules_of: dict[str, list[str]] = {}
    matched: dict[str, dict[tuple[str, str], bool]] = defaultdict(dict)
    times: dict[Tier, list[int]] = {tier: [] for tier in Tier if tier > Tier.ALLOW}
    touched: dict[str, int] = {}
    for touch in touches:
        row = touch.row
        tier = Tier(row.tier)
        times[tier].append(row.as_of)
        attack = harmful.get(row.event_id or "") or _standing(labelled, touch)
        if attack in attacks:
            for lower in Tier:
                if Tier.ALLOW < lower <= tier:
                    attacks[attack].first.setdefault(lower, row.as_of)
        elif attack is None and tier >= Tier.CHALLENGE and touch.person:
            touched.setdefault(touch.person, row.as_of)
        names = rules_of.get(row.rules)
        if names is None:
            names = rules_of[row.rules] = orjson.loads(row.rules)
        subject = (row.subject_type, row.subject)
        for name in names:
            matched[name][subject] = matched[name].get(subject, False) or attack is not None
    return Attribution(
        sorted(attacks.values(), key=lambda seen: (seen.start_us, seen.attack)),
        {rule: Share(sum(subjects.values()), len(subjects)) for rule, subjects in sorted(matched.items())},
        times,
        _by_day(touched, start_us),
        {subject: intervals[0][2] for subject, intervals in labelled.items()},
    )


def _labelled(labels: pa.Table) -> dict[tuple[str, str], list[tuple[int, int, str, str]]]:
    labelled: dict[tuple[str, str], list[tuple[int, int, str, str]]] = defaultdict(list)
    for label in labels.to_pylist():
        if label["attack"] and not label["kind"].startswith("benign") and not label["retracted"]:
            start = -(2**62) if label["start"] is None else label["start"]
            end = 2**62 if label["end"] is None else label["end"]
            labelled[label["subject_type"], label["subject"]].append((start, end, label["kind"], label["attack"]))
    return labelled


def _standing(labelled: dict[tuple[str, str], list[tuple[int, int, str, str]]], touch: Touch) -> str | None:
    """The attack whose label stands on the decision's subject, or on the account that feels it."""
    row = touch.row
    kind = "file_sha256" if row.subject_type == "content" else row.subject_type
    for key in ((kind, row.subject), ("account", touch.person or "")):
        for start, end, _, attack in labelled.get(key, ()):
            if start <= row.as_of < end:
                return attack
    return None


def _by_day(touched: dict[str, int], start_us: int) -> dict[int, int]:
    days: dict[int, int] = defaultdict(int)
    for moment in touched.values():
        days[(moment - start_us) // DAY_US] += 1
    return dict(sorted(days.items()))
