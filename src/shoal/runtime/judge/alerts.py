"""The few account-days of a deployment that most deserve a look: the views of a pack under a budget of alerts a day.

Rows of a built-in kind are made from the journal's events and facts; views over columns of the engine replay the pack
that is in force. Days are UTC, by the journal's time, and the last one, which is not over, is left out unless it is
asked for. Reads the journal and writes nothing; each run goes through all of it again, so that the alerts of a day are
the same whenever it is asked for, and however large the budget of other views.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from shoal.detectors.anomaly.alerts import Alert, AlertBudget
from shoal.detectors.anomaly.alerts.definition import ViewDefinition
from shoal.detectors.anomaly.alerts.rows import COLUMNS, DAY, ENTITIES, KINDS, Log, rows_of
from shoal.errors import InvalidInput, Problem, nearest_name
from shoal.events.schema import BY_NAME, Kind
from shoal.expressions.compile import Scope, compile_expression
from shoal.expressions.program import Program
from shoal.packs.learned.offer import offered_inputs
from shoal.packs.pack import Pack
from shoal.runtime.columns import one_chunk
from shoal.runtime.engine import Engine, Outcome
from shoal.runtime.home import Home
from shoal.runtime.ingest.writer import FACTS
from shoal.runtime.judge.backtest import published_pack
from shoal.storage.frames import ControlFrame, ControlRun, EventFrame
from shoal.storage.journal import Journal

WHOLE = frozenset({"file.downloaded", "folder.shared", "app.authorized"})
"""Events that rows count one by one; of others it is enough who was where on which day."""
_SEEN = ("account", "actor", "org", "device", "ip", "day")
_EMPTY = {"day": pl.Int64, "key": pl.String, "account": pl.String}


@dataclass(frozen=True)
class Reported:
    """`alerts` in order; `first`, `last`: the days that were closed, counted from 1970; `rows`: account-days by view;
    `learned`: the first day that could alert."""

    alerts: Sequence[Alert]
    first: int
    last: int
    learned: int
    rows: Mapping[str, int]


@dataclass(frozen=True)
class Budget:
    """What is asked of `AlertBudget`."""

    per_day: float = 5
    learn_days: int = 5
    window_days: int = 14
    quiet_days: int = 7


def report(
    home: Home,
    *,
    pack: Pack | None = None,
    views: Sequence[str] = (),
    budget: Budget | None = None,
    unfinished: bool = False,
    moved: Callable[[int, int], None] = lambda _done, _total: None,
) -> Reported:
    """Rank the account-days of the views of a pack (default: all of the pack in force) and spend the budget.

    Raises `InvalidInput`: `alerts.none` for a pack without views, `alerts.view` for an unknown one, `alerts.empty`
    where the journal has no event on a day that is over; `detector.setting` for a budget that is none."""
    journal = Journal.open(home.journal, identity=home.identity, read_only=True)
    try:
        found, complete = published_pack(home, journal, pack)
        wanted = chosen(found, views)
        given = budget or Budget()
        made = AlertBudget(
            [one.view(words_of(one, found)) for one in wanted],
            per_day=given.per_day, window_days=given.window_days, learn_days=given.learn_days,
            quiet_days=given.quiet_days,
        )  # fmt: skip
        tables: dict[str, pl.DataFrame] = {}
        if any(one.rows for one in wanted):
            log = _Log(home)
            log.read(journal, moved)
            tables |= log.tables(one for one in wanted if one.rows)
        asked = [one for one in wanted if one.on]
        if asked:
            tables |= _replayed(home, journal, found, complete, asked, moved)
        last = (journal.last_as_of or 0) // DAY
        first = _first_day(journal)
    finally:
        journal.close()
    end = last if unfinished else last - 1
    if first is None or end < first:
        hint = "the last day is looked at when it is over, or with --unfinished"
        raise InvalidInput(Problem("alerts.empty", "the journal has no event on a day that is over", hint=hint))
    alerts = spend(made, tables, range(first, end + 1))
    rows = {name: table.filter(pl.col("day") <= end).height for name, table in tables.items()}
    return Reported(alerts, first, end, first + given.learn_days, rows)


def chosen(pack: Pack, names: Sequence[str]) -> list[ViewDefinition]:
    """The views of these names, or all; raises `InvalidInput` (`alerts.none`, `alerts.view`)."""
    known = {one.id: one for one in pack.views}
    if not known:
        hint = "say in views/*.yaml which account-days are compared"
        raise InvalidInput(Problem("alerts.none", f"the pack {pack.name} has no views", hint=hint))
    problems = [
        Problem("alerts.view", f"the pack has no view {name!r}", allowed=", ".join(known),
                nearest=nearest_name(name, known))
        for name in names
        if name not in known
    ]  # fmt: skip
    if problems:
        raise InvalidInput(problems)
    return [known[name] for name in dict.fromkeys(names or known)]


def words_of(one: ViewDefinition, pack: Pack) -> dict[str, str]:
    """The columns of a view in words, no two alike."""
    if one.rows:
        return dict(KINDS[one.rows].columns)
    offered = offered_inputs(pack)
    words = {name: offered[name].description if name in offered else name for name in one.columns}
    twice = {text for text in words.values() if list(words.values()).count(text) > 1}
    return {name: f"{text} ({name})" if text in twice else text for name, text in words.items()}


def spend(budget: AlertBudget, tables: Mapping[str, pl.DataFrame], days: Sequence[int]) -> list[Alert]:
    """Close these days one after another. `tables`: by the name of a view `day`, `key`, `account`, and its directions
    in their order."""
    by_day = {name: table.partition_by("day", as_dict=True) for name, table in tables.items()}
    alerts: list[Alert] = []
    for day in days:
        for view in budget.views:
            some = by_day.get(view.name, {}).get((day,))
            if some is not None:
                values = some.select(pl.exclude("day", "key", "account")).fill_null(float("nan")).to_numpy()
                keys, subjects = some["key"].cast(pl.String).to_list(), some["account"].cast(pl.String).to_list()
                budget.add(view.name, keys, values, subjects)
        alerts += budget.close(day)
    return alerts


def _first_day(journal: Journal) -> int | None:
    for frame in journal.read():
        if isinstance(frame, EventFrame):
            return int(one_chunk(frame.table, "as_of")[0].as_py()) // DAY
    return None


class _Log:
    """The journal's events as `rows.Log` has them, entities as keyed ids; the texts of those that alerts name."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._parts: list[pl.DataFrame] = []
        self._names: dict[int, str] = {}
        self._created: list[pl.DataFrame] = []

    def read(self, journal: Journal, moved: Callable[[int, int], None]) -> None:
        """Take all frames."""
        for frame in journal.read():
            if isinstance(frame, EventFrame):
                self._add(frame.table)
                moved(frame.last_seq + 1, journal.next_seq)
            elif isinstance(frame, ControlRun) and frame.kind == FACTS:
                self._facts(frame.table.to_pylist())
            elif isinstance(frame, ControlFrame) and frame.kind == FACTS:
                self._facts([frame.body])

    def _add(self, table: pa.Table) -> None:
        columns: dict[str, pl.Series] = {"time": _numbers(table, "as_of"), "type": _series(table, "type")}
        for name in COLUMNS[2:]:
            if name in ENTITIES:
                columns[name] = self._ids(table, name)
            else:
                columns[name] = _series(table, name)
        frame = pl.DataFrame(columns).with_columns((pl.col("time") // DAY).alias("day"))
        frame = frame.filter(pl.col("account").is_not_null())
        whole = frame.filter(pl.col("type").is_in(list(WHOLE)))
        rest = frame.filter(~pl.col("type").is_in(list(WHOLE))).sort("time")
        self._parts.append(pl.concat([whole, rest.unique(list(_SEEN), keep="first", maintain_order=True)]))
        if "account_created" in table.column_names:
            known = pl.DataFrame({"account": columns["account"], "created": _numbers(table, "account_created")})
            self._created.append(known.drop_nulls().unique("account"))

    def _ids(self, table: pa.Table, name: str) -> pl.Series:
        if name not in table.column_names:
            return pl.Series(name, [None] * table.num_rows, pl.Int64)
        texts = one_chunk(table, name)
        coded = texts.dictionary_encode() if not pa.types.is_dictionary(texts.type) else texts
        ids = np.asarray(self._home.identity.ids_of(coded.dictionary.cast(pa.string())))
        if name in ("account", "org"):
            self._names |= dict(zip(ids.tolist(), coded.dictionary.to_pylist(), strict=True))
        places = pl.Series(name, coded.indices.to_numpy(zero_copy_only=False), nan_to_null=True).cast(pl.Int64)
        return pl.Series(name, ids, pl.Int64).gather(places) if len(ids) else pl.Series(name, places, pl.Int64)

    def _facts(self, rows: Sequence[Mapping[str, object]]) -> None:
        mine = [row for row in rows if row.get("subject_type") == "account" and row.get("name") == "created"]
        if mine:
            ids = [self._home.identity.id_of(str(row["subject"])) for row in mine]
            known = pl.DataFrame(
                {"account": pl.Series(ids, dtype=pl.Int64), "created": [str(r["value"]) for r in mine]}
            )
            self._created.append(known.with_columns(pl.col("created").cast(pl.Int64)))

    def tables(self, views: Iterator[ViewDefinition]) -> dict[str, pl.DataFrame]:
        """The rows of each view, with its columns in its order and names as texts."""
        if not self._parts:
            return {}
        events = pl.concat(self._parts)
        empty = pl.DataFrame(schema={"account": pl.Int64, "created": pl.Int64})
        created = pl.concat([empty, *self._created]).unique("account", keep="first", maintain_order=True)
        log = Log(events, created, int(events["day"].min()))  # type: ignore[arg-type]
        made: dict[str, pl.DataFrame] = {}
        names = pl.DataFrame(
            {"id": pl.Series(list(self._names), dtype=pl.Int64), "text": list(self._names.values())},
            schema={"id": pl.Int64, "text": pl.String},
        )
        out = {}
        for one in views:
            if one.rows not in made:
                made[one.rows] = rows_of(log, one.rows)
            table = made[one.rows].select("day", "key", "account", *one.columns)
            for column in ("key", "account"):
                table = table.join(names, left_on=column, right_on="id", how="left").with_columns(
                    pl.col("text").alias(column)
                ).drop("text")  # fmt: skip
            out[one.id] = table
        return out


def _series(table: pa.Table, name: str) -> pl.Series:
    """A column by name; null where the table has none."""
    if name in table.column_names:
        found = pl.from_arrow(one_chunk(table, name))
        assert isinstance(found, pl.Series)
        return (found.cast(pl.String) if BY_NAME[name].kind is Kind.TEXT else found).alias(name)
    kind = pl.Boolean if BY_NAME[name].kind is Kind.BOOL else pl.String
    return pl.Series(name, [None] * table.num_rows, kind)


def _numbers(table: pa.Table, name: str) -> pl.Series:
    found = pl.from_arrow(one_chunk(table, name).cast(pa.int64()))
    assert isinstance(found, pl.Series)
    return found.alias(name)


def _replayed(
    home: Home,
    journal: Journal,
    pack: Pack,
    complete: bool,
    views: Sequence[ViewDefinition],
    moved: Callable[[int, int], None],
) -> dict[str, pl.DataFrame]:
    """Rows of views over the engine's columns: by subject and day the most suspicious value of each."""
    if journal.first_seq:
        message = "retention dropped the first records, so a replay would begin without their state"
        hint = "leave out views with `on`, or name others with --view"
        raise InvalidInput(Problem("alerts.dropped", message, hint=hint))
    every = pack.event_columns | pack.computed
    lists = frozenset(pack.lists)
    conditions = [compile_expression(one.on, Scope(every, lists), one.origin.at("on")) for one in views]
    also = {name for one in conditions for name in one.columns} | {name for one in views for name in one.columns}
    parts: dict[str, list[pl.DataFrame]] = {one.id: [] for one in views}
    with tempfile.TemporaryDirectory(prefix="shoal-alerts-") as place:
        engine = Engine(pack, home.identity, history_complete=complete, folder=Path(place), also=also)
        program = Program(conditions, engine.layout, home.identity, engine.lists)
        for group in journal.read_groups():
            outcome = engine.take(group)
            moved(group.last_seq + 1, journal.next_seq)
            if outcome is None:
                continue
            truths = np.empty((len(views), outcome.frame.size), np.int8)
            program.truths(outcome.frame, truths)
            for one, truth in zip(views, truths, strict=True):
                rows = np.flatnonzero(truth == 1)
                if len(rows):
                    parts[one.id].append(_daily(_taken(outcome, one, rows), one))
        engine.features.close()
    return {one.id: _daily(pl.concat(parts[one.id]), one) if parts[one.id] else _none(one) for one in views}


def _taken(outcome: Outcome, one: ViewDefinition, rows: np.ndarray) -> pl.DataFrame:
    at, frame = pa.array(rows), outcome.frame
    subject, key = (_series_of(outcome.table, name, at) for name in (one.subject, one.key))
    columns = {
        "day": _numbers(outcome.table.select(["as_of"]).take(at), "as_of") // DAY,
        "key": key,
        "account": subject,
    }
    for name in one.columns:
        place = frame.layout.index[name]
        raw = frame.values[place, rows]
        values = raw.view(np.float64) if frame.layout.kinds[place] is Kind.FLOAT else raw.astype(np.float64)
        columns[name] = pl.Series(name, np.where(frame.valid[place, rows] != 0, values, np.nan), nan_to_null=True)
    found = pl.DataFrame(columns).filter(pl.col("account").is_not_null())
    return found.with_columns(pl.coalesce("key", "account").alias("key"))


def _series_of(table: pa.Table, name: str, at: pa.Array) -> pl.Series:
    if name not in table.column_names:
        return pl.Series(name, [None] * len(at), pl.String)
    found = pl.from_arrow(one_chunk(table, name).take(at).cast(pa.string()))
    assert isinstance(found, pl.Series)
    return found


def _daily(table: pl.DataFrame, one: ViewDefinition) -> pl.DataFrame:
    best = [pl.col(name).max() for name in one.high] + [pl.col(name).min() for name in one.low]
    found = table.group_by("day", "account").agg(pl.col("key").min(), *best)
    return found.select("day", "key", "account", *one.columns).sort("day", "key", "account")


def _none(one: ViewDefinition) -> pl.DataFrame:
    return pl.DataFrame(schema=_EMPTY | dict.fromkeys(one.columns, pl.Float64))
