"""Whether the world looks like one: rhythm, tails, failures, shared networks; and no form gives an attack away."""

import dataclasses

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from shoal.simulate import builtin_scenario, simulate
from shoal.simulate.scenario import parse_scenario

DAY = 86_400_000_000
HOUR = DAY // 24

ONE_CITY = """
shoal_scenario: 1
name: city
start: 2025-03-03
days: 7
population: {accounts: 3000, organisations: {share: 0.5, sso_share: 0}}
homes: [{country: DE, city: X, lat: 50, lon: 8, utc_offset_h: 1}]
activity: {sessions_per_day: 1}
"""


@pytest.fixture(scope="module")
def city():
    world = simulate(parse_scenario(ONE_CITY))
    return world, pl.from_arrow(pa.concat_tables(world.blocks(), promote_options="default")).unique("event_id")


@pytest.fixture(scope="module")
def attacked():
    scenario = builtin_scenario("fortnight")
    small = dataclasses.replace(scenario.population, accounts=4000)
    world = simulate(dataclasses.replace(scenario, population=small))
    events = pl.from_arrow(pa.concat_tables(world.blocks(), promote_options="default")).unique("event_id")
    truth = pl.from_arrow(world.truth).select("event_id", "attack", "kind", "harmful")
    return events.join(truth, on="event_id", how="left"), world


def test_people_sleep_and_work(city):
    _, events = city
    sessions = events.filter(pl.col("type").is_in(["session.used", "session.started"]))
    local = sessions.with_columns(hour=(pl.col("time") + HOUR) % DAY // HOUR, day=(pl.col("time") + HOUR) // DAY)
    work = local.filter(pl.col("org").is_not_null())
    private = local.filter(pl.col("org").is_null())
    assert work.filter(pl.col("hour").is_between(9, 16)).height / work.height > 0.6
    assert private.filter(pl.col("hour").is_between(18, 22)).height / private.height > 0.3
    for part in (work, private):
        assert part.filter(pl.col("hour").is_between(2, 4)).height / part.height < 0.05
    weekday = (local["day"] + 3) % 7  # 0 Monday
    by_day = np.bincount(weekday.filter(local["org"].is_not_null()).to_numpy(), minlength=7)
    assert by_day[5:].mean() < 0.3 * by_day[:5].mean()
    by_day = np.bincount(weekday.filter(local["org"].is_null()).to_numpy(), minlength=7)
    assert by_day[5:].mean() == pytest.approx(0.9 * by_day[:5].mean(), rel=0.1)


def test_honest_failures_keep_their_ratio(city):
    _, events = city
    passwords = events.filter((pl.col("type") == "login.succeeded") & (pl.col("method") == "password")).height
    failed = events.filter(pl.col("type") == "login.failed").height
    # typos 7 % × 1.4 tries, forgotten .8 % × 3, wrong names .6 %, those who give up
    assert failed / passwords == pytest.approx(0.16, abs=0.04)
    resets = events.filter(pl.col("type") == "password.reset").height
    assert resets / passwords == pytest.approx(0.008, abs=0.005)
    by_day = (
        events.with_columns(day=pl.col("time") // DAY)
        .group_by("day")
        .agg((pl.col("type") == "login.failed").sum() / (pl.col("type") == "login.succeeded").sum())
    )
    assert by_day["type"].max() < 2.5 * by_day["type"].min()


def test_activity_has_a_heavy_tail(city):
    _, events = city
    counts = events.filter(pl.col("actor").is_not_null()).group_by("actor").len()["len"].sort(descending=True)
    assert counts.head(counts.len() // 20).sum() / counts.sum() > 0.2
    assert counts.median() < counts.mean()


def test_honest_people_share_networks(city):
    _, events = city
    people = events.filter(pl.col("actor").is_not_null())
    shared = people.group_by("network_kind", "ip").agg(pl.col("actor").n_unique())
    of = {kind: shared.filter(pl.col("network_kind") == kind)["actor"] for kind in ("home", "mobile", "office")}
    assert of["mobile"].median() > 20
    assert of["office"].median() > 2
    assert 1 <= of["home"].mean() < 1.6
    moving = people.filter(pl.col("network_kind") == "home").group_by("actor").agg(pl.col("ip").n_unique())
    assert (moving["ip"] > 1).mean() > 0.1
    devices = people.group_by("device").agg(pl.col("actor").n_unique())
    assert devices["actor"].max() == 1


def test_a_login_stands_before_its_session(city):
    _, events = city
    starts = events.filter(pl.col("type") == "session.started").select("session", begun="time")
    logins = events.filter(pl.col("type").is_in(["login.succeeded", "account.created"])).select("session", "time")
    both = starts.join(logins, on="session", how="left")
    assert both["time"].null_count() == 0
    assert (both["begun"] > both["time"]).all()
    assert starts["session"].is_unique().all()
    acts = events.filter(pl.col("type").str.starts_with("file.")).join(starts, on="session")
    assert (acts["time"] >= acts["begun"]).mean() == 1.0
    owners = events.filter(pl.col("session").is_not_null()).group_by("session").agg(pl.col("actor").n_unique())
    assert owners["actor"].max() == 1


def test_challenges_lie_between_password_and_login(city):
    _, events = city
    some = events.filter(pl.col("type").str.starts_with("challenge.") | (pl.col("type") == "login.succeeded"))
    passed = some.filter(pl.col("type") == "challenge.passed").sort("time")
    logins = some.filter(pl.col("type") == "login.succeeded").sort("time").select("account", "time", at="time")
    next_login = passed.join_asof(logins, on="time", by="account", strategy="forward", check_sortedness=False)
    assert ((next_login["at"] - next_login["time"]) < 4_000_000).mean() == 1.0


def test_nothing_in_the_form_gives_an_attack_away(attacked):
    events, _ = attacked
    assert events["event_id"].str.len_chars().n_unique() == 1
    for column in ("session", "device", "actor", "link", "file", "account"):
        assert events[column].drop_nulls().str.len_chars().n_unique() == 1, column
    bad, good = events.filter(pl.col("harmful")), events.filter(pl.col("attack").is_null())
    for column in ("user_agent", "client", "method", "reason", "outcome", "permission", "domain", "country", "asn"):
        careful = bad.filter(~pl.col("attack").is_in(["farm-plain", "farm-proxied"])) if column == "domain" else bad
        strange = set(careful[column].drop_nulls()) - set(good[column].drop_nulls())
        assert not strange, (column, strange)
    for kind in set(bad["type"]):
        if kind in ("file.renamed", "file.deleted"):
            continue
        ours, theirs = bad.filter(pl.col("type") == kind), good.filter(pl.col("type") == kind)
        filled = {c for c in ours.columns if ours[c].null_count() == 0}
        usual = {c for c in theirs.columns if theirs[c].null_count() == 0}
        assert usual - {"attack", "kind", "harmful"} <= filled, kind
    sent = bad.filter(pl.col("type") == "link.created")["file_name"].str.split(".").list.last()
    assert set(sent) <= set(good.filter(pl.col("type") == "file.uploaded")["file_name"].str.split(".").list.last())
    gaps = events.filter(pl.col("type").is_in(["login.succeeded", "session.started"])).sort("time")
    gaps = (
        gaps.filter(pl.col("session").is_not_null())
        .group_by("session")
        .agg((pl.col("time").last() - pl.col("time").first()).alias("gap"), pl.col("harmful").last())
    )
    by = {bool(k[0]): v["gap"] for k, v in gaps.filter(pl.col("gap").is_between(1, 1_000_000)).group_by("harmful")}
    assert by[True].mean() == pytest.approx(by[False].mean(), rel=0.15)
    lows = (bad["time"] % 1_000_000 == 0).mean()
    assert lows < 0.001


def test_evasion_changes_where_attacks_come_from(attacked):
    events, _ = attacked

    def seen(attack, column):
        return events.filter(pl.col("harmful") & (pl.col("attack") == attack) & (pl.col("type") == "login.failed"))[
            column
        ]

    assert seen("stuffing-plain", "ip").n_unique() <= 6
    assert seen("stuffing-slow", "ip").n_unique() > 1500
    assert set(seen("stuffing-vpn", "network_kind")) == {"vpn"}
    assert (seen("stuffing-slow", "network_kind") == "home").mean() > 0.98  # some opened accounts are tried again later
    assert (seen("stuffing-plain", "user_agent").str.starts_with("python-requests")).mean() > 0.99
    assert seen("stuffing-slow", "user_agent").n_unique() > 20


def test_near_intruders_are_near(attacked):
    events, world = attacked
    opened = events.filter((pl.col("type") == "login.succeeded") & pl.col("harmful"))
    honest = events.filter(
        (pl.col("network_kind") == "home") & pl.col("attack").is_null() & pl.col("actor").is_not_null()
    )
    countries = honest.group_by("actor").agg(pl.col("country").mode().first().alias("own"))
    joined = opened.join(countries, on="actor")

    def same(attack):
        return (joined.filter(pl.col("attack") == attack).select(pl.col("country") == pl.col("own")).to_series()).mean()

    assert same("takeover-near") > 0.9
    assert same("takeover-abroad") < 0.5
    assert world.scenario.name == "fortnight"


def test_office_moves_and_renumbering(attacked):
    events, world = attacked
    start = world.scenario.start
    moved = int(start + 6.3 * DAY)
    labels = pl.from_arrow(world.labels()).filter(pl.col("kind") == "benign_office_move")["subject"]
    office = events.filter((pl.col("network_kind") == "office") & pl.col("actor").is_in(labels.implode()))
    before = set(office.filter(pl.col("time") < moved)["ip"])
    after = set(office.filter(pl.col("time") > moved + HOUR)["ip"])
    assert before
    assert after
    assert len(before & after) == 0
