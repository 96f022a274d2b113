"""Attacks beside the first seven: the shape of their events, their truth, and that each knob does what it says."""

import dataclasses
import hashlib
import json
import re
from collections import Counter

import polars as pl
import pyarrow as pa
import pytest

from shoal.simulate import builtin_scenario, simulate, write_world
from shoal.simulate.catalogue import MAIL_DOMAINS
from shoal.simulate.scenario import parse_scenario

HOUR = 3_600_000_000
HEAD = """
shoal_scenario: 1
name: kinds
start: 2025-03-03
days: 4
seed: 3
population: {accounts: 1200, signups_per_day: 15, mfa_share: 0.5}
activity: {sessions_per_day: 0.8, actions_per_session: 3, entropy_share: 0.7}
habits: {backup_clients: 0.02, push_trouble_per_month: 0.3, niche_apps_per_week: 0.05, backup_files: 10}
moderation: {review_share: 1, wrong: 0, reporters: 10, review_h: 3}
adversaries:
"""
ATTACKS = """
  - {id: fatigue, kind: mfa_fatigue, start_day: 0.5, days: 1, victims: 14, accepts: 0.5, prompts: 20}
  - {id: theft, kind: session_theft, start_day: 0.5, days: 1, victims: 12, origin: hosting, near: anywhere}
  - {id: mailbox, kind: account_recovery, start_day: 0.5, days: 1, victims: 10}
  - {id: consent, kind: app_consent, start_day: 0.5, days: 1, victims: 30, apps: 2}
  - {id: insider, kind: insider_exfiltration, start_day: 0.5, days: 1, insiders: 5}
  - {id: rings, kind: referral_abuse, start_day: 0.5, days: 1, inviters: 4, invited: 8}
  - {id: storage, kind: quota_abuse, start_day: 0.5, days: 1, accounts: 8, files: 40}
  - {id: mailing, kind: invite_spam, start_day: 0.5, days: 1, senders: 5, fresh: 0.6, invites: 80, report_rate: 0.05}
  - {id: brigade, kind: report_brigading, start_day: 0.6, days: 1, targets: 3, reporters: 20, fresh: 0.5}
  - {id: again, kind: reupload, start_day: 0.5, days: 0.5, contents: 3, again: 5, altered: 0, report_rate: 0.2}
  - {id: locker, kind: destruction, start_day: 0.5, days: 1, victims: 6, files: 80}
  - {id: phish, kind: phishing, start_day: 0.5, days: 1, owners: 4, report_rate: 0.2}
  - {id: found, kind: lateral_movement, start_day: 0.5, days: 1, footholds: 2, passes_challenge: 1}
  - {id: let-in, kind: lateral_movement, start_day: 0.5, days: 1, way: apps, passes_challenge: 1}
  - {id: lures, kind: lateral_movement, start_day: 0.5, days: 1, way: sharing, passes_challenge: 1}
"""


def frame(world):
    return (
        pl.from_arrow(pa.concat_tables(world.blocks(), promote_options="default"))
        .unique("event_id")
        .sort("time", "event_id")
    )


def lived(text):
    """The events of a world with their truth, and its labels."""
    world = simulate(parse_scenario(text))
    events = frame(world).join(pl.from_arrow(world.truth).drop("time"), on="event_id", how="left")
    return events, pl.from_arrow(world.labels())


def alone(attack):
    """The events of one attack in the small world."""
    events, _ = lived(HEAD + f"  - {{id: it, start_day: 0.5, days: 1, {attack}}}\n")
    return events.filter(pl.col("attack") == "it")


@pytest.fixture(scope="module")
def world():
    return lived(HEAD + ATTACKS)


def of(world, attack, *types, harmful=True):
    events = world[0].filter(pl.col("attack") == attack)
    events = events.filter(pl.col("harmful")) if harmful else events
    return events.filter(pl.col("type").is_in(types)) if types else events


def labelled(world, attack, subject_type="account"):
    return world[1].filter((pl.col("attack") == attack) & (pl.col("subject_type") == subject_type))


def test_tiny_keeps_its_bytes(tmp_path):
    """New kinds draw from generators of their own, so that old worlds stay as they were."""
    world = simulate(builtin_scenario("tiny"))
    write_world(world, tmp_path)
    written = (tmp_path / "events.ndjson").read_bytes()
    shapes = re.compile(rb',"attributes":\{"email_shape":"[^"]+","name_shape":"[^"]+"\}')
    written, count = shapes.subn(b"", written)  # of sign-ups; they came later than the hash
    assert count == written.count(b'"type":"account.created"')
    found = hashlib.sha256(written).hexdigest()
    assert found.startswith("5a50e70ea6d17eab7adb1e60")
    truth = json.dumps([world.labels().to_pylist(), world.truth.to_pylist()]).encode()
    assert hashlib.sha256(truth).hexdigest().startswith("5dff606fa2b67d77087c9d50")


def test_honest_life_is_the_same_without_the_attacks(world):
    quiet = frame(simulate(parse_scenario((HEAD + ATTACKS).split("adversaries:")[0])))
    honest = world[0].filter(pl.col("attack").is_null())
    assert honest.select(quiet.columns).equals(quiet)


def test_every_attack_does_harm_and_has_subjects(world):
    events, labels = world
    ids = {line.split("id: ")[1].split(",")[0] for line in ATTACKS.strip().splitlines()}
    assert set(events.filter(pl.col("harmful"))["attack"]) == ids
    assert set(labels["attack"].drop_nulls()) == ids
    acted = set(events["actor"]) | set(events["account"]) | set(events["owner"])
    mine = labels.filter((pl.col("subject_type") == "account") & pl.col("attack").is_not_null())
    assert set(mine["subject"]) <= acted


def test_harm_lies_inside_the_label_of_its_account(world):
    for attack in ("fatigue", "theft", "mailbox", "consent", "insider", "rings", "storage", "again"):
        mine = labelled(world, attack).group_by("subject").agg(pl.col("start").min(), pl.col("end").max())
        harm = of(world, attack).filter(pl.col("account").is_in(mine["subject"].implode()))
        joined = harm.join(mine, left_on="account", right_on="subject")
        inside = (joined["time"] >= joined["start"]) & (joined["end"].is_null() | (joined["time"] < joined["end"]))
        assert joined.height > 10, attack
        assert inside.all(), attack


def test_nothing_in_the_form_gives_these_attacks_away(world):
    events, _ = world
    bad, good = events.filter(pl.col("harmful")), events.filter(pl.col("attack").is_null())
    for column in ("user_agent", "client", "method", "reason", "outcome", "permission", "country", "asn"):
        shown = bad if column != "user_agent" else bad.filter(~pl.col("attack").is_in(["consent", "storage"]))
        strange = set(shown[column].drop_nulls()) - set(good[column].drop_nulls())
        assert not strange, (column, strange)
    for column in ("session", "device", "actor", "link", "file", "account"):
        assert events[column].drop_nulls().str.len_chars().n_unique() == 1, column
    own = bad.filter(pl.col("type") == "app.authorized")["app"].unique()
    assert all(name.startswith("app-") for name in own)
    assert (bad["time"] % 1_000_000 == 0).mean() < 0.001


def test_fatigue_is_a_row_of_prompts_with_the_right_password(world):
    issued = of(world, "fatigue", "challenge.issued")
    by_victim = issued.group_by("account").len()["len"]
    assert by_victim.median() > 8
    assert set(issued["method"]) == {"push"}
    failed = of(world, "fatigue", "login.failed")
    assert set(failed["reason"]) <= {"challenge_failed", "challenge_abandoned"}  # never a wrong password
    won = of(world, "fatigue", "login.succeeded")
    assert 2 <= won["account"].n_unique() <= 12
    passed = of(world, "fatigue", "challenge.passed")
    assert set(passed["account"]) == set(won["account"])
    before = issued.join(won.select("account", at="time"), on="account")
    assert (before["time"] < before["at"]).all()


def test_fatigue_knobs():
    few, many = (alone(f"kind: mfa_fatigue, victims: 30, prompts: {n}, accepts: {a}") for n, a in ((3, 0), (40, 1)))
    prompts = [
        part.filter(pl.col("type") == "challenge.issued").group_by("account").len()["len"].median()
        for part in (few, many)
    ]
    assert prompts[0] < 6 < 20 < prompts[1]
    assert few.filter(pl.col("type") == "login.succeeded").height == 0
    assert many.filter(pl.col("harmful") & (pl.col("type") == "login.succeeded")).height > 15
    night = alone("kind: mfa_fatigue, victims: 40, night: 1, near: network, origin: residential")
    first = night.filter(pl.col("type") == "challenge.issued").group_by("account").agg(pl.col("time").min())
    assert first.height > 20  # homes lie from eight hours before to nine after UTC
    assert alone("kind: mfa_fatigue, victims: 9, denies: 0").filter(pl.col("reason") == "denied").height == 0


def test_a_stolen_session_is_used_by_two(world):
    session = of(world, "theft", "session.used").select("session", stolen="time", thief_ip="ip", thief="user_agent")
    assert session.height >= 12
    owner = of(world, "theft", harmful=False).filter(~pl.col("harmful") & (pl.col("kind") == "session_theft"))
    joined = owner.join(session, on="session")
    assert set(joined.filter(pl.col("type") == "login.succeeded")["session"]) == set(session["session"])
    assert (joined["ip"] != joined["thief_ip"]).all()
    used = joined.filter(pl.col("type") == "file.downloaded")
    assert used.filter(pl.col("time") > pl.col("stolen")).height > 3  # the owner goes on working
    assert used.filter(pl.col("time") < pl.col("stolen")).height > 3
    assert of(world, "theft", "login.succeeded").height == 0  # the thief never logs in
    assert set(of(world, "theft", "session.used")["network_kind"]) <= {"hosting"}


def test_theft_from_near_shows_the_owners_client():
    part = alone("kind: session_theft, victims: 15, tool: victim, near: city, origin: residential, after_min: 2")
    thief = part.filter(pl.col("harmful") & (pl.col("type") == "session.used"))
    owner = part.filter(pl.col("type") == "session.started").filter(~pl.col("harmful"))
    both = thief.join(owner.select("session", "user_agent", "time"), on="session", suffix="_owner")
    assert (both["user_agent"] == both["user_agent_owner"]).mean() > 0.9
    wait = (both["time"] - both["time_owner"]) / 60e6
    assert wait.median() < 6


def test_recovery_is_reset_login_new_address(world):
    first = {
        kind: of(world, "mailbox", kind).group_by("account").agg(pl.col("time").min())
        for kind in ("password.reset", "login.succeeded", "email.changed")
    }
    joined = first["password.reset"].join(first["login.succeeded"], on="account", suffix="_login")
    assert joined.height >= 6
    assert (joined["time"] < joined["time_login"]).all()
    changed = first["login.succeeded"].join(first["email.changed"], on="account", suffix="_email")
    assert changed.height == joined.height
    assert of(world, "mailbox", "file.downloaded").height > 50


def test_consent_is_given_by_many_and_read_by_the_api(world):
    grants, reads = of(world, "consent", "app.authorized"), of(world, "consent", "file.downloaded")
    assert grants["account"].n_unique() == 30
    apps = set(grants["app"])
    assert len(apps) == 2
    assert set(reads["app"]) <= apps
    assert reads["device"].null_count() == reads.height
    assert set(reads["network_kind"]) == {"hosting"}
    assert reads["ip"].n_unique() <= 2
    assert set(labelled(world, "consent", "app")["subject"]) == apps
    since = grants.select("account", granted="time")
    assert (reads.join(since, on="account").select(pl.col("time") > pl.col("granted")).to_series()).all()
    ended = world[0].filter((pl.col("attack") == "consent") & (pl.col("type") == "app.revoked"))
    late = reads.join(ended.select("account", ended="time"), on="account")
    assert (late["time"] < late["ended"]).all()
    honest = world[0].filter(pl.col("attack").is_null())
    assert not apps & set(honest["app"].drop_nulls())
    others = honest.filter((pl.col("type") == "file.downloaded") & pl.col("app").is_not_null())
    assert others.height > 100  # honest programs read by the API too


def test_consent_knobs():
    many = alone("kind: app_consent, victims: 40, apps: 8, servers: 20, files: 20, origin: vpn, tool: common")
    assert many.filter(pl.col("type") == "app.authorized")["app"].n_unique() == 8
    reads = many.filter(pl.col("type") == "file.downloaded")
    assert set(reads["network_kind"]) == {"vpn"}
    assert reads["ip"].n_unique() > 12
    assert 8 < reads.group_by("account").len()["len"].median() < 40


def test_insiders_come_as_themselves_and_give_to_a_fresh_outsider(world):
    shares = of(world, "insider", "folder.shared")
    made = of(world, "insider", "account.created").select(outsider="account", born="time")
    joined = shares.join(made, left_on="recipient", right_on="outsider")
    assert joined.height == shares.height > 5
    assert (joined["born"] < joined["time"]).all()
    assert joined["external"].all()
    taken = of(world, "insider", "file.downloaded").filter(pl.col("actor").is_in(shares["actor"].implode()))
    assert taken["org"].null_count() == 0
    assert 0.35 < (taken["owner"] != taken["actor"]).mean() < 0.8
    assert of(world, "insider", "login.succeeded", "login.failed").height == 0
    known = world[0].filter(pl.col("attack").is_null()).select("actor", "device").unique()
    assert taken.select("actor", "device").unique().join(known, on=["actor", "device"]).height >= 4


def test_patient_insiders_take_less_at_a_time():
    fast = alone("kind: insider_exfiltration, insiders: 6, files: 300, sessions: 1, pause_s: 1, folders: 0")
    slow = alone("kind: insider_exfiltration, insiders: 6, files: 300, sessions: 10, pause_s: 30, folders: 0, away: 0")
    hourly = [
        part.filter(pl.col("type") == "file.downloaded").group_by("actor", pl.col("time") // HOUR).len()["len"].median()
        for part in (fast, slow)
    ]
    assert hourly[0] > 3 * hourly[1]
    assert fast.filter(pl.col("type").is_in(["folder.shared", "account.created"])).height == 0


def test_referral_rings_share_machines_and_collect_bonuses(world):
    accepted = of(world, "rings", "invite.accepted")
    assert accepted["recipient"].n_unique() == 4
    assert json.loads(accepted["attributes"][0]) == {"bonus_mb": 500}
    by_ring = accepted.group_by("recipient").agg(pl.col("actor").n_unique(), pl.col("device").n_unique())
    assert by_ring["actor"].sum() == accepted.height > 12
    assert by_ring["device"].max() <= 2
    created = of(world, "rings", "account.created").filter(pl.col("method") == "invite")
    assert created.height == accepted.height
    assert of(world, "rings", "invite.sent").height == accepted.height
    fresh = alone("kind: referral_abuse, inviters: 4, invited: 10, aged: 0, devices: 9, addresses: 9, shared_domain: 0")
    grown = fresh.filter(pl.col("type") == "account.created")
    assert grown.filter(pl.col("method") == "email").height == 4
    assert grown["device"].n_unique() > 15
    assert set(grown["domain"]) <= set(MAIL_DOMAINS)


def test_storage_accounts_are_filled_with_large_files(world):
    files = of(world, "storage", "file.uploaded")
    honest = world[0].filter(pl.col("attack").is_null() & (pl.col("type") == "file.uploaded"))
    assert files["size_bytes"].median() > 10 * honest["size_bytes"].median()
    assert files["actor"].n_unique() == 8
    assert files.group_by("actor").len()["len"].median() > 20
    assert files.group_by("file_sha256").agg(pl.col("actor").n_unique())["actor"].max() > 1
    unique = alone("kind: quota_abuse, accounts: 6, copies: 0, links: 0, pause_s: 100")
    stored = unique.filter(pl.col("type") == "file.uploaded")
    assert stored.group_by("file_sha256").agg(pl.col("actor").n_unique())["actor"].max() == 1
    assert unique.filter(pl.col("type") == "link.created").height == 0


def test_invitations_by_the_hundred(world):
    sent = of(world, "mailing", "invite.sent")
    assert sent["actor"].n_unique() >= 4
    assert sent.group_by("actor").len()["len"].median() > 35
    assert sent["recipient"].n_unique() == sent.height
    told = world[0].filter((pl.col("attack") == "mailing") & (pl.col("type") == "abuse.reported"))
    assert set(told["account"]) <= set(sent["actor"])
    assert told["link"].null_count() == told.height > 5
    assert not told["harmful"].any()
    young = labelled(world, "mailing").filter(pl.col("kind") == "invite_spam")
    assert young.height == 3  # the other two are hijacked


def test_a_brigade_reports_honest_people_and_is_rejected(world):
    told = of(world, "brigade", "abuse.reported")
    assert told["owner"].n_unique() == 3
    assert told.group_by("link").agg(pl.col("actor").n_unique())["actor"].min() >= 10
    spread = told.group_by("link").agg((pl.col("time").max() - pl.col("time").min()) / 60e6)["time"]
    assert spread.max() <= 61
    assert set(told["actor"]) <= set(labelled(world, "brigade")["subject"])
    assert not set(told["owner"]) & set(labelled(world, "brigade")["subject"])
    verdicts = world[0].filter((pl.col("attack") == "brigade") & (pl.col("type") == "abuse.resolved"))
    assert set(verdicts["outcome"]) == {"rejected"}
    assert set(verdicts["recipient"]) <= set(told["actor"])
    stops = world[0].filter(pl.col("type") == "link.stopped")
    assert not set(stops["link"]) & set(told["link"])


def test_removed_files_come_back(world):
    gone = world[0].filter((pl.col("attack") == "again") & (pl.col("type") == "file.removed"))
    assert gone.height == 3
    assert gone["ip"].null_count() == 3
    uploads = of(world, "again", "file.uploaded").join(
        gone.select("file_sha256", removed="time", first="owner"), on="file_sha256", how="left"
    )
    assert uploads["removed"].null_count() == 0  # altered: 0
    later = uploads.filter(pl.col("time") > pl.col("removed"))
    assert later.height >= 6
    assert (later["actor"] != later["first"]).all()
    assert later["actor"].n_unique() == later.height
    stops = world[0].filter((pl.col("attack") == "again") & (pl.col("type") == "link.stopped"))
    visits = world[0].filter(pl.col("type").is_in(["link.visited", "link.downloaded"]))
    after = visits.join(stops.group_by("link").agg(pl.col("time").min().alias("ended")), on="link")
    assert after.height > 10
    assert (after["time"] < after["ended"]).all()
    changed = alone("kind: reupload, contents: 3, again: 6, altered: 1, removed_after_h: 1, wait_h: 1")
    sent = changed.filter(pl.col("type") == "file.uploaded")
    assert sent["file_sha256"].n_unique() == sent.height


def test_encrypted_files_have_high_entropy_where_the_client_says_so(world):
    def bits(events):
        stated = events.filter(pl.col("attributes").is_not_null())
        assert (stated["client"] == "desktop").all()
        return pl.Series([json.loads(text)["entropy"] for text in stated["attributes"]])

    changed = world[0].filter(pl.col("type") == "file.modified")
    locked, honest = bits(of(world, "locker", "file.modified")), bits(changed.filter(pl.col("attack").is_null()))
    assert locked.min() > 7.97
    assert honest.median() < 7.95
    assert (honest > 7.96).mean() > 0.02  # films and archives look encrypted too
    assert honest.min() > 0
    half = alone("kind: destruction, victims: 8, files: 60, encrypted: 0.3")
    partly = bits(half.filter(pl.col("type") == "file.modified"))
    assert partly.median() < 7.5
    silent, _ = lived((HEAD + ATTACKS).replace("entropy_share: 0.7", "entropy_share: 0"))
    assert silent.filter(pl.col("type").is_in(["file.modified", "file.uploaded"]))["attributes"].null_count() > 0
    assert silent.filter(pl.col("type") == "file.modified")["attributes"].drop_nulls().len() == 0


def test_stuffing_by_one_browser_and_few_providers():
    spec = "kind: credential_stuffing, attempts: 1500, origin: residential, addresses: 400"
    plain, tight = alone(spec), alone(f"{spec}, systems: 2, tool: single")
    failed = [part.filter(pl.col("type") == "login.failed") for part in (plain, tight)]
    assert failed[1]["asn"].n_unique() <= 2 < failed[0]["asn"].n_unique()
    assert failed[1].filter(pl.col("reason") != "challenge_failed")["user_agent"].n_unique() <= 3
    assert failed[0]["user_agent"].n_unique() > 12
    assert failed[1]["ip"].n_unique() > 100


def shapes_of(events, name="email_shape"):
    texts = events.filter(pl.col("type") == "account.created")["attributes"]
    return Counter(json.loads(text)[name] for text in texts)


def test_bulk_accounts_are_named_by_a_template(world):
    honest = shapes_of(world[0].filter(pl.col("attack").is_null()))
    assert max(honest.values()) / honest.total() < 0.35
    spec = "kind: fake_accounts, accounts: 60"
    shares = {}
    for varied in (0, 0.5, 1):
        made = alone(f"{spec}, varied_names: {varied}")
        for name in ("email_shape", "name_shape"):
            (_, most), *_ = shapes_of(made, name).most_common(1)
            shares[name, varied] = most / 60
    assert shares["email_shape", 0] > 0.3 > 0.25 > shares["email_shape", 1]
    assert shares["email_shape", 0] > shares["email_shape", 0.5] > shares["email_shape", 1]
    one, other = alone(f"{spec}, varied_names: 0"), alone(f"{spec}, varied_names: 1")
    assert one.drop("attributes").equals(other.drop("attributes"))  # the names shift nothing else


def test_who_reports_is_who_gets_the_verdict(world):
    told = world[0].filter(pl.col("type") == "abuse.reported")
    assert told.filter(pl.col("actor").is_not_null()).height > 20
    assert told["recipient"].equals(told["actor"])
    verdicts = world[0].filter(pl.col("type") == "abuse.resolved")
    assert set(verdicts["recipient"].drop_nulls()) <= set(told["recipient"].drop_nulls())
    unmoderated, _ = lived((HEAD + ATTACKS.split("- {id: brigade")[0]).replace("review_share: 1", "review_share: 0"))
    assert unmoderated.filter(pl.col("type") == "abuse.reported")["recipient"].drop_nulls().len() == 0


def test_regular_reporters_come_across_bad_links(world):
    text = HEAD.replace("reporters: 10", "reporters: 10, finds: 1, careful: 0.5") + (
        "  - {id: it, kind: phishing, start_day: 0.5, days: 1, owners: 12, report_rate: 0}\n"
    )
    events, _ = lived(text)
    mine = events.filter(pl.col("attack") == "it")
    told = mine.filter(pl.col("type") == "abuse.reported")
    links = mine.filter(pl.col("type") == "link.created")
    assert 0.2 < told["link"].n_unique() / links["link"].n_unique() < 0.8  # half of them are careful
    assert set(told["reason"]) == {"phishing"}
    assert not told["harmful"].any()
    regulars = events.filter(pl.col("attack").is_null() & (pl.col("type") == "abuse.resolved"))["recipient"]
    assert set(told["actor"]) & set(regulars)
    looked = mine.filter((pl.col("type") == "link.visited") & pl.col("actor").is_in(told["actor"].implode()))
    assert set(told["link"]) <= set(looked["link"])
    assert of((events, None), "it", "abuse.resolved", harmful=False).height > 0


def test_upheld_reports_stop_phishing_links(world):
    stops = world[0].filter((pl.col("attack") == "phish") & (pl.col("type") == "link.stopped"))
    verdicts = world[0].filter((pl.col("attack") == "phish") & (pl.col("type") == "abuse.resolved"))
    told = world[0].filter((pl.col("attack") == "phish") & (pl.col("type") == "abuse.reported"))
    assert stops.height > 3
    assert set(verdicts["outcome"]) == {"upheld"}
    first = told.group_by("link").agg(pl.col("time").min().alias("first"))
    judged = verdicts.join(first, on="link")
    assert (judged["time"] > judged["first"]).all()
    unmoderated, _ = lived((HEAD + ATTACKS).replace("review_share: 1", "review_share: 0"))
    assert unmoderated.filter((pl.col("attack") == "phish") & (pl.col("type") == "link.stopped")).height == 0


def test_new_attacks_are_the_same_whoever_stands_beside_them(world):
    scenario = parse_scenario(HEAD + ATTACKS)
    fewer = simulate(dataclasses.replace(scenario, adversaries=scenario.adversaries[:4]))
    ids = [a.id for a in scenario.adversaries[:4]]
    columns = ["event_id", "time", "attack", "kind", "harmful"]
    left = pl.from_arrow(fewer.truth).filter(pl.col("attack").is_in(ids)).select(columns).sort("event_id")
    right = world[0].filter(pl.col("attack").is_in(ids)).select(columns).sort("event_id")
    assert left.equals(right)


def test_lateral_movement_stays_in_one_organisation_and_goes_on_from_the_first(world):
    for attack in ("found", "let-in", "lures"):
        chains = of(world, attack).filter(pl.col("account").is_not_null())
        orgs = chains.filter(pl.col("org").is_not_null()).group_by("org").agg(pl.col("account").n_unique())
        assert orgs.height >= 1
        assert orgs["account"].min() >= 2, "a chain has a second account"
        assert chains["org"].null_count() == 0


def test_ways_of_lateral_movement(world):
    entered = of(world, "found", "login.succeeded")
    by_device = entered.group_by("device").agg(pl.col("account").n_unique())
    assert by_device["account"].max() >= 2, "found passwords are tried from the device of the first account"
    apps = of(world, "let-in", "app.authorized")
    assert apps["app"].n_unique() <= 3, "one application a chain"
    reads = of(world, "let-in", "file.downloaded").filter(pl.col("app").is_not_null())
    assert reads["device"].null_count() == reads.height
    assert set(reads["account"]) <= set(apps["account"])
    lures = of(world, "lures", "folder.shared").sort("time")
    assert not lures["external"].any()
    lured = of(world, "lures", "login.succeeded").select("account", pl.col("time").alias("entered"))
    sent = lures.filter(pl.col("permission") == "view").select(pl.col("recipient").alias("account"), "time")
    sent = sent.join(lured, on="account")
    assert sent.height > 0
    assert (sent.group_by("account").agg((pl.col("time") < pl.col("entered")).any())["time"]).all()


def test_a_door_that_stays_shut_ends_the_chain():
    part = alone("kind: lateral_movement, footholds: 6, passes_challenge: 0, way: sharing")
    entered = part.filter(pl.col("type") == "login.succeeded", pl.col("harmful"))
    shut = set(part.filter(pl.col("type") == "login.failed")["account"]) - set(entered["account"])
    assert shut
    reached = part.filter(pl.col("type") == "folder.shared", pl.col("harmful"))
    assert set(reached["actor"]) <= set(entered["account"])
