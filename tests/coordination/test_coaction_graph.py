"""Actions of an entity graph, and the way back from objects to entities."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.coordination.coaction import actions_of, coaction, entities_of
from shoal.coordination.graph import Edges, EntityGraph
from shoal.coordination.relations import Relation, Role
from shoal.errors import InvalidInput

DAY = 86_400_000_000


def edges(name, role, rows, ids, accounts):
    """Edges of (account, entity code, first, last)."""
    rows = np.array(sorted(rows), np.int64).reshape(-1, 4)
    start = np.searchsorted(rows[:, 0], np.arange(accounts + 1))
    ones = np.ones(len(rows), np.int64)
    relation = Relation(name, (name,), role=role)
    return Edges(relation, np.array(ids, np.int64), start, rows[:, 1], rows[:, 2], rows[:, 3], ones)


@pytest.fixture
def graph():
    links = [(a, o, 1000 * DAY + o * 2 * DAY + a, 1000 * DAY + o * 2 * DAY + a) for a in (0, 2) for o in range(4)]
    files = [(1, 0, 5 * DAY, 9 * DAY), (2, 1, 7 * DAY, 7 * DAY)]
    shared = [(a, 0, 0, 0) for a in range(3)]
    relations = {
        "ip": edges("ip", Role.MEANS, shared, [77], 3),
        "link": edges("link", Role.TARGET, links, [-5, 50, 51, 52], 3),
        "file": edges("file", Role.TARGET, files, [50, 9], 3),
    }
    return EntityGraph(np.array([900, 901, 902]), np.full(3, -1), relations)


def test_edges_of_targets_are_actions(graph):
    told = actions_of(graph)
    rows = set(zip(*(told[name].to_pylist() for name in ("account", "object", "time")), strict=True))
    assert told.num_rows == len(rows) == 8 + 3
    assert {(1, 4, 5 * DAY), (1, 4, 9 * DAY), (2, 5, 7 * DAY)} <= rows
    found = coaction(told)
    assert (found.left.tolist(), found.right.tolist(), found.shared.tolist()) == ([0], [2], [[4, 4, 4, 4]])


def test_objects_lead_back_to_entities(graph):
    assert entities_of(graph, np.array([0, 3, 4, 5])) == (("link", -5), ("link", 52), ("file", 50), ("file", 9))
    assert actions_of(graph, ["file"])["object"].to_pylist() == [0, 1, 0]
    assert entities_of(graph, np.array([1]), ["file"]) == (("file", 9),)
    for wrong in (-1, 6):
        with pytest.raises(IndexError):
            entities_of(graph, np.array([wrong]))


def test_no_targets_are_no_actions_and_unknown_ones_are_refused(graph):
    assert actions_of(graph, []).num_rows == 0
    assert coaction(actions_of(graph, [])).size == 0
    with pytest.raises(InvalidInput) as caught:
        actions_of(graph, ["lnik", "file", "x"])
    assert [(one.slug, one.nearest) for one in caught.value.problems] == [
        ("coaction.relation", "link"),
        ("coaction.relation", ""),
    ]
