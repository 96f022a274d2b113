"""Precision and recall of a deployment's own decisions, by cohort, as of a stated time.

Reads the stored decisions, the journal's labels and the outcomes of challenges; `learn.cohorts` judges. Labels join by
`known_at`: the report of last month can be made again as it would have looked then. Writes nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow.compute as pc

from shoal.errors import InvalidInput, Problem
from shoal.learn.challenges import ASSUMED, ChallengeErrors, intruders
from shoal.learn.cohorts import DAY_US, CohortReport, Decided, Subject, read_labels, report_cohorts
from shoal.learn.intervals import Interval
from shoal.policy.definitions import Tier
from shoal.runtime.home import Home
from shoal.runtime.ingest.writer import LABELS
from shoal.runtime.judge.side import LABEL_TYPES
from shoal.storage.frames import ControlFrame, EventFrame
from shoal.storage.journal import Journal

CHALLENGES = {"challenge.issued": "issued", "challenge.passed": "passed", "challenge.failed": "failed"}
ANSWER_US = 3_600_000_000
"""A challenge that has no answer an hour after it was issued is taken for abandoned."""


@dataclass(frozen=True)
class ChallengeReport:
    """Shoal's own challenges of one method: counts by outcome, and the share of intruders that they speak for, given
    the assumed errors of the method; None where the method's errors are not known."""

    method: str
    outcomes: Mapping[str, int]
    intruders: float | None
    interval: Interval | None


@dataclass(frozen=True)
class Judged:
    """Cohorts by threat ("" = all together), and what challenges say. Recall is only of all together: a label names a
    kind of abuse, not a threat of a pack, so no threat can be said to have missed it."""

    by_threat: Mapping[str, CohortReport]
    challenges: list[ChallengeReport]
    labels: int


def judge_decisions(
    home: Home,
    *,
    labels: Iterable[Mapping[str, Any]] = (),
    now_us: int | None = None,
    cohort_us: int = 7 * DAY_US,
    tier: Tier = Tier.CHALLENGE,
    errors: Mapping[str, ChallengeErrors] = ASSUMED,
) -> Judged:
    """Judge the stored decisions of at least `tier` as of `now_us` (default: the journal's last `as_of`).

    `labels`: rows of the label schema beside those in the journal. Raises `InvalidInput` for a journal without events.
    """
    journal = Journal.open(home.journal, identity=home.identity, read_only=True)
    store = home.open_store(read_only=True)
    try:
        now = journal.last_as_of if now_us is None else now_us
        if now is None:
            raise InvalidInput(Problem("cohorts.empty", "the journal has no events"))
        said, challenges = _read(journal, now, errors)
        known = read_labels([*said, *labels], now)
        rules: dict[str, tuple[str, ...]] = {}
        decided: dict[str, list[Decided]] = defaultdict(list)
        for row in store.read_decisions(latest=True):
            if row.tier >= tier and row.as_of <= now:
                if row.rules not in rules:
                    rules[row.rules] = tuple(orjson.loads(row.rules))
                subject = Subject(LABEL_TYPES.get(row.subject_type, row.subject_type), row.subject)
                decided[row.threat].append(Decided(subject, row.as_of, row.threat, rules[row.rules]))
    finally:
        store.close()
        journal.close()
    every = [one for listed in decided.values() for one in listed]
    start = min([one.at_us for one in every], default=now)
    reports = {"": report_cohorts(every, known, now_us=now, cohort_us=cohort_us, start_us=start)}
    for threat, listed in sorted(decided.items()):
        about = {one.subject for one in listed}
        own = [label for label in known if label.subject in about]
        reports[threat] = report_cohorts(listed, own, now_us=now, cohort_us=cohort_us, start_us=start)
    return Judged(reports, challenges, len(known))


def _read(
    journal: Journal, now_us: int, errors: Mapping[str, ChallengeErrors]
) -> tuple[list[Mapping[str, Any]], list[ChallengeReport]]:
    """The journal's labels, and what became of Shoal's own challenges, in one pass."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    said: list[Mapping[str, Any]] = []
    for frame in journal.read():
        if isinstance(frame, ControlFrame) and frame.kind == LABELS:
            said.append(frame.body)
        if not isinstance(frame, EventFrame) or "cause" not in frame.table.column_names:
            continue
        ours = frame.table.filter(pc.equal(frame.table.column("cause"), "shoal"))
        names = [name for name in ("type", "method", "as_of") if name in ours.column_names]
        for row in ours.select(names).to_pylist():
            outcome = CHALLENGES.get(row["type"])
            if outcome and row["as_of"] <= (now_us - ANSWER_US if outcome == "issued" else now_us):
                counts[row.get("method") or "unknown"][outcome] += 1
    reports = []
    for method, seen in sorted(counts.items()):
        outcomes = {name: seen[name] for name in ("passed", "failed")}
        outcomes["abandoned"] = max(0, seen["issued"] - sum(outcomes.values()))
        value, interval = intruders(outcomes, errors[method]) if method in errors else (None, None)
        reports.append(ChallengeReport(method, outcomes, value, interval))
    return said, reports
