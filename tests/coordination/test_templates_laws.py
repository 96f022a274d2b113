"""Sign-up templates: blocking against its slow twin, laws of the weights, honest crowds stay out, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.signups_oracle import HOUR, IDENTITY, START, Row, farm, honest, ids, person, table, wave
from oracles.signups_oracle import candidates as slow_candidates
from shoal.coordination.graph import EntityGraph
from shoal.coordination.templates import FEATURES, Settings, SignUps, Templates, find, make_signups
from shoal.coordination.templates.blocking import TOGETHER, candidates, context, strangers
from shoal.coordination.templates.fields import FIELDS
from shoal.coordination.templates.weights import weigh
from shoal.errors import InvalidInput


@pytest.fixture(scope="module")
def service() -> tuple[list[Row], list[Row]]:
    rng = np.random.default_rng(11)
    return honest(rng, 900, 14), farm(rng, "f", 44, 6.2, 0.25)


@pytest.fixture(scope="module")
def found(service: tuple[list[Row], list[Row]]) -> Templates:
    return find(table(service[0] + service[1]))


values = st.lists(
    st.fixed_dictionaries(
        {
            "ip": st.sampled_from([None, "a", "b", "c"]),
            "domain": st.sampled_from([None, "d", "e"]),
            "email_shape": st.sampled_from(["aa", "aaa", "a9"]),
            "name_shape": st.sampled_from([None, "Aa"]),
            "org": st.sampled_from([None, None, "o"]),
            "time": st.integers(0, 50),
        }
    ),
    min_size=1,
    max_size=14,
)


@settings(max_examples=80, deadline=None)
@given(values, st.integers(1, 5))
def test_candidates_are_the_slow_twins(rows: list[Row], neighbours: int) -> None:
    signups = table([row | {"account": f"a{at}"} for at, row in enumerate(rows)])
    left, right, by = candidates(signups, neighbours)
    expected = slow_candidates(signups, neighbours, TOGETHER)
    found_by = {
        (one, other): {field.name for at, field in enumerate(FIELDS) if bits >> at & 1}
        for one, other, bits in zip(left.tolist(), right.tolist(), by.tolist(), strict=True)
    }
    assert found_by == expected
    assert (left < right).all()


def test_pairs_grow_with_signups_and_not_with_their_square() -> None:
    rng = np.random.default_rng(2)
    sizes = [len(candidates(table(farm(rng, "f", size, 1, 1)), 8)[0]) for size in (200, 400, 800)]
    assert sizes[2] < 2.4 * sizes[1] < 2.4 * 2.4 * sizes[0]


def test_a_farm_is_found_whole_and_nobody_else(found: Templates, service: tuple[list[Row], list[Row]]) -> None:
    assert len(found.clusters) == 1
    cluster = found.clusters[0]
    farmed = ids(service[1])
    assert set(cluster.accounts.tolist()) <= farmed
    assert cluster.size >= 0.95 * len(farmed)
    assert cluster.score > 0.99
    assert cluster.first <= cluster.last
    assert (cluster.belief > 0.5).all()


def test_it_says_what_they_have_in_common(found: Templates) -> None:
    words = " | ".join(found.clusters[0].words)
    for said in ("use Chrome 118 on Linux", "of the form aaaa9999", "3 hosting networks"):
        assert said in words
    assert "192.0" not in words, "no address is told"
    features = found.clusters[0].features
    assert tuple(features) == FEATURES or set(features) == set(FEATURES)
    assert all(np.isfinite(list(features.values())))
    assert features["comb_density"] > 10
    assert found.table().column_names == ["cluster", "score", *FEATURES]


def test_the_order_of_rows_is_irrelevant(found: Templates, service: tuple[list[Row], list[Row]]) -> None:
    rows = service[0] + service[1]
    order = np.random.default_rng(1).permutation(len(rows))
    again = find(table([rows[at] for at in order]))
    assert [one.accounts.tolist() for one in again.clusters] == [one.accounts.tolist() for one in found.clusters]
    assert np.array_equal(again.pairs.total, found.pairs.total)


def test_a_press_wave_stays_out_and_a_farm_inside_it_is_found() -> None:
    rng = np.random.default_rng(4)
    quiet, crowd = honest(rng, 700, 14), wave(rng, 500, 7.3, 8)
    assert find(table(quiet + crowd)).clusters == ()
    farmed = farm(rng, "f", 40, 7.35, 0.25)
    caught = find(table(quiet + crowd + farmed))
    members = {account for one in caught.clusters for account in one.accounts.tolist()}
    assert len(members & ids(farmed)) >= 36
    assert len(members - ids(farmed)) <= 1


def test_an_address_of_everybody_joins_nobody() -> None:
    rng = np.random.default_rng(6)
    rows = honest(rng, 500, 10)
    for row in rows[::3]:
        row["ip"], row["network"], row["asn"] = "10.200.0.1", "10.200.0.0/24", "64600"  # a campus
    assert sum(one.size for one in find(table(rows)).clusters) <= 4


def test_families_join_nobody() -> None:
    """One home and one computer, signed up one after the other."""
    rng = np.random.default_rng(6)
    rows = honest(rng, 500, 10)
    for at in range(100, 460, 36):
        for member in rows[at + 1 : at + 3]:
            member |= {key: rows[at][key] for key in ("ip", "network", "asn", "device", "user_agent")}
    assert sum(one.size for one in find(table(rows)).clusters) <= 6


def test_a_reseller_who_pays_for_strangers_is_no_template() -> None:
    rng = np.random.default_rng(8)
    rows = honest(rng, 600, 10)
    for row in rows[::20]:
        row |= {"payment_hash": "card", "recovery_hash": "shop", "invited_by": "shop"}
    told = find(table(rows))
    assert sum(one.size for one in told.clusters) <= 3
    hard = [pairs for pairs in told.evidence(_graph(told.signups)) if pairs.hard]
    assert len(hard) == 1, "but that they share a card is told, as a hard link"


def test_members_of_an_organisation_are_vouched_for() -> None:
    rng = np.random.default_rng(9)
    rows, office = honest(rng, 500, 10), farm(rng, "o", 30, 4, 0.1, networks=1)
    for row in office:
        row |= {"org": "acme", "network_kind": "office"}
    assert find(table(rows + office)).clusters == ()


def _graph(signups: SignUps, take: slice = slice(None)) -> EntityGraph:
    known = np.sort(signups.account)[take]
    return EntityGraph(known, np.full(len(known), -1, np.int64), {})


def test_evidence_keeps_its_contract(found: Templates) -> None:
    half = _graph(found.signups, slice(0, None, 2))
    for graph in (_graph(found.signups), half):
        for pairs in found.evidence(graph):
            assert pairs.source == "signup"
            assert (pairs.left < pairs.right).all()
            key = pairs.left * graph.accounts + pairs.right
            assert (np.diff(key) > 0).all()
            assert pairs.right.max(initial=0) < graph.accounts
            assert np.isfinite(pairs.llr).all()
            assert (pairs.support >= 1).all()
    assert found.evidence(half)[0].size < found.evidence(_graph(found.signups))[0].size
    assert found.evidence(EntityGraph(np.zeros(0, np.int64), np.zeros(0, np.int64), {}))[0].size == 0


def test_evidence_tells_members_from_strangers(found: Templates, service: tuple[list[Row], list[Row]]) -> None:
    graph = _graph(found.signups)
    farmed = np.isin(graph.account_ids, list(ids(service[1])))
    pairs = found.evidence(graph)[0]
    strong = pairs.llr > 9
    assert strong.sum() >= 200
    assert (farmed[pairs.left[strong]] & farmed[pairs.right[strong]]).mean() > 0.98


def test_a_value_is_worth_what_its_sharers_share_beside_it() -> None:
    """Two addresses of forty sign-ups each: behind one all else is alike, behind the other nothing is."""
    rng = np.random.default_rng(12)
    rows, farmed = honest(rng, 600, 12), farm(rng, "f", 40, 3, 4, networks=1)
    for row in farmed:
        row["ip"] = "192.0.0.1"
    cafe = [person(rng, 5_000 + at, START + int(rng.integers(72 * HOUR, 168 * HOUR)), mobile=False) for at in range(40)]
    for row in cafe:
        row |= {"ip": "10.77.0.1", "network": "10.77.0.0/24", "asn": "64777"}
    signups = table(rows + farmed + cafe)
    left, right, by = candidates(signups, 8)
    judged = weigh(signups, left, right, by, Settings())
    at = judged.families.index("network")
    of = {name: np.isin(signups.account, list(ids(group))) for name, group in (("farm", farmed), ("cafe", cafe))}
    mean = {name: judged.llr[inside[left] & inside[right], at].mean() for name, inside in of.items()}
    assert mean["farm"] > 2
    assert mean["cafe"] < 0.5


def test_strangers_share_a_context_and_no_time() -> None:
    signups = table(honest(np.random.default_rng(3), 300, 10))
    of = context(signups)
    left, right = strangers(signups, of, 4, 48 * HOUR)
    assert len(left) > 300
    assert (of[left] == of[right]).all()
    assert (signups.time[right] - signups.time[left] > 48 * HOUR).all()
    assert len(np.unique(of)) > 1


def _bare(size: int, **same: str) -> SignUps:
    return table([{"account": f"a{at}", "time": START + at, **same} for at in range(size)])


@pytest.mark.parametrize(
    "signups",
    [
        make_signups(np.zeros(0, np.int64), np.zeros(0, np.int64), {}, IDENTITY),
        make_signups(np.zeros(0, np.int64), np.zeros(0, np.int64), {"ip": []}, IDENTITY),
        _bare(1, ip="10.0.0.1"),
        _bare(2, ip="10.0.0.1", device="d"),
        _bare(60),
        _bare(60, ip="10.0.0.1"),
        table([{"account": f"a{at}", "time": START + at, "ip": None, "email_shape": "aa"} for at in range(60)]),
        table([person(np.random.default_rng(at), at, START) for at in range(60)]),
    ],
    ids=["none", "no rows", "one", "two", "nothing known", "one value with everyone", "null column", "one instant"],
)
def test_too_little_or_too_alike_is_no_template(signups: SignUps) -> None:
    """Nothing stands out where there is nothing to stand out from: no cluster, no strong pair, no error."""
    told = find(signups)
    assert told.clusters == ()
    assert told.table().num_rows == 0
    for pairs in told.evidence(_graph(signups)):
        assert (pairs.llr < 9).all()


def test_all_identical_is_stated() -> None:
    """A table in which all are alike in everything has no ordinary life to compare with: nothing is claimed."""
    alike = _bare(80, ip="10.0.0.1", device="d", user_agent="x", email_shape="aaa9", name_shape="Aa", domain="e")
    assert find(alike).clusters == ()


@pytest.mark.parametrize(
    ("wrong", "paths"),
    [
        ({"neighbours": 0}, {"neighbours"}),
        ({"prior": 0.9, "least": 1}, {"prior", "least"}),
        ({"belief": float("nan")}, {"belief"}),
        ({"rounds": 2.5, "score": -1, "chunk": True}, {"rounds", "score", "chunk"}),
        ({"strength": "4", "around_s": None}, {"strength", "around_s"}),
    ],
)
def test_wrong_settings(wrong: dict[str, object], paths: set[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        Settings(**wrong)  # type: ignore[arg-type]
    assert {problem.where.path for problem in caught.value.problems} == paths
    assert {problem.slug for problem in caught.value.problems} == {"templates.setting"}
