"""Operations: cells that share nothing but the operator's hand, and that each knob does what it says."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from shoal.simulate import builtin_scenario, read_scenario, simulate
from shoal.simulate.react import ACTIONS_SCHEMA, ReactiveWorld
from shoal.simulate.scenario import parse_scenario

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
FAMILIES = Path(__file__).parents[2] / "benchmarks" / "scenarios"
HEAD = """
shoal_scenario: 1
name: operations
start: 2025-03-03
days: 8
seed: 9
population: {accounts: 1500, signups_per_day: 20, mfa_share: 0.1}
activity: {sessions_per_day: 0.6, actions_per_session: 2}
structure:
  means:
    {card_share: 0.2, phone_share: 0.3, recovery_share: 0.2, attested_share: 1, invited_share: 0.3, folder_share: 1}
  following: {channels: 10, followers: 40}
adversaries:
"""
CELLS = (
    "kind: operation, start_day: 1, days: 2, accounts: 30, cell_size: 5, address_reuse: 2, device_reuse: 3, "
    "mutation: 0, actions: 8, card_reuse: 3, phone_reuse: 5, recovery_reuse: 2, invited: 0.5, camouflage: 0.3"
)


def frame(world):
    table = pl.from_arrow(pa.concat_tables(world.blocks(), promote_options="default"))
    return table.unique("event_id").sort("time", "event_id")


def lived(*attacks):
    """Events with their truth, labels and groups of the small world with these attacks."""
    world = simulate(parse_scenario(HEAD + "".join(f"  - {{{attack}}}\n" for attack in attacks)))
    events = frame(world).join(pl.from_arrow(world.truth).drop("time"), on="event_id", how="left")
    return events, pl.from_arrow(world.labels()), pl.from_arrow(world.groups())


def alone(knobs):
    """Events of one operation, and its groups."""
    spec = f"id: it, kind: operation, start_day: 1, days: 2, accounts: 30, {knobs}"
    events, _, groups = lived(spec)
    mine = events.filter(pl.col("attack") == "it")
    members = groups.filter(pl.col("attack") == "it")
    return mine.join(members.select(actor="account", cell="group"), on="actor", how="left"), members


def joint(events):
    """Visits and reports of the links that the operation's accounts, or its targets, made for it."""
    made = events.filter(pl.col("type") == "link.created")["link"]
    acts = events.filter(pl.col("type").is_in(["link.visited", "abuse.reported"]) & pl.col("harmful"))
    return acts.filter(pl.col("link").is_in(made.implode()))


@pytest.fixture(scope="module")
def cells():
    events, labels, groups = lived(f"id: it, {CELLS}")
    members = groups.filter(pl.col("attack") == "it")
    mine = events.filter((pl.col("attack") == "it") & pl.col("harmful"))
    return mine.join(members.select(actor="account", cell="group"), on="actor", how="left"), members, labels, events


def test_cells_are_in_the_truth(cells):
    mine, members, labels, _ = cells
    assert members["group"].to_list() == sorted(members["group"].to_list())
    assert members.group_by("group").len()["len"].to_list() == [5] * 6
    assert set(members["group"]) == {f"it#{k}" for k in range(6)}
    assert set(members["role"]) == {"fresh"}
    assert members["account"].is_unique().all()
    labelled = labels.filter((pl.col("kind") == "operation") & (pl.col("subject_type") == "account"))
    assert set(labelled["subject"]) == set(members["account"])
    assert mine["cell"].null_count() == 0
    assert set(mine["kind"]) == {"operation"}


@pytest.mark.parametrize("column", ["ip", "device", "session"])
def test_cells_share_no_means_of_work(cells, column):
    by = cells[0].group_by(column).agg(pl.col("cell").n_unique(), pl.col("actor").n_unique())
    assert by["cell"].max() == 1
    assert (by["actor"].max() > 1) == (column != "session")


@pytest.mark.parametrize(("kind", "size"), [("payment.added", 3), ("phone.verified", 5), ("recovery.changed", 2)])
def test_so_many_accounts_of_a_cell_on_each_card(cells, kind, size):
    mine, _, _, events = cells
    given = mine.filter(pl.col("type") == kind)
    assert given.height == 30
    by = given.group_by("attributes").agg(pl.len(), pl.col("cell").n_unique())
    assert by["cell"].max() == 1
    assert by["len"].max() == size
    assert not set(by["attributes"]) & set(events.filter(pl.col("attack").is_null())["attributes"].drop_nulls())


def test_cells_have_hour_contents_and_links_in_common(cells):
    mine, _, _, _ = cells
    acts = joint(mine.with_columns(pl.col("harmful").fill_null(False)))
    by = acts.group_by("link").agg(pl.col("cell").n_unique())
    assert by["cell"].max() == 6
    stock = (
        mine.filter(pl.col("type") == "file.uploaded")
        .group_by("file_sha256")
        .agg(pl.col("cell").n_unique(), pl.col("attributes").n_unique())
    )
    assert stock.filter(pl.col("cell") > 1).height >= 5
    assert stock.filter(pl.col("cell") > 1)["attributes"].max() == 1, "handed out with its folder"


def test_invitations_stay_in_the_cell(cells):
    mine, members, _, _ = cells
    made = mine.filter(pl.col("type") == "account.created")
    by = made.with_columns(by=pl.col("attributes").str.extract('"invited_by":"([^"]+)"'))
    invited = by.filter(pl.col("by").is_not_null())
    assert 6 <= invited.height <= 20
    assert set(invited["method"]) == {"invite"}
    inviters = invited.join(members.select(by="account", other="group"), on="by", how="left")
    assert (inviters["cell"] == inviters["other"]).all()
    earlier = inviters.join(made.select(by="actor", born="time"), on="by")
    assert (earlier["born"] < earlier["time"]).all()


def test_a_template_belongs_to_a_cell_and_mutation_breaks_it(cells):
    mine, _, _, _ = cells
    made = mine.filter(pl.col("type") == "account.created")
    by = made.group_by("cell").agg(pl.col("user_agent").n_unique(), pl.col("domain").n_unique())
    assert by["user_agent"].max() == by["domain"].max() == 1
    assert made["user_agent"].n_unique() > 2
    varied, _ = alone("mutation: 1, device_reuse: 1")
    varied = varied.filter(pl.col("type") == "account.created")
    assert varied["user_agent"].n_unique() > 8
    assert varied["domain"].n_unique() >= 4


def test_who_has_an_address_and_a_device_of_his_own_shares_neither():
    mine, _ = alone("address_reuse: 1, device_reuse: 1, rotation: 0.5, camouflage: 0.5")
    mine = mine.filter(pl.col("harmful"))
    for column in ("ip", "device"):
        assert mine.group_by(column).agg(pl.col("actor").n_unique())["actor"].max() == 1
    assert mine.group_by("actor").agg(pl.col("ip").n_unique())["ip"].max() == 3


def test_drips_and_bursts():
    spans = {}
    for steady, days in ((0, 0.2), (1, 6)):
        mine, _, _ = lived(f"id: it, kind: operation, start_day: 1, days: {days}, accounts: 30, steady: {steady}")
        made = mine.filter((pl.col("attack") == "it") & (pl.col("type") == "account.created"))["time"]
        spans[steady] = (made.max() - made.min()) / HOUR
    assert spans[0] < 1 < 96 < spans[1]


def test_spread_and_stagger_slow_a_joint_action_down():
    def span(knobs):
        mine, _ = alone(f"cell_size: 6, actions: 6, act_days: 3, camouflage: 0, turnout: 1, {knobs}")
        acts = joint(mine)
        whole = acts.group_by("link").agg((pl.col("time").max() - pl.col("time").min()) / MINUTE)["time"]
        inside = acts.group_by("link", "cell").agg((pl.col("time").max() - pl.col("time").min()) / MINUTE)["time"]
        return whole.median(), inside.max()

    quick, slow, apart = span("spread_min: 5"), span("spread_min: 600"), span("spread_min: 5, stagger_h: 20")
    assert quick[0] < 5.1 < 300 < slow[0]
    assert apart[0] > 300
    assert apart[1] < 5.1


@pytest.mark.parametrize("share", [0, 0.3, 0.7])
def test_cover_is_the_share_that_was_asked(share):
    events, _, _ = lived(
        f"id: it, kind: operation, start_day: 0.5, days: 1, accounts: 60, camouflage: {share}, popular: 1"
    )
    mine = events.filter(pl.col("attack") == "it")
    acts = mine.filter(pl.col("type").is_in(["link.visited", "abuse.reported"]) & pl.col("harmful"))
    assert 1 - joint(mine).height / acts.height == pytest.approx(share, abs=0.08)
    made = events.filter(pl.col("attack").is_null() & (pl.col("type") == "link.created"))["link"]
    cover = acts.filter(~pl.col("link").is_in(mine.filter(pl.col("type") == "link.created")["link"].implode()))
    assert set(cover["link"]) <= set(made), "what the channels publish"


def test_rare_cover_is_of_old_links():
    events, _, _ = lived("id: it, kind: operation, start_day: 0.5, days: 1, accounts: 60, camouflage: 0.6, popular: 0")
    mine = events.filter(pl.col("attack") == "it")
    made = set(events.filter(pl.col("type") == "link.created")["link"])
    cover = mine.filter((pl.col("type") == "link.visited") & ~pl.col("link").is_in(list(made)))
    assert cover.height > 100
    assert cover.group_by("link").len()["len"].median() <= 2


def test_bought_accounts_and_hijacked_ones():
    events, labels, groups = lived(
        "id: it, kind: operation, start_day: 1.5, days: 2, accounts: 60, aged_share: 0.4, hijacked_share: 0.3, "
        "actions: 12"
    )
    roles = {role: set(part["account"]) for (role,), part in groups.filter(pl.col("attack") == "it").group_by("role")}
    assert len(roles["aged"]) == 24
    assert 12 <= len(roles["hijacked"]) <= 18
    mine = events.filter((pl.col("attack") == "it") & pl.col("harmful"))
    assert set(mine.filter(pl.col("type") == "account.created")["actor"]) == roles["fresh"]
    entered = mine.filter(pl.col("type") == "login.succeeded")
    assert set(entered["actor"]) == roles["hijacked"]
    taken = labels.filter((pl.col("kind") == "account_takeover") & (pl.col("attack") == "it"))
    assert set(taken["subject"]) == roles["hijacked"]
    acts = mine.filter(pl.col("actor").is_in(list(roles["hijacked"])))
    inside = acts.join(taken.select("start", "end", actor="subject"), on="actor").filter(
        pl.col("type") != "challenge.issued"
    )
    assert (inside["time"] >= inside["start"]).all()
    assert (inside["time"] < inside["end"]).all()
    assert ((inside["time"] - inside["start"]) / DAY).max() < 4.1, "for some days, not for good"
    own = labels.filter((pl.col("kind") == "operation") & (pl.col("subject_type") == "account"))
    assert set(own["subject"]) == roles["fresh"] | roles["aged"]
    recovery = events.filter((pl.col("kind") == "recovery") & (pl.col("type") == "password.reset"))
    assert set(recovery["account"]) <= roles["hijacked"]  # of some not before the world ends
    assert recovery.height > len(roles["hijacked"]) / 2


def test_they_sleep_before_they_act():
    waits = []
    for sleep in (0.1, 3):
        mine, _ = alone(f"sleep_days: {sleep}, steady: 0, camouflage: 0")
        born = mine.filter(pl.col("type") == "account.created").select("actor", born="time")
        first = joint(mine).group_by("actor").agg(pl.col("time").min())
        waits.append(((first.join(born, on="actor")["time"] - first.join(born, on="actor")["born"]) / DAY).mean())
    assert waits[0] + 1 < waits[1]


@pytest.mark.parametrize(("act", "kind"), [("visit", "link.visited"), ("report", "abuse.reported")])
def test_what_they_do_together(act, kind):
    mine, members = alone(f"act: {act}, camouflage: 0, honest_targets: 1, turnout: 1")
    acts = joint(mine)
    assert set(acts["type"]) == {kind}
    assert acts["link"].n_unique() >= 6
    assert not set(acts["owner"]) & set(members["account"])
    made = mine.filter(pl.col("type") == "link.created")
    assert not made["harmful"].any(), "honest people made these"
    own, members = alone("act: visit, camouflage: 0, honest_targets: 0")
    assert set(joint(own)["owner"]) <= set(members["account"])


def test_reports_are_rejected_where_there_is_a_moderation():
    text = HEAD.replace("adversaries:", "moderation: {review_share: 1, review_h: 2}\nadversaries:")
    world = simulate(
        parse_scenario(text + "  - {id: it, kind: operation, start_day: 1, days: 1, accounts: 20, act: report}\n")
    )
    events = frame(world).join(pl.from_arrow(world.truth).drop("time"), on="event_id")
    mine = events.filter(pl.col("attack") == "it")
    told, verdicts = (mine.filter(pl.col("type") == kind) for kind in ("abuse.reported", "abuse.resolved"))
    assert verdicts.height > 30
    assert set(verdicts["outcome"]) == {"rejected"}
    assert not verdicts["harmful"].any()
    assert told["recipient"].equals(told["actor"])
    assert mine.filter(pl.col("type") == "link.stopped").height == 0


def test_telephone_farms_attest_their_devices():
    mine, _ = alone("app_share: 1, device_reuse: 5")
    begun = mine.filter((pl.col("type") == "session.started") & pl.col("harmful"))
    assert set(begun["client"]) == {"mobile"}
    assert begun["attributes"].str.contains('"device_attested":true').all()
    assert begun.group_by("device").agg(pl.col("actor").n_unique())["actor"].max() == 5


def test_honest_people_and_other_attacks_are_as_they_were(cells):
    quiet = frame(simulate(parse_scenario(HEAD.split("adversaries:")[0])))
    honest = cells[3].filter(pl.col("attack").is_null())
    assert honest.select(quiet.columns).equals(quiet)
    beside, _, _ = lived("id: other, kind: phishing, start_day: 1, days: 1", f"id: it, {CELLS}")
    columns = ["time", "type", "kind", "harmful", "user_agent"]
    both = [part.filter(pl.col("attack") == "it").select(columns).sort(columns) for part in (beside, cells[3])]
    assert both[0].equals(both[1])


def test_a_world_that_reacts_can_hold_an_operation():
    scenario = parse_scenario(HEAD + f"  - {{id: it, {CELLS}}}\n")
    world, seen = ReactiveWorld(scenario), 0
    while not world.over:
        part = world.step(world.now + 12 * HOUR)
        seen += part.events.num_rows
        first = pl.from_arrow(part.truth).filter(pl.col("kind") == "operation")
        acted = pl.from_arrow(part.events).join(first, on="event_id", how="semi").filter(pl.col("actor").is_not_null())
        how = {"subject_type": "account", "action": "suspend", "as_of": world.now, "until": world.now + DAY * 90}
        rows = [{**how, "subject": who} for who in sorted(set(acted["actor"]))[:5]]
        if rows:
            world.act(pa.Table.from_pylist(rows, ACTIONS_SCHEMA))
    ledger = world.ledger().to_dict()["attacks"]["it"]
    assert ledger["refused"] > 5
    assert ledger["accounts_burned"] >= 5
    assert seen > 5000
    members = pl.from_arrow(world.groups()).filter(pl.col("attack") == "it")
    assert members.height == 30 + ledger["accounts_replaced"] > 30
    assert members["account"].is_unique().all()
    assert members["group"].n_unique() == 6


def test_the_shipped_world_has_them_all():
    scenario = builtin_scenario("operations")
    assert {a.kind for a in scenario.adversaries} == {"operation"}
    members = sum(a.accounts for a in scenario.adversaries)
    assert 0.003 < members / scenario.population.accounts < 0.011


FAMILY = sorted(FAMILIES.glob("operations-*.yaml"))
PARTS = {"ordinary", "bulk", "drip", "whole", "cells-3", "cells-5", "cells-10", "cells-20", "camouflage", "slowdown",
         "proxies", "aged"}  # fmt: skip


def test_the_two_families_differ_in_everything_but_their_parts():
    read = {path.stem: read_scenario(path) for path in FAMILY}
    by = {kind: {n: s for n, s in read.items() if n.startswith(f"operations-{kind}-")} for kind in ("dev", "report")}
    assert {kind: {n.split("-", 2)[2] for n in some} for kind, some in by.items()} == {"dev": PARTS, "report": PARTS}
    seeds = [s.seed for s in read.values()]
    assert len(set(seeds)) == len(seeds)
    dev, report = by["dev"].values(), by["report"].values()
    assert not {h.city for s in dev for h in s.homes} & {h.city for s in report for h in s.homes}
    alike = {replace(a, id="") for s in dev for a in s.adversaries} & {
        replace(a, id="") for s in report for a in s.adversaries
    }
    assert not alike
    assert {s.structure for s in dev} & {s.structure for s in report} == set()


@pytest.mark.parametrize("path", FAMILY, ids=[path.stem for path in FAMILY])
def test_base_rates_of_the_families(path):
    scenario = read_scenario(path)
    assert scenario.name == path.stem
    members = sum(a.accounts for a in scenario.adversaries)
    share = members / (scenario.population.accounts + scenario.population.signups_per_day * scenario.days)
    assert (share == 0) == (path.stem.endswith("-ordinary"))
    assert share == 0 or 0.003 <= share <= 0.01
    if "-cells-" in path.stem:
        assert {a.cell_size for a in scenario.adversaries} == {int(path.stem.split("-")[-1])}
    if path.stem.endswith(("-camouflage", "-slowdown")):
        assert len({(a.camouflage, a.popular, a.spread_min) for a in scenario.adversaries}) >= 5
