"""The laws of a world: repeatable, ordered, honest people untouched by attacks, truth that fits."""

import dataclasses

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shoal.errors import InvalidInput
from shoal.events.schema import GIVEN_COLUMNS, check_table
from shoal.simulate import BENIGN_KINDS, KINDS, TRUTH_EVENTS, TRUTH_LABELS, builtin_scenario, simulate
from shoal.simulate.scenario import ADVERSARIES, parse_scenario
from shoal.simulate.scenario.adversaries import FROM, TOOLS
from shoal.simulate.scenario.schema import CALENDAR_KINDS

DAY = 86_400_000_000


def events_of(world):
    return pl.from_arrow(pa.concat_tables(world.blocks(), promote_options="default"))


@pytest.fixture(scope="module")
def tiny():
    return simulate(builtin_scenario("tiny"))


@pytest.fixture(scope="module")
def events(tiny):
    return events_of(tiny)


def test_blocks_are_event_tables(tiny):
    given_names = {spec.name for spec in GIVEN_COLUMNS}
    for block in tiny.blocks():
        check_table(block)
        assert set(block.column_names) <= given_names
        assert all(column.null_count < block.num_rows for column in block.columns)
        block.validate(full=True)


def test_same_seed_same_world_other_seed_other_world(events):
    again = events_of(simulate(builtin_scenario("tiny")))
    assert again.equals(events)
    other = events_of(simulate(builtin_scenario("tiny"), seed=99))
    assert not set(other["event_id"]) & set(events["event_id"])


def test_a_world_can_be_lived_again(tiny, events):
    assert events_of(tiny).equals(events)


@pytest.mark.parametrize("rows", [1, 97, 5000])
def test_results_do_not_depend_on_the_block_size(events, rows):
    scenario = builtin_scenario("tiny")
    if rows == 1:
        people = dataclasses.replace(scenario.population, accounts=40)
        scenario = dataclasses.replace(scenario, days=1, adversaries=(), population=people)
        events = events_of(simulate(scenario))
    world = simulate(scenario, block_rows=rows)
    blocks = list(world.blocks())
    assert max(block.num_rows for block in blocks) <= rows
    assert pl.from_arrow(pa.concat_tables(blocks, promote_options="default")).select(events.columns).equals(events)


def test_attacks_leave_honest_people_as_they_are(tiny, events):
    scenario = builtin_scenario("tiny")
    quiet = events_of(simulate(dataclasses.replace(scenario, adversaries=())))
    attacked = pl.from_arrow(tiny.truth).filter(pl.col("attack").is_not_null())["event_id"]
    honest = events.filter(~pl.col("event_id").is_in(attacked.implode()))
    assert honest.select(quiet.columns).equals(quiet)
    assert len(attacked) > 500


def test_one_attack_less_leaves_the_other_attacks_events(tiny):
    scenario = builtin_scenario("tiny")
    fewer = simulate(dataclasses.replace(scenario, adversaries=scenario.adversaries[:3]))
    columns = ["event_id", "time", "attack", "kind"]
    ids = [a.id for a in scenario.adversaries[:3]]
    whole = pl.from_arrow(tiny.truth).filter(pl.col("attack").is_in(ids)).select(columns)
    assert whole.equals(pl.from_arrow(fewer.truth).filter(pl.col("attack").is_not_null()).select(columns))


def test_delivery_disorder_late_and_duplicates():
    scenario = builtin_scenario("tiny")
    delivery = dataclasses.replace(scenario.delivery, late_share=0.02, duplicate_share=0.03)
    world = simulate(dataclasses.replace(scenario, delivery=delivery))
    parts = list(world.parts())
    events = pl.from_arrow(pa.concat_tables([p.events for p in parts], promote_options="default"))
    copies = events.filter(~pl.col("event_id").is_first_distinct())
    assert len(copies) == sum(p.duplicates for p in parts)
    assert len(copies) / len(events) == pytest.approx(0.03, abs=0.006)
    assert len(events.unique()) == events["event_id"].n_unique()  # copies are exact
    first = events.filter(pl.col("event_id").is_first_distinct())
    assert first["received"].is_sorted()
    wait = first["received"] - first["time"]
    assert wait.min() >= 0
    late = sum(p.late for p in parts)
    assert late / len(first) == pytest.approx(0.02, abs=0.005)
    assert int((wait > 600_000_000).sum()) == late
    assert wait.median() < 5_000_000


def test_times_lie_inside_the_scenario(tiny, events):
    start, days = tiny.scenario.start, tiny.scenario.days
    assert events["time"].min() >= start
    assert events["time"].max() < start + days * DAY


def test_facts_come_before_the_events_that_need_them(tiny):
    known: set[tuple[str, str]] = set()
    names: dict[str, set[str]] = {}
    for part in tiny.parts():
        assert np.all(np.diff(part.places) >= 0)
        facts, at = part.facts.to_pylist(), 0
        for row, event in enumerate(part.events.to_pylist()):
            while at < len(facts) and part.places[at] <= row:
                fact = facts[at]
                known.add((fact["subject_type"], fact["subject"]))
                names.setdefault(fact["subject"], set()).add(fact["name"])
                at += 1
            for column in ("actor", "owner", "recipient"):
                if event.get(column) and "@" not in event[column]:
                    assert ("account", event[column]) in known, event
            if event["type"].startswith("link."):
                assert ("link", event["link"]) in known
        assert at == len(facts)
    table = pl.from_arrow(tiny.facts)
    assert table["time"].is_sorted()
    assert table.select("subject", "name").is_duplicated().sum() == 0
    assert set(table["name"]) == {"created", "tier", "verified", "org"}


def test_truth_and_labels(tiny, events):
    assert tiny.truth.schema == TRUTH_EVENTS
    labels, truth = pl.from_arrow(tiny.labels()), pl.from_arrow(tiny.truth)
    assert tiny.labels().schema == TRUTH_LABELS
    assert set(truth["event_id"]) <= set(events["event_id"])
    assert truth["event_id"].is_unique().all()
    assert set(labels["kind"]) <= {*KINDS, *BENIGN_KINDS}
    assert set(truth.filter(pl.col("harmful"))["attack"]) == {a.id for a in tiny.scenario.adversaries}
    assert truth.filter(pl.col("harmful"))["attack"].null_count() == 0
    assert labels.filter(pl.col("kind").str.starts_with("benign"))["attack"].null_count() == len(
        labels.filter(pl.col("kind").str.starts_with("benign"))
    )
    assert (labels["known_at"] >= labels["start"]).all()
    assert (labels.filter(pl.col("end").is_not_null()).select(pl.col("end") > pl.col("start")).to_series()).all()
    people = set(events["account"]) | set(events["owner"]) | set(events["actor"])
    assert (
        set(labels.filter((pl.col("subject_type") == "account") & ~pl.col("kind").str.starts_with("benign"))["subject"])
        <= people
    )
    assert set(labels.filter(pl.col("subject_type") == "ip")["subject"]) <= set(events["ip"])
    assert set(labels.filter(pl.col("subject_type") == "file_sha256")["subject"]) <= set(events["file_sha256"])


def test_harm_of_a_hijacked_account_lies_inside_its_label(tiny, events):
    labels = pl.from_arrow(tiny.labels()).filter(pl.col("kind") == "account_takeover")
    truth = pl.from_arrow(tiny.truth)
    harm = truth.filter((pl.col("kind") == "account_takeover") & pl.col("harmful"))
    found = harm.join(events.unique("event_id"), on="event_id").filter(pl.col("actor").is_not_null())
    inside = found.join(labels, left_on="account", right_on="subject").filter(
        (pl.col("time") >= pl.col("start")) & (pl.col("time") < pl.col("end"))
    )
    drops = pl.from_arrow(tiny.labels()).filter(pl.col("kind") == "fake_accounts")["subject"]
    assert set(found["event_id"]) - set(found.filter(pl.col("actor").is_in(drops.implode()))["event_id"]) <= set(
        inside["event_id"]
    )
    recovery = truth.filter(pl.col("kind") == "recovery").join(events.unique("event_id"), on="event_id")
    after = recovery.join(labels, left_on="account", right_on="subject").filter(pl.col("time") >= pl.col("end"))
    assert set(after["event_id"]) == set(recovery["event_id"])


SMALL = "shoal_scenario: 1\nname: s\nstart: 2025-03-03\ndays: 1\npopulation: {accounts: 60, signups_per_day: 5}\n"


@st.composite
def odd_scenarios(draw):
    share, reuse = st.sampled_from([0, 0.01, 0.5, 1]), st.sampled_from([1, 2.5, 100])
    lines = [
        "shoal_scenario: 1", "name: s", "start: 2025-03-08", f"days: {draw(st.integers(1, 2))}",
        f"population: {{accounts: {draw(st.integers(20, 80))}, signups_per_day: {draw(st.sampled_from([0, 40]))}, "
        f"mfa_share: {draw(share)}, passkey_share: {draw(share)}, household_share: {draw(share)}, "
        f"dormant_share: {draw(share)}, organisations: {{share: {draw(share)}, sso_share: {draw(share)}}}}}",
        f"activity: {{sessions_per_day: {draw(st.sampled_from([0.001, 1, 6]))}, login_share: {draw(share)}, "
        f"actions_per_session: {draw(st.sampled_from([0, 3]))}, shared_files: {draw(share)}}}",
        f"networks: {{hosting_addresses: 16, static_share: {draw(share)}, ipv6_share: {draw(share)}, "
        f"mobile_share: {draw(share)}, vpn: {{user_share: {draw(share)}, addresses: 1, providers: 1}}}}",
        f"links: {{visits_mean: {draw(st.sampled_from([0, 3]))}, viral_visits: 30, false_reports_per_week: 20}}",
        f"habits: {{travel_per_week: {draw(share)}, backups_per_week: {draw(share)}, leavers_per_week: {draw(share)}}}",
        f"moderation: {{review_share: {draw(share)}, reporters: {draw(st.sampled_from([0, 5]))}, review_h: 2}}",
        f"delivery: {{late_share: {draw(share)}, duplicate_share: {draw(share)}, disorder_s: {draw(share)}}}",
    ]  # fmt: skip
    if draw(st.booleans()):
        few = st.sampled_from([0, 1, 3])
        lines.append(
            f"structure: {{means: {{card_share: {draw(share)}, phone_share: {draw(share)}, "
            f"recovery_share: {draw(share)}, company_cards: {draw(share)}, attested_share: {draw(share)}, "
            f"invited_share: {draw(share)}, folder_share: {draw(share)}}}, "
            f"campuses: {{count: {draw(few)}, students: {draw(st.sampled_from([2, 30]))}, "
            f"lab_computers: {draw(few)}, lab_share: {draw(share)}, class_size: {draw(st.sampled_from([2, 9]))}}}, "
            f"resellers: {{count: {draw(few)}, customers: 4, sets_up: {draw(share)}}}, "
            f"onboardings: {{count: {draw(few)}}}, following: {{channels: {draw(few)}, followers: 9}}, "
            f"teams: {{morning_share: {draw(share)}}}}}"
        )
    if draw(st.booleans()):
        lines.append("homes: [{country: IS, city: Vik, lat: 63.4, lon: -19, utc_offset_h: 0}]")
    happenings = draw(st.lists(st.sampled_from(CALENDAR_KINDS), max_size=2))
    if happenings:
        lines.append("calendar:")
    for kind in happenings:
        lines.append(f"  - {{kind: {kind}, day: {draw(st.sampled_from([0, 0.6]))}, factor: 3, files: 20, visits: 30}}")
    lines.append("adversaries:")
    for kind in draw(st.lists(st.sampled_from(sorted(ADVERSARIES)), max_size=3)):
        more = ""
        if hasattr(ADVERSARIES[kind], "origin"):
            more = f", origin: {draw(st.sampled_from(FROM))}"
        if hasattr(ADVERSARIES[kind], "tool"):
            more += f", tool: {draw(st.sampled_from(TOOLS))}"
        if kind == "account_takeover":
            more += f", near: {draw(st.sampled_from(['anywhere', 'country', 'city', 'network']))}, token: {draw(share)}"
            more += f", victims: 30, share_out: {draw(share)}, exfiltrate: {draw(share)}"
        if kind in ("credential_stuffing", "password_spraying"):
            more += f", attempts: {draw(st.sampled_from([1, 300]))}, hit_rate: {draw(share)}, use_rate: 1, share_out: 1"
        if kind == "operation":
            more += f", accounts: {draw(st.sampled_from([2, 30]))}, cell_size: {draw(st.sampled_from([0, 3, 50]))}"
            more += f", aged_share: {draw(share)}, hijacked_share: {draw(share)}, mutation: {draw(share)}"
            more += f", address_reuse: {draw(reuse)}, device_reuse: {draw(reuse)}, card_reuse: {draw(reuse)}"
            more += f", camouflage: {draw(share)}, popular: {draw(share)}, honest_targets: {draw(share)}"
            more += f", invited: {draw(share)}, app_share: {draw(share)}, stagger_h: {draw(st.sampled_from([0, 90]))}"
        if kind in ("phishing", "malware"):
            more += f", fresh: {draw(share)}, visits: 5"
        start = draw(st.sampled_from([0, 0.5, 0.99]))
        lines.append(f"  - {{id: a{len(lines)}, kind: {kind}, start_day: {start}{more}}}")
    if lines[-1] == "adversaries:":
        lines.pop()
    return "\n".join(lines)


@given(odd_scenarios())
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_any_valid_scenario_runs(text):
    world = simulate(parse_scenario(text), block_rows=4000)
    for part in world.parts():
        check_table(part.events)
        if part.events.num_rows:
            service = pc.is_in(part.events["type"], pa.array(["abuse.resolved", "link.stopped", "file.removed"]))
            assert pc.equal(pc.is_null(part.events["ip"]), service).to_pylist().count(False) == 0
    assert world.labels().schema == TRUTH_LABELS


def test_a_world_without_events_has_people():
    text = SMALL.replace("signups_per_day: 5", "signups_per_day: 0") + (
        "activity: {sessions_per_day: 0.001, sessions_sigma: 0}\nlinks: {visits_mean: 0, viral_per_week: 0}\n"
    )
    parts = list(simulate(parse_scenario(text), seed=3).parts())
    assert len(set(pl.from_arrow(pa.concat_tables([p.facts for p in parts]))["subject"])) >= 60


def test_refused_arguments_are_told_together():
    with pytest.raises(InvalidInput) as caught:
        simulate(builtin_scenario("tiny"), seed=-1, block_rows=0)
    assert [p.slug for p in caught.value.problems] == ["simulate.seed", "simulate.block_rows"]
    for wrong in ({"seed": 1 << 31}, {"block_rows": 4_000_001}):
        with pytest.raises(InvalidInput):
            simulate(builtin_scenario("tiny"), **wrong)
