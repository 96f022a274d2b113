"""A deployment that runs a pack over another needs the other's folder no more: the journal holds both."""

from __future__ import annotations

import shutil
from pathlib import Path

from judged_history import event, run_history, write_pack

from shoal.packs.load import load_pack
from shoal.runtime.deployment import open_deployment
from shoal.runtime.judge.backtest import Window, backtest

CHILD = """\
format: shoal.pack
version: 1
name: child
pack_version: "1"
description: as the other, sooner
extends: [../base]
overrides:
  rules:
    r.link_reported: {condition: "type = 'abuse.reported' AND reports_1d >= 2"}
"""


def test_reopened_and_replayed_without_the_parents_folder(tmp_path: Path) -> None:
    base, child = write_pack(tmp_path / "base", 4), tmp_path / "child"
    child.mkdir()
    (child / "pack.yaml").write_text(CHILD)
    rows = [
        event(100 * k + i, 10 + 0.1 * k + i, "abuse.reported", link=f"l{k}", owner="o")
        for k in range(1, 6)
        for i in range(k)
    ]
    home = run_history(tmp_path / "home", child, rows)
    published, other = load_pack(child), load_pack(base)
    shutil.rmtree(base)
    shutil.rmtree(child)
    deployment = open_deployment(home)
    assert deployment.running.pack.hash == published.hash != other.hash
    assert [source.name for source in deployment.running.pack.sources] == ["child", other.name]
    deployment.close()
    found = backtest(home, other, window=Window(None, None, 0))
    assert (found.old.hash, found.new.hash) == (published.hash, other.hash)
    (rule,) = found.rules
    assert (rule.old, rule.new) == (10, 3)  # matches of 1 … 5 reports from the second on, and from the fourth on
