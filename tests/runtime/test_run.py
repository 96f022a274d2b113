"""The main job: results do not depend on batches, order of delivery or interruptions, and nothing is lost."""

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from oracles.runtime_stream import stream, write_lines
from shoal.clock import SystemClock
from shoal.errors import InvalidInput, ShoalError
from shoal.runtime.deployment import find_pack, open_deployment
from shoal.runtime.home import open_home
from shoal.runtime.review.doctor import check_up
from shoal.runtime.review.replay import nearly, replay
from shoal.runtime.run import Progress, Read, fingerprint, guess_format, read_source
from shoal.storage.decisions import DecisionLog
from shoal.storage.journal import Journal
from shoal.storage.store import Store

SILENT = Progress(lambda _: None, lambda _a, _b: None)
Maker = Callable[..., Path]


def run(folder: Path, source: Path, *, received: bool = False, pack: str = "file_sharing") -> Read:
    deployment = open_deployment(open_home(folder, create=True))
    try:
        deployment.publish(find_pack(pack), history_complete=True)
        return read_source(deployment, [source], "native", received=received, clock=SystemClock(), progress=SILENT)
    finally:
        deployment.close()


def decisions(folder: Path) -> pa.Table:
    log = DecisionLog.open(folder / "decisions", read_only=True)
    table = pa.concat_tables(log.read()).combine_chunks()
    log.close()
    return table


def stored(folder: Path) -> tuple[list[object], list[object], dict[str, int]]:
    store = Store.open(folder / "store.sqlite")
    ledger: dict[str, int] = {}
    for counts in store.read_ledger().values():
        for name, count in counts.items():
            ledger[name] = ledger.get(name, 0) + count
    found = (list(store.read_decisions()), list(store.read_outbox()), ledger)
    store.close()
    return found


def same(first: Path, second: Path) -> None:
    """Two deployments decided alike: every row, every stored vector, every decision, action and count."""
    assert decisions(first).drop(["features"]).equals(decisions(second).drop(["features"]))
    one, two = decisions(first).column("features").to_pylist(), decisions(second).column("features").to_pylist()
    assert one == two
    assert stored(first) == stored(second)


def test_batch_size_does_not_matter(tmp_path: Path, home_folder: Maker) -> None:
    source = write_lines(tmp_path / "events.ndjson", stream())
    folders = [home_folder(f"h{rows}", batch_rows=rows) for rows in (4096, 97, 1)]
    for folder in folders:
        run(folder, source)
    tiers = decisions(folders[0]).column("tier").to_pylist()
    assert max(tiers) >= 2, "the stuffing wave must be seen, or this compares nothing"
    for folder in folders[1:]:
        same(folders[0], folder)


def test_order_of_delivery_does_not_matter_for_a_finite_file(tmp_path: Path, home_folder: Maker) -> None:
    events = stream()
    shuffled = events[:]
    random.Random(5).shuffle(shuffled)
    orders = {"given": events, "sorted": sorted(events, key=lambda e: str(e["time"])), "shuffled": shuffled}
    orders["reversed"] = orders["sorted"][::-1]
    folders = []
    for name, lines in orders.items():
        folders.append(home_folder(f"h-{name}"))
        run(folders[-1], write_lines(tmp_path / "events.ndjson", lines))
    for folder in folders[1:]:
        assert decisions(folders[0]).drop(["features"]).equals(decisions(folder).drop(["features"]))
        assert stored(folders[0])[0] == stored(folder)[0]


def test_everything_is_accounted_for(tmp_path: Path, home_folder: Maker) -> None:
    events = stream(rows=300)
    again = dict(events[7], ip="192.0.2.1")
    lines = [json.dumps(event) for event in (*events, *events[:25], again)]
    lines += ["{not json", "[]", '{"type": "login.failed"}', json.dumps({**events[3], "event_id": "t", "time": "soon"})]
    source = tmp_path / "events.ndjson"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    folder = home_folder("h")
    run(folder, source)
    checkup = check_up(open_home(folder, create=False))
    assert checkup.problems == []
    (counts,) = [counts for name, counts in checkup.ledger.items() if name]
    wanted = {"read": len(lines), "decided": 600, "duplicate": 25, "dead_lettered": 5, "conflict": 1}
    assert {name: counts[name] for name in wanted} == wanted
    journal = Journal.open(folder / "journal", identity=open_home(folder, create=False).identity, read_only=True)
    reasons = [frame.body["reason"] for frame in journal.read() if getattr(frame, "kind", "") in ("dead", "conflict")]
    assert sorted(reasons) == sorted(
        ["json.malformed", "json.not_object", "time.missing", "time.malformed", "conflict"]
    )
    assert journal.verify().ok
    journal.close()


def test_replay_finds_no_difference_and_a_change_is_found(tmp_path: Path, home_folder: Maker) -> None:
    folder = home_folder("h", batch_rows=256)
    run(folder, write_lines(tmp_path / "events.ndjson", stream()))
    report = replay(open_home(folder, create=False))
    assert (report.count, report.events) == (0, 1500)
    assert report.vectors > 5
    assert report.decisions > 0
    store = Store.open(folder / "store.sqlite")
    store.close()
    import sqlite3

    with sqlite3.connect(folder / "store.sqlite") as base:
        changed = base.execute("update decisions set tier = tier - 1 where seq = (select min(seq) from decisions)")
        assert changed.rowcount >= 1
    base.close()
    assert replay(open_home(folder, create=False)).count >= 1


NEAR = [
    (1.0, 1.0 + 1e-12, True),
    (1.0, 1.0 + 1e-6, False),
    (0.0, 1e-300, False),
    (3, 3, True),
    (3, 4, False),
    (True, 1, False),
    (None, None, True),
    (None, 0, False),
]


@pytest.mark.parametrize(("old", "new", "alike"), NEAR)
def test_floats_may_differ_by_a_rounding_and_nothing_else_may(old: object, new: object, alike: bool) -> None:
    assert nearly(old, new) is alike


def test_a_second_run_reads_nothing_again(tmp_path: Path, home_folder: Maker) -> None:
    folder = home_folder("h")
    source = write_lines(tmp_path / "events.ndjson", stream(rows=200))
    first = run(folder, source)
    before = stored(folder)
    second = run(folder, source)
    assert (first.now, second.now, second.finished_before) == (500, 0, True)
    assert stored(folder)[:2] == before[:2]


def test_the_same_events_in_another_file_are_duplicates(tmp_path: Path, home_folder: Maker) -> None:
    folder = home_folder("h")
    run(folder, write_lines(tmp_path / "a.ndjson", stream(rows=200)))
    before = decisions(folder)
    run(folder, write_lines(tmp_path / "b.ndjson", stream(rows=200)[::-1]))
    assert decisions(folder).num_rows == before.num_rows
    assert stored(folder)[2]["duplicate"] == 500


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [sys.argv[4], os.path.dirname(sys.argv[4])]
from shoal.runtime import deployment
from shoal.storage.decisions import DecisionLog
from shoal.storage.journal import Journal
from shoal.storage.store import Store
step, left = sys.argv[2], [int(sys.argv[3])]
def dying(owner, name, after):
    real = getattr(owner, name)
    def call(*args, **kwargs):
        left[0] -= 1
        if left[0] == 0 and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        value = real(*args, **kwargs)
        if left[0] == 0 and after:
            os.kill(os.getpid(), signal.SIGKILL)
        return value
    setattr(owner, name, call)
owner = {"journal": (Journal, "sync"), "decisions": (DecisionLog, "sync"), "store": (Store, "commit"),
         "snapshot": (deployment.Deployment, "snapshot")}[step.split("-")[0]]
dying(*owner, step.endswith("-after"))
import test_run
test_run.run(Path(sys.argv[1]), Path(sys.argv[1]).parent / "events.ndjson")
"""

POINTS = [
    ("journal-before", 4),
    ("journal-after", 6),
    ("decisions-before", 5),
    ("decisions-after", 7),
    ("store-before", 6),
    ("store-after", 9),
    ("snapshot-before", 1),
    ("snapshot-after", 2),
]


@pytest.mark.slow
def test_killed_at_any_step_and_resumed_gives_the_same(tmp_path: Path, home_folder: Maker) -> None:
    source = write_lines(tmp_path / "events.ndjson", stream())
    whole = home_folder("whole", batch_rows=100, snapshot_rows=300)
    run(whole, source)
    for step, count in POINTS:
        folder = home_folder(f"{step}-{count}", batch_rows=100, snapshot_rows=300)
        here = str(Path(__file__).parent)
        child = subprocess.run([sys.executable, "-c", CHILD, str(folder), step, str(count), here], capture_output=True)
        assert child.returncode == -9, child.stderr.decode()[-2000:]
        read = run(folder, source)
        assert read.before + read.now <= 1500
        same(whole, folder)
        assert check_up(open_home(folder, create=False)).problems == []


BAD_SOURCES = [
    ("absent.ndjson", "source.absent"),
    (".", "source.not_a_file"),
]


@pytest.mark.parametrize(("name", "slug"), BAD_SOURCES)
def test_bad_sources_are_refused(tmp_path: Path, home_folder: Maker, name: str, slug: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        run(home_folder("h"), tmp_path / name)
    assert caught.value.problems[0].slug == slug


def test_an_unknown_format_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.bin").write_bytes(b"\x00\x01\x02 nothing we know")
    with pytest.raises(InvalidInput) as caught:
        guess_format([tmp_path / "x.bin"])
    assert caught.value.problems[0].slug == "source.format"


def test_the_fingerprint_tells_files_apart(tmp_path: Path) -> None:
    one, two = tmp_path / "a", tmp_path / "b"
    one.write_text("x")
    two.write_text("y")
    marks = {
        fingerprint([one], "native", False),
        fingerprint([two], "native", False),
        fingerprint([one], "native", True),
    }
    assert len(marks) == 3
    assert fingerprint([one], "native", False) in marks


def test_a_second_writer_is_refused(home_folder: Maker) -> None:
    folder = home_folder("h")
    first = open_deployment(open_home(folder, create=True))
    with pytest.raises(ShoalError):
        open_deployment(open_home(folder, create=True))
    first.close()
