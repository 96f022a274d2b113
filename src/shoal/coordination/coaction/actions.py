"""Actions: who acted on what and when, as the one table that co-action and lockstep read.

`account` and `object` int64 ids (or codes), `time` int64 µs UTC. Rows may come in any order, repeat, and share an
instant: neither changes what is found. A null, a text or a time before 1970 is refused. `null_of` is the same table
with chance in the place of intent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoal.coordination.graph import EntityGraph
from shoal.coordination.relations import Role
from shoal.errors import InvalidInput, Problem, Where, nearest_name

Ints = npt.NDArray[np.int64]
COLUMNS = ("account", "object", "time")
LATEST = 1 << 56  # µs; far behind any clock, and far from overflow
CODES = 1 << 31


@dataclass(frozen=True)
class Actions:
    """A checked table as arrays, int64 [rows]; accounts by their place in `ids` (ascending)."""

    account: Ints
    object: Ints
    time: Ints
    ids: Ints

    @property
    def table(self) -> pa.Table:
        """For an engine."""
        return pa.table({"account": self.account, "object": self.object, "time": self.time})


def actions(account: Ints, object_: Ints, time: Ints) -> pa.Table:
    """The table of three arrays of equal length, int64."""
    return pa.table(
        {name: np.asarray(one, np.int64) for name, one in zip(COLUMNS, (account, object_, time), strict=True)}
    )


def actions_of(graph: EntityGraph, relations: Iterable[str] | None = None) -> pa.Table:
    """Actions of a graph: its relations whose entities are targets (or those named), accounts as the graph's codes.

    An edge gives its first and its last action; what lay between is not in a graph. An object is an entity's code
    behind those of the relations before it; `entities_of` leads back. Raises `InvalidInput` for an unknown relation.
    """
    none = np.zeros(0, np.int64)
    parts: list[tuple[Ints, Ints, Ints]] = [(none, none, none)]
    offset = 0
    for name in _targets(graph, relations):
        edges = graph.relations[name]
        again = edges.last != edges.first
        objects = edges.entity + offset
        parts += [(edges.account, objects, edges.first), (edges.account[again], objects[again], edges.last[again])]
        offset += len(edges.entity_ids)
    return actions(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def entities_of(
    graph: EntityGraph, objects: Ints, relations: Iterable[str] | None = None
) -> tuple[tuple[str, int], ...]:
    """Relation and entity id of objects of `actions_of(graph, relations)`. Raises `IndexError` for others."""
    names = _targets(graph, relations)
    ends = np.cumsum([len(graph.relations[name].entity_ids) for name in names])
    found = []
    for one in np.asarray(objects, np.int64).tolist():
        place = int(np.searchsorted(ends, one, "right"))
        if one < 0 or place >= len(names):
            raise IndexError(f"no object {one} among the targets {', '.join(names) or 'of no relation'}")
        ids = graph.relations[names[place]].entity_ids
        found.append((names[place], int(ids[one - int(ends[place]) + len(ids)])))
    return tuple(found)


def _targets(graph: EntityGraph, relations: Iterable[str] | None) -> list[str]:
    """The relations named, or those whose entities are targets."""
    if relations is None:
        return [name for name, edges in graph.relations.items() if edges.relation.role is Role.TARGET]
    names = list(dict.fromkeys(relations))
    allowed = ", ".join(graph.relations) or "none"
    problems = [
        Problem("coaction.relation", f"the graph has no relation {name!r}", Where(path="relations"),
                allowed=allowed, nearest=nearest_name(name, graph.relations))
        for name in names if name not in graph.relations
    ]  # fmt: skip
    if problems:
        raise InvalidInput(problems)
    return names


def checked(events: pa.Table) -> Actions:
    """The table as arrays; raises `InvalidInput` with all that is wrong with it."""
    if not isinstance(events, pa.Table):
        raise InvalidInput(
            Problem("coaction.table", f"not an Arrow table: {type(events).__name__}", allowed="pyarrow.Table")
        )
    problems: list[Problem] = []
    found: dict[str, Ints] = {}
    for name in COLUMNS:
        at = events.schema.get_all_field_indices(name)
        if len(at) != 1:
            told = "no column" if not at else f"{len(at)} columns"
            near = nearest_name(name, events.schema.names) if not at else ""
            problems.append(Problem("coaction.column", f"{told} {name!r}", Where(path=name), nearest=near,
                                    allowed="account, object, time, each once"))  # fmt: skip
            continue
        problem, values = _column(name, events.column(at[0]))
        problems += [problem] if problem else []
        found[name] = values
    if problems:
        raise InvalidInput(problems)
    codes, ids = _codes(found["account"])
    return Actions(codes, found["object"], found["time"], ids)


def null_of(events: pa.Table, seed: int, *, times: bool = False, within_s: int | None = None) -> pa.Table:
    """The same table by chance: who acted is dealt anew over the rows, by a seed.

    Each account keeps how often it acts, each object how often and when it is acted upon; what goes is who meets whom.
    `times`: the times are dealt anew, too, so that an object keeps only how often it is acted upon (bursts go). With
    `within_s` rows are dealt among those of the same stretch of so many seconds: accounts keep when they are active,
    and so meet as often as people of the same days and hours do; a stricter null.
    """
    rows = checked(events)
    chance = np.random.default_rng(seed)
    if within_s is not None and within_s < 1:
        raise InvalidInput(Problem("coaction.within", f"within_s is {within_s}", Where(path="within_s"), allowed="≥ 1"))
    group = np.zeros(len(rows.time), np.int64) if within_s is None else rows.time // (within_s * 1_000_000)
    place = np.argsort(group, kind="stable")

    def dealt(column: Ints) -> Ints:
        out = np.empty_like(column)
        out[place] = column[np.lexsort((chance.random(len(column)), group))]
        return out

    account = dealt(rows.ids[rows.account])
    return actions(account, rows.object, dealt(rows.time) if times else rows.time)


def _column(name: str, column: pa.ChunkedArray) -> tuple[Problem | None, Ints]:
    """A column as int64, or what is wrong with it."""
    none = np.zeros(0, np.int64)
    where = Where(path=name)
    if not pa.types.is_integer(column.type):
        hint = "cast to µs since 1970 UTC" if name == "time" else "use the keyed ids of the texts, or codes"
        return Problem("coaction.type", f"{name} is {column.type}", where, allowed="int64", hint=hint), none
    if column.null_count:
        first = pc.index(pc.is_null(column), True).as_py()
        hint = "an anonymous action is nobody's: leave such rows out"
        return Problem("coaction.null", f"{column.null_count} nulls, the first in row {first}", where, hint=hint), none
    try:
        values: Ints = pc.cast(column, pa.int64()).to_numpy()
    except pa.ArrowInvalid:
        return Problem("coaction.type", f"{name} does not fit into int64", where, allowed="int64"), none
    if name == "time" and len(values) and (values.min() < 0 or values.max() > LATEST):
        row = int(np.argmax((values < 0) | (values > LATEST)))
        told = f"time {values[row]} in row {row}"
        return Problem("coaction.time", told, where, allowed="µs since 1970 UTC", hint="seconds or nanoseconds?"), none
    return None, values


def _codes(account: Ints) -> tuple[Ints, Ints]:
    """Codes in the order of ids, and the ids."""
    if len(account) and account.min() >= 0 and account.max() < min(CODES, 8 * len(account) + 1024):
        present = np.flatnonzero(np.bincount(account))  # dense already: no sort of all rows
        place = np.zeros(int(account.max()) + 1, np.int64)
        place[present] = np.arange(len(present))
        return place[account], present
    ids, codes = np.unique(account, return_inverse=True)
    return codes.astype(np.int64, copy=False), ids
