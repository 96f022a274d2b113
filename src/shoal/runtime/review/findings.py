"""Findings of a deployment: its stored decisions gathered by subject and threat, ranked, with reasons in words.

Nothing is kept in memory while deciding: findings are a query over what is durable. All decisions above `allow`, each
event's last revision, give
counts, times and rules; for the subjects that are shown, the reason of each rule is rendered on the row where its
first number was largest (the first such row), from the stored feature vector and the journal's event. Reads only.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from shoal.expressions.frame import Frame
from shoal.policy.findings import Finding, Ranked, RuleHits, peak_values, rank
from shoal.runtime.columns import one_chunk
from shoal.runtime.engine import Engine
from shoal.runtime.keep.history import cut_in_words
from shoal.runtime.revise.reviser import with_known
from shoal.storage.decisions import DecisionLog
from shoal.storage.journal import Journal
from shoal.storage.store import DecisionRow, Store

MAX_PEAK_ROWS = 5_000
"""Of a rule's matches on one subject at most so many are searched for the peak (the first ones)."""


@dataclass
class _Gathered:
    finding: Finding
    seqs: dict[str, list[int]] = field(default_factory=dict)


def gather(rows: Iterable[DecisionRow], engine: Engine) -> list[_Gathered]:
    """Group decisions by (subject, threat); rows in seq order."""
    known = {rule.id: rule for rule in engine.pack.rules}
    groups: dict[tuple[str, int, str], _Gathered] = {}
    rules_of: dict[str, list[str]] = {}
    for row in rows:
        key = (row.subject_type, row.subject_id, row.threat)
        group = groups.get(key)
        if group is None:
            threat = engine.pack.policy.threats.get(row.threat)
            role = threat.role if threat else ""
            finding = Finding(row.subject_type, row.subject, row.threat, role, first=row.as_of)
            group = groups[key] = _Gathered(finding)
        finding = group.finding
        finding.tier = max(finding.tier, row.tier)
        finding.last = row.as_of
        finding.count += 1
        if row.actions != "[]":
            for action in json.loads(row.actions):
                finding.actions[action] = finding.actions.get(action, 0) + 1
        names = rules_of.get(row.rules)
        if names is None:
            names = rules_of[row.rules] = json.loads(row.rules)
        for name in names:
            hits = finding.rules.get(name)
            if hits is None:
                hits = finding.rules[name] = _hits(name, known, row)
                finding.severity = max(finding.severity, hits.severity)
                group.seqs[name] = []
            hits.count += 1
            hits.last = row.as_of
            seqs = group.seqs[name]
            if len(seqs) < MAX_PEAK_ROWS:
                seqs.append(row.seq)
    return list(groups.values())


def _hits(name: str, known: dict[str, Any], row: DecisionRow) -> RuleHits:
    rule = known.get(name)
    if rule is None:  # decided by an earlier pack that had this rule
        return RuleHits(name, name, 0, "", (), name, 0.0, first=row.as_of, first_seq=row.seq)
    family = rule.family or rule.id
    return RuleHits(
        name,
        rule.title,
        int(rule.severity),
        rule.tactic,
        rule.technique,
        family,
        rule.confidence,
        first=row.as_of,
        first_seq=row.seq,
    )


@dataclass(frozen=True)
class Findings:
    """The subjects that are shown, with their reasons in words, and how many there are in all."""

    shown: list[Ranked]
    total: int


def find(journal: Journal, log: DecisionLog, store: Store, engine: Engine, top: int, per_threat: int = 0) -> Findings:
    """The `top` subjects by rank; with `per_threat`, at most so many whose gravest finding is of one threat."""
    groups = gather(store.read_decisions(latest=True), engine)
    ordered = rank(group.finding for group in groups)
    shown = _pick(ordered, top, per_threat)
    home = {(g.finding.kind, g.finding.subject, g.finding.threat): g for g in groups}
    _tell([home[f.kind, f.subject, f.threat] for entry in shown for f in entry.findings], journal, log, engine, store)
    return Findings(shown, len(ordered))


def _pick(ordered: list[Ranked], top: int, per_threat: int) -> list[Ranked]:
    if not per_threat:
        return ordered[:top]
    taken: Counter[str] = Counter()
    shown: list[Ranked] = []
    for entry in ordered:
        threat = entry.findings[0].threat
        if taken[threat] < per_threat and len(shown) < top:
            taken[threat] += 1
            shown.append(entry)
    return shown


def _tell(groups: Sequence[_Gathered], journal: Journal, log: DecisionLog, engine: Engine, store: Store) -> None:
    """Render the reasons of all rules of these findings, at their peaks."""
    places = {rule.id: k for k, rule in enumerate(engine.pack.rules)}
    first = journal.first_seq
    seqs = np.unique(np.array([seq for group in groups for found in group.seqs.values() for seq in found], np.int64))
    seqs = seqs[seqs >= first]
    frame = stored_frame(seqs, journal, log, engine, store) if len(seqs) else Frame.empty(engine.layout, 1)
    for group in groups:
        for name, found in group.seqs.items():
            numbers = [seq for seq in found if seq >= first]
            if name not in places:
                continue
            if not numbers:
                hits = group.finding.rules[name]
                told = f"{hits.title} (its events lie before {cut_in_words(journal)})"
                group.finding.rules[name] = replace(hits, reason=told)
                continue
            rows = np.searchsorted(seqs, np.array(numbers, np.int64))
            values = peak_values(frame, engine.rules.reasons[places[name]].peak, rows)
            best = int(values.argmax())
            hits = group.finding.rules[name]
            told = engine.rules.render(places[name], frame, int(rows[best]))
            group.finding.rules[name] = replace(hits, peak_seq=numbers[best], peak=float(values[best]), reason=told)


def stored_frame(
    seqs: np.ndarray[Any, np.dtype[np.int64]], journal: Journal, log: DecisionLog, engine: Engine, store: Store
) -> Frame:
    """The frame of these events (ascending seqs) as they were decided last: events from the journal with what became
    known since, features as stored."""
    frame = Frame.empty(engine.layout, len(seqs))
    known: dict[int, dict[str, Any]] = {}
    for revision in store.read_revisions(from_seq=int(seqs[0]), to_seq=int(seqs[-1]) + 1):
        known[revision.seq] = json.loads(revision.known)
    events = journal.rows(seqs)
    if known:
        events = with_known(events, [known.get(seq, {}) for seq in seqs.tolist()])
    frame.fill(engine.with_attributes(events), engine.identity)
    start, count = len(engine.event_layout.names), len(engine.computed.names)
    for table in log.read(int(seqs[0]), int(seqs[-1]) + 1):
        _, rows, places = np.intersect1d(
            np.asarray(one_chunk(table, "seq")), seqs, assume_unique=True, return_indices=True
        )
        vectors = one_chunk(table, "features").take(pa.array(rows))
        for place, packed in zip(places.tolist(), vectors.to_pylist(), strict=True):
            if packed is None or len(packed) != 9 * count:  # a vector of another pack
                continue
            frame.values[start : start + count, place] = np.frombuffer(packed, np.int64, count)
            frame.valid[start : start + count, place] = np.frombuffer(packed, np.uint8, count, 8 * count)
    return frame
