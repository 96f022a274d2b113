"""A deployment, opened: journal, store, decisions, engine and writer wired together, and brought to one position.

The only joint of the house. On open, torn tails are cut and reported, decision segments are cut back to the length
that the store recorded, a store ahead of its journal is refused, and journal records past the store's position are
decided and committed. All state that is not on disk (features, leases, facts, duplicates) is built from the newest
usable snapshot and the journal behind it.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shoal.enrich.enricher import Enricher
from shoal.enrich.facts import FactTable
from shoal.enrich.tables import read_table
from shoal.errors import Corrupt, InvalidInput, Problem, ShoalError
from shoal.packs import find as packs_find
from shoal.packs.load import load_pack
from shoal.packs.pack import Pack
from shoal.runtime.commit import Committer, Decided
from shoal.runtime.engine import Engine
from shoal.runtime.home import Home
from shoal.runtime.ingest.writer import PACKS, Writer
from shoal.runtime.publish import pack_body, pack_of
from shoal.runtime.review.findings import Findings, find
from shoal.storage.decisions import DecisionLog, DecisionMark
from shoal.storage.dedupe import DedupeIndex
from shoal.storage.frames import ControlFrame, Group
from shoal.storage.journal import Journal
from shoal.storage.store import Store

KEPT_SNAPSHOTS = 2
SNAPSHOT_FROM = 100_000
"""A run that decided at least so many events ends with a snapshot, so that the next one starts within seconds."""


@dataclass
class Deployment:
    """An opened deployment; close it. Made by `open_deployment`."""

    home: Home
    journal: Journal
    store: Store
    log: DecisionLog
    committer: Committer
    writer: Writer
    engine: Engine | None = None
    notes: list[str] = field(default_factory=list)
    costs: dict[str, float] = field(
        default_factory=lambda: defaultdict(float)
    )  # CPU seconds by stage of what this process fed
    _since_snapshot: int = 0
    _facts_since: int = 0

    @property
    def running(self) -> Engine:
        """The engine; a pack must have been published."""
        if self.engine is None:
            raise InvalidInput(Problem("pack.none", "no pack was published here", hint="name one with --pack"))
        return self.engine

    def publish(self, folder: Path, *, history_complete: bool) -> Pack:
        """Put the pack in `folder` in force, unless it is already; it then takes over with a warm-up over the
        journal."""
        pack = load_pack(folder)
        self.writer.lateness_us = round(pack.settings.lateness_s * 1e6)
        engine = self.engine
        if engine is None or engine.pack.hash != pack.hash or engine.history_complete != history_complete:
            self.process(self.writer.control(PACKS, pack_body(folder, pack, history_complete=history_complete)))
        return pack

    def process(self, group: Group) -> None:
        """Decide and commit one group of the journal."""
        self.committer.commit(self.decide(group))

    def decide(self, group: Group) -> Decided:
        """Decide one group; `committer.commit` then makes it durable, maybe in another thread, in the same order.

        A snapshot that is due is written here. Should it come to stand ahead of what the store commits before a crash,
        recovery passes it over.
        """
        for frame in group.controls:
            if frame.kind == PACKS:
                self.engine = self.build(frame.body, frame.seq)
        outcome = None
        if group.events is not None:
            outcome = self.running.decide(group.events.table)
            self._since_snapshot += group.events.table.num_rows
        decided = self.committer.prepare(group, outcome, self.running)
        if self._since_snapshot >= self.home.settings.snapshot_rows:
            self.snapshot(group.last_seq + 1)
        return decided

    def build(self, published: Mapping[str, Any], until: int) -> Engine:
        """An engine of a published pack with the state that the journal's records before `until` give it."""
        start = self.journal.first_seq
        engine = self._fresh(published)
        for path in reversed(self._snapshots("engine-")):
            if int(path.name.removeprefix("engine-")) <= until:
                try:
                    start = engine.restore(path)
                    break
                except ShoalError as error:
                    self.notes.append(f"snapshot {path.name} is not used: {error}")
                    engine = self._fresh(published)
        for group in self.journal.read_groups(start, until):
            if group.events is not None:
                engine.decide(group.events.table)
        return engine

    def _fresh(self, published: Mapping[str, Any]) -> Engine:
        folder = self.home.folder / "state"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        complete = published["history"] == "complete"
        return Engine(pack_of(published), self.home.identity, history_complete=complete, folder=folder)

    def _snapshots(self, prefix: str) -> list[Path]:
        if not self.home.snapshots.exists():
            return []
        found = [
            path for path in self.home.snapshots.iterdir() if path.name.startswith(prefix) and path.suffix != ".tmp"
        ]
        return sorted(found, key=lambda path: int(path.name.removeprefix(prefix)))

    def snapshot(self, position: int) -> None:
        """Write the engine's state down, behind the records below `position`."""
        self._since_snapshot = 0
        self.home.snapshots.mkdir(exist_ok=True)
        target = self.home.snapshots / f"engine-{position}"
        aside = target.with_suffix(".tmp")
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(target, ignore_errors=True)
        self.running.snapshot(aside, position)
        os.replace(aside, target)
        for old in self._snapshots("engine-")[:-KEPT_SNAPSHOTS]:
            shutil.rmtree(old)

    def note_facts(self, group: Group) -> None:
        """Called by the writer's thread for each group: now and then writes the fact table down."""
        self._facts_since += group.last_seq + 1 - group.first_seq
        if self._facts_since >= self.home.settings.snapshot_rows:
            self._snapshot_facts(group.last_seq + 1)

    def rest(self) -> None:
        """Called when nothing is left to read: behind a long run, writes the state down, so that the next start replays
        nothing.
        """
        if self.committer.totals.events < SNAPSHOT_FROM:
            return
        self.snapshot(self.journal.next_seq)
        self._snapshot_facts(self.journal.next_seq)

    def _snapshot_facts(self, position: int) -> None:
        self._facts_since = 0
        self.home.snapshots.mkdir(exist_ok=True)
        target = self.home.snapshots / f"facts-{position}"
        aside = target.with_suffix(".tmp")
        with aside.open("wb") as stream:
            stream.write(self.writer.facts.snapshot())
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(aside, target)
        for old in self._snapshots("facts-")[:-KEPT_SNAPSHOTS]:
            old.unlink()

    def recover(self, progress: Callable[[str], None]) -> None:
        """Bring engine, facts, store and journal to one position."""
        for cut in self.journal.cuts:
            self.notes.append(f"journal {cut.file}: {cut.cut_bytes} bytes of a torn tail were cut ({cut.reason})")
        self.store.check_against(self.journal.next_seq)
        position = self.store.position()
        mark = None
        if position is not None:
            mark = DecisionMark(position.decision_segment, position.decision_length, position.decision_crc)
        cut_bytes = self.log.cut_to(mark)
        if cut_bytes:
            self.notes.append(f"decisions: {cut_bytes} bytes past the store's position were cut")
        done = position.next_seq if position else 0
        if self.journal.next_seq:
            progress("reading the journal back")
            self._recover_facts()
            self._recover_engine(done)
        behind = self.journal.next_seq - done
        if behind:
            progress(f"deciding {behind:,} records that were journalled and not yet committed")
            for group in self.journal.read_groups(done):
                self.process(group)
            self.notes.append(f"{behind:,} journalled records were decided on start")

    def _recover_facts(self) -> None:
        start = self.journal.first_seq
        for path in reversed(self._snapshots("facts-")):
            try:
                self.writer.facts.restore(path.read_bytes())
                start = int(path.name.removeprefix("facts-"))
                break
            except ShoalError as error:
                self.notes.append(f"snapshot {path.name} is not used: {error}")
        if start > self.journal.next_seq:
            raise Corrupt(f"a fact snapshot stands at {start}, ahead of the journal's {self.journal.next_seq}")
        for group in self.journal.read_groups(start):
            self.writer.follow(group)

    def _recover_engine(self, done: int) -> None:
        seq = self.committer.pack_seq
        for frame in self.journal.read(seq, seq + 1) if seq is not None else ():
            if isinstance(frame, ControlFrame):
                self.engine = self.build(frame.body, done)

    def findings(self, top: int, per_threat: int = 0) -> Findings:
        """Subjects with decisions above `allow`, the worst first, with their reasons in words."""
        return find(self.journal, self.log, self.store, self.running, top, per_threat)

    def close(self) -> None:
        """Let go of locks and files."""
        self.log.close()
        self.store.close()
        self.journal.close()


def open_deployment(home: Home, progress: Callable[[str], None] = lambda _: None) -> Deployment:
    """Open and recover a deployment for writing. Raises `Temporary` when another process has it open."""
    settings = home.settings
    journal = Journal.open(home.journal, identity=home.identity, segment_bytes=settings.segment_bytes)
    try:
        tables = [read_table(Path(path)) for path in settings.enrichment]
        dedupe = DedupeIndex.open(journal, horizon_us=round(settings.dedupe_horizon_s * 1e6))
        facts = FactTable(home.identity)
        store = Store.open(home.store)
        log = DecisionLog.open(home.decisions, segment_bytes=settings.segment_bytes)
        committer = Committer(log, store, sample_one_in=settings.sample_one_in)
        writer = Writer(journal, dedupe, facts, Enricher(tables), home.identity)
        deployment = Deployment(home, journal, store, log, committer, writer)
        deployment.recover(progress)
    except BaseException:
        journal.close()
        raise
    return deployment


def find_pack(name: str) -> Path:
    """The folder of a pack: of one that ships with Shoal by its name, else a path, else an installed one's."""
    return packs_find.find_pack(name).folder
