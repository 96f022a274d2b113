"""Relations compiled for a layout: from a frame of events to the entity of each relation, row by row. Hot path.

As a signal compiles its conditions, once, for a layout of event columns and attributes. The graph's builder reads whole
tables with it; who scores in the stream asks it for the entities of one event, and gets the ids that the graph has.
Holds no state beside its program and scratch arrays; for one thread at a time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from shoal.coordination.graph import ties_kernel as kernel
from shoal.coordination.relations import Relation
from shoal.errors import InvalidInput, Problem, Where, nearest_name
from shoal.events.identity import Identity
from shoal.events.schema import Kind
from shoal.expressions.compile import Expression, Scope, compile_expression
from shoal.expressions.frame import Frame, Layout
from shoal.expressions.program import ListLike, Program

ENTITY_KINDS = (Kind.TEXT, Kind.INT, Kind.BOOL)
"""Kinds of columns that can be part of an entity."""
ADDRESS_COLUMNS = frozenset({"ip", "network"})
"""Columns whose entities have a network kind."""
MADE = "account.created"
Ints = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


def relation_problems(
    relations: Sequence[Relation], columns: Mapping[str, Kind], lists: frozenset[str] = frozenset()
) -> list[Problem]:
    """What is wrong with relations over event columns and attributes: all problems, each where it stands.

    Slugs `relation.duplicate`, `relation.no_columns`, `relation.unknown_column`, `relation.column_kind`,
    `relation.column_twice`, `relation.cap`, `expression.*`.
    """
    problems: list[Problem] = []
    scope, seen = Scope(columns, lists), set()
    for one in relations:
        if one.id in seen:
            problems.append(Problem("relation.duplicate", f"two relations are named {one.id!r}", _where(one)))
        seen.add(one.id)
        if not one.columns:
            problems.append(Problem("relation.no_columns", "no column names the entity", _where(one).at("columns")))
        if len(set(one.columns)) < len(one.columns):
            problems.append(Problem("relation.column_twice", "a column is named twice", _where(one).at("columns")))
        if one.cap is not None and one.cap < 1:
            problems.append(Problem("relation.cap", f"a cap of {one.cap}", _where(one).at("cap"), "1 or more"))
        for key, name in [("columns", name) for name in one.columns] + [("subject", one.subject)]:
            problems.extend(_column_problems(name, ENTITY_KINDS if key == "columns" else (Kind.TEXT,), columns,
                                             _where(one).at(key)))  # fmt: skip
        if one.on:
            try:
                _condition(one, scope)
            except InvalidInput as error:
                problems.extend(error.problems)
    return problems


def _where(one: Relation) -> Where:
    return one.origin if str(one.origin) else Where(path=f"relations.{one.id}")


def _column_problems(name: str, allowed: tuple[Kind, ...], columns: Mapping[str, Kind], where: Where) -> list[Problem]:
    if name not in columns:
        return [Problem("relation.unknown_column", f"no column {name!r}", where, nearest=nearest_name(name, columns))]
    if columns[name] not in allowed:
        words = ", ".join(kind.name.lower() for kind in allowed)
        return [Problem("relation.column_kind", f"{name} is of kind {columns[name].name.lower()}", where, words)]
    return []


def _condition(one: Relation, scope: Scope) -> Expression:
    where = _where(one).at("on")
    found = compile_expression(one.on, scope, where)
    if found.kind is not Kind.BOOL:
        raise InvalidInput(Problem("expression.condition_kind", f"of kind {found.kind.name.lower()}", where, "bool"))
    return found


def columns_read(relations: Sequence[Relation], columns: Mapping[str, Kind], lists: frozenset[str]) -> frozenset[str]:
    """The columns that entities, subjects and conditions of sound relations read."""
    found = {name for one in relations for name in (*one.columns, one.subject)}
    scope = Scope(columns, lists)
    return frozenset(found.union(*(_condition(one, scope).columns for one in relations if one.on)))


class RelationReader:
    """Relations over frames of `layout` (event columns, and attributes that a pack declares).

    Raises `InvalidInput` with all problems of `relation_problems`.
    """

    def __init__(
        self, relations: Sequence[Relation], layout: Layout, identity: Identity, lists: Mapping[str, ListLike]
    ) -> None:
        columns = dict(zip(layout.names, layout.kinds, strict=True))
        problems = relation_problems(relations, columns, frozenset(lists))
        if problems:
            raise InvalidInput(problems)
        self.relations, self.layout = tuple(relations), layout
        scope = Scope(columns, frozenset(lists))
        texts = [f"type = '{MADE}'" if "type" in columns else "FALSE", *(one.on for one in relations if one.on)]
        made = {text: row for row, text in enumerate(dict.fromkeys(texts), 1)}
        own = "cause = 'shoal'" if "cause" in columns else "FALSE"
        expressions = [compile_expression(text, scope) for text in (own, *made)]
        self._program = Program(expressions, layout, identity, lists)
        self._truths = np.zeros((len(expressions), 0), np.int8)
        self._conditions = [made[one.on] if one.on else -1 for one in relations]
        self.subjects = tuple(dict.fromkeys(one.subject for one in relations))
        self.subject_of = tuple(self.subjects.index(one.subject) for one in relations)
        self._subject_rows = [layout.index[one.subject] for one in relations]
        self._columns = [np.array([layout.index[name] for name in one.columns], np.int64) for one in relations]
        self._loops = [len(one.columns) == 1 and layout.kind(one.columns[0]) is Kind.TEXT for one in relations]

    @property
    def text_columns(self) -> frozenset[str]:
        """Columns whose texts the frame must carry."""
        return self._program.text_columns

    def truths(self, frame: Frame) -> npt.NDArray[np.int8]:
        """int8 [2 + conditions, ≥ n], for the frame's rows: 1 holds, 0 not, 2 unknown. Row 0: Shoal itself caused the
        event; row 1: an account was made. Overwritten by the next call."""
        if self._truths.shape[1] < frame.size:
            self._truths = np.zeros((len(self._truths), frame.size), np.int8)
        self._program.truths(frame, self._truths)
        return self._truths

    def held(self, frame: Frame, number: int, truths: npt.NDArray[np.int8]) -> Bytes:
        """uint8 [n]: whether a row is an edge of relation `number`; 2: it would be one of an account with itself."""
        out = np.empty(frame.size, np.uint8)
        kernel.hold(
            frame.values, frame.valid, truths, self._conditions[number], self._subject_rows[number],
            self._columns[number], int(self._loops[number]), frame.size, out,
        )  # fmt: skip
        return out

    def entities(self, frame: Frame, number: int) -> Ints:
        """int64 [n]: the entity of each row in relation `number`; means nothing where the row is no edge."""
        columns = self._columns[number]
        if len(columns) == 1:
            return frame.values[columns[0], : frame.size]
        out = np.empty(frame.size, np.int64)
        kernel.combine(frame.values, columns, frame.size, out)
        return out
