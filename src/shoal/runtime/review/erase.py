"""Erasing a person or thing: its texts leave the journal, the store, the dead letters and the snapshots; its ids stay.

Windows, replays and the ledger stay whole, because the keyed id outlives the text (docs/adr/0002). Snapshots are
dropped, since they hold fact and finding texts; the next run builds its state from the journal again.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from dataclasses import dataclass

from shoal.runtime.home import Home
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
        for folder in (home.snapshots, home.folder / "state", home.folder / "spool"):
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        journal.close()
    return Erased(done.events, done.segments, rows)
