"""`relations/*.yaml` to plain data, and the check of the names in it; all problems are noted together. No state.

Relations change no decision by themselves: the jobs that look for campaigns read them, so they are no part of what a
pack's hash stands for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shoal.coordination.relations import Relation, Role, Strength
from shoal.errors import InvalidInput, Problem, nearest_name
from shoal.events.schema import Kind
from shoal.expressions.compile import Scope, compile_expression
from shoal.packs.fields import Reader
from shoal.packs.sections import NAME, NAME_FORM

MAX_RELATIONS = 40
MAX_CAP = 1_000_000
KEYS = (Kind.TEXT, Kind.INT, Kind.BOOL)
"""Kinds of columns that can be part of an entity."""


def make_relation(name: str, one: Reader) -> Relation:
    """One relation."""
    if not NAME.match(name):
        one.problems.append(Problem("relation.name", f"{name!r} is no relation name", one.where, NAME_FORM))
    cap = one.integer("cap", 0, 2, MAX_CAP) if one.has("cap") else None
    relation = Relation(
        id=name,
        columns=one.texts("columns", required=True),
        on=one.text("on"),
        subject=one.text("subject", "actor"),
        strength=Strength(one.choice("strength", [s.value for s in Strength], "soft") or "soft"),
        role=Role(one.choice("role", [r.value for r in Role], "means") or "means"),
        cap=cap,
        words=" ".join(one.text("words", required=True).split()),
        origin=one.where,
    )
    one.finish()
    return relation


def resolve_relations(
    relations: Sequence[Relation], columns: Mapping[str, Kind], lists: frozenset[str], problems: list[Problem]
) -> None:
    """Check the names, kinds and conditions of all relations. `columns`: event columns and attributes."""
    if len(relations) > MAX_RELATIONS:
        message = f"{len(relations)} relations"
        problems.append(Problem("pack.too_many_relations", message, allowed=f"at most {MAX_RELATIONS}"))
    scope = Scope(columns, lists)
    for one in relations:
        for key, name in [("columns", name) for name in one.columns] + [("subject", one.subject)]:
            where, allowed = one.origin.at(key), KEYS if key == "columns" else (Kind.TEXT,)
            if name not in columns:
                near = nearest_name(name, columns)
                problems.append(Problem("relation.unknown_column", f"no column {name!r}", where, nearest=near))
            elif columns[name] not in allowed:
                message = f"{name} is of kind {columns[name].name.lower()}"
                words = ", ".join(kind.name.lower() for kind in allowed)
                problems.append(Problem("relation.column_kind", message, where, words))
        if len(set(one.columns)) < len(one.columns):
            problems.append(Problem("relation.column_twice", "a column is named twice", one.origin.at("columns")))
        if one.on:
            _condition(one, scope, problems)


def _condition(one: Relation, scope: Scope, problems: list[Problem]) -> None:
    where = one.origin.at("on")
    try:
        kind = compile_expression(one.on, scope, where).kind
    except InvalidInput as error:
        problems.extend(error.problems)
        return
    if kind is not Kind.BOOL:
        problems.append(Problem("expression.condition_kind", f"of kind {kind.name.lower()}", where, "bool"))
