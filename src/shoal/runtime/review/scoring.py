"""Scoring decisions against ground truth: what was caught, how soon, and which honest accounts were touched.

An attack is *caught* by the first decision at `challenge` or above on one of its harmful events, or about one of its
labelled subjects while the label stands. A labelled subject is caught by such a decision about itself, or on a
harmful event of that account, while the label stands. An honest account is *touched* by such a decision about it,
about its session, device, link or file, or about an address or network on an event of its own that belongs to no
attack; it counts once. Another tier than `challenge` may be asked for. Knows tables only: truth in, figures out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

import pyarrow as pa

from shoal.policy.definitions import Tier
from shoal.storage.store import DecisionRow

DAY_US = 86_400_000_000


@dataclass
class KindScore:
    """One kind of attack: attacks and labelled subjects, how many were caught, and after how many seconds."""

    kind: str
    attacks: int = 0
    caught: int = 0
    watched: int = 0
    subjects: int = 0
    subjects_caught: int = 0
    events: int = 0
    events_flagged: int = 0
    delays_s: list[float] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    @property
    def median_delay_s(self) -> float | None:
        """Median over subjects caught: from the start of the label to the first such decision."""
        return median(self.delays_s) if self.delays_s else None


@dataclass
class AttackScore:
    """One attack: its labelled subjects and harmful events, and when it was first seen (times in µs)."""

    attack: str
    kind: str
    subjects: int = 0
    subjects_caught: int = 0
    events: int = 0
    first_harm_us: int | None = None
    first_seen_us: int | None = None
    harmful_before: int = 0

    @property
    def delay_s(self) -> float | None:
        """From the first harmful event to the first such decision, not below 0; None: never seen."""
        if self.first_seen_us is None or self.first_harm_us is None:
            return None
        return max(0.0, (self.first_seen_us - self.first_harm_us) / 1e6)


@dataclass
class Score:
    """The whole comparison. `touched` are honest accounts after the warm-up; the rate is per 10,000 and week."""

    kinds: list[KindScore]
    honest_accounts: int
    touched: dict[str, list[str]]  # account → rules
    weeks: float
    attacks: list[AttackScore] = field(default_factory=list)
    benign: dict[str, tuple[int, int]] = field(default_factory=dict)  # kind → labelled subjects, touched of them
    fired: int = 0  # subjects with such a decision after the warm-up, honest or not

    @property
    def touched_per_10k_week(self) -> float:
        """Honest accounts touched at `challenge` and above, per 10,000 honest accounts and week."""
        return len(self.touched) / max(self.honest_accounts, 1) * 10_000 / max(self.weeks, 1e-9)


@dataclass(frozen=True)
class Touch:
    """A decision with the accounts of its event."""

    row: DecisionRow
    account: str | None = None
    actor: str | None = None
    owner: str | None = None

    @property
    def person(self) -> str | None:
        """The account that feels the decision: the subject, the owner of a link or file, else whoever acted."""
        kind = self.row.subject_type
        if kind == "account":
            return self.row.subject
        return self.owner if kind in ("link", "file", "content", "url", "domain") else self.actor or self.account


def score(
    labels: pa.Table,
    truth: pa.Table,
    touches: Iterable[Touch],
    *,
    accounts: set[str],
    start_us: int,
    end_us: int,
    warm_up_us: int = 3 * DAY_US,
    tier: Tier = Tier.CHALLENGE,
) -> Score:
    """Compare decisions with truth tables (columns as `simulate.truth` has them). `accounts`: all that acted; `tier`:
    from which tier upward a decision counts."""
    harmful: dict[str, tuple[str, str]] = {}
    for event in truth.to_pylist():
        if event["harmful"] and event["attack"]:
            harmful[event["event_id"]] = (event["attack"], event["kind"])
    kinds: dict[str, KindScore] = {}
    attacks: dict[str, AttackScore] = {}
    for attack, kind in harmful.values():
        kinds.setdefault(kind, KindScore(kind)).events += 1
        attacks.setdefault(attack, AttackScore(attack, kind))
    subjects: dict[tuple[str, str], tuple[str, str, int]] = {}
    bad_accounts: set[str] = set()
    for label in labels.to_pylist():
        if label["attack"] and not label["kind"].startswith("benign"):
            subjects[label["subject_type"], label["subject"]] = (label["kind"], label["attack"], label["start"])
            if label["subject_type"] == "account":
                bad_accounts.add(label["subject"])
    walked = _walk(touches, harmful, subjects, bad_accounts, start_us + warm_up_us, tier)
    for attack, found in attacks.items():
        entry = kinds[found.kind]
        entry.attacks += 1
        if attack in walked.caught:
            entry.caught += 1
        else:
            entry.watched += attack in walked.watched
            entry.missed.append(attack)
    for subject, (kind, attack, start) in subjects.items():
        entry = kinds.setdefault(kind, KindScore(kind))
        of_attack = attacks.setdefault(attack, AttackScore(attack, kind))
        entry.subjects += 1
        of_attack.subjects += 1
        if subject in walked.seen:
            entry.subjects_caught += 1
            of_attack.subjects_caught += 1
            entry.delays_s.append((walked.seen[subject] - start) / 1e6)
    for event_id in walked.flagged:
        kinds[harmful[event_id][1]].events_flagged += 1
    _when(attacks, truth, walked.caught)
    weeks = max(0, end_us - start_us - warm_up_us) / (7 * DAY_US)
    return Score(
        sorted(kinds.values(), key=lambda k: k.kind),
        len(accounts - bad_accounts),
        dict(walked.touched),
        weeks,
        list(attacks.values()),
        _benign(labels, walked.felt),
        len(walked.fired),
    )


def _when(attacks: dict[str, AttackScore], truth: pa.Table, caught: dict[str, int]) -> None:
    """When each attack first did harm, when it was first seen, and how much harm lay before."""
    for event in truth.to_pylist():
        if event["harmful"] and event["attack"]:
            entry, time = attacks[event["attack"]], event["time"]
            entry.events += 1
            entry.first_harm_us = time if entry.first_harm_us is None else min(entry.first_harm_us, time)
            entry.first_seen_us = caught.get(entry.attack)
            entry.harmful_before += entry.first_seen_us is None or time < entry.first_seen_us


def _benign(labels: pa.Table, felt: dict[tuple[str, str], list[int]]) -> dict[str, tuple[int, int]]:
    """Of each kind of honest behaviour: labelled subjects, and how many were touched while the label stood."""
    subjects: dict[str, dict[tuple[str, str], bool]] = defaultdict(dict)
    for label in labels.to_pylist():
        if label["kind"].startswith("benign"):
            subject = (label["subject_type"], label["subject"])
            end = label.get("end")
            hit = any(label["start"] <= at and (end is None or at < end) for at in felt.get(subject, ()))
            subjects[label["kind"]][subject] = subjects[label["kind"]].get(subject, False) or hit
    return {kind: (len(found), sum(found.values())) for kind, found in sorted(subjects.items())}


@dataclass
class _Walked:
    caught: dict[str, int] = field(default_factory=dict)  # attack → first decision, µs
    watched: set[str] = field(default_factory=set)
    flagged: set[str] = field(default_factory=set)
    seen: dict[tuple[str, str], int] = field(default_factory=dict)
    touched: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    felt: dict[tuple[str, str], list[int]] = field(default_factory=lambda: defaultdict(list))
    fired: set[tuple[str, str]] = field(default_factory=set)


def _walk(
    touches: Iterable[Touch],
    harmful: dict[str, tuple[str, str]],
    subjects: dict[tuple[str, str], tuple[str, str, int]],
    bad_accounts: set[str],
    after_us: int,
    tier: Tier,
) -> _Walked:
    out = _Walked()
    for touch in touches:
        row = touch.row
        attack = harmful.get(row.event_id or "")
        if row.tier < tier:
            if attack:
                out.watched.add(attack[0])
            continue
        if row.as_of >= after_us:
            out.fired.add((row.subject_type, row.subject))
        subject = ("file_sha256" if row.subject_type == "content" else row.subject_type, row.subject)
        label = subjects.get(subject)
        if label and row.as_of >= label[2]:
            out.seen.setdefault(subject, row.as_of)
            out.caught.setdefault(label[1], row.as_of)
        if attack:
            out.caught.setdefault(attack[0], row.as_of)
            out.flagged.add(row.event_id or "")
            for name in (touch.account, touch.actor):
                known = subjects.get(("account", name or ""))
                if known and row.as_of >= known[2]:
                    out.seen.setdefault(("account", name or ""), row.as_of)
            continue
        name = touch.person
        for one in {subject, ("account", name or "")}:
            out.felt[one].append(row.as_of)
        if not label and row.as_of >= after_us and name and name not in bad_accounts:
            out.touched[name].append(row.rules)
    return out
