"""From the journal to an engine: publications, snapshots, and the records between.

A publication is a control record that puts a pack in force. Its body says how the engine got its state: `replayed`
(the new pack decided the whole journal before) or `carried` (the engine before it handed over the state of every
definition that both know; the rest began there as partial). Both are functions of the journal, so a replay comes to
the same state. `History` follows them from the newest usable snapshot, or from the journal's first record. It writes
nothing but working files below the `place` that its caller gives; runs, replays and explanations share it.
"""

from __future__ import annotations

import itertools
import shutil
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgpack

from shoal.enrich.facts import FactTable
from shoal.errors import Corrupt, InvalidInput, Permanent, Problem, ShoalError, Unsupported
from shoal.runtime.engine import Engine, Outcome, read_mark, saved_definitions
from shoal.runtime.home import Home
from shoal.runtime.ingest.writer import PACKS
from shoal.runtime.keep.snapshots import Saved, Snapshots
from shoal.runtime.publish import CARRIED, pack_of, revise_of
from shoal.runtime.revise.causes import BACK, MISSING, part_cause
from shoal.runtime.revise.open import MissingPart
from shoal.storage.frames import ControlFrame, Group
from shoal.storage.journal import Journal
from shoal.storage.segments import write_whole

FORMAT, VERSION = "shoal.publication", 1


@dataclass(frozen=True)
class Publication:
    """The record that published a pack."""

    seq: int
    as_of: int
    body: Mapping[str, Any]

    @property
    def carried(self) -> bool:
        """Whether the engine took over the state of the one before."""
        return self.body.get("state") == CARRIED


class Published:
    """Publications kept outside of the journal, because retention dropped (or may drop) the segment they stood in."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _path(self, seq: int) -> Path:
        return self.folder / f"{seq:020d}.pack"

    def write(self, one: Publication) -> None:
        """Make one durable."""
        self.folder.mkdir(exist_ok=True)
        body = msgpack.packb(
            {"format": FORMAT, "version": VERSION, "seq": one.seq, "as_of": one.as_of, "body": dict(one.body)}
        )
        write_whole(self._path(one.seq), [zlib.crc32(body).to_bytes(4, "little"), body])

    def read(self, seq: int) -> Publication | None:
        """The one of that record; None where it is not kept here. Raises `Corrupt` or `Unsupported`."""
        path = self._path(seq)
        if not path.exists():
            return None
        data = path.read_bytes()
        if len(data) < 4 or zlib.crc32(data[4:]) != int.from_bytes(data[:4], "little"):
            raise Corrupt(f"{path}: fails its checksum")
        found = msgpack.unpackb(data[4:])
        if (found["format"], found["version"]) != (FORMAT, VERSION):
            raise Unsupported(f"{path}: {found['format']} version {found['version']}")
        return Publication(found["seq"], found["as_of"], found["body"])

    def newest(self) -> Publication | None:
        """The last one that is kept here."""
        seqs = [int(path.stem) for path in self.folder.glob("*.pack") if path.stem.isdigit()]
        return self.read(max(seqs)) if seqs else None

    def thin(self, first: int) -> None:
        """Remove those before the publication `first`."""
        for path in self.folder.glob("*.pack"):
            if path.stem.isdigit() and int(path.stem) < first:
                path.unlink()


class History:
    """Engines of one deployment at any place of its journal. `place` holds their working files."""

    def __init__(
        self,
        home: Home,
        journal: Journal,
        place: Path,
        note: Callable[[str], None] = lambda _: None,
        *,
        trust: bool = True,
    ) -> None:
        """`trust`: a pack that replayed the journal may be taken from its snapshot where a replay could be done."""
        self.home, self.journal, self.place, self._note = home, journal, place, note
        self.snapshots = Snapshots(home.snapshots, home.settings.snapshot_rows)
        self.published = Published(home.folder / "published")
        self._trust = trust
        self._numbers = itertools.count()

    def publication(self, seq: int) -> Publication:
        """The publication of that record, from the journal or from where retention kept it."""
        if seq >= self.journal.first_seq:
            for frame in self.journal.read(seq, seq + 1):
                if isinstance(frame, ControlFrame) and frame.kind == PACKS:
                    return Publication(frame.seq, frame.as_of, frame.body)
        found = self.published.read(seq)
        if found is None:
            raise Corrupt(f"record {seq} should have published a pack; neither the journal nor {self.published.folder} "
                          "has it")  # fmt: skip
        return found

    def fresh(self, one: Publication, **more: Any) -> Engine:
        """An engine without state."""
        folder = self.place / f"engine-{next(self._numbers)}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        complete = one.body["history"] == "complete"
        engine = Engine(
            pack_of(one.body),
            self.home.identity,
            history_complete=complete,
            folder=folder,
            published=one.seq,
            revise=revise_of(one.body),
            **more,
        )
        if engine.reviser is not None:
            engine.reviser.attach(self.journal)
        return engine

    def restored(self, saved: Saved) -> Engine:
        """The engine of a snapshot. Raises `ShoalError` where it cannot be used."""
        one = self.publication(int(read_mark(saved.path)["published"]))
        engine = self.fresh(one, carried=saved_definitions(saved.path))
        position = engine.restore(saved.path)
        if position != saved.position:
            raise Corrupt(f"{saved.path}: its position is {position}")
        return engine

    def at_or_before(self, until: int) -> tuple[int, Engine | None]:
        """The newest usable snapshot at or before `until`: its position and engine.

        Without one (0, None), the state before the first record; `Permanent` where retention dropped that.
        """
        first = self.journal.first_seq
        for saved in reversed(self.snapshots.engines()):
            if first <= saved.position <= until:
                engine = self._try(saved)
                if engine is not None:
                    return saved.position, engine
        if first:
            raise Permanent(
                f"record {until}: no usable snapshot stands between it and {self.cut()}, so its state cannot be built"
            )
        return 0, None

    def from_first(self) -> tuple[int, Engine | None]:
        """Where a replay of all that is kept begins: (0, None), or the first usable snapshot behind the retention
        cut."""
        first = self.journal.first_seq
        if first == 0:
            return 0, None
        for saved in self.snapshots.engines():
            engine = self._try(saved) if saved.position >= first else None
            if engine is not None:
                return saved.position, engine
        raise Permanent(f"no usable snapshot stands behind {self.cut()}, so nothing can be decided again")

    def facts_at_or_before(self, until: int) -> tuple[int, FactTable]:
        """The newest usable snapshot of the facts at or before `until`: its position and table (an empty one at 0).

        Raises `Permanent` where retention dropped the records that it would be built from.
        """
        first = self.journal.first_seq
        for saved in reversed(self.snapshots.facts()):
            if first <= saved.position <= until:
                table = FactTable(self.home.identity)
                try:
                    table.restore(saved.path.read_bytes())
                except ShoalError as error:
                    self._note(f"snapshot {saved.path.name} is not used: {error}")
                    continue
                return saved.position, table
        if first:
            raise Permanent(f"record {until}: no usable snapshot of the facts stands between it and {self.cut()}")
        return 0, FactTable(self.home.identity)

    def _try(self, saved: Saved) -> Engine | None:
        try:
            return self.restored(saved)
        except ShoalError as error:
            self._note(f"snapshot {saved.path.name} is not used: {error}")
            return None

    def cut(self) -> str:
        """The retention cut in words."""
        return cut_in_words(self.journal)

    def take_up(self, one: Publication, before: Engine | None) -> Engine:
        """The engine that a publication put in force, with its state behind all records before it.

        `before`: the engine at that place, which is closed.
        """
        if one.carried:
            if before is None:
                raise Corrupt(f"record {one.seq} carries over the state of an engine; none was in force before it")
            return self._carried(one, before)
        if before is not None:
            self.close(before)
        for saved in self.snapshots.engines() if self._trust or self.journal.first_seq else ():
            if saved.position == one.seq + 1:
                engine = self._try(saved)
                if engine is not None and engine.published == one.seq:
                    return engine
        if self.journal.first_seq:
            raise Permanent(
                f"the pack published by record {one.seq} decided all records before it, some of which lie before "
                f"{self.cut()}; the snapshot of it is gone"
            )
        engine = self.fresh(one)
        for group in self.journal.read_groups(0, one.seq):
            engine.install(group)
            if group.events is not None:
                engine.decide(group.events.table)
            _follow_parts(engine, group)
        return engine

    def _carried(self, one: Publication, before: Engine) -> Engine:
        folder = self.place / f"carry-{one.seq}"
        shutil.rmtree(folder, ignore_errors=True)
        before.snapshot(folder, one.seq)
        engine = self.fresh(one, carried=saved_definitions(folder))
        engine.carry(folder)
        if before.reviser is not None and engine.reviser is not None:
            engine.reviser.open.parts = dict(before.reviser.open.parts)
        shutil.rmtree(folder)
        self.close(before)
        return engine

    @staticmethod
    def close(engine: Engine) -> None:
        """Give back an engine's working files."""
        engine.features.close()

    def forward(
        self, engine: Engine | None, start: int, until: int | None
    ) -> Iterator[tuple[Group, Outcome | None, Engine]]:
        """Decide the groups from `start` to `until` again, with the packs that were in force; the engine's `revised`
        tells what each group changed in earlier decisions."""
        for group in self.journal.read_groups(start, until):
            for frame in group.controls:
                if frame.kind == PACKS:
                    engine = self.take_up(Publication(frame.seq, frame.as_of, frame.body), engine)
            if engine is None:
                raise InvalidInput(Problem("pack.none", "the journal begins without a published pack"))
            yield group, engine.take(group), engine

    def at(self, until: int, in_force: int | None = None) -> Engine | None:
        """The engine behind the records before `until`; None where no pack is in force there. `in_force`: the record
        that published the pack in force, where it is known (it may save a replay)."""
        start, engine = self.at_or_before(until)
        if engine is None and in_force is not None:
            one = self.publication(in_force)
            if not one.carried:
                start, engine = one.seq + 1, self.take_up(one, None)
        for _, _, now in self.forward(engine, start, until):
            engine = now
        return engine


def _follow_parts(engine: Engine, group: Group) -> None:
    """Keep the missing parts of an engine that replays the journal for its state; it revises nothing."""
    if engine.reviser is None:
        return
    parts = engine.reviser.open.parts
    for cause in (part_cause(frame) for frame in group.controls if frame.kind in (MISSING, BACK)):
        if cause.kind == BACK:
            parts.pop(cause.part, None)
        elif cause.part not in parts:
            parts[cause.part] = MissingPart(cause.part, cause.part_kind, cause.columns, cause.seq, cause.why)


def cut_in_words(journal: Journal) -> str:
    """The retention cut in words: its seq, and the time of the last record before it."""
    dropped = journal.dropped
    when = ""
    if dropped.last_as_of is not None:
        when = datetime.fromtimestamp(dropped.last_as_of / 1e6, UTC).strftime(", %Y-%m-%d %H:%M:%SZ")
    return f"the retention cut (record {dropped.before_seq:,}{when})"
