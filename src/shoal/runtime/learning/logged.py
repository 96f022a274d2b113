"""Training frames from what was stored at decision time: the vectors in the decision log, without a replay.

A vector is stored for every decision at `watch` and above, and for one event in so many of the rest (the setting
`sample_one_in`), which get that weight. So a frame stands for all rows, and says exactly what was served, behind a
retention cut too. Only vectors of the pack in force are read: those of an earlier one are laid out otherwise.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from shoal.detectors.models.definition import ModelDefinition
from shoal.errors import InvalidInput, Problem
from shoal.runtime.columns import one_chunk
from shoal.runtime.engine import Engine
from shoal.runtime.home import Home
from shoal.runtime.keep.history import History
from shoal.runtime.learning.frames import Gathered, Gathering, chosen_models, records_of
from shoal.runtime.review.findings import stored_frame
from shoal.storage.decisions import DecisionLog
from shoal.storage.journal import Journal
from shoal.storage.store import Store

ROWS = 20_000


def gather_logged(
    home: Home,
    names: Collection[str] = (),
    *,
    from_us: int | None = None,
    until_us: int | None = None,
    labels: Iterable[Mapping[str, Any]] = (),
    moved: Callable[[int, int], None] = lambda _done, _total: None,
) -> Gathered:
    """As `frames.gather`, from stored vectors. Raises `InvalidInput` (`learn.no_pack`, `learn.unknown`,
    `frame.empty`)."""
    journal = Journal.open(home.journal, identity=home.identity, read_only=True)
    store = home.open_store(read_only=True)
    log = DecisionLog.open(home.decisions, read_only=True)
    try:
        published = _pack_seq(store)
        end = 2**62 if until_us is None else until_us
        known, tables = records_of(journal, end)
        rows = [*labels, *known]
        with tempfile.TemporaryDirectory(prefix="shoal-logged-") as place:
            history = History(home, journal, Path(place))
            engine = history.fresh(history.publication(published))
            engine.fix_measures(tables)
            wanted = chosen_models(engine.pack, names)
            first = max(published, journal.first_seq, _measured_from(engine, wanted))
            window = (from_us if from_us is not None else -(2**62), end)
            gathering = Gathering(engine, wanted, window, 1.0, ())
            last = _read(journal, log, store, engine, gathering, first, moved)
            frames = gathering.frames()
            History.close(engine)
            return Gathered(engine.pack, frames, rows, min(last, end))
    finally:
        log.close()
        store.close()
        journal.close()


def _measured_from(engine: Engine, wanted: Sequence[ModelDefinition]) -> int:
    """From where on the stored values of the inputs mean what they do now: vectors that were stored under another
    embedding are no rows of this one."""
    tables = engine.signals.tables
    read = {name.partition(".")[0] for one in wanted for name in one.inputs}
    return max((tables[name].seq for name in engine.signals.measures if name in read), default=0)


def _pack_seq(store: Store) -> int:
    found = [offset.offset for offset in store.read_offsets() if offset.partition == "pack"]
    if not found:
        raise InvalidInput(Problem("learn.no_pack", "no pack was published here", hint="run events through one first"))
    return max(found)


def _read(
    journal: Journal,
    log: DecisionLog,
    store: Store,
    engine: Engine,
    gathering: Gathering,
    first: int,
    moved: Callable[[int, int], None],
) -> int:
    """Hand all stored vectors to `gathering`; returns the journal's time behind the last."""
    width, last = 9 * len(engine.computed.names), 0
    sample = engine_sample(log, first)
    for table in log.read(first):
        stored = np.asarray(pc.equal(pc.binary_length(one_chunk(table, "features")), width).fill_null(False))
        seqs = np.asarray(one_chunk(table, "seq"))[stored]
        kept = np.asarray(one_chunk(table, "tier"))[stored] > 0
        kept |= np.asarray(one_chunk(table, "provisional"))[stored]
        for start in range(0, len(seqs), ROWS):
            part = slice(start, start + ROWS)
            frame = stored_frame(seqs[part], journal, log, engine, store)
            events = journal.rows(seqs[part])
            weight: npt.NDArray[np.float64] = np.where(kept[part], 1.0, float(sample))
            gathering.keep(events, frame, weight)
            last = max(last, int(one_chunk(events, "as_of")[-1].as_py()))
        if len(seqs):
            moved(int(seqs[-1]) + 1, journal.next_seq)
    return last


def engine_sample(log: DecisionLog, first: int) -> int:
    """One in how many allowed events has its vector stored, as the log itself shows it."""
    allowed = stored = 0
    for table in log.read(first, columns=["tier", "provisional", "features"]):
        low = (np.asarray(one_chunk(table, "tier")) == 0) & ~np.asarray(one_chunk(table, "provisional"))
        allowed += int(low.sum())
        stored += int((low & np.asarray(one_chunk(table, "features").is_valid())).sum())
    return max(1, round(allowed / stored)) if stored else 1
