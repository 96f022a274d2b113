"""The builder of the entity graph against its slow twin, and its laws: the cut does not matter, nor does a restart."""

import io
import itertools
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.graph_oracle import plain_accounts, plain_edges
from shoal.coordination.graph import (
    NETWORK_KINDS,
    GraphBuilder,
    as_of,
    default_columns,
    default_relations,
    edges_of,
    graph_of_pairs,
    with_edges,
)
from shoal.coordination.relations import Relation, Role, Strength
from shoal.errors import Corrupt, InvalidInput, Unsupported
from shoal.events.identity import BatchIds, Identity
from shoal.events.schema import Kind
from shoal.expressions.frame import Layout
from shoal.packs.load import load_pack
from shoal.ranges.lists import NamedList

IDENTITY = Identity(bytes(range(16)))
COLUMNS = {
    "time": Kind.TIME, "type": Kind.TEXT, "cause": Kind.TEXT, "actor": Kind.TEXT, "account": Kind.TEXT,
    "account_created": Kind.TIME, "ip": Kind.TEXT, "asn": Kind.INT, "client": Kind.TEXT, "owner": Kind.TEXT,
    "network_kind": Kind.TEXT, "paid": Kind.BOOL, "friend": Kind.TEXT,
}  # fmt: skip
LAYOUT = Layout.of(COLUMNS)
RELATIONS = (
    Relation("ip", ("ip",)),
    Relation("build", ("asn", "client"), "type = 'login' OR paid"),
    Relation("asn", ("asn",)),
    Relation("owned", ("ip",), subject="owner", strength=Strength.HARD),
    Relation("friend", ("friend",), role=Role.TARGET),
)
PLAIN = {
    "ip": (("ip",), "actor", lambda row: True),
    "build": (("asn", "client"), "actor", lambda row: row.get("type") == "login" or row.get("paid") is True),
    "asn": (("asn",), "actor", lambda row: True),
    "owned": (("ip",), "owner", lambda row: True),
    "friend": (("friend",), "actor", lambda row: True),
}
NAMES = ["ann", "bob", "cyd", "dan"]


def some(values: Any) -> Any:
    return st.none() | st.sampled_from(values)


ROWS = st.lists(
    st.fixed_dictionaries({
        "time": some([-7, 0, 10, 20, 30]), "type": some(["login", "account.created", "x"]),
        "cause": some([None, "user", "shoal"]), "actor": some(NAMES), "account": some(NAMES),
        "account_created": some([-3, 5, 15]), "ip": some(["1.1.1.1", "2.2.2.2", ""]), "asn": some([0, 7, -1]),
        "client": some(["web", "app"]), "owner": some(NAMES), "network_kind": some(["home", "mobile", "odd"]),
        "paid": some([True, False]), "friend": some(NAMES),
    }),
    max_size=40,
)  # fmt: skip


def table_of(rows: list[dict[str, Any]], columns: dict[str, Kind] = COLUMNS) -> pa.Table:
    return pa.table({name: pa.array([row.get(name) for row in rows], kind.arrow) for name, kind in columns.items()})


def builder(relations: tuple[Relation, ...] = RELATIONS, identity: Identity = IDENTITY) -> GraphBuilder:
    return GraphBuilder(relations, LAYOUT, identity)


def edges_by_id(graph: Any, name: str) -> dict[tuple[int, int], tuple[int, int, int]]:
    edges = graph.relations[name]
    pairs = zip(graph.account_ids[edges.account].tolist(), edges.entity_ids[edges.entity].tolist(), strict=True)
    return dict(
        zip(pairs, zip(edges.first.tolist(), edges.last.tolist(), edges.count.tolist(), strict=True), strict=True)
    )


@cache
def entity_id(name: str, entity: tuple[Any, ...]) -> int:
    """The id of an entity as the reader makes it, through a table of one row."""
    one = GraphBuilder((next(r for r in RELATIONS if r.id == name),), LAYOUT, IDENTITY)
    columns = PLAIN[name][0]
    row = dict(zip(columns, entity, strict=True)) | {PLAIN[name][1]: "nobody", "time": 1, "type": "login", "paid": True}
    one.update(table_of([row]))
    return int(one.graph().relations[name].entity_ids[0])


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_the_graph_is_that_of_the_slow_twin(rows: list[dict[str, Any]]) -> None:
    made = builder()
    made.update(table_of(rows))
    graph = made.graph()
    plain, ids = plain_edges(rows, PLAIN), {name: IDENTITY.id_of(name) for name in NAMES}
    for name, edges in plain.items():
        want = {
            (ids[account], entity_id(name, entity)): (first, last, count)
            for (account, entity), (first, last, count, _) in edges.items()
        }
        assert edges_by_id(graph, name) == want
    created = zip(graph.account_ids.tolist(), graph.created.tolist(), strict=True)
    assert list(created) == [(ids[account], time) for account, time in plain_accounts(rows, PLAIN).items()]
    assert graph.read == len(rows)


@settings(max_examples=60, deadline=None)
@given(ROWS, st.lists(st.integers(0, 40), max_size=4))
def test_the_cut_into_tables_and_restarts_do_not_matter(rows: list[dict[str, Any]], cuts: list[int]) -> None:
    whole, parts, middle = builder(), builder(), builder()
    whole.update(table_of(rows))
    bounds = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    for low, high in itertools.pairwise(bounds):
        parts.update(table_of(rows[low:high]))
        parts.graph()
        middle.update(table_of(rows[low:high]))
        file = io.BytesIO()
        np.savez(file, **middle.snapshot())
        file.seek(0)
        middle = builder()
        with np.load(file, allow_pickle=False) as stored:
            middle.restore(stored)
    for other in (parts, middle):
        for name, array in whole.snapshot().items():
            assert array.dtype == other.snapshot()[name].dtype
            np.testing.assert_array_equal(array, other.snapshot()[name], name)
        one, two = whole.graph(), other.graph()
        assert (one.read, one.now) == (two.read, two.now)
        np.testing.assert_array_equal(one.account_ids, two.account_ids)
        for name, edges in one.relations.items():
            for field in ("entity_ids", "account_start", "entity", "first", "last", "count"):
                np.testing.assert_array_equal(getattr(edges, field), getattr(two.relations[name], field))


@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(0, 40))
def test_accounts_with_new_edges_are_told(rows: list[dict[str, Any]], cut: int) -> None:
    made = builder()
    made.update(table_of(rows[:cut]))
    before = made.graph()
    made.update(table_of(rows[cut:]))
    graph = made.graph()
    np.testing.assert_array_equal(graph.account_ids[: before.accounts], before.account_ids)
    want = {
        IDENTITY.id_of(account) for edges in plain_edges(rows, PLAIN).values() for (account, _), edge in edges.items()
        if edge[3] >= before.read
    }  # fmt: skip
    assert set(graph.account_ids[made.touched_since(before.read)].tolist()) == want
    assert made.touched_since(made.read).tolist() == []
    for name, edges in before.relations.items():
        np.testing.assert_array_equal(graph.relations[name].entity_ids[: len(edges.entity_ids)], edges.entity_ids)


def test_a_large_table_grows_the_tables_and_keeps_every_edge() -> None:
    draw = np.random.default_rng(1)
    size = 150_000
    accounts, addresses = draw.integers(0, 40_000, size), draw.integers(0, 30_000, size)
    times = draw.integers(0, 10**12, size)
    table = pa.table({
        "time": times, "actor": pa.array([f"a{i}" for i in accounts]), "ip": pa.array([f"i{i}" for i in addresses]),
    })  # fmt: skip
    made = GraphBuilder((Relation("ip", ("ip",)),), LAYOUT, IDENTITY)
    made.update(table.slice(0, 50_000))
    made.graph()
    made.update(table.slice(50_000))
    graph, edges = made.graph(), made.graph().relations["ip"]
    key = accounts * 2**20 + addresses
    order = np.lexsort((times, key))
    starts = np.flatnonzero(np.diff(key[order], prepend=-1))
    assert edges.size == len(starts)
    assert graph.accounts == len(np.unique(accounts))
    ids = IDENTITY.ids_of(pa.array([f"a{i}" for i in range(40_000)]))
    codes, entities = graph.codes(ids), IDENTITY.ids_of(pa.array([f"i{i}" for i in range(30_000)]))
    place = {entity: code for code, entity in enumerate(edges.entity_ids.tolist())}
    want = sorted(
        (int(codes[account]), place[int(entities[address])], int(first))
        for account, address, first in zip(accounts[order][starts], addresses[order][starts], times[order][starts],
                                           strict=True)
    )  # fmt: skip
    found = zip(edges.account.tolist(), edges.entity.tolist(), edges.first.tolist(), strict=True)
    assert list(found) == want  # which also says: sorted by account and entity
    assert int(edges.count.sum()) == size


def test_codes_of_unknown_accounts_are_minus_one() -> None:
    graph = graph_of_pairs({"ip": ([5, 3], [1, 1], [0, 0])})
    assert graph.codes(np.array([3, 4, 5])).tolist() == [1, -1, 0]
    assert graph_of_pairs({}).codes(np.array([3])).tolist() == [-1]


def test_texts_may_come_hashed_as_dictionaries_or_large() -> None:
    rows = [{"time": 1, "actor": name, "ip": ip, "type": "login", "asn": 1, "client": "web"}
            for name, ip in [("ann", "1.1.1.1"), ("bob", None), ("cyd", "1.1.1.1"), (None, "2.2.2.2")]]  # fmt: skip
    plain = table_of(rows)
    texts = ("actor", "ip", "type", "client")
    dictionary = plain
    large = plain
    for name in texts:
        at = plain.column_names.index(name)
        dictionary = dictionary.set_column(at, name, plain.column(name).dictionary_encode())
        large = large.set_column(at, name, plain.column(name).cast(pa.large_string()))
    chunked = pa.concat_tables([dictionary.slice(0, 1), dictionary.slice(1)])
    want = builder()
    want.update(plain)
    for table, ids in ((dictionary, None), (large, None), (chunked, None), (plain, BatchIds(IDENTITY))):
        made = builder()
        made.update(table, ids=ids)
        for name, array in want.snapshot().items():
            np.testing.assert_array_equal(array, made.snapshot()[name], name)


def test_the_network_kind_of_an_address_is_the_last_one_seen() -> None:
    made = builder()
    made.update(table_of([
        {"time": 1, "actor": "ann", "ip": "1.1.1.1", "network_kind": "home"},
        {"time": 2, "actor": "bob", "ip": "1.1.1.1", "network_kind": "vpn"},
        {"time": 3, "actor": "bob", "ip": "1.1.1.1"},
        {"time": 4, "actor": "bob", "ip": "2.2.2.2", "network_kind": "strange"},
    ]))  # fmt: skip
    edges = made.graph().relations["ip"]
    assert edges.kinds is not None
    assert [NETWORK_KINDS[kind] for kind in edges.kinds.tolist()] == ["vpn", "unknown"]
    assert made.graph().relations["asn"].kinds is None


def test_conditions_may_ask_lists() -> None:
    lists = {"ours": NamedList.of("ours", ["1.1.1.1"])}
    made = GraphBuilder((Relation("ip", ("ip",), "NOT ip IN list('ours')"),), LAYOUT, IDENTITY, lists)
    made.update(table_of([{"time": 1, "actor": "ann", "ip": ip} for ip in ("1.1.1.1", "2.2.2.2")]))
    assert made.graph().relations["ip"].size == 1


def test_an_account_tied_to_itself_is_no_edge_and_is_counted() -> None:
    made = builder()
    made.update(table_of([{"time": 1, "actor": "ann", "friend": "ann"}, {"time": 1, "actor": "ann", "friend": "bob"}]))
    assert made.graph().relations["friend"].size == 1
    assert made.loops["friend"] == 1


def test_records_that_are_no_events_move_the_place_on() -> None:
    made = builder()
    table = table_of([{"time": 5, "actor": "ann", "ip": "a"}]).append_column("seq", pa.array([40]))
    made.update(table, read=50)
    assert (made.read, made.graph().read, made.graph().now) == (50, 50, 5)
    assert made.touched_since(40).tolist() == [0]
    assert made.touched_since(41).tolist() == []
    made.update(table_of([]), read=60)
    assert made.read == 60


def test_the_default_relations_are_those_of_the_built_in_pack() -> None:
    pack = load_pack("file_sharing")
    own = {one.id: one for one in default_relations()}
    for relation in pack.relations:
        assert (relation.hash, relation.strength, relation.role) == (
            own[relation.id].hash, own[relation.id].strength, own[relation.id].role)  # fmt: skip
    GraphBuilder(default_relations(), Layout.of(default_columns()), IDENTITY)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"subject": "ip_"}, "relation.unknown_column"),
        ({"columns": ("ipp",)}, "did you mean 'ip'"),
        ({"columns": ()}, "relation.no_columns"),
        ({"columns": ("ip", "ip")}, "relation.column_twice"),
        ({"columns": ("time",)}, "relation.column_kind"),
        ({"subject": "asn"}, "relation.column_kind"),
        ({"cap": 0}, "relation.cap"),
        ({"on": "type ="}, "expression."),
        ({"on": "asn + 1"}, "expression.condition_kind"),
        ({"on": "typ = 'x'"}, "did you mean 'type'"),
        ({"on": "ip IN list('nowhere')"}, "expression."),
        ({"id": "asn"}, "relation.duplicate"),
    ],
)
def test_relations_that_do_not_compile_are_told(change: dict[str, Any], says: str) -> None:
    fields = {"id": "bad", "columns": ("ip",)} | change
    with pytest.raises(InvalidInput, match=r".") as caught:
        builder((RELATIONS[2], Relation(**fields)))
    assert says in str(caught.value)
    assert len(caught.value.problems) == 1


def test_all_problems_of_relations_are_told_together() -> None:
    with pytest.raises(InvalidInput) as caught:
        GraphBuilder((Relation("a", ("x",), "y"), Relation("b", ("z",))), Layout.of({"actor": Kind.TEXT}), IDENTITY)
    assert len(caught.value.problems) == 4  # three columns, and no time


ONE = {"time": 1, "actor": "ann", "ip": "a"}


@pytest.mark.parametrize(
    ("table", "slug"),
    [
        (pa.table({"actor": ["ann"], "ip": ["a"]}), "graph.no_time"),
        (pa.table({"time": ["1"], "actor": ["ann"]}), "graph.column_type"),
        (pa.table({"time": [1], "actor": [7]}), "graph.column_type"),
        (pa.table({"time": [1], "asn": [7.5]}), "graph.column_type"),
        (pa.table([pa.array([1]), pa.array([2])], names=["time", "time"]), "graph.column_twice"),
        (pa.table({"time": [1, 1], "seq": [4, 4]}), "graph.seq_order"),
        (pa.table({"time": [1, 1], "seq": [4, None]}), "graph.seq_order"),
        (pa.table({"time": [1, 1], "seq": [0, 1]}), "graph.seq_order"),  # read already
    ],
)
def test_tables_that_are_no_events_are_refused_and_change_nothing(table: pa.Table, slug: str) -> None:
    made = builder()
    made.update(table_of([ONE]))
    before = made.snapshot()
    with pytest.raises(InvalidInput, match=slug):
        made.update(table)
    for name, array in before.items():
        np.testing.assert_array_equal(array, made.snapshot()[name])


def test_a_place_before_the_tables_end_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"graph\.read_order"):
        builder().update(table_of([ONE, ONE]), read=1)


def _broken(name: str, value: Any) -> Any:
    def change(arrays: dict[str, Any]) -> None:
        if value is None:
            del arrays[name]
        elif callable(value):
            arrays[name] = value(arrays[name].copy())
        else:
            arrays[name] = value

    return change


def _set(place: Any, value: int) -> Any:
    def change(array: Any) -> Any:
        array[place] = value
        return array

    return change


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (_broken("head", None), Corrupt),
        (_broken("head", lambda a: a[:3]), Corrupt),
        (_broken("head", _set(0, 9)), Unsupported),
        (_broken("head", _set(1, 9)), Unsupported),
        (_broken("head", _set(2, -1)), Corrupt),
        (_broken("relations", None), Corrupt),
        (_broken("relations", np.array([1])), Corrupt),
        (_broken("relations", lambda a: a[:1]), Unsupported),
        (_broken("accounts", lambda a: a.astype(np.float64)), Corrupt),
        (_broken("accounts", _set(0, 0)), None),
        (_broken("accounts", lambda a: np.zeros_like(a)), Corrupt),
        (_broken("created", lambda a: a[:1]), Corrupt),
        (_broken("0.edges", None), Corrupt),
        (_broken("0.edges", lambda a: a[:, :4]), Corrupt),
        (_broken("0.edges", _set((0, 0), -1)), Corrupt),
        (_broken("0.edges", _set((0, 0), 9 << 32)), Corrupt),
        (_broken("0.edges", _set((0, 0), 1 << 31)), Corrupt),
        (_broken("0.edges", _set((0, 1), 10**9)), Corrupt),
        (_broken("0.edges", _set((0, 3), 0)), Corrupt),
        (_broken("0.edges", _set((0, 4), 10**9)), Corrupt),
        (_broken("0.edges", lambda a: a[[0, 0]]), Corrupt),
        (_broken("0.entities", lambda a: np.zeros_like(a)), Corrupt),
        (_broken("0.entities", lambda a: a[:1]), Corrupt),
        (_broken("0.kinds", None), Corrupt),
        (_broken("0.loops", _set(0, -1)), Corrupt),
    ],
)
def test_snapshots_that_do_not_hold_together_are_refused(change: Any, error: type[Exception] | None) -> None:
    made = builder()
    made.update(table_of([{"time": 1, "actor": name, "ip": ip} for name, ip in [("ann", "a"), ("bob", "b")]]))
    arrays = made.snapshot()
    change(arrays)
    if error is None:
        builder().restore(arrays)
        return
    with pytest.raises(error, match="graph"):
        builder().restore(arrays)


def test_a_snapshot_of_another_identity_is_refused() -> None:
    with pytest.raises(Unsupported, match="identity"):
        builder(identity=Identity(bytes(16))).restore(builder().snapshot())


@settings(max_examples=60, deadline=None)
@given(ROWS, st.sampled_from([-8, 0, 10, 25, 40]))
def test_the_graph_as_of_a_time_shows_nothing_of_later(rows: list[dict[str, Any]], time: int) -> None:
    made = builder()
    made.update(table_of(rows))
    past = as_of(made, time)
    earlier = plain_edges([row if row["time"] is not None and row["time"] <= time else {} for row in rows], PLAIN)
    for name, edges in past.relations.items():
        found = edges_by_id(past, name)
        assert len(found) == len(earlier[name])
        assert sorted(first for first, _, _ in found.values()) == sorted(edge[0] for edge in earlier[name].values())
        assert all(first <= last <= time for first, last, _ in found.values())
        assert sum(count for _, _, count in found.values()) <= sum(edge[2] for edge in earlier[name].values())
        assert len(edges.account_start) == past.accounts + 1
    assert np.all((past.created <= time) | (past.created == -1))
    np.testing.assert_array_equal(past.account_ids, made.graph().account_ids)


def test_derived_edges_join_a_graph() -> None:
    graph = graph_of_pairs({"ip": ([5, 3, 4], [1, 1, 1], [0, 0, 0])})
    own = Relation("folders", ("folders",))
    edges = edges_of(graph, own, np.array([2, 0, 2]), np.array([9, 9, 9]), np.array([3, 1, 7]))
    grown = with_edges(graph, edges)
    assert edges_by_id(grown, "folders") == {(4, 9): (3, 7, 2), (5, 9): (1, 1, 1)}
    with pytest.raises(InvalidInput, match=r"graph\.relation_taken"):
        with_edges(grown, edges)
    with pytest.raises(InvalidInput, match=r"graph\.edges"):
        with_edges(graph_of_pairs({}), edges)
    with pytest.raises(InvalidInput, match=r"graph\.pairs"):
        edges_of(graph, own, np.array([3]), np.array([9]), np.array([3]))
    with pytest.raises(InvalidInput, match=r"graph\.pairs"):
        edges_of(graph, own, np.array([3]), np.array([9, 9]), np.array([3]))


def test_pairs_of_unequal_lengths_or_kinds_are_refused_together() -> None:
    with pytest.raises(InvalidInput) as caught:
        graph_of_pairs({"a": ([1], [1, 2], [0]), "b": ([1.5], [1], [0]), "c": ([1], [2], [3])})
    assert [problem.where.path for problem in caught.value.problems] == ["relations.a", "relations.b"]


def test_one_entity_with_everyone_and_one_account_with_everything() -> None:
    many = np.arange(5_000)
    graph = graph_of_pairs(
        {"hub": (many, np.zeros(5_000, np.int64), many), "all": (np.zeros(5_000, np.int64), many, many)}
    )
    assert np.diff(graph.relations["hub"].entity_start).tolist() == [5_000]
    assert int(np.diff(graph.relations["all"].account_start).max()) == 5_000
    assert graph.relations["all"].account_start[-1] == 5_000
    assert graph_of_pairs({"none": ([], [], [])}).relations["none"].size == 0
