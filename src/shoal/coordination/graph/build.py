"""The builder of the entity graph: reads tables of events as they come and keeps the edges of each relation. Hot path.

A builder owns its tables for its whole life and is fed in the order of the journal; what it holds does not depend on
how that was cut into tables, to the bit. Codes of accounts and entities never change, so that labels by code stay true
from one `graph()` to the next. What Shoal itself caused (`cause`), rows without a time, and edges of an account with
itself tie nobody. Knows no journal, clock or disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shoal.coordination.graph.graph import NETWORK_KINDS, EntityGraph
from shoal.coordination.graph.read import ADDRESS_COLUMNS, RelationReader, columns_read, relation_problems
from shoal.coordination.graph.store import NO_KIND, Accounts, Arrays, Bytes, Ties, expect
from shoal.coordination.relations import Relation
from shoal.errors import Corrupt, InvalidInput, Problem, Unsupported, Where
from shoal.events.identity import BatchIds, Hash, Identity
from shoal.events.schema import Kind
from shoal.expressions.frame import Frame, Layout
from shoal.expressions.program import ListLike

Ints = npt.NDArray[np.int64]
FORMAT, VERSION = "shoal.graph", 1
ROWS = 32_768
"""Rows of a table that are read at a time: their columns fit the processor's cache."""
_ALSO = ("time", "type", "cause", "actor", "account", "account_created", "network_kind")


class GraphBuilder:
    """An entity graph that grows with the events that it reads.

    `layout`: the event columns and attributes that relations may name, with their kinds (a pack's `event_columns`).
    Raises `InvalidInput` with all problems of the relations (`relation_problems`), or where the layout has no `time`.
    A builder holds about 50 bytes an edge and entity (up to twice that just after its tables have grown), a graph 40.
    """

    def __init__(
        self,
        relations: Sequence[Relation],
        layout: Layout,
        identity: Identity,
        lists: Mapping[str, ListLike] | None = None,
    ) -> None:
        columns, named = dict(zip(layout.names, layout.kinds, strict=True)), dict(lists or {})
        problems = relation_problems(relations, columns, frozenset(named))
        if columns.get("time") is not Kind.TIME:
            problems.append(Problem("graph.no_time", "the layout has no column 'time'", allowed="a column of times"))
        if problems:
            raise InvalidInput(problems)
        wanted = columns_read(relations, columns, frozenset(named)) | set(_ALSO)
        own = Layout.of({name: kind for name, kind in columns.items() if name in wanted})
        self._reader = RelationReader(relations, own, identity, named)
        self._hash = identity
        self._frame = Frame.empty(own, 0)
        seed = identity.id_of(FORMAT)
        self._accounts = Accounts(seed)
        self._ties = tuple(_ties(one, own, seed) for one in relations)
        self._kind_ids = identity.ids_of(pa.array(NETWORK_KINDS[1:], pa.string()))
        at = own.index
        self._special = np.array([at.get(name, -1) for name in ("account", "actor", "account_created")], np.int64)
        self._subjects = np.array([at[name] for name in self._reader.subjects], np.int64)
        self._read = self._now = 0

    @property
    def relations(self) -> tuple[Relation, ...]:
        """The relations, in their order."""
        return self._reader.relations

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a table that it looks at; others need not be read from a journal."""
        return (*self._reader.layout.names, "seq")

    @property
    def read(self) -> int:
        """How many records of the journal it has seen: the place of the next one."""
        return self._read

    @property
    def loops(self) -> Mapping[str, int]:
        """Rows by relation that would have tied an account to itself, and were left out."""
        return {one.relation.id: one.loops for one in self._ties}

    def update(self, table: pa.Table, *, ids: Hash | None = None, read: int | None = None) -> None:
        """Read a table of events: an event table, or one with attributes as columns; columns that it lacks are null.

        With a column `seq` the table's rows are at those places of the journal, else behind what was read. `ids`: what
        has hashed texts of the table already (a journal frame's). `read`: the journal's place behind the table, where
        records that are no events follow. Raises `InvalidInput` (`graph.column_type`, `graph.column_twice`,
        `graph.no_time`, `graph.seq_order`, `graph.read_order`) and is then as before.
        """
        table = self._checked(table)
        places = _places(table, self._read)
        end = int(places[-1]) + 1 if len(places) else self._read
        if read is not None and read < end:
            message = f"the journal was read up to {read:,}, but the table ends at {end:,}"
            raise InvalidInput(Problem("graph.read_order", message, allowed=f"{end:,} or more"))
        for start in range(0, table.num_rows, ROWS):
            part = table if table.num_rows <= ROWS else table.slice(start, ROWS)
            self._take(part, ids or BatchIds(self._hash), places[start : start + ROWS])
        self._read = end if read is None else read

    def graph(self) -> EntityGraph:
        """The graph of all that was read. Costs a sort of the edges that are new since the last call, and a pass over
        all edges."""
        used = self._accounts.used
        relations = {one.relation.id: one.edges(used) for one in self._ties}
        ids, created = self._accounts.ids[:used].copy(), self._accounts.created[:used].copy()
        return EntityGraph(ids, created, relations, self._read, self._now)

    def touched_since(self, read: int) -> Ints:
        """Account codes with an edge that was first seen at place `read` of the journal or behind, ascending."""
        found = [one.since(read) for one in self._ties]
        return np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)

    def snapshot(self) -> dict[str, npt.NDArray[np.generic]]:
        """The state as named arrays, none of objects; equal histories give equal arrays."""
        used = self._accounts.used
        out: dict[str, npt.NDArray[np.generic]] = {
            "head": np.array([VERSION, self._accounts.seed, self._read, self._now], np.int64),
            "relations": np.array([f"{one.id}:{one.hash}" for one in self.relations], np.str_),
            "accounts": self._accounts.ids[:used].copy(),
            "created": self._accounts.created[:used].copy(),
        }
        for number, one in enumerate(self._ties):
            out |= {f"{number}.{name}": array for name, array in one.snapshot().items()}
        return out

    def restore(self, arrays: Arrays) -> None:
        """Take over a snapshot. Raises `Corrupt` where it is none, `Unsupported` where it is of another version, of
        other relations or of another identity; the builder is then to be thrown away."""
        head = expect(arrays, "head", np.dtype("i8"), (4,))
        if int(head[0]) != VERSION:
            raise Unsupported(f"graph: version {int(head[0])} of a snapshot (this release reads {VERSION})")
        names = arrays.get("relations")
        if names is None or names.dtype.kind != "U" or names.ndim != 1:
            raise Corrupt("graph: the snapshot lacks the names of its relations")
        if int(head[1]) != self._accounts.seed:
            raise Unsupported("graph: the snapshot was made under another identity key")
        if names.tolist() != [f"{one.id}:{one.hash}" for one in self.relations]:
            raise Unsupported("graph: the snapshot was made of other relations: read the journal anew")
        ids = expect(arrays, "accounts", np.dtype("i8"), (None,))
        created = expect(arrays, "created", np.dtype("i8"), (len(ids),))
        if len(np.unique(ids)) != len(ids) or int(head[2]) < 0:
            raise Corrupt("graph: the accounts of the snapshot do not hold together")
        accounts = Accounts(self._accounts.seed)
        accounts.enter(ids)
        accounts.created[: accounts.used] = created
        for number, one in enumerate(self._ties):
            one.restore(arrays, f"{number}.", len(ids))
        self._accounts, self._read, self._now = accounts, int(head[2]), int(head[3])

    def _take(self, part: pa.Table, ids: Hash, places: Ints) -> None:
        frame = self._frame
        frame.fill(part, _Hashed(ids))
        size, layout = frame.size, frame.layout
        known = frame.valid[layout.index["time"], :size] != 0
        times = frame.values[layout.index["time"], :size]
        truths = self._reader.truths(frame)
        if not known.all():
            truths[0, :size][~known], truths[1, :size][~known] = 1, 0
        if known.any():
            self._now = max(self._now, int(times[known].max()))
        held = [self._reader.held(frame, number, truths) for number in range(len(self._ties))]
        codes = self._codes(frame, truths, held, times)
        kind = self._kinds(frame)
        for number, one in enumerate(self._ties):
            if held[number].any():
                entities = self._reader.entities(frame, number)
                one.add(codes[self._reader.subject_of[number]], entities, held[number], times, places, kind)

    def _codes(self, frame: Frame, truths: npt.NDArray[np.int8], held: Sequence[Bytes], times: Ints) -> Ints:
        """Account codes by subject column and row; new accounts are entered in the order of the rows."""
        wanted = np.zeros((len(self._subjects), frame.size), np.uint8)
        for subject, rows in zip(self._reader.subject_of, held, strict=True):
            wanted[subject] |= rows == 1
        codes = np.zeros(wanted.shape, np.int64)
        self._accounts.enter_rows(frame, self._subjects, wanted, truths, self._special, times, codes)
        return codes

    def _kinds(self, frame: Frame) -> Bytes:
        """The network kind of each row, a place in `NETWORK_KINDS`."""
        row = frame.layout.index.get("network_kind")
        if row is None or not frame.valid[row, : frame.size].any():
            return NO_KIND
        values, out = frame.values[row, : frame.size], np.zeros(frame.size, np.uint8)
        for number, kind in enumerate(self._kind_ids.tolist(), 1):
            out[values == kind] = number
        out[frame.valid[row, : frame.size] == 0] = 0
        return out

    def _checked(self, table: pa.Table) -> pa.Table:
        """The table with texts and whole numbers as a frame reads them; all that is wrong with it is told together."""
        problems, layout = [], self._reader.layout
        kinds = {**dict(zip(layout.names, layout.kinds, strict=True)), "seq": Kind.INT}
        names = [name for name in table.column_names if name in kinds]
        if table.num_rows and "time" not in names:
            problems.append(Problem("graph.no_time", "the table has no column 'time'", allowed="a column of times"))
        for name in dict.fromkeys(names):
            if names.count(name) > 1:
                problems.append(Problem("graph.column_twice", f"column {name!r} stands twice"))
                continue
            found, want = table.column(name).type, kinds[name].arrow
            if found != want and not (kinds[name] is Kind.TEXT and _is_text(found)):
                problems.append(Problem("graph.column_type", f"column {name!r} is {found}", allowed=str(want)))
        if problems:
            raise InvalidInput(problems)
        table = table.select(names)
        for name in self._reader.text_columns & set(names):
            if table.column(name).type != pa.string():
                table = table.set_column(table.column_names.index(name), name, table.column(name).cast(pa.string()))
        return table.unify_dictionaries()


class _Hashed:
    """Ids of texts, of each entry of a dictionary once."""

    def __init__(self, ids: Hash) -> None:
        self._ids = ids

    def ids_of(self, texts: pa.Array) -> Ints:
        if not isinstance(texts, pa.DictionaryArray):
            return self._ids.ids_of(texts if texts.type == pa.string() else texts.cast(pa.string()))
        entries = texts.dictionary
        known = self._ids.ids_of(entries if entries.type == pa.string() else entries.cast(pa.string()))
        places = np.asarray(texts.indices.fill_null(0), np.int64)
        out: Ints = known[places] if len(known) else np.zeros(len(texts), np.int64)
        return out


def graph_of_pairs(
    pairs: Mapping[str | Relation, tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]],
) -> EntityGraph:
    """A graph of ids that are there already: by relation (or the id of a soft one) account ids, entity ids and times
    (µs), each int64 [n]. For tests, benchmarks and data that is no journal.

    Raises `InvalidInput` (`graph.pairs`) where arrays are of unequal lengths or not of whole numbers, all together.
    """
    given: dict[Relation, tuple[Ints, Ints, Ints]] = {}
    problems, accounts, now = [], Accounts(0), 0
    for key, arrays in pairs.items():
        relation = key if isinstance(key, Relation) else Relation(key, (key,))
        found = [np.asarray(array) for array in arrays]
        if len(found) != 3 or len({array.shape for array in found}) != 1 or found[0].ndim != 1:
            message = f"arrays of shapes {', '.join(str(array.shape) for array in found)}"
            problems.append(Problem("graph.pairs", message, _at(relation), "three of one length"))
        elif any(array.dtype.kind not in "iu" and len(array) for array in found):
            words = ", ".join(str(array.dtype) for array in found)
            problems.append(Problem("graph.pairs", f"arrays of {words}", _at(relation), "int64"))
        elif any(relation.id == other.id for other in given):
            problems.append(Problem("graph.relation_taken", "two relations of one name", _at(relation)))
        else:
            whole = [np.ascontiguousarray(array, np.int64) for array in found]
            given[relation] = (whole[0], whole[1], whole[2])
    if problems:
        raise InvalidInput(problems)
    relations = []
    for relation, (subjects, entities, times) in given.items():
        ties, size = Ties(relation, 0), len(subjects)
        ties.add(accounts.enter(subjects), entities, np.ones(size, np.uint8), times, np.arange(size), NO_KIND)
        relations.append(ties)
        now = max(now, int(times.max(initial=0)))
    made = {one.relation.id: one.edges(accounts.used) for one in relations}
    used = accounts.used
    read = sum(len(times) for _, _, times in given.values())
    return EntityGraph(accounts.ids[:used].copy(), accounts.created[:used].copy(), made, read, now)


def _ties(relation: Relation, layout: Layout, seed: int) -> Ties:
    kinds = "network_kind" in layout.index and bool(ADDRESS_COLUMNS & set(relation.columns))
    return Ties(relation, seed, kinds=kinds)


def _at(relation: Relation) -> Where:
    return Where(path=f"relations.{relation.id}")


def _is_text(found: pa.DataType) -> bool:
    own = found.value_type if pa.types.is_dictionary(found) else found
    return bool(pa.types.is_string(own) or pa.types.is_large_string(own) or pa.types.is_string_view(own))


def _places(table: pa.Table, read: int) -> Ints:
    """The place of each row in the journal."""
    if "seq" not in table.column_names:
        return np.arange(read, read + table.num_rows, dtype=np.int64)
    column = table.column("seq")
    places: Ints = np.asarray(column.combine_chunks().fill_null(-1), np.int64)
    if len(places) and (column.null_count or places[0] < read or np.any(np.diff(places) <= 0)):
        message = "the rows are not behind what was read, in the order of the journal"
        raise InvalidInput(Problem("graph.seq_order", message, allowed=f"ascending from {read:,}, without nulls"))
    return places
