"""Training frames by a replay: every row that a fitted detector would have scored, with its inputs as they stood.

The pack decides the journal again from its first record, on the same engine that serves, so that what is learned from
is what is served. All detectors of the pack are filled in one pass. Reads the journal; writes nothing.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoal.detectors.models.definition import ModelDefinition
from shoal.errors import InvalidInput, Problem, nearest_name
from shoal.expressions.frame import Frame
from shoal.learn.frame import FrameBuilder, Provenance, TrainingFrame
from shoal.packs.pack import Pack
from shoal.runtime.columns import one_chunk
from shoal.runtime.engine import TABLES, Engine, Outcome
from shoal.runtime.home import Home
from shoal.runtime.ingest.writer import LABELS
from shoal.runtime.judge.backtest import published_pack
from shoal.storage.frames import Group
from shoal.storage.journal import Journal

Bools = npt.NDArray[np.bool_]
BITS = 2**32


@dataclass(frozen=True)
class Gathered:
    """Frames by the id of their detector, and all labels that the journal held, as rows of the label schema.
    `last_us`: the journal's time behind the last record that was read."""

    pack: Pack
    frames: Mapping[str, TrainingFrame]
    labels: list[Mapping[str, Any]]
    last_us: int


def gather(
    home: Home,
    names: Collection[str] = (),
    *,
    pack: Pack | None = None,
    from_us: int | None = None,
    until_us: int | None = None,
    share: float = 1.0,
    labels: Iterable[Mapping[str, Any]] = (),
    moved: Callable[[int, int], None] = lambda _done, _total: None,
) -> Gathered:
    """Replay a deployment's journal and keep the rows of the detectors `names` (default: all of the pack).

    Tables that are a measure (`Signal.tables_measure`, an embedding) hold from the first row on as they stand at the
    end, so that a column means one thing in all rows; other published tables hold where they stand in the journal.

    `pack`: default the one in force. Rows with `from_us <= as_of <= until_us` are kept (the replay begins at the first
    record all the same). `share`: of subjects that no label names, a stable share is kept, with weight 1 / share.
    `labels`: rows of the label schema beside those in the journal. Raises `InvalidInput` for a pack without detectors,
    an unknown name (`learn.unknown`), a share outside (0, 1], a detector without rows (`frame.empty`), or a
    journal whose first records are gone (`learn.dropped`).
    """
    if not 0 < share <= 1:
        raise InvalidInput(Problem("learn.share", f"the share {share:g} is out of range", allowed="(0, 1]"))
    journal = Journal.open(home.journal, identity=home.identity, read_only=True)
    try:
        pack, complete = published_pack(home, journal, pack)
        wanted = chosen_models(pack, names)
        end = 2**62 if until_us is None else until_us
        if journal.first_seq:
            message = "retention dropped the first records, so a replay would begin without their state"
            raise InvalidInput(Problem("learn.dropped", message, hint="learn from stored vectors: --logged"))
        known, tables = records_of(journal, end)
        rows = [*labels, *known]
        with tempfile.TemporaryDirectory(prefix="shoal-learn-") as place:
            engine = Engine(pack, home.identity, history_complete=complete, folder=Path(place))
            engine.fix_measures(tables)
            gathering = Gathering(engine, wanted, (from_us if from_us is not None else -(2**62), end), share, rows)
            last = 0
            for group in journal.read_groups():
                if group.events is not None:
                    last = max(last, int(one_chunk(group.events.table, "as_of")[-1].as_py()))
                    if int(one_chunk(group.events.table, "as_of")[0].as_py()) > end:
                        break
                gathering.take(group)
                moved(group.last_seq + 1, journal.next_seq)
            frames = gathering.frames()
            engine.features.close()
    finally:
        journal.close()
    return Gathered(pack, frames, rows, min(last, end))


def chosen_models(pack: Pack, names: Collection[str]) -> list[ModelDefinition]:
    """The definitions of these detectors, or of all; raises `InvalidInput` (`learn.none`, `learn.unknown`)."""
    known = {one.id: one for one in pack.models}
    if not known:
        hint = "say in models/*.yaml what is to be learned"
        raise InvalidInput(Problem("learn.none", f"the pack {pack.name} has no fitted detectors", hint=hint))
    problems = [
        Problem("learn.unknown", f"the pack has no fitted detector {name!r}", allowed=", ".join(known),
                nearest=nearest_name(name, known))
        for name in names
        if name not in known
    ]  # fmt: skip
    if problems:
        raise InvalidInput(problems)
    return [known[name] for name in names or known]


def records_of(journal: Journal, until_us: int) -> tuple[list[Mapping[str, Any]], list[tuple[int, Mapping[str, Any]]]]:
    """Labels of the journal that were known by `until_us`, and records that published tables by then (seq and body)."""
    labels: list[Mapping[str, Any]] = []
    tables: list[tuple[int, Mapping[str, Any]]] = []
    for group in journal.read_groups():
        bodies = [frame.body for frame in group.controls if frame.kind == LABELS]
        labels += [body for body in bodies if body["known_at"] is not None and body["known_at"] <= until_us]
        tables += [
            (frame.seq, frame.body) for frame in group.controls if frame.kind == TABLES and frame.as_of <= until_us
        ]
    return labels, tables


class Gathering:
    """One pass over the journal with one engine, which keeps the rows of the detectors `wanted` within `window` (µs,
    both ends inclusive)."""

    def __init__(
        self,
        engine: Engine,
        wanted: list[ModelDefinition],
        window: tuple[int, int],
        share: float,
        labels: Iterable[Mapping[str, Any]],
    ) -> None:
        self._engine, self._window, self._share = engine, window, share
        offered = engine.offered
        self._builders = {one.id: FrameBuilder(one, [offered[name] for name in one.inputs]) for one in wanted}
        self._places = {one: place for place, one in enumerate(engine.models.definitions)}
        named: dict[str, set[str]] = {}
        for row in labels:
            named.setdefault(row["subject_type"], set()).add(row["subject"])
        self._named = {kind: pa.array(sorted(names), pa.string()) for kind, names in named.items()}
        self._first, self._last = -1, -1

    def take(self, group: Group) -> Outcome | None:
        """Decide a group and keep its rows; returns what the engine said."""
        outcome = self._engine.take(group)
        if outcome is None:
            return None
        self.keep(outcome.table, outcome.frame)
        return outcome

    def keep(self, table: pa.Table, frame: Frame, weight: npt.NDArray[np.float64] | None = None) -> bool:
        """Keep the rows of a decided batch; returns whether any lies within the window."""
        as_of = np.asarray(one_chunk(table, "as_of"))
        inside = (as_of >= self._window[0]) & (as_of <= self._window[1])
        if not inside.any():
            return False
        scored = self._engine.models.rows(frame)
        for name, builder in self._builders.items():
            self._keep(name, builder, table, frame, scored[self._places[name]] & inside, weight)
        seqs = one_chunk(table, "seq")
        self._first = int(seqs[0].as_py()) if self._first < 0 else self._first
        self._last = int(seqs[-1].as_py())
        return True

    def _keep(self, name: str, builder: FrameBuilder, table: pa.Table, frame: Frame, wanted: Bools,
              given: npt.NDArray[np.float64] | None) -> None:  # fmt: skip
        definition = self._engine.models.definitions[name]
        subjects = _texts(table, "event_id" if definition.subject == "event" else definition.subject)
        weight = np.ones(table.num_rows) if given is None else given
        if self._share < 1:
            labelled = np.asarray(
                pc.is_in(subjects, value_set=self._named.get(definition.subject, pa.array([], pa.string())))
            )
            ids = self._engine.identity.ids_of(subjects)
            inside = (ids.view(np.uint64) % np.uint64(BITS)).astype(np.float64) < self._share * BITS
            weight[~labelled] = 1 / self._share
            wanted = wanted & (labelled | inside)
        rows = np.flatnonzero(wanted)
        if not len(rows):
            return
        at = pa.array(rows)
        chosen = table.take(at)
        account = pc.coalesce(*(_texts(chosen, column) for column in ("account", "owner", "actor")))
        builder.add(
            seq=np.asarray(one_chunk(chosen, "seq")),
            as_of=np.asarray(one_chunk(chosen, "as_of")),
            time=np.asarray(one_chunk(chosen, "time")),
            subject=subjects.take(at),
            account=account,
            x=self._engine.models.matrix(name, frame, rows),
            weight=weight[rows],
            slices=_slices(chosen),
        )

    def frames(self) -> dict[str, TrainingFrame]:
        """What was kept."""
        pack = self._engine.pack
        origin = Provenance(pack.name, pack.version, pack.hash, max(self._first, 0), max(self._last, 0))
        return {name: builder.frame(origin) for name, builder in self._builders.items()}


def _slices(table: pa.Table) -> dict[str, npt.NDArray[np.float64]]:
    """By what a card cuts its figures: the account's age in seconds, whether it was a phone, whether a VPN."""
    size = table.num_rows
    age = np.full(size, np.nan)
    if "account_created" in table.column_names:
        created = pc.cast(one_chunk(table, "account_created"), pa.float64())
        age = (np.asarray(one_chunk(table, "time")) - np.asarray(created.fill_null(np.nan))) / 1e6
    return {
        "account_age_s": age,
        "mobile": _is(table, "ua_device", "mobile"),
        "vpn": _is(table, "network_kind", "vpn"),
    }


def _is(table: pa.Table, column: str, value: str) -> npt.NDArray[np.float64]:
    equal = pc.cast(pc.equal(_texts(table, column), value), pa.float64())
    return np.asarray(equal.fill_null(np.nan))


def _texts(table: pa.Table, name: str) -> pa.Array:
    return one_chunk(table, name) if name in table.column_names else pa.nulls(table.num_rows, pa.string())
