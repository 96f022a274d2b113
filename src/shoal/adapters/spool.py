"""The sorted spool: event tables of any number by (time, event_id), in bounded memory.

A finite file is sorted before it is journalled (FEATURES.md, contract point 1). Rows whose time and id are equal keep
the order in which they came; a missing id sorts first. What fits in memory is sorted there; more goes as sorted runs
to Arrow files in a folder, which are merged block by block and removed. A stream that is in order already is passed
on as it comes, as far as it is in order within memory.
"""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

RUN_BATCH_ROWS = 8192
OUT_ROWS = 65536
MAX_RUNS = 64
"""Runs merged at once; more are merged in passes."""


def sorted_tables(tables: Iterable[pa.Table], memory_bytes: int, folder: Path) -> Iterator[pa.Table]:
    """The rows of all tables by (time, event_id), as event tables of up to 65,536 rows.

    `memory_bytes`: about how much table is held in memory at once (several times that is used while sorting);
    `folder`: where runs are put when that is not enough. All tables need `time`; `event_id` may be absent.
    """
    held: list[pa.Table] = []
    size = 0
    runs: list[Path] = []
    with tempfile.TemporaryDirectory(prefix="spool-", dir=folder) as place:
        for table in tables:
            if table.num_rows == 0:
                continue
            held.append(table)
            size += table.nbytes
            if size >= memory_bytes:
                runs.append(_write_run(sort_table(_together(held)), Path(place) / f"{len(runs)}.arrow"))
                held, size = [], 0
        if not runs:
            if held:
                yield from _cut(sort_table(_together(held)))
            return
        if held:
            runs.append(_write_run(sort_table(_together(held)), Path(place) / f"{len(runs)}.arrow"))
        made = len(runs)
        while len(runs) > MAX_RUNS:
            first, runs = runs[:MAX_RUNS], runs[MAX_RUNS:]
            path = Path(place) / f"{made}.arrow"
            made += 1
            _write_batches(_merge(first), path)
            for done in first:
                done.unlink()
            runs.insert(0, path)  # it holds the earliest rows: it stays first, for the order of ties
        yield from _merge(runs)


def _together(tables: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables, promote_options="default").combine_chunks()


def _cut(table: pa.Table) -> Iterator[pa.Table]:
    for start in range(0, table.num_rows, OUT_ROWS):
        yield table.slice(start, OUT_ROWS)


def _ids(table: pa.Table) -> pa.ChunkedArray:
    """The ids with missing ones as empty texts."""
    if "event_id" not in table.column_names:
        return pa.chunked_array([pa.repeat(pa.scalar("", pa.string()), table.num_rows)])
    return pc.fill_null(table.column("event_id"), "")


def is_sorted(table: pa.Table) -> bool:
    """Whether a table's rows are by (time, event_id) already."""
    times = table.column("time").to_numpy()
    steps = np.diff(times)
    if (steps < 0).any():
        return False
    ties = np.flatnonzero(steps == 0)
    if len(ties) == 0:
        return True
    ids = _ids(table)
    before, after = ids.take(pa.array(ties)), ids.take(pa.array(ties + 1))
    return bool(pc.all(pc.less_equal(before, after), min_count=0).as_py())


def sort_table(table: pa.Table) -> pa.Table:
    """A table by (time, event_id); ties keep their order; the same object where it is sorted already."""
    if table.num_rows < 2 or is_sorted(table):
        return table
    keys = pa.table(
        {"time": table.column("time"), "event_id": _ids(table), "place": pa.array(np.arange(table.num_rows))}
    )
    order = pc.sort_indices(keys, sort_keys=[("time", "ascending"), ("event_id", "ascending"), ("place", "ascending")])
    return table.take(order).combine_chunks()


def _write_run(table: pa.Table, path: Path) -> Path:
    _write_batches((table.slice(at, RUN_BATCH_ROWS) for at in range(0, table.num_rows, RUN_BATCH_ROWS)), path)
    return path


def _write_batches(tables: Iterable[pa.Table], path: Path) -> None:
    """Write tables as one Arrow stream a schema change each: a run's tables may differ in their columns."""
    with open(path, "wb") as stream:
        for table in tables:
            for start in range(0, table.num_rows, RUN_BATCH_ROWS):
                part = table.slice(start, RUN_BATCH_ROWS).combine_chunks()
                with pa.ipc.new_stream(stream, part.schema) as writer:
                    writer.write_table(part)


class _Run:
    """One run, read a batch at a time. Orders by its first row, then by its number."""

    def __init__(self, path: Path, number: int) -> None:
        self._stream = open(path, "rb")  # noqa: SIM115 - closed when it is read to the end, or by `close`
        self.number = number
        self.table: pa.Table | None = None
        self.times: list[int] = []
        self.ids: list[str] = []
        self.at = 0
        self.advance()

    def advance(self) -> bool:
        """Go to the next batch; False at the end."""
        try:
            table = pa.ipc.open_stream(self._stream).read_all()
        except pa.ArrowInvalid:
            if self._stream.read(1):
                raise
            table = None
        self.table, self.at = table, 0
        if table is None:
            self.close()
            return False
        self.times, self.ids = table.column("time").to_pylist(), _ids(table).to_pylist()
        return True

    @property
    def head(self) -> tuple[int, str, int]:
        """What this run is ordered by."""
        return self.times[self.at], self.ids[self.at], self.number

    def take_until(self, bound: tuple[int, str, int] | None) -> pa.Table:
        """The rows of this batch that come before `bound` (at least one), taken from it."""
        assert self.table is not None
        start, end = self.at, len(self.times)
        if bound is not None:
            low, high = start + 1, end
            while low < high:
                middle = (low + high) // 2
                if (self.times[middle], self.ids[middle], self.number) < bound:
                    low = middle + 1
                else:
                    high = middle
            end = low
        self.at = end
        return self.table.slice(start, end - start)

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


def _merge(paths: list[Path]) -> Iterator[pa.Table]:
    """Merge sorted runs: whole stretches of one run at a time, up to where the next run's row comes first."""
    runs = [_Run(path, number) for number, path in enumerate(paths)]
    heap = [(run.head, run.number) for run in runs if run.table is not None]
    heapq.heapify(heap)
    held: list[pa.Table] = []
    rows = 0
    try:
        while heap:
            _, number = heapq.heappop(heap)
            run = runs[number]
            part = run.take_until(heap[0][0] if heap else None)
            held.append(part)
            rows += part.num_rows
            if run.at < len(run.times) or run.advance():
                heapq.heappush(heap, (run.head, number))
            if rows >= OUT_ROWS:
                yield from _cut(_together(held))
                held, rows = [], 0
        if held:
            yield from _cut(_together(held))
    finally:
        for run in runs:
            run.close()
