"""Dense blocks: equal to plain greedy peeling, found in company and under camouflage, and no abuse by density alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.structure_oracle import plain_peel
from shoal.coordination.structure import dense_blocks, peeling
from shoal.errors import InvalidInput


@st.composite
def graphs(draw):
    """accounts, entities, edges with weights (repeated ones among them), scores."""
    accounts, entities = draw(st.integers(1, 9)), draw(st.integers(1, 7))
    pair = st.tuples(st.integers(0, accounts - 1), st.integers(0, entities - 1), st.sampled_from([0.0, 0.5, 1.0, 2.0]))
    edges = draw(st.lists(pair, max_size=40))
    scores = draw(st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0]), min_size=accounts, max_size=accounts))
    return accounts, entities, edges, scores


def merged(edges):
    out = {}
    for a, x, w in edges:
        if w > 0:
            out[a, x] = out.get((a, x), 0.0) + w
    return out


@given(graphs(), st.sampled_from([0.0, 0.1, 0.5]), st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from([1.5, 5.0]))
@settings(max_examples=100, deadline=None)
def test_equal_to_plain_greedy_peeling(graph, least, prior, offset):
    accounts, entities, edges, scores = graph
    account, entity, weight = (np.array([e[k] for e in edges]) for k in (0, 1, 2))
    weight = weight.astype(float)
    whole = merged(edges)
    popular = np.bincount([x for _, x in whole] or [0], minlength=entities) if whole else np.zeros(entities)
    total = sum(w / math.log(offset + popular[x]) for (_, x), w in whole.items()) + sum(scores) * prior + 1.0
    scale = 2.0 ** min(peeling.BITS - math.frexp(total)[1], 40)
    expected = plain_peel(accounts, entities, whole, scores, least, prior, offset, scale)
    found = dense_blocks(accounts, entities, account, entity, scores, least=least, weight=weight, prior=prior,
                         offset=offset)  # fmt: skip
    if expected is None:
        assert found == []
        return
    (block,) = found
    assert block.accounts.tolist() == expected[0]
    assert block.entities.tolist() == expected[1]
    assert block.density == expected[2] / scale
    inside = [(a, x) for a, x in whole if a in expected[0] and x in expected[1]]
    assert block.edges == len(inside)
    assert block.score == pytest.approx(np.mean([scores[a] for a in expected[0]]))
    assert block.base == pytest.approx(np.mean([scores[a] for a in {a for a, _ in whole}]))


@given(graphs(), st.randoms())
@settings(max_examples=60, deadline=None)
def test_the_order_of_edges_does_not_matter_and_blocks_share_no_account(graph, chance):
    accounts, entities, edges, scores = graph
    shuffled = list(edges)
    chance.shuffle(shuffled)
    found = []
    for some in (edges, shuffled):
        account, entity, weight = (np.array([e[k] for e in some]) for k in (0, 1, 2))
        found.append(dense_blocks(accounts, entities, account.astype(np.int32), entity, scores, least=0.1,
                                  weight=weight.astype(float), blocks=5))  # fmt: skip
    shown = [[(b.accounts.tolist(), b.entities.tolist(), b.density) for b in blocks] for blocks in found]
    assert shown[0] == shown[1]
    members = [a for accounts_, _, _ in shown[0] for a in accounts_]
    assert len(members) == len(set(members))
    assert all(len(b.accounts) >= 2 and len(b.entities) >= 1 for b in found[0])
    assert all(scores[a] >= 0.1 for a in members)


def service(seed=0, accounts=3000, entities=1500, edges=15_000):
    """Popular and rare entities; who has them is chance."""
    chance = np.random.default_rng(seed)
    return chance.integers(0, accounts, edges), (chance.random(edges) ** 3 * entities).astype(int)


def ring(account, entity, accounts, entities, share, seed=1):
    chance = np.random.default_rng(seed)
    pairs = np.array([(a, x) for a in accounts for x in entities if chance.random() < share])
    return np.concatenate([account, pairs[:, 0]]), np.concatenate([entity, pairs[:, 1]])


def test_rings_are_found_under_camouflage_one_after_the_other():
    account, entity = service()
    first, second = range(100, 130), range(500, 520)
    account, entity = ring(account, entity, first, range(1400, 1412), 0.8)
    account, entity = ring(account, entity, second, range(1450, 1458), 0.8)
    account, entity = ring(account, entity, first, range(40), 0.5)  # camouflage: what everybody has
    scores = np.full(3000, 0.5)
    blocks = dense_blocks(3000, 1500, account, entity, scores, least=0.0, prior=0.0, blocks=2)
    one, other = (set(block.accounts.tolist()) for block in blocks)
    assert one == set(first)
    assert other <= set(second)
    assert len(other) >= 18, "who has few of the ring's entities is no part of its dense block"
    assert set(range(1400, 1412)) <= set(blocks[0].entities.tolist())
    assert blocks[0].density > blocks[1].density
    assert blocks[0].lift == pytest.approx(1.0)


def test_density_alone_is_not_abuse():
    """A team is denser than the ring; the scores of accounts, not density, say which of them is looked at."""
    account, entity = service()
    team, fraud = range(200, 240), range(700, 725)
    account, entity = ring(account, entity, team, range(1300, 1330), 0.9)
    account, entity = ring(account, entity, fraud, range(1480, 1490), 0.7)
    scores = np.random.default_rng(5).beta(1, 12, 3000)
    scores[list(fraud)] = np.random.default_rng(6).beta(4, 4, 25)
    (unpruned,) = dense_blocks(3000, 1500, account, entity, scores, least=0.0, prior=0.0)
    assert set(unpruned.accounts.tolist()) == set(team)
    assert unpruned.lift < 1.5
    (pruned,) = dense_blocks(3000, 1500, account, entity, scores, least=0.2, prior=0.5)
    found = set(pruned.accounts.tolist())
    assert len(found & set(fraud)) >= 0.9 * sum(scores[a] >= 0.2 for a in fraud)
    assert len(found & set(fraud)) / len(found) > 0.9
    assert pruned.lift > 3


def test_suspicion_decides_between_like_blocks():
    account = np.repeat(np.arange(8), 2)
    entity = np.tile([0, 1], 8) + 2 * np.repeat([0, 1], 8)
    scores = np.array([0.2] * 4 + [0.4] * 4)
    blocks = dense_blocks(8, 4, account, entity, scores, least=0.0, blocks=3)
    assert blocks[0].accounts.tolist() == [4, 5, 6, 7]
    assert blocks[1].accounts.tolist() == [0, 1, 2, 3], "and then there is nobody left"
    assert len(dense_blocks(8, 4, account, entity, scores, least=0.3, blocks=3)) == 1
    high = (blocks[0].density + blocks[1].density) / 2
    assert len(dense_blocks(8, 4, account, entity, scores, least=0.0, blocks=3, least_density=high)) == 1


def test_stated_outcomes():
    assert dense_blocks(0, 0, [], [], [], least=0.0) == []
    assert dense_blocks(1, 1, [0], [0], [1.0], least=0.0) == [], "one account shares nothing"
    assert dense_blocks(2, 2, [0, 1], [0, 1], [1.0, 1.0], least=0.0) == [], "nor do two that have nothing in common"
    assert dense_blocks(3, 1, [0, 1, 2], [0, 0, 0], [0.1, 0.1, 0.1], least=0.2) == [], "all pruned"
    assert dense_blocks(2, 1, [0, 1], [0, 0], [1.0, 1.0], least=0.0, weight=[1.0, 0.0]) == [], "weight 0 is no edge"
    (hub,) = dense_blocks(1000, 1, np.arange(1000), np.zeros(1000, int), np.zeros(1000), least=0.0)
    assert len(hub.accounts) == 1000, "what everybody has makes one block"
    assert hub.density < 1 / math.log(1005), "and a thin one"
    assert hub.lift == math.inf
    (greedy,) = dense_blocks(4, 50, [*[0] * 50, 1, 2, 3], [*range(50), 0, 0, 0], np.zeros(4), least=0.0)
    assert greedy.entities.tolist() == [0], "an account with everything takes along only what it shares"
    huge = dense_blocks(2, 1, [0, 1], [0, 0], [1.0, 1.0], least=0.0, weight=[1e15, 1e15])
    assert huge[0].density == pytest.approx(2e15 / math.log(7) / 3, rel=1e-6)


MALFORMED = [
    ({"accounts": -1}, {"structure.nodes"}, "accounts"),
    ({"accounts": 2**31 - 3, "entities": 2**31 - 3, "scores": []}, {"structure.nodes"}, "together"),
    ({"scores": [0.1, 1.5]}, {"structure.range"}, "0 to 1"),
    ({"scores": [0.1, np.nan]}, {"structure.range"}, "the first at 1: nan"),
    ({"scores": [0.1]}, {"structure.lengths"}, "scores"),
    ({"scores": ["a", "b"]}, {"structure.numbers"}, "scores"),
    ({"weight": [-1.0, 1.0, 1.0]}, {"structure.range"}, "weight"),
    ({"weight": [np.inf, 1.0, 1.0]}, {"structure.range"}, "inf"),
    ({"account": [0, 1, 2]}, {"structure.code_range"}, "account"),
    ({"entity": [0, -1, 0]}, {"structure.code_range"}, "entity"),
    ({"entity": [0, 1]}, {"structure.lengths"}, "3 codes in account and 2 in entity"),
    ({"account": [0.5, 1, 1]}, {"structure.codes"}, "float64"),
    ({"least": 1.1}, {"structure.setting"}, "least"),
    ({"least": None}, {"structure.setting"}, "None"),
    ({"prior": -1.0}, {"structure.setting"}, "prior"),
    ({"offset": 1.0}, {"structure.setting"}, "offset"),
    ({"blocks": 0}, {"structure.setting"}, "blocks"),
    ({"least_density": np.nan, "blocks": 1.5, "least": -1}, {"structure.setting"}, "least_density"),
]


@pytest.mark.parametrize(("change", "slugs", "text"), MALFORMED)
def test_malformed_input_is_refused(change, slugs, text):
    usual = {
        "accounts": 2,
        "entities": 2,
        "account": [0, 1, 1],
        "entity": [0, 0, 1],
        "scores": [0.5, 0.5],
        "least": 0.1,
    }
    with pytest.raises(InvalidInput, match=text) as caught:
        dense_blocks(**{**usual, **change})
    assert {problem.slug for problem in caught.value.problems} == slugs
    assert len(caught.value.problems) == (3 if len(change) == 3 and "blocks" in change else 1)
