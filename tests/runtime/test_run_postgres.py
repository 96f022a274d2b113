"""The main job with its store on a real PostgreSQL server: the same decisions as on SQLite, also when killed."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from test_cli import shoal
from test_run import CHILD, decisions, run

from oracles.runtime_stream import stream, write_lines
from shoal.runtime.home import open_home
from shoal.runtime.review.doctor import check_up
from shoal.runtime.review.replay import replay

pytestmark = pytest.mark.extras
Maker = Callable[..., Path]
POINTS = [("store-before", 5), ("store-after", 3)]


def stored(folder: Path) -> tuple[object, ...]:
    with open_home(folder, create=False).open_store(read_only=True) as store:
        ledger = store.read_ledger()
        assert ledger
        return store.read_decisions(), store.read_outbox(), ledger, store.read_offsets(), store.position()


def test_the_store_may_be_postgres_and_the_run_be_killed(
    tmp_path: Path, home_folder: Maker, postgres_database: str
) -> None:
    events = [dict(event, event_id=f"nul\0{event['event_id']}") for event in stream()]
    source = write_lines(tmp_path / "events.ndjson", events)
    plain = home_folder("plain", batch_rows=100, snapshot_rows=300)
    run(plain, source)
    served = home_folder("served", batch_rows=100, snapshot_rows=300, store_url=f'"{postgres_database}"')
    here = str(Path(__file__).parent)
    for step, count in POINTS:
        child = subprocess.run([sys.executable, "-c", CHILD, str(served), step, str(count), here], capture_output=True)
        assert child.returncode == -9, child.stderr.decode()[-2000:]
    run(served, source)
    assert not (served / "store.sqlite").exists()
    assert stored(plain) == stored(served)
    assert "\0" in stored(served)[0][0].event_id  # type: ignore[index]
    assert decisions(plain).equals(decisions(served))
    home = open_home(served, create=False)
    assert check_up(home).problems == []
    assert replay(home).count == 0


def test_the_command_line_takes_the_store_from_the_environment(
    tmp_path: Path, postgres_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_lines(tmp_path / "events.ndjson", stream())
    monkeypatch.setenv("SHOAL_STORE_URL", postgres_database)
    environment = dict(os.environ)
    for words in (("run", source, "--out", tmp_path / "home"), ("doctor", tmp_path / "home")):
        done = shoal(*words, environment=environment)
        assert done.returncode == 0, done.stderr
    assert "every record is accounted for" in done.stdout
    assert not (tmp_path / "home" / "store.sqlite").exists()
    environment["SHOAL_STORE_URL"] = postgres_database.replace("throw%20away", "wrong%20word")
    done = shoal("run", source, "--out", tmp_path / "home", environment=environment)
    assert (done.returncode, "Traceback" in done.stderr) == (75, False)
    assert "wrong" not in done.stdout + done.stderr
