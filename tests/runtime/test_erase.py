"""Erasing: the texts are gone from every file of the deployment, and replay still agrees."""

from collections.abc import Callable
from pathlib import Path

from test_run import run

from oracles.runtime_stream import stream, write_lines
from shoal.runtime.home import open_home
from shoal.runtime.review.doctor import check_up
from shoal.runtime.review.erase import erase
from shoal.runtime.review.replay import replay

Maker = Callable[..., Path]


def test_an_erased_text_is_gone_and_replay_agrees(tmp_path: Path, home_folder: Maker) -> None:
    folder = home_folder("h", batch_rows=300, snapshot_rows=300)
    run(folder, write_lines(tmp_path / "events.ndjson", stream()))
    texts = ["user7", "203.0.113.77"]
    held = [path for path in folder.rglob("*") if path.is_file() and b"203.0.113.77" in path.read_bytes()]
    assert held, "the text must be there first, or this shows nothing"
    done = erase(open_home(folder, create=False), texts)
    assert done.events > 300
    for path in folder.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"203.0.113.77" not in data, path
    report = replay(open_home(folder, create=False))
    assert report.count == 0
    assert report.erased == done.events
    assert check_up(open_home(folder, create=False)).problems == []
