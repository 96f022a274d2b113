"""Erasing a person or thing: its texts leave the journal, the store, the dead letters and the snapshots; its ids stay.

Windows, replays and the ledger stay whole, because the keyed id outlives the text (docs/adr/0002). Snapshots of the
facts are dropped, since they hold texts, and made again by the next run; the one that retention rests on is written
anew without the texts. Snapshots of the engine hold ids and numbers only; without a retention cut they go as well, so
that state comes from the journal as it now is.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from shoal.runtime.home import Home
from shoal.runtime.keep.history import History
from shoal.storage.journal import Journal


@dataclass(frozen=True)
class Erased:
    """What an erasure changed."""

    events: int
    segments: int
    store_rows: int


def erase(home: Home, texts: Collection[str]) -> Erased:
    """Erase texts; safe to repeat. Raises `Temporary` while another process has the deployment open."""
    journal = Journal.open(home.journal, identity=home.identity, segment_bytes=home.settings.segment_bytes)
    try:
        done = journal.erase(texts)
        store = home.open_store()
        try:
            rows = store.erase(texts, home.identity)
        finally:
            store.close()
        if journal.first_seq:
            _erase_facts(home, journal, texts)
        else:
            shutil.rmtree(home.snapshots, ignore_errors=True)
        for folder in (home.folder / "state", home.folder / "spool"):
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        journal.close()
    return Erased(done.events, done.segments, rows)


def _erase_facts(home: Home, journal: Journal, texts: Collection[str]) -> None:
    """Behind a retention cut the facts cannot be built from the journal: the newest snapshot loses the texts, others
    go."""
    history = History(home, journal, home.folder / "state")
    position, table = history.facts_at_or_before(journal.next_seq)
    table.erase(np.array([home.identity.id_of(text) for text in texts], np.int64))
    history.snapshots.drop_facts(history.snapshots.write_facts(table.snapshot(), position))
