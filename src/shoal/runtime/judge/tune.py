"""What a threshold of a rule is worth elsewhere: subjects caught and honest subjects touched, on labelled history.

A rule's condition is taken apart at its top-level ANDs. One part compares a number with a constant: that is the
threshold. History is replayed under the pack; on every row where all the other parts hold, the number is noted, and
for each subject the worst one is kept. The curve is then exact for every threshold at once, since raising the
threshold only takes rows away. Rows of an abusive subject count while its label stands. A subject without a label is
counted apart, unless the caller says that the labels are complete (a simulated world). Reads the journal, writes
nothing.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import InvalidInput, Problem, nearest_name
from shoal.events.schema import Kind
from shoal.expressions.compile import Expression, texts_read
from shoal.expressions.program import Program
from shoal.expressions.tree import Node, literal
from shoal.learn.cohorts import DAY_US, Label, read_labels
from shoal.learn.curves import ABUSIVE, HONEST, UNKNOWN, CurvePoint, threshold_curve
from shoal.packs.pack import Pack
from shoal.rules.rules import SUBJECT_KINDS
from shoal.runtime.columns import one_chunk
from shoal.runtime.engine import Engine
from shoal.runtime.home import Home
from shoal.runtime.ingest.writer import LABELS
from shoal.runtime.judge.backtest import published_pack
from shoal.runtime.judge.side import LABEL_TYPES
from shoal.storage.frames import ControlFrame
from shoal.storage.journal import Journal

LEAD_US = DAY_US
"""As in `learn.cohorts`: a match up to a day before the labelled beginning is about the abuse."""


@dataclass(frozen=True)
class Threshold:
    """One part of a rule's condition that compares a number with a constant. `part`: which of the parts."""

    column: str
    value: float
    higher_is_worse: bool
    part: int

    def __str__(self) -> str:
        return f"{self.column} {'>=' if self.higher_is_worse else '<='} {self.value:g}"


@dataclass(frozen=True)
class Tuning:
    """The curve of one threshold; `now` is its present place. `subjects`: of the rule's kind, seen in the history."""

    rule: str
    threshold: Threshold
    now: CurvePoint
    points: Sequence[CurvePoint]
    subjects: int
    unlabelled_honest: bool


def thresholds(condition: Expression) -> list[Threshold]:
    """The tunable parts of a condition, in the order in which they are written."""
    found = []
    for place, part in enumerate(_parts(condition.root)):
        if part.op not in ("le", "lt"):
            continue
        left, right = (_bare(arg) for arg in part.args)
        if left.op == "literal" and right.op == "column" and right.kind in (Kind.INT, Kind.FLOAT):
            found.append(Threshold(str(right.value), _reached(left.value, part.op, right.kind, 1), True, place))
        elif left.op == "column" and right.op == "literal" and left.kind in (Kind.INT, Kind.FLOAT):
            found.append(Threshold(str(left.value), _reached(right.value, part.op, left.kind, -1), False, place))
    return found


def tune(
    home: Home,
    pack: Pack,
    rule_id: str,
    column: str = "",
    *,
    labels: Iterable[Mapping[str, Any]] = (),
    kinds: frozenset[str] = frozenset(),
    unlabelled_honest: bool = False,
    points: int = 25,
    moved: Callable[[int, int], None] = lambda _done, _total: None,
) -> Tuning:
    """The curve of one threshold of one rule over a deployment's journal.

    `column`: which threshold, where the rule has several. `kinds`: labels of abuse that count (default: all about
    subjects of the rule's kind). Raises `InvalidInput` for an unknown rule, a rule without such a part, or a column
    that is none of its thresholds (`tune.*`). Costs one replay."""
    journal = Journal.open(home.journal, identity=home.identity, read_only=True)
    try:
        _, complete = published_pack(home, journal)
        with tempfile.TemporaryDirectory(prefix="shoal-tune-") as place:
            engine = Engine(pack, home.identity, history_complete=complete, folder=Path(place))
            index, chosen = _choose(engine, rule_id, column)
            said = [frame.body for frame in journal.read() if isinstance(frame, ControlFrame) and frame.kind == LABELS]
            subject = pack.rules[index].subject
            kind = SUBJECT_KINDS[subject]
            known = [
                label
                for label in read_labels([*said, *labels], 2**62)
                if label.subject.type == LABEL_TYPES.get(kind, kind)
                and (not label.abusive or not kinds or label.kind in kinds)
            ]
            gathered = _Gathered(engine, index, chosen, subject, known)
            for group in journal.read_groups():
                engine.install(group)
                if group.events is not None:
                    gathered.take(group.events.table)
                    moved(group.last_seq + 1, journal.next_seq)
    finally:
        journal.close()
    values, codes = gathered.arrays(unlabelled_honest=unlabelled_honest)
    worse = chosen.higher_is_worse
    (now,) = threshold_curve(values, codes, thresholds=[chosen.value], higher_is_worse=worse)
    curve = threshold_curve(values, codes, higher_is_worse=worse, points=points)
    return Tuning(rule_id, chosen, now, curve, len(gathered.seen), unlabelled_honest)


def _choose(engine: Engine, rule_id: str, column: str) -> tuple[int, Threshold]:
    ids = [rule.id for rule in engine.pack.rules]
    if rule_id not in ids:
        near = nearest_name(rule_id, ids)
        raise InvalidInput(Problem("tune.rule", f"the pack has no rule {rule_id!r}", nearest=near))
    index = ids.index(rule_id)
    found = thresholds(engine.rules.expressions[index])
    allowed = ", ".join(dict.fromkeys(one.column for one in found))
    if not found:
        raise InvalidInput(
            Problem(
                "tune.none",
                f"no part of {rule_id} compares a number with a constant",
                allowed="a condition like: … AND failures_1h >= 20",
            )
        )
    named = [one for one in found if one.column == column] if column else found
    if not named:
        raise InvalidInput(Problem("tune.column", f"{column!r} is no threshold of {rule_id}", allowed=allowed))
    if len(named) > 1:
        hint = "name one with --threshold" if not column else "write the condition with one part for each column"
        raise InvalidInput(
            Problem("tune.several", f"{rule_id} has {len(named)} thresholds", allowed=allowed, hint=hint)
        )
    return index, named[0]


class _Gathered:
    """The worst value of each subject while the other parts of the condition hold."""

    def __init__(self, engine: Engine, rule: int, chosen: Threshold, subject: str, labels: Sequence[Label]) -> None:
        self._engine, self._subject = engine, subject
        self._sign = 1.0 if chosen.higher_is_worse else -1.0
        rest = _without(engine.rules.expressions[rule], chosen.part)
        self._rest = Program([rest], engine.layout, engine.identity, engine.lists)
        self._place = engine.layout.index[chosen.column]
        self._float = engine.layout.kinds[self._place] is Kind.FLOAT
        self._abusive: dict[str, list[Label]] = defaultdict(list)
        self._benign: set[str] = set()
        for label in labels:
            if label.abusive:
                self._abusive[label.subject.name].append(label)
            else:
                self._benign.add(label.subject.name)
        self._worst: dict[str, float] = {}
        self.seen: set[str] = set()

    def take(self, table: pa.Table) -> None:
        """Decide a batch and note the values."""
        frame = self._engine.decide(table).frame
        size = frame.size
        names = (
            one_chunk(table, "event_id" if self._subject == "event" else self._subject) if self._has(table) else None
        )
        if names is None:
            return
        self.seen.update(name for name in pc.unique(names).to_pylist() if name is not None)
        holds, known = self._rest.run(frame)
        rows = np.flatnonzero(
            (holds[0, :size] != 0)
            & (known[0, :size] != 0)
            & (frame.valid[self._place, :size] != 0)
            & np.asarray(names.is_valid())
        )
        raw = frame.values[self._place, rows]
        values = self._sign * (raw.view(np.float64) if self._float else raw.astype(np.float64))
        as_of = np.asarray(one_chunk(table, "as_of"))[rows].tolist()
        for name, value, at in zip(names.take(pa.array(rows)).to_pylist(), values.tolist(), as_of, strict=True):
            standing = self._abusive.get(name)
            if standing is not None and not any(s.start_us - LEAD_US <= at < s.end_us for s in standing):
                continue
            if value > self._worst.get(name, -np.inf):
                self._worst[name] = value

    def _has(self, table: pa.Table) -> bool:
        return (self._subject if self._subject != "event" else "event_id") in table.column_names

    def arrays(self, *, unlabelled_honest: bool) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int8]]:
        """Worst values and what is known, one a subject: all labelled ones and all that were seen."""
        other = HONEST if unlabelled_honest else UNKNOWN
        names = sorted(self.seen | self._abusive.keys())
        codes = [ABUSIVE if n in self._abusive else HONEST if n in self._benign else other for n in names]
        values = [self._sign * self._worst[name] if name in self._worst else np.nan for name in names]
        return np.array(values, dtype=np.float64), np.array(codes, dtype=np.int8)


def _parts(root: Node) -> list[Node]:
    """The conjuncts of a condition, nested ANDs opened."""
    return [part for arg in root.args for part in _parts(arg)] if root.op == "and" else [root]


def _reached(constant: float, operation: str, kind: Kind, sign: int) -> float:
    """The first value that the comparison holds for: the constant itself, or its neighbour where it is strict."""
    if operation == "le":
        return float(constant)
    if kind is Kind.INT:
        return float(np.floor(constant) + 1) if sign > 0 else float(np.ceil(constant) - 1)
    return float(np.nextafter(constant, sign * np.inf))


def _bare(node: Node) -> Node:
    return _bare(node.args[0]) if node.op == "to_float" else node


def _without(condition: Expression, place: int) -> Expression:
    """The condition without one of its parts."""
    parts = [part for k, part in enumerate(_parts(condition.root)) if k != place]
    root = literal(True, Kind.BOOL)
    for part in parts:
        root = part if root.op == "literal" else Node("and", Kind.BOOL, (root, part))
    nodes = list(root.walk())
    return Expression(
        condition.text,
        Kind.BOOL,
        root,
        frozenset(str(node.value) for node in nodes if node.op == "column"),
        texts_read(root, frozenset()),
        frozenset(str(node.value) for node in nodes if node.op == "in_list"),
    )
