"""What each action does to the world: an action in, the events after it. The manual of docs/simulator.md, `--react`."""

import re
from pathlib import Path

import polars as pl
import pytest

from oracles.react_worlds import FAILED, HOUR, TINY, actions, busiest, frame, live, once
from shoal.simulate.react import SEMANTICS

PAGE = Path(__file__).parents[2] / "docs" / "simulator.md"
MOMENT = 14


def after(action, kind, pick):
    """One action on the subject that `pick` chooses at noon of the first day; the subject, events before, after."""
    chosen = {}

    def choose(events):
        chosen["subject"] = pick(events)
        return [(kind, chosen["subject"], action)]

    world, parts = live(TINY, once(MOMENT, choose))
    events = frame(parts)
    (applied,) = events.filter(pl.col("type") == "action.applied").iter_rows(named=True)
    assert (applied["operation"], applied["outcome"], applied["cause"]) == (action, "success", "shoal")
    since = applied["time"]
    assert since == TINY.start + MOMENT * HOUR + int(TINY.reactions.delay_s * 1e6)
    told = events.filter(pl.col("type") != "action.applied")
    return world, chosen["subject"], told.filter(pl.col("time") < since), told.filter(pl.col("time") >= since)


def ordinary(events):
    """An account of ordinary life that comes often."""
    return busiest(events.filter(pl.col("attack").is_null()), "actor")


def test_suspend_an_account_makes_no_more_events():
    world, account, before, later = after("suspend", "account", ordinary)
    assert before.filter(pl.col("actor") == account).height > 3
    assert later.filter(pl.col("actor") == account).height == 0
    assert later.filter((pl.col("owner") == account) & pl.col("type").str.starts_with("link.")).height == 0
    assert len(world.ledger().owners.suspended) == 1


def test_revoke_sessions_ends_them_and_the_owner_logs_in_again():
    world, account, before, later = after("revoke_sessions", "account", ordinary)
    old = before.filter(pl.col("actor") == account)["session"].unique().drop_nulls()
    mine = later.filter(pl.col("actor") == account).sort("time")
    assert mine.height > 0
    assert mine.filter(pl.col("session").is_in(old.implode())).height == 0
    assert mine["type"][0] == "login.succeeded"
    assert len(world.ledger().owners.signed_out) == 1


@pytest.mark.parametrize("action", ["step_up", "challenge"])
def test_step_up_asks_every_device_once_and_who_passes_goes_on(action):
    world, account, _, later = after(action, "account", ordinary)
    mine = later.filter((pl.col("account") == account) & (pl.col("cause") == "shoal"))
    types = set(mine["type"])
    assert "challenge.issued" in types
    assert types <= {"challenge.issued", "challenge.passed", "challenge.failed"}
    owners = world.ledger().owners
    assert owners.challenges == mine.filter(pl.col("type") == "challenge.issued").height
    assert owners.passed == mine.filter(pl.col("type") == "challenge.passed").height
    passed = mine.filter(pl.col("type") == "challenge.passed")
    assert passed["device"].n_unique() == passed.height
    for row in mine.iter_rows(named=True):  # as the page says
        assert (row["actor"], row["session"]) == (None, None)
        assert row["device"]
        assert row["ip"]
        assert row["method"] in ("totp", "push", "email_code")


def test_stop_link_its_visits_vanish():
    pick = lambda events: busiest(events, "link", type="link.visited")  # noqa: E731
    _, link, before, later = after("stop_link", "link", pick)
    visits = pl.col("type").is_in(["link.visited", "link.downloaded"]) & (pl.col("link") == link)
    assert before.filter(visits).height > 5
    assert later.filter(visits).height == 0


@pytest.mark.parametrize(
    ("action", "types"),
    [
        ("stop_sharing", ("link.created", "folder.shared", "invite.sent")),
        ("read_only", ("file.uploaded", "file.modified", "file.renamed", "file.deleted", "link.created",
                       "folder.shared", "invite.sent")),
    ],
)  # fmt: skip
def test_what_an_account_may_no_longer_do(action, types):
    world, account, before, later = after(action, "account", ordinary)
    mine = later.filter(pl.col("actor") == account)
    assert mine.filter(pl.col("type").is_in(types)).height == 0
    assert mine.height > 0
    made = set(frame(live(TINY)[1]).filter((pl.col("actor") == account) & (pl.col("type") == "link.created"))["link"])
    assert later.filter(pl.col("link").is_in(list(made - set(before["link"])))).height == 0
    assert world.ledger().owners.suspended == set()


def test_quarantine_file_it_is_not_downloaded():
    pick = lambda events: busiest(events.filter(pl.col("type").str.ends_with("downloaded")), "file")  # noqa: E731
    _, file, _, later = after("quarantine_file", "file", pick)
    assert later.filter((pl.col("file") == file) & pl.col("type").str.ends_with("downloaded")).height == 0


@pytest.mark.parametrize("kind", ["ip", "network", "device"])
def test_rate_limit_lets_so_many_a_minute_through(kind):
    def pick(events):
        ip = busiest(events, "ip", type=FAILED, attack="stuffing")
        if kind == "network":
            return ".".join(ip.split(".")[:3]) + ".0/24"
        return busiest(events, "device") if kind == "device" else ip

    _, subject, _, later = after("rate_limit", kind, pick)
    if kind == "network":
        later = later.with_columns(network=pl.col("ip").str.replace(r"\.\d+$", ".0/24"))
    mine = later.filter(pl.col(kind) == subject).filter(pl.col("received") - pl.col("time") < HOUR // 10)
    minutes = (mine["time"] // 60_000_000).value_counts()["count"]
    assert minutes.len() == 0 or minutes.max() <= 2 * TINY.reactions.limit_per_min


def test_notify_owner_some_take_their_account_back_early():
    found = []

    def tell(world, part):
        events = frame([part]).filter((pl.col("type") == "login.succeeded") & (pl.col("harmful")))
        accounts = [a for a in events["account"] if a]
        found.extend(accounts)
        return actions(*[("account", a, "notify_owner", world.now) for a in accounts])

    world, parts = live(TINY, tell)
    resets = frame(parts).filter((pl.col("type") == "password.reset") & (pl.col("kind") == "recovery"))
    planned = frame(live(TINY)[1]).filter((pl.col("type") == "password.reset") & (pl.col("kind") == "recovery"))
    both = resets.join(planned, on="account", suffix="_planned")
    assert found
    assert both.height + resets.height > 0
    assert (both["time"] <= both["time_planned"]).all()
    labels = pl.from_arrow(world.labels()).filter(pl.col("kind") == "account_takeover")
    for row in resets.iter_rows(named=True):
        mine = labels.filter(pl.col("subject") == row["account"])
        assert row["time"] in mine["end"].to_list()
        inside = frame(parts).filter(
            (pl.col("actor") == row["account"]) & pl.col("harmful") & (pl.col("time") > row["time"])
        )
        assert inside.height == 0


def test_restore_files_mends_what_was_done():
    def mend(world, part):
        bad = frame([part]).filter((pl.col("attack") == "locker") & pl.col("harmful"))
        return actions(*[("account", a, "restore_files", world.now) for a in bad["actor"].unique().sort()])

    world, _ = live(TINY, mend)
    locker = world.ledger().attacks["locker"]
    assert 0 < locker.undone <= locker.harmful


def test_review_and_watch_change_nothing():
    bare = frame(live(TINY)[1])
    act = once(MOMENT, lambda events: [("account", ordinary(events), a) for a in ("review", "watch")])
    assert frame(live(TINY, act)[1]).equals(bare)


def test_the_page_names_every_action():
    page = PAGE.read_text(encoding="utf-8").split("## A world that reacts")[1].split("\n## ")[0]
    for name in SEMANTICS:
        assert f"`{name}`" in page, name
    for name, meaning in SEMANTICS.items():
        assert re.search(rf"\| [^|]*`{name}`[^|]*\| {meaning.effect} \|", page), name
