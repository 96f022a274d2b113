"""Replay: decide the journal's records again with the same engine and name every difference to what was stored.

Stored decisions are the truth of what was done; replay is the check. It reads the journal, the packs published in it,
the decision segments and the store, and writes nothing. Rows whose texts were erased are counted apart, since a rule
that reads a text cannot see it. So are edges: floats within 1e-9 of what was stored, and what follows from them where
a rule's threshold lies that close (`edges`). Behind a retention cut it begins at the snapshot of the cut.
Revisions are checked beside (`revisions`).
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from shoal.events.schema import Flag, Kind
from shoal.rules.rules import SUBJECT_KINDS
from shoal.runtime.columns import one_chunk
from shoal.runtime.commit import decision_table, rows_of
from shoal.runtime.engine import Engine, Outcome
from shoal.runtime.home import Home
from shoal.runtime.keep.history import History
from shoal.runtime.review.differences import Difference, ReplayReport
from shoal.runtime.review.edges import NEAR, Edges, Flags
from shoal.runtime.review.revisions import Revisions
from shoal.storage.decisions import DecisionLog
from shoal.storage.frames import Int64s
from shoal.storage.journal import Journal
from shoal.storage.store import DecisionRow, Store

_BITS = ("matched_", "unknown_")


def replay(home: Home, moved: Callable[[int, int], None] = lambda _a, _b: None) -> ReplayReport:
    """Check every stored decision; see the module's docstring."""
    report = ReplayReport()
    journal = Journal.open(home.journal, identity=home.identity, read_only=True)
    store = home.open_store(read_only=True)
    log = DecisionLog.open(home.decisions, read_only=True)
    try:
        position = store.position()
        until = position.next_seq if position else 0
        with tempfile.TemporaryDirectory(prefix="shoal-replay-") as place:
            history = History(home, journal, Path(place), trust=False)
            report.first, engine = history.from_first()
            report.cut = history.cut() if journal.first_seq else ""
            comparison = Comparison(report, log, store)
            for group, outcome, now in history.forward(engine, report.first, until):
                moved(group.last_seq + 1, until)
                if outcome is not None:
                    comparison.add(outcome, now)
                comparison.revisions.check(now)
            comparison.revisions.rest()
    finally:
        log.close()
        store.close()
        journal.close()
    return report


class Comparison:
    """Holds what is decided again against what is stored, batch by batch, in journal order."""

    def __init__(self, report: ReplayReport, log: DecisionLog, store: Store) -> None:
        self.report, self._log, self._store = report, log, store
        self._edges: tuple[Engine, Edges] | None = None
        self.revisions = Revisions(report, log, store)
        self._touched: dict[tuple[str, int, str], tuple[int, int]] = {}

    def add(self, outcome: Outcome, engine: Engine) -> None:
        """Compare one batch, while the engine's frame holds it."""
        report = self.report
        again = decision_table(outcome, sample_one_in=1)
        seqs = outcome.seq
        flags = np.asarray(one_chunk(outcome.table, "flags"))
        erased = (flags & int(Flag.ERASED)) != 0
        report.events += len(seqs)
        report.erased += int(erased.sum())
        tables = list(self._log.read(int(seqs[0]), int(seqs[-1]) + 1))
        stored = pa.concat_tables(tables).combine_chunks() if tables else again.slice(0, 0)
        have = np.asarray(one_chunk(stored, "seq")) if stored.num_rows else np.zeros(0, np.int64)
        for seq in np.setxor1d(have, seqs).tolist():
            side = ("no decision", "decided") if seq in set(seqs.tolist()) else ("decided", "no event")
            report.add(Difference(seq, "row", *side))
        both, left, right = np.intersect1d(have, seqs, return_indices=True)
        keep = ~erased[right]
        rows = Rows(both[keep], left[keep], right[keep])
        on_edge = self._rules(rows, stored, again, outcome, engine)
        _compare_vectors(report, one_chunk(stored, "features"), rows, one_chunk(again, "features"), engine)
        on_edge |= self._decisions(outcome, engine, set(seqs[erased].tolist()), on_edge)
        self.revisions.note(set(seqs[erased].tolist()), on_edge)
        for name in again.column_names:
            if name in ("seq", "features") or name.startswith(_BITS):
                continue
            ours = np.asarray(one_chunk(again, name))[rows.right]
            known = name in stored.column_names
            theirs = np.asarray(one_chunk(stored, name))[rows.left] if known else np.zeros_like(ours)
            for k in np.flatnonzero(ours != theirs).tolist():
                self._tell(int(rows.seqs[k]) in on_edge, int(rows.seqs[k]), name, theirs[k], ours[k])

    def _tell(self, edge: bool, seq: int, what: str, stored: object, replayed: object) -> None:
        if edge:
            self.report.edge_rules += 1
        else:
            self.report.add(Difference(seq, what, str(stored), str(replayed)))

    def _rules(self, rows: Rows, stored: pa.Table, again: pa.Table, outcome: Outcome, engine: Engine) -> set[int]:
        """Compare the rules' bits; returns the records of which all that differs hangs on an edge."""
        differing: dict[int, set[int]] = {}
        wrong: list[tuple[int, str, object, object]] = []
        for name in again.column_names:
            if not name.startswith(_BITS):
                continue
            ours = np.asarray(one_chunk(again, name))[rows.right]
            known = name in stored.column_names
            theirs = np.asarray(one_chunk(stored, name))[rows.left] if known else np.zeros_like(ours)
            first = 64 * int(name.rpartition("_")[2])
            for k in np.flatnonzero(ours != theirs).tolist():
                wrong.append((k, name, theirs[k], ours[k]))
                bits = int(ours[k]) ^ int(theirs[k])
                differing.setdefault(k, set()).update(first + bit for bit in range(64) if bits >> bit & 1)
        on_edge = set()
        for k, rules in differing.items():
            row = int(rows.right[k])
            if all(rule < len(engine.pack.rules) and self._near(engine, rule, outcome)[row] for rule in rules):
                on_edge.add(int(rows.seqs[k]))
                for rule in rules:
                    self._touch(engine, rule, outcome, row)
        for k, name, old, new in wrong:
            self._tell(int(rows.seqs[k]) in on_edge, int(rows.seqs[k]), name, old, new)
        return on_edge

    def _near(self, engine: Engine, rule: int, outcome: Outcome) -> Flags:
        if self._edges is None or self._edges[0] is not engine:
            self._edges = (engine, Edges(engine))
        return self._edges[1].near(rule, outcome.frame)

    def _touch(self, engine: Engine, rule: int, outcome: Outcome, row: int) -> None:
        """Remember that the evidence on a rule's subject may differ from here on, while the policy knows it."""
        one, frame = engine.pack.rules[rule], outcome.frame
        place = frame.layout.index.get(one.subject)
        if place is None or not frame.valid[place, row]:
            return
        policy = engine.pack.policy
        threat = policy.threats.get(one.threat)
        lease = max((action.lease_s for action in threat.actions), default=0) if threat else 0
        until = int(outcome.table.column("as_of")[row].as_py()) + (2 * policy.evidence_s + lease) * 1_000_000
        key = (SUBJECT_KINDS[one.subject], int(frame.values[place, row]), one.threat)
        first, last = self._touched.get(key, (int(outcome.seq[row]), until))
        self._touched[key] = (min(first, int(outcome.seq[row])), max(last, until))

    def _decisions(self, outcome: Outcome, engine: Engine, erased: set[int], on_edge: set[int]) -> set[int]:
        """Compare the store's rows; returns the records whose decision hangs on an edge of an earlier record."""
        seqs = outcome.seq
        stored = self._store.read_decisions(from_seq=int(seqs[0]), to_seq=int(seqs[-1]) + 1, revision=0)
        decisions, _ = rows_of(outcome.table, outcome.decisions, engine)
        old = {_key(row): row for row in stored if row.seq not in erased}
        new = {_key(row): row for row in decisions if row.seq not in erased}
        self.report.decisions += len(new)
        later = set()
        for place in sorted(old.keys() | new.keys()):
            one, other = old.get(place), new.get(place)
            if one == other:
                continue
            seq, kind, subject, threat = place
            as_of = (one or other).as_of  # type: ignore[union-attr]
            first, last = self._touched.get((kind, subject, threat), (2**62, 0))
            edge = seq in on_edge or (seq >= first and as_of <= last)
            if edge:
                later.add(seq)
            self._tell(edge, seq, "decision", one, other)
        return later


@dataclass(frozen=True)
class Rows:
    """Rows that both sides have: their seqs, and where they stand in what is stored and in what was decided again."""

    seqs: Int64s
    left: Int64s
    right: Int64s


def _compare_vectors(report: ReplayReport, stored: pa.Array, rows: Rows, again: pa.Array, engine: Engine) -> None:
    mine, theirs = again.take(pa.array(rows.right)), stored.take(pa.array(rows.left))
    present = np.flatnonzero(np.asarray(theirs.is_valid()))
    report.vectors += len(present)
    for k in present.tolist():
        old, new = theirs[k].as_py(), mine[k].as_py()
        if old == new:
            continue
        before, after = vector_values(old, engine), vector_values(new, engine)
        for name in before:
            if nearly(before[name], after.get(name)):
                report.edges += before[name] != after.get(name)
            else:
                report.add(Difference(int(rows.seqs[k]), f"feature:{name}", str(before[name]), str(after.get(name))))


def nearly(old: object, new: object) -> bool:
    """Whether two feature values are equal in the sense of docs/features.md: floats within 1e-9, else exactly."""
    if isinstance(old, float) and isinstance(new, float):
        return math.isclose(old, new, rel_tol=NEAR, abs_tol=0.0)
    return type(old) is type(new) and old == new


def vector_values(packed: bytes, engine: Engine) -> dict[str, object]:
    """The features of one stored vector by name (None: null; a text feature gives its id)."""
    names, kinds = engine.computed.names, engine.computed.kinds
    values = np.frombuffer(packed[: 8 * len(names)], dtype=np.int64)
    valid = np.frombuffer(packed[8 * len(names) :], dtype=np.uint8)
    found: dict[str, object] = {}
    for k, (name, kind) in enumerate(zip(names, kinds, strict=True)):
        raw: Any = values[k : k + 1].view(np.float64)[0] if kind is Kind.FLOAT else values[k]
        found[name] = (bool(raw) if kind is Kind.BOOL else raw.item()) if valid[k] else None
    return found


def _key(row: DecisionRow) -> tuple[int, str, int, str]:
    return row.seq, row.subject_type, row.subject_id, row.threat
