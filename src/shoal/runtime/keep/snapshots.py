"""The folder of snapshots: state of the engine and of the facts, each behind the journal's first SEQ records.

    snapshots/engine-SEQ/   features, policy, and which publication the engine was made of
    snapshots/facts-SEQ     the fact table
    …/pinned                an empty file: this snapshot is kept while its records are (retention rests on it)

Owns the names in the folder and which snapshots are thinned out. The newest two are kept, and of older ones a ladder:
the further back, the wider the steps, so that an explanation of an old event has not far to go. A snapshot is written
aside, synced and renamed: it is there whole or not at all. Knows nothing of what is inside.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from shoal.storage.segments import sync_folder

NEWEST = 2
"""So many of the newest snapshots are always kept, should the last one be damaged."""
STEPS = 4
"""Of the snapshots that lie between 2^k and 2^(k+1) spacings back, about so many are kept."""
PINNED = "pinned"


@dataclass(frozen=True, order=True)
class Saved:
    """One snapshot: the state behind the journal's first `position` records."""

    position: int
    path: Path

    def bytes_of_its_own(self) -> int:
        """What it takes on disk beside the files that it shares with others by links."""
        found = [path.stat() for path in self.path.rglob("*") if path.is_file()]
        return sum(one.st_size for one in found if one.st_nlink == 1)


class Snapshots:
    """The snapshots of one deployment; `spacing` is about how many records lie between two of them."""

    def __init__(self, folder: Path, spacing: int) -> None:
        self.folder, self.spacing = folder, max(spacing, 1)

    def engines(self) -> list[Saved]:
        """Snapshots of the engine, the oldest first."""
        return self._of("engine-")

    def facts(self) -> list[Saved]:
        """Snapshots of the fact table, the oldest first."""
        return self._of("facts-")

    def _of(self, prefix: str) -> list[Saved]:
        if not self.folder.exists():
            return []
        names = [
            (path.name.removeprefix(prefix), path) for path in self.folder.iterdir() if path.name.startswith(prefix)
        ]
        return sorted(Saved(int(name), path) for name, path in names if name.isdigit())

    def write_engine(self, write: Callable[[Path], None], position: int) -> Saved:
        """Keep what `write` puts into the new folder that it is given. Replaces one of the same position, unless that
        is pinned: the state is the same, and there may be no way to make it again."""
        target = self.folder / f"engine-{position}"
        if (target / PINNED).exists():
            return Saved(position, target)
        aside = self._aside(target)
        write(aside)
        sync_folder(aside)
        if target.exists():
            shutil.rmtree(target)
        os.replace(aside, target)
        sync_folder(self.folder)
        return Saved(position, target)

    def write_facts(self, data: bytes, position: int) -> Saved:
        """Keep a snapshot of the fact table."""
        target = self.folder / f"facts-{position}"
        aside = self._aside(target)
        with aside.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(aside, target)
        sync_folder(self.folder)
        return Saved(position, target)

    def _aside(self, target: Path) -> Path:
        self.folder.mkdir(exist_ok=True)
        aside = target.with_suffix(".tmp")
        shutil.rmtree(aside, ignore_errors=True)
        return aside

    def pin(self, saved: Saved) -> None:
        """Keep this snapshot of the engine until retention passes it."""
        (saved.path / PINNED).touch()
        sync_folder(saved.path)

    def thin(self, first_seq: int) -> None:
        """Remove what the ladder does not need, and what lies before the journal's first record."""
        found = self.engines()
        keep = {saved.position for saved in found[-NEWEST:]} | on_ladder([s.position for s in found], self.spacing)
        for saved in found:
            wanted = saved.position in keep or (saved.path / PINNED).exists()
            if saved.position < first_seq or not wanted:
                shutil.rmtree(saved.path)
        facts = self.facts()
        for place, saved in enumerate(facts):
            old = place < len(facts) - NEWEST and saved.position != first_seq
            if saved.position < first_seq or old:
                saved.path.unlink()

    def drop_facts(self, keep: Saved | None) -> None:
        """Remove all snapshots of the fact table but one (they hold texts)."""
        for saved in self.facts():
            if saved != keep:
                saved.path.unlink()


def on_ladder(positions: list[int], spacing: int) -> set[int]:
    """Which positions stay: with the age counted in spacings, ages from 2^k on keep every 2^(k-2)-th rung.

    A rung that is kept now and not needed later is removed later; one that was removed is never missed.

    >>> sorted(on_ladder([10 * k for k in range(40)], 10))[:8]
    [0, 80, 120, 160, 200, 240, 260, 280]
    """
    if not positions:
        return set()
    head = max(positions) // spacing
    kept = set()
    for position in positions:
        rung = position // spacing
        coarse = max((head - rung).bit_length() - 1 - STEPS.bit_length() + 1, 0)
        if rung % (1 << coarse) == 0:
            kept.add(position)
    return kept
