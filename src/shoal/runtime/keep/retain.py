"""Retention: whole journal segments past the period go, and everything that is kept still opens, replays and explains.

In this order, so that a crash at any step leaves a deployment that opens: the state behind the cut is written as a
snapshot and read back; the pack in force there is kept outside of the journal; so is the state of later packs that had
replayed the whole journal; only then do journal segments go (counted in `journal/dropped`), decision segments, and what
no longer is of use. A second run finishes what an interrupted one began. Decisions above `allow` stay in the store:
they are the truth of what was done.

The period is journal time, as every period here: behind the newest event, not behind the machine's clock.
"""

from __future__ import annotations

import contextlib
import math
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from shoal.errors import InvalidInput, Permanent, Problem, ShoalError
from shoal.runtime.engine import Engine
from shoal.runtime.ingest.writer import PACKS, Writer
from shoal.runtime.keep.history import History, Publication
from shoal.storage import frames as codec
from shoal.storage.decisions import DecisionLog
from shoal.storage.frames import CONTROLS, DUPLICATES, EVENTS, ControlFrame
from shoal.storage.journal import Journal

UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
MAX_PERIOD_S = 100 * 366 * 86_400
_PERIOD = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")


@dataclass(frozen=True)
class Cut:
    """What retention drops: all records before `before_seq`, in whole segments."""

    before_seq: int
    last_as_of: int | None
    segments: int
    bytes: int
    events: int
    duplicates: int
    controls: int

    @property
    def records(self) -> int:
        """Records that go."""
        return self.events + self.duplicates + self.controls


def parse_period(text: str) -> float:
    """Seconds of a period like `30d`, `12h`, `2w`; raises `InvalidInput`."""
    found = _PERIOD.fullmatch(text.strip().lower())
    seconds = float(found[1]) * UNITS.get(found[2], math.nan) if found else math.nan
    if not 0 < seconds <= MAX_PERIOD_S:
        raise InvalidInput(
            Problem(
                "retain.period",
                f"{text!r} is no period",
                allowed="a number above 0 and a unit of s, min, h, d, w, at most a hundred years",
                hint="for example 30d",
            )
        )
    return seconds


def plan(journal: Journal, keep_s: float, horizon_s: float) -> Cut:
    """What a retention of `keep_s` would drop now. Raises `InvalidInput` for a period shorter than the horizon within
    which duplicates are told (they are told by the journal)."""
    if keep_s < horizon_s:
        raise InvalidInput(
            Problem(
                "retain.under_horizon",
                f"a period of {keep_s:,.0f} s, and the journal tells duplicates for {horizon_s:,.0f} s",
                allowed=f"at least {horizon_s:,.0f} s (the setting dedupe_horizon_s)",
            )
        )
    gone = []
    if journal.last_as_of is not None:
        last = journal.last_as_of - round(keep_s * 1e6)
        for segment in journal.segments:
            if not segment.sealed or (segment.max_as_of is not None and segment.max_as_of >= last):
                break
            gone.append(segment)
        while gone and not gone[-1].rows(EVENTS):  # control records alone are no age
            gone.pop()
    return Cut(
        gone[-1].next_seq if gone else journal.first_seq,
        max((s.max_as_of for s in gone if s.max_as_of is not None), default=None),
        len(gone),
        sum(segment.length for segment in gone),
        *(sum(segment.rows(kind) for segment in gone) for kind in (EVENTS, DUPLICATES, CONTROLS)),
    )


def apply(
    cut: Cut, history: History, log: DecisionLog, writer: Writer, stage: Callable[[str], None] = lambda _: None
) -> int:
    """Drop what `cut` says, or what an interrupted run left; returns how many segments went.

    `history` has the journal, open for writing, all of which must be decided and committed.
    """
    journal = history.journal
    if cut.segments:
        with _working(history) as own:
            stage("writing the state behind the cut")
            in_force = _keep_engine(own, cut.before_seq)
            _keep_facts(own, writer, cut.before_seq)
            own.published.write(own.publication(in_force))
            for one in _publications(journal, cut.before_seq):
                if not one.carried:
                    stage("writing the state of a later pack")
                    _keep_publication(own, one)
        stage("dropping segments")
        journal.retain(cut.before_seq)
        history.published.thin(in_force)
    log.retain(journal.first_seq)
    history.snapshots.thin(journal.first_seq)
    return cut.segments


@contextlib.contextmanager
def _working(history: History) -> Iterator[History]:
    place = history.home.folder / "state" / "retention"
    shutil.rmtree(place, ignore_errors=True)
    try:
        yield History(history.home, history.journal, place)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _keep_engine(history: History, position: int) -> int:
    """Pin a snapshot of the engine at `position`; returns the record that published its pack."""
    for saved in history.snapshots.engines():
        if saved.position == position:
            with contextlib.suppress(ShoalError):
                engine = history.restored(saved)
                history.close(engine)
                history.snapshots.pin(saved)
                return engine.published
    engine_then = history.at(position)
    if engine_then is None:
        raise Permanent(f"no pack was in force at record {position}; nothing is dropped")
    return _pin(history, engine_then, position)


def _pin(history: History, engine: Engine, position: int) -> int:
    """Write, read back and pin a snapshot; the engine is closed."""
    saved = history.snapshots.write_engine(lambda folder: engine.snapshot(folder, position), position)
    history.close(engine)
    history.close(history.restored(saved))
    history.snapshots.pin(saved)
    return engine.published


def _keep_facts(history: History, writer: Writer, position: int) -> None:
    start, table = history.facts_at_or_before(position)
    if start == position and position:
        return
    follower = replace(writer, facts=table)
    for group in history.journal.read_groups(start, position):
        follower.follow(group)
    history.snapshots.write_facts(table.snapshot(), position)


def _keep_publication(history: History, one: Publication) -> None:
    """Pin the state that a pack got by replaying the journal, which cannot be replayed again."""
    for saved in history.snapshots.engines():
        if saved.position == one.seq + 1:
            with contextlib.suppress(ShoalError):
                engine = history.restored(saved)
                history.close(engine)
                if engine.published == one.seq:
                    history.snapshots.pin(saved)
                    return
    _pin(history, history.take_up(one, None), one.seq + 1)


def _publications(journal: Journal, from_seq: int) -> list[Publication]:
    """The publications at or behind `from_seq`; only frames of control records are read."""
    found = []
    for segment in journal.segments:
        if segment.next_seq <= from_seq:
            continue
        with segment.reader() as reader:
            for unit in reader.segment.units:
                for head in unit.heads:
                    if head.kind == CONTROLS and head.last_seq >= from_seq:
                        found += [
                            Publication(record.seq, record.as_of, record.body)
                            for record in codec.decode_controls(reader.payload(head))
                            if isinstance(record, ControlFrame) and record.kind == PACKS and record.seq >= from_seq
                        ]
    return found
