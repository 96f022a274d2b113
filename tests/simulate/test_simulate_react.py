"""The reacting world: it is the open world until something is done, repeatable, and holds what each action promises."""

import dataclasses

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oracles.react_worlds import FAILED, HOUR, LEASE, TINY, actions, frame, live, once
from shoal.errors import InvalidInput
from shoal.simulate import simulate
from shoal.simulate.catalogue import ACTIONS
from shoal.simulate.react import ACTIONS_SCHEMA, SEMANTICS, ReactiveWorld


@pytest.fixture(scope="module")
def open_world():
    world = simulate(TINY)
    return world, list(world.parts())


@settings(max_examples=6, deadline=None)
@given(st.lists(st.floats(1, 30), min_size=1, max_size=6))
def test_without_actions_it_is_the_open_world(open_world, hours):
    world, parts = open_world
    found, reactive, turn = [], ReactiveWorld(TINY), 0
    while not reactive.over:
        found.append(reactive.step(reactive.now + int(hours[turn % len(hours)] * HOUR)))
        turn += 1
        reactive.act(ACTIONS_SCHEMA.empty_table())
    for name in ("events", "facts", "truth"):
        before, after = (pa.concat_tables([getattr(p, name) for p in some if getattr(p, name).num_rows],
                         promote_options="default") for some in (parts, found))  # fmt: skip
        assert after.select(before.column_names).combine_chunks().equals(before.combine_chunks())
        assert set(after.column_names) == set(before.column_names)
    assert places(found) == places(parts)
    assert reactive.labels().equals(world.labels())
    assert reactive.ledger().events == sum(p.events.num_rows for p in parts)


def places(parts):
    """Where facts stand, in the whole world."""
    out, at = [], 0
    for part in parts:
        out += (part.places + at).tolist()
        at += part.events.num_rows
    return out


def against_all(world, part):
    """Everything that can be done to whoever did harm."""
    bad = part.truth.filter(part.truth["harmful"])
    rows = part.events.filter(pa.compute.is_in(part.events["event_id"], bad["event_id"].combine_chunks())).to_pylist()
    out = []
    for row in rows:
        out.append(("ip", row["ip"], "rate_limit", world.now, world.now + HOUR))
        if row["account"] and row["type"] != FAILED:
            for name in ("step_up", "revoke_sessions", "stop_sharing", "notify_owner", "restore_files", "revert_mfa"):
                out.append(("account", row["account"], name, world.now, world.now + 4 * HOUR))
        if row.get("link"):
            out.append(("link", row["link"], "stop_link", world.now, world.now + LEASE))
    return actions(*dict.fromkeys(out))


def test_same_actions_same_bytes_and_a_budget_is_kept():
    runs = [live(TINY, against_all) for _ in range(2)]
    first, second = (pa.concat_tables([p.events for p in parts], promote_options="default") for _, parts in runs)
    assert first.equals(second)
    ledgers = [world.ledger().to_dict() for world, _ in runs]
    assert ledgers[0] == ledgers[1]
    spent = 0
    for adversary in TINY.adversaries:
        one = ledgers[0]["attacks"][adversary.id]
        assert one["accounts_replaced"] <= adversary.budget.accounts
        assert one["addresses_replaced"] <= adversary.budget.addresses
        spent += one["accounts_replaced"] + one["addresses_replaced"]
    assert spent > 0
    ids = first["event_id"].to_pylist()
    whole = pl.from_arrow(first)
    doubles = whole.filter(pl.col("event_id").is_duplicated())
    assert len(set(ids)) == whole.unique().height  # one id, one body: copies are copies
    assert doubles.height < 0.01 * whole.height


def test_without_a_budget_nothing_is_replaced_and_harm_is_less():
    def with_budget(**figures):
        budget = dataclasses.replace(TINY.adversaries[0].budget, **figures)
        return dataclasses.replace(
            TINY, adversaries=tuple(dataclasses.replace(a, budget=budget) for a in TINY.adversaries)
        )

    poor, _ = live(with_budget(accounts=0, addresses=0, retries=0), against_all)
    rich, _ = live(with_budget(accounts=8, addresses=40, retries=3), against_all)
    bare, _ = live(TINY)
    sums = [sum(a.harmful + a.visits for a in world.ledger().attacks.values()) for world in (poor, rich, bare)]
    assert sums[0] < sums[1]
    assert sums[0] < sums[2] * 0.6
    assert all(a.accounts_replaced + a.addresses_replaced + a.retries == 0 for a in poor.ledger().attacks.values())


def test_an_impatient_adversary_gives_up():
    budget = dataclasses.replace(TINY.adversaries[0].budget, patience_h=0.5)
    scenario = dataclasses.replace(
        TINY, adversaries=tuple(dataclasses.replace(a, budget=budget) for a in TINY.adversaries)
    )
    world, parts = live(scenario, against_all)
    stuffing = world.ledger().attacks["stuffing"]
    assert stuffing.stopped_at is not None
    after = frame(parts).filter(
        (pl.col("attack") == "stuffing") & pl.col("harmful") & (pl.col("time") >= stuffing.stopped_at)
    )
    assert after.height == 0


def test_facts_stand_before_what_rests_on_them():
    _, parts = live(TINY, against_all)
    created, at = {}, 0
    for part in parts:
        for place, fact in zip(part.places.tolist(), part.facts.to_pylist(), strict=True):
            if fact["name"] == "created":
                created[fact["subject_type"], fact["subject"]] = at + place
        at += part.events.num_rows
    rows = frame(parts).with_row_index()
    for kind, column in (("account.created", "account"), ("link.created", "link")):
        for row in rows.filter(pl.col("type") == kind).iter_rows(named=True):
            subject = (column.split("_")[0], row[column])
            assert created[subject] <= row["index"], (kind, row[column])


def test_new_accounts_begin_with_their_creation():
    world, parts = live(TINY, against_all)
    rows = frame(parts).filter(pl.col("attack").is_in(["farm", "phish", "virus"]) & pl.col("harmful"))
    made = dict(rows.filter(pl.col("type") == "account.created").select("account", "time").iter_rows())
    assert world.ledger().attacks["phish"].accounts_replaced + world.ledger().attacks["farm"].accounts_replaced > 0
    acted = rows.filter(pl.col("actor").is_in(list(made)))
    early = [row for row in acted.iter_rows(named=True) if row["time"] < made[row["actor"]]]
    assert early == []


BAD = [
    (pa.table({"subject": ["x"]}), "the column 'subject_type' is missing"),
    (actions(("account", "x", "susped", 0)), "no action 'susped'"),
    (actions(("account", "x", "suspend", 0)).set_column(3, "as_of", pa.array(["now"])), "as_of is string"),
    (actions(("account", "x", "suspend", 0)).set_column(1, "subject", pa.array([None], pa.string())), "has nulls"),
]


@pytest.mark.parametrize(("table", "message"), BAD, ids=[b[1] for b in BAD])
def test_bad_actions_are_refused(table, message):
    with pytest.raises(InvalidInput, match=message) as caught:
        ReactiveWorld(TINY).act(table)
    assert {p.slug for p in caught.value.problems} == {"react.actions"}


def test_steps_go_forward_and_labels_wait():
    world = ReactiveWorld(TINY)
    world.step(TINY.start + HOUR)
    for slug, call in (
        ("react.step", lambda: world.step(TINY.start + HOUR)),
        ("react.labels", world.labels),
        ("simulate.seed", lambda: ReactiveWorld(TINY, -1)),
    ):
        with pytest.raises(InvalidInput) as caught:
            call()
        assert [p.slug for p in caught.value.problems] == [slug]


def test_unknown_subjects_change_nothing(open_world):
    _, parts = open_world
    world, found = live(TINY, once(3, lambda _: [("account", "nobody", "suspend"), ("org", "o", "review")]))
    assert world.ledger().without_effect == 1
    assert sum(p.events.num_rows for p in found) == sum(p.events.num_rows for p in parts)


def test_the_table_of_actions_is_whole():
    assert set(SEMANTICS) == set(ACTIONS)


def test_challenges_answer_as_the_scenario_says():
    def shares(owner):
        passing = dataclasses.replace(TINY.reactions.challenges.email_code, owner=owner)
        own = dataclasses.replace(TINY.reactions.challenges.totp, owner=owner)
        push = dataclasses.replace(TINY.reactions.challenges.push, owner=owner)
        challenges = dataclasses.replace(TINY.reactions.challenges, email_code=passing, totp=own, push=push)
        scenario = dataclasses.replace(
            TINY, adversaries=(), reactions=dataclasses.replace(TINY.reactions, challenges=challenges)
        )
        everyone = once(3, lambda events: [("account", a, "step_up") for a in events["actor"].drop_nulls().unique()])
        world, parts = live(scenario, everyone)
        return world.ledger().owners, frame(parts)

    owners, rows = shares(1.0)
    assert owners.challenges == owners.passed > 40
    assert owners.failed == owners.abandoned == owners.denied == 0
    owners, rows = shares(0.0)
    assert owners.passed == 0
    assert min(owners.failed, owners.abandoned) > 10
    asked = rows.filter((pl.col("type") == "challenge.issued") & (pl.col("cause") == "shoal"))
    assert asked.height == owners.challenges
    owners, rows = shares(0.6)
    # within four standard errors of the odds
    assert abs(owners.passed / owners.challenges - 0.6) < 4 * np.sqrt(0.24 / owners.challenges)
