"""MinHash, bands and the exact comparison against slow twins; popular things join nobody; bad input."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.content_oracle import all_pairs, signature
from shoal.coordination.content import (
    ContentSettings,
    Sets,
    file_sets,
    folder_edges,
    folder_sets,
    link_owners,
    make_sets,
    minhash,
    sets_of_relation,
    similar,
    visitor_edges,
    visitor_sets,
)
from shoal.coordination.content.similar import MOST, MOST_ITEM, ONE_HAND, exact, rare_only
from shoal.coordination.graph import Edges, EntityGraph
from shoal.coordination.relations import Relation
from shoal.errors import InvalidInput
from shoal.events.identity import Identity

IDENTITY = Identity(b"0123456789abcdef")
collections = st.dictionaries(
    st.integers(-(2**63), 2**63 - 1), st.sets(st.integers(-40, 40), max_size=12), min_size=0, max_size=14
)


def _sets(given_sets: dict[int, set[int]]) -> Sets:
    pairs = [(owner, item) for owner, items in given_sets.items() for item in items]
    owner, item = (
        (np.array(part, np.int64) for part in zip(*pairs, strict=True)) if pairs else (np.zeros(0, np.int64),) * 2
    )
    return make_sets(owner, item)


def _graph(accounts: list[int]) -> EntityGraph:
    ids = np.array(sorted(accounts), np.int64)
    return EntityGraph(ids, np.full(len(ids), -1, np.int64), {})


@settings(max_examples=60, deadline=None)
@given(collections)
def test_signatures_are_the_slow_twins(given_sets: dict[int, set[int]]) -> None:
    sets = _sets(given_sets)
    rng = np.random.default_rng(1)
    multiply = (rng.integers(1, 1 << 63, 9, np.uint64) * np.uint64(2) + np.uint64(1)).tolist()
    add = rng.integers(0, 1 << 63, 9, np.uint64).tolist()
    found = minhash(sets, 9)
    for at, owner in enumerate(sets.owner.tolist()):
        assert found[at].tolist() == signature(given_sets[owner], multiply, add)


@settings(max_examples=80, deadline=None)
@given(collections, st.integers(2, 6), st.integers(1, 3))
def test_exact_comparison_is_the_slow_twins(given_sets: dict[int, set[int]], cap: int, least: int) -> None:
    given_sets = {owner: items for owner, items in given_sets.items() if items}
    sets = _sets(given_sets)
    expected = all_pairs(given_sets, cap, 0.0, least, ONE_HAND, MOST_ITEM)
    rare, place, _ = rare_only(sets, cap, 0.0, least)
    left, right = np.triu_indices(rare.size, 1)
    shared, alike, llr = exact(rare, left.astype(np.int64), right.astype(np.int64), sets.size)
    found = {}
    for at in np.flatnonzero(shared).tolist():
        owners = sets.owner[place[left[at]]], sets.owner[place[right[at]]]
        found[int(owners[0]), int(owners[1])] = (int(shared[at]), alike[at], llr[at])
    assert found.keys() == expected.keys()
    for pair, (count, similarity, ratio) in expected.items():
        assert found[pair][0] == count
        assert found[pair][1:] == pytest.approx((similarity, ratio), rel=1e-9, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(collections)
def test_what_is_found_is_true_and_what_is_plainly_alike_is_found(given_sets: dict[int, set[int]]) -> None:
    given_sets = {owner: items for owner, items in given_sets.items() if items}
    rules = ContentSettings(cap=1_000, neighbours=1_000)
    expected = all_pairs(given_sets, 1_000, rules.cap_share, rules.least_items, ONE_HAND, MOST_ITEM)
    found = similar(_sets(given_sets), rules)
    pairs = list(zip(found.sets.owner[found.left].tolist(), found.sets.owner[found.right].tolist(), strict=True))
    for pair, count, alike, llr in zip(pairs, found.shared, found.similarity, found.llr, strict=True):
        assert expected[pair][0] == count
        assert expected[pair][1:] == pytest.approx((alike, llr), rel=1e-9) or expected[pair][2] > MOST == llr
    for (one, other), (count, alike, llr) in expected.items():
        same = given_sets[one] == given_sets[other]
        if same and count >= rules.least_shared and alike >= rules.similarity and llr > 0:
            assert (one, other) in pairs


def test_agreement_estimates_similarity() -> None:
    rng = np.random.default_rng(3)
    for similarity in (0.2, 0.5, 0.8):
        common = round(300 * 2 * similarity / (1 + similarity))
        base = rng.integers(0, 1 << 60, 600 - common)
        sets = _sets({1: set(base[:300].tolist()), 2: set(base[300 - common :].tolist())})
        one, other = minhash(sets, 2_000)
        assert abs(float((one == other).mean()) - similarity) < 4 * np.sqrt(similarity * (1 - similarity) / 2_000)


def test_planted_groups_are_found_among_strangers() -> None:
    rng = np.random.default_rng(5)
    sets = {owner: set(rng.integers(0, 200_000, 30).tolist()) for owner in range(2_000)}
    for group in range(40):
        kit = rng.integers(10**6, 10**7, 30)
        for owner in range(group * 3, group * 3 + 3):
            sets[owner] = set(kit[rng.random(30) < 0.8].tolist()) | set(list(sets[owner])[:8])
    found = similar(_sets(sets))
    true = (found.left // 3 == found.right // 3) & (found.right < 120)
    assert true.sum() >= 0.9 * 120
    assert true.mean() > 0.99


def test_popular_things_join_nobody() -> None:
    stock = set(range(20))  # the same twenty pictures with everybody
    sets = {owner: stock | {1_000 + owner * 10 + at for at in range(10)} for owner in range(300)}
    found = similar(_sets(sets))
    assert (len(found.left), found.dropped) == (0, 20)
    alike = similar(_sets(sets), ContentSettings(cap=400))
    assert len(alike.left) == 0, "and by its share what everybody has speaks for nobody"


def test_all_identical_sets_pair_with_their_neighbours_only() -> None:
    found = similar(_sets({owner: {1, 2, 3} for owner in range(150)}), ContentSettings(cap=1_000, neighbours=4))
    assert found.proposed <= 150 * 4
    assert len(found.left) == 0, "what every owner has is no evidence"


def _events(rows: list[dict[str, object]]) -> pa.Table:
    names = ("actor", "link", "owner", "file_sha256", "file_name", "attributes", "type")
    columns = {name: pa.array([row.get(name) for row in rows], pa.string()) for name in names}
    return pa.table({**columns, "time": pa.array([row.get("time", at) for at, row in enumerate(rows)], pa.int64())})


def test_sets_of_events() -> None:
    rows: list[dict[str, object]] = [
        {"type": "file.uploaded", "actor": "a", "file_sha256": "x", "time": 5},
        {"type": "file.modified", "actor": "a", "file_sha256": "y", "time": 3},
        {"type": "file.uploaded", "actor": "a", "file_sha256": "x", "time": 9},
        {"type": "file.uploaded", "actor": None, "file_sha256": "x"},
        {"type": "file.downloaded", "actor": "b", "file_sha256": "x"},
        {"type": None, "actor": "b", "file_sha256": "x"},
        {"type": "link.visited", "actor": "a", "link": "l", "owner": "o"},
        {"type": "link.visited", "actor": None, "link": "l", "owner": "o"},
    ]
    files = file_sets(_events(rows), IDENTITY)
    assert files.owner.tolist() == [IDENTITY.id_of("a")]
    assert set(files.of(IDENTITY.id_of("a")).tolist()) == {IDENTITY.id_of("x"), IDENTITY.id_of("y")}
    assert (files.first.tolist(), files.last.tolist()) == ([3], [9])
    assert files.of(17).tolist() == []
    visitors = visitor_sets([_events(rows[:4]), _events(rows[4:])], IDENTITY)
    assert visitors.of(IDENTITY.id_of("l")).tolist() == [IDENTITY.id_of("a")]
    links, owners = link_owners(_events(rows), IDENTITY)
    assert (links.tolist(), owners.tolist()) == ([IDENTITY.id_of("l")], [IDENTITY.id_of("o")])


@pytest.mark.parametrize(
    ("folder", "name", "paths"),
    [
        ("/work/plans", None, ["/work", "/work/plans"]),
        ("work//plans/", None, ["/work", "/work/plans"]),
        (None, "Report 2024.PDF", ["*Aaaa 9999.pdf"]),
        (None, "noending", ["*aaa."]),
        ("", "x.txt", []),
        (None, None, []),
        ("/".join("abcdefghijklmnop"), None, None),
    ],
)
def test_paths_of_folders(folder: str | None, name: str | None, paths: list[str] | None) -> None:
    attributes = None if folder is None else json.dumps({"folder": folder})
    sets = folder_sets(
        _events([{"type": "file.uploaded", "actor": "a", "attributes": attributes, "file_name": name}]), IDENTITY
    )
    if paths is None:
        assert len(sets.of(IDENTITY.id_of("a"))) == 12, "deeper folders are cut"
    else:
        assert set(sets.of(IDENTITY.id_of("a")).tolist()) == {IDENTITY.id_of(path) for path in paths}


def test_derived_edges_tie_alike_trees_and_links_of_one_crowd() -> None:
    trees = {1: {10, 11, 12, 13}, 2: {10, 11, 12, 13}, 3: {20, 21, 22, 23}, 4: {10}, 99: {10, 11, 12, 13}}
    graph = _graph([1, 2, 3, 4])
    edges = folder_edges(graph, _sets(trees))
    assert edges.relation.id == "folder_tree"
    shared = {int(a): set(edges.entity[edges.account == a].tolist()) for a in range(4)}
    assert shared[0] == shared[1] != set()
    assert shared[2] == shared[3] == set(), "nobody files as 3 does; 4 has too little"
    assert np.all(np.diff(edges.account_start) >= 0)
    assert edges.account_start[-1] == edges.size
    crowd = {70: {1, 2, 3, 4, 5}, 71: {1, 2, 3, 4, 5}, 72: {6, 7, 8, 9}}
    owners = (np.array([70, 71]), np.array([1, 3]))
    tied = visitor_edges(graph, _sets(crowd), owners)
    assert sorted(set(tied.account.tolist())) == [0, 2]
    assert visitor_edges(graph, _sets(crowd), (np.zeros(0, np.int64), np.zeros(0, np.int64))).size == 0


def test_evidence_stands_on_the_accounts_of_the_graph() -> None:
    kit = {owner: {100 + at for at in range(8)} for owner in (5, 6, 7)}
    crowd = {owner: {owner * 50 + at for at in range(8)} for owner in range(1_000, 1_400)}
    found = similar(_sets(kit | crowd))
    evidence = found.evidence(_graph([7, 5, 1_000]))
    assert (evidence.source, evidence.left.tolist(), evidence.right.tolist()) == ("content", [0], [1])
    assert evidence.llr[0] == MOST
    assert evidence.support[0] == 8
    assert found.evidence(_graph([1, 2])).size == 0


def test_sets_of_a_relation_and_of_its_other_side() -> None:
    edges = Edges(
        Relation("link", ("link",)), np.array([50, 60]), np.array([0, 2, 3]), np.array([0, 1, 1]), np.array([1, 2, 3]),
        np.array([4, 5, 6]), np.array([1, 1, 1]),
    )  # fmt: skip
    graph = _graph([8, 9])
    assert sets_of_relation(graph, edges).of(8).tolist() == [50, 60]
    links = sets_of_relation(graph, edges, by_entity=True)
    assert links.of(60).tolist() == [8, 9]
    assert (links.first.tolist(), links.last.tolist()) == ([1, 2], [4, 6])


@pytest.mark.parametrize("given_sets", [{}, {1: {2}}, {1: {2, 3}, 2: {2, 3}}, {1: {5}, 2: {6}}])
def test_too_little_gives_nothing(given_sets: dict[int, set[int]]) -> None:
    found = similar(_sets(given_sets))
    assert (len(found.left), len(found.llr)) == (0, 0)
    assert found.evidence(_graph([1, 2])).size == 0
    assert folder_edges(_graph([1]), _sets(given_sets)).size == 0


def test_an_empty_graph_and_empty_events() -> None:
    none = _graph([])
    kit = _sets({1: {1, 2, 3, 4}, 2: {1, 2, 3, 4}})
    assert folder_edges(none, kit).size == 0
    assert similar(kit).evidence(none).size == 0
    for make in (file_sets, folder_sets, visitor_sets):
        assert make(_events([]), IDENTITY).size == 0
        assert make([], IDENTITY).size == 0
        assert make(pa.table({"type": ["file.uploaded"], "time": [1]}), IDENTITY).size == 0


def test_empty_sets_hash_to_the_largest_value() -> None:
    none = np.zeros(0, np.int64)
    sets = Sets(np.array([1, 2]), np.array([0, 0, 0]), none, np.zeros(2, np.int64), np.zeros(2, np.int64))
    assert (minhash(sets, 4) == 0xFFFFFFFF).all()
    assert similar(sets).proposed == 0


@pytest.mark.parametrize(
    ("wrong", "slugs"),
    [
        ({"bands": 0}, 1),
        ({"rows": 2.5}, 1),
        ({"similarity": float("nan")}, 1),
        ({"cap": True, "least_items": 0, "cap_share": 2}, 3),
        ({"neighbours": "4"}, 1),
    ],
)
def test_wrong_settings(wrong: dict[str, object], slugs: int) -> None:
    with pytest.raises(InvalidInput) as caught:
        ContentSettings(**wrong)  # type: ignore[arg-type]
    assert [problem.slug for problem in caught.value.problems] == ["content.setting"] * slugs
    assert {problem.where.path for problem in caught.value.problems} == set(wrong)
    assert all(problem.allowed for problem in caught.value.problems)


def test_wrong_columns() -> None:
    with pytest.raises(InvalidInput) as caught:
        make_sets(np.zeros(2, np.int64), np.zeros(3, np.int64))
    assert caught.value.problems[0].slug == "sets.length"
    with pytest.raises(InvalidInput) as caught:
        file_sets([pa.table({"time": [1]}), pa.table({"actor": ["a"]})], IDENTITY)
    assert [problem.slug for problem in caught.value.problems] == ["sets.no_column"] * 3
