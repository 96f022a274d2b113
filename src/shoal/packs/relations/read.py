"""`relations/*.yaml` to plain data, and the check of the names in it; all problems are noted together. No state.

Relations change no decision by themselves: the jobs that look for campaigns read them, so they are no part of what a
pack's hash stands for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from shoal.coordination.graph.read import relation_problems
from shoal.coordination.relations import Relation, Role, Strength
from shoal.errors import Problem
from shoal.events.schema import Kind
from shoal.packs.fields import Reader
from shoal.packs.sections import NAME, NAME_FORM

MAX_RELATIONS = 40
MAX_CAP = 1_000_000


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
    problems.extend(relation_problems(relations, columns, lists))
