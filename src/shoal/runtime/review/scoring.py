"""Scoring decisions against ground truth: what was caught, how soon, and which honest accounts were touched.

An attack is *caught* by the first decision at `challenge` or above on one of its harmful events, or about one of its
labelled subjects while the label stands. A labelled subject is caught by such a decision about itself, or on a
harmful event of that account, while the label stands. An honest account is *touched* by such a decision about it,
about its session, device, link or file, or about an address or network on an event of its own that belongs to no
attack; it counts once. Knows tables only: truth in, figures out.
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
class Score:
    """The whole comparison. `touched` are honest accounts after the warm-up; the rate is per 10,000 and week."""

    kinds: list[KindScore]
    honest_accounts: int
    touched: dict[str, list[str]]  # account → rules
    weeks: float

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
) -> Score:
    """Compare decisions with truth tables (columns as `simulate.truth` has them). `accounts`: all that acted."""
    harmful: dict[str, tuple[str, str]] = {}
    for event in truth.to_pylist():
        if event["harmful"] and event["attack"]:
            harmful[event["event_id"]] = (event["attack"], event["kind"])
    kinds: dict[str, KindScore] = {}
    kind_of: dict[str, str] = {}
    for attack, kind in harmful.values():
        kinds.setdefault(kind, KindScore(kind)).events += 1
        kind_of.setdefault(attack, kind)
    subjects: dict[tuple[str, str], tuple[str, str, int]] = {}
    bad_accounts: set[str] = set()
    for label in labels.to_pylist():
        if label["attack"] and not label["kind"].startswith("benign"):
            subjects[label["subject_type"], label["subject"]] = (label["kind"], label["attack"], label["start"])
            if label["subject_type"] == "account":
                bad_accounts.add(label["subject"])
    caught, watched, flagged, seen, touched = _walk(touches, harmful, subjects, bad_accounts, start_us + warm_up_us)
    for attack, kind in kind_of.items():
        entry = kinds[kind]
        entry.attacks += 1
        if attack in caught:
            entry.caught += 1
        else:
            entry.watched += attack in watched
            entry.missed.append(attack)
    for subject, (kind, _, start) in subjects.items():
        entry = kinds.setdefault(kind, KindScore(kind))
        entry.subjects += 1
        if subject in seen:
            entry.subjects_caught += 1
            entry.delays_s.append((seen[subject] - start) / 1e6)
    for event_id in flagged:
        kinds[harmful[event_id][1]].events_flagged += 1
    weeks = max(0, end_us - start_us - warm_up_us) / (7 * DAY_US)
    return Score(sorted(kinds.values(), key=lambda k: k.kind), len(accounts - bad_accounts), dict(touched), weeks)


def _walk(
    touches: Iterable[Touch],
    harmful: dict[str, tuple[str, str]],
    subjects: dict[tuple[str, str], tuple[str, str, int]],
    bad_accounts: set[str],
    after_us: int,
) -> tuple[set[str], set[str], set[str], dict[tuple[str, str], int], dict[str, list[str]]]:
    caught: set[str] = set()
    watched: set[str] = set()
    flagged: set[str] = set()
    seen: dict[tuple[str, str], int] = {}
    touched: dict[str, list[str]] = defaultdict(list)
    for touch in touches:
        row = touch.row
        attack = harmful.get(row.event_id or "")
        if row.tier < Tier.CHALLENGE:
            if attack:
                watched.add(attack[0])
            continue
        subject = ("file_sha256" if row.subject_type == "content" else row.subject_type, row.subject)
        label = subjects.get(subject)
        if label and row.as_of >= label[2]:
            seen.setdefault(subject, row.as_of)
            caught.add(label[1])
        if attack:
            caught.add(attack[0])
            flagged.add(row.event_id or "")
            for name in (touch.account, touch.actor):
                known = subjects.get(("account", name or ""))
                if known and row.as_of >= known[2]:
                    seen.setdefault(("account", name or ""), row.as_of)
        elif not label and row.as_of >= after_us:
            name = touch.person
            if name and name not in bad_accounts:
                touched[name].append(row.rules)
    return caught, watched, flagged, seen, touched
