"""Streams through the whole engine: order, places, ticks, crashes; nothing is lost and nothing is doubled."""

import json
import random
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from oracles.runtime_stream import stream
from shoal.adapters.follow import FollowSource
from shoal.clock import Clock, SystemClock
from shoal.errors import Corrupt
from shoal.events.schema import Flag
from shoal.runtime.deployment import Deployment, find_pack, open_deployment
from shoal.runtime.home import open_home
from shoal.runtime.ingest.follow import Followed, follow, places_of
from shoal.runtime.ingest.stream import read_places
from shoal.runtime.review.doctor import check_up
from shoal.runtime.review.replay import replay
from shoal.storage.decisions import DecisionLog
from shoal.storage.frames import ControlFrame, EventFrame
from shoal.storage.journal import Journal
from shoal.storage.store import Store
from shoal.testing import IDLE, FakeClock, MemorySource

Maker = Callable[..., Path]
START = 1_767_571_200.0  # 2026-01-05, where the stream begins


def opened(folder: Path) -> Deployment:
    deployment = open_deployment(open_home(folder, create=True))
    deployment.publish(find_pack("file_sharing"), history_complete=True)
    return deployment


def run(folder: Path, source: MemorySource | FollowSource, clock: Clock, **options: object) -> Followed:
    deployment = opened(folder)
    try:
        return follow(deployment, source, clock=clock, **options)  # type: ignore[arg-type]
    finally:
        deployment.close()


def journal(folder: Path) -> tuple[pa.Table, list[ControlFrame]]:
    """Events and control records of a deployment's journal."""
    home = open_home(folder, create=False)
    with Journal.open(home.journal, identity=home.identity, read_only=True) as opened_journal:
        frames = list(opened_journal.read())
    events = [frame.table for frame in frames if isinstance(frame, EventFrame)]
    table = pa.concat_tables(events, promote_options="default") if events else pa.table({})
    return table, [frame for frame in frames if isinstance(frame, ControlFrame)]


def tiers(folder: Path) -> dict[str, int]:
    """event_id → tier of every decided event."""
    log = DecisionLog.open(folder / "decisions", read_only=True)
    decided = pa.concat_tables(log.read())
    log.close()
    events, _ = journal(folder)
    assert decided.column("seq").to_pylist() == events.column("seq").to_pylist()
    ids = events.column("event_id").to_pylist()
    assert len(set(ids)) == len(ids)
    return dict(zip(ids, decided.column("tier").to_pylist(), strict=True))


def actions(folder: Path) -> list[tuple[str, str, str]]:
    with Store.open(folder / "store.sqlite") as store:
        return sorted((row.subject_type, row.subject, row.action) for row in store.read_outbox())


def whole(folder: Path) -> dict[str, int]:
    """The ledger's counts, once the doctor has found nothing wrong."""
    checkup = check_up(open_home(folder, create=False))
    assert checkup.problems == []
    total: dict[str, int] = {}
    for counts in checkup.ledger.values():
        for name, count in counts.items():
            total[name] = total.get(name, 0) + count
    return total


def by_time(rows: int = 60) -> list[dict[str, object]]:
    """Two days of events in three minutes, so that a fake clock passes them soon; in order of time."""
    events = stream(rows=rows)
    for event in events:
        event["time"] = round((START + (datetime.fromisoformat(str(event["time"])).timestamp() - START) / 1000) * 1e6)
    return sorted(events, key=lambda e: (int(str(e["time"])), str(e["event_id"])))


def seconds(event: dict[str, object]) -> float:
    return int(str(event["time"])) / 1e6 - START


def scripts(events: list[dict[str, object]], skew_s: float, parts: int = 3) -> dict[str, list[tuple[float, object]]]:
    """The events spread over partitions that keep their order, each delivered up to `skew_s` after its time."""
    rng = random.Random(3)
    found: dict[str, list[tuple[float, object]]] = {f"p{k}": [] for k in range(parts)}
    for event in events:
        script = found[f"p{rng.randrange(parts)}"]
        script.append((max(seconds(event) + 1 + rng.random() * skew_s, script[-1][0] if script else 0), event))
    return found


def memory(events: list[dict[str, object]], skew_s: float = 4.0, **options: object) -> tuple[MemorySource, FakeClock]:
    clock = FakeClock(round(START * 1e6))
    return MemorySource(scripts(events, skew_s), clock, **options), clock  # type: ignore[arg-type]


def test_partitions_are_journalled_as_a_sorted_file(home_folder: Maker) -> None:
    events, folder = by_time(), home_folder("h")
    source, clock = memory(events)
    told = run(folder, source, clock, merge_wait_s=5.0)
    table, _ = journal(folder)
    assert table.column("event_id").to_pylist() == [event["event_id"] for event in events]
    assert not any(flags & (Flag.BEHIND | Flag.LATE | Flag.CLAMPED) for flags in table.column("flags").to_pylist())
    assert (told.now, told.early) == (len(events), 0)
    counts = whole(folder)
    assert (counts["read"], counts["decided"], counts.get("behind", 0)) == (len(events), len(events), 0)
    assert max(tiers(folder).values()) >= 2
    assert replay(open_home(folder, create=False)).count == 0
    assert source.closed
    assert len(source.committed) == 3


def test_with_too_short_a_wait_what_comes_late_is_behind_and_counted(home_folder: Maker) -> None:
    events, folder = by_time(), home_folder("h")
    source, clock = memory(events, skew_s=30.0)
    run(folder, source, clock, merge_wait_s=0)
    counts = whole(folder)
    assert counts["decided"] == len(events)
    assert counts["behind"] > 10
    assert replay(open_home(folder, create=False)).count == 0


def test_results_do_not_depend_on_polls_and_batches(home_folder: Maker) -> None:
    events = by_time()
    folders = [home_folder("one"), home_folder("two", batch_rows=7)]
    for folder, limit in zip(folders, (1000, 3), strict=True):
        source, clock = memory(events, limit=limit)
        run(folder, source, clock, merge_wait_s=5.0)
    assert tiers(folders[0]) == tiers(folders[1])
    assert actions(folders[0]) == actions(folders[1])


def test_an_idle_stream_ticks_and_the_journals_time_moves(home_folder: Maker) -> None:
    folder = home_folder("h", tick_s=60)
    events = [
        {"event_id": name, "time": f"2026-01-05T00:{at // 60:02d}:{at % 60:02d}Z", "type": "login.failed", "ip": "::1"}
        for name, at in (("a", 0), ("b", 5), ("c", 200))
    ]
    arrivals = [(1.0, events[0]), (6.0, events[1]), (8.0, IDLE), (500.0, events[2])]
    clock = FakeClock(round(START * 1e6))
    told = run(folder, MemorySource({"p": arrivals}, clock), clock, merge_wait_s=2.0)
    table, controls = journal(folder)
    ticks = [frame for frame in controls if frame.kind == "ticks"]
    assert told.ticks == len(ticks) == 8
    assert whole(folder)["ticks"] == 8
    assert [frame.as_of for frame in ticks] == sorted(frame.as_of for frame in ticks)
    last = table.slice(2, 1).to_pylist()[0]
    assert last["event_id"] == "c"
    assert last["as_of"] == ticks[-1].as_of > last["time"]
    assert last["flags"] & Flag.BEHIND
    assert replay(open_home(folder, create=False)).count == 0


def test_no_ticks_where_they_are_turned_off_or_the_stream_is_busy(home_folder: Maker) -> None:
    events = by_time(rows=50)
    folder = home_folder("off", tick_s=0)
    source, clock = memory(events)
    assert run(folder, source, clock).ticks == 0
    folder = home_folder("busy", tick_s=3600 * 24)
    source, clock = memory(events)
    assert run(folder, source, clock).ticks == 0


def test_facts_labels_and_bad_lines_are_taken_once(home_folder: Maker) -> None:
    folder = home_folder("h")
    fact = {"record": "fact", "subject_type": "account", "subject": "user1", "name": "tier", "value": "team"}
    label = {"record": "label", "subject_type": "account", "subject": "user1", "kind": "benign", "source": "us"}
    script: list[tuple[float, object]] = [
        (1.0, fact | {"time": "2026-01-05T00:00:00Z"}),
        (1.0, label | {"known_at": "2026-01-05T00:00:01Z"}),
        (1.0, b"{not json"),
        (1.0, b"[]"),
        (2.0, {"time": "2026-01-05T00:00:02Z", "type": "login.failed", "account": "user1"}),
        (2.0, {"time": "2026-01-05T00:00:02Z", "type": "login.failed", "account": "user1"}),
    ]
    clock = FakeClock(round(START * 1e6))
    for _ in range(2):  # the second run finds nothing new
        run(folder, MemorySource({"p": script}, clock), clock)  # type: ignore[dict-item]
    counts = whole(folder)
    wanted = {"read": 6, "decided": 2, "facts": 1, "labels": 1, "dead_lettered": 2}
    assert {name: counts.get(name, 0) for name in (*wanted, "duplicate")} == wanted | {"duplicate": 0}
    table, _ = journal(folder)
    assert table.column("offset").to_pylist() == [4, 5]
    assert len(set(table.column("event_id").to_pylist())) == 2


def test_a_stopped_stream_goes_on_where_it_was(home_folder: Maker) -> None:
    events, folder, one = by_time(), home_folder("h", batch_rows=50), home_folder("one")
    before = 0
    for stop_after in (100, 300, 10_000):
        source, clock = memory(events)
        seen = [0]
        told = run(
            folder, source, clock, merge_wait_s=5.0, moved=lambda n, s=seen: s.__setitem__(0, n),
            stopped=lambda s=seen, stop=stop_after: s[0] >= stop,
        )  # fmt: skip
        assert told.before == before
        before += told.now
    assert before == len(events)
    source, clock = memory(events)
    run(one, source, clock, merge_wait_s=5.0)
    assert tiers(folder) == tiers(one)
    assert actions(folder) == actions(one)
    assert whole(folder)["duplicate" if "duplicate" in whole(folder) else "decided"] == len(events)


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [sys.argv[4], os.path.dirname(sys.argv[4])]
from shoal.storage.decisions import DecisionLog
from shoal.storage.journal import Journal
from shoal.storage.store import Store
step, left = sys.argv[2], [int(sys.argv[3])]
owner, name = {"journal": (Journal, "sync"), "decisions": (DecisionLog, "sync"), "store": (Store, "commit")}[
    step.split("-")[0]]
real = getattr(owner, name)
def call(*args, **kwargs):
    left[0] -= 1
    if left[0] == 0 and step.endswith("before"):
        os.kill(os.getpid(), signal.SIGKILL)
    value = real(*args, **kwargs)
    if left[0] == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return value
setattr(owner, name, call)
import test_follow
test_follow.once(Path(sys.argv[1]))
"""

POINTS = [("journal-before", 5), ("journal-after", 9), ("store-after", 8)]


def once(folder: Path) -> Followed:
    """The stream, with a fact, a label and a bad line among its events, to its end."""
    clock = FakeClock(round(START * 1e6))
    script = scripts(by_time(rows=40), 4.0)
    fact = {"record": "fact", "subject_type": "account", "subject": "user1", "name": "tier", "value": "team"}
    label = {"record": "label", "subject_type": "account", "subject": "user1", "kind": "benign", "source": "us"}
    at, moment = 90.0, "2026-01-05T00:01:30Z"
    script["p9"] = [(at, fact | {"time": moment}), (at, label | {"known_at": moment}), (at, b"{not json")]
    return run(folder, MemorySource(script, clock, limit=10), clock, merge_wait_s=5.0)  # type: ignore[arg-type]


@pytest.mark.slow
def test_killed_anywhere_nothing_is_lost_and_nothing_doubled(home_folder: Maker) -> None:
    reference = home_folder("whole", batch_rows=20)
    once(reference)
    want = tiers(reference)
    for step, count in POINTS:
        folder = home_folder(f"{step}-{count}", batch_rows=20)
        command = [sys.executable, "-c", CHILD, str(folder), step, str(count), str(Path(__file__).parent)]
        child = subprocess.run(command, capture_output=True)
        assert child.returncode == -9, child.stderr.decode()[-2000:]
        once(folder)
        assert tiers(folder) == want
        assert actions(folder) == actions(reference)
        counts = whole(folder)
        assert (counts["read"], counts.get("duplicate", 0)) == (len(want) + 3, 0)
        assert [counts[name] for name in ("facts", "labels", "dead_lettered")] == [1, 1, 1]
        assert replay(open_home(folder, create=False)).count == 0


def test_followed_logs_with_rotation_go_through_once(tmp_path: Path, home_folder: Maker) -> None:
    folder, events = home_folder("h"), by_time(rows=100)
    logs = [tmp_path / "a.log", tmp_path / "b.log"]
    written = 0
    for log in logs:
        log.touch()
    for part in range(4):
        for event in events[written : written + 100]:
            with logs[written % 2].open("a") as out:
                out.write(json.dumps(event) + "\n")
            written += 1
        polls = [0]

        def stopped(polls: list[int] = polls) -> bool:
            polls[0] += 1
            return polls[0] > 12

        source = FollowSource(logs, clock=SystemClock(), idle_s=0.1, grace_s=0.1)
        run(folder, source, SystemClock(), merge_wait_s=0.3, stopped=stopped)
        if part == 1:
            logs[0].rename(tmp_path / "a.log.1")
            logs[0].touch()
    assert set(tiers(folder)) == {event["event_id"] for event in events}
    assert whole(folder)["read"] == len(events)


def test_places_come_from_the_store_where_the_journal_has_dropped_the_record(
    home_folder: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = home_folder("h")
    source, clock = memory(by_time(rows=50), ends=False)
    polls = [0]

    def stopped() -> bool:
        polls[0] += 1
        return clock.now_us() > (START + 1_000) * 1e6

    run(folder, source, clock, stopped=stopped)
    deployment = opened(folder)
    exact = places_of(deployment, "memory")
    assert len(exact) == 3
    monkeypatch.setattr(type(deployment.journal), "first_seq", property(lambda _: 10_000))
    assert {n: p.next for n, p in places_of(deployment, "memory").items()} == {n: p.next for n, p in exact.items()}
    deployment.close()


def test_places_of_another_version_are_refused() -> None:
    with pytest.raises(Corrupt):
        read_places({"version": 2, "partitions": []})
