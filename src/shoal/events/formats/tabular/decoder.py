"""Rows of a table as events: CSV blocks (with their header row) and batches of Parquet, column by column.

A row that the header or the mapping does not fit is a dead letter; so is a record in which a quote is open that the
next line closes by chance: its lines are then read one by one. Columns that the mapping does not name, and values that
it changes, become attributes. A decoder holds the plan and no state between blocks.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from typing import Any

import orjson
import pyarrow as pa

from shoal.events.decode import MAX_LINE_BYTES, MAX_TEXT_BYTES, Decoded, event_table
from shoal.events.formats.m365 import csv_records
from shoal.events.formats.mapping import Values, keep_rows
from shoal.events.formats.records import Intake
from shoal.events.formats.tabular.cells import read_cell, read_time
from shoal.events.formats.tabular.plan import MAX_COLUMNS, FieldPlan, TablePlan
from shoal.events.formats.values import BadValue, parse_address, refuse_marked
from shoal.events.schema import Kind

Cells = dict[str, list[Any]]


def header_of(record: bytes, delimiter: str) -> list[str]:
    """The names of a header row, a repeated one with its number; empty where it cannot be read."""
    try:
        rows = list(csv.reader([record.decode("utf-8").strip("\r\n")], delimiter=delimiter, strict=True))
    except (csv.Error, UnicodeDecodeError):
        return []
    names: list[str] = []
    for place, given in enumerate(rows[0] if len(rows) == 1 and len(rows[0]) <= MAX_COLUMNS else []):
        name = given.strip() or f"column_{place + 1}"
        names.append(f"{name}_{place + 1}" if name in names else name)
    return names


class TableDecoder:
    """Decoder of a mapped table."""

    def __init__(self, source: str, partition: str, *, plan: TablePlan) -> None:
        self._source, self._partition, self._plan = source, partition, plan

    def decode(self, block: bytes, offset: int) -> Decoded:
        """Decode a CSV block that begins with the header row; see `Decoder`."""
        intake = Intake(self._source, self._partition)
        records = csv_records(block.removeprefix(b"\xef\xbb\xbf"))
        header = header_of(next(records, b""), self._plan.delimiter)
        rows: list[list[str]] = []
        place = offset
        for raw in records:
            place = self._take(intake, rows, raw, header, place)
        cells: Cells = dict(zip(header, map(list, zip(*rows, strict=True)), strict=True)) if rows else {}
        return self._decoded(intake, cells, len(rows), place - offset)

    def decode_batch(self, batch: pa.RecordBatch, offset: int) -> Decoded:
        """Decode a batch of Parquet; `offset`: number of its first row."""
        intake = Intake(self._source, self._partition)
        cells = {name: plain_values(batch.column(at)) for at, name in enumerate(batch.schema.names)}
        intake.offsets = list(range(offset, offset + batch.num_rows))
        return self._decoded(intake, cells, batch.num_rows, batch.num_rows)

    def _take(self, intake: Intake, rows: list[list[str]], raw: bytes, header: list[str], place: int) -> int:
        """Add one record of CSV; returns the next free place."""
        try:
            rows.append(fields_of(raw, self._plan.delimiter, len(header)))
        except BadValue as bad:
            lines = [line for line in raw.split(b"\n") if line.strip()]
            if len(lines) > 1 and len(raw) <= MAX_LINE_BYTES:
                for line in lines:
                    place = self._take(intake, rows, line, header, place)
                return place
            intake.refuse(place, bad.reason, bad.detail, raw)
            return place + 1
        intake.offsets.append(place)
        intake.raws.append(raw)
        return place + 1

    def _decoded(self, intake: Intake, cells: Cells, count: int, read: int) -> Decoded:
        """The events of rows, given by source column."""
        plan = self._plan
        bad: dict[int, BadValue] = {}
        for values in cells.values():
            _bound(values, bad)
            for row, value in enumerate(values):
                if type(value) is str and value in plan.nulls:
                    values[row] = None
        kept: dict[str, set[int]] = {}
        columns: dict[str, Values] = {}
        columns["time"] = _times(plan, cells, count, bad)
        for field in plan.fields:
            columns[field.name] = _column(field, cells, count, bad, kept)
        columns["type"] = _types(plan, cells, count, bad)
        if plan.keep_rest:
            columns["attributes"] = _rest(plan, cells, count, kept)
        columns["offset"] = list(intake.offsets)
        intake.records = [{}] * count
        if not intake.raws:
            intake.raws = (
                [_row_text(cells, row) if row in bad else b"" for row in range(count)] if bad else [b""] * count
            )
        rows = intake.drop(bad)
        events = event_table(keep_rows(columns, rows, count), intake.source, intake.partition)
        return Decoded(events=events, dead=tuple(intake.dead), read=read)


def fields_of(raw: bytes, delimiter: str, width: int) -> list[str]:
    """The fields of one row of CSV; raises `BadValue` where it does not fit a header of `width` names."""
    if len(raw) > MAX_LINE_BYTES:
        raise BadValue("line.too_long", "the record is longer than 1 MiB")
    try:
        text = raw.decode("utf-8").rstrip("\r")
    except UnicodeDecodeError as error:
        raise BadValue("utf8.invalid", f"byte {error.start} is not UTF-8") from error
    if "\0" in text:
        raise BadValue("csv.malformed", "the row holds a NUL")
    if '"' not in text:
        found = text.split(delimiter)
    else:
        try:
            rows = list(csv.reader([text], delimiter=delimiter, strict=True))
        except csv.Error as error:
            raise BadValue("csv.malformed", str(error)) from error
        found = rows[0] if len(rows) == 1 else []
    if len(found) != width:
        raise BadValue("csv.malformed", f"the row has {len(found)} fields, the header {width}")
    return found


def _bound(values: list[Any], bad: dict[int, BadValue]) -> None:
    """Texts that are too long or begin with the mark of erased texts make their row a dead letter."""
    for row, value in enumerate(values):
        if type(value) is str:
            if len(value) > MAX_TEXT_BYTES // 4 and len(value.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
                bad.setdefault(row, BadValue("text.too_long", "a text is longer than 64 KiB"))
            elif value[:1] != "\x01":
                continue
        elif type(value) not in (dict, list):
            continue
        try:
            refuse_marked(value)
        except BadValue as fault:
            bad.setdefault(row, fault)


def _times(plan: TablePlan, cells: Cells, count: int, bad: dict[int, BadValue]) -> Values:
    times: Values = []
    for row, value in enumerate(cells.get(plan.time.column, [None] * count)):
        time = None
        if value is None:
            bad.setdefault(row, BadValue("time.missing", f"{plan.time.column} is empty"))
        else:
            try:
                time = read_time(value, plan.time.time)
            except BadValue as fault:
                bad.setdefault(row, fault)
        times.append(time)
    return times


def _column(field: FieldPlan, cells: Cells, count: int, bad: dict[int, BadValue], kept: dict[str, set[int]]) -> Values:
    """One column of ours; rows whose source value is not whole in it are noted in `kept`."""
    if not field.column:
        return [field.constant] * count
    given = cells.get(field.column, [None] * count)
    if field.kind is Kind.TEXT and field.as_it_stands and field.name != "ip" and all(type(v) is str for v in given):
        return list(given)
    made: Values = []
    for row, value in enumerate(given):
        if value is None:
            made.append(None)
            continue
        if field.values is not None:
            value = field.values.get(value if type(value) is str else str(value))
            if value is None:
                made.append(None)
                continue
        try:
            found = read_cell(value, field)
        except BadValue as fault:
            bad.setdefault(row, fault)
            found = None
        if field.name == "ip" and found is not None:
            address = parse_address(found)
            if address != found:
                kept.setdefault(field.column, set()).add(row)
            found = address
        made.append(found)
    return made


def _types(plan: TablePlan, cells: Cells, count: int, bad: dict[int, BadValue]) -> Values:
    types: Values = [None] * count
    if plan.evaluate is not None:
        arrays = {
            name: pa.array(_of_kind(cells.get(name, [None] * count), kind), kind.arrow)
            for name, kind in plan.condition_kinds.items()
        }
        table = pa.table(arrays) if arrays else pa.table({"": pa.nulls(count)})
        for name, truths in zip(plan.type.rules, plan.evaluate(table), strict=True):
            for row, true in enumerate(truths):
                if true and types[row] is None:
                    types[row] = name
    given = cells.get(plan.type.column, [None] * count)
    for row in range(count):
        if types[row] is None:
            value = given[row]
            text = None if value is None else value if type(value) is str else str(value)
            if text is not None:
                types[row] = text if plan.type.values is None else plan.type.values.get(text)
            types[row] = types[row] or plan.type.default or None
            if types[row] is None:
                what = f"{plan.type.column} is {str(text)[:40]!r}: no rule, value or default gives a type"
                bad.setdefault(row, BadValue("type.missing", what))
    return types


def _of_kind(values: Sequence[Any], kind: Kind) -> list[Any]:
    """Values as a condition reads them; what is not of the kind is null."""
    plan = FieldPlan("", kind)
    made: list[Any] = []
    for value in values:
        try:
            made.append(None if value is None else read_cell(value, plan))
        except BadValue:
            made.append(None)
    return made


def _rest(plan: TablePlan, cells: Cells, count: int, kept: dict[str, set[int]]) -> Values:
    """The attributes: source columns that are not whole in one of ours."""
    whole = {field.column for field in plan.fields if field.column and field.as_it_stands} | {plan.time.column}
    names = [name for name in cells if name not in whole or name in kept]
    texts: Values = []
    for row in range(count):
        rest = {
            name: cells[name][row]
            for name in names
            if cells[name][row] is not None and (name not in whole or row in kept.get(name, ()))
        }
        texts.append(orjson.dumps(rest, default=str).decode() if rest else None)
    return texts


def _row_text(cells: Cells, row: int) -> bytes:
    return orjson.dumps({name: values[row] for name, values in cells.items()}, default=str)


def plain_values(column: pa.Array) -> list[Any]:
    """A column of Parquet as cells: times as ISO text, decimals and bytes as text, all else as it is."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pa.types.is_timestamp(kind):
        zone = "Z" if kind.tz is not None else ""
        plain = column.cast(pa.timestamp("us"), safe=False)
        return [None if text is None else text.replace(" ", "T") + zone for text in plain.cast(pa.string()).to_pylist()]
    if pa.types.is_date(kind) or pa.types.is_decimal(kind):
        return [None if value is None else str(value) for value in column.to_pylist()]
    values: list[Any] = column.to_pylist()
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return [None if value is None else value.decode("utf-8", "backslashreplace") for value in values]
    if pa.types.is_floating(kind):
        return [None if value is None or value != value or value in (_INF, -_INF) else value for value in values]
    return values


_INF = float("inf")
