"""Facts among events: journalled as runs or singly, by the size of a batch, they mean the same."""

import random
from collections.abc import Callable
from pathlib import Path

from test_run import run, same

from oracles.runtime_stream import stream, write_lines
from shoal.runtime.deployment import open_deployment
from shoal.runtime.home import open_home
from shoal.runtime.ingest.writer import FACTS
from shoal.runtime.review.doctor import check_up
from shoal.runtime.review.replay import replay
from shoal.storage.frames import ControlFrame, ControlRun
from shoal.storage.journal import Journal

Maker = Callable[..., Path]
FACT_ROWS = 400


def facts_and_events(path: Path) -> Path:
    """600 events, and among them facts of their accounts."""
    rng = random.Random(3)
    lines = stream(rows=300)
    for k in range(FACT_ROWS):
        at = rng.randrange(len(lines))
        name, value = rng.choice([("tier", f"t{k % 5}"), ("org", "acme"), ("verified", k % 2 == 0), ("tier", None)])
        fact = {"record": "fact", "subject_type": "account", "subject": f"user{rng.randrange(40)}", "name": name}
        moment = next(line["time"] for line in lines[at:] + lines if "record" not in line)
        lines.insert(at, fact | {"value": value, "time": moment})
    return write_lines(path, lines)


def known(folder: Path) -> bytes:
    """The fact table as it is built from the journal on start."""
    deployment = open_deployment(open_home(folder, create=False))
    state = deployment.writer.facts.snapshot()
    deployment.close()
    return state


def kinds(folder: Path) -> tuple[int, int]:
    """(facts in runs, single facts) of a journal."""
    home = open_home(folder, create=False)
    journal = Journal.open(home.journal, identity=home.identity, read_only=True)
    frames = list(journal.read())
    assert journal.verify().ok
    journal.close()
    runs = sum(len(frame.seqs) for frame in frames if isinstance(frame, ControlRun) and frame.kind == FACTS)
    return runs, sum(1 for frame in frames if isinstance(frame, ControlFrame) and frame.kind == FACTS)


def test_runs_and_single_facts_mean_the_same(tmp_path: Path, home_folder: Maker) -> None:
    source = facts_and_events(tmp_path / "events.ndjson")
    folders = [home_folder(f"h{rows}", batch_rows=rows) for rows in (4096, 50, 7)]
    for folder in folders:
        run(folder, source, received=True)
    assert kinds(folders[0]) == (FACT_ROWS, 0)
    assert min(kinds(folders[1])) > 0, "this batch size must give both forms"
    assert kinds(folders[2]) == (0, FACT_ROWS)
    for folder in folders[1:]:
        same(folders[0], folder)
        assert known(folder) == known(folders[0])
    checkup = check_up(open_home(folders[0], create=False))
    assert checkup.problems == []
    assert [counts["facts"] for name, counts in checkup.ledger.items() if name] == [FACT_ROWS]
    report = replay(open_home(folders[0], create=False))
    assert (report.count, report.events) == (0, 600)


def test_sorted_by_time_facts_keep_their_place(tmp_path: Path, home_folder: Maker) -> None:
    source = facts_and_events(tmp_path / "events.ndjson")
    folders = [home_folder(f"h{rows}", batch_rows=rows) for rows in (4096, 33)]
    for folder in folders:
        run(folder, source)
    same(folders[0], folders[1])
    assert known(folders[0]) == known(folders[1])
