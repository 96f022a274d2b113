"""The table of sign-ups: one row an account, with everything that was known of it when it came.

Made from event tables by `signups_of`: `account.created` gives the row, later events of the same account give the
means (card, phone, recovery address) that it brought along. Values stand as codes with the keyed 64-bit ids of their
texts; texts are kept only of fields that name nobody (a user agent, a shape, a mail domain), to be told in words.
Immutable; knows no weights and no clusters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoal.coordination.templates.fields import BY_NAME, FIELDS, Field
from shoal.errors import InvalidInput, Problem, Where, nearest_name
from shoal.events.attributes import extract
from shoal.events.identity import Hash
from shoal.events.schema import Kind
from shoal.ranges.addresses_kernel import parse_addresses, prefix_texts

Ints = npt.NDArray[np.int64]
HOUR = 3_600_000_000
MEANS_WITHIN_S = 7 * 86_400
"""A card, phone or recovery address counts as brought along when it comes within a week of the sign-up."""


@dataclass(frozen=True)
class Column:
    """One field of all sign-ups. `code` int64 [sign-ups]: place in `ids`, -1 where it is not known. `ids` int64
    [values]: keyed ids of the texts. `texts`: the texts themselves, empty for fields that name somebody."""

    field: Field
    code: Ints
    ids: Ints
    texts: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Number of distinct values."""
        return len(self.ids)


@dataclass(frozen=True)
class SignUps:
    """Sign-ups in order of (time, account). `account` int64 [n]: keyed ids, each once. `time` int64 [n], µs UTC.
    `columns` by field name; a field that no row has is absent. `left_out`: rows without account or time, and second
    sign-ups of an account, which count for nothing."""

    account: Ints
    time: Ints
    columns: Mapping[str, Column]
    left_out: int = 0

    @property
    def size(self) -> int:
        """Number of sign-ups."""
        return len(self.account)

    @cached_property
    def span(self) -> int:
        """µs from the first to the last."""
        return int(self.time[-1] - self.time[0]) if self.size else 0


def signups_of(
    tables: pa.Table | Sequence[pa.Table], identity: Hash, *, means_within_s: int = MEANS_WITHIN_S
) -> SignUps:
    """The sign-ups among events.

    `tables`: event tables (a column that is absent is null); attributes are read from `attributes`, or from a column
    of the field's name where they have been taken out before. An account that signs up twice counts once, by its first.
    Raises `InvalidInput` (`signups.no_column`, `signups.column_type`) with all problems. Cost: one pass over the
    events, one JSON parse for each row of the four event types that has attributes.
    """
    given = [tables] if isinstance(tables, pa.Table) else list(tables)
    _check(given)
    rows = [found for found in (_created(table) for table in given) if found.num_rows]
    if not rows:
        return SignUps(np.zeros(0, np.int64), np.zeros(0, np.int64), {})
    table = pa.concat_tables(rows)
    account, time = identity.ids_of(_text(table, "actor")), _times(table)
    known = np.asarray(table.column("actor").is_valid()) & (time >= 0)
    order = np.lexsort((account, time))
    order = order[known[order]]
    _, first = np.unique(account[order], return_index=True)
    order = order[np.sort(first)]
    account, time = account[order], time[order]
    table = table.take(pa.array(order))
    columns: dict[str, Column] = {}
    for field in FIELDS:
        if not field.event:
            column = _column(field, table.column(field.name).combine_chunks(), identity)
        else:
            column = _means(field, given, identity, account, time, means_within_s * 1_000_000)
        if column.size:
            columns[field.name] = column
    return SignUps(account, time, columns, sum(found.num_rows for found in rows) - len(account))


def form_of(shapes: pa.Array) -> pa.Array:
    """Shapes with their runs of letters drawn together: `Aaa aaaa99` → `Aa a99`."""
    for letter in ("a", "A", "o", "x"):
        shapes = pc.replace_substring_regex(shapes, f"{letter}+", letter)
    return shapes


def make_signups(account: Ints, time: Ints, values: Mapping[str, Sequence[str | None]], identity: Hash) -> SignUps:
    """Sign-ups from columns of texts, for tests and other sources than events. Raises `InvalidInput`
    (`signups.unknown_field`, `signups.length`, `signups.twice`) with all problems."""
    problems = []
    for name, column in values.items():
        where = Where(path=name)
        if name not in BY_NAME:
            allowed = ", ".join(BY_NAME)
            problems.append(
                Problem("signups.unknown_field", f"no field {name!r}", where, allowed, nearest_name(name, BY_NAME))
            )
        elif len(column) != len(account):
            problems.append(Problem("signups.length", f"{len(column)} values for {len(account)} accounts", where))
    if len(time) != len(account):
        problems.append(
            Problem("signups.length", f"{len(time)} values for {len(account)} accounts", Where(path="time"))
        )
    if len(np.unique(account)) != len(account):
        problems.append(Problem("signups.twice", "an account stands twice", Where(path="account")))
    if problems:
        raise InvalidInput(problems)
    order = np.lexsort((account, time))
    arrays = {name: pa.array(texts, pa.string()) for name, texts in values.items()}
    for kind in ("email", "name"):
        if f"{kind}_shape" in arrays:
            arrays.setdefault(f"{kind}_form", form_of(arrays[f"{kind}_shape"]))
    columns: dict[str, Column] = {}
    for name, array in arrays.items():
        made = _column(BY_NAME[name], array.take(pa.array(order)), identity)
        if made.size:
            columns[name] = made
    return SignUps(np.asarray(account, np.int64)[order], np.asarray(time, np.int64)[order], columns)


def _check(tables: Sequence[pa.Table]) -> None:
    problems = []
    for number, table in enumerate(tables):
        where = Where(path=f"tables.{number}")
        for name in ("type", "time"):
            if name not in table.column_names:
                problems.append(
                    Problem("signups.no_column", f"the table has no column {name!r}", where, hint="an event table")
                )
        if not {"actor", "account"} & set(table.column_names):
            problems.append(Problem("signups.no_column", "the table has neither 'actor' nor 'account'", where))
        if "time" in table.column_names and table.schema.field("time").type != pa.int64():
            found = table.schema.field("time").type
            problems.append(Problem("signups.column_type", f"'time' is {found}", where.at("time"), "int64, µs UTC"))
    if problems:
        raise InvalidInput(problems)


def _created(table: pa.Table) -> pa.Table:
    """The rows of sign-ups with the columns of all fields, as texts."""
    rows = table.filter(pc.fill_null(pc.equal(table.column("type").cast(pa.string()), "account.created"), False))
    out = {"actor": _who(rows), "time": rows.column("time")}
    wanted = {
        field.name: (field.name, Kind.TEXT)
        for field in FIELDS
        if field.attribute and not field.event and field.name not in rows.column_names
    }
    rows = extract(rows, wanted)
    for field in FIELDS:
        if not field.event:
            out[field.name] = _text(rows, field.name)
    for kind in ("email", "name"):
        out[f"{kind}_form"] = pc.coalesce(out[f"{kind}_form"], form_of(out[f"{kind}_shape"]))
    out["network"] = pc.coalesce(out["network"], _networks(out["ip"]))
    return pa.table(out)


def _who(table: pa.Table) -> pa.Array:
    return pc.coalesce(_text(table, "actor"), _text(table, "account"))


def _text(table: pa.Table, name: str) -> pa.Array:
    """A column as one array of texts; null throughout where the table has none."""
    if name not in table.column_names:
        return pa.nulls(table.num_rows, pa.string())
    column = table.column(name)
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return column.cast(pa.string())


def _times(table: pa.Table) -> Ints:
    return np.asarray(table.column("time").fill_null(-1).combine_chunks(), np.int64)


def _networks(texts: pa.Array) -> pa.Array:
    """/24 and /48 of addresses; null where there is no address."""
    if texts.null_count == len(texts):
        return pa.nulls(len(texts), pa.string())
    return prefix_texts(*parse_addresses(texts))


def _column(field: Field, texts: pa.Array, identity: Hash) -> Column:
    """Codes by the order of the ids, so that they do not depend on the order of rows."""
    found = texts.dictionary_encode()
    ids = identity.ids_of(found.dictionary)
    order = np.argsort(ids, kind="stable")
    rank = np.empty(len(ids) + 1, np.int64)
    rank[order] = np.arange(len(ids))
    rank[-1] = -1
    code = rank[np.asarray(found.indices.fill_null(-1), np.int64)]
    shown = tuple(found.dictionary.take(pa.array(order)).to_pylist()) if field.shown else ()
    return Column(field, code, ids[order], shown)


def _means(field: Field, tables: Sequence[pa.Table], identity: Hash, account: Ints, time: Ints, within: int) -> Column:
    """The first value of each account within `within` µs of its sign-up, from events of the field's type or from the
    sign-up itself."""
    who, when, what = [], [], []
    for table in tables:
        kinds = pc.is_in(table.column("type").cast(pa.string()), pa.array([field.event, "account.created"]))
        rows = table.filter(pc.fill_null(kinds, False))
        if field.name not in rows.column_names:
            rows = extract(rows, {field.name: (field.name, Kind.TEXT)})
        rows = rows.filter(rows.column(field.name).is_valid())
        who.append(identity.ids_of(_who(rows)))
        when.append(_times(rows))
        what.append(_text(rows, field.name))
    people, moments, texts = np.concatenate(who), np.concatenate(when), pa.concat_arrays(what)
    ranked = np.argsort(account, kind="stable")
    at = np.minimum(np.searchsorted(account[ranked], people), len(account) - 1)
    row = ranked[at]
    fits = np.flatnonzero((account[row] == people) & (moments >= time[row]) & (moments - time[row] <= within))
    fits = fits[np.lexsort((fits, moments[fits], row[fits]))]
    chosen, first = np.unique(row[fits], return_index=True)
    place = np.full(len(account), -1, np.int64)
    place[chosen] = fits[first]
    return _column(field, texts.take(pa.array(place, mask=place < 0)), identity)
