"""Logins with what is known at them and after: labels and windows against plain loops over the world's events."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from benchmarks.takeover_inside import AFTER, read_inside
from benchmarks.takeover_models import fit, raw
from benchmarks.takeover_recall import OTHER, VARIED, WORLD, inputs, joined, rules
from shoal.simulate import Scenario, read_scenario, simulate


@pytest.fixture(scope="module")
def scenario() -> Scenario:
    whole = read_scenario(WORLD)
    attacks = tuple(replace(one, start_day=4.0, days=5.0, victims=8) for one in whole.adversaries)
    return replace(whole, days=10, population=replace(whole.population, accounts=150), adversaries=attacks)


def test_rows_labels_and_windows_are_those_of_the_events(scenario: Scenario) -> None:
    found = read_inside(scenario, 3)
    world = simulate(scenario, seed=3)
    parts = list(world.parts())
    events = pa.concat_tables([part.events for part in parts], promote_options="default").to_pylist()
    truth = {row["event_id"]: row["attack"] for part in parts for row in part.truth.to_pylist() if row["harmful"]}
    since = scenario.start + 4 * 86_400_000_000
    logins: dict[str, int] = {}
    wanted = []
    for event in sorted(events, key=lambda one: (one["time"], one["event_id"])):
        if event["type"] == "login.succeeded":
            if logins.get(event["account"], 0) and event["time"] >= since:
                wanted.append(event)
            logins[event["account"]] = logins.get(event["account"], 0) + 1
    assert found.event.tolist() == [event["event_id"] for event in wanted]
    assert found.attack.tolist() == [truth.get(event["event_id"], "") for event in wanted]
    assert set(found.attack) >= {"", "naive", "targeted"}
    sessions: dict[str, list[tuple[int, str]]] = {}
    for event in events:
        sessions.setdefault(event["session"], []).append((event["time"], event["type"]))
    for row, login in enumerate(wanted):
        then = [kind for time, kind in sessions[login["session"]] if 0 <= time - login["time"] < 300_000_000]
        for name, types in AFTER.items():
            assert found.after[f"after_{name}"][row] == sum(kind in types for kind in then)
    assert {len(column) for column in (found.at_login | found.after).values()} == {len(wanted)}


def test_models_never_see_the_truth(scenario: Scenario) -> None:
    world = joined([read_inside(scenario, 3), read_inside(scenario, 4)])
    x, names = inputs(world, "post")
    assert not {"attack", "event", "account"} & set(names)
    left_out = set(inputs(world, "score")[1]) - set(inputs(world, "no_device")[1])
    assert left_out == {"device", "device_seen", "device_accounts"}
    labels = (world.attack != "").astype(np.int64)
    x, names = inputs(world, "score")
    found = raw(fit(x, labels, rounds=20, leaves=7), x)
    assert found[labels == 1].mean() > found[labels == 0].mean() + 1
    assert rules(world)[labels == 1].mean() > rules(world)[labels == 0].mean() + 1


def test_the_scenarios_are_of_takeovers_alone() -> None:
    for path in (WORLD, VARIED, OTHER):
        assert {one.kind for one in read_scenario(path).adversaries} == {"account_takeover"}
