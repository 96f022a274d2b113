"""`views/*.yaml`: which account-days are compared for a budget of alerts, and which way numbers are suspicious. A view
decides nothing, so it is no part of a pack's hash. No state.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from shoal.detectors.anomaly.alerts.definition import MAX_DIRECTIONS, MAX_VIEWS, ViewDefinition
from shoal.detectors.anomaly.alerts.rows import KINDS
from shoal.errors import InvalidInput, Problem, nearest_name
from shoal.events.schema import Kind
from shoal.expressions.compile import Scope, compile_expression
from shoal.packs.fields import Reader
from shoal.packs.sections import NAME, NAME_FORM

NUMBERS = (Kind.BOOL, Kind.INT, Kind.FLOAT)


def make_view(name: str, one: Reader) -> ViewDefinition:
    """One view; names of columns are checked later (`resolve_views`)."""
    if not NAME.match(name):
        one.problems.append(Problem("view.name", f"{name!r} is no view name", one.where, NAME_FORM))
    rows, on = one.choice("rows", KINDS) if one.has("rows") else "", one.text("on")
    if one.has("rows") == one.has("on"):
        said = "both `rows` and `on`" if one.has("on") else "neither `rows` nor `on`"
        one.problems.append(Problem("view.rows", f"the view says {said}", one.where, "one of them"))
    if one.has("rows"):
        for key in ("subject", "key"):
            if one.has(key):
                hint = "only the events of `on` are told apart by a column of your choice"
                one.wrong(key, "view.rows", f"{key} beside rows", hint=hint)
    definition = ViewDefinition(
        id=name,
        description=" ".join(one.text("description", required=True).split()),
        rows=rows,
        on=on,
        subject=one.text("subject", "account"),
        key=one.text("key", "org"),
        high=one.texts("high"),
        low=one.texts("low"),
        origin=one.where,
    )
    one.finish()
    return definition


def resolve_views(
    views: Sequence[ViewDefinition],
    columns: Mapping[str, Kind],
    computed: Mapping[str, Kind],
    lists: frozenset[str],
    problems: list[Problem],
) -> None:
    """Check names and kinds of all views; problems are noted together."""
    if len(views) > MAX_VIEWS:
        problems.append(Problem("pack.too_many_views", f"{len(views)} views", allowed=f"at most {MAX_VIEWS}"))
    every = {**columns, **computed}
    for one in views:
        if not 1 <= len(one.columns) <= MAX_DIRECTIONS:
            allowed = f"1 to {MAX_DIRECTIONS} columns in high and low"
            problems.append(Problem("view.directions", f"{len(one.columns)} directions", one.origin, allowed))
        for name, count in Counter(one.columns).items():
            if count > 1:
                problems.append(Problem("view.directions", f"{name!r} is named {count} times", one.origin))
        if one.rows:
            _rows(one, problems)
        elif one.on:
            _events(one, columns, every, lists, problems)


def _rows(one: ViewDefinition, problems: list[Problem]) -> None:
    known = KINDS[one.rows].columns
    for way, names in (("high", one.high), ("low", one.low)):
        for name in names:
            if name not in known:
                near, where = nearest_name(name, known), one.origin.at(way)
                message = f"rows of {one.rows} have no column {name!r}"
                problems.append(Problem("view.unknown_column", message, where, ", ".join(known), near))


def _events(
    one: ViewDefinition,
    columns: Mapping[str, Kind],
    every: Mapping[str, Kind],
    lists: frozenset[str],
    problems: list[Problem],
) -> None:
    try:
        found = compile_expression(one.on, Scope(every, lists), one.origin.at("on")).kind
        if found is not Kind.BOOL:
            message = f"of kind {found.name.lower()}"
            problems.append(Problem("expression.condition_kind", message, one.origin.at("on"), "bool"))
    except InvalidInput as error:
        problems.extend(error.problems)
    for field, name in (("subject", one.subject), ("key", one.key)):
        if columns.get(name) is not Kind.TEXT:
            texts = [column for column, kind in columns.items() if kind is Kind.TEXT]
            near, where = nearest_name(name, texts), one.origin.at(field)
            problems.append(Problem("view.unknown_column", f"no text column {name!r} of events", where, nearest=near))
    for way, names in (("high", one.high), ("low", one.low)):
        for name in names:
            if every.get(name) not in NUMBERS:
                near = nearest_name(name, [column for column, kind in every.items() if kind in NUMBERS])
                message, where = f"no column {name!r} of numbers", one.origin.at(way)
                problems.append(Problem("view.unknown_column", message, where, nearest=near))
