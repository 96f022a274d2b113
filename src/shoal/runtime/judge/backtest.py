"""A backtest: two packs over the same stretch of history, and what would have been different.

Both replay the same records from the same position through the production engine, after a warm-up that is decided and
not counted. What Shoal itself caused then is masked, so that neither pack reads the effects of the old one: events
whose `cause` is `shoal`, outcomes of actions, and every control record (packs, verdicts). Labels score and are never
decided on. History stays censored: a subject that was acted on then made no more events, so what either pack would
have seen of it is unknown, and it is listed as such.

Reads the journal and writes nothing. What a policy does to a world that answers is the closed loop's question.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import InvalidInput, Problem
from shoal.learn.cohorts import Subject, read_labels
from shoal.packs.pack import Pack
from shoal.runtime.columns import one_chunk
from shoal.runtime.engine import Engine
from shoal.runtime.home import Home
from shoal.runtime.ingest.writer import LABELS, PACKS
from shoal.runtime.judge.compare import Backtest, Stretch, compare
from shoal.runtime.judge.side import Side
from shoal.runtime.keep.history import Published
from shoal.runtime.publish import pack_of
from shoal.storage.frames import ControlFrame, EventFrame
from shoal.storage.journal import Journal

OUTCOME_TYPES = frozenset({"action.applied", "action.failed", "action.undone"})
"""Events that tell what became of Shoal's own actions."""


@dataclass(frozen=True)
class Window:
    """The judged stretch [`from_us`, `to_us`] of `as_of`, and how long before it both packs warm up."""

    from_us: int | None = None
    to_us: int | None = None
    warm_up_us: int = 3 * 86_400_000_000


def published_pack(home: Home, journal: Journal, given: Pack | None = None) -> tuple[Pack, bool]:
    """The pack last published (or `given`, without reading it), and whether its history was complete. Raises
    `InvalidInput` if there is none."""
    body: Mapping[str, Any] | None = None
    for frame in journal.read():
        if isinstance(frame, ControlFrame) and frame.kind == PACKS:
            body = frame.body
    kept = Published(home.folder / "published").newest() if body is None else None
    body = kept.body if kept is not None else body
    if body is None:
        raise InvalidInput(Problem("backtest.pack", "no pack was published here", hint="name both packs"))
    return given or pack_of(body), body["history"] == "complete"


def backtest(
    home: Home,
    new: Pack,
    old: Pack | None = None,
    *,
    window: Window | None = None,
    labels: Iterable[Mapping[str, Any]] = (),
    history_complete: bool | None = None,
    moved: Callable[[int, int], None] = lambda _done, _total: None,
) -> Backtest:
    """Judge `new` against `old` (default: the pack in force) over a deployment's journal.

    `labels`: rows of the label schema beside those in the journal. Raises `InvalidInput` for a stretch without
    events or one that begins before the journal does. Costs two replays of the stretch and its warm-up."""
    window = window or Window()
    if window.from_us is not None and window.to_us is not None and window.from_us > window.to_us:
        raise InvalidInput(Problem("backtest.window", "the stretch ends before it begins"))
    journal = Journal.open(home.journal, identity=home.identity, read_only=True)
    try:
        in_force, complete = published_pack(home, journal) if old is None or history_complete is None else (old, True)
        old = old or in_force
        complete = complete if history_complete is None else history_complete
        with tempfile.TemporaryDirectory(prefix="shoal-backtest-") as place:
            sides = []
            for name, pack in (("old", old), ("new", new)):
                folder = Path(place) / name
                folder.mkdir()
                sides.append(Side(Engine(pack, home.identity, history_complete=complete, folder=folder)))
            stretch = _stretch(journal, window)
            for group in journal.read_groups():
                moved(group.last_seq + 1, journal.next_seq)
                stretch.labels += [frame.body for frame in group.controls if frame.kind == LABELS]
                for side in sides:
                    side.engine.install(group)
                if group.events is not None:
                    _pass(group.events.table, sides, stretch)
    finally:
        journal.close()
    if not stretch.events:
        raise InvalidInput(
            Problem("backtest.empty", "no event lies in the stretch", hint="see its times: shoal journal stats")
        )
    known = read_labels([*stretch.labels, *labels], 2**62)
    return compare(sides[0], sides[1], stretch, known)


def _stretch(journal: Journal, window: Window) -> Stretch:
    first = next((int(one_chunk(f.table, "as_of")[0].as_py()) for f in journal.read() if isinstance(f, EventFrame)), 0)
    start = window.from_us if window.from_us is not None else first + window.warm_up_us
    return Stretch(start - window.warm_up_us, start, window.to_us if window.to_us is not None else 2**62)


def _pass(whole: pa.Table, sides: Sequence[Side], stretch: Stretch) -> None:
    """Take the events of one group of the journal."""
    as_of = np.asarray(one_chunk(whole, "as_of"))
    low, high = np.searchsorted(as_of, [stretch.begin_us, stretch.end_us + 1]).tolist()
    table = _unmasked(whole.slice(low, high - low), stretch)
    if not table.num_rows:
        return
    as_of = np.asarray(one_chunk(table, "as_of"))
    counted = as_of >= stretch.start_us
    stretch.warm_up += int((~counted).sum())
    if counted.any():
        stretch.events += int(counted.sum())
        stretch.last_us = int(as_of[-1])
        _note_plans(table, counted, stretch)
    matched = [side.decide(table, counted) for side in sides]
    none = np.zeros(table.num_rows, dtype=bool)
    for rule in {*matched[0], *matched[1]}:
        before, after = matched[0].get(rule, none), matched[1].get(rule, none)
        stretch.only_old[rule] += int((before & ~after).sum())
        stretch.only_new[rule] += int((after & ~before).sum())


def _unmasked(table: pa.Table, stretch: Stretch) -> pa.Table:
    """The events that Shoal did not cause; subjects of its actions are censored."""
    if not table.num_rows:
        return table
    applied = pc.is_in(one_chunk(table, "type"), value_set=pa.array(sorted(OUTCOME_TYPES)))
    ours = applied
    if "cause" in table.column_names:
        ours = pc.or_(applied, pc.fill_null(pc.equal(one_chunk(table, "cause"), "shoal"), False))
    count, outcomes = int(pc.sum(ours).as_py() or 0), int(pc.sum(applied).as_py() or 0)
    if not count:
        return table
    stretch.masked["outcomes of actions"] += outcomes
    stretch.masked["events that Shoal caused"] += count - outcomes
    done = table.filter(applied)
    for column in ("account", "link", "session", "ip", "file", "device"):
        if column in done.column_names:
            names = pc.unique(one_chunk(done, column)).to_pylist()
            stretch.censored.update(Subject(column, name) for name in names if name is not None)
    return table.filter(pc.invert(ours)).combine_chunks()


def _note_plans(table: pa.Table, counted: npt.NDArray[np.bool_], stretch: Stretch) -> None:
    """The plan of every account that acted."""
    if "actor" not in table.column_names:
        return
    names = [name for name in ("actor", "account", "account_tier") if name in table.column_names]
    seen = table.select(names).filter(pa.array(counted)).group_by(names).aggregate([])
    for row in seen.to_pylist():
        if row["actor"] is not None:
            plan = row.get("account_tier") if row.get("account") in (row["actor"], None) else None
            if plan is not None or row["actor"] not in stretch.plans:
                stretch.plans[row["actor"]] = plan or "unknown"
