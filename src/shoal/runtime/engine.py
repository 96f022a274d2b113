"""The engine: a compiled pack that decides stamped batches. Hot path.

`decide(batch) -> batch with more columns`, deterministic: it reads the stamps that the writer made and never a clock,
the network or a random source, so live, replay, backtest and training are this one class on the same records. It owns
the state of features and policy, and can write it down and take it back. Results do not depend on how the journal was
cut into batches.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shoal.detectors.models.definition import Input
from shoal.detectors.models.serving import Serving
from shoal.detectors.signal_kinds import KINDS
from shoal.detectors.signal_stage import SignalStage
from shoal.errors import Corrupt, Unsupported
from shoal.events.attributes import extract
from shoal.events.identity import BatchIds, Hash, Identity
from shoal.events.schema import Kind
from shoal.expressions.compile import Scope, compile_expression
from shoal.expressions.frame import Frame, Layout
from shoal.features.definitions import FeatureDefinition
from shoal.features.engine import FeatureBlock, FeatureEngine, Stamps
from shoal.features.snapshot import definition_of, read_manifest
from shoal.packs.learned.offer import offered_inputs
from shoal.packs.pack import Pack
from shoal.policy.decisions import Decisions
from shoal.policy.policy import Pause, PolicyEngine
from shoal.ranges.lists import NamedList
from shoal.rules.rules import Matches, RuleSet
from shoal.runtime.columns import one_chunk
from shoal.runtime.learning.reasons import with_reasons
from shoal.runtime.revise.open import OpenSet
from shoal.runtime.revise.reviser import Revised, Reviser
from shoal.storage.frames import Group

MODELS = "models"
"""The kind of the record that publishes a fitted detector: its name and its files (none: it is withdrawn)."""
TABLES = "tables"
"""The kind of the record that publishes arrays for a signal (`detectors.signal_tables`; none: they are withdrawn)."""
SNAPSHOT_FORMAT, SNAPSHOT_VERSION = "shoal.engine", 4
_READ = (3, SNAPSHOT_VERSION)
"""Versions that are read; 3 knew no published tables."""


@dataclass(frozen=True)
class Outcome:
    """What the engine says of one batch. `frame` is reused by the next batch: read it before. `features` holds all
    columns that the engine computed (`Engine.computed`), those of signals and fitted detectors too."""

    table: pa.Table
    frame: Frame
    features: FeatureBlock
    matches: Matches
    decisions: Decisions

    @property
    def seq(self) -> npt.NDArray[np.int64]:
        """Sequence numbers of the rows."""
        return np.asarray(one_chunk(self.table, "seq"))


class Engine:
    """One pack, compiled for one deployment's identity.

    `published`: the seq of the record that published the pack. `carried`: definitions of earlier packs whose state the
    engine takes over from a snapshot and goes on feeding, though the pack may not read them. `also`: event columns and
    attributes that the frame carries beside those that the pack reads.
    """

    def __init__(
        self,
        pack: Pack,
        identity: Identity,
        *,
        history_complete: bool,
        folder: Path | None = None,
        capacity: int = 32_768,
        published: int = -1,
        carried: Sequence[FeatureDefinition] = (),
        revise: tuple[float, int] | None = None,
        also: Collection[str] = (),
    ) -> None:
        self.pack = pack
        self.published = published
        self.identity = identity
        self.history_complete = history_complete
        self.lists: Mapping[str, NamedList] = pack.named_lists()
        used = used_columns(pack, carried) | set(also)
        self.event_layout = Layout.of({name: kind for name, kind in pack.event_columns.items() if name in used})
        self.features = FeatureEngine(
            pack.features,
            self.event_layout,
            identity,
            self.lists,
            history_complete=history_complete,
            folder=folder,
        )
        self.signals = SignalStage(pack.signals, self.event_layout, identity, self.lists)
        self.computed = Layout.of(pack.computed)
        self.layout = self.event_layout.with_columns(pack.computed)
        self.models = Serving(
            pack.models, self.layout, identity, self.lists, offered_inputs(pack) if pack.models else {}
        )
        self.rules = RuleSet(pack.rules, self.layout, identity, self.lists)
        self.policy = PolicyEngine(pack.policy, self.rules, self.layout, identity, self.lists)
        self._attributes = {a.name: (a.path, a.kind) for a in pack.attributes.values() if a.name in used}
        self._frame = Frame.empty(self.layout, capacity)
        self._first_feature = len(self.event_layout.names)
        self.reviser: Reviser | None = None
        if revise is not None:
            opened = OpenSet(round(revise[0] * 1e6), revise[1])
            features = slice(self._first_feature, len(self.layout.names))
            self.reviser = Reviser(self.rules, self.policy, identity, opened, self._fill, features)

    def decide(self, table: pa.Table, ids: Hash | None = None, group: Group | None = None) -> Outcome:
        """Decide a batch of stamped events, in seq order and behind all earlier ones. `ids`: what has hashed texts of
        the table already; `group`: see `take`."""
        return self.decide_columns(self.with_attributes(table), ids, group)

    def hash_ahead(self, table: pa.Table, ids: BatchIds) -> None:
        """Hash the texts that `decide` will want, in a thread that is not deciding."""
        for name, kind in zip(self.event_layout.names, self.event_layout.kinds, strict=True):
            if kind is Kind.TEXT and name in table.column_names:
                ids.ids_of(one_chunk(table, name))

    def decide_columns(self, table: pa.Table, ids: Hash | None = None, group: Group | None = None) -> Outcome:
        """The same for a table that has the pack's attributes as columns already."""
        frame = self._frame
        frame.fill(table, ids or BatchIds(self.identity))  # equal columns of a journal read back are one
        stamps = stamps_of(table)
        start = self._first_feature
        block = self.features.update(frame, stamps, frame.values[start:], frame.valid[start:])
        self.signals.update(frame, stamps, start + len(self.features.names))
        self.models.score(frame, len(self.layout.names) - 2 * len(self.models.definitions))
        matches = self.rules.match(frame)
        pauses: list[tuple[int, Pause]] = []
        if group is not None and self.reviser is not None:
            pauses = self.reviser.plan(group, table, frame, matches)
        decisions = self.policy.decide(frame, matches, stamps, pauses)
        if self.models.in_force:
            decisions = with_reasons(decisions, self.models, self.rules, frame)
        return Outcome(table, frame, block, matches, decisions)

    def take(self, group: Group) -> Outcome | None:
        """Decide a group of the journal, with the revisions that its records cause (`revised` tells them); None where
        it has no events."""
        self.install(group)
        outcome = None
        if group.events is not None:
            outcome = self.decide(group.events.table, group.events.ids, group)
        elif self.reviser is not None:
            for _, pause in self.reviser.plan(group, None, self._frame, None):
                pause(0, 0, np.zeros((0, 5), np.int64))
        if self.reviser is not None:
            self.reviser.end(last_as_of(group))
        return outcome

    def install(self, group: Group) -> list[str]:
        """Put in force what the records of a group publish, models and tables of signals; returns which are not used,
        and why."""
        notes = []
        for frame in group.controls:
            if frame.kind == MODELS:
                note = self.models.take_up(str(frame.body["name"]), frame.body["files"], frame.seq)
                notes += [note] if note else []
            elif frame.kind == TABLES:
                notes += self.signals.take_up(frame.body, frame.seq)
                notes += self._offer()
        return notes

    def fix_measures(self, records: Sequence[tuple[int, Mapping[str, Any]]]) -> None:
        """Hold all rows under the last of these published tables that are a measure (seq and body, in order), whatever
        the journal says where: for training, whose rows must mean one thing."""
        self.signals.fix(records)
        self._offer()

    @property
    def offered(self) -> dict[str, Input]:
        """The inputs that fitted detectors may read, with the hash of what they mean now."""
        return offered_inputs(self.pack, self.signals.measures)

    def _offer(self) -> list[str]:
        return self.models.offer(self.offered) if self.pack.models else []

    @property
    def revised(self) -> Revised | None:
        """What the last group that was taken changed in earlier decisions; None where this pack revises nothing."""
        return self.reviser.now if self.reviser is not None else None

    def _fill(self, frame: Frame, table: pa.Table) -> pa.Table:
        missing = any(name not in table.column_names for name in self._attributes)
        table = self.with_attributes(table) if missing else table
        frame.fill(table, BatchIds(self.identity))
        return table

    def with_attributes(self, table: pa.Table) -> pa.Table:
        """The table with the columns that the pack reads from `attributes`."""
        return extract(table, self._attributes) if self._attributes else table

    def warm(self) -> None:
        """Compile all kernels (seconds the first time, then from the cache)."""
        self.features.warm()
        self.signals.warm()
        self.models.warm()
        self.policy.warm()

    def snapshot(self, folder: Path, position: int) -> None:
        """Write the state behind the journal's first `position` records into the new folder `folder`."""
        folder.mkdir(parents=True)
        self.features.snapshot(folder / "features", position)
        self.signals.snapshot(folder / "signals")
        with (folder / "policy.bin").open("wb") as stream:
            stream.write(self.policy.snapshot())
            stream.flush()
            os.fsync(stream.fileno())
        if self.reviser is not None:
            with (folder / "open.bin").open("wb") as stream:
                stream.write(self.reviser.open.snapshot())
                stream.flush()
                os.fsync(stream.fileno())
        mark = {
            "format": SNAPSHOT_FORMAT,
            "version": SNAPSHOT_VERSION,
            "position": position,
            "published": self.published,
            "pack": self.pack.hash,
            "history_complete": self.history_complete,
            "models": self.models.write(folder / "models"),
            "tables": {name: found.seq for name, found in self.signals.tables.items()},
        }
        with (folder / "engine.json").open("w", encoding="utf-8") as stream:
            json.dump(mark, stream)
            stream.flush()
            os.fsync(stream.fileno())

    def restore(self, folder: Path) -> int:
        """Take the state of a snapshot of this very publication; returns its position. Raises `Unsupported` for
        another one."""
        mark = read_mark(folder)
        if mark["pack"] != self.pack.hash or mark["published"] != self.published:
            theirs = f"pack {mark['pack']}, published by record {mark['published']}"
            raise Unsupported(f"{folder}: a snapshot of {theirs}, not of {self.pack.hash}, {self.published}")
        if mark["history_complete"] != self.history_complete:
            raise Unsupported(f"{folder}: a snapshot with another history")
        if self.reviser is not None:
            try:
                self.reviser.open.restore((folder / "open.bin").read_bytes())
            except OSError as error:
                raise Corrupt(f"{folder}: {error}") from error
        return self._take(folder, mark, new_partial=False)

    def carry(self, folder: Path) -> int:
        """Take over the state of a snapshot of another pack, as far as it is known here; returns its position.

        Features go on where their definition is the same; new ones begin here, as partial. Evidence and leases go on
        under the names of rule families, threats and actions.
        """
        return self._take(folder, read_mark(folder), new_partial=True)

    def _take(self, folder: Path, mark: Mapping[str, Any], *, new_partial: bool) -> int:
        self.features.restore(folder / "features", new_partial=new_partial)
        self.signals.restore(folder / "signals", mark.get("tables"), new_empty=new_partial)
        self._offer()
        self.models.read(folder / "models", mark["models"])
        now = self.features.now
        for part in self.features.parts:
            if now is not None and not part.begun:  # at the place of the journal, not at the next event
                part.begin(now)
        try:
            self.policy.restore((folder / "policy.bin").read_bytes())
        except OSError as error:
            raise Corrupt(f"{folder}: {error}") from error
        return int(mark["position"])


def read_mark(folder: Path) -> dict[str, Any]:
    """What a snapshot says of itself (`position`, `published`, `pack`, `history_complete`); `Corrupt` or
    `Unsupported`."""
    try:
        mark = json.loads((folder / "engine.json").read_text(encoding="utf-8"))
        told = (mark["format"], mark["version"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Corrupt(f"{folder}: no snapshot of an engine: {error}") from error
    if told[0] != SNAPSHOT_FORMAT or told[1] not in _READ:
        raise Unsupported(f"{folder}: {told[0]} version {told[1]}")
    return dict(mark)


def saved_definitions(folder: Path) -> tuple[FeatureDefinition, ...]:
    """The definitions whose state a snapshot holds, also those that its own pack did not read any more."""
    _, manifest = read_manifest(folder / "features")
    return tuple(definition_of(body) for saved in manifest["parts"] for body in saved["definitions"])


def last_as_of(group: Group) -> int:
    """The journal's time behind a group."""
    found = [frame.as_of for frame in group.controls] + [int(run.as_ofs[-1]) for run in group.runs]
    if group.events is not None:
        found.append(int(one_chunk(group.events.table, "as_of")[-1].as_py()))
    return max(found, default=0)


def stamps_of(table: pa.Table) -> Stamps:
    """The stamps of a table of stamped events, as the kernels read them."""
    size = table.num_rows
    shoal = np.zeros(size, dtype=np.uint8)
    if "cause" in table.column_names:
        cause = one_chunk(table, "cause")
        if cause.null_count < size:
            shoal[:] = np.asarray(pa.compute.fill_null(pa.compute.equal(cause, "shoal"), False))
    numbers = {name: np.asarray(one_chunk(table, name)) for name in ("seq", "as_of", "time", "flags")}
    return Stamps(shoal=shoal, **numbers)


def used_columns(pack: Pack, carried: Sequence[FeatureDefinition] = ()) -> set[str]:
    """Event columns and attributes that anything in the pack reads, or a carried definition."""
    every = pack.event_columns | pack.computed
    lists = frozenset(pack.lists)
    used = columns_read((*pack.features, *carried), pack) | signal_reads(pack)
    for model in pack.models:
        used |= compile_expression(model.on, Scope(every, lists), model.origin).columns | set(model.inputs)
    for rule in pack.rules:
        used |= compile_expression(rule.condition, Scope(every, lists), rule.origin).columns
        used |= {rule.subject, "event_id", "cause"}
        used |= set(placeholders(rule.reason))
    used |= {entry.column for entry in pack.policy.allow}
    used |= {action.on for threat in pack.policy.threats.values() for action in threat.actions if action.on}
    return used & set(pack.event_columns)


def columns_read(definitions: Sequence[FeatureDefinition], pack: Pack) -> set[str]:
    """Columns (and features, for derived ones) that these definitions read, in the terms of the pack."""
    events = pack.event_columns
    every = events | dict(pack.feature_kinds)
    lists = frozenset(pack.lists)
    used: set[str] = set()
    for definition in definitions:
        used.update(definition.key)
        for text, columns in ((definition.where, events), (definition.value, events), (definition.expression, every)):
            if text:
                used |= compile_expression(text, Scope(columns, lists), definition.origin).columns
        if definition.operation == "speed":
            used |= {"lat", "lon"}
    return used


def signal_reads(pack: Pack) -> set[str]:
    """Event columns and attributes that the signals of a pack read."""
    scope = Scope(pack.event_columns, frozenset(pack.lists))
    used: set[str] = set()
    for one in pack.signals:
        kind = KINDS[one.kind]
        used |= kind.reads(one.settings)
        for name, setting in kind.settings.items():
            value = one.settings[name]
            if setting.kind == "condition":
                used |= compile_expression(str(value), scope, one.origin.at(name)).columns
            elif setting.kind == "columns" and isinstance(value, tuple):
                used |= set(value)
    return used


def placeholders(template: str) -> list[str]:
    """Columns named in a reason template."""
    import string

    return [name.split(":")[0] for _, name, _, _ in string.Formatter().parse(template) if name]
