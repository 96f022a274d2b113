"""What a deployment did, read back for judging: who acted, and every decision with the accounts of its event.

Reads the journal and the store, holds nothing. Truth is compared elsewhere (`runtime.review.scoring`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow.compute as pc

from shoal.runtime.review.scoring import Touch
from shoal.storage.frames import EventFrame
from shoal.storage.journal import Journal
from shoal.storage.store import Store

_ROWS = 50_000


@dataclass(frozen=True)
class Population:
    """Who acted, between which moments (µs), in how many events."""

    accounts: set[str]
    first_us: int
    last_us: int
    events: int


def population(journal: Journal) -> Population:
    """The actors of all events of a journal."""
    accounts: set[str] = set()
    first, last, events = 2**62, 0, 0
    for frame in journal.read():
        if isinstance(frame, EventFrame):
            table = frame.table
            events += table.num_rows
            if "actor" in table.column_names:
                accounts.update(name for name in pc.unique(table.column("actor")).to_pylist() if name)
            as_of = table.column("as_of")
            first, last = min(first, as_of[0].as_py()), max(last, as_of[-1].as_py())
    return Population(accounts, first, last, events)


def touches(journal: Journal, store: Store) -> Iterator[Touch]:
    """Every decision above `allow`, by seq, with the accounts of its event."""
    rows = store.read_decisions(latest=True)
    for start in range(0, len(rows), _ROWS):
        part = rows[start : start + _ROWS]
        seqs = np.unique(np.array([row.seq for row in part], dtype=np.int64))
        table = journal.rows(seqs, ["account", "actor", "owner"])
        where = {seq: k for k, seq in enumerate(seqs.tolist())}
        names = {
            name: table.column(name).to_pylist() if name in table.column_names else [None] * len(seqs)
            for name in ("account", "actor", "owner")
        }
        for row in part:
            k = where[row.seq]
            yield Touch(row, names["account"][k], names["actor"][k], names["owner"][k])
