"""Labels as they stood at a time, turned into a target for each row of a frame.

A row is positive only inside the interval of a label of the wanted kinds: what the owner did before a takeover is no
takeover. It is a *confirmed* negative where a benign label covers it, or where a label that was known after the row
says that the abuse began later or had ended. Any other row older than the maturity window is a *presumed* negative
(nobody reported it, which is not the same as benign: see `fitting.unlabelled`), and a younger one is left out: its
label may be on its way. Rows inside another kind of abuse are left out too: they are neither what is looked for nor
honest.

Where labels of one row contradict each other, the higher confidence decides (unknown counts as 0.5), then the label
known later, then abuse. Labels of accounts that the frame does not hold are counted and harm nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shoal.errors import InvalidInput, Problem, Where
from shoal.events.labels import LABEL_COLUMNS, LABEL_SCHEMA
from shoal.learn.cohorts import DAY_US, Label, read_labels
from shoal.learn.delays import DelayCurve, fit_delays
from shoal.learn.frame import Bools, Floats, Int64s, TrainingFrame

MATURE = 0.9
"""Unlabelled rows count as negative once this share of the labels that will come has come."""
DEFAULT_MATURITY_US = 14 * DAY_US
"""Where no label delay could be seen; never more than a third of the frame's span."""
MOST_PROBLEMS = 20
_ROLES = {"actor": "account", "owner": "account", "registered_domain": "domain", "file_sha256": "file"}
_UNSURE = 0.5


class Standing(IntEnum):
    """What is known of a row."""

    POSITIVE = 1
    CONFIRMED = 0  # known to be negative
    PRESUMED = 2  # negative because nobody said otherwise for long enough
    TOO_YOUNG = -1
    OTHER_ABUSE = -2
    NO_SUBJECT = -3
    JUST_BEFORE = -4  # within `lead_us` of the beginning of an abuse


@dataclass(frozen=True, eq=False)
class Targets:
    """`standing` [n] by row (`Standing`); `confidence` [n] of the label that decided (NaN: none, or not given);
    `until_us` what was known; `maturity_us` the window used and why; `counts` of labels by what became of them."""

    standing: npt.NDArray[np.int8]
    confidence: Floats
    until_us: int
    maturity_us: int
    why_maturity: str
    counts: Mapping[str, int]
    delays: DelayCurve = field(repr=False)

    @property
    def usable(self) -> Bools:
        """Rows that are positive or negative [n]."""
        usable: Bools = self.standing >= 0
        return usable

    @property
    def positive(self) -> Bools:
        """Rows that are positive [n]."""
        positive: Bools = self.standing == Standing.POSITIVE
        return positive

    @property
    def presumed(self) -> Bools:
        """Negative rows of which nothing is known [n]."""
        presumed: Bools = self.standing == Standing.PRESUMED
        return presumed

    def take(self, rows: Int64s) -> Targets:
        """The targets of some rows."""
        return Targets(
            self.standing[rows],
            self.confidence[rows],
            self.until_us,
            self.maturity_us,
            self.why_maturity,
            self.counts,
            self.delays,
        )

    def words(self) -> list[str]:
        """What became of the labels and rows, a line each."""
        lines = [f"{count:,} {name}" for name, count in self.counts.items() if count]
        rows = Counter(self.standing.tolist())
        names = {
            Standing.POSITIVE: "rows positive",
            Standing.CONFIRMED: "rows known to be negative",
            Standing.PRESUMED: "rows presumed negative (no label, older than the maturity window)",
            Standing.TOO_YOUNG: "rows too young to be presumed anything",
            Standing.OTHER_ABUSE: "rows inside another kind of abuse, left out",
            Standing.JUST_BEFORE: "rows just before an abuse, left out",
            Standing.NO_SUBJECT: "rows without a subject, left out",
        }
        return lines + [f"{rows[code]:,} {name}" for code, name in names.items() if rows[code]]


def read_targets(
    frame: TrainingFrame,
    labels: pa.Table | Iterable[Mapping[str, Any]],
    until_us: int,
    *,
    maturity_us: int | None = None,
    lead_us: int = 0,
) -> Targets:
    """The target of each row from labels known by `until_us`.

    `labels`: a table or rows of `LABEL_SCHEMA`. `maturity_us`: None takes the age at which 90 % of the labels seen
    have come (see `delays`), else two weeks, and never more than a third of the frame's span. `lead_us`: rows this
    long before the beginning of an abuse are left out, where its beginning is only roughly known.

    Raises `InvalidInput` with all problems: `labels.shape`, `labels.confidence`, `labels.interval`, `labels.subject`,
    `labels.kind`, `targets.window`. O(rows + labels log labels + rows of labelled subjects).
    """
    rows = _rows(labels)
    if (maturity_us is not None and maturity_us < 0) or lead_us < 0:
        raise InvalidInput(Problem("targets.window", "a window is under 0", allowed="0 µs or more"))
    wanted_type = _ROLES.get(frame.definition.subject, frame.definition.subject)
    standing_labels = read_labels(rows, until_us)
    counts = _count(rows, standing_labels, until_us)
    mine = [label for label in standing_labels if label.subject.type == wanted_type]
    counts["labels of other subject types"] = len(standing_labels) - len(mine)
    kinds = set(frame.definition.labels)
    curve = _delays(mine, kinds, until_us)
    window, why = _maturity(frame, curve, until_us, maturity_us)
    standing = np.full(len(frame), Standing.PRESUMED, np.int8)
    standing[frame.time > until_us - window] = Standing.TOO_YOUNG
    confidence = np.full(len(frame), np.nan)
    places = _places(frame)
    about: dict[str, list[Label]] = {}
    for label in mine:
        about.setdefault(label.subject.name, []).append(label)
    for name, found in sorted(about.items()):
        at = places.get(name)
        if at is None:
            counts["labels of subjects that the frame does not hold"] += len(found)
            continue
        counts["rows with contradicting labels"] += _settle(
            frame.time[at], at, found, kinds, lead_us, standing, confidence
        )
        for label in found:
            kind = "positive" if label.kind in kinds else "benign" if not label.abusive else "other"
            counts[f"{kind} labels used"] += 1
    standing[frame.time > until_us] = Standing.TOO_YOUNG
    standing[frame.subjects < 0] = Standing.NO_SUBJECT
    return Targets(standing, confidence, until_us, window, why, dict(counts), curve)


def _rows(labels: pa.Table | Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    rows = labels.to_pylist() if isinstance(labels, pa.Table) else list(labels)
    problems, wanted = [], [name for name in LABEL_SCHEMA.names if name not in ("offset", "confidence")]
    for number, row in enumerate(rows):
        where = Where(line=number + 1, path="labels")
        if missing := [name for name in wanted if name not in row]:
            problems.append(Problem("labels.shape", f"a label lacks {', '.join(missing)}", where))
            continue
        if row["subject_type"] not in LABEL_COLUMNS or not isinstance(row["subject"], str):
            message = f"{row['subject_type']!r} {row['subject']!r} is no subject"
            problems.append(Problem("labels.subject", message, where, allowed=", ".join(LABEL_COLUMNS)))
        if not isinstance(row["kind"], str) or not row["kind"]:
            problems.append(Problem("labels.kind", f"the kind {row['kind']!r} is none", where))
        given = row.get("confidence")
        if given is not None and not (isinstance(given, int | float) and 0 <= given <= 1):
            problems.append(Problem("labels.confidence", f"a confidence of {given}", where, allowed="0 to 1, or null"))
        problems += _time_problems(row, where)
    if problems:
        more = len(problems) - MOST_PROBLEMS
        last = [Problem("labels.more", f"and {more:,} problems more")] if more > 0 else []
        raise InvalidInput(problems[:MOST_PROBLEMS] + last)
    return rows


def _time_problems(row: Mapping[str, Any], where: Where) -> list[Problem]:
    times = {name: row[name] for name in ("start", "end", "known_at")}
    found = [
        Problem("labels.interval", f"{name} is {value!r}", where, allowed="microseconds UTC, or null")
        for name, value in times.items()
        if value is not None and (isinstance(value, bool) or not isinstance(value, int))
    ]
    if not found and None not in (row["start"], row["end"]) and row["start"] >= row["end"]:
        found.append(Problem("labels.interval", "it ends before it begins", where, allowed="start < end"))
    return found


def _count(rows: list[Mapping[str, Any]], standing: list[Label], until_us: int) -> Counter[str]:
    counts: Counter[str] = Counter()
    counts["labels read"] = len(rows)
    known = [row for row in rows if row["known_at"] is not None and row["known_at"] <= until_us]
    counts["labels known later, or never"] = len(rows) - len(known)
    given = [row for row in known if not row["retracted"]]
    counts["retractions"] = len(known) - len(given)
    counts["labels retracted, or said twice"] = len(given) - len(standing)
    return counts


def _delays(labels: list[Label], kinds: set[str], until_us: int) -> DelayCurve:
    begun = [one for one in labels if one.kind in kinds and -(2**62) < one.start_us <= one.known_us]
    delays = np.array([one.known_us - one.start_us for one in begun], np.int64)
    return fit_delays(delays, np.array([until_us - one.start_us for one in begun], np.int64))


def _maturity(frame: TrainingFrame, curve: DelayCurve, until_us: int, given: int | None) -> tuple[int, str]:
    if given is not None:
        return given, "as asked for"
    first = int(frame.time.min(initial=until_us))
    most = max(0, until_us - first) // 3
    seen = curve.quantile_us(MATURE)
    if seen is None or curve.labels < 10:
        window, why = DEFAULT_MATURITY_US, "two weeks, since too few labels were seen with their delay"
    else:
        window, why = seen, f"{MATURE:.0%} of the labels seen ({curve.labels:,}) had come by then"
    if window > most:
        return most, f"a third of the frame's span; wanted were {window / DAY_US:.1f} days ({why})"
    return window, why


def _places(frame: TrainingFrame) -> dict[str, Int64s]:
    codes = frame.subjects
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-2))
    names = frame.subject.take(pa.array(order[starts])).to_pylist() if len(order) else []
    parts = np.split(order, starts[1:])
    return {name: part for name, part in zip(names, parts, strict=True) if name is not None}


def _settle(
    times: Int64s,
    at: Int64s,
    labels: list[Label],
    kinds: set[str],
    lead_us: int,
    standing: npt.NDArray[np.int8],
    confidence: Floats,
) -> int:
    """Write the standing of one subject's rows; answer how many of them had contradicting labels."""

    def rank(label: Label) -> tuple[float, int, bool]:
        return (_UNSURE if label.confidence is None else label.confidence, label.known_us, label.abusive)

    said = np.full(len(at), -9, np.int8)
    sure = np.full(len(at), np.nan)
    clash = np.zeros(len(at), np.bool_)
    for label in sorted(labels, key=rank):
        inside = (times >= label.start_us) & (times < label.end_us)
        verdict = (
            Standing.POSITIVE if label.kind in kinds else Standing.OTHER_ABUSE if label.abusive else Standing.CONFIRMED
        )
        clash |= inside & (said != -9) & (said != verdict)
        said[inside] = verdict
        sure[inside] = math.nan if label.confidence is None else label.confidence
    for label in labels:
        if label.kind in kinds:
            outside = (said == -9) & (times <= label.known_us)
            near = outside & (times < label.start_us) & (times >= label.start_us - lead_us)
            said[outside] = Standing.CONFIRMED
            said[near] = Standing.JUST_BEFORE
    spoken = said != -9
    standing[at[spoken]] = said[spoken]
    confidence[at] = sure
    return int(clash.sum())
