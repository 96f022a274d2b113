"""Replay's check of revisions: what is decided again of earlier events, held against what was stored.

A revision is compared in the store's row, in the decision log, in the decisions above `allow` and in the outbox. One
that was stored and is not made again, or the other way round, is a difference. Revisions of events before a retention
cut are not compared, since the events are gone; nor are those of events whose texts were erased.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from shoal.runtime.commit import rows_of
from shoal.runtime.engine import Engine
from shoal.runtime.review.differences import Difference, ReplayReport
from shoal.runtime.revise.rows import revised_rows
from shoal.storage.decisions import DecisionLog
from shoal.storage.store import DecisionRow, OutboxRow, RevisionRow, Store

Key = tuple[Any, ...]


class Revisions:
    """Stored revisions, by what they are; `check` takes out what was found again, `rest` tells what was not."""

    def __init__(self, report: ReplayReport, log: DecisionLog, store: Store) -> None:
        self._report = report
        self._stored: dict[Key, Any] = {}
        self._erased: set[int] = set()
        self._edges: set[int] = set()
        for row in store.read_revisions():
            self._stored["revision", row.seq, row.revision] = row
        if not self._stored:
            return
        for table in log.read(revisions=True):
            self._stored |= dict(_logged(table))
        seqs = sorted({key[1] for key in self._stored})
        for decision in store.read_decisions(from_seq=seqs[0], to_seq=seqs[-1] + 1):
            if decision.revision:
                self._stored[_decided(decision)] = decision
        self._stored |= {_sent(row): row for row in store.read_outbox() if "revision" in row.body}
        self._stored = {key: row for key, row in self._stored.items() if key[1] >= report.first}

    def note(self, erased: set[int], edges: set[int]) -> None:
        """Events whose texts were erased, and events whose answers hang on an edge."""
        self._erased |= erased
        self._edges |= edges

    def check(self, engine: Engine) -> None:
        """Compare what the group that the engine took last revised."""
        if engine.reviser is None or not engine.reviser.now.rounds:
            return
        again = revised_rows(engine.reviser, lambda table, decisions: rows_of(table, decisions, engine))
        found: dict[Key, Any] = {("revision", row.seq, row.revision): row for row in again.revisions}
        self._report.revisions += len(again.revisions)
        if again.segment is not None:
            found |= dict(_logged(again.segment))
        found |= {_decided(row): row for row in again.decisions}
        found |= {_sent(row): row for row in again.outbox}
        for key, row in found.items():
            if key[1] >= self._report.first:
                self._compare(key, self._stored.pop(key, None), row)

    def rest(self) -> None:
        """Tell what was stored and not made again."""
        for key, row in sorted(self._stored.items(), key=lambda item: item[0][1:3]):
            self._compare(key, row, None)

    def _compare(self, key: Key, stored: Any, again: Any) -> None:
        if isinstance(stored, OutboxRow) and again is not None:
            stored = stored._replace(state=again.state)  # what became of it since is no difference
        if isinstance(stored, RevisionRow) and again is not None and stored.known == "{}":
            again = again._replace(known="{}")  # erased
        if stored == again or key[1] in self._erased:
            return
        if key[1] in self._edges:
            self._report.edge_rules += 1
            return
        self._report.add(Difference(key[1], f"{key[0]} of revision {key[2]}", str(stored), str(again)))


def _logged(table: Any) -> Iterator[tuple[Key, dict[str, Any]]]:
    for row in table.to_pylist():
        yield ("bits", row["seq"], row["revision"]), row


def _decided(row: DecisionRow) -> Key:
    return "decision", row.seq, row.revision, row.subject_type, row.subject_id, row.threat


def _sent(row: OutboxRow) -> Key:
    body = json.loads(row.body)
    return "action", body["event_seq"], body["revision"], row.subject_type, row.subject_id, row.action
