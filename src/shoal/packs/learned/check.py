"""Names and kinds of signals and fitted detectors, across the files of a pack; all problems are noted together.

A signal reads event columns and attributes; a fitted detector may also take features and signals, never another
detector's score. Holds no state, touches no disk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from shoal.detectors.models.definition import MAX_INPUTS, MAX_MODELS, ModelDefinition
from shoal.detectors.signal_kinds import KINDS, signal_columns
from shoal.detectors.signals import SignalDefinition
from shoal.errors import InvalidInput, Problem, Where, nearest_name
from shoal.events.schema import Kind
from shoal.expressions.compile import Scope, compile_expression

NUMBERS = (Kind.BOOL, Kind.INT, Kind.FLOAT)
MAX_SIGNALS = 16


def resolve_signals(
    signals: Sequence[SignalDefinition], columns: Mapping[str, Kind], lists: frozenset[str], problems: list[Problem]
) -> dict[str, Kind]:
    """Check all signals and return the kinds of their columns."""
    if len(signals) > MAX_SIGNALS:
        problems.append(Problem("pack.too_many_signals", f"{len(signals)} signals", allowed=f"at most {MAX_SIGNALS}"))
    scope = Scope(columns, lists)
    kinds: dict[str, Kind] = {}
    for one in signals:
        settings, noted = KINDS[one.kind].settings, len(problems)
        for name, setting in settings.items():
            value = one.settings[name]
            if setting.kind == "condition":
                _condition(str(value), scope, one.origin.at(name), problems)
            elif setting.kind == "columns" and isinstance(value, tuple):
                _known("signal.unknown_column", value, columns, one.origin.at(name), problems)
        missing = KINDS[one.kind].reads(one.settings) - set(columns)
        given = {name for value in one.settings.values() if isinstance(value, tuple) for name in value}
        _known("signal.unknown_column", sorted(missing - given), columns, one.origin, problems)
        if len(problems) == noted:
            problems.extend(KINDS[one.kind].problems(one, columns))
        kinds |= {name: output.kind for name, output in signal_columns(one).items()}
    return kinds


def resolve_models(
    models: Sequence[ModelDefinition],
    columns: Mapping[str, Kind],
    computed: Mapping[str, Kind],
    lists: frozenset[str],
    threats: Collection[str],
    problems: list[Problem],
) -> dict[str, Kind]:
    """Check all fitted detectors and return the kinds of their columns. `computed`: features and signals."""
    if len(models) > MAX_MODELS:
        problems.append(Problem("pack.too_many_models", f"{len(models)} models", allowed=f"at most {MAX_MODELS}"))
    every = {**columns, **computed}
    scope = Scope(every, lists)
    kinds: dict[str, Kind] = {}
    for one in models:
        _condition(one.on, scope, one.origin.at("on"), problems)
        if one.threat not in threats:
            message = f"model {one.id}: the policy says nothing about threat {one.threat!r}"
            near = nearest_name(one.threat, threats)
            problems.append(Problem("model.unknown_threat", message, one.origin, ", ".join(threats), near))
        where = one.origin.at("inputs")
        _known("model.unknown_input", one.inputs, every, where, problems)
        for name in one.inputs:
            if name in every and every[name] not in NUMBERS:
                hint = "say with a derived feature what is to be read from it: network_kind = 'vpn'"
                message = f"{name} is of kind {every[name].name.lower()}"
                problems.append(Problem("model.input_kind", message, where, "bool, int, float", hint=hint))
        for name, count in Counter(one.inputs).items():
            if count > 1:
                problems.append(Problem("model.input_twice", f"{name!r} is named {count} times", where))
        if len(one.inputs) > MAX_INPUTS:
            problems.append(Problem("model.too_many_inputs", f"{len(one.inputs)} inputs", where, f"≤ {MAX_INPUTS}"))
        for name in sorted(set(one.monotone) - set(one.inputs)):
            near = nearest_name(name, one.inputs)
            problems.append(Problem("model.monotone", f"{name!r} is no input", one.origin, nearest=near))
        if not one.budgets:
            problems.append(Problem("model.budgets", "no level has a budget", one.origin.at("budgets")))
        for name, kind in one.columns.items():
            if name in computed:
                problems.append(Problem("model.name", f"a signal has the column {name} already", one.origin))
            kinds[name] = kind
    return kinds


def _condition(text: str, scope: Scope, where: Where, problems: list[Problem]) -> None:
    try:
        found = compile_expression(text, scope, where).kind
    except InvalidInput as error:
        problems.extend(error.problems)
        return
    if found is not Kind.BOOL:
        problems.append(Problem("expression.condition_kind", f"of kind {found.name.lower()}", where, "bool"))


def _known(slug: str, names: Iterable[str], columns: Mapping[str, Kind], where: Where, problems: list[Problem]) -> None:
    for name in names:
        if name not in columns:
            problems.append(Problem(slug, f"no column {name!r}", where, nearest=nearest_name(name, columns)))
