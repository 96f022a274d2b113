"""Hubs, the evidence of relations and hard components: what a shared entity is worth, and where it stops to be."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.graph_oracle import plain_components, plain_pairs
from shoal.coordination.graph import (
    EntityGraph,
    Hubs,
    HubSettings,
    Known,
    graph_of_pairs,
    hard_components,
    learn_hubs,
    relation_pairs,
)
from shoal.coordination.graph.graph import NETWORK_KINDS
from shoal.coordination.relations import Relation, Strength
from shoal.errors import InvalidInput

DAY = 86_400_000_000
CARD = Relation("card", ("card",), strength=Strength.HARD, words="pay with the same card")
PHONE = Relation("phone", ("phone",), strength=Strength.HARD, words="verified the same number")
IP = Relation("ip", ("ip",))
ACCOUNTS = 20_000


class World:
    """Accounts by number and what they share, entity by entity."""

    def __init__(self) -> None:
        self.pairs: dict[Relation, list[tuple[int, int]]] = {CARD: [], IP: []}
        self.entities = 0

    def share(self, relation: Relation, accounts: Any) -> int:
        self.entities += 1
        self.pairs.setdefault(relation, []).extend((int(account), self.entities) for account in accounts)
        return self.entities

    def graph(self) -> EntityGraph:
        return graph_of_pairs({
            relation: (*np.array(pairs or np.zeros((0, 2)), np.int64).T, np.zeros(len(pairs), np.int64))
            for relation, pairs in self.pairs.items()
        })  # fmt: skip


def town() -> World:
    """Households, offices, four carriers, and an account with an address and a card of its own for everyone else."""
    world, draw = World(), np.random.default_rng(3)
    account = 0
    while account < 10_000:
        home = range(account, account + int(draw.integers(1, 5)))
        world.share(IP, home)
        for part in [home] if draw.random() < 0.2 else [[one] for one in home]:
            world.share(CARD, part)
        account = home.stop
    for one in range(10_000, ACCOUNTS):
        world.share(CARD, [one])
    for _ in range(60):
        world.share(IP, draw.choice(np.arange(10_000, ACCOUNTS), int(draw.integers(16, 120)), replace=False))
    for _ in range(4):
        world.share(IP, draw.choice(ACCOUNTS, 3_000, replace=False))
    return world


def needed(hubs: Hubs, graph: EntityGraph) -> float:
    return -math.log(hubs.settings.partners / (graph.accounts - 1))


def pairs_of(graph: EntityGraph, hubs: Hubs, relation: str) -> dict[tuple[int, int], float]:
    """llr by pair of account ids."""
    found = next(one for one in relation_pairs(graph, hubs) if one.source == relation)
    ids = graph.account_ids
    return {
        (min(a, b), max(a, b)): llr
        for a, b, llr in zip(ids[found.left].tolist(), ids[found.right].tolist(), found.llr.tolist(), strict=True)
    }


def test_how_people_live_joins_nobody_without_any_label() -> None:
    world = town()
    ring = list(range(ACCOUNTS, ACCOUNTS + 10))
    world.share(IP, ring)
    world.share(CARD, ring)
    graph = world.graph()
    hubs = learn_hubs(graph)
    assert hubs.grounds == "cold start"
    ip, card = pairs_of(graph, hubs, "ip"), pairs_of(graph, hubs, "card")
    enough = needed(hubs, graph)
    between = [(a, b) for a in ring for b in ring if a < b]
    assert all(card[pair] >= enough for pair in between)  # a hard link alone is enough
    assert all(0.3 * enough < ip[pair] < enough for pair in between)  # a soft one speaks, and is not
    assert max(llr for (a, _), llr in ip.items() if a < ACCOUNTS) < enough  # offices are not enough, either
    assert hubs.llr("ip", np.array([2, 3, 100, 3_000])).tolist() == [0, 0, 0, 0]  # homes, large offices, carriers
    assert hubs.relations["ip"].cap < 3_000
    assert max(llr for (a, _), llr in card.items() if a < ACCOUNTS) < 0.5 * enough  # couples and families


def test_carriers_stay_as_a_feature() -> None:
    graph = town().graph()
    hubs = learn_hubs(graph)
    popularity = np.diff(graph.relations["ip"].entity_start)
    carried = np.zeros(graph.accounts, bool)
    edges = graph.relations["ip"]
    carried[edges.account[popularity[edges.entity] >= 3_000]] = True
    assert np.all(hubs.hub_share[carried] > 0)
    assert np.all((hubs.hub_share >= 0) & (hubs.hub_share <= 1))
    one = int(np.flatnonzero(carried)[0])
    own = [graph.relations[name] for name in ("ip", "card")]
    ties = [(e, x) for e in own for x in e.entity[e.account_start[one] : e.account_start[one + 1]]]
    capped = [np.diff(e.entity_start)[x] > hubs.relations[e.relation.id].cap for e, x in ties]
    assert hubs.hub_share[one] == pytest.approx(sum(capped) / len(ties))
    weight = hubs.relations["ip"].weight
    assert np.all(weight[popularity > hubs.relations["ip"].cap] == 0)
    assert np.all(weight[popularity == 1] == 0)


def test_weights_fall_with_popularity() -> None:
    graph = town().graph()
    card = learn_hubs(graph).relations["card"]
    at = {int(n): float(w) for n, w in zip(card.popularity, card.weight, strict=True) if n > 1}
    assert at[2] == pytest.approx(card.alpha / math.log(4))
    assert at[4] == pytest.approx(card.alpha / math.log(6))
    assert at[2] > at[3] > at[4] > 0


def labelled(bad: list[int], good: list[int]) -> Known:
    return Known(np.array([*bad, *good], np.int64), np.array([True] * len(bad) + [False] * len(good), np.bool_))


def test_labels_move_what_an_entity_is_worth_and_its_cap() -> None:
    world = town()
    rings = [list(range(ACCOUNTS + 20 * i, ACCOUNTS + 20 * i + 20)) for i in range(6)]
    for ring in rings:
        world.share(IP, ring)
    graph = world.graph()
    cold, settings = learn_hubs(graph), HubSettings()
    honest = np.random.default_rng(1).choice(ACCOUNTS, 5_000, replace=False).tolist()
    abusive = learn_hubs(graph, labelled([one for ring in rings for one in ring], honest), settings)
    innocent = learn_hubs(graph, labelled([0], [one for ring in rings for one in ring]), settings)
    assert (abusive.grounds, abusive.unknown) == ("labels", 0)
    octave = 3  # 16-31 accounts
    worth = [hubs.relations["ip"].odds[0, octave] for hubs in (innocent, cold, abusive)]
    assert worth[0] < worth[1] < worth[2]
    assert innocent.relations["ip"].why == "learned"
    assert innocent.llr("ip", 20) < cold.llr("ip", 20) < abusive.llr("ip", 20)


@pytest.mark.parametrize(("abusive", "expected_bad", "mean"), [(4, 0.4, 0.4), (5, 0.1, 0.1), (8, 0.2, 0.2)])
def test_labels_are_weighted_and_shrunk_as_it_says(abusive: int, expected_bad: float, mean: float) -> None:
    """Ten entities of four accounts, all labelled, `abusive` of them wholly so: more than there are in life."""
    world = World()
    for first in range(0, 40, 4):
        world.share(CARD, range(first, first + 4))
    graph, hub_settings = world.graph(), HubSettings(expected_bad=expected_bad, shrinkage=5.0)
    cold = learn_hubs(graph, None, hub_settings).relations["card"].odds[0, 1]
    prior = 1 / (1 + math.exp(-cold))
    bad = range(4 * abusive)
    found = learn_hubs(graph, labelled(list(bad), list(range(bad.stop, 40))), hub_settings).relations["card"]
    assert found.labelled == 10
    assert 1 / (1 + math.exp(-found.odds[0, 1])) == pytest.approx((10 * mean + 5 * prior) / 15)


def test_the_cap_is_where_the_odds_fall_under_twice_the_base() -> None:
    graph = town().graph()
    for least in (2.0, 8.0):
        hubs = learn_hubs(graph, None, HubSettings(least_lift=least))
        base = hubs.settings.expected_bad / (1 - hubs.settings.expected_bad)
        for own in hubs.relations.values():
            octave = int(math.log2(own.caps[0] + 1)) - 1  # the first one above the cap
            assert math.exp(own.odds[0, octave]) < least * base
            assert math.exp(own.odds[0, octave - 1]) >= least * base


def test_the_kind_of_network_matters() -> None:
    world, home = World(), []
    for first in range(0, 400, 20):
        home.append(world.share(IP, range(first, first + 20)))
    graph = world.graph()
    edges = graph.relations["ip"]
    kinds = np.zeros(len(edges.entity_ids), np.uint8)
    kinds[:10] = NETWORK_KINDS.index("mobile")
    kinds[10] = NETWORK_KINDS.index("hosting")
    graph = EntityGraph(graph.account_ids, graph.created, {"ip": type(edges)(**{**vars(edges), "kinds": kinds})})
    hubs = learn_hubs(graph)
    assert hubs.llr("ip", 20, "mobile") < hubs.llr("ip", 20) < hubs.llr("ip", 20, "hosting")
    assert hubs.llr("ip", 20, "office") == hubs.llr("ip", 20, "mobile")


def test_a_given_cap_and_the_bound_on_pairs_hold() -> None:
    world = World()
    world.share(Relation("capped", ("card",), strength=Strength.HARD, cap=5), range(6))
    for first in range(10, 60, 5):
        world.share(PHONE, range(first, first + 5))
    world.share(PHONE, range(100, 130))
    graph = world.graph()
    hubs = learn_hubs(graph)
    assert (hubs.relations["capped"].cap, hubs.relations["capped"].why) == (5, "given")
    assert next(one for one in relation_pairs(graph, hubs) if one.source == "capped").size == 0
    bounded = learn_hubs(graph, None, HubSettings(most_pairs=100))
    assert (bounded.relations["phone"].cap, bounded.relations["phone"].why) == (5, "pairs")
    assert next(one for one in relation_pairs(graph, bounded) if one.source == "phone").size == 100
    none = learn_hubs(graph, None, HubSettings(most_pairs=99))
    assert none.relations["phone"].cap == 1
    assert next(one for one in relation_pairs(graph, none) if one.source == "phone").size == 0


EDGES = st.lists(
    st.tuples(st.integers(0, 7), st.integers(0, 5), st.sampled_from([0, 3 * DAY, 40 * DAY])), min_size=1, max_size=40
)


@settings(max_examples=80, deadline=None)
@given(EDGES, st.sampled_from([CARD, IP]))
def test_pairs_are_those_of_the_slow_twin(rows: list[tuple[int, int, int]], relation: Relation) -> None:
    graph = graph_of_pairs({relation: tuple(np.array(rows).T)})
    hubs = learn_hubs(graph, None, HubSettings(relation_cap=2.0))
    edges, own = graph.relations[relation.id], hubs.relations[relation.id]
    worth = own.value(own.popularity, own.stratum)
    half_life = 0.0 if relation is CARD else 30.0 * DAY
    columns = (edges.account.tolist(), edges.entity.tolist(), edges.first.tolist(), edges.last.tolist())
    want = plain_pairs(list(zip(*columns, strict=True)), dict(enumerate(worth.tolist())), half_life,
                       2 * float(worth.max()))  # fmt: skip
    (found,) = relation_pairs(graph, hubs)
    assert list(zip(found.left.tolist(), found.right.tolist(), strict=True)) == sorted(want)
    assert found.support.tolist() == [want[pair][1] for pair in sorted(want)]
    np.testing.assert_allclose(found.llr, [want[pair][0] for pair in sorted(want)])
    assert found.hard == (relation is CARD)


def worthy(graph: EntityGraph) -> Hubs:
    """Hubs under which every shared hard entity counts."""
    return learn_hubs(graph, None, HubSettings(expected_bad=1e-6, least_lift=1.0))


HARD_EDGES = st.lists(st.tuples(st.sampled_from([0, 1]), st.integers(0, 11), st.integers(0, 8)), max_size=50)


@settings(max_examples=100, deadline=None)
@given(HARD_EDGES, st.integers(2, 12))
def test_hard_components_are_those_of_the_slow_twin(rows: list[tuple[int, int, int]], limit: int) -> None:
    parts = {one: [(a, x) for r, a, x in rows if r == k] for k, one in enumerate((CARD, PHONE))}
    everyone = np.arange(12)
    graph = graph_of_pairs({
        IP: (everyone, np.zeros(12, np.int64), everyone),  # which ties nobody: it is soft
        **{one: (*np.array(pairs or np.zeros((0, 2)), np.int64).T, np.zeros(len(pairs), np.int64))
           for one, pairs in parts.items()},
    })  # fmt: skip
    entities = [
        (one.id, x, frozenset(a for a, y in pairs if x == y))
        for one, pairs in parts.items()
        for x in {y for _, y in pairs}
    ]
    labels, refused = plain_components(12, [entity for entity in entities if len(entity[2]) > 1], limit)
    found = hard_components(graph, worthy(graph), limit=limit)
    assert found.label.tolist() == labels
    assert {(one.relation, one.entity) for one in found.refusals} == refused
    assert found.sizes.tolist() == [labels.count(label) for label in labels]


def test_a_second_hard_relation_lets_two_large_groups_join() -> None:
    world = World()
    left, right = range(60), range(60, 120)
    for group in (left, right):
        for a, b in itertools.pairwise(group):
            world.share(CARD, [a, b])
    chain = world.share(CARD, [5, 100])
    graph = world.graph()
    alone = hard_components(graph, worthy(graph), limit=100)
    assert sorted(set(alone.sizes.tolist())) == [60]
    (refusal,) = alone.refusals
    assert (refusal.relation, refusal.entity, refusal.sizes) == ("card", chain, (60, 60))
    assert refusal.words == (
        "2 accounts pay with the same card, which would join groups of 60, 60 accounts into one of 120, over the limit "
        "of 100; no second hard relation ties them"
    )
    world.share(PHONE, [7, 80])
    graph = world.graph()
    both = hard_components(graph, worthy(graph), limit=100)
    assert set(both.sizes.tolist()) == {120}
    assert both.refusals == ()


def test_components_do_not_depend_on_the_order_of_accounts() -> None:
    draw = np.random.default_rng(5)
    accounts, entities = draw.integers(0, 60, 90), draw.integers(0, 30, 90)
    seen = []
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(90)
        graph = graph_of_pairs({CARD: (accounts[order], entities[order], np.zeros(90, np.int64))})
        found = hard_components(graph, worthy(graph), limit=6)
        ids = graph.account_ids
        groups = {frozenset(ids[found.label == label].tolist()) for label in set(found.label.tolist())}
        seen.append((groups, {(one.relation, one.entity, one.sizes) for one in found.refusals}))
    assert seen[0] == seen[1] == seen[2] == seen[3]


def test_an_empty_graph_has_nothing() -> None:
    for graph in (graph_of_pairs({}), graph_of_pairs({CARD: ([], [], [])})):
        hubs = learn_hubs(graph, labelled([4], [5]))
        assert (hubs.grounds, hubs.unknown, hubs.hub_share.tolist()) == ("cold start", 2, [])
        assert [one.size for one in relation_pairs(graph, hubs)] == [0] * len(graph.relations)
        found = hard_components(graph, hubs)
        assert (found.label.tolist(), found.sizes.tolist(), found.refusals) == ([], [], ())


def test_one_card_with_everyone_joins_nobody() -> None:
    world = World()
    world.share(CARD, range(30_000))
    graph = world.graph()
    hubs = learn_hubs(graph)
    assert [one.size for one in relation_pairs(graph, hubs)] == [0, 0]
    assert hubs.hub_share.tolist() == [1.0] * 30_000
    assert hard_components(graph, hubs).sizes.max() == 1


def test_labels_of_one_class_are_as_none() -> None:
    graph = town().graph()
    for known in (labelled([1, 2], []), labelled([], [1, 2]), labelled([], [])):
        hubs = learn_hubs(graph, known)
        assert hubs.grounds == "cold start"
        np.testing.assert_array_equal(hubs.relations["ip"].odds, learn_hubs(graph).relations["ip"].odds)


@pytest.mark.parametrize(
    ("known", "says"),
    [
        (Known(np.array([1, 2]), np.array([True])), "of shape"),
        (Known(np.array([1, 2]), np.array([1, 0])), "int64 \\[n\\]"),
        (Known(np.array([1, 1]), np.array([True, False])), "labelled twice"),
    ],
)
def test_labels_that_are_none_are_refused(known: Known, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        learn_hubs(graph_of_pairs({CARD: ([1, 2], [1, 1], [0, 0])}), known)


def test_settings_out_of_range_are_told_together() -> None:
    with pytest.raises(InvalidInput) as caught:
        HubSettings(expected_bad=0.7, shrinkage=float("nan"), most_pairs=-1, least_lift=True)
    assert [problem.where.path for problem in caught.value.problems] == [
        "expected_bad", "least_lift", "shrinkage", "most_pairs"]  # fmt: skip


def test_hubs_of_another_graph_are_refused() -> None:
    one = graph_of_pairs({CARD: ([1, 2], [1, 1], [0, 0])})
    other = graph_of_pairs({CARD: ([1, 2], [1, 2], [0, 0]), IP: ([1], [1], [0])})
    with pytest.raises(InvalidInput) as caught:
        relation_pairs(other, learn_hubs(one))
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize("limit", [1, 0, True, 2.5])
def test_a_limit_that_is_none_is_refused(limit: Any) -> None:
    graph = graph_of_pairs({CARD: ([1, 2], [1, 1], [0, 0])})
    with pytest.raises(InvalidInput, match=r"components\.limit"):
        hard_components(graph, learn_hubs(graph), limit=limit)
