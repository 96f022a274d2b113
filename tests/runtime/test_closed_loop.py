"""The closed loop: a pack decides, the world reacts; against no policy and an oracle."""

import dataclasses
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from shoal.cli.app import app
from shoal.policy.definitions import ACTIONS
from shoal.runtime.home import open_home
from shoal.runtime.judge.closed_loop import Loop, Oracle, run_loop, unroll
from shoal.runtime.review.doctor import check_up
from shoal.runtime.review.replay import replay
from shoal.runtime.run import Progress
from shoal.simulate import builtin_scenario
from shoal.simulate.react import SEMANTICS, ReactiveWorld
from shoal.storage.journal import Journal

SILENT = Progress(lambda _: None, lambda _a, _b: None)
TINY = builtin_scenario("tiny")
SCENARIO = dataclasses.replace(TINY, reactions=dataclasses.replace(TINY.reactions, step_min=60))


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Loop, Path]:
    folder = tmp_path_factory.mktemp("loop")
    return run_loop(SCENARIO, folder, SILENT), folder


def test_the_loop_reports_all_three_worlds(loop: tuple[Loop, Path]) -> None:
    found, _ = loop
    assert found.open == unroll(ReactiveWorld(SCENARIO), 86_400_000_000, None, SILENT)
    assert found.open["actions"] == {}
    assert sum(found.policy["actions"].values()) > 20
    attacks = {row["attack"]: row for row in found.attacks()}
    assert set(attacks) == {adversary.id for adversary in SCENARIO.adversaries}
    for row in attacks.values():
        assert row["harmful"]["open"] > 0
    assert attacks["locker"]["harmful"]["policy"] < attacks["locker"]["harmful"]["open"]
    assert attacks["phish"]["visits"]["policy"] < attacks["phish"]["visits"]["open"]
    assert attacks["phish"]["visits"]["oracle"] <= attacks["phish"]["visits"]["policy"]
    assert sum(row["bytes_taken"]["oracle"] for row in attacks.values()) < sum(
        row["bytes_taken"]["open"] for row in attacks.values()
    )
    assert found.open["owners"]["bothered"] == 0


def test_what_the_world_did_is_in_the_journal_and_replays(loop: tuple[Loop, Path]) -> None:
    found, folder = loop
    home = open_home(folder / "shoal", create=False)
    assert check_up(home).problems == []
    report = replay(home)
    assert report.count == 0
    journal = Journal.open(home.journal, identity=home.identity, read_only=True)
    try:
        applied: dict[str, int] = {}
        for frame in journal.read():
            table = getattr(frame, "table", None)
            if table is not None and "operation" in table.column_names:
                for row in table.select(["type", "operation", "cause"]).to_pylist():
                    if row["type"] == "action.applied":
                        assert row["cause"] == "shoal"
                        applied[row["operation"]] = applied.get(row["operation"], 0) + 1
    finally:
        journal.close()
    planned = found.policy["actions"]
    assert 0 < sum(applied.values()) <= sum(planned.values())
    assert all(count <= planned[name] for name, count in applied.items())


def test_the_same_loop_twice_is_the_same(loop: tuple[Loop, Path], tmp_path: Path) -> None:
    again = run_loop(SCENARIO, tmp_path, SILENT)
    assert dataclasses.replace(again, seconds=0.0) == dataclasses.replace(loop[0], seconds=0.0)


def test_an_oracle_says_nothing_where_nothing_is_wrong() -> None:
    quiet = dataclasses.replace(SCENARIO, adversaries=())
    ledger = unroll(ReactiveWorld(quiet), 3_600_000_000, Oracle(), SILENT)
    assert ledger["actions"] == {}


def test_the_world_knows_every_action_of_a_policy() -> None:
    assert set(ACTIONS) <= set(SEMANTICS)


def test_the_command_prints_and_writes(tmp_path: Path) -> None:
    text = """shoal_scenario: 1
name: short
start: 2026-02-02
days: 1
population: {accounts: 100, signups_per_day: 2}
reactions: {step_min: 240}
adversaries: [{id: locker, kind: destruction, start_day: 0.4, days: 0.3, victims: 2, files: 80}]
"""
    path = tmp_path / "short.yaml"
    path.write_text(text)
    words = ["simulate", str(path), "--react", "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "What honest owners went through" in done.output
    body = json.loads((tmp_path / "out" / "closed_loop.json").read_text())
    assert (body["format"], body["version"], body["scenario"]) == ("shoal.closed_loop", 1, "short")
    assert set(body["runs"]) == {"open", "policy", "oracle"}
    again = CliRunner().invoke(app, words)
    assert [problem.slug for problem in again.exception.problems] == ["loop.exists"]  # type: ignore[union-attr]
