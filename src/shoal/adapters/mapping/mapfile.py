"""Reads a mapping file: YAML of the format `shoal.mapping`, checked as a whole, every problem at its line.

Nothing is guessed: an unknown key, column or unit is refused with the nearest known name. The conditions of type rules
are compiled here, in the one expression language, over the source's columns. What comes out is immutable.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from shoal.errors import InvalidInput, Problem, Where, nearest_name
from shoal.events.formats.tabular.cells import read_cell
from shoal.events.formats.tabular.plan import (
    DELIMITERS,
    ENCODINGS,
    FORMAT,
    TIME_FORMATS,
    UNITS,
    VERSION,
    Evaluate,
    FieldPlan,
    TablePlan,
    TimeFormat,
    TypePlan,
)
from shoal.events.formats.values import BadValue
from shoal.events.identity import Identity
from shoal.events.schema import GIVEN_COLUMNS, Kind
from shoal.expressions.compile import Expression, Scope, compile_expression
from shoal.expressions.frame import Frame, Layout
from shoal.expressions.program import Program
from shoal.packs.yamltree import Node, read_yaml

_TOP = ("format", "version", "csv", "nulls", "time", "type", "columns", "kinds", "rest")
_FIELD = ("column", "constant", "values", "unit", "lower", "format", "zone")
_NOT_MAPPED = frozenset({"source", "partition", "offset", "time", "type", "attributes"})
_TARGETS: Mapping[str, Kind] = {spec.name: spec.kind for spec in GIVEN_COLUMNS if spec.name not in _NOT_MAPPED}
_KINDS = {"text": Kind.TEXT, "int": Kind.INT, "float": Kind.FLOAT, "bool": Kind.BOOL}
_TYPE_NAME = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)+")
_PLAIN = re.compile(r"[^A-Za-z0-9_]+")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def plain_name(column: str) -> str:
    """The name of a source column in conditions: what is no letter, digit or underscore becomes an underscore.

    >>> plain_name("User ID"), plain_name("2fa")
    ('User_ID', '_2fa')
    """
    name = _PLAIN.sub("_", column)
    return name if not name[:1].isdigit() else f"_{name}"


class _Reader:
    """Reads one file; `problems` holds what was found."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def refuse(self, slug: str, message: str, node: Node | int, path: str = "", **more: str) -> None:
        """Note a problem at a node's line."""
        line = node if isinstance(node, int) else node.line
        self.problems.append(Problem(f"mapping.{slug}", message, Where(self.file, line, path), **more))

    def keys(self, node: Node, known: Sequence[str], path: str) -> dict[str, Node]:
        """The entries of a mapping node whose keys are known."""
        if node.kind != "mapping":
            self.refuse("wrong", f"is a {node.kind}", node, path, allowed="a mapping of names")
            return {}
        for key in node.entries:
            if key not in known:
                self.refuse("unknown_key", f"no key {key!r} here", node.keys[key], path,
                            allowed=", ".join(known), nearest=nearest_name(key, known))  # fmt: skip
        return {key: value for key, value in node.entries.items() if key in known}

    def text(self, node: Node | None, path: str) -> str:
        """A text that is not empty; "" where the node is absent or refused."""
        if node is None:
            return ""
        if node.kind in ("mapping", "sequence", "null") or not node.text:
            self.refuse("wrong", "is not a text", node, path)
            return ""
        return node.text

    def choice(self, node: Node | None, allowed: Sequence[str], path: str, default: str) -> str:
        """One of the allowed words."""
        found = self.text(node, path)
        if node is not None and found and found not in allowed:
            self.refuse("wrong", f"{found!r} is not one of them", node, path, allowed=", ".join(allowed),
                        nearest=nearest_name(found, allowed))  # fmt: skip
            return default
        return found or default

    def values(self, node: Node | None, path: str) -> dict[str, str] | None:
        """A map of a source's values; a scalar key or value counts as its text."""
        if node is None:
            return None
        if node.kind != "mapping" or not node.entries:
            self.refuse("wrong", "is not a map of values", node, path, allowed="value: what it becomes")
            return None
        found = {}
        for key, value in node.entries.items():
            found[key] = self.text(value, f"{path}.{key}")
        return found

    def type_name(self, text: str, node: Node | int, path: str) -> str:
        """A type's name, `thing.past_verb`."""
        if text and not _TYPE_NAME.fullmatch(text):
            self.refuse("type_name", f"{text[:40]!r} is no event type", node, path, allowed="thing.past_verb")
        return text

    def time_format(self, entries: Mapping[str, Node], path: str) -> TimeFormat:
        """Format and zone of a time."""
        format_node, zone_node = entries.get("format"), entries.get("zone")
        how, zone = self.text(format_node, path) or "iso", self.text(zone_node, path)
        if zone and zone_node is not None:
            try:
                ZoneInfo(zone)
            except (OSError, ValueError, KeyError):
                self.refuse("zone", f"no time zone {zone[:40]!r}", zone_node, path, hint="an IANA name: Europe/Zurich")
                zone = ""
        if format_node is not None and how not in TIME_FORMATS:
            try:
                written = datetime(2026, 1, 5, 9, 30, tzinfo=UTC).strftime(how)
                datetime.strptime(written, how)
            except (ValueError, re.error):
                written = how
            if "%" not in how or written == how:
                self.refuse("time_format", f"{how[:40]!r} is no time format", format_node, path,
                            allowed=", ".join(TIME_FORMATS) + ", or a pattern such as %d.%m.%Y %H:%M:%S",
                            nearest=nearest_name(how, TIME_FORMATS))  # fmt: skip
            elif "%z" not in how and not zone:
                self.refuse("zone", "times of this pattern have no zone", format_node, path, hint="give zone: …")
        return TimeFormat(how, zone)


def read_mapping(path: Path) -> TablePlan:
    """The mapping of a file, checked.

    Raises `InvalidInput` with all problems at file:line (`yaml.*`, `mapping.*`, `expression.*`).
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidInput(
            Problem("mapping.unreadable", f"may not be read: {error.strerror}", Where(str(path)))
        ) from error
    reader = _Reader(str(path))
    root = read_yaml(data, str(path), reader.problems)
    plan = None
    if root is not None:
        plan = _read_top(reader, root, hashlib.sha256(data).hexdigest()[:12])
    if plan is None or reader.problems:
        raise InvalidInput(reader.problems)
    return plan


def _read_top(reader: _Reader, root: Node, digest: str) -> TablePlan | None:
    top = reader.keys(root, _TOP, "")
    if root.kind != "mapping":
        return None
    reader.choice(top.get("format"), (FORMAT,), "format", "")
    version = reader.text(top.get("version"), "version")
    for name in ("format", "version", "time", "type"):
        if name not in top:
            reader.refuse("missing", f"{name} is missing", root, name)
    if version and version != str(VERSION):
        reader.refuse("version", f"version {version[:20]} is not read", top["version"], "version", allowed=str(VERSION))
    dialect = reader.keys(top["csv"], ("delimiter", "encoding"), "csv") if "csv" in top else {}
    delimiter = reader.choice(dialect.get("delimiter"), (*DELIMITERS, *DELIMITERS.values()), "csv.delimiter", ",")
    kinds = _kinds(reader, top.get("kinds"))
    type_plan, expressions = _type(reader, top.get("type"), kinds)
    fields = _fields(reader, top.get("columns"))
    read = {name for expression in expressions for name in expression.columns}
    sources = {plain_name(name): name for name in _sources(top, kinds, fields, type_plan)}
    condition_kinds = {sources.get(name, name): kinds.get(sources.get(name, name), Kind.TEXT) for name in sorted(read)}
    return TablePlan(
        time=_time(reader, top.get("time")),
        type=type_plan,
        fields=fields,
        digest=digest,
        keep_rest=reader.choice(top.get("rest"), ("keep", "drop"), "rest", "keep") == "keep",
        nulls=_nulls(reader, top.get("nulls")),
        delimiter=DELIMITERS.get(delimiter, delimiter),
        encoding=reader.choice(dialect.get("encoding"), ENCODINGS, "csv.encoding", "utf-8"),
        condition_kinds=condition_kinds,
        evaluate=None if reader.problems or not expressions else _evaluator(expressions, condition_kinds),
    )


def _sources(
    top: Mapping[str, Node], kinds: Mapping[str, Kind], fields: Sequence[FieldPlan], type_plan: TypePlan
) -> list[str]:
    """The source columns that the file names, kinds first."""
    time = top.get("time")
    named = time.entries["column"].text if time is not None and "column" in time.entries else ""
    return [name for name in (*kinds, *(field.column for field in fields), type_plan.column, named) if name]


def _time(reader: _Reader, node: Node | None) -> FieldPlan:
    if node is None:
        return FieldPlan("time", Kind.TIME)
    if node.kind == "text":
        return FieldPlan("time", Kind.TIME, node.text)
    entries = reader.keys(node, ("column", "format", "zone"), "time")
    if node.kind == "mapping" and "column" not in entries:
        reader.refuse("missing", "column is missing", node, "time")
    how = reader.time_format(entries, "time")
    return FieldPlan("time", Kind.TIME, reader.text(entries.get("column"), "time.column"), time=how)


def _kinds(reader: _Reader, node: Node | None) -> dict[str, Kind]:
    if node is None:
        return {}
    if node.kind != "mapping":
        reader.refuse("wrong", f"is a {node.kind}", node, "kinds", allowed="source column: kind")
        return {}
    return {
        name: _KINDS[reader.choice(value, tuple(_KINDS), f"kinds.{name}", "text")]
        for name, value in node.entries.items()
    }


def _nulls(reader: _Reader, node: Node | None) -> frozenset[str]:
    if node is None:
        return frozenset({""})
    if node.kind != "sequence" or any(item.kind in ("mapping", "sequence") for item in node.items):
        reader.refuse("wrong", "is not a list of texts", node, "nulls")
        return frozenset({""})
    return frozenset({"", *(item.text for item in node.items)})


def _type(reader: _Reader, node: Node | None, kinds: Mapping[str, Kind]) -> tuple[TypePlan, list[Expression]]:
    if node is None:
        return TypePlan(), []
    if node.kind == "text":
        return TypePlan(column=node.text), []
    entries = reader.keys(node, ("column", "values", "rules", "default"), "type")
    column = reader.text(entries.get("column"), "type.column")
    values = reader.values(entries.get("values"), "type.values")
    for key, value in (values or {}).items():
        reader.type_name(value, entries["values"].entries[key], f"type.values.{key}")
    default = reader.text(entries.get("default"), "type.default")
    if default:
        reader.type_name(default, entries["default"], "type.default")
    rules = entries.get("rules")
    names, expressions = _rules(reader, rules, kinds) if rules is not None else ((), [])
    if values is not None and not column:
        reader.refuse("missing", "values need the column that holds them", node, "type", hint="give column: …")
    if node.kind == "mapping" and not (column or names or default):
        reader.refuse("missing", "nothing says what happened", node, "type", allowed="column, rules or default")
    return TypePlan(column, values, names, default), expressions


def _rules(reader: _Reader, node: Node, kinds: Mapping[str, Kind]) -> tuple[tuple[str, ...], list[Expression]]:
    """The rules' types and their conditions, in order."""
    if node.kind != "sequence":
        reader.refuse("wrong", f"is a {node.kind}", node, "type.rules", allowed="a list of rules")
        return (), []
    names, expressions = [], []
    for number, item in enumerate(node.items):
        path = f"type.rules.{number}"
        entries = reader.keys(item, ("when", "is"), path)
        for name in ("when", "is"):
            if item.kind == "mapping" and name not in entries:
                reader.refuse("missing", f"{name} is missing", item, path)
        made = reader.type_name(reader.text(entries.get("is"), path), item, path)
        text = reader.text(entries.get("when"), path)
        if not text:
            continue
        scope = {plain_name(name): kind for name, kind in kinds.items()}
        for word in _WORD.findall(text):  # every name may be a column of the table: its header is the judge
            scope.setdefault(word, Kind.TEXT)
        try:
            expression = compile_expression(text, Scope(scope), Where(reader.file, entries["when"].line, path))
        except InvalidInput as error:
            reader.problems += error.problems
            continue
        if expression.kind is not Kind.BOOL:
            reader.refuse("condition", f"is {expression.kind.name}, not a condition", entries["when"], path)
            continue
        names.append(made)
        expressions.append(expression)
    return tuple(names), expressions


def _fields(reader: _Reader, node: Node | None) -> tuple[FieldPlan, ...]:
    if node is None:
        return ()
    if node.kind != "mapping":
        reader.refuse("wrong", f"is a {node.kind}", node, "columns", allowed="our column: source column")
        return ()
    found = []
    for name, value in node.entries.items():
        kind = _TARGETS.get(name)
        path = f"columns.{name}"
        if kind is None:
            hint = "time and type have sections of their own" if name in ("time", "type") else ""
            reader.refuse("unknown_column", f"no event column {name!r} that a table may fill", node.keys[name], path,
                          nearest=nearest_name(name, _TARGETS), hint=hint)  # fmt: skip
        elif value.kind in ("text", "int"):
            found.append(FieldPlan(name, kind, reader.text(value, path)))
        else:
            field = _field(reader, name, kind, value, path)
            if field is not None:
                found.append(field)
    return tuple(found)


def _field(reader: _Reader, name: str, kind: Kind, node: Node, path: str) -> FieldPlan | None:
    """A column that is written as a mapping."""
    entries = reader.keys(node, _FIELD, path)
    if node.kind != "mapping":
        return None
    column, constant = reader.text(entries.get("column"), path), reader.text(entries.get("constant"), path)
    if bool(column) == bool(constant):
        reader.refuse("missing", "needs a column or a constant, one of them", node, path)
        return None
    unit = reader.choice(entries.get("unit"), tuple(UNITS), f"{path}.unit", "B")
    lower = reader.choice(entries.get("lower"), ("true", "false"), f"{path}.lower", "false") == "true"
    for key, fits in (("unit", kind is Kind.INT), ("lower", kind is Kind.TEXT), ("format", kind is Kind.TIME),
                      ("zone", kind is Kind.TIME)):  # fmt: skip
        if key in entries and not fits:
            reader.refuse("wrong", f"{key} does not fit a column of {kind.name}", entries[key], f"{path}.{key}")
    how = reader.time_format(entries, path) if kind is Kind.TIME else TimeFormat()
    values = reader.values(entries.get("values"), f"{path}.values")
    field = FieldPlan(name, kind, column, None, values, UNITS[unit], lower, how)
    for given in (*([constant] if constant else ()), *(values or {}).values()):
        try:
            made = read_cell(given, field)
        except BadValue as bad:
            reader.refuse("value", f"{given[:40]!r} does not fit a column of {kind.name}: {bad.detail}", node, path)
            return None
        if constant:
            field = FieldPlan(name, kind, "", made)
    return field


def _evaluator(expressions: Sequence[Expression], kinds: Mapping[str, Kind]) -> Evaluate:
    """The conditions as one function of a table of the source columns."""
    layout = Layout.of({plain_name(name): kind for name, kind in kinds.items()})
    identity = Identity(bytes(16))  # ids live no longer than a block: the key need not be secret
    program = Program(expressions, layout, identity)

    def evaluate(table: pa.Table) -> list[list[bool | None]]:
        rows = table.num_rows
        frame = Frame.empty(layout, max(rows, 1))
        frame.fill(table.rename_columns([plain_name(name) for name in table.column_names]), identity)
        truths = np.full((len(expressions), max(rows, 1)), 2, np.int8)
        program.truths(frame, truths)
        return [[(None if value == 2 else value == 1) for value in line[:rows].tolist()] for line in truths]

    return evaluate
