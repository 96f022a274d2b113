"""Sets of things by owner: what an account holds, how it files it, who comes to a link.

`Sets` is a CSR of owners against items, both keyed 64-bit ids, built from pairs or from event tables: the contents that
an account uploaded, the paths of its folders (all from the root to each folder; where no folder is told, the shapes of
its file names), the accounts that came to a link. Immutable; knows no similarity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoal.coordination.graph import Edges, EntityGraph
from shoal.errors import InvalidInput, Problem, Where
from shoal.events.attributes import extract
from shoal.events.identity import Hash
from shoal.events.schema import Kind
from shoal.events.shapes import name_shape

Ints = npt.NDArray[np.int64]
MOST_DEPTH = 12
"""Folders further down say no more than those above them."""
LONGEST_PATH = 1_024


@dataclass(frozen=True)
class Sets:
    """`owner` int64 [sets]: ids, ascending. Set s holds `item[start[s]:start[s + 1]]`, int64 ids, ascending, each once.
    `first`, `last` int64 [sets]: µs UTC of its first and last event, 0 where they are not known."""

    owner: Ints
    start: Ints
    item: Ints
    first: Ints
    last: Ints

    @property
    def size(self) -> int:
        """Number of sets."""
        return len(self.owner)

    @property
    def sizes(self) -> Ints:
        """Items of each set, int64 [sets]."""
        return np.diff(self.start)

    def of(self, owner: int) -> Ints:
        """The items of one owner; none where it is not known."""
        at = int(np.searchsorted(self.owner, owner))
        if at >= self.size or self.owner[at] != owner:
            return np.zeros(0, np.int64)
        return self.item[self.start[at] : self.start[at + 1]]


def make_sets(owner: Ints, item: Ints, time: Ints | None = None) -> Sets:
    """Sets from pairs (owner, item), int64 ids [n], in any order and repeated at will; `time` int64 [n], µs.
    Raises `InvalidInput` (`sets.length`)."""
    times = np.zeros(len(owner), np.int64) if time is None else time
    if not len(owner) == len(item) == len(times):
        lengths = f"{len(owner)} owners, {len(item)} items, {len(times)} times"
        raise InvalidInput(Problem("sets.length", f"columns of unequal lengths: {lengths}"))
    if not len(owner):
        none = np.zeros(0, np.int64)
        return Sets(none, np.zeros(1, np.int64), none, none, none)
    order = np.lexsort((item, owner))
    owner, item, times = owner[order], item[order], times[order]
    begins = np.flatnonzero(np.r_[True, owner[1:] != owner[:-1]])
    first, last = np.minimum.reduceat(times, begins), np.maximum.reduceat(times, begins)
    new = np.r_[True, (owner[1:] != owner[:-1]) | (item[1:] != item[:-1])]
    who, start = np.unique(owner[new], return_index=True)
    return Sets(who, np.append(start, int(new.sum())).astype(np.int64), item[new], first, last)


def sets_of_relation(graph: EntityGraph, edges: Edges, *, by_entity: bool = False) -> Sets:
    """The sets of a relation: each account's entities, or with `by_entity` each entity's accounts."""
    account, entity = graph.account_ids[edges.account], edges.entity_ids[edges.entity]
    owner, item = (entity, account) if by_entity else (account, entity)
    both = np.concatenate([edges.first, edges.last])
    return make_sets(np.tile(owner, 2), np.tile(item, 2), both)


def file_sets(tables: pa.Table | Sequence[pa.Table], identity: Hash) -> Sets:
    """Each account's contents: `file_sha256` of what it uploaded or changed."""
    rows = [_rows(table, ("file.uploaded", "file.modified"), ("actor", "file_sha256")) for table in _given(tables)]
    return _joined([(identity.ids_of(t["actor"]), identity.ids_of(t["file_sha256"]), _times(t)) for t in rows])


def visitor_sets(tables: pa.Table | Sequence[pa.Table], identity: Hash) -> Sets:
    """Each link's visitors: the signed-in accounts that downloaded from it, or visited it."""
    rows = [_rows(table, ("link.downloaded", "link.visited"), ("link", "actor")) for table in _given(tables)]
    return _joined([(identity.ids_of(t["link"]), identity.ids_of(t["actor"]), _times(t)) for t in rows])


def link_owners(tables: pa.Table | Sequence[pa.Table], identity: Hash) -> tuple[Ints, Ints]:
    """Links and who made each: (link ids ascending, owner ids), int64 [links]; the first owner told counts."""
    links, owners, times = [], [], []
    for table in _given(tables):
        rows = _rows(table, ("link.created", "link.visited", "link.downloaded"), ("link", "owner"))
        links.append(identity.ids_of(rows["link"]))
        owners.append(identity.ids_of(rows["owner"]))
        times.append(_times(rows))
    link, owner, time = (np.concatenate(part) if part else np.zeros(0, np.int64) for part in (links, owners, times))
    order = np.lexsort((owner, time, link))
    found, first = np.unique(link[order], return_index=True)
    return found, owner[order][first]


def folder_sets(tables: pa.Table | Sequence[pa.Table], identity: Hash) -> Sets:
    """Each account's folder tree: all paths from the root to each folder that it uploads into (`attributes.folder`,
    parts apart by `/`), or, for an upload without one, the shape of its file name."""
    found = []
    for table in _given(tables):
        if "folder" not in table.column_names:
            table = extract(table, {"folder": ("folder", Kind.TEXT)})
        rows = _rows(table, ("file.uploaded",), ("actor",), ("folder", "file_name"))
        texts = pc.coalesce(rows["folder"], _name_forms(rows["file_name"])).dictionary_encode()
        paths = [_paths(text) for text in texts.dictionary.to_pylist()]
        names = sorted({path for of in paths for path in of})
        ids = dict(zip(names, identity.ids_of(pa.array(names, pa.string())).tolist(), strict=True))
        each = [np.array([ids[path] for path in of], np.int64) for of in paths] + [np.zeros(0, np.int64)]
        which = np.asarray(texts.indices.fill_null(-1), np.int64)
        counts = np.array([len(one) for one in each])[which]
        owner, time = identity.ids_of(rows["actor"]), _times(rows)
        items = np.concatenate([each[at] for at in which.tolist()]) if len(which) else np.zeros(0, np.int64)
        found.append((np.repeat(owner, counts), items, np.repeat(time, counts)))
    return _joined(found)


def _paths(text: str) -> list[str]:
    """`/a/b` → `/a`, `/a/b`; a form of a file name (`*…`) stands for itself."""
    if text.startswith("*"):
        return [text]
    parts = [part for part in text[:LONGEST_PATH].strip().split("/") if part][:MOST_DEPTH]
    return ["/" + "/".join(parts[: at + 1]) for at in range(len(parts))]


def _name_forms(names: pa.Array) -> pa.Array:
    """`*` and the shape of a file's name with its ending as it is."""
    found = names.dictionary_encode()
    forms = []
    for name in found.dictionary.to_pylist():
        stem, dot, ending = name.rpartition(".")
        forms.append(f"*{name_shape(stem if dot else name) or ''}.{ending.lower()[:8] if dot else ''}")
    return pa.array(forms, pa.string()).take(found.indices)


def _given(tables: pa.Table | Sequence[pa.Table]) -> list[pa.Table]:
    given = [tables] if isinstance(tables, pa.Table) else list(tables)
    problems = []
    for number, table in enumerate(given):
        for name in ("type", "time"):
            if name not in table.column_names:
                where = Where(path=f"tables.{number}")
                problems.append(
                    Problem("sets.no_column", f"the table has no column {name!r}", where, hint="an event table")
                )
    if problems:
        raise InvalidInput(problems)
    return given


def _rows(
    table: pa.Table, types: tuple[str, ...], needed: tuple[str, ...], beside: tuple[str, ...] = ()
) -> dict[str, pa.Array]:
    """Rows of some types in which the needed columns are known, as one array a column."""
    kinds = pc.is_in(table.column("type").cast(pa.string()), pa.array(types))
    for name in needed:
        kinds = pc.and_(kinds, table.column(name).is_valid() if name in table.column_names else False)
    rows = table.filter(pc.fill_null(kinds, False))
    out = {"time": _one(rows.column("time")).fill_null(0)}
    for name in (*needed, *beside):
        out[name] = (
            _one(rows.column(name)).cast(pa.string())
            if name in rows.column_names
            else pa.nulls(rows.num_rows, pa.string())
        )
    return out


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _times(rows: dict[str, pa.Array]) -> Ints:
    return np.asarray(rows["time"], np.int64)


def _joined(parts: Sequence[tuple[Ints, Ints, Ints]]) -> Sets:
    if not parts:
        return make_sets(np.zeros(0, np.int64), np.zeros(0, np.int64))
    owner, item, time = (np.concatenate(column) for column in zip(*parts, strict=True))
    return make_sets(owner, item, time)
