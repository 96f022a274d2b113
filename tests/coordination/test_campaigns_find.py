"""Campaigns on planted worlds: who is found, who is left alone, what is said, and what bad input gets."""

from dataclasses import replace

import numpy as np
import pytest
from planted_graphs import DAY, HOUR, MINUTE, START, World, edges_of, evidence, pairs_of, world

from shoal.coordination.campaigns.find import find
from shoal.coordination.campaigns.fuse import CampaignSettings, fuse, needed_llr
from shoal.coordination.campaigns.groups import form
from shoal.coordination.evidence import PairEvidence, empty
from shoal.coordination.graph.graph import EntityGraph
from shoal.errors import InvalidInput

EVERY = CampaignSettings(min_score=0.0)


def pair(source, left, right, llr, support=1, hard=False):
    left, right = np.atleast_1d(np.array(left, np.int64)), np.atleast_1d(np.array(right, np.int64))
    return PairEvidence(source, left, right, np.full(len(left), float(llr)), np.full(len(left), support), hard)


def operations(w: World, graph: EntityGraph, campaign) -> list[str | None]:
    codes = graph.codes(np.array([one.account for one in campaign.members]))
    return [w.operation.get(int(code)) for code in codes]


@pytest.fixture(scope="module", params=[11, 12])
def planted(request):
    w = world(request.param)
    graph = w.graph()
    return w, graph, evidence(graph)


# --- fusion


@pytest.mark.parametrize("accounts", [3, 50, 10_000, 10_000_000])
@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_one_soft_source_never_ties_and_a_hard_one_can(accounts, threshold):
    settings = CampaignSettings(threshold=threshold)
    soft = fuse([pair("ip", 0, 1, 1e6)], settings, accounts)
    hard = fuse([pair("payment", 0, 1, 1e6, hard=True)], settings, accounts)
    two = fuse([pair("ip", 0, 1, 1e6), pair("coaction", 0, 1, 1e6)], settings, accounts)
    assert soft.posterior[0] < threshold <= hard.posterior[0]
    assert two.posterior[0] >= threshold
    assert not soft.hard[0]
    assert hard.hard[0]


def test_two_weak_soft_sources_do_not_tie():
    weak = 0.45 * needed_llr(10_000, EVERY)
    assert fuse([pair("ip", 0, 1, weak), pair("coaction", 0, 1, weak)], EVERY, 10_000).posterior[0] < 0.5


def test_sources_of_one_family_count_once_and_the_strongest_counts():
    fused = fuse([pair("ip", 0, 1, 3.0), pair("network", 0, 1, 5.0), pair("asn", 0, 1, 2.0)], EVERY, 10_000)
    alone = fuse([pair("network", 0, 1, 5.0)], EVERY, 10_000)
    assert fused.logit[0] == alone.logit[0]
    assert [fused.sources[i] for i in fused.row_source] == ["network"]


def test_a_source_in_two_parts_counts_by_its_strongest():
    fused = fuse([pair("signup", 0, 1, 3.0), pair("signup", [0, 2], [1, 3], 50.0, hard=True)], EVERY, 10_000)
    assert fused.sources == ("signup",)
    assert fused.hard.tolist() == [True, True]
    assert fused.logit[0] == fused.logit[1] > 0


def test_evidence_against_takes_away():
    fused = fuse([pair("ip", 0, 1, 6.0), pair("coaction", 0, 1, -4.0)], EVERY, 10_000)
    assert fused.logit[0] == pytest.approx(fuse([pair("ip", 0, 1, 2.0)], EVERY, 10_000).logit[0])


def test_a_hard_link_that_says_little_does_not_tie():
    assert fuse([pair("payment", 0, 1, 2.0, hard=True)], EVERY, 10_000).posterior[0] < 0.5


def test_fusion_adds_by_pair_whatever_the_order_of_sources(planted):
    _, graph, found = planted
    one, two = fuse(found, EVERY, graph.accounts), fuse(found[::-1], EVERY, graph.accounts)
    np.testing.assert_array_equal(one.left, two.left)
    np.testing.assert_allclose(one.logit, two.logit, rtol=1e-12)
    slow: dict[tuple[int, int], float] = {}
    for row in range(len(one.row_pair)):
        key = (int(one.left[one.row_pair[row]]), int(one.right[one.row_pair[row]]))
        slow[key] = slow.get(key, 0.0) + float(one.row_llr[row])
    assert len(slow) == one.size == len({(a, b) for e in found for a, b in zip(e.left, e.right, strict=True)})
    prior = np.log(EVERY.partners / (graph.accounts - 1))
    assert max(abs(slow[a, b] + prior - v) for a, b, v in zip(one.left, one.right, one.logit, strict=True)) < 1e-9


# --- quality on planted worlds


def test_cells_of_every_size_are_found_and_honest_groups_are_not(planted):
    w, graph, found = planted
    campaigns = find(graph, found)
    members = [(m.account, o) for c in campaigns for m, o in zip(c.members, operations(w, graph, c), strict=True)]
    honest = [account for account, operation in members if operation is None]
    for size in ("3", "5", "10", "20"):
        of = {code for code, name in w.operation.items() if name.split("-")[1] == size}
        got = {int(graph.codes(np.array([account]))[0]) for account, operation in members if operation}
        assert len(of & got) >= 0.9 * len(of), f"cells of {size}"
    assert len(honest) <= 0.005 * len(members)
    assert all(len(set(operations(w, graph, c))) == 1 for c in campaigns)  # cells that share nothing stay apart


def test_density_alone_is_not_abuse(planted):
    """Households with cards are denser than any operation: they are candidates, and are not told."""
    w, graph, found = planted
    every = find(graph, found, EVERY)
    honest = [c for c in every if not any(operations(w, graph, c))]
    abusive = [c for c in every if all(operations(w, graph, c))]
    assert len(honest) >= 20
    assert max(c.score for c in honest) < min(c.score for c in abusive)


def test_belief_is_a_probability_in_form(planted):
    """Over all members of what is told, mean belief is close to the share that belongs, and never above it by much."""
    w, graph, found = planted
    rows = [
        (m.belief, o is not None)
        for c in find(graph, found)
        for m, o in zip(c.members, operations(w, graph, c), strict=True)
    ]
    belief, true = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    assert belief.mean() <= true.mean() + 0.01
    assert belief.mean() >= true.mean() - 0.15
    assert belief.min() >= CampaignSettings().min_belief


def bridged(links: int = 5):
    """A clique of eight by a card and by co-action, and an honest account that shares things with one member."""
    w = World(np.random.default_rng(1))
    for _ in range(400):
        w.person()
    own = w.cell("op", 8, per_card=8, targets=6)
    bridge = w.person()
    for _ in range(links):
        link = w.entity()
        for account in (own[0], bridge):
            w.tie("link", account, link, START - 5 * DAY)
    card = w.entity()
    w.tie("payment", own[0], card, START - 5 * DAY)
    w.tie("payment", bridge, card, START - 5 * DAY)
    return w, own, bridge


def test_a_bridge_is_left_out():
    w, own, bridge = bridged()
    graph = w.graph()
    fused = fuse(evidence(graph), EVERY, graph.accounts)
    tie = (fused.left == own[0]) & (fused.right == bridge)
    assert fused.posterior[tie][0] > 0.5  # it is tied, and still no member
    (campaign,) = find(graph, evidence(graph))
    found = set(graph.codes(np.array([m.account for m in campaign.members])).tolist())
    assert found == set(own)
    assert bridge not in found


def test_a_bridge_that_is_let_in_has_little_belief():
    w, own, bridge = bridged()
    graph = w.graph()
    loose = CampaignSettings(resolution=1e-6, min_belief=0.0)
    (campaign,) = find(graph, evidence(graph), loose)
    belief = dict(zip(graph.codes(np.array([m.account for m in campaign.members])).tolist(),
                      (m.belief for m in campaign.members), strict=True))  # fmt: skip
    assert belief[bridge] < 0.1 < 0.8 < min(belief[account] for account in own)
    assert campaign.expected_innocents == pytest.approx(sum(1 - b for b in belief.values()))


def test_scores_prune_and_speak():
    """An account that looks far more honest than most, and that no card holds, is no member; with a card it stays."""
    w = World(np.random.default_rng(2))
    for _ in range(400):
        w.person()
    own = w.cell("op", 6, targets=8)
    graph = w.graph()
    found = evidence(graph)
    scores = np.full(graph.accounts, 0.01)
    scores[own] = 0.4
    with_all = find(graph, found, scores=scores)[0]
    scores[own[0]] = 0.0001
    without = find(graph, found, scores=scores)[0]
    assert with_all.size == 6
    assert without.size == 5
    assert with_all.score > find(graph, found)[0].score
    everyone = [(a, b) for i, a in enumerate(own) for b in own[i + 1 :]]
    card = pairs_of("payment", dict.fromkeys(everyone, 50.0), dict.fromkeys(everyone, 1), hard=True)
    assert find(graph, [*[e for e in found if e.source != "payment"], card], scores=scores)[0].size == 6


def test_a_carrier_and_an_office_join_nobody(planted):
    w, graph, found = planted
    touched = {w.benign.get(int(code)) for c in find(graph, found)
               for code in graph.codes(np.array([m.account for m in c.members]))}  # fmt: skip
    assert touched <= {None}


# --- what a campaign says


def test_a_campaign_tells_counts_times_and_shared_things():
    w, own, _ = bridged()
    graph = w.graph()
    (campaign,) = find(graph, evidence(graph))
    assert campaign.size == 8
    text = "\n".join(campaign.evidence)
    assert "8 of 8 pay with the same card as another member" in text
    assert "accounts were created within" in text
    assert "younger than" in text
    cards = [e for e in campaign.entities if e.relation == "payment"]
    assert [(e.members, e.outside) for e in cards] == [(8, 0)]
    for entity in campaign.entities:
        edges = graph.relations[entity.relation]
        at = edges.by_entity[slice(*edges.entity_start[np.flatnonzero(edges.entity_ids == entity.entity)[0] :][:2])]
        has = edges.account[at]
        inside = np.isin(has, own)
        assert (entity.members, entity.outside) == (inside.sum(), (~inside).sum())
        assert (entity.first, entity.last) == (edges.first[at][inside].min(), edges.last[at][inside].max())
        assert entity.weight == pytest.approx(inside.sum() / (len(has) + 1))
    assert sum(share for _, share in campaign.relations) == pytest.approx(1.0)
    assert sum(count for _, count in campaign.growth) == 8
    assert campaign.first == min(m.first for m in campaign.members)
    assert campaign.low <= campaign.score <= campaign.high
    assert all(m.hard for m in campaign.members)
    assert campaign.read == graph.read
    assert campaign.id.startswith("c")
    assert len(campaign.id) == 13


def test_hub_share_counts_entities_over_the_cap():
    w, _, _ = bridged()
    graph = w.graph()
    found = evidence(graph)
    none = find(graph, found, caps=dict.fromkeys(graph.relations, 1000000000.0))[0]
    every = find(graph, found, caps=dict.fromkeys(graph.relations, 0))[0]
    assert {m.hub_share for m in none.members} == {0.0}
    assert {m.hub_share for m in every.members} == {1.0}


def test_templates_come_from_who_knows_them():
    w, _, _ = bridged()
    graph = w.graph()
    (campaign,) = find(graph, evidence(graph), describe=lambda ids: (f"{len(ids)} sign-ups use one client",))
    assert campaign.templates == ("8 sign-ups use one client",)


def test_the_same_input_gives_the_same_campaigns_in_any_order_of_sources(planted):
    _, graph, found = planted
    assert find(graph, found) == find(graph, found)
    shuffled = find(graph, found[::-1])
    assert [c.id for c in shuffled] == [c.id for c in find(graph, found)]


def test_communities_that_fall_apart_are_told_apart():
    """Two cliques that one tie joins are two campaigns."""
    keys = {(a, b): 60.0 for base in (0, 10) for a in range(base, base + 8) for b in range(a + 1, base + 8)}
    keys[7, 10] = 60.0
    fused = fuse([pairs_of("payment", keys, dict.fromkeys(keys, 1), hard=True)], EVERY, 100)
    groups = form(fused, EVERY)
    assert [groups.account[groups.group == g].tolist() for g in range(groups.count)] == [
        list(range(8)), list(range(10, 18)),
    ]  # fmt: skip


# --- bad input: stated outcomes


def none_graph(accounts: int = 0) -> EntityGraph:
    return EntityGraph(np.arange(accounts, dtype=np.int64), np.full(accounts, -1, np.int64), {})


def test_nothing_gives_no_campaigns():
    assert find(none_graph(), []) == ()
    assert find(none_graph(10), []) == ()
    assert find(none_graph(10), [empty("ip"), empty("payment", hard=True)]) == ()


def test_pairs_without_any_graph_edges_still_give_a_campaign():
    """Co-action objects need not be in the graph: members have no ties in it, and times are those of creation."""
    graph = EntityGraph(np.arange(50, dtype=np.int64), np.arange(50, dtype=np.int64) * MINUTE + START, {})
    keys = {(a, b): 60.0 for a in range(5) for b in range(a + 1, 5)}
    found = [pairs_of("coaction", keys, dict.fromkeys(keys, 4)), pairs_of("signup", keys, dict.fromkeys(keys, 2))]
    (campaign,) = find(graph, found, EVERY)
    assert campaign.size == 5
    assert campaign.first == START
    assert campaign.entities == ()
    assert "5 of 5 acted on the same objects at the same times as another member; half of these pairs on 4" in "".join(
        campaign.evidence
    )


def test_one_giant_component_is_no_giant_campaign():
    """A ring of 3,000 accounts, each tied to the next one only, is too thin to be one thing."""
    n = 3_000
    keys = {(a, a + 1): 60.0 for a in range(n - 1)}
    found = pairs_of("payment", keys, dict.fromkeys(keys, 1), hard=True)
    sizes = [c.size for c in find(none_graph(n), [found], EVERY)]
    assert max(sizes, default=0) <= 40


def test_one_entity_with_everyone_joins_nobody():
    w = World(np.random.default_rng(3))
    for _ in range(200):
        w.person()
    ip = w.entity()
    for account in range(200):
        w.tie("ip", account, ip, START - HOUR)
    graph = w.graph()
    assert find(graph, evidence(graph, cap=10**6)) == ()


def test_unknown_creation_times_are_unknown():
    w, _, _ = bridged()
    graph = w.graph()
    (campaign,) = find(graph, evidence(graph), created=np.full(graph.accounts, -1, np.int64))
    assert not any("created" in line or "younger" in line for line in campaign.evidence)


BAD = [
    ("nan", [pair("ip", 0, 1, np.nan)], "campaigns.llr"),
    ("infinite", [pair("ip", 0, 1, np.inf)], "campaigns.llr"),
    ("unknown code", [pair("ip", 0, 10, 1.0)], "campaigns.unknown_account"),
    ("negative code", [pair("ip", -1, 1, 1.0)], "campaigns.unknown_account"),
    ("self", [pair("ip", 3, 3, 1.0)], "campaigns.pair_order"),
    ("reversed", [pair("ip", 3, 2, 1.0)], "campaigns.pair_order"),
    ("twice", [pair("ip", [0, 0], [1, 1], 1.0)], "campaigns.pair_twice"),
    ("disorder", [pair("ip", [2, 0], [3, 1], 1.0)], "campaigns.pair_twice"),
    ("support", [pair("ip", 0, 1, 1.0, support=-1)], "campaigns.support"),
]


@pytest.mark.parametrize(("found", "slug"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_bad_evidence_is_refused_by_name(found, slug):
    with pytest.raises(InvalidInput) as caught:
        find(none_graph(10), found)
    assert [p.slug for p in caught.value.problems] == [slug]
    assert caught.value.problems[0].where.path == "pairs.ip"


def test_all_mistakes_are_told_together():
    with pytest.raises(InvalidInput) as caught:
        find(none_graph(10), [pair("ip", 0, 11, np.nan), pair("network", 4, 4, 1.0)])
    assert {p.slug for p in caught.value.problems} == {
        "campaigns.llr", "campaigns.unknown_account", "campaigns.pair_order",
    }  # fmt: skip


@pytest.mark.parametrize("scores", [np.full(9, 0.5), np.full(10, 1.5), np.full(10, -0.1)])
def test_bad_scores_are_refused(scores):
    with pytest.raises(InvalidInput, match=r"campaigns\.scores"):
        find(none_graph(10), [pair("payment", 0, 1, 60.0, hard=True)], scores=scores)


def test_bad_creation_times_are_refused():
    with pytest.raises(InvalidInput, match=r"campaigns\.created"):
        find(none_graph(10), [], created=np.zeros(3, np.int64))


def test_scores_that_are_all_unknown_are_none():
    w, _, _ = bridged()
    graph = w.graph()
    found = evidence(graph)
    assert find(graph, found, scores=np.full(graph.accounts, np.nan)) == find(graph, found)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"soft_cap": 1.0}, {"soft_cap"}),
        ({"hard_cap": 0.5, "threshold": 1.0}, {"hard_cap", "threshold"}),
        ({"partners": 0}, {"partners"}),
        ({"min_size": 1}, {"min_size"}),
        ({"min_belief": "much"}, {"min_belief"}),
        ({"resolution": float("nan")}, {"resolution"}),
        ({"min_score": True}, {"min_score"}),
    ],
)
def test_settings_out_of_range_are_refused_together(change, names):
    with pytest.raises(InvalidInput) as caught:
        replace(EVERY, **change)
    assert {p.where.path for p in caught.value.problems} == names


def test_edges_of_no_rows_are_an_empty_relation():
    w, _, _ = bridged()
    graph = w.graph()
    with_none = replace(
        graph, relations={**graph.relations, "phone": edges_of(graph.relations["ip"].relation, [], graph.accounts)}
    )
    assert [c.id for c in find(with_none, evidence(graph))] == [c.id for c in find(graph, evidence(graph))]
