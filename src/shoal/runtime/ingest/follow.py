"""Following a stream: its records through writer, engine and commit, until told to stop.

Reading, journalling, deciding and committing overlap as for files (`runtime.pipeline`). When the stream is stopped,
what was journalled is decided and committed before this returns. The places of the partitions stand in the journal
(`source.places`), so that the next run of the same source goes on behind the last record, whatever ended this one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from shoal.adapters.source import StreamSource
from shoal.clock import Clock
from shoal.errors import Permanent
from shoal.runtime.commit import Decided
from shoal.runtime.deployment import Deployment
from shoal.runtime.ingest.merge import Place, Release
from shoal.runtime.ingest.stream import Stream, Tick, place_body, read_places
from shoal.runtime.ingest.writer import STARTED, TICKS
from shoal.runtime.pipeline import Stage
from shoal.storage.frames import ControlFrame, Group


@dataclass
class Followed:
    """What went through: records (without our own control records), records of earlier runs, ticks, and records that
    were released before their wait was over because too many were held."""

    source: str
    now: int = 0
    before: int = 0
    ticks: int = 0
    early: int = 0


def follow(
    deployment: Deployment,
    source: StreamSource,
    *,
    clock: Clock,
    merge_wait_s: float | None = None,
    stopped: Callable[[], bool] = lambda: False,
    moved: Callable[[int], None] = lambda _: None,
) -> Followed:
    """Take in a stream until `stopped()` (asked a few times a second) or until all its partitions have ended.

    `merge_wait_s`: how long a record waits for earlier ones of other partitions (None: the deployment's setting; 0: as
    received). `moved` is called with the number of records so far. Closes the source.
    """
    committer, settings = deployment.committer, deployment.home.settings
    wait_s = settings.merge_wait_s if merge_wait_s is None else merge_wait_s
    told = Followed(source.name, before=committer.place_of(source.name) or 0)
    try:
        if committer.place_of(source.name) is None or committer.source != source.name:
            body = {"source": source.name, "format": source.format, "follow": True, "merge_wait_s": wait_s}
            deployment.process(deployment.writer.control(STARTED, body))
        resume = places_of(deployment, source.name)
        stream = Stream(source, clock, settings, merge_wait_s=wait_s, resume=resume, stopped=stopped)
        _run(deployment, stream, told, moved, clock)
        deployment.parts.settle()
        stream.tell_source()
    finally:
        source.close()
    return told


def places_of(deployment: Deployment, source: str) -> dict[str, Place]:
    """How far each partition of a stream is journalled.

    Where retention has dropped the record that says so exactly, the store's offsets are taken: records behind them
    that were journalled out of turn come again and are duplicates.
    """
    seq = deployment.committer.place_record(source)
    if seq is None:
        return {}
    try:
        for frame in deployment.journal.read(seq, seq + 1):
            if isinstance(frame, ControlFrame):
                return read_places(frame.body)
    except Permanent:
        if seq >= deployment.journal.first_seq:
            raise
    found = {}
    for offset in deployment.store.read_offsets(source):
        if offset.partition.startswith("at:"):
            found[offset.partition.removeprefix("at:")] = Place(offset.offset, np.zeros(0, np.int64))
    return found


def _run(deployment: Deployment, stream: Stream, told: Followed, moved: Callable[[int], None], clock: Clock) -> None:
    items = Stage(iter(stream), "read and decode")
    written = Stage(_journalled(deployment, stream.source.name, items, clock), "write the journal")
    decided = Stage(_decided(deployment, written), "decide")
    try:
        for one, item in decided:
            deployment.committer.commit(one)
            if item is None:
                continue
            if isinstance(item, Tick):
                told.ticks += 1
            else:
                stream.committed(item)
                told.now += item.block.records
                told.early += item.early
            moved(told.now)
    finally:
        for stage in (decided, written, items):
            stage.close()


def _journalled(
    deployment: Deployment, source: str, items: Iterable[Release | Tick], clock: Clock
) -> Iterator[tuple[Group, Release | Tick | None]]:
    """The groups of the stream, and, without an item, those of parts that are back."""
    parts, every = deployment.parts, round(deployment.home.settings.part_check_s * 1e6)
    checked = clock.now_us()
    for item in items:
        if parts.tables.why and clock.now_us() - checked >= every:
            checked = clock.now_us()
            for group in parts.retry():
                yield group, None
        for group in parts.joined():
            yield group, None
        if isinstance(item, Tick):
            if item.as_of > (deployment.journal.last_as_of or 0):
                yield deployment.writer.control(TICKS, {"source": source}, item.as_of), item
            continue
        written = deployment.writer.write(item.block, item.bound_us, place_body(source, item))
        if written is not None:
            deployment.note_facts(written)
            yield written, item


def _decided(
    deployment: Deployment, groups: Iterable[tuple[Group, Release | Tick | None]]
) -> Iterator[tuple[Decided, Release | Tick | None]]:
    for group, item in groups:
        yield deployment.decide(group), item
