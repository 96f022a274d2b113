"""The writer: the one place where records are stamped, and the only one that appends to the journal. Hot path.

An ordered block becomes a group of the journal: duplicates and conflicts are told from new events, `seq`, `as_of` and
`flags` are stamped, facts are joined as of each row, enrichment is added, and all of it is synced before anybody acts
on it. It owns the fact table, the duplicates' index and the largest `as_of`; all three are functions of the journal
and are built from it again on start. Every record of a source takes one sequence number, whatever becomes of it
(docs/adr/0001).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shoal.enrich.enricher import Enricher
from shoal.enrich.facts import FactTable
from shoal.events.facts import FACT_SCHEMA
from shoal.events.identity import BatchIds, Identity
from shoal.runtime.columns import one_chunk
from shoal.runtime.ingest.order import Ordered
from shoal.runtime.ingest.stamps_kernel import stamp
from shoal.storage.dedupe import CONFLICT, DUPLICATE, NEW, DedupeIndex, body_hashes
from shoal.storage.frames import ControlFrame, ControlRun, DuplicateFrame, EventFrame, Group, Int64s
from shoal.storage.journal import Journal

DEAD, CONFLICT_KIND, FACTS, LABELS = "dead", "conflict", "facts", "labels"
STARTED, FINISHED, PACKS = "source.started", "source.finished", "packs"
PLACES, TICKS = "source.places", "ticks"
"""How far the partitions of a stream are journalled (with the records that it tells of); a moment of an idle stream."""
RUN_FROM = 16
"""So many facts of a group are journalled as one run in columns; fewer take fewer bytes as single records."""


@dataclass
class Writer:
    """Stamps and journals; see the module's docstring. Not thread-safe: one writer a journal."""

    journal: Journal
    dedupe: DedupeIndex
    facts: FactTable
    enricher: Enricher
    identity: Identity
    lateness_us: int = 900_000_000

    def control(self, kind: str, body: dict[str, Any], as_of: int = 0) -> Group:
        """Append and sync one control record; `as_of` moves the journal's time where it lies ahead of it."""
        seq, as_of = self.journal.next_seq, max(as_of, self.journal.last_as_of or 0)
        self.journal.append_control(seq, as_of, kind, body)
        self.journal.end_group()
        self.journal.sync()
        return Group(seq, seq, None, None, (ControlFrame(seq, as_of, kind, body),))

    def write(self, block: Ordered, bound_us: int | Int64s, behind: dict[str, Any] | None = None) -> Group | None:
        """Append one block and sync it. `bound_us`: the latest time that an event may have (one, or [n]); later is
        clamped. `behind`: the body of a `source.places` record behind the block, durable with it or not at all.

        Returns the group as a reader of the journal would get it, or None for an empty block.
        """
        if not block.records:
            return None
        events = block.events
        first = self.journal.next_seq
        places, fact_places, label_places, dead_places = block.places()
        times = np.asarray(one_chunk(events, "time"))
        bound = np.minimum(times, bound_us)
        ids = BatchIds(self.identity)
        seqs, verdict, original, bodies = self._judge(events, first + places, bound, ids)
        new = verdict == NEW
        kept, kept_seqs, kept_bodies = events, seqs, bodies
        if not new.all():
            chosen = np.flatnonzero(new)
            kept, kept_seqs, kept_bodies = events.take(pa.array(chosen)), seqs[chosen], bodies[chosen]
            bound, times = bound[chosen], times[chosen]
        as_of, flags = np.empty(len(times), np.int64), np.empty(len(times), np.int64)
        before = self.journal.last_as_of or 0
        stamp(times, bound, before, self.lateness_us, as_of, flags)
        rank = np.concatenate(([0], np.cumsum(new))).astype(np.int64)
        kept = self.facts.join(kept, _with_rows(block.facts, rank[block.fact_rows]), ids)
        kept = self.enricher.enrich(kept)
        kept = _stamped(kept, kept_seqs, as_of, flags)
        controls: list[ControlFrame] = []
        moments = np.concatenate(([before], as_of))

        def note(kind: str, at: Int64s, before_row: Int64s, bodies_: Iterable[dict[str, Any]]) -> None:
            for seq, row, body in zip(at.tolist(), before_row.tolist(), bodies_, strict=True):
                controls.append(ControlFrame(first + seq, int(moments[rank[row]]), kind, body))

        rejected = self.facts.rejected if block.facts.num_rows else ()
        wrong = np.array([fact.index for fact in rejected], dtype=np.int64)
        good = np.ones(block.facts.num_rows, dtype=bool)
        good[wrong] = False
        told = block.facts.take(pa.array(wrong)).to_pylist() if len(wrong) else []
        bad = [_bad_fact(fact, why.reason, why.detail) for fact, why in zip(told, rejected, strict=True)]
        note(DEAD, fact_places[wrong], block.fact_rows[wrong], bad)
        taken = block.facts.filter(pa.array(good)) if len(wrong) else block.facts
        runs = []
        if taken.num_rows >= RUN_FROM:
            runs.append(ControlRun(FACTS, first + fact_places[good], moments[rank[block.fact_rows[good]]], taken))
        else:
            note(FACTS, fact_places[good], block.fact_rows[good], taken.to_pylist())
        note(LABELS, label_places, block.label_rows, block.labels.to_pylist())
        note(DEAD, dead_places, block.dead_rows, (_dead_body(letter) for letter in block.dead))
        clash = np.flatnonzero(verdict == CONFLICT)
        note(CONFLICT_KIND, seqs[clash] - first, clash, self._clashes(events, clash, original))
        again = np.flatnonzero(verdict == DUPLICATE)
        frame = None
        if kept.num_rows:
            frame = EventFrame(int(kept_seqs[0]), int(kept_seqs[-1]), kept, kept_bodies, ids)
        records = block.records
        if behind is not None:
            controls.append(ControlFrame(first + records, int(moments[-1]), PLACES, behind))
            records += 1
        return self._append(first, records, frame, seqs[again], original[again], controls, runs)

    def _judge(
        self, events: pa.Table, seqs: Int64s, times: Int64s, ids: BatchIds
    ) -> tuple[Int64s, npt.NDArray[np.int8], Int64s, Int64s]:
        if not events.num_rows:
            none = np.zeros(0, np.int64)
            return none, np.zeros(0, np.int8), none, none
        bodies = body_hashes(events, self.identity)
        skip = np.diff(seqs, prepend=self.journal.next_seq - 1) - 1
        texts = one_chunk(events, "event_id")
        hashes = ids.ids_of(texts)
        verdicts = self.dedupe.check(texts, bodies, times, self.journal.next_seq, id_hashes=hashes, skip=skip)
        return seqs, verdicts.verdict, verdicts.original, bodies

    def _clashes(self, events: pa.Table, rows: Int64s, original: Int64s) -> Iterable[dict[str, Any]]:
        for row, record in zip(rows.tolist(), events.take(pa.array(rows)).to_pylist(), strict=True):
            yield {
                "source": record.get("source"),
                "partition": record.get("partition"),
                "offset": record.get("offset"),
                "reason": "conflict",
                "original": int(original[row]),
                "record": {name: value for name, value in record.items() if value is not None},
            }

    def _append(
        self,
        first: int,
        records: int,
        events: EventFrame | None,
        seqs: Int64s,
        originals: Int64s,
        controls: list[ControlFrame],
        runs: list[ControlRun],
    ) -> Group:
        last = first + records - 1
        duplicates = None
        if events is not None:
            self.journal.append_events(events.table, events.bodies)
        if len(seqs):
            self.journal.append_duplicates(seqs, originals)
            duplicates = DuplicateFrame(int(seqs[0]), int(seqs[-1]), seqs, originals)
        controls.sort(key=lambda frame: frame.seq)
        for frame in controls:
            self.journal.append_control(frame.seq, frame.as_of, frame.kind, frame.body)
        for run in runs:
            self.journal.append_run(run.kind, run.seqs, run.as_ofs, run.table)
        self.journal.end_group()
        self.journal.sync()
        return Group(first, last, events, duplicates, tuple(controls), tuple(runs))

    def follow(self, group: Group) -> None:
        """Take a group that stands in the journal already into the fact table (on start, behind a snapshot)."""
        facts, at = _facts_of(group)
        if group.events is None and facts is None:
            return
        seqs = np.zeros(0, np.int64)
        events = pa.table({"time": pa.array([], pa.int64())})
        if group.events is not None:
            events = group.events.table
            seqs = np.asarray(one_chunk(events, "seq"))
        if facts is not None:
            facts = _with_rows(facts, np.searchsorted(seqs, at).astype(np.int64))
        self.facts.join(events, facts)


def _facts_of(group: Group) -> tuple[pa.Table | None, Int64s]:
    """All facts of a group with their seqs: runs of them, and the single records that earlier releases wrote."""
    single = [frame for frame in group.controls if frame.kind == FACTS]
    runs = [run for run in group.runs if run.kind == FACTS]
    if not single and not runs:
        return None, np.zeros(0, np.int64)
    tables = [run.table for run in runs]
    seqs = [run.seqs for run in runs]
    if single:
        tables.append(pa.Table.from_pylist([dict(frame.body) for frame in single], schema=FACT_SCHEMA))
        seqs.append(np.array([frame.seq for frame in single], dtype=np.int64))
    if len(tables) == 1:
        return tables[0], seqs[0]
    at = np.concatenate(seqs)
    order = np.argsort(at)
    return pa.concat_tables(tables, promote_options="permissive").take(pa.array(order)), at[order]


def _with_rows(facts: pa.Table, rows: Int64s) -> pa.Table | None:
    return facts.append_column("row", pa.array(rows)) if facts.num_rows else None


def _stamped(table: pa.Table, seqs: Int64s, as_of: Int64s, flags: Int64s) -> pa.Table:
    columns = {"seq": pa.array(seqs), "as_of": pa.array(as_of), "flags": pa.array(flags)}
    columns |= {name: table.column(name) for name in table.column_names if name not in columns}
    return pa.table(columns)


def _dead_body(letter: Any) -> dict[str, Any]:
    return {
        "source": letter.source,
        "partition": letter.partition,
        "offset": letter.offset,
        "reason": letter.reason,
        "detail": letter.detail,
        "raw": letter.raw,
    }


def _bad_fact(fact: dict[str, Any], reason: str, detail: str) -> dict[str, Any]:
    raw = repr({name: value for name, value in fact.items() if value is not None}).encode()
    place = {"source": "", "partition": "", "offset": int(fact.get("offset") or 0)}
    return {**place, "reason": reason, "detail": detail, "raw": raw}
