"""A deployment, opened: journal, store, decisions, engine and writer wired together, and brought to one position.

The only joint of the house. On open, torn tails are cut and reported, decision segments are cut back to the length
that the store recorded, a store ahead of its journal is refused, and journal records past the store's position are
decided and committed. All state that is not on disk (features, leases, facts, duplicates) is built from the newest
usable snapshot and the journal behind it.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from shoal.enrich.facts import FactTable
from shoal.errors import Corrupt, InvalidInput, Problem
from shoal.packs import find as packs_find
from shoal.packs.load import load_pack
from shoal.packs.pack import Pack
from shoal.runtime.commit import Committer, Decided
from shoal.runtime.engine import Engine
from shoal.runtime.home import Home
from shoal.runtime.ingest.writer import PACKS, Writer
from shoal.runtime.keep import retain as retention
from shoal.runtime.keep.history import History, Publication
from shoal.runtime.keep.retain import Cut
from shoal.runtime.publish import CARRIED, choose_state, pack_body
from shoal.runtime.review.findings import Findings, find
from shoal.runtime.revise.parts import DETECTOR, Join, Parts, Tables
from shoal.storage.decisions import DecisionLog, DecisionMark
from shoal.storage.dedupe import DedupeIndex
from shoal.storage.frames import Group
from shoal.storage.journal import Journal
from shoal.storage.store import Store

LARGE_BYTES, BYTES_A_ROW = 64 << 20, 200
"""A snapshot of more than so many bytes is due only behind so many events that it costs 200 bytes an event, about what
the journal takes."""
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
    _spacing: int = 0
    _facts_since: int = 0

    def __post_init__(self) -> None:
        self.history = History(self.home, self.journal, self.home.folder / "state", self.notes.append)
        self.parts = Parts(self)

    @property
    def running(self) -> Engine:
        """The engine; a pack must have been published."""
        if self.engine is None:
            raise InvalidInput(Problem("pack.none", "no pack was published here", hint="name one with --pack"))
        return self.engine

    def publish(self, folder: Path, *, history_complete: bool, warm_up: bool | None = None) -> Pack:
        """Put the pack in `folder` in force, unless it is already.

        `warm_up`: True lets it replay the journal for its state, False takes over what the engine before knows (new
        features begin as partial), None chooses (`publish.choose_state`).
        """
        pack = load_pack(folder)
        self.writer.lateness_us = round(pack.settings.lateness_s * 1e6)
        settings = self.home.settings
        revise = (settings.revise_horizon_s, settings.revise_open)
        engine, body = self.engine, pack_body(folder, pack, history_complete=history_complete, revise=revise)
        if engine is not None:
            before = self.history.publication(engine.published).body
            again = warm_up and before.get("state") == CARRIED
            if not again and all(before.get(name) == body[name] for name in ("hash", "history", "files", "revise")):
                self.parts.note()
                return pack
        body["state"] = choose_state(
            engine,
            pack,
            history_complete=history_complete,
            records=self.journal.next_seq,
            dropped=self.journal.first_seq > 0,
            warm_up_rows=self.home.settings.warm_up_rows,
            asked=warm_up,
        )
        served = set() if engine is None else set(engine.models.in_force)
        used = set() if engine is None else set(engine.signals.tables)
        self.process(self.writer.control(PACKS, body))
        for name in sorted(served - set(self.running.models.in_force)):
            self.notes.append(f"the model {name} is out of force: its columns mean something else now")
        for name in sorted(used & {one.id for one in pack.signals} - set(self.running.signals.tables)):
            self.notes.append(f"the tables of the signal {name} are out of force: it is defined otherwise now")
        self.parts.note()
        return pack

    def process(self, group: Group) -> None:
        """Decide and commit one group of the journal."""
        self.committer.commit(self.decide(group))

    def decide(self, group: Group) -> Decided:
        """Decide one group; `committer.commit` then makes it durable, maybe in another thread, in the same order.

        A snapshot that is due is written here. Should it come to stand ahead of what the store commits before a crash,
        recovery passes it over.
        """
        closed: list[int] = []
        for frame in group.controls:
            if frame.kind == PACKS:
                if self.engine is not None and self.engine.reviser is not None:
                    closed += self.engine.reviser.open.clear()
                self.engine = self.history.take_up(Publication(frame.seq, frame.as_of, frame.body), self.engine)
                if frame.seq >= SNAPSHOT_FROM:
                    self.snapshot(frame.seq + 1)
        outcome, revised = self.running.take(group), self.running.revised
        if outcome is not None:
            self._since_snapshot += outcome.table.num_rows
        if revised is not None:
            revised.touched.update(closed)
            revised.closed += len(closed)
            self.parts.ask(revised.wants)
        decided = self.committer.prepare(group, outcome, self.running)
        if self._since_snapshot >= max(self.home.settings.snapshot_rows, self._spacing):
            self.snapshot(group.last_seq + 1)
        return decided

    def part_missing(self, name: str, columns: Collection[str], *, kind: str = DETECTOR, why: str = "") -> None:
        """Record that a part is missing: from here on the columns that it feeds are null. Nothing, where it is
        known."""
        self.parts.missing(name, columns, kind=kind, why=why)

    def part_back(self, name: str, join: Join | None = None) -> None:
        """Record that a part is back. `join`: gives the columns for open events that it concerns (a table of events in,
        the same rows with columns filled out); their decisions are then revised."""
        self.parts.back(name, join)

    def snapshot(self, position: int) -> None:
        """Write the engine's state down, behind the records below `position`."""
        self._since_snapshot = 0
        snapshots = self.history.snapshots
        saved = snapshots.write_engine(lambda folder: self.running.snapshot(folder, position), position)
        size = saved.bytes_of_its_own()
        self._spacing = size // BYTES_A_ROW if size > LARGE_BYTES else 0
        snapshots.thin(self.journal.first_seq)

    def note_facts(self, group: Group) -> None:
        """Called by the writer's thread for each group: now and then writes the fact table down."""
        self._facts_since += group.last_seq + 1 - group.first_seq
        if self._facts_since >= self.home.settings.snapshot_rows:
            self._snapshot_facts(group.last_seq + 1)

    def rest(self) -> None:
        """Called when nothing is left to read: behind a long run, writes the state down, so that the next start replays
        nothing; and drops what the setting `retention_s` says.
        """
        self.committer.totals.open = self.store.count_open()
        if self.committer.totals.events >= SNAPSHOT_FROM:
            self.snapshot(self.journal.next_seq)
            self._snapshot_facts(self.journal.next_seq)
        settings = self.home.settings
        if settings.retention_s:
            cut = retention.plan(self.journal, settings.retention_s, settings.dedupe_horizon_s)
            if self.retain(cut):
                self.notes.append(
                    f"retention dropped {cut.segments} segments of {cut.records:,} records, up to {self.history.cut()}"
                )

    def retain(self, cut: Cut, stage: Callable[[str], None] = lambda _: None) -> int:
        """Drop what a cut of `keep.retain.plan` says; returns how many segments went."""
        return retention.apply(cut, self.history, self.log, self.writer, stage)

    def _snapshot_facts(self, position: int) -> None:
        self._facts_since = 0
        self.history.snapshots.write_facts(self.writer.facts.snapshot(), position)

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
        snapshots = self.history.snapshots
        for saved in (*snapshots.facts(), *snapshots.engines()):
            if saved.position > self.journal.next_seq:
                end = self.journal.next_seq
                raise Corrupt(f"the snapshot {saved.path.name} stands ahead of the journal, which ends at {end}")
        start, self.writer.facts = self.history.facts_at_or_before(self.journal.next_seq)
        for group in self.journal.read_groups(start):
            self.writer.follow(group)

    def _recover_engine(self, done: int) -> None:
        shutil.rmtree(self.history.place, ignore_errors=True)
        if self.committer.pack_seq is not None:
            self.engine = self.history.at(done, self.committer.pack_seq)

    def findings(self, top: int, per_threat: int = 0) -> Findings:
        """Subjects with decisions above `allow`, the worst first, with their reasons in words."""
        return find(self.journal, self.log, self.store, self.running, top, per_threat)

    def close(self) -> None:
        """Let go of locks and files."""
        self.log.close()
        self.store.close()
        self.journal.close()


def open_deployment(
    home: Home, progress: Callable[[str], None] = lambda _: None, *, allow_missing: bool = False
) -> Deployment:
    """Open and recover a deployment for writing. Raises `Temporary` when another process has it open.

    `allow_missing`: an enrichment table that cannot be read is recorded as missing when a pack is published; without,
    it
    is refused (`InvalidInput`).
    """
    settings = home.settings
    with ExitStack() as opened:  # what was opened is closed again where a later step fails
        journal = Journal.open(home.journal, identity=home.identity, segment_bytes=settings.segment_bytes)
        opened.callback(journal.close)
        tables = Tables.read(settings.enrichment, allow_missing=allow_missing)
        dedupe = DedupeIndex.open(journal, horizon_us=round(settings.dedupe_horizon_s * 1e6))
        facts = FactTable(home.identity)
        store = home.open_store()
        opened.callback(store.close)
        log = DecisionLog.open(home.decisions, segment_bytes=settings.segment_bytes)
        opened.callback(log.close)
        committer = Committer(log, store, sample_one_in=settings.sample_one_in)
        writer = Writer(journal, dedupe, facts, tables.enricher(), home.identity)
        deployment = Deployment(home, journal, store, log, committer, writer)
        deployment.parts.tables = tables
        deployment.recover(progress)
        opened.pop_all()
    return deployment


def find_pack(name: str) -> Path:
    """The folder of a pack: of one that ships with Shoal by its name, else a path, else an installed one's."""
    return packs_find.find_pack(name).folder
