"""Expected innocents: how many, who, and what separates them."""

import numpy as np
import pytest
from planted_graphs import DAY, START, World, evidence

from shoal.coordination.campaigns.find import find
from shoal.coordination.campaigns.fuse import CampaignSettings
from shoal.coordination.campaigns.innocents import expected_innocents, who_innocent
from shoal.coordination.graph.graph import EntityGraph


@pytest.fixture(scope="module")
def bridged():
    """Ten accounts on one card and an old honest one, with its own card, that shares things with one of them."""
    w = World(np.random.default_rng(1))
    for _ in range(400):
        w.person()
    own = w.cell("op", 10, per_card=10, targets=6)
    bridge = w.person()
    w.created[bridge] = START - 900 * DAY
    for relation in ("link", "link", "link", "link", "device"):
        thing = w.entity()
        for account in (own[0], bridge):
            w.tie(relation, account, thing, START - 5 * DAY)
    w.tie("payment", bridge, w.entity(), START - 5 * DAY)
    for _ in range(6):
        w.tie("link", bridge, w.entity(), START - 5 * DAY)
    graph = w.graph()
    (campaign,) = find(graph, evidence(graph), CampaignSettings(resolution=1e-6, min_belief=0.0))
    return w, graph, campaign, int(graph.account_ids[bridge])


def test_the_bridge_is_named_first_with_reasons_that_hold(bridged):
    _, graph, campaign, bridge = bridged
    found = who_innocent(campaign, graph)
    first, second = found.likely[:2]
    assert first.account == bridge
    assert first.probability > 0.8 > second.probability
    text = "\n".join(first.reasons)
    assert "shares something with 1 of 10 others, the median member with" in text
    assert "old at the campaign's first tie" in text
    assert "has a payment of its own, where others share theirs" in text
    assert "is held by no hard link, as 10 of 11 are" in text
    assert "acts alone on" in text
    assert not any("of its own" in reason for reason in found.likely[-1].reasons)
    assert any(line.startswith("age at the first tie") for line in found.separates)


def test_the_expectation_is_the_sum_over_members_and_has_the_scores_interval(bridged):
    _, graph, campaign, _ = bridged
    found = who_innocent(campaign, graph, count=99)
    assert found.expected == pytest.approx(sum(one.probability for one in found.likely))
    assert found.expected == pytest.approx(expected_innocents(campaign))
    assert found.low <= found.expected <= found.high
    assert found.within == pytest.approx(campaign.expected_innocents)
    assert found.within <= found.expected
    assert len(who_innocent(campaign, graph, count=3).likely) == 3


def test_members_that_are_all_alike_are_not_set_apart():
    w = World(np.random.default_rng(3))
    for _ in range(400):
        w.person()
    w.cell("op", 6, per_card=6)
    graph = w.graph()
    (campaign,) = find(graph, evidence(graph))
    found = who_innocent(campaign, graph)
    assert found.expected < 1
    assert found.separates == ()
    assert not any("of its own" in r or "no hard link" in r for one in found.likely for r in one.reasons)


def test_a_graph_that_knows_no_member_tells_by_belief(bridged):
    *_, campaign, bridge = bridged
    empty = EntityGraph(np.zeros(0, np.int64), np.zeros(0, np.int64), {})
    found = who_innocent(campaign, empty)
    assert found.likely[0].account == bridge
    assert {one.reasons for one in found.likely} == {()}
