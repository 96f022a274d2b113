"""Honest happenings and habits that look bad: each does to the world what it says, and says so in the truth."""

import json

import polars as pl
import pyarrow as pa
import pytest

from shoal.simulate import builtin_scenario, builtin_scenarios, simulate
from shoal.simulate.scenario import parse_scenario

HOUR = 3_600_000_000
DAY = 24 * HOUR
START = 1_740_960_000_000_000
HEAD = """
shoal_scenario: 1
name: calendar
start: 2025-03-03
days: 4
seed: 5
population: {accounts: 1500, signups_per_day: 20MORE}
activity: {sessions_per_day: 1.5, actions_per_session: 2}
"""


def frame(world):
    table = pa.concat_tables(world.blocks(), promote_options="default")
    return pl.from_arrow(table).unique("event_id").sort("time", "event_id")


def lived(text="", more=""):
    world = simulate(parse_scenario(HEAD.replace("MORE", more) + text))
    events = frame(world).join(pl.from_arrow(world.truth).drop("time"), on="event_id", how="left")
    return events, pl.from_arrow(world.labels())


@pytest.fixture(scope="module")
def plain():
    return lived()


def between(events, first, last):
    return events.filter((pl.col("time") >= START + first * DAY) & (pl.col("time") < START + last * DAY))


def marked(events, kind):
    return events.filter(pl.col("kind") == kind)


def test_nothing_new_by_default(plain):
    events, labels = plain
    new = {
        "invite.accepted", "app.revoked", "link.stopped", "file.removed", "abuse.resolved",
    }  # fmt: skip
    assert not new & set(events["type"])
    assert set(events.filter(pl.col("attributes").is_not_null())["type"]) == {"account.created"}
    old = {"bulk_download", "bulk_delete", "travel", "new_device", "viral_link", "false_report"}
    assert set(labels["kind"]) <= {f"benign_{kind}" for kind in old}


def test_a_happening_leaves_the_days_before_as_they_were(plain):
    events, _ = lived("calendar:\n- {kind: migration, day: 2.4, files: 50}\n- {kind: app_launch, day: 2.2}\n")
    quiet = between(plain[0], 0, 2)
    assert between(events, 0, 2).select(quiet.columns).equals(quiet)


def test_product_launch(plain):
    events, labels = lived("calendar: [{kind: product_launch, day: 2, days: 1, factor: 9}]")
    new = [between(part, 2, 3).filter(pl.col("type") == "account.created").height for part in (plain[0], events)]
    assert new[1] == pytest.approx(20 * 9, rel=0.25)
    assert new[0] == pytest.approx(20, rel=0.6)
    used = [
        between(part, 2, 3).filter(pl.col("type").is_in(["session.started", "session.used"])).height
        for part in (plain[0], events)
    ]
    assert 2 < used[1] / used[0] < 4
    wave = marked(events, "benign_signup_wave")
    assert set(wave["type"]) == {"account.created"}
    assert wave.height == new[1]
    assert set(labels.filter(pl.col("kind") == "benign_signup_wave")["subject"]) == set(wave["account"])


def test_press_brings_telephones_behind_few_addresses():
    text = "calendar: [{kind: press, day: 2, days: 0.5, factor: 30, mobile: MOBILE}]\nnetworks: {carrier_addresses: 4}"
    some, _ = lived(text.replace("MOBILE", "0.9"))
    none, labels = lived(text.replace("MOBILE", "0"))
    share = []
    for events in (some, none):
        new = between(events, 2, 2.5).filter(pl.col("type") == "account.created")
        assert new.height > 150
        share.append((new["network_kind"] == "mobile").mean())
    assert share[0] > 2 * share[1]
    new = between(some, 2, 2.5).filter((pl.col("type") == "account.created") & (pl.col("network_kind") == "mobile"))
    assert new.group_by("ip").len()["len"].max() >= 4
    assert new["country"].n_unique() > 5
    assert "benign_signup_wave" not in set(labels["kind"])


def test_holiday_travel():
    text = "habits: {travel_per_week: 0.05}\ncalendar: [{kind: holiday, day: 1, days: 2, factor: 0.2, travel: TRAVEL}]"
    rate = []
    for travel in ("1", "10"):
        _, labels = lived(text.replace("TRAVEL", travel))
        begun = labels.filter((pl.col("kind") == "benign_travel") & (pl.col("start") >= START + DAY))
        rate.append(begun.filter(pl.col("start") < START + 3 * DAY).height)
    assert rate[1] > 5 * rate[0] > 0


def test_home_providers_renumber(plain):
    events, labels = lived("calendar: [{kind: provider_renumbering, day: 2, country: US}]")
    concerned = set(labels.filter(pl.col("kind") == "benign_renumbering")["subject"])
    assert len(concerned) > 200
    kept = []
    for part, country in ((plain[0], "US"), (events, "US"), (events, "GB")):
        home = part.filter(
            (pl.col("network_kind") == "home") & pl.col("actor").is_not_null() & (pl.col("country") == country)
        )
        before, after = (
            p.group_by("actor").agg(pl.col("ip").unique(), pl.col("asn").first()) for p in
            (between(home, 0, 2), between(home, 2, 4))
        )  # fmt: skip
        both = before.join(after, on="actor", suffix="_after")
        same = both.filter(pl.col("ip").list.set_intersection("ip_after").list.len() > 0)
        kept.append(same.height / both.height)
        if country == "US":
            assert (both["asn"] == both["asn_after"]).mean() > 0.95
    assert kept[0] > 0.6
    assert kept[1] < 0.1
    assert kept[2] > 0.6


def test_login_outage():
    events, _ = lived("calendar: [{kind: login_outage, day: 2.4, days: 0.08}]")
    inside = between(events, 2.4, 2.48)
    assert inside.filter(pl.col("type") == "login.succeeded").height == 0
    failed = marked(inside, "benign_incident")
    assert failed.height > 50
    assert set(failed["type"]) == {"login.failed"}
    assert set(failed["reason"]) == {"unavailable", "bad_password"}
    hour = between(events, 2.48, 2.48 + 1 / 24)
    back = set(hour.filter(pl.col("type").is_in(["session.started", "session.used"]))["account"])
    assert len(back & set(failed["account"])) / failed["account"].n_unique() > 0.5
    assert hour.filter(pl.col("type") == "session.used").height > 0


def test_session_expiry_makes_everybody_log_in_again(plain):
    events, _ = lived("calendar: [{kind: session_expiry, day: 2.5}]")
    before, after = between(events, 0, 2.5), between(events, 2.5, 4)
    old = set(before.filter(pl.col("type").is_in(["session.started", "session.used"]))["session"])
    assert not old & set(after.filter(pl.col("type") == "session.used")["session"])
    logins = [between(part, 2.5, 2.6).filter(pl.col("type") == "login.succeeded").height for part in (plain[0], events)]
    assert logins[1] > 1.7 * logins[0]
    # the devices are known all the same
    seen = before.select("actor", "device").unique()
    known = [
        between(p, 2.5, 4).filter(pl.col("type") == "login.succeeded").join(seen, on=["actor", "device"]).height
        for p in (plain[0], events)
    ]
    assert known[1] > known[0]


def test_referral_campaign():
    events, labels = lived("calendar: [{kind: referral_campaign, day: 1, days: 2, factor: 6}]")
    accepted = events.filter(pl.col("type") == "invite.accepted")
    assert accepted.height > 60
    created = events.filter(pl.col("type") == "account.created").select("account", born="time")
    joined = accepted.join(created, on="account")
    assert joined.height == accepted.height
    assert (joined["time"] > joined["born"]).all()
    assert (accepted["recipient"] != accepted["actor"]).all()
    invited = events.filter((pl.col("type") == "invite.sent") & (pl.col("kind") == "benign_referral"))
    assert invited.height == accepted.height
    assert set(accepted["recipient"]) == set(invited["actor"])
    by_inviter = accepted.group_by("recipient").len()["len"]
    assert by_inviter.max() > 5 * by_inviter.median()  # some people invite very many
    assert json.loads(accepted["attributes"][0])["bonus_mb"] == 500
    assert {"benign_referral"} <= set(labels["kind"])


def test_migration():
    events, labels = lived("calendar: [{kind: migration, day: 1.4, organisation: 0, files: 700}]")
    part = marked(events, "benign_migration")
    assert dict(part.group_by("type").len().iter_rows()) == {
        "session.used": 1, "file.uploaded": 700, "file.renamed": 700,
    }  # fmt: skip
    assert part["actor"].n_unique() == 1
    assert part["org"].null_count() == 0
    files = part.filter(pl.col("type") == "file.uploaded")
    assert files["file"].n_unique() == 700
    assert set(files["file"]) == set(part.filter(pl.col("type") == "file.renamed")["file"])
    assert (files["time"].max() - files["time"].min()) / 60e6 < 15
    assert labels.filter(pl.col("kind") == "benign_migration")["subject"].to_list() == [part["actor"][0]]


def test_app_launch_and_niche_apps():
    text = "habits: {niche_apps_per_week: 0.05}\ncalendar: [{kind: app_launch, day: 1, days: 2, accounts: 150}]"
    events, _ = lived(text)
    grants = marked(events, "benign_app_launch").filter(pl.col("type") == "app.authorized")
    assert grants["app"].n_unique() == 1
    assert 120 < grants["account"].n_unique() <= 150
    reads = marked(events, "benign_app_launch").filter(pl.col("type") == "file.downloaded")
    assert set(reads["app"]) == set(grants["app"])
    assert set(reads["network_kind"]) == {"hosting"}
    assert reads["ip"].n_unique() <= 4
    niche = marked(events, "benign_niche_app").filter(pl.col("type") == "app.authorized")
    assert niche["app"].n_unique() > 10
    assert not set(niche["app"]) & set(grants["app"])


def test_viral_photo():
    events, labels = lived("calendar: [{kind: viral_photo, day: 1, visits: 900}]\nlinks: {viral_per_week: 0}")
    link = labels.filter((pl.col("kind") == "benign_viral_link") & (pl.col("subject_type") == "link"))["subject"]
    visits = events.filter((pl.col("type") == "link.visited") & pl.col("link").is_in(link.implode()))
    assert link.len() == 1
    assert visits.height > 600
    assert visits["referrer"].null_count() / visits.height > 0.7
    assert visits["actor"].null_count() / visits.height > 0.8
    made = events.filter((pl.col("type") == "link.created") & pl.col("link").is_in(link.implode()))
    assert made["file_name"][0].rsplit(".", 1)[1] in ("jpg", "png", "heic")


def test_backups_lost_prompts_and_shared_computers():
    text = "habits: {backup_clients: 0.03, backup_files: 12, push_trouble_per_month: 0.6}"
    events, labels = lived(text, ", shared_device_share: 0.5, mfa_share: 0.5")
    backup = marked(events, "benign_backup_client")
    assert set(backup["app"]) == {"app-backup"}
    assert set(backup["network_kind"]) == {"hosting"}
    assert set(backup["client"]) == {"api"}
    owners = set(labels.filter(pl.col("kind") == "benign_backup_client")["subject"])
    assert owners == set(backup["account"])
    nights = backup.group_by("account", pl.col("time") // DAY).len()
    assert nights["len"].max() > 5 * nights["len"].median()  # once a week a longer one
    prompts = marked(events, "benign_repeated_challenge").filter(pl.col("type") == "challenge.issued")
    assert prompts.group_by("account").len()["len"].median() > 6
    assert set(prompts["method"]) == {"push"}
    known = events.filter(pl.col("type") == "session.used").select("account", "device").unique()
    assert prompts.select("account", "device").unique().join(known, on=["account", "device"], how="semi").height > 0
    signed = events.filter(pl.col("actor").is_not_null() & pl.col("device").is_not_null())
    users = signed.group_by("device").agg(pl.col("actor").unique())
    shared = users.filter(pl.col("actor").list.len() > 1)
    assert shared.height > 20
    together = set(shared["actor"].explode())
    assert together <= set(labels.filter(pl.col("kind") == "benign_shared_device")["subject"])


def test_reporters_have_records():
    text = "moderation: {review_share: 1, wrong: 0.0, reporters: 40, careful: 0.5, reports_per_week: 20, review_h: 2}"
    events, _ = lived(text)
    told = events.filter(pl.col("type") == "abuse.reported")
    verdicts = events.filter(pl.col("type") == "abuse.resolved")
    assert set(verdicts["outcome"]) == {"upheld", "rejected"}
    record = (
        verdicts.filter(pl.col("recipient").is_not_null())
        .group_by("recipient")
        .agg((pl.col("outcome") == "upheld").mean(), pl.len())
        .filter(pl.col("len") >= 5)["outcome"]
    )
    assert record.len() > 20
    assert ((record > 0.6) | (record < 0.4)).mean() > 0.9  # good and bad, hardly any between
    assert 0.3 < (record > 0.6).mean() < 0.7
    first = told.group_by("link", reporter=pl.col("actor")).agg(pl.col("time").min().alias("first"))
    judged = verdicts.join(first, left_on=["link", "recipient"], right_on=["link", "reporter"])
    assert (judged["time"] > judged["first"]).all()
    right = marked(told, "benign_right_report")
    assert set(verdicts.filter(pl.col("outcome") == "upheld")["link"]) <= set(right["link"])
    stops = events.filter(pl.col("type") == "link.stopped").group_by("link").agg(pl.col("time").min().alias("ended"))
    assert stops.height > 5
    visits = events.filter(pl.col("type") == "link.visited").join(stops, on="link")
    assert visits.height > 50
    assert visits.filter(pl.col("time") >= pl.col("ended")).height == 0  # nobody comes any more


def test_moderation_makes_mistakes_if_told_to():
    events, _ = lived("moderation: {review_share: 1, wrong: 1, stops: false}\nlinks: {false_reports_per_week: 80}")
    verdicts = events.filter(pl.col("type") == "abuse.resolved")
    assert verdicts.height > 10
    assert set(verdicts["outcome"]) == {"upheld"}
    assert events.filter(pl.col("type") == "link.stopped").height == 0


LARGE_OR_TINY = ("fortnight", "four-weeks", "quiet", "tiny")


@pytest.mark.parametrize("name", [n for n in builtin_scenarios() if n not in LARGE_OR_TINY])
def test_small_worlds_do_what_they_promise(name):
    """Each shipped world has the sizes that it should, harm where it has attacks and none where it has not."""
    world = simulate(builtin_scenario(name))
    assert 50_000 <= sum(block.num_rows for block in world.blocks()) <= 200_000
    truth, labels = pl.from_arrow(world.truth), pl.from_arrow(world.labels())
    ids = {adversary.id for adversary in world.scenario.adversaries}
    assert set(truth.filter(pl.col("harmful"))["attack"]) == ids
    assert set(labels["attack"].drop_nulls()) == ids
    wanted = {kind.kind for kind in world.scenario.expect.honest.kinds}
    assert wanted <= set(labels["kind"])
    warm_up = world.scenario.start + world.scenario.expect.warm_up_days * DAY
    assert truth.filter(pl.col("harmful"))["time"].min() is None or (
        truth.filter(pl.col("harmful") & (pl.col("kind") != "fake_accounts"))["time"].quantile(0.01)
        >= warm_up - 2 * DAY
    )
