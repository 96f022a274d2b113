"""Revisions: laws, crashes, bounds, and records that are not in order."""

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from revise_parts import START, Stored, event, fact, feed, opened, run, whole, write_pack
from typer.testing import CliRunner

from shoal.cli.app import app
from shoal.clock import SystemClock
from shoal.errors import Corrupt, InvalidInput, Unsupported
from shoal.runtime.deployment import open_deployment
from shoal.runtime.home import open_home
from shoal.runtime.ingest.follow import follow
from shoal.runtime.revise.causes import BACK, JOINED, MISSING, part_cause
from shoal.runtime.revise.open import Entry, MissingPart, OpenSet
from shoal.runtime.run import Progress, read_source
from shoal.storage.frames import ControlFrame
from shoal.storage.store import Store
from shoal.testing import FakeClock, MemorySource

SILENT = Progress(lambda _: None, lambda _a, _b: None)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    return write_pack(tmp_path / "pack", "free", "far", "lent", "any")


def mixed(rows: int = 120) -> list[dict[str, Any]]:
    """Events of ten accounts, and the facts about them strewn among them."""
    rng = random.Random(4)
    found: list[dict[str, Any]] = []
    for k in range(rows):
        more = {"account": f"a{rng.randrange(10)}", "ip": f"192.0.2.{rng.randrange(9)}"}
        if rng.random() < 0.3:
            more["link"] = f"l{rng.randrange(4)}"
        found.append(event(f"e{k:03d}", 60.0 * k, **more))
    for k in range(10):
        found.append(fact(f"a{k}", "tier", "free" if k % 2 else "paid", 60.0 * rng.randrange(rows) + 30))
    for k in range(4):
        found.append(fact(f"l{k}", "owner", f"a{k}", 60.0 * rng.randrange(rows) + 20, of="link"))
    return sorted(found, key=lambda record: record["time"])


def home(folder: Path, **settings: Any) -> Path:
    folder.mkdir()
    (folder / "identity.key").write_text("000102030405060708090a0b0c0d0e0f\n")
    (folder / "shoal.toml").write_text("".join(f"{key} = {value}\n" for key, value in settings.items()))
    return folder


def alike(first: Stored, second: Stored) -> None:
    """Two deployments revised alike."""
    assert first.revisions == second.revisions
    assert first.decisions == second.decisions
    assert first.outbox == second.outbox
    assert first.open == second.open
    assert first.rows.equals(second.rows)
    assert (first.log is None) == (second.log is None)
    if first.log is not None and second.log is not None:
        order = [("seq", "ascending"), ("revision", "ascending")]
        assert first.log.sort_by(order).equals(second.log.sort_by(order))
    assert first.counts == second.counts


def test_revisions_do_not_depend_on_batches(tmp_path: Path, pack: Path) -> None:
    source = tmp_path / "events.ndjson"
    source.write_text("".join(json.dumps(record) + "\n" for record in mixed()), encoding="utf-8")
    found = []
    for rows in (4096, 7, 1):
        folder = home(tmp_path / f"h{rows}", batch_rows=rows)
        deployment = opened(folder, pack)
        deployment.part_missing("geo", ["country"])
        read_source(deployment, [source], "native", received=False, clock=SystemClock(), progress=SILENT)
        deployment.part_back("geo", lambda t: t.append_column("country", pa.array(["XX", None] * 999)[: t.num_rows]))
        deployment.close()
        whole(folder)
        found.append(Stored(folder))
    assert len(found[0].revisions) > 60
    assert {row.revision for row in found[0].revisions} > {1}, "no event was revised twice"
    assert any('"revision"' in row.body for row in found[0].outbox)
    for other in found[1:]:
        alike(found[0], other)


def test_a_revision_is_what_would_have_been_decided(tmp_path: Path) -> None:
    """For rules without windows: the tier behind the last revision is that of a run that had the facts first."""
    pack = write_pack(tmp_path / "pack", "free", "lent")
    records = mixed()
    facts = [record for record in records if "record" in record]
    early = [{**record, "time": round((START - 1) * 1e6) + k} for k, record in enumerate(facts)]
    late, first = home(tmp_path / "late"), home(tmp_path / "first")
    run(late, pack, records)
    run(first, pack, early + [record for record in records if "record" not in record])
    whole(late)
    assert Stored(first).revisions == []
    wanted, found = Stored(first), Stored(late)

    def by_place(stored: Stored) -> list[int]:
        tiers = stored.tiers()
        return [tiers[seq] for seq in stored.rows["seq"].to_pylist()]

    # a link's owner is filled from its fact alone, so events before it wait for the owner's next fact: all others agree
    differ = [k for k, (a, b) in enumerate(zip(by_place(wanted), by_place(found), strict=True)) if a != b]
    links = [record.get("link") for record in records if "record" not in record]
    assert all(links[k] for k in differ)
    assert len(differ) < len(links) / 4
    assert sum(by_place(found)) > sum(Stored(late).rows["tier"].to_pylist())


def test_features_are_as_they_were(tmp_path: Path) -> None:
    """A run whose facts arrive, and one where they are about others: the features and their state are the same bits."""
    pack = write_pack(tmp_path / "pack", "free", "any")
    records = mixed()
    others = [{**r, "subject": "nobody"} if "record" in r else r for r in records]
    state = []
    for name, told in (("with", records), ("without", others)):
        folder = home(tmp_path / name, sample_one_in=1)
        deployment = opened(folder, pack)
        feed(deployment, told)
        deployment.running.features.snapshot(tmp_path / f"state-{name}", 0)
        deployment.close()
        files = sorted(p for p in (tmp_path / f"state-{name}").rglob("*") if p.is_file())
        vectors = Stored(folder).rows["features"].to_pylist()
        state.append(([(p.name, p.read_bytes()) for p in files], vectors, len(Stored(folder).revisions)))
    assert state[0][2] > 10
    assert state[1][2] == 0
    assert state[0][:2] == state[1][:2]


def test_no_action_is_planned_twice_and_only_a_raise_plans(tmp_path: Path, pack: Path) -> None:
    folder = home(tmp_path / "h")
    a = {"account": "ann"}
    run(folder, pack, [event("e0", 0, **a), event("e1", 1, **a), event("e2", 2, **a), fact("ann", "tier", "free", 60)])
    whole(folder)
    stored = Stored(folder)
    assert [(row.tier_before, row.tier) for row in stored.revisions] == [(1, 2)] * 3
    planned = [(row.action, json.loads(row.body).get("revision")) for row in stored.outbox]
    assert planned == [("watch", None), ("rate_limit", 1)], (
        "watch was planned at first, rate_limit once by the revision"
    )
    assert stored.counts["deferred"] == 3
    assert stored.counts["decided"] == 3
    assert stored.counts["revised"] == 3


def test_bounds(tmp_path: Path) -> None:
    pack, folder = write_pack(tmp_path / "pack", "free"), home(tmp_path / "h", revise_open=3)
    events = [event(f"e{k}", k, account=f"a{k}") for k in range(10)]
    run(folder, pack, [*events, *(fact(f"a{k}", "tier", "free", 60) for k in range(10))])
    whole(folder)
    stored = Stored(folder)
    assert [row.seq for row in stored.revisions] == stored.rows["seq"].to_pylist()[7:]
    assert (stored.counts["closed"], stored.counts["settled"], stored.open) == (7, 3, [])


def test_another_pack_closes_what_is_open(tmp_path: Path, pack: Path) -> None:
    folder = home(tmp_path / "h")
    run(folder, pack, [event("e0", 0, account="ann")])
    run(folder, write_pack(tmp_path / "other", "free"), [fact("ann", "tier", "free", 60)])
    whole(folder)
    stored = Stored(folder)
    assert (stored.revisions, stored.open, stored.counts["closed"]) == ([], [], 1)


def test_a_finite_run_refuses_a_table_that_cannot_be_read(tmp_path: Path) -> None:
    folder = home(tmp_path / "h", enrichment=json.dumps([str(tmp_path / "absent.csv"), str(tmp_path / "gone.mmdb")]))
    with pytest.raises(InvalidInput) as caught:
        open_deployment(open_home(folder, create=True))
    assert len(caught.value.problems) == 2


def test_a_part_of_a_later_detector(tmp_path: Path, pack: Path) -> None:
    folder = home(tmp_path / "h")
    deployment = opened(folder, pack)
    deployment.part_missing("geo", ["country"], kind="detector", why="not started")
    deployment.part_missing("geo", ["country"])
    feed(deployment, [event("e0", 0, account="ann", ip="192.0.2.1")])

    def join(events: pa.Table) -> pa.Table:
        return events.append_column("country", pa.array(["XX"] * events.num_rows))

    deployment.part_back("geo", join)
    with pytest.raises(InvalidInput):
        deployment.part_back("geo", join)
    deployment.close()
    whole(folder)
    stored = Stored(folder)
    assert [(row.tier_before, row.tier, row.known) for row in stored.revisions] == [(1, 3, '{"country":"XX"}')]
    assert stored.missing == []


WRONG_PARTS = [
    ({"name": ""}, {"part.name"}),
    ({"name": "n" * 301}, {"part.name"}),
    ({"columns": []}, {"part.columns"}),
    ({"columns": ["country", "contry", "x"]}, {"part.columns"}),
    ({"kind": "table"}, {"part.kind"}),
    ({"name": "", "columns": [], "kind": ""}, {"part.name", "part.columns", "part.kind"}),
]


@pytest.mark.parametrize(("wrong", "slugs"), WRONG_PARTS)
def test_parts_that_are_refused(tmp_path: Path, pack: Path, wrong: dict[str, Any], slugs: set[str]) -> None:
    deployment = opened(home(tmp_path / "h"), pack)
    before = deployment.journal.next_seq
    with pytest.raises(InvalidInput) as caught:
        deployment.part_missing(**{"name": "geo", "columns": ["country"]} | wrong)
    assert {problem.slug for problem in caught.value.problems} == slugs
    assert deployment.journal.next_seq == before
    deployment.close()


def _rows(**columns: Any) -> pa.Table:
    return pa.table(columns)


GOOD = {"version": 1, "part": "geo", "kind": "detector", "columns": ["country"], "why": ""}
MALFORMED = [
    (MISSING, {**GOOD, "version": 2}),
    (MISSING, {**GOOD, "part": ""}),
    (MISSING, {**GOOD, "part": 7}),
    (MISSING, {**GOOD, "columns": []}),
    (BACK, {**GOOD, "columns": "country"}),
    (BACK, {**GOOD, "columns": ["contry"]}),
    (MISSING, {**GOOD, "kind": "oracle"}),
    (JOINED, {"version": 1, "part": "geo"}),
    (JOINED, {"version": 1, "part": "geo", "rows": _rows(country=["XX"])}),
    (JOINED, {"version": 1, "part": "geo", "rows": _rows(seq=[1], contry=["XX"])}),
    (JOINED, {"version": 1, "part": "geo", "rows": _rows(seq=[1], country=[7])}),
    (JOINED, {"version": 1, "part": "geo", "rows": _rows(seq=[1, 1], country=["XX", "XX"])}),
    (JOINED, {"version": 1, "part": "geo", "rows": _rows(seq=[1, None], country=["XX", "XX"])}),
    (JOINED, {"version": 1, "part": "geo", "rows": _rows(seq=[9], country=["XX"])}),
]


@pytest.mark.parametrize("number", range(len(MALFORMED)))
def test_records_of_parts_that_are_not_in_order(number: int) -> None:
    kind, body = MALFORMED[number]
    with pytest.raises(Corrupt, match="record 9"):
        part_cause(ControlFrame(9, 0, kind, body))


def test_a_well_formed_record_of_a_part() -> None:
    assert part_cause(ControlFrame(9, 5, MISSING, GOOD)).columns == ("country",)
    body = {"version": 1, "part": "geo", "rows": _rows(seq=[1, 2], country=["XX", None])}
    assert part_cause(ControlFrame(9, 5, JOINED, body)).rows == {1: {"country": "XX"}, 2: {}}


def test_the_open_set_is_written_and_read_back() -> None:
    first = OpenSet(10, 5)
    for seq in range(7):
        first.add(Entry(seq, seq, ["org"], {"account": seq % 3}, b"v", [1], [2], 1, [(0, 1, 2, 3)], wants=["geo"]))
    first.parts["geo"] = MissingPart("geo", "detector", ("country",), 3, "why")
    second = OpenSet(10, 5)
    second.restore(first.snapshot())
    assert second.snapshot() == first.snapshot()
    assert (second.entries, second.parts, second.wanted) == (first.entries, first.parts, first.wanted)
    assert [entry.seq for entry in second.about([("account", 0)])] == [3, 6]
    assert second.expire(14) == [2, 3]
    assert second.wants() == {"geo": [4, 5, 6]}
    for wrong in (b"", b"\x80", first.snapshot()[:-1], first.snapshot().replace(b"waiting", b"waitong")):
        with pytest.raises(Corrupt):
            OpenSet(10, 5).restore(wrong)
    with pytest.raises(Unsupported):
        OpenSet(10, 5).restore(first.snapshot().replace(b"\xa7version\x01", b"\xa7version\x02"))


def test_a_store_of_an_earlier_release_is_brought_up(tmp_path: Path) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine

    import shoal.storage.store as module

    config = Config()
    config.set_main_option("script_location", str(Path(module.__file__).with_name("migrations")))
    config.set_main_option("path_separator", "os")
    engine = create_engine(f"sqlite:///{tmp_path / 'store.sqlite'}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.exec_driver_sql("INSERT INTO ledger VALUES ('s', 'deferred', 3), ('t', 'deferred', 4)")
    engine.dispose()
    with Store.open(tmp_path / "store.sqlite") as store:
        assert store.read_ledger()[""] == {"closed": 7}
        assert (store.read_open(), store.read_revisions(), store.read_missing_parts()) == ([], [], [])


def test_a_table_that_comes_back_while_a_stream_runs(tmp_path: Path, pack: Path) -> None:
    table = tmp_path / "geo.csv"
    folder = home(tmp_path / "h", enrichment=json.dumps([str(table)]), part_check_s=5)
    deployment = opened(folder, pack)
    events = [event(f"e{k}", 10.0 * k, account=f"a{k}", ip=f"192.0.2.{k}") for k in range(20)]

    class Source(MemorySource):
        def poll(self, timeout_s: float) -> Any:
            if self._clock.now_us() > (START + 100) * 1e6 and not table.exists():
                table.write_text("cidr,country\n192.0.2.0/24,XX\n")
            return super().poll(timeout_s)

    clock = FakeClock(round(START * 1e6))
    script = [(record["time"] / 1e6 - START + 1, record) for record in events]
    follow(deployment, Source({"p": script}, clock, limit=1), clock=clock, merge_wait_s=0)  # type: ignore[dict-item]
    deployment.close()
    whole(folder)
    stored = Stored(folder)
    assert list(stored.tiers().values()) == [3] * 20
    assert 0 < len(stored.revisions) < 20
    assert stored.missing == []
    kinds = [kind for kind in control_kinds(folder) if kind.startswith("part.")]
    assert kinds == [MISSING, BACK, JOINED]


def control_kinds(folder: Path) -> Iterator[str]:
    from shoal.storage.journal import Journal

    opened_home = open_home(folder, create=False)
    with Journal.open(opened_home.journal, identity=opened_home.identity, read_only=True) as journal:
        yield from [frame.kind for frame in journal.read() if isinstance(frame, ControlFrame)]


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [sys.argv[4], os.path.dirname(sys.argv[4])]
from shoal.storage.decisions import DecisionLog
from shoal.storage.journal import Journal
from shoal.storage.store import Store
from shoal.runtime.ingest.writer import Writer
step, left = sys.argv[2], [int(sys.argv[3])]
owner, name = {"journal": (Journal, "sync"), "decisions": (DecisionLog, "sync"), "store": (Store, "commit"),
    "part.back": (Writer, "control"), "part.joined": (Writer, "control")}[step.split("-")[0]]
real = getattr(owner, name)
def call(*args, **kwargs):
    left[0] -= not step.startswith("part.") or args[1] == step.split("-")[0]
    if left[0] == 0 and step.endswith("before"):
        os.kill(os.getpid(), signal.SIGKILL)
    value = real(*args, **kwargs)
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return value
setattr(owner, name, call)
import test_revise
test_revise.once(Path(sys.argv[1]))
"""
POINTS = [
    ("journal-after", 9), ("decisions-after", 12), ("part.back-after", 1), ("part.joined-after", 1),
    ("store-after", 17),
]  # fmt: skip


def once(folder: Path) -> None:
    """Half of the stream without its table, then the table comes back, then the other half; from where it stopped."""
    table, records = folder / "geo.csv", mixed()
    half = len(records) // 2
    deployment = opened(folder, folder.parent / "pack")
    feed(deployment, records[:half], name="one", limit=10)
    deployment.close()
    table.write_text("cidr,country\n192.0.2.0/29,XX\n")
    deployment = opened(folder, folder.parent / "pack")
    feed(deployment, records[half:], name="two", limit=10)
    deployment.close()


@pytest.mark.slow
def test_killed_anywhere_the_same_revisions_and_none_twice(tmp_path: Path, pack: Path) -> None:
    settings: dict[str, Any] = {"batch_rows": 20, "snapshot_rows": 15}
    reference = home(tmp_path / "whole", enrichment=json.dumps([str(tmp_path / "whole" / "geo.csv")]), **settings)
    once(reference)
    whole(reference)
    want = Stored(reference)
    assert len(want.revisions) > 30
    for step, count in POINTS:
        name = f"{step}-{count}"
        folder = home(tmp_path / name, enrichment=json.dumps([str(tmp_path / name / "geo.csv")]), **settings)
        command = [sys.executable, "-c", CHILD, str(folder), step, str(count), str(Path(__file__).parent)]
        child = subprocess.run(command, capture_output=True)
        assert child.returncode == -9, (step, count, child.stderr.decode()[-2000:])
        once(folder)
        whole(folder)
        got = Stored(folder)
        places, others = {s: k for k, s in enumerate(got.rows["seq"].to_pylist())}, want.rows["seq"].to_pylist()
        assert list(got.tiers().values()) == list(want.tiers().values()), (step, count)
        revised = sorted((others[places[row.seq]], row.revision, row.tier, row.known) for row in got.revisions)
        assert revised == sorted((row.seq, row.revision, row.tier, row.known) for row in want.revisions), (step, count)
        acted = [(row.subject, row.action) for row in got.outbox]
        assert sorted(acted) == sorted((row.subject, row.action) for row in want.outbox), (step, count)
        for name in ("deferred", "revised", "settled", "decided", "read"):
            assert got.counts[name] == want.counts[name], (step, count, name)


def test_the_positions_of_vectors_are_those_of_the_decision_log(tmp_path: Path, pack: Path) -> None:
    folder = home(tmp_path / "h", sample_one_in=1_000_000)
    deployment = opened(folder, pack)
    feed(deployment, mixed(20))
    entries = dict(deployment.running.reviser.open.entries) if deployment.running.reviser else {}
    deployment.close()
    stored = Stored(folder)
    vectors = dict(zip(stored.rows["seq"].to_pylist(), stored.rows["features"].to_pylist(), strict=True))
    assert entries
    assert all(entry.vector == vectors[seq] for seq, entry in entries.items())
    assert all(np.frombuffer(entry.vector, np.int64, 1)[0] >= 0 for entry in entries.values())


def test_it_is_shown(tmp_path: Path, pack: Path) -> None:
    table, folder = tmp_path / "geo.csv", tmp_path / "h"
    home(folder, enrichment=json.dumps([str(table)]))
    source = tmp_path / "events.ndjson"
    lines = [event("e0", 0, account="ann", ip="192.0.2.1"), event("e1", 1, account="bob")]
    source.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    command = ["run", str(source), "--pack", str(pack), "--out", str(folder)]

    def shown(*arguments: str) -> str:
        result = CliRunner().invoke(app, list(arguments))
        assert result.exit_code == 0, (result.output, result.exception)
        return result.output

    def words(*arguments: str) -> str:
        return " ".join(shown(*arguments).split())

    assert isinstance(CliRunner().invoke(app, command).exception, InvalidInput), "a table that is absent is refused"
    said = words(*command, "--allow-missing")
    assert "geo.csv is missing: cannot read the table" in said
    assert "provisional: 2; revised 0 times, settled 0, closed without 0; open now 2" in said
    said = words("doctor", str(folder))
    assert "geo.csv is missing since record" in said
    assert "2 provisional decisions are open" in said
    said = words("explain", "e0", "--out", str(folder))
    assert "deferred at first: all.free, all.far, all.lent" in said
    assert "open: waits for account_tier, country, owner_tier" in said
    table.write_text("cidr,country\n192.0.2.0/24,XX\n")
    told = tmp_path / "facts.ndjson"
    told.write_text(json.dumps(fact("ann", "tier", "free", 60)) + "\n", encoding="utf-8")
    said = shown("run", str(told), "--pack", str(pack), "--out", str(folder), "--output", "ndjson")
    (ann,) = [json.loads(line) for line in said.splitlines() if line.startswith("{") and '"ann"' in line]
    assert ann["tier"] == "restrict"
    assert ann["decisions"] == 1, "the event counts once"
    reasons = {rule["id"]: rule["reason"] for found in ann["findings"] for rule in found["rules"]}
    assert reasons["all.far"] == "ann from XX"
    said = words("explain", "e0", "--out", str(folder))
    assert "watch → restrict, provisional still became known: country = XX all.far: unknown → matched" in said
    told_now = "became known: account_tier = free, country = XX all.free: unknown → matched"
    assert f"restrict → restrict, provisional still {told_now}" in said
    assert "open: waits for owner_tier" in said
    assert "2 revisions compared" in words("replay", str(folder))
