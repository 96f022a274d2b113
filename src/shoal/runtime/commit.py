"""The commit: from the engine's outcome of a group to durable decisions. Hot path.

Order (DESIGN.md section 2): the journal frame is synced already; the decision segment is synced next; then one store
transaction takes the position, the segment's mark, the ledger's counts, the source's place, the decisions above
`allow`, the outbox, and revisions of earlier decisions. After a crash nothing is lost and nothing is decided twice. A
decision segment holds for every
event its tier and rule bits, and for decisions at `watch` and above, provisional ones and a stated sample of the rest
the feature values (`features`: F int64 words, then F validity bytes).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from typing import Any, TypeVar

import msgspec
import numpy as np
import pyarrow as pa

from shoal.events.deadletters import DeadLetter, dead_letter
from shoal.events.schema import Flag
from shoal.policy.decisions import Bits, Decisions
from shoal.policy.policy import rule_indices
from shoal.runtime.columns import one_chunk
from shoal.runtime.engine import Engine, Outcome
from shoal.runtime.ingest.writer import CONFLICT_KIND, DEAD, FACTS, FINISHED, LABELS, PACKS, PLACES, STARTED, TICKS
from shoal.runtime.revise.rows import RevisedRows, revised_rows
from shoal.storage.decisions import DecisionLog
from shoal.storage.frames import Group
from shoal.storage.store import CommitBatch, DecisionRow, OutboxRow, SourceOffset, Store, StorePosition

_COUNTED = {FACTS: "facts", LABELS: "labels", DEAD: "dead_lettered", CONFLICT_KIND: "dead_lettered"}
Row = TypeVar("Row", DecisionRow, OutboxRow)
_json = msgspec.json.Encoder()


_NOTHING = RevisedRows(None, (), (), (), (), (), (), (), Counter())


@dataclass
class Totals:
    """What has gone through since the start of this process. `open`: provisional decisions that are open, told at its
    end."""

    events: int = 0
    tiers: Counter[int] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    actions: int = 0
    open: int = 0


@dataclass(frozen=True)
class Decided:
    """A group and what the engine said of it, kept apart from the engine's frame. `segment`: rows of the decision
    segment."""

    group: Group
    table: pa.Table | None
    segment: pa.Table | None
    decisions: Decisions | None
    engine: Engine
    revised: RevisedRows | None = None


class Committer:
    """Makes outcomes durable. Owns the places in the sources that were read."""

    def __init__(self, log: DecisionLog, store: Store, *, sample_one_in: int) -> None:
        self._log = log
        self._store = store
        self._sample = sample_one_in
        self.source, started = "", -1
        self.pack_seq: int | None = None
        self._places: dict[str, int] = {}
        self._finished: set[str] = set()
        self._place_records: dict[str, int] = {}
        for offset in store.read_offsets():
            if offset.partition == "place":
                self._places[offset.source] = offset.offset
            elif offset.partition == "finished":
                self._finished.add(offset.source)
            elif offset.partition == "places":
                self._place_records[offset.source] = offset.offset
            elif offset.partition == "pack":
                self.pack_seq = offset.offset
            elif offset.partition == "started" and offset.offset > started:
                self.source, started = offset.source, offset.offset
        self.totals = Totals()

    def place_of(self, source: str) -> int | None:
        """How many records of a source were committed; None where it was never started."""
        return self._places.get(source)

    def place_record(self, source: str) -> int | None:
        """The number of the journal record that tells how far a stream's partitions are; None before the first."""
        return self._place_records.get(source)

    def finished(self, source: str) -> bool:
        """Whether the source was read to its end."""
        return source in self._finished

    def prepare(self, group: Group, outcome: Outcome | None, engine: Engine) -> Decided:
        """What is to be made durable of a group (`outcome` None: it has no events), taken before the engine's frame is
        used again."""
        revised = None
        if engine.reviser is not None:
            revised = revised_rows(engine.reviser, lambda table, decisions: rows_of(table, decisions, engine))
        if outcome is None:
            return Decided(group, None, None, None, engine, revised)
        segment = decision_table(outcome, self._sample)
        return Decided(group, outcome.table, segment, outcome.decisions, engine, revised)

    def commit(self, decided: Decided) -> None:
        """Make one group durable. May run in another thread than `prepare`, in the same order."""
        group = decided.group
        ledger, offsets = self._count(group, decided.decisions)
        dead = [_letter(frame.body, self.source) for frame in group.controls if frame.kind in (DEAD, CONFLICT_KIND)]
        decisions: list[DecisionRow] = []
        outbox: list[OutboxRow] = []
        if decided.table is not None and decided.segment is not None and decided.decisions is not None:
            self._log.append(decided.segment)
            decisions, outbox = rows_of(decided.table, decided.decisions, decided.engine)
            self.totals.events += decided.table.num_rows
            tiers, counts = np.unique(decided.decisions.tier, return_counts=True)
            self.totals.tiers.update(dict(zip(tiers.tolist(), counts.tolist(), strict=True)))
        more = decided.revised or _NOTHING
        if more.segment is not None:
            self._log.append(more.segment, revisions=True)
        self.totals.actions += len(outbox) + len(more.outbox)
        if any(more.counts.values()):
            self.totals.counts.update(more.counts)
            ledger = {**ledger, "": Counter(ledger.get("", {})) + more.counts}
        mark = self._log.sync()
        self._store.commit(
            CommitBatch(
                from_seq=group.first_seq,
                position=StorePosition(group.last_seq + 1, mark.segment, mark.length, mark.crc),
                ledger=ledger,
                offsets=offsets,
                decisions=[*decisions, *more.decisions],
                outbox=[*outbox, *more.outbox],
                dead=dead,
                revisions=more.revisions,
                opened=more.opened,
                left=more.left,
                missing=more.missing,
                back=more.back,
            )
        )

    def _count(
        self, group: Group, decisions: Decisions | None
    ) -> tuple[Mapping[str, Mapping[str, int]], list[SourceOffset]]:
        counts: Counter[str] = Counter()
        own: Counter[str] = Counter()
        offsets = []
        if group.events is not None:
            rows = group.events.table.num_rows
            flags = np.asarray(one_chunk(group.events.table, "flags"))
            counts["decided"], counts["read"] = rows, rows
            counts["deferred"] = int(np.count_nonzero(decisions.provisional)) if decisions is not None else 0
            for name, flag in (("late", Flag.LATE), ("behind", Flag.BEHIND), ("clamped", Flag.CLAMPED)):
                counts[name] = int(np.count_nonzero(flags & int(flag)))
        if group.duplicates is not None:
            counts["duplicate"] = len(group.duplicates.seqs)
            counts["read"] += len(group.duplicates.seqs)
        for frame in group.controls:
            own["control"] += 1
            if frame.kind in _COUNTED:
                counts[_COUNTED[frame.kind]] += 1
                counts["read"] += 1
                counts["conflict"] += frame.kind == CONFLICT_KIND
            elif frame.kind == STARTED:
                self.source = str(frame.body["source"])
                self._places.setdefault(self.source, 0)
                offsets.append(SourceOffset(self.source, "started", frame.seq))
                offsets.append(SourceOffset(self.source, "place", self._places[self.source]))
            elif frame.kind == PACKS:
                self.pack_seq = frame.seq
                offsets.append(SourceOffset("", "pack", frame.seq))
            elif frame.kind == PLACES:
                self._place_records[self.source] = frame.seq
                offsets.append(SourceOffset(self.source, "places", frame.seq))
                offsets += [SourceOffset(self.source, f"at:{name}", at) for name, at, *_ in frame.body["partitions"]]
            elif frame.kind == TICKS:
                counts["ticks"] += 1
            elif frame.kind == FINISHED:
                self._finished.add(self.source)
                offsets.append(SourceOffset(self.source, "finished", frame.seq))
        for run in group.runs:
            own["control"] += len(run.seqs)
            counts[_COUNTED[run.kind]] += len(run.seqs)
            counts["read"] += len(run.seqs)
        self.totals.counts.update(counts)
        if counts["read"]:
            self._places[self.source] = self._places.get(self.source, 0) + counts["read"]
            offsets.append(SourceOffset(self.source, "place", self._places[self.source]))
        ledger = {self.source: {k: v for k, v in counts.items() if v}, "": {k: v for k, v in own.items() if v}}
        return {source: found for source, found in ledger.items() if found}, offsets


def _letter(body: Mapping[str, Any], source: str) -> DeadLetter:
    """The dead letter of a journal record, under the ledger's source; a conflict's raw bytes are its record as JSON."""
    if "record" in body:
        detail = f"its id was accepted before as record {body['original']}, with another body"
        raw = msgspec.json.encode(body["record"])
        return dead_letter(source, body["partition"], body["offset"], "conflict", detail, raw)
    return DeadLetter(**{**body, "source": source})


def decision_table(outcome: Outcome, sample_one_in: int) -> pa.Table:
    """The rows of a decision segment."""
    decisions = outcome.decisions
    seq = outcome.seq
    columns: dict[str, Any] = {
        "seq": pa.array(seq),
        "tier": pa.array(decisions.tier),
        "enforced": pa.array(decisions.enforced),
        "provisional": pa.array(decisions.provisional),
    }
    for name, words in (("matched", decisions.matched), ("unknown", decisions.unknown)):
        for word in range(words.shape[1]):
            columns[f"{name}_{word}"] = pa.array(np.ascontiguousarray(words[:, word]))
    chosen = np.flatnonzero((decisions.tier > 0) | decisions.provisional | (seq % sample_one_in == 0))
    columns["features"] = _vectors(outcome, chosen)
    return pa.table(columns)


def _vectors(outcome: Outcome, chosen: np.ndarray[tuple[int], np.dtype[np.int64]]) -> pa.Array:
    size = outcome.table.num_rows
    values = np.ascontiguousarray((outcome.features.values[:, chosen] * outcome.features.valid[:, chosen]).T)
    valid = np.ascontiguousarray(outcome.features.valid[:, chosen].T).astype(np.uint8)
    count = values.shape[1]
    width = count * 9
    data = np.concatenate([values.view(np.uint8).reshape(len(chosen), count * 8), valid], axis=1)
    present = np.zeros(size, dtype=bool)
    present[chosen] = True
    offsets = np.concatenate(([0], np.cumsum(present * width))).astype(np.int32)
    mask = pa.py_buffer(np.packbits(present, bitorder="little").tobytes())
    return pa.Array.from_buffers(pa.binary(), size, [mask, pa.py_buffer(offsets), pa.py_buffer(data.tobytes())])


def rows_of(table: pa.Table, decided: Decisions, engine: Engine) -> tuple[list[DecisionRow], list[OutboxRow]]:
    """The store's rows of a batch: one decision for each hit above `allow`, one outbox row for each action planned."""
    hits, planned = decided.hits, decided.outbox
    if not len(hits):
        return [], []
    policy, pack = engine.policy, engine.pack
    names = [policy.actions[action] for action in planned.action.tolist()]
    actions = _action_texts(planned.hit.tolist(), names)
    outbox = _rows(
        OutboxRow,
        (
            [policy.kinds[kind] for kind in planned.kind.tolist()],
            planned.subject.tolist(),
            names,
            planned.seq.tolist(),
            planned.as_of.tolist(),
            planned.text,
            [policy.threats[threat] for threat in hits.threat[planned.hit].tolist()],
            hits.tier[planned.hit].tolist(),
            planned.until.tolist(),
            repeat("planned"),
            repeat("{}"),
        ),
    )
    chosen = np.flatnonzero(hits.tier)
    places = chosen.tolist()
    reasons = map(hits.reasons.get, places)
    decisions = _rows(
        DecisionRow,
        (
            hits.seq[chosen].tolist(),
            repeat(0),
            hits.as_of[chosen].tolist(),
            table.column("event_id").take(pa.array(hits.row[chosen])).to_pylist(),
            [policy.kinds[kind] for kind in hits.kind[chosen].tolist()],
            [hits.text[k] for k in places],
            hits.subject[chosen].tolist(),
            [policy.threats[threat] for threat in hits.threat[chosen].tolist()],
            hits.tier[chosen].tolist(),
            _rule_texts(hits.rules[chosen], [rule.id for rule in pack.rules]),
            [_json.encode(texts).decode() if texts else "[]" for texts in reasons],
            [actions.get(k, "[]") for k in places],
            repeat(pack.hash),
        ),
    )
    return decisions, outbox


def _rows(kind: type[Row], columns: tuple[Iterable[Any], ...]) -> list[Row]:
    """Named tuples of columns, made without a Python call a row."""
    return list(map(partial(tuple.__new__, kind), zip(*columns, strict=False)))


def _action_texts(hits: list[int], names: list[str]) -> dict[int, str]:
    """The names of the actions that each hit plans, as JSON."""
    alone = {name: _json.encode([name]).decode() for name in set(names)}
    texts = dict(zip(hits, map(alone.__getitem__, names), strict=True))
    if len(texts) < len(hits):  # some plan several
        several: dict[int, list[str]] = {}
        for hit, name in zip(hits, names, strict=True):
            several.setdefault(hit, []).append(name)
        texts |= {hit: _json.encode(own).decode() for hit, own in several.items() if len(own) > 1}
    return texts


def _rule_texts(bits: Bits, ids: list[str]) -> list[str]:
    """The ids of the rules that each hit matched, as JSON; written once for each combination."""
    rows = np.ascontiguousarray(bits)
    keys = rows.view(f"V{rows.shape[1] * rows.itemsize}").reshape(-1).tolist()
    first = dict(zip(reversed(keys), range(len(keys) - 1, -1, -1), strict=True))
    texts = {key: _json.encode([ids[rule] for rule in rule_indices(bits[row])]).decode() for key, row in first.items()}
    return list(map(texts.__getitem__, keys))
