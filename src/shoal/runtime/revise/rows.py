"""What is made durable of revisions: rows of the store, the decision log and the outbox.

A decision of a revision stands under its event's `seq` with the revision's number; its actions stand in the outbox
under
the record that caused it, because an action's key is subject, action and causing record.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import pyarrow as pa

from shoal.policy.decisions import Decisions
from shoal.runtime.columns import one_chunk
from shoal.runtime.revise.reviser import Reviser, Round
from shoal.storage.store import DecisionRow, OpenRow, OutboxRow, PartRow, RevisionRow

RowsOf = Callable[[pa.Table, Decisions], tuple[list[DecisionRow], list[OutboxRow]]]
_json = msgspec.json.Encoder()


@dataclass(frozen=True)
class RevisedRows:
    """The rows of one group's revisions, and what went in and out of the open set."""

    segment: pa.Table | None
    revisions: Sequence[RevisionRow]
    decisions: Sequence[DecisionRow]
    outbox: Sequence[OutboxRow]
    opened: Sequence[OpenRow]
    left: Sequence[int]
    missing: Sequence[PartRow]
    back: Sequence[str]
    counts: Counter[str]


def revised_rows(reviser: Reviser, rows_of: RowsOf) -> RevisedRows:
    """The rows of what the last group changed."""
    now, entries = reviser.now, reviser.open.entries
    found = [round_rows(one, rows_of) for one in now.rounds]
    revisions = [row for rows, _, _, _ in found for row in rows]
    touched = sorted(now.touched)
    parts = reviser.open.parts
    return RevisedRows(
        segment=segment_of([table for _, _, _, table in found]),
        revisions=revisions,
        decisions=[row for _, rows, _, _ in found for row in rows],
        outbox=[row for _, _, rows, _ in found for row in rows],
        opened=[
            OpenRow(seq, entries[seq].as_of, _json.encode(entries[seq].waiting).decode())
            for seq in touched
            if seq in entries
        ],
        left=[seq for seq in touched if seq not in entries],
        missing=[
            PartRow(part.name, part.kind, _json.encode(part.columns).decode(), part.since, part.why)
            for part in now.missing
            if parts.get(part.name) == part
        ],
        back=now.back,
        counts=Counter(revised=len(revisions), settled=now.settled, closed=now.closed),
    )


def round_rows(one: Round, rows_of: RowsOf) -> tuple[list[RevisionRow], list[DecisionRow], list[OutboxRow], pa.Table]:
    """The rows of the revisions by one cause, and those of the decision log."""
    said, cause = one.decisions, one.cause
    seqs = one_chunk(one.table, "seq").to_pylist()
    as_ofs = dict(zip(seqs, one_chunk(one.table, "as_of").to_pylist(), strict=True))
    numbers = dict(zip(seqs, one.numbers, strict=True))
    revisions = [
        RevisionRow(seq, number, cause.seq, cause.as_of, before, tier, int(open_still), _json.encode(known).decode())
        for seq, number, before, tier, open_still, known in zip(
            seqs, one.numbers, one.tiers, said.tier.tolist(), said.provisional.tolist(), one.known, strict=True
        )
    ]
    decisions, outbox = rows_of(one.table, said)
    decisions = [row._replace(revision=numbers[row.seq], as_of=as_ofs[row.seq]) for row in decisions]
    outbox = [
        row._replace(seq=cause.seq, body=_json.encode({"event_seq": row.seq, "revision": numbers[row.seq]}).decode())
        for row in outbox
    ]
    columns = {
        "seq": pa.array(seqs, pa.int64()),
        "revision": pa.array(one.numbers, pa.int64()),
        "cause_seq": pa.array([cause.seq] * len(seqs), pa.int64()),
        "tier": pa.array(said.tier),
        "enforced": pa.array(said.enforced),
        "provisional": pa.array(said.provisional),
    }
    for name, words in (("matched", said.matched), ("unknown", said.unknown)):
        for word in range(words.shape[1]):
            columns[f"{name}_{word}"] = pa.array(np.ascontiguousarray(words[:, word]))
    return revisions, decisions, outbox, pa.table(columns)


def segment_of(tables: Sequence[pa.Table]) -> pa.Table | None:
    """Revisions of several causes as one table for the decision log, by event and number."""
    if not tables:
        return None
    return pa.concat_tables(tables).sort_by([("seq", "ascending"), ("revision", "ascending")]).combine_chunks()
