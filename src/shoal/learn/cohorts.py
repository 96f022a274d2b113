"""Precision and recall by cohort of decisions, honest about labels that are not there yet.

A cohort is the subjects first decided on within one stretch of time (a day, a week). For each: how many have been
found abusive or benign *by the report's time*, how many are without a label, and which share of the labels that will
come is there by now (`maturity`, see `delays`). A cohort that is not ripe is said to be too young instead of getting
a figure.

- Precision is quoted among the labelled, with its interval, beside two bounds that no selection of labels can break:
  every subject without a label honest, every one abusive. Unreported is not benign.
- Recall is quoted over the labelled abusive subjects by the time their abuse began. Abuse that nobody ever reports is
in
  no recall.
Right-censored: a label known after `now` does not exist; a retraction known by `now` takes its label away.
Knows tables only: decisions and labels in, figures out. Labels are those of `events.labels`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from shoal.errors import InvalidInput, Problem
from shoal.learn.delays import DelayCurve, fit_delays
from shoal.learn.intervals import Interval, Share

DAY_US = 86_400_000_000
RIPE = 0.8
"""A cohort is ripe when at least this share of its labels is expected to be known."""
ENOUGH = 10
"""Fewer labels than this in a cohort are too few to quote a share."""


class Subject(NamedTuple):
    """What a decision or a label is about."""

    type: str
    name: str


@dataclass(frozen=True)
class Decided:
    """The first decision of at least the report's tier about one subject: when (µs UTC), for which threat, by which
    rules."""

    subject: Subject
    at_us: int
    threat: str
    rules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Label:
    """What is known of a subject over [`start_us`, `end_us`) since `known_us`. `abusive` False: benign. `confidence`
    in [0, 1], None where its source gave none."""

    subject: Subject
    kind: str
    abusive: bool
    start_us: int
    end_us: int
    known_us: int
    confidence: float | None = None


@dataclass
class Cohort:
    """One cohort. `maturity`: the share of its labels that is expected to be known by now. `precision` is a share of
    the labelled, `bounds` of all decided; `too_young` says why a figure is not to be read yet, empty where it may be.
    """

    start_us: int
    end_us: int
    maturity: float
    decided: int = 0
    abusive: int = 0
    benign: int = 0
    begun: int = 0
    caught: int = 0
    too_young: str = ""

    @property
    def unlabelled(self) -> int:
        """Subjects decided on of which nothing is known."""
        return self.decided - self.abusive - self.benign

    @property
    def precision(self) -> Share:
        """Abusive among the labelled."""
        return Share(self.abusive, self.abusive + self.benign)

    @property
    def bounds(self) -> Interval:
        """Precision if every unlabelled subject were honest, and if every one were abusive."""
        if not self.decided:
            return Interval(0.0, 1.0)
        return Interval(self.abusive / self.decided, 1 - self.benign / self.decided)

    @property
    def recall(self) -> Share:
        """Caught among the labelled abusive subjects whose abuse began in the cohort."""
        return Share(self.caught, self.begun)


@dataclass(frozen=True)
class CohortReport:
    """All cohorts, oldest first; `ripe` sums those that are not too young; `delays` is what maturity was read from."""

    cohorts: tuple[Cohort, ...]
    ripe: Cohort
    delays: DelayCurve
    now_us: int
    by_rule: Mapping[str, Share] = field(default_factory=dict)


def read_labels(rows: Iterable[Mapping[str, Any]], now_us: int) -> list[Label]:
    """Labels as they stood at `now_us`, from rows of the label schema: later ones are left out, retracted ones go.

    A retraction names the same subject, kind and source as the label that it takes back, and holds from its own
    `known_at`. A row without `known_at` was never known. Kinds that begin with `benign` are benign."""
    standing: dict[tuple[Any, ...], Mapping[str, Any]] = {}
    known = [row for row in rows if row["known_at"] is not None and row["known_at"] <= now_us]
    for row in sorted(known, key=lambda row: (row["known_at"], bool(row["retracted"]))):
        key = (row["subject_type"], row["subject"], row["kind"], row["source"])
        if row["retracted"]:
            for full in [full for full in standing if full[:4] == key]:
                del standing[full]
        else:
            standing.setdefault((*key, row["start"], row["end"]), row)
    return [
        Label(
            Subject(row["subject_type"], row["subject"]),
            row["kind"],
            not row["kind"].startswith("benign"),
            -(2**62) if row["start"] is None else row["start"],
            2**62 if row["end"] is None else row["end"],
            row["known_at"],
            row.get("confidence"),
        )
        for row in standing.values()
    ]


def judge(decided: Decided, labels: Sequence[Label], lead_us: int = DAY_US) -> bool | None:
    """Whether the labels of a subject say that it was abusive when it was decided on: True, False (benign), or None.

    A decision up to `lead_us` before the labelled start counts: a detector may be earlier than the analyst's note of
    the beginning. Abuse outweighs a benign label of the same time."""
    said: bool | None = None
    for label in labels:
        if label.start_us - lead_us <= decided.at_us < label.end_us:
            said = bool(said) or label.abusive
    return said


def report_cohorts(
    decided: Iterable[Decided],
    labels: Sequence[Label],
    *,
    now_us: int,
    cohort_us: int = 7 * DAY_US,
    start_us: int | None = None,
    ripe: float = RIPE,
    enough: int = ENOUGH,
    lead_us: int = DAY_US,
) -> CohortReport:
    """Precision and recall by cohort as of `now_us`.

    `decided`: any decisions; the first of each (subject, threat) counts. `labels`: as `read_labels` gives them.
    Cohorts are `cohort_us` long from `start_us` (default: the first decision). Raises `InvalidInput` for a cohort
    length under 1 and for a decision after `now_us`."""
    if cohort_us < 1:
        raise InvalidInput(Problem("cohorts.length", f"a cohort of {cohort_us} µs", allowed="1 or more"))
    firsts = _firsts(decided)
    if any(one.at_us > now_us for one in firsts):
        raise InvalidInput(Problem("cohorts.future", "a decision lies after the report's time"))
    about: dict[Subject, list[Label]] = defaultdict(list)
    for label in labels:
        about[label.subject].append(label)
    abusive = [label for label in labels if label.abusive]
    begins = [label.start_us for label in abusive if -(2**62) < label.start_us <= now_us]
    start = start_us if start_us is not None else min([one.at_us for one in firsts] + begins, default=now_us)
    curve = _delay_curve(firsts, about, now_us, lead_us)
    cohorts = [Cohort(at, min(at + cohort_us, now_us), 0.0) for at in range(start, now_us, cohort_us)]
    starts = [cohort.start_us for cohort in cohorts]
    rules: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    ripeness: list[list[float]] = [[] for _ in cohorts]
    for one in firsts:
        at = bisect_right(starts, one.at_us) - 1
        said = judge(one, about.get(one.subject, ()), lead_us)
        for rule in one.rules if said is not None else ():
            rules[rule][0] += said is True
            rules[rule][1] += 1
        if at >= 0:
            cohorts[at].decided += 1
            ripeness[at].append(curve.maturity(now_us - one.at_us))
            cohorts[at].abusive += said is True
            cohorts[at].benign += said is False
    _recall(cohorts, starts, firsts, abusive, lead_us)
    for cohort, ages in zip(cohorts, ripeness, strict=True):
        cohort.maturity = sum(ages) / len(ages) if ages else curve.maturity(now_us - cohort.end_us)
        cohort.too_young = _too_young(cohort, ripe, enough)
    by_rule = {rule: Share(*counts) for rule, counts in sorted(rules.items())}
    return CohortReport(tuple(cohorts), _sum([c for c in cohorts if not c.too_young]), curve, now_us, by_rule)


def _firsts(decided: Iterable[Decided]) -> list[Decided]:
    firsts: dict[tuple[Subject, str], Decided] = {}
    for one in decided:
        key = (one.subject, one.threat)
        if key not in firsts or one.at_us < firsts[key].at_us:
            firsts[key] = one
    return sorted(firsts.values(), key=lambda one: (one.at_us, one.subject, one.threat))


def _delay_curve(
    firsts: Sequence[Decided], about: Mapping[Subject, list[Label]], now_us: int, lead_us: int
) -> DelayCurve:
    delays, horizons = [], []
    for one in firsts:
        known = [
            label.known_us
            for label in about.get(one.subject, ())
            if label.start_us - lead_us <= one.at_us < label.end_us
        ]
        if known:
            delays.append(min(known) - one.at_us)
            horizons.append(now_us - one.at_us)
    return fit_delays(np.array(delays, dtype=np.int64), np.array(horizons, dtype=np.int64))


def _recall(
    cohorts: list[Cohort], starts: list[int], firsts: Sequence[Decided], abusive: Sequence[Label], lead_us: int
) -> None:
    times: dict[Subject, list[int]] = defaultdict(list)
    for one in firsts:
        times[one.subject].append(one.at_us)
    for label in abusive:
        at = bisect_right(starts, label.start_us) - 1
        if at < 0 or label.start_us >= cohorts[at].end_us:
            continue
        cohorts[at].begun += 1
        cohorts[at].caught += any(
            label.start_us - lead_us <= when < label.end_us for when in times.get(label.subject, ())
        )


def _too_young(cohort: Cohort, ripe: float, enough: int) -> str:
    labelled = cohort.abusive + cohort.benign
    if cohort.maturity < ripe:
        return f"{cohort.maturity:.0%} of labels known"
    if labelled < enough:
        return f"{labelled} of {cohort.decided} labelled"
    return ""


def _sum(cohorts: Sequence[Cohort]) -> Cohort:
    if not cohorts:
        return Cohort(0, 0, 0.0, too_young="no cohort is ripe")
    total = Cohort(cohorts[0].start_us, cohorts[-1].end_us, min(cohort.maturity for cohort in cohorts))
    for cohort in cohorts:
        for name in ("decided", "abusive", "benign", "begun", "caught"):
            setattr(total, name, getattr(total, name) + getattr(cohort, name))
    return total
