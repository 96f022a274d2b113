"""Explain: the decision as it was, with everything behind it.

An event's decision is built again by replay up to its place in the journal, from the newest snapshot before it: the
features, every rule as matched, not or unknown, facts, lists, versions, and for each counting feature the events that
it counted; and it is held against what was stored. An account's explanation lists its decisions and explains the
strongest that is kept. Reads only.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import InvalidInput, Problem
from shoal.events.schema import BY_NAME, Flag, Kind, Role
from shoal.expressions.compile import Scope, compile_expression
from shoal.expressions.frame import Frame
from shoal.expressions.program import Program
from shoal.features.definitions import FeatureDefinition
from shoal.policy.definitions import Tier
from shoal.runtime.columns import one_chunk
from shoal.runtime.engine import Engine, Outcome
from shoal.runtime.home import Home
from shoal.runtime.keep.history import History, cut_in_words
from shoal.runtime.review.differences import Difference, ReplayReport
from shoal.runtime.review.replay import Comparison
from shoal.storage.decisions import DecisionLog
from shoal.storage.frames import EVENTS, decode_events
from shoal.storage.ids import open_ids
from shoal.storage.journal import Journal
from shoal.storage.store import DecisionRow, Store

COUNTING = frozenset({"count", "sum", "mean", "min", "max", "distinct", "decayed"})
SHOWN_EVENTS = 5


@dataclass(frozen=True)
class Counted:
    """The events behind one feature's value: how many, and the last few (seq, time, type, event_id). `cut`: the window
    reaches behind the retention cut, whose events are counted in the value and not listed."""

    total: int
    last: tuple[tuple[int, int, str, str], ...]
    cut: bool = False


@dataclass(frozen=True)
class RuleState:
    """One rule on the event."""

    id: str
    title: str
    state: str  # matched | unknown | not
    reason: str
    condition: str


@dataclass(frozen=True)
class RevisionState:
    """One revision of the event's decision: by which record and when, what became known, which deferred or other rules
    answered otherwise (id, before, after), and the event's tier before and after."""

    revision: int
    cause_seq: int
    as_of: int
    known: dict[str, Any]
    rules: tuple[tuple[str, str, str], ...]
    tier_before: str
    tier: str
    provisional: bool


@dataclass
class Explanation:
    """All that is known of one event's decision. `deferred`: rules that waited for something at first; `waiting`: what
    is null still, where the decision is open (None: it is not)."""

    seq: int
    event: dict[str, Any]
    flags: tuple[str, ...]
    tier: str
    enforced: str
    pack: str
    facts: dict[str, Any]
    enrichment: str
    features: dict[str, Any]
    partial: tuple[str, ...]
    rules: list[RuleState]
    lists: dict[str, str]
    stored: list[DecisionRow]
    differences: list[Difference] = field(default_factory=list)
    cut: str = ""
    counted: dict[str, Counted] = field(default_factory=dict)
    deferred: tuple[str, ...] = ()
    waiting: tuple[str, ...] | None = None
    revisions: list[RevisionState] = field(default_factory=list)


def find_event(journal: Journal, event_id: str) -> int | None:
    """The seq of the (first) event with this id, or None. Sealed segments are searched by their `.ids` files."""
    wanted = np.array([journal.identity.id_of(event_id)], np.int64)
    for segment in journal.segments:
        known = open_ids(segment, journal.identity, write=False) if segment.sealed else None
        if known is not None:
            for seq in sorted(known.find(wanted)[1].tolist()):
                if journal.rows(np.array([seq]), ["event_id"]).column("event_id")[0].as_py() == event_id:
                    return int(seq)
            continue
        with segment.reader() as reader:
            for head in (head for unit in reader.segment.units for head in unit.heads if head.kind == EVENTS):
                table = decode_events(head, reader.payload(head), ["seq", "event_id"]).table
                if "event_id" not in table.column_names:
                    continue
                same = pc.equal(one_chunk(table, "event_id"), event_id).fill_null(False)
                rows = np.flatnonzero(np.asarray(same))
                if len(rows):
                    return int(one_chunk(table, "seq")[int(rows[0])].as_py())
    return None


def decisions_on(home: Home, event_id: str) -> list[DecisionRow]:
    """Stored decisions above `allow` that the event of this id caused; kept when retention has dropped the event."""
    store = home.open_store(read_only=True)
    try:
        return [row for row in store.read_decisions(latest=True) if row.event_id == event_id]
    finally:
        store.close()


def decisions_of(home: Home, subject: str) -> list[DecisionRow]:
    """Stored decisions above `allow` whose subject has this text, of any kind, by seq."""
    store = home.open_store(read_only=True)
    try:
        wanted = home.identity.id_of(subject)
        return [row for row in store.read_decisions(latest=True) if row.subject_id == wanted]
    finally:
        store.close()


def explain_event(home: Home, seq: int, moved: Callable[[int, int], None] = lambda _a, _b: None) -> Explanation:
    """Explain the decision on the event with number `seq`; replays the journal from the snapshot before it."""
    journal = Journal.open(home.journal, identity=home.identity, read_only=True)
    store = home.open_store(read_only=True)
    log = DecisionLog.open(home.decisions, read_only=True)
    try:
        if 0 <= seq < journal.first_seq:
            told = f"record {seq} lies before {cut_in_words(journal)}: what was decided is kept, the event is not"
            raise InvalidInput(Problem("explain.before_cut", told))
        with tempfile.TemporaryDirectory(prefix="shoal-explain-") as place:
            history = History(home, journal, Path(place))
            start, before = history.at_or_before(max(seq, 0))
            for group, outcome, engine in history.forward(before, start, seq + 1):
                moved(group.last_seq + 1 - start, seq + 1 - start)
                if outcome is not None and seq in outcome.seq:
                    row = int(np.flatnonzero(outcome.seq == seq)[0])
                    explanation = _explain(outcome, engine, row, store.read_decisions(from_seq=seq, to_seq=seq + 1))
                    explanation.cut = cut_in_words(journal) if journal.first_seq else ""
                    _add_revisions(explanation, outcome, engine, row, log, store)
                    report = ReplayReport(only=seq)
                    Comparison(report, log, store).add(outcome, engine)
                    explanation.differences = report.differences
                    _count_events(explanation, journal, engine, outcome, row)
                    return explanation
    finally:
        log.close()
        store.close()
        journal.close()
    raise InvalidInput(Problem("explain.no_event", f"record {seq} is not an event of this journal"))


def _explain(outcome: Outcome, engine: Engine, row: int, stored: list[DecisionRow]) -> Explanation:
    record = {name: value for name, value in outcome.table.slice(row, 1).to_pylist()[0].items() if value is not None}
    facts = {name: record.pop(name) for name in list(record) if name in BY_NAME and BY_NAME[name].role is Role.FACT}
    bits = int(record.pop("flags", 0))
    seq = int(record.pop("seq"))
    states = []
    for place, rule in enumerate(engine.pack.rules):
        code = int(outcome.matches[place, row])
        reason = engine.rules.render(place, outcome.frame, row) if code == 1 else ""
        states.append(RuleState(rule.id, rule.title, ("not", "matched", "unknown")[code], reason, rule.condition))
    partial = [name for k, name in enumerate(engine.features.names) if outcome.features.partial[k, row] & 1]
    return Explanation(
        seq=seq,
        event=record,
        flags=tuple(flag.name.lower() for flag in Flag if bits & flag),
        tier=Tier(int(outcome.decisions.tier[row])).name.lower(),
        enforced=Tier(int(outcome.decisions.enforced[row])).name.lower(),
        pack=f"{engine.pack.name} {engine.pack.version} ({engine.pack.hash})",
        facts=facts,
        enrichment=str(record.pop("enrichment", "")),
        features=feature_values(outcome, engine, row),
        partial=tuple(partial),
        rules=sorted(states, key=lambda state: ("matched", "unknown", "not").index(state.state)),
        lists={name: entry.version for name, entry in engine.lists.items()},
        stored=stored,
    )


_ANSWERS = ("not", "matched", "unknown")


def _add_revisions(
    explanation: Explanation, outcome: Outcome, engine: Engine, row: int, log: DecisionLog, store: Store
) -> None:
    """Fill `deferred`, `waiting` and `revisions`."""
    seq, rules = explanation.seq, engine.pack.rules
    before = [_ANSWERS[int(code)] for code in outcome.matches[:, row]]
    unknown = [rule for rule, answer in zip(rules, before, strict=True) if answer == "unknown"]
    explanation.deferred = tuple(rule.id for rule in unknown if rule.on_unknown == "defer")
    for one in store.read_open() if explanation.deferred else ():
        if one.seq == seq:
            explanation.waiting = tuple(json.loads(one.waiting))
    logged: dict[int, dict[str, Any]] = {}
    for table in log.read(seq, seq + 1, revisions=True):
        logged |= {bits["revision"]: bits for bits in table.to_pylist()}
    for one_revision in store.read_revisions(from_seq=seq, to_seq=seq + 1):
        bits = logged.get(one_revision.revision, {})
        after = [_answer(bits, place) for place in range(len(rules))]
        turned = zip(rules, before, after, strict=True)
        explanation.revisions.append(
            RevisionState(
                one_revision.revision,
                one_revision.cause_seq,
                one_revision.as_of,
                json.loads(one_revision.known),
                tuple((rule.id, old, new) for rule, old, new in turned if old != new),
                Tier(one_revision.tier_before).name.lower(),
                Tier(one_revision.tier).name.lower(),
                bool(one_revision.provisional),
            )
        )
        before = after


def _answer(bits: dict[str, Any], rule: int) -> str:
    for name in ("matched", "unknown"):
        if int(bits.get(f"{name}_{rule // 64}", 0)) >> (rule % 64) & 1:
            return name
    return "not"


def feature_values(outcome: Outcome, engine: Engine, row: int) -> dict[str, Any]:
    """Feature values of one row by name, None where null; a text feature gives its id in hexadecimal."""
    found: dict[str, Any] = {}
    for k, (name, kind) in enumerate(zip(engine.computed.names, engine.computed.kinds, strict=True)):
        if not outcome.features.valid[k, row]:
            found[name] = None
            continue
        raw = outcome.features.values[k, row : row + 1]
        if kind is Kind.FLOAT:
            found[name] = float(raw.view(np.float64)[0])
        elif kind is Kind.BOOL:
            found[name] = bool(raw[0])
        elif kind is Kind.TEXT:
            found[name] = f"{int(raw[0]) & 0xFFFFFFFFFFFFFFFF:016x}"
        else:
            found[name] = int(raw[0])
    return found


def _count_events(explanation: Explanation, journal: Journal, engine: Engine, outcome: Outcome, row: int) -> None:
    """Fill `counted` for the features that the matched rules read."""
    matched = {state.id for state in explanation.rules if state.state == "matched"}
    known = {definition.id: definition for definition in engine.pack.features}
    kinds = dict(zip(engine.layout.names, engine.layout.kinds, strict=True))
    scope = Scope(kinds, frozenset(engine.lists))
    wanted: set[str] = set()
    for rule in engine.pack.rules:
        if rule.id in matched:
            wanted |= compile_expression(rule.condition, scope).columns & known.keys()
    for name in list(wanted):
        if known[name].expression:
            wanted |= compile_expression(known[name].expression or "", scope).columns & known.keys()
    definitions = [known[name] for name in sorted(wanted) if known[name].operation in COUNTING]
    frame, as_of = outcome.frame, int(outcome.table.column("as_of")[row].as_py())
    keys = {}
    for definition in definitions:
        rows = [frame.layout.index[column] for column in definition.key]
        if all(frame.valid[place, row] for place in rows):
            keys[definition.id] = tuple(int(frame.values[place, row]) for place in rows)
    counters = [_Counter(d, keys[d.id], engine, as_of, explanation.seq) for d in definitions if d.id in keys]
    if not counters:
        return
    scratch = Frame.empty(engine.event_layout, 1)
    start = _first_behind(journal, min(counter.after for counter in counters))
    for group in journal.read_groups(start, explanation.seq + 1):
        if group.events is not None:
            table = engine.with_attributes(group.events.table)
            scratch.fill(table, engine.identity)
            for counter in counters:
                counter.take(scratch, table)
    gone = journal.dropped.last_as_of if journal.first_seq else None
    explanation.counted = {counter.name: counter.counted(gone) for counter in counters}


def _first_behind(journal: Journal, as_of: int) -> int:
    """The first record of the first unit that reaches beyond `as_of`: what lies before it is in no such window."""
    for segment in journal.segments:
        for unit in segment.units:
            if any(head.kind == EVENTS and head.max_as_of > as_of for head in unit.heads):
                return unit.first_seq
    return journal.first_seq


class _Counter:
    """Collects the events that one feature counted."""

    def __init__(
        self, definition: FeatureDefinition, key: tuple[int, ...], engine: Engine, as_of: int, seq: int
    ) -> None:
        self.name = definition.id
        self._key = key
        self._rows = [engine.event_layout.index[column] for column in definition.key]
        window = definition.window_s
        self.after = as_of - round(window * 1e6) if window is not None else -(2**62)
        self._until = seq
        self._own = definition.include_self is not False
        self._program: Program | None = None
        if definition.where:
            kinds = dict(zip(engine.event_layout.names, engine.event_layout.kinds, strict=True))
            where = compile_expression(definition.where, Scope(kinds, frozenset(engine.lists)))
            self._program = Program([where], engine.event_layout, engine.identity, engine.lists)
        self._include_shoal = definition.include_shoal
        self._windowed = window is not None
        self._total = 0
        self._last: list[tuple[int, int, str, str]] = []

    def take(self, frame: Frame, table: pa.Table) -> None:
        seqs, as_of = np.asarray(one_chunk(table, "seq")), np.asarray(one_chunk(table, "as_of"))
        chosen = (as_of > self.after) & ((seqs <= self._until) if self._own else (seqs < self._until))
        if self._windowed:
            chosen &= (np.asarray(one_chunk(table, "flags")) & int(Flag.LATE)) == 0
        for place, wanted in zip(self._rows, self._key, strict=True):
            chosen &= (frame.valid[place, : frame.size] == 1) & (frame.values[place, : frame.size] == wanted)
        if self._program is not None and chosen.any():
            values, valid = self._program.run(frame)
            chosen &= (valid[0, : frame.size] == 1) & (values[0, : frame.size] == 1)
        if not self._include_shoal and "cause" in table.column_names and chosen.any():
            chosen &= ~np.asarray(pc.equal(one_chunk(table, "cause"), "shoal").fill_null(False))
        rows = np.flatnonzero(chosen)
        self._total += len(rows)
        for row in rows[-SHOWN_EVENTS:].tolist():
            cell = {name: table.column(name)[row].as_py() for name in ("seq", "time", "type", "event_id")}
            self._last.append((cell["seq"], cell["time"], cell["type"], cell["event_id"]))
        self._last = self._last[-SHOWN_EVENTS:]

    def counted(self, gone: int | None) -> Counted:
        """What was found. `gone`: the time up to which retention has dropped events."""
        return Counted(self._total, tuple(self._last), gone is not None and gone > self.after)


def strongest(rows: list[DecisionRow]) -> DecisionRow:
    """The decision to explain first: the highest tier, then most rules, then the earliest."""
    return min(rows, key=lambda row: (-row.tier, -len(json.loads(row.rules)), row.seq))
