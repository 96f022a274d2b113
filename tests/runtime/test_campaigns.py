"""Campaigns on a deployment: found, published, read by the stream, kept by name, shown with names, and rebuilt."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from keep_parts import opened, write_pack
from typer.testing import CliRunner

from shoal.cli.app import app
from shoal.clock import SystemClock
from shoal.coordination.campaigns.campaign import Campaign
from shoal.errors import InvalidInput
from shoal.runtime.coordination.gather import gather
from shoal.runtime.coordination.job import JobSettings, Run, run
from shoal.runtime.coordination.published import chosen, newest, number_of
from shoal.runtime.home import open_home
from shoal.runtime.review.replay import replay
from shoal.runtime.run import Progress, read_source
from shoal.storage.journal import Journal

Maker = Callable[..., Path]
SILENT = Progress(lambda _: None, lambda _a, _b: None)
START = datetime(2026, 3, 2, 9, tzinfo=UTC)
RING = [f"ring{n}" for n in range(8)]
RELATIONS = """\
format: shoal.relations
version: 1
relations:
  payment:
    columns: [payment_hash]
    on: type = 'payment.added'
    strength: hard
    words: pay with the same card
  device: {columns: [device], words: were used on the same device}
  ip: {columns: [ip], words: came from the same address}
  link:
    columns: [link]
    on: type = 'link.visited'
    role: target
    words: opened the same link
"""
SIGNALS = """\
format: shoal.signals
version: 1
signals:
  campaign: {kind: campaign, entities: [device, payment_hash, ip]}
"""


def moment(hours: float) -> str:
    return (START + timedelta(hours=hours)).isoformat()


def event(kind: str, hours: float, who: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "time": moment(hours), "actor": who, "account": who} | more


def honest(days: range) -> list[dict[str, Any]]:
    """Forty people who share nothing but three addresses of a carrier."""
    rows = []
    for n in range(40):
        who = f"user{n}"
        if days.start == 0:
            rows.append(event("account.created", n * 0.4, who, ip=f"198.51.100.{n}", device=f"d{n}"))
        rows += [event("login.succeeded", 24 * day + n * 0.3, who, ip=f"203.0.113.{n % 3}", device=f"d{n}")
                 for day in days]  # fmt: skip
    return rows


def ring(names: list[str], start: float) -> list[dict[str, Any]]:
    """Accounts of one hand: made within minutes, two cards, two devices, the same links at the same minutes."""
    rows = []
    for n, who in enumerate(names):
        means = {"ip": f"192.0.2.{n % 2}", "device": f"kit{n % 2}"}
        rows.append(event("account.created", start + n * 0.05, who, **means))
        rows.append(event("payment.added", start + 1 + n * 0.05, who, attributes={"payment_hash": f"card{n % 2}"}))
        rows += [event("link.visited", start + 5 + 3 * at + n * 0.002, who, link=f"link{at}", **means)
                 for at in range(5)]  # fmt: skip
    return rows


def lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    arranged = sorted(rows, key=lambda row: row["time"])
    path.write_text("".join(json.dumps(row) + "\n" for row in arranged), encoding="utf-8")
    return path


def make_pack(folder: Path, relations: str = RELATIONS) -> Path:
    rules = {"member": ("actor", "medium", "campaign.belief >= 0.5"), "touch": ("actor", "low", "campaign.touch > 0.3")}
    write_pack(folder, rules=rules, attributes={"payment_hash": {"path": "payment_hash", "type": "text"}})
    for name, text in (("relations", relations), ("signals", SIGNALS)):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "all.yaml").write_text(text, encoding="utf-8")
    return folder


def feed(folder: Path, source: Path, pack: Path | None = None) -> None:
    deployment = opened(folder)
    try:
        if pack is not None:
            deployment.publish(pack, history_complete=True)
        read_source(deployment, [source], "native", received=False, clock=SystemClock(), progress=SILENT)
    finally:
        deployment.close()


def search(folder: Path, **settings: Any) -> Run:
    deployment = opened(folder)
    try:
        return run(deployment, JobSettings(**settings))
    finally:
        deployment.close()


def names(folder: Path, campaign: Campaign, wanted: list[str]) -> set[str]:
    identity = open_home(folder, create=False).identity
    members = {one.account for one in campaign.members}
    return {name for name in wanted if identity.id_of(name) in members}


@pytest.fixture
def world(tmp_path: Path, home_folder: Maker) -> tuple[Path, Path]:
    """A deployment that has read ten days with a ring among them; the pack."""
    folder, pack = home_folder("home", batch_rows=100, snapshot_rows=10**9), make_pack(tmp_path / "pack")
    feed(folder, lines(tmp_path / "a.ndjson", honest(range(10)) + ring(RING, 60)), pack)
    return folder, pack


def ring_of(folder: Path, found: Run) -> Campaign:
    held = [one for one in found.campaigns if names(folder, one, RING)]
    assert len(held) == 1
    return held[0]


def test_a_ring_is_found_and_the_stream_knows_it_from_then_on(tmp_path: Path, world: tuple[Path, Path]) -> None:
    folder, _ = world
    found = search(folder)
    campaign = ring_of(folder, found)
    assert names(folder, campaign, RING) == set(RING)
    assert not names(folder, campaign, [f"user{n}" for n in range(40)])
    assert found.seq is not None
    later = [event("file.uploaded", 300, "ring0", device="kit0"), event("file.uploaded", 300.1, "user1", device="d1"),
             event("session.started", 300.2, "fresh", device="kit1")]  # fmt: skip
    feed(folder, lines(tmp_path / "b.ndjson", later))
    store = open_home(folder, create=False).open_store(read_only=True)
    try:
        told = {(row.subject, rule) for row in store.read_decisions(latest=True) for rule in ("member", "touch")
                if f"all.{rule}" in row.rules}  # fmt: skip
    finally:
        store.close()
    assert told == {("ring0", "member"), ("fresh", "touch")}
    assert replay(open_home(folder, create=False)).count == 0


def test_a_second_run_reads_what_is_new_and_keeps_the_name(tmp_path: Path, world: tuple[Path, Path]) -> None:
    folder, _ = world
    before = ring_of(folder, search(folder))
    again = search(folder)
    assert ring_of(folder, again).id == before.id
    assert (again.born, again.retired, again.records) == ((), (), 2), "its own two records"
    assert again.touched < again.graph.accounts
    feed(folder, lines(tmp_path / "b.ndjson", ring([f"late{n}" for n in range(2)], 301)
                       + [event("link.visited", 306 + 3 * at, who, link=f"link{at}", ip="192.0.2.0", device="kit0")
                          for at in range(5) for who in ("late0", "ring0", "ring2")]))  # fmt: skip
    grown = search(folder)
    assert ring_of(folder, grown).id == before.id
    assert names(folder, ring_of(folder, grown), ["late0", "late1"]) == {"late0", "late1"}
    assert search(folder, anew=True).campaigns[0].id == before.id
    home = open_home(folder, create=False)
    journal = Journal.open(home.journal, identity=home.identity, read_only=True)
    try:
        told = newest(home, journal)
        (home.folder / "campaigns" / "newest.json").unlink()
        assert newest(home, journal) == told
        assert told is not None
        assert chosen(told, before.id[:5]).id == before.id
        assert number_of(before.id) < 2**48
    finally:
        journal.close()


DAMAGE: list[tuple[str, Callable[[Path], Any]]] = [
    ("no zip", lambda path: path.write_bytes(b"not a cache")),
    ("cut", lambda path: path.write_bytes(path.read_bytes()[:500])),
    ("another format", lambda path: np.savez(path, cache=np.frombuffer(b'{"format": "x", "version": 1}', np.uint8))),
    ("no mark", lambda path: np.savez(path, head=np.zeros(3))),
]


@pytest.mark.parametrize(("_name", "damage"), DAMAGE, ids=[name for name, _ in DAMAGE])
def test_a_damaged_cache_is_built_anew(world: tuple[Path, Path], _name: str, damage: Callable[[Path], Any]) -> None:
    folder, _ = world
    first = search(folder)
    damage(folder / "campaigns" / "graph.npz")
    again = search(folder)
    assert [one.id for one in again.campaigns] == [one.id for one in first.campaigns]
    assert "the graph is built anew" in again.notes[0]
    assert again.touched == again.graph.accounts


def test_other_relations_are_read_anew_and_a_pack_without_any_is_refused(
    tmp_path: Path, world: tuple[Path, Path]
) -> None:
    folder, _ = world
    search(folder)
    deployment = opened(folder)
    try:
        deployment.publish(make_pack(tmp_path / "other", RELATIONS.replace("type = 'link.visited'", "link LIKE 'l%'")),
                           history_complete=True)  # fmt: skip
        assert "other relations" in run(deployment).notes[0]
        bare = make_pack(tmp_path / "bare")
        (bare / "relations" / "all.yaml").unlink()
        deployment.publish(bare, history_complete=True)
        with pytest.raises(InvalidInput) as caught:
            run(deployment)
        assert [problem.slug for problem in caught.value.problems] == ["campaigns.no_relations"]
    finally:
        deployment.close()


def test_the_graph_does_not_depend_on_where_runs_stopped(tmp_path: Path, home_folder: Maker) -> None:
    rows = honest(range(6)) + ring(RING, 30)
    whole, parts = home_folder("whole"), home_folder("parts", batch_rows=33)
    pack = make_pack(tmp_path / "pack")
    arranged = sorted(rows, key=lambda row: row["time"])
    feed(whole, lines(tmp_path / "w.ndjson", arranged), pack)
    for at in range(3):
        feed(parts, lines(tmp_path / f"p{at}.ndjson", arranged[at::3][:0] or arranged[at * 110 : (at + 1) * 110]), pack)
        search(parts)
    graphs = []
    for folder in (whole, parts):
        home = open_home(folder, create=False)
        journal = Journal.open(home.journal, identity=home.identity, read_only=True)
        deployment = opened(folder)
        try:
            graphs.append(gather(home, journal, deployment.running.pack, recent_us=0).graph)
        finally:
            deployment.close()
            journal.close()
    assert {n: e.size for n, e in graphs[0].relations.items()} == {n: e.size for n, e in graphs[1].relations.items()}


def test_the_command_line(tmp_path: Path, world: tuple[Path, Path]) -> None:
    folder, _ = world
    cli = CliRunner()

    def say(*words: str, code: int = 0) -> str:
        result = cli.invoke(app, ["campaigns", *words])
        assert result.exit_code == code, result.output
        return result.output

    assert "no campaigns were published" in say("list", str(folder))
    dry = say("run", str(folder), "--dry-run")
    assert "nothing was published" in dry
    assert "1 campaigns: 1 new" in say("run", str(folder))
    (listed,) = json.loads(say("list", str(folder), "--json"))
    assert listed["members"] == 8
    page = tmp_path / "page.html"
    shown = say("show", listed["id"][:6], "--home", str(folder), "--html", str(page))
    assert "ring3" in shown
    assert "payment card0" in shown
    assert "pay with the same card" in page.read_text(encoding="utf-8")
    told = json.loads(say("show", listed["id"], "--home", str(folder), "--json"))
    assert {one["account"] for one in told["members"]} == set(RING)
    assert "ring2 belongs to campaign" in say("explain", "ring2", "--home", str(folder))
    assert "belongs to no published campaign" in say("explain", "user3", "--home", str(folder), code=1)
    for ending in ("csv", "json", "parquet"):
        say("export", str(tmp_path / f"m.{ending}"), "--home", str(folder))
    table = pq.read_table(tmp_path / "m.parquet")
    assert set(table["account"].to_pylist()) == set(RING)
    assert (tmp_path / "m.csv").read_text(encoding="utf-8").count("\n") == 9
    assert {row["account"] for row in json.loads((tmp_path / "m.json").read_text())} == set(RING)
    say("export", str(tmp_path / "m.doc"), "--home", str(folder), code=2)
    with pytest.raises(InvalidInput) as caught:
        cli.invoke(app, ["campaigns", "show", "cxyz", "--home", str(folder)], catch_exceptions=False)
    assert [problem.slug for problem in caught.value.problems] == ["campaigns.unknown"]


def test_a_model_needs_labels_of_both_kinds(world: tuple[Path, Path]) -> None:
    folder, _ = world
    result = CliRunner().invoke(app, ["campaigns", "fit", str(folder)])
    assert isinstance(result.exception, InvalidInput)
    assert not (folder / "campaigns" / "unit.json").exists()
