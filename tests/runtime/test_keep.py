"""Retention: what is kept opens, goes on, replays and explains; what is gone is told; a kill harms nothing."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from keep_parts import SMALL, feed, later, opened, write_pack
from test_run import decisions, stored

from oracles.runtime_stream import stream, write_lines
from shoal.errors import InvalidInput, Permanent, ShoalError, Temporary
from shoal.runtime.deployment import find_pack
from shoal.runtime.home import open_home
from shoal.runtime.keep.retain import parse_period, plan
from shoal.runtime.review.doctor import check_up
from shoal.runtime.review.erase import erase
from shoal.runtime.review.explain import Explanation, decisions_on, explain_event, find_event
from shoal.runtime.review.replay import replay
from shoal.storage.journal import Journal

Maker = Callable[..., Path]
KEEP_S = 12 * 3600.0


def retain(folder: Path, keep_s: float = KEEP_S) -> int:
    deployment = opened(folder)
    try:
        cut = plan(deployment.journal, keep_s, deployment.home.settings.dedupe_horizon_s)
        assert deployment.retain(cut) == cut.segments
        return deployment.journal.first_seq
    finally:
        deployment.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A deployment of the whole stream, to be copied."""
    place = tmp_path_factory.mktemp("keep")
    folder = place / "whole"
    folder.mkdir()
    (folder / "identity.key").write_text("000102030405060708090a0b0c0d0e0f\n")
    (folder / "shoal.toml").write_text("".join(f"{key} = {value}\n" for key, value in SMALL.items()))
    feed(folder, write_pack(place / "pack"), write_lines(place / "events.ndjson", stream()))
    return folder


def copied(made: Path, target: Path) -> Path:
    import shutil

    shutil.copytree(made, target)
    return target


def explained(folder: Path, event_id: str) -> Explanation:
    home = open_home(folder, create=False)
    journal = Journal.open(home.journal, identity=home.identity, read_only=True)
    seq = find_event(journal, event_id)
    journal.close()
    assert seq is not None
    return explain_event(home, seq)


def whole(folder: Path) -> None:
    """Nothing is wrong with a deployment, and what it keeps replays."""
    home = open_home(folder, create=False)
    assert check_up(home).problems == []
    report = replay(home)
    assert report.count == 0, report.differences[:3]
    journal = Journal.open(home.journal, identity=home.identity, read_only=True)
    assert report.first == journal.first_seq
    assert report.events == journal.stats().events
    journal.close()


def test_what_is_kept_goes_on_replays_and_explains_as_if_nothing_were_gone(made: Path, tmp_path: Path) -> None:
    twin, folder = copied(made, tmp_path / "twin"), copied(made, tmp_path / "cut")
    first = retain(folder)
    assert 300 < first < 1300
    assert len(list((folder / "journal").glob("*.seg"))) < len(list((twin / "journal").glob("*.seg")))
    whole(folder)
    assert stored(folder) == stored(twin)
    checkup = check_up(open_home(folder, create=False))
    assert f"{first:,} records" in " ".join(checkup.notes)
    assert "retention cut" in " ".join(checkup.notes)
    late = max((row for row in stored(twin)[0]), key=lambda row: row.seq)  # type: ignore[attr-defined]
    one, other = (explain_event(open_home(f, create=False), late.seq) for f in (folder, twin))  # type: ignore[attr-defined]
    assert (one.features, one.rules, one.partial, one.tier) == (other.features, other.rules, other.partial, other.tier)
    assert one.differences == other.differences == []
    pack, more = write_pack(tmp_path / "pack"), later(tmp_path)
    for f in (folder, twin):
        feed(f, pack, more)
    assert stored(folder) == stored(twin)
    left, right = (decisions(f) for f in (folder, twin))
    assert left.slice(left.num_rows - 1500).equals(right.slice(right.num_rows - 1500))
    whole(folder)
    assert retain(folder, 2 * 86_400.0) > first
    whole(folder)


def test_what_lies_before_the_cut_is_told_not_guessed(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path / "cut")
    first = retain(folder)
    home = open_home(folder, create=False)
    rows = [row for row in stored(folder)[0] if row.seq < first]  # type: ignore[attr-defined]
    assert rows, "decisions above allow outlive their events"
    with pytest.raises(InvalidInput) as caught:
        explain_event(home, rows[0].seq)
    assert caught.value.problems[0].slug == "explain.before_cut"
    assert f"{first:,}" in str(caught.value)
    assert decisions_on(home, rows[0].event_id) == [row for row in rows if row.event_id == rows[0].event_id]
    deployment = opened(folder)
    try:
        found = deployment.findings(100)
        told = [hits.reason for one in found.shown for finding in one.findings for hits in finding.rules.values()]
        assert any("before the retention cut" in reason for reason in told)
        assert any("before the retention cut" not in reason for reason in told)
        with pytest.raises(Permanent, match="dropped by retention"):
            next(iter(deployment.journal.read(0)))
    finally:
        deployment.close()


def test_counts_that_reach_behind_the_cut_say_so(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path / "cut")
    first = retain(folder)
    rows = [row for row in stored(folder)[0] if row.seq >= first and "all.busy" in row.rules]  # type: ignore[attr-defined]
    one = explain_event(open_home(folder, create=False), rows[0].seq)
    counted = one.counted["account_day"]
    assert counted.cut
    assert counted.total < one.features["account_day"]
    last = explain_event(open_home(made, create=False), rows[0].seq)
    assert not last.counted["account_day"].cut
    assert last.counted["account_day"].total == last.features["account_day"]


def test_nothing_old_nothing_gone(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path / "cut")
    before = sorted(path.name for path in (folder / "journal").iterdir())
    assert retain(folder, 400 * 86_400.0) == 0
    assert sorted(path.name for path in (folder / "journal").iterdir()) == before
    # a first segment that holds the publication alone, at no time at all, is not old
    tiny = tmp_path / "tiny"
    tiny.mkdir()
    (tiny / "shoal.toml").write_text("segment_bytes = 65536\n")
    feed(tiny, find_pack("file_sharing"))
    deployment = opened(tiny)
    try:
        deployment.journal.seal()
        assert plan(deployment.journal, 400 * 86_400.0, 3600).segments == 0
    finally:
        deployment.close()
    empty = tmp_path / "empty"
    deployment = opened(empty)
    try:
        assert plan(deployment.journal, 400 * 86_400.0, 3600).segments == 0
    finally:
        deployment.close()


def test_a_run_applies_the_setting(tmp_path: Path, home_folder: Maker) -> None:
    folder = home_folder("h", **SMALL, retention_s=int(KEEP_S))
    notes = feed(folder, write_pack(tmp_path / "pack"), write_lines(tmp_path / "events.ndjson", stream()))
    assert any("retention dropped" in note for note in notes)
    whole(folder)


def test_a_lost_snapshot_behind_the_cut_is_named(made: Path, tmp_path: Path) -> None:
    import shutil

    folder = copied(made, tmp_path / "cut")
    retain(folder)
    for path in (folder / "snapshots").glob("engine-*"):
        shutil.rmtree(path)
    problems = check_up(open_home(folder, create=False)).problems
    assert [problem.slug for problem in problems] == ["doctor.snapshot"]
    with pytest.raises(ShoalError, match="retention cut"):
        replay(open_home(folder, create=False))
    with pytest.raises(ShoalError, match="retention cut"):
        opened(folder)
    # an opening that failed let go of everything: the next one fails for the same reason, not for a lock
    with pytest.raises(ShoalError, match="retention cut"):
        opened(folder)


def test_erasing_behind_a_cut_keeps_the_state(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path / "cut")
    retain(folder)
    assert erase(open_home(folder, create=False), ["user7", "203.0.113.77"]).events > 0
    for path in folder.rglob("*"):
        assert not path.is_file() or b"203.0.113.77" not in path.read_bytes(), path
    home = open_home(folder, create=False)
    assert check_up(home).problems == []
    assert replay(home).count == 0
    feed(folder, write_pack(tmp_path / "pack"), later(tmp_path))
    assert check_up(home).problems == []


PERIODS = [
    "",
    " ",
    "30",
    "d",
    "-3d",
    "0d",
    "1e3d",
    "30 fortnights",
    "nan d",
    "inf d",
    "3d4h",
    "1000000d",
    "30d;",
    "٣٠d x",
]


@pytest.mark.parametrize("text", PERIODS)
def test_a_malformed_period_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_period(text)
    assert caught.value.problems[0].slug == "retain.period"


@pytest.mark.parametrize(
    ("text", "seconds"), [("30d", 2_592_000), ("12 h", 43_200), ("1.5h", 5400), ("2W", 1_209_600), ("90min", 5400)]
)
def test_periods(text: str, seconds: float) -> None:
    assert parse_period(text) == seconds


def test_a_period_under_the_duplicates_horizon_is_refused(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path / "cut")
    with pytest.raises(InvalidInput) as caught:
        retain(folder, 3599.0)
    assert caught.value.problems[0].slug == "retain.under_horizon"
    (folder / "shoal.toml").write_text("retention_s = 60\n")
    with pytest.raises(InvalidInput, match="dedupe_horizon_s"):
        open_home(folder, create=False)


def test_a_deployment_that_is_open_elsewhere_is_refused(made: Path, tmp_path: Path) -> None:
    folder = copied(made, tmp_path / "cut")
    first = opened(folder)
    try:
        with pytest.raises(Temporary):
            retain(folder)
    finally:
        first.close()


CHILD = """
import os, signal, sys
from pathlib import Path
sys.path[:0] = [sys.argv[4], os.path.dirname(sys.argv[4])]
from shoal.runtime.keep import history, snapshots
from shoal.storage import catalog, decisions, sealing
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
S = snapshots.Snapshots
owner = {"engine": (S, "write_engine"), "pin": (S, "pin"), "facts": (S, "write_facts"), "thin": (S, "thin"),
         "published": (history.Published, "write"), "dropped": (catalog.Dropped, "write"),
         "remove": (sealing, "remove"), "unlink": (Path, "unlink"), "decisions": (decisions.DecisionLog, "retain"),
         "aside": (os, "replace")}[step.split("-")[0]]
import test_keep
dying(*owner, step.endswith("-after"))
test_keep.retain(Path(sys.argv[1]))
"""

STEPS = [
    ("aside-before", 1),
    ("engine-after", 1),
    ("facts-after", 1),
    ("published-before", 1),
    ("published-after", 1),
    ("dropped-before", 1),
    ("dropped-after", 1),
    ("unlink-after", 1),
    ("remove-after", 1),
    ("decisions-before", 1),
    ("thin-after", 1),
]


@pytest.mark.slow
@pytest.mark.parametrize(("step", "count"), STEPS, ids=[f"{step}-{count}" for step, count in STEPS])
def test_killed_at_any_step_the_deployment_opens_and_the_next_retention_finishes(
    made: Path, tmp_path: Path, step: str, count: int
) -> None:
    folder = copied(made, tmp_path / "cut")
    here = str(Path(__file__).parent)
    child = subprocess.run([sys.executable, "-c", CHILD, str(folder), step, str(count), here], capture_output=True)
    assert child.returncode == -9, child.stderr.decode()[-2000:]
    assert check_up(open_home(folder, create=False)).problems == []
    assert retain(folder) > 300
    whole(folder)
    assert stored(folder) == stored(made)
    assert not list(folder.rglob("*.tmp"))
