"""The structure of the honest world: who shares means, addresses and interests, and that it is off unless asked for."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shoal.simulate import GROUP_KINDS, TRUTH_GROUPS, builtin_scenario, simulate, write_world
from shoal.simulate.scenario import parse_scenario

MINUTE = 60_000_000
DAY = 1440 * MINUTE
TOWN = """
shoal_scenario: 1
name: town
start: 2025-03-03
days: 8
seed: 5
population: {accounts: 2500, signups_per_day: 30, household_share: 0.5, organisations: {share: 0.3}}
homes:
  - {country: DE, city: X, lat: 50, lon: 8, utc_offset_h: 1, weight: 3}
  - {country: US, city: Y, lat: 40, lon: -83, utc_offset_h: -5, weight: 1}
activity: {sessions_per_day: 0.8, actions_per_session: 2}
links: {viral_per_week: 0}
"""
STRUCTURE = """
structure:
  means:
    {card_share: 0.2, phone_share: 0.4, recovery_share: 0.3, company_cards: 0.3, attested_share: 0.5,
     invited_share: 0.5, own_domain_share: 0.1, folder_share: 0.6}
  campuses: {count: 1, students: 500, addresses: 3, lab_computers: 8, lab_share: 0.2, class_size: 20}
  resellers: {count: 3, customers: 20}
  following: {channels: 6, followers: 60}
  onboardings: {count: 3, size: 15}
  teams: {morning_share: 0.5}
"""
OLD = {  # of worlds made smaller, before there was any structure
    "brigading": "2e37d144e86d609edb896ce3",
    "giveaway-abuse": "11e03b839faa1b186032b658",
    "ransomware": "1438345adce39b456b60385b",
    "viral-links": "d93edfd79d290e2b2a50f610",
}


def frame(world):
    return (
        pl.from_arrow(pa.concat_tables(world.blocks(), promote_options="default"))
        .unique("event_id")
        .sort("time", "event_id")
    )


def said(events, name):
    """Events whose attributes say `name`, with its value in the column `said`."""
    some = events.filter(pl.col("attributes").is_not_null() & pl.col("attributes").str.contains(f'"{name}":'))
    return some.with_columns(said=pl.Series([json.loads(text)[name] for text in some["attributes"]]))


@pytest.fixture(scope="module")
def town():
    world = simulate(parse_scenario(TOWN + STRUCTURE))
    return world, frame(world), pl.from_arrow(world.groups())


def group(town, kind):
    return town[2].filter(pl.col("kind") == kind)


@pytest.mark.parametrize("name", sorted(OLD))
def test_worlds_without_structure_keep_their_bytes(name, tmp_path):
    scenario = builtin_scenario(name)
    days = min(scenario.days, 6)
    world = simulate(
        replace(
            scenario, days=days, population=replace(scenario.population, accounts=1500),
            adversaries=tuple(a for a in scenario.adversaries if a.start_day < days),
            calendar=tuple(h for h in scenario.calendar if h.day < days),
        )
    )  # fmt: skip
    write_world(world, tmp_path)
    found = hashlib.sha256((tmp_path / "events.ndjson").read_bytes())
    found.update(repr(world.labels().to_pylist()).encode())
    found.update(repr(world.truth.to_pylist()).encode())
    assert found.hexdigest().startswith(OLD[name])


def test_nothing_of_it_is_there_by_default():
    events = frame(simulate(parse_scenario(TOWN)))
    assert not set(events["type"]) & {"payment.added", "phone.verified", "recovery.changed"}
    stated = set(events["attributes"].drop_nulls())
    assert all(set(json.loads(text)) == {"email_shape", "name_shape"} for text in stated)


def test_the_same_seed_gives_the_same_world(town):
    again = simulate(parse_scenario(TOWN + STRUCTURE))
    assert frame(again).equals(town[1])
    assert again.groups().equals(town[0].groups())


def test_groups_are_a_table(town, tmp_path):
    world, events, groups = town
    assert world.groups().schema == TRUTH_GROUPS
    assert set(groups["kind"]) == set(GROUP_KINDS) - {"operation"}
    assert groups["attack"].null_count() == groups.height
    assert groups.select("account", "group").is_duplicated().sum() == 0
    assert groups.group_by("group").agg(pl.col("kind").n_unique())["kind"].max() == 1
    assert groups.group_by("group").len()["len"].min() >= 2
    assert set(events["actor"].drop_nulls()) <= set(pl.from_arrow(world.facts)["subject"])
    small = simulate(parse_scenario((TOWN + STRUCTURE).replace("days: 8", "days: 1")))
    manifest = write_world(small, tmp_path)
    assert pq.read_table(tmp_path / "groups.parquet").equals(small.groups())
    assert manifest.groups == small.groups().num_rows


@pytest.mark.parametrize(
    ("kind", "name", "shared"),
    [
        ("payment.added", "payment_hash", ("benign_family", "benign_company_card", "benign_reseller")),
        ("phone.verified", "phone_hash", ("benign_couple",)),
        ("recovery.changed", "recovery_hash", ("benign_family", "benign_reseller")),
    ],
)
def test_means_are_given_once_and_shared_in_groups_alone(town, kind, name, shared):
    _, events, groups = town
    given = events.filter(pl.col("type") == kind)
    assert given.height > 200
    assert given["actor"].is_unique().all()
    found = said(given, name)
    assert found.height == given.height
    assert found["said"].str.contains("^[0-9a-f]{16}$").all()
    several = found.with_columns(users=pl.col("actor").n_unique().over("said")).filter(pl.col("users") > 1)
    assert 10 < several.height < 0.6 * found.height
    mine = groups.filter(pl.col("kind").is_in(shared)).select("account", "group")
    in_groups = several.join(mine, left_on="actor", right_on="account")
    held = in_groups.group_by("said", "group").agg(pl.col("actor").n_unique(), pl.col("users").first())
    assert set(held.filter(pl.col("actor") == pl.col("users"))["said"]) == set(several["said"])
    started = (
        events.filter(pl.col("type").is_in(["session.started", "session.used"]))
        .group_by("session")
        .agg(pl.col("time").min().alias("begun"))
    )
    before = given.join(started, on="session", how="left")
    assert (before["begun"] < before["time"]).mean() > 0.99


def test_families_and_couples_live_together(town):
    homes = group(town, "benign_household").select("account", home="group")
    for kind, most in (("benign_family", 6), ("benign_couple", 2)):
        members = group(town, kind).join(homes, on="account", how="left")
        assert members["home"].null_count() == 0
        by = members.group_by("group").agg(pl.col("home").n_unique(), pl.len())
        assert by["home"].max() == 1
        assert 2 <= by["len"].min() <= by["len"].max() <= most


def test_a_reseller_has_many_customers_from_everywhere(town):
    world, events, _ = town
    sold = group(town, "benign_reseller")
    assert sold["group"].n_unique() == 3
    customers = sold.filter(pl.col("role") == "member")
    assert customers.group_by("group").len()["len"].min() >= 8
    cards = said(events.filter(pl.col("type") == "payment.added"), "payment_hash").join(
        customers.select("account", "group"), left_on="actor", right_on="account"
    )
    assert cards.group_by("group").agg(pl.col("said").n_unique())["said"].to_list() == [1, 1, 1]
    by_hand = cards.group_by("group", "device").agg(pl.col("actor").n_unique())
    assert by_hand["actor"].max() >= 3, "the reseller's own device"
    marked = pl.from_arrow(world.truth).filter(pl.col("kind") == "benign_reseller")
    assert not marked["harmful"].any()
    assert set(cards["event_id"]) <= set(marked["event_id"])
    invited = said(events.filter(pl.col("type") == "account.created"), "invited_by")
    seller = sold.filter(pl.col("role") == "reseller")["account"]
    assert set(seller) & set(invited["said"])


def test_thousands_behind_the_few_addresses_of_a_campus(town):
    _, events, _ = town
    students = group(town, "benign_campus")
    assert students.height == 500
    mine = events.join(students.select("account"), left_on="actor", right_on="account", how="semi")
    shared = mine.group_by("network_kind", "ip").agg(pl.col("actor").n_unique()).sort("actor", descending=True)
    office = shared.filter(pl.col("network_kind") == "office")
    assert office.height == 3
    assert office["actor"].min() > 250
    dormitory = shared.filter(pl.col("network_kind") == "home")["actor"]
    assert dormitory[:2].min() > 50 > dormitory[2]
    others = events.filter(pl.col("ip").is_in(office["ip"].implode()) & pl.col("actor").is_not_null())
    assert set(others["actor"]) <= set(students["account"])
    inside = mine.filter(pl.col("ip").is_in(office["ip"].implode()))
    devices = inside.group_by("device").agg(pl.col("actor").n_unique()).sort("actor", descending=True)
    assert devices["actor"][:8].min() >= 5
    assert devices["actor"][8:].max() == 1


def test_classes_open_their_material_in_the_same_minutes(town):
    world, events, _ = town
    truth = pl.from_arrow(world.truth).filter(pl.col("kind") == "benign_class").select("event_id")
    rows = events.join(truth, on="event_id")
    visits = rows.filter(pl.col("type") == "link.visited")
    by = visits.group_by("link").agg(
        pl.col("actor").n_unique(),
        (pl.col("time").median() - pl.col("time").min()).alias("half"),
        pl.col("owner").first(),
    )
    assert by.height > 100
    assert by["actor"].mean() > 6
    assert by["half"].median() < 15 * MINUTE
    classes = group(town, "benign_class")
    teachers = classes.filter(pl.col("role") == "teacher")["account"]
    assert set(by["owner"]) <= set(teachers)
    local = (visits["time"] + 60 * MINUTE) // DAY
    assert set((local + 3) % 7) <= {0, 1, 2, 3, 4, 5}  # a visit late on Friday may fall on Saturday
    made = rows.filter(pl.col("type") == "link.created").select("link", made="time")
    assert (visits.join(made, on="link").select(pl.col("time") > pl.col("made")).to_series()).all()


def test_teams_open_the_same_files_every_morning(town):
    world, events, _ = town
    truth = pl.from_arrow(world.truth).filter(pl.col("kind") == "benign_team").select("event_id")
    reads = events.join(truth, on="event_id").join(group(town, "benign_team"), left_on="actor", right_on="account")
    assert set(reads["type"]) == {"file.downloaded"}
    assert not reads["external"].any()
    days = reads.group_by("file").agg((pl.col("time") // DAY).n_unique().alias("days"), pl.col("group").n_unique())
    assert days["group"].max() == 1
    assert days["days"].max() >= 5, "one file is the same every day"
    assert (days["days"] == 1).mean() > 0.5, "the others are new"
    hour = reads["time"] % DAY / (60 * MINUTE)
    assert hour.min() > 7.7


def test_followers_come_soon_after_a_post(town):
    world, events, _ = town
    truth = pl.from_arrow(world.truth).filter(pl.col("kind") == "benign_following").select("event_id")
    rows = events.join(truth, on="event_id")
    visits = rows.filter(pl.col("type") == "link.visited")
    fans = group(town, "benign_following").filter(pl.col("role") == "member")
    owners = group(town, "benign_following").filter(pl.col("role") == "channel").select(owner="account", of="group")
    known = visits.join(owners, on="owner").join(
        fans.select(actor="account", of="group"), on=["actor", "of"], how="anti"
    )
    assert known.height == 0
    wait = visits.join(rows.filter(pl.col("type") == "link.created").select("link", made="time"), on="link")
    minutes = (wait["time"] - wait["made"]) / MINUTE
    assert 40 < minutes.median() < 90
    again = visits.group_by("owner", "actor").agg(pl.col("link").n_unique())
    assert (again["link"] >= 3).sum() > 10, "the same people come again and again"


def test_colleagues_sign_up_together(town):
    world, events, _ = town
    new = events.filter(pl.col("type") == "account.created").join(
        group(town, "benign_onboarding"), left_on="actor", right_on="account"
    )
    by = new.group_by("group").agg(
        pl.len(), pl.col("domain").n_unique(), pl.col("org").n_unique(),
        (pl.col("time").max() - pl.col("time").min()).alias("span"), pl.col("ip").mode().len().alias("modes"),
    )  # fmt: skip
    assert by.height == 3
    assert by["len"].min() >= 8
    assert by["domain"].max() == by["org"].max() == 1
    assert by["span"].max() <= 41 * MINUTE
    assert world.people.batch.max() == 2


def test_attributes_are_stated_where_they_should_be(town):
    world, events, _ = town
    attested = said(events, "device_attested")
    assert set(attested["type"]) == {"account.created", "session.started"}
    assert attested["said"].all()
    assert set(attested["client"]) <= {"desktop", "mobile"}
    starts = events.filter((pl.col("type") == "session.started") & pl.col("client").is_in(["desktop", "mobile"]))
    once = starts.group_by("device").agg(pl.col("attributes").is_null().n_unique())
    assert once["attributes"].max() == 1, "a device attests itself always or never"
    assert 0.35 < attested.filter(pl.col("type") == "session.started")["device"].n_unique() / once.height < 0.65
    uploads = events.filter(pl.col("type") == "file.uploaded")
    folders = said(uploads, "folder")
    assert 0.5 < folders.height / uploads.height < 0.7
    assert folders["said"].str.starts_with("/").all()
    assert folders["said"].n_unique() > 100
    created = events.filter(pl.col("type") == "account.created")
    invited = said(created, "invited_by")
    assert 0.3 < invited.height / created.height < 0.75
    known = (
        pl.from_arrow(world.facts).filter(pl.col("name") == "created").select("subject", born=pl.col("value").cast(int))
    )
    born = invited.join(known, left_on="said", right_on="subject", how="left")
    assert (born["born"] < born["time"]).all()
    private = created.filter(pl.col("org").is_null())["domain"]
    assert private.filter(private.str.starts_with("home")).len() > 3


def test_carrier_nat_puts_thousands_behind_one_address():
    text = TOWN.replace("accounts: 2500", "accounts: 6000").replace("days: 8", "days: 5") + (
        "networks: {carriers_per_country: 1, carrier_addresses: 1, mobile_share: 0.5}\n"
    )
    world = simulate(parse_scenario(text.replace("actions_per_session: 2", "actions_per_session: 0.5")))
    events = frame(world).filter((pl.col("network_kind") == "mobile") & pl.col("actor").is_not_null())
    shared = events.group_by("ip").agg(pl.col("actor").n_unique()).sort("actor")
    assert shared.height == 2
    assert 500 < shared["actor"][0] < shared["actor"][1]
    assert 1000 <= shared["actor"][1] <= 10_000
    carriers = pl.from_arrow(world.groups()).filter(pl.col("kind") == "benign_carrier")
    of = dict(carriers.select("account", "group").iter_rows())
    seen = events.filter(pl.col("actor").is_not_null()).select("actor", "ip").unique()
    by = (
        seen.with_columns(group=pl.Series([of[a] for a in seen["actor"]]))
        .group_by("ip")
        .agg(pl.col("group").n_unique())
    )
    assert by["group"].to_list() == [1, 1]


def test_an_hour_of_a_class_is_a_local_one():
    world = simulate(parse_scenario(TOWN + STRUCTURE))
    one = world.people.communities
    assert len(one.campus_city) == 1
    assert world.scenario.homes[int(one.campus_city[0])].city == "X"
    assert np.all(world.people.home[: world.people.honest][one.campus >= 0] == one.campus_city[0])
