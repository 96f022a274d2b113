"""The pipeline: source, writer and engine, each in a thread of its own, over bounded queues. Hot path.

Decoding, journalling (with its sync), deciding and committing of different groups overlap; the kernels and Arrow let
go of the interpreter's lock. A failure in any thread stops the others and is raised in the caller's. Interrupting is
safe at any point: what the journal acknowledged is kept and decided, by this process or by the next one.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

import numpy as np

from shoal.runtime.columns import one_chunk
from shoal.runtime.deployment import Deployment
from shoal.runtime.ingest.order import Ordered
from shoal.storage.frames import Group, Int64s

Item = TypeVar("Item")
DEPTH = 3


class Stage(Generic[Item]):
    """An iterable that is consumed ahead of time in a thread."""

    def __init__(self, items: Iterable[Item], name: str) -> None:
        self.name, self.cpu_s = name, 0.0
        self._queue: queue.Queue[tuple[Item | None, BaseException | None]] = queue.Queue(DEPTH)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(items,), name=f"shoal: {name}", daemon=True)
        self._thread.start()

    def _put(self, item: tuple[Item | None, BaseException | None]) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.2)
                return True
            except queue.Full:
                continue
        return False

    def _work(self, items: Iterable[Item]) -> None:
        try:
            for item in items:
                if not self._put((item, None)):
                    return
            self._put((None, None))
        except BaseException as error:  # handed to the consumer, where it is raised
            self._put((None, error))
        finally:
            self.cpu_s = time.thread_time()

    def __iter__(self) -> Iterator[Item]:
        while True:
            item, error = self._queue.get()
            if error is not None:
                raise error
            if item is None:
                return
            yield item

    def close(self) -> None:
        """Stop the thread and wait for it; what was not consumed is forgotten."""
        self._stop.set()
        self._thread.join()


def feed(
    deployment: Deployment,
    blocks: Iterable[Ordered],
    *,
    skip: int = 0,
    max_time: int | None = None,
    done: Callable[[int], None] = lambda _: None,
) -> int:
    """Write, decide and commit all blocks, without their first `skip` records; returns how many records went through.

    `max_time`: the latest time that an event of a finite source may have, µs; without it, each event's `received`
    plus the skew.
    `done` is called with the number of records of each committed group.
    """
    rows = deployment.home.settings.batch_rows
    ordered = Stage(_cut(blocks, skip, rows), "read and decode")
    groups = Stage(_written(deployment, ordered, max_time), "write the journal")
    decided = Stage(map(deployment.decide, groups), "decide")
    total, committing = 0, 0.0
    try:
        for one in decided:
            start = time.thread_time()
            deployment.committer.commit(one)
            committing += time.thread_time() - start
            count = one.group.last_seq + 1 - one.group.first_seq
            total += count
            done(count)
    finally:
        for stage in (decided, groups, ordered):
            stage.close()
        for name, seconds in ((stage.name, stage.cpu_s) for stage in (ordered, groups, decided)):
            deployment.costs[name] += seconds
        deployment.costs["commit"] += committing
    return total


def _cut(blocks: Iterable[Ordered], skip: int, rows: int) -> Iterator[Ordered]:
    place = 0
    for block in blocks:
        start = max(0, skip - place)
        place += block.records
        while start < block.records:
            stop = min(start + rows, block.records)
            yield block.between(start, stop)
            start = stop


def _written(deployment: Deployment, blocks: Iterable[Ordered], max_time: int | None) -> Iterator[Group]:
    skew = round(deployment.home.settings.skew_s * 1e6)
    for block in blocks:
        if max_time is not None:
            bound: int | Int64s = max_time
        elif "received" in block.events.column_names:
            bound = np.asarray(one_chunk(block.events, "received").fill_null(2**62)) + skew
        else:
            bound = 2**62
        group = deployment.writer.write(block, bound)
        if group is not None:
            deployment.note_facts(group)
            if group.events is not None and group.events.ids is not None and deployment.engine is not None:
                deployment.engine.hash_ahead(group.events.table, group.events.ids)
            yield group
