"""Re-clustering of the touched parts gives what a full run gives there, and leaves the rest alone."""

from dataclasses import replace

import numpy as np
import pytest
from planted_graphs import DAY, START, evidence, pairs_of, world

from shoal.coordination.campaigns import groups as groups_module
from shoal.coordination.campaigns.find import find
from shoal.coordination.campaigns.fuse import CampaignSettings
from shoal.coordination.campaigns.incremental import patch, recluster, restamped
from shoal.coordination.evidence import PairEvidence
from shoal.coordination.graph.graph import EntityGraph
from shoal.errors import InvalidInput

EVERY = CampaignSettings(min_score=0.0)


def touching(found, touched):
    """Only the pairs with a touched end."""
    out = []
    for one in found:
        keep = touched[one.left] | touched[one.right]
        out.append(
            PairEvidence(
                one.source, one.left[keep], one.right[keep], one.llr[keep], one.support[keep], one.hard
            )
        )  # fmt: skip
    return out


@pytest.fixture(scope="module")
def steps():
    """A world, and the same world an hour later: one cell has grown ties, an honest account has joined a household."""
    w = world(41, people=600)
    for relation in ("payment", "link"):
        w.tie(relation, 0, w.entity(), START - DAY)  # all entities of the second step are known in the first
    graph = w.graph()
    before = evidence(graph)
    cell = [code for code, name in w.operation.items() if name == "op-10-1"]
    other = [code for code, name in w.operation.items() if name == "op-5-1"]
    home = [code for code, name in w.benign.items() if name == "household-3"]
    cards, album = [w.entity() for _ in range(3)], w.entity()
    for account in (*cell, *other):
        for card in cards:
            w.tie("payment", account, card, START - DAY)  # two cells turn out to be one
    for account in (*home, 5):
        w.tie("link", account, album, START - DAY)
    later = w.graph()
    after = evidence(later)
    touched = np.array(sorted({*cell, *other, *home, 5}), np.int64)
    return w, graph, before, later, after, touched


@pytest.mark.parametrize("settings", [EVERY, CampaignSettings()], ids=["all", "told"])
def test_the_touched_parts_are_as_in_a_full_run_and_the_rest_stays(steps, settings):
    _, graph, before, later, after, touched = steps
    first = find(graph, before, settings)
    full = find(later, after, settings)
    fresh = recluster(later, after, first, touched, settings)
    assert {c.id for c in fresh.campaigns} == {c.id for c in full}
    by_id = {c.id: c for c in full}
    anew = [one for one in fresh.campaigns if one not in first]
    assert anew
    assert all(one == by_id[one.id] for one in anew)
    assert 0 < fresh.formed < len(full) / 2
    assert fresh.kept + fresh.formed == len(full)
    assert fresh.accounts < later.accounts / 10


def test_a_merge_of_two_campaigns_is_seen(steps):
    w, graph, before, later, after, touched = steps
    fresh = recluster(later, after, find(graph, before), touched)
    joined = [c for c in fresh.campaigns if len({w.operation[int(code)] for code in codes(later, c)}) == 2]
    assert len(joined) == 1


def codes(graph, campaign):
    return graph.codes(np.array([m.account for m in campaign.members]))


def test_patched_evidence_is_that_of_a_full_pass_where_the_rest_is_unchanged(steps):
    _, graph, before, later, after, touched = steps
    mask = np.zeros(later.accounts, bool)
    mask[touched] = True
    patched = patch(before, touching(after, mask), mask)
    for one in patched:
        (whole,) = [two for two in after if two.source == one.source]
        np.testing.assert_array_equal(one.left, whole.left)
        np.testing.assert_array_equal(one.right, whole.right)
        np.testing.assert_array_equal(one.support, whole.support)
    assert recluster(later, patched, find(graph, before), touched).campaigns


def test_cost_is_that_of_the_touched_parts(steps, monkeypatch):
    """Communities see the members of dirty components only."""
    _, graph, before, later, after, touched = steps
    first = find(graph, before)
    seen = []
    whole = groups_module.communities

    def counted(nodes, *rest, **named):
        seen.append(nodes)
        return whole(nodes, *rest, **named)

    monkeypatch.setattr(groups_module, "communities", counted)
    recluster(later, after, first, touched)
    find(later, after)
    assert seen[0] * 5 < seen[1]


def test_nothing_touched_changes_nothing(steps):
    _, graph, before, *_ = steps
    first = find(graph, before)
    same = recluster(graph, before, first, np.zeros(0, np.int64))
    assert same.campaigns == first
    assert (same.accounts, same.formed, same.kept) == (0, 0, len(first))
    assert {c.read for c in restamped(first, 99)} == {99}


def test_a_campaign_across_two_components_is_formed_anew_as_a_whole():
    """What was one campaign and is two components now: touching one part makes the other dirty, too."""
    graph = EntityGraph(np.arange(20, dtype=np.int64), np.full(20, -1, np.int64), {})
    parts = [{(a, b): 60.0 for a in own for b in own if a < b} for own in (range(4), range(4, 8))]
    joined = {**parts[0], **parts[1], **{(a, b): 60.0 for a in range(4) for b in range(4, 8)}}
    one = pairs_of("payment", joined, dict.fromkeys(joined, 1), hard=True)
    two = pairs_of("payment", {**parts[0], **parts[1]}, dict.fromkeys(joined, 1), hard=True)
    first = find(graph, [one], EVERY)
    assert [c.size for c in first] == [8]
    fresh = recluster(graph, [two], first, np.array([0]), EVERY)
    assert {c.id for c in fresh.campaigns} == {c.id for c in find(graph, [two], EVERY)}
    assert fresh.accounts == 8


def test_a_member_that_is_no_longer_known_makes_its_campaign_dirty(steps):
    _, graph, before, *_ = steps
    first = find(graph, before)
    gone = replace(first[0], members=(replace(first[0].members[0], account=-5), *first[0].members[1:]))
    fresh = recluster(graph, before, [gone, *first[1:]], np.zeros(0, np.int64))
    assert fresh.formed == 1
    assert {c.id for c in fresh.campaigns} == {c.id for c in first}


@pytest.mark.parametrize("touched", [[-1], [10**9]])
def test_unknown_touched_accounts_are_refused(steps, touched):
    _, graph, before, *_ = steps
    with pytest.raises(InvalidInput, match=r"campaigns\.unknown_account"):
        recluster(graph, before, [], np.array(touched))


def test_an_empty_graph_has_nothing_to_cluster():
    graph = EntityGraph(np.zeros(0, np.int64), np.zeros(0, np.int64), {})
    assert recluster(graph, [], [], np.zeros(0, np.int64)).campaigns == ()
