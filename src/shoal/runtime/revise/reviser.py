"""The reviser: opens provisional decisions, and decides them again when a cause tells what was missing.

Beside the engine, in seq order with its policy: a cause takes effect at its place in the journal, between the events
before and behind it, however the journal was cut. A revision reads the event from the journal with the columns that
became known, the feature values as they were, and the rules; only the policy's evidence and leases move. It never
touches the state of features. Deterministic: it reads the journal and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import Permanent
from shoal.events.identity import Identity
from shoal.events.schema import BY_NAME
from shoal.expressions.frame import Frame
from shoal.policy.decisions import Decisions
from shoal.policy.policy import Pause, PolicyEngine
from shoal.rules.rules import Matches, RuleSet, unpack_bits
from shoal.runtime.revise.causes import (
    BACK,
    FILLS,
    JOINED,
    MISSING,
    SUBJECTS,
    Cause,
    causes_of,
    event_cause,
    key_of,
    read_cause,
)
from shoal.runtime.revise.open import Entry, MissingPart, OpenSet
from shoal.storage.frames import ControlFrame, ControlRun, EventFrame, Group

Int64s = npt.NDArray[np.int64]
CHUNK = 4_096
_OWNED = frozenset({"owner_created", "owner_tier"})


class Records(Protocol):
    """What the reviser reads of a journal."""

    @property
    def first_seq(self) -> int:
        """The first record that is kept."""

    def rows_apart(self, seqs: Int64s) -> pa.Table:
        """Events by seq."""

    def read(self, from_seq: int, to_seq: int) -> Iterator[Any]:
        """Frames of these records."""


@dataclass(frozen=True)
class Round:
    """Revisions by one cause. `table`: the events as decided again, row by row with `entries` (copies of what was
    before
    are in `tiers`); `known`: what became known."""

    cause: Cause
    table: pa.Table
    decisions: Decisions
    numbers: list[int]
    tiers: list[int]
    known: list[dict[str, Any]]


@dataclass
class Revised:
    """What one group changed: revisions, entries touched (open still, or not), parts that went or came."""

    rounds: list[Round] = field(default_factory=list)
    touched: set[int] = field(default_factory=set)
    settled: int = 0
    closed: int = 0
    missing: list[MissingPart] = field(default_factory=list)
    back: list[str] = field(default_factory=list)
    wants: dict[str, list[int]] = field(default_factory=dict)


class Reviser:
    """See the module. `fill` loads a table of events into a frame of the engine's layout (with attributes)."""

    def __init__(
        self,
        rules: RuleSet,
        policy: PolicyEngine,
        identity: Identity,
        opened: OpenSet,
        fill: Callable[[Frame, pa.Table], pa.Table],
        features: slice,
    ) -> None:
        self.open, self._rules, self._policy, self._identity = opened, rules, policy, identity
        self._fill, self._features = fill, features
        self._layout = policy.layout
        self._defer = [
            (number, sorted(rules.expressions[number].columns))
            for number, rule in enumerate(rules.rules)
            if rule.on_unknown == "defer"
        ]
        self._match_unknown = np.array([rule.on_unknown == "match" for rule in rules.rules], dtype=np.bool_)
        self._records: Records | None = None
        self.now = Revised()

    def attach(self, records: Records) -> None:
        """The journal that events and causes are read from."""
        self._records = records

    def plan(
        self, group: Group, table: pa.Table | None, frame: Frame, matches: Matches | None
    ) -> list[tuple[int, Pause]]:
        """Where the policy has to pause in a group's events, and what is done there. Begins a new `now`."""
        self.now = Revised()
        size = table.num_rows if table is not None else 0
        provisional = np.zeros(size, dtype=np.bool_)
        if matches is not None and self._defer:
            provisional = np.any([matches[number] == 2 for number, _ in self._defer], axis=0)
        rows = np.flatnonzero(provisional).tolist()
        fresh = {row: self._entry(row, table, frame, matches) for row in rows}
        wanted = self.open.wanted | {key for entry in fresh.values() for key in entry.subjects()}
        causes = causes_of(group, self._identity, wanted)
        if not fresh and not causes:
            return []
        seqs = np.asarray(table.column("seq")) if table is not None else np.zeros(0, np.int64)
        pauses: list[tuple[int, Pause]] = []
        for cause in causes:
            stop = int(np.searchsorted(seqs, cause.seq, side="right"))
            pauses.append((stop, partial(self._pause, fresh, cause)))
        return [*pauses, (size, partial(self._pause, fresh, None))]

    def end(self, as_of: int) -> None:
        """Behind a group: close what is too old at this time."""
        self._close(self.open.expire(as_of))
        self.now.wants = {name: seqs for name, seqs in self.open.wants().items() if self.now.back}

    def close_all(self) -> None:
        """Close all that is open: another pack decides from here on."""
        self._close(self.open.clear())

    def _close(self, seqs: Sequence[int]) -> None:
        self.now.touched |= set(seqs)
        self.now.closed += len(seqs)

    def _pause(self, fresh: dict[int, Entry], cause: Cause | None, start: int, stop: int, lines: Int64s) -> None:
        for row in [row for row in fresh if start <= row < stop]:
            entry = fresh.pop(row)
            mine = lines[lines[:, 0] == row]
            entry.hits = [tuple(line) for line in mine[:, 1:].tolist()]
            entry.tier = max((hit[3] for hit in entry.hits), default=0)
            self.now.touched.add(entry.seq)
            self._close(self.open.add(entry))
        if cause is not None:
            self._take(cause)

    def _entry(self, row: int, table: pa.Table | None, frame: Frame, matches: Matches | None) -> Entry:
        assert table is not None
        assert matches is not None
        read = {name for number, columns in self._defer if matches[number, row] == 2 for name in columns}
        waiting = sorted(name for name in read if not frame.valid[self._layout.index[name], row])
        keys: dict[str, int] = {}
        subjects = {key for name in waiting for key in SUBJECTS.get(name, ())}
        if _OWNED & set(waiting):
            subjects |= {"link", "file"}
        for column in sorted(subjects):
            if column in table.column_names:
                text = table.column(column)[row].as_py()
                if text is not None:
                    keys[column] = self._identity.id_of(text)
        valid = frame.valid[self._features, row]
        values = frame.values[self._features, row] * valid
        matched, unknown, _, _ = self._policy.bits(np.ascontiguousarray(matches[:, row : row + 1]))
        return Entry(
            seq=table.column("seq")[row].as_py(),
            as_of=table.column("as_of")[row].as_py(),
            waiting=waiting,
            keys=keys,
            vector=values.tobytes() + valid.astype(np.uint8).tobytes(),
            matched=matched[0].tolist(),
            unknown=unknown[0].tolist(),
            tier=0,
            hits=[],
        )

    def _take(self, cause: Cause) -> None:
        """One cause, at its place."""
        alive = cause.as_of - self.open.horizon_us
        if cause.kind == MISSING:
            part = MissingPart(cause.part, cause.part_kind, cause.columns, cause.seq, cause.why)
            if cause.part not in self.open.parts:
                self.open.parts[part.name] = part
                self.now.missing.append(part)
        elif cause.kind == BACK:
            gone = self.open.parts.pop(cause.part, None)
            self.now.back.append(cause.part)
            for entry in self.open.entries.values() if gone is not None else ():
                if gone is not None and entry.seq > gone.since and set(entry.waiting) & set(gone.columns):
                    entry.wants.append(cause.part)
        elif cause.kind == JOINED:
            listed = [self.open.entries[seq] for seq in sorted(cause.rows or ()) if seq in self.open.entries]
            chosen = [entry for entry in listed if cause.part in entry.wants and entry.as_of >= alive]
            for entry in chosen:
                entry.wants.remove(cause.part)
            self._revise(cause, [entry for entry in chosen if self._told(cause, entry)])
        else:
            chosen = self.open.about(fact.subject for fact in cause.facts)
            chosen = [entry for entry in chosen if entry.seq < cause.seq and entry.as_of >= alive]
            self._revise(cause, [entry for entry in chosen if self._told(cause, entry)])

    def _told(self, cause: Cause, entry: Entry) -> dict[str, Any]:
        """The columns of an entry that a cause makes known."""
        if cause.kind == JOINED:
            return dict((cause.rows or {}).get(entry.seq, {}))
        found = {}
        wanted = set(entry.waiting) | ({"owner"} if _OWNED & set(entry.waiting) else set())
        for fact in cause.facts:
            for column, target in FILLS.get((fact.subject[0], fact.name), ()):
                if target in wanted and column in entry.keys and key_of(column, entry.keys[column]) == fact.subject:
                    found[target] = fact.value
        return found

    def _known(self, cause: Cause, entry: Entry, read: dict[int, Cause | None]) -> dict[str, Any]:
        """All that became known of an entry, this cause's included. The later cause speaks."""
        known: dict[str, Any] = {}
        for seq in entry.causes:
            if seq not in read:
                read[seq] = self._read(seq)
            earlier = read[seq]
            known |= self._told(earlier, entry) if earlier is not None else {}
        return known | self._told(cause, entry)

    def _read(self, seq: int) -> Cause | None:
        assert self._records is not None
        try:
            for frame in self._records.read(seq, seq + 1):
                if isinstance(frame, ControlFrame | ControlRun):
                    return read_cause(frame, 0, self._identity)
                if isinstance(frame, EventFrame):
                    return event_cause(frame.table, 0, self._identity)
        except Permanent:
            pass  # retention has dropped it: what it told is not known any more
        return None

    def _revise(self, cause: Cause, entries: list[Entry]) -> None:
        assert self._records is not None
        entries = [entry for entry in entries if entry.seq >= self._records.first_seq]  # else retention dropped it
        for start in range(0, len(entries), CHUNK):
            self._revise_chunk(cause, entries[start : start + CHUNK])

    def _revise_chunk(self, cause: Cause, entries: list[Entry]) -> None:
        assert self._records is not None
        read: dict[int, Cause | None] = {}
        known = [self._known(cause, entry, read) for entry in entries]
        events = self._records.rows_apart(np.array([entry.seq for entry in entries], np.int64))
        table, frame, matches = self._frame(with_known(events, known), entries)
        matched, unknown, provisional, _ = self._policy.bits(matches)
        old = np.array([[*entry.matched, *entry.unknown] for entry in entries], np.int64)
        changed = np.any(np.concatenate([matched, unknown], axis=1) != old, axis=1) | ~provisional
        for entry, told in zip(entries, known, strict=True):
            entry.causes.append(cause.seq)
            if "owner" in told and "owner" not in entry.keys:
                entry.keys["owner"] = self._identity.id_of(told["owner"])
                self.open.index(entry)
            self.now.touched.add(entry.seq)
        rows = np.flatnonzero(changed).tolist()
        if not rows:
            return
        chosen = [entries[row] for row in rows]
        if len(rows) < len(entries):
            table, frame, matches = self._frame(table.take(pa.array(rows)), chosen)
        told_bits = np.array([one.matched for one in chosen], np.int64).view(np.uint64)
        unsure = np.array([one.unknown for one in chosen], np.int64).view(np.uint64)
        count = len(self._rules.rules)
        before_now = unpack_bits(told_bits, count) | (unpack_bits(unsure, count) & self._match_unknown[:, None])
        hits = [np.array(one.hits, np.int64).reshape(-1, 4) for one in chosen]
        seqs = np.array([one.seq for one in chosen], np.int64)
        decisions = self._policy.again(frame, matches, seqs, cause.as_of, before_now.astype(np.int8), hits)
        told_now = [dict(sorted(known[row].items())) for row in rows]
        before = [one.tier for one in chosen]
        for place, entry in enumerate(chosen):
            self._move(entry, place, decisions, set(told_now[place]))
        numbers = [one.revision for one in chosen]
        self.now.rounds.append(Round(cause, table, decisions, numbers, before, told_now))

    def _move(self, entry: Entry, place: int, decisions: Decisions, known: set[str]) -> None:
        """Bring an entry behind its revision; it settles where nothing is deferred any more."""
        hits, mine = decisions.hits, np.flatnonzero(decisions.hits.row == place)
        entry.revision += 1
        entry.waiting = [name for name in entry.waiting if name not in known]
        entry.matched = decisions.matched[place].view(np.int64).tolist()
        entry.unknown = decisions.unknown[place].view(np.int64).tolist()
        entry.tier = int(decisions.tier[place])
        parts = (hits.threat[mine], hits.kind[mine], hits.subject[mine], hits.tier[mine])
        entry.hits = [tuple(hit) for hit in zip(*(part.tolist() for part in parts), strict=True)]
        if not decisions.provisional[place]:
            self.open.remove(entry.seq)
            self.now.settled += 1

    def _frame(self, table: pa.Table, entries: Sequence[Entry]) -> tuple[pa.Table, Frame, Matches]:
        """Events with the columns that became known, and their features as stored, in a frame of their own."""
        frame = Frame.empty(self._layout, len(entries))
        table = self._fill(frame, table)
        count = self._features.stop - self._features.start
        for place, entry in enumerate(entries):
            frame.values[self._features, place] = np.frombuffer(entry.vector, np.int64, count)
            frame.valid[self._features, place] = np.frombuffer(entry.vector, np.uint8, count, 8 * count)
        return table, frame, self._rules.match(frame)


def with_known(events: pa.Table, known: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Events with what became known of each where they say nothing themselves."""
    for name in sorted({name for told in known for name in told}):
        new = pa.array([told.get(name) for told in known], BY_NAME[name].kind.arrow)
        if name in events.column_names:
            place = events.column_names.index(name)
            events = events.set_column(place, name, pc.coalesce(events.column(name), new))
        else:
            events = events.append_column(name, new)
    return events
