"""Provisional decisions: marked, counted, and kept with what a later revision needs."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from oracles.runtime_stream import write_lines
from shoal.clock import SystemClock
from shoal.runtime.deployment import find_pack, open_deployment
from shoal.runtime.home import open_home
from shoal.runtime.review.doctor import check_up
from shoal.runtime.review.replay import replay
from shoal.runtime.run import Progress, read_source
from shoal.storage.decisions import DecisionLog


def test_deferred_decisions_are_provisional_counted_and_keep_their_features(
    tmp_path: Path, home_folder: Callable[..., Path]
) -> None:
    pack = tmp_path / "pack"
    shutil.copytree(find_pack("file_sharing"), pack)
    rules = pack / "rules" / "credentials.yaml"
    rules.write_text(
        rules.read_text().replace("    severity: high\n", "    severity: high\n    on_unknown: defer\n", 1)
    )
    events: list[dict[str, object]] = [
        {"event_id": f"e{k}", "time": 1_767_571_200_000_000 + k, "type": "login.failed", "account": "a", "ip": "::1"}
        for k in range(9)
    ]
    for k in (2, 3, 7):
        del events[k]["ip"]  # the rule reads counts of the address: unknown without one
    folder = home_folder("h", sample_one_in=1_000_000)
    deployment = open_deployment(open_home(folder, create=True))
    deployment.publish(pack, history_complete=True)
    source = write_lines(tmp_path / "events.ndjson", events)
    silent = Progress(lambda _: None, lambda _a, _b: None)
    read_source(deployment, [source], "native", received=False, clock=SystemClock(), progress=silent)
    deployment.close()
    log = DecisionLog.open(folder / "decisions", read_only=True)
    table = pa.concat_tables(log.read())
    log.close()
    assert [k for k, one in enumerate(table.column("provisional").to_pylist()) if one] == [2, 3, 7]
    assert [k for k, one in enumerate(table.column("features").to_pylist()) if one is not None] == [2, 3, 7]
    checkup = check_up(open_home(folder, create=False))
    assert checkup.problems == []
    assert sum(counts.get("deferred", 0) for counts in checkup.ledger.values()) == 3
    report = replay(open_home(folder, create=False))
    assert (report.count, report.vectors) == (0, 3)
