"""Scenarios with expectations: what holds, what is missed, bad files; also by the command line, as a stranger would."""

import json
from pathlib import Path

import pyarrow as pa
import pytest
from typer.testing import CliRunner

from shoal.cli.app import app
from shoal.errors import InvalidInput
from shoal.runtime.judge.evidence import Population
from shoal.runtime.judge.scenario_run import check_expectations
from shoal.runtime.review.scoring import DAY_US, Touch
from shoal.simulate.scenario import parse_scenario
from shoal.simulate.truth import TRUTH_EVENTS, TRUTH_LABELS
from shoal.storage.store import DecisionRow

START = 1_740_960_000_000_000
HEAD = "shoal_scenario: 1\nname: x\nstart: 2025-03-03\ndays: 10\n"
ATTACKS = """adversaries:
- {id: a1, kind: account_takeover, start_day: 4}
- {id: a2, kind: account_takeover, start_day: 5}
- {id: p1, kind: phishing, start_day: 5}
"""
HOUR = DAY_US // 24


def label(kind, subject, what, day, attack, end=None):
    return {
        "subject_type": kind, "subject": subject, "kind": what, "start": START + int(day * DAY_US),
        "end": None if end is None else START + int(end * DAY_US), "source": "s", "confidence": 1.0, "known_at": 0,
        "retracted": False, "attack": attack,
    }  # fmt: skip


LABELS = pa.Table.from_pylist(
    [
        label("account", "v1", "account_takeover", 4, "a1"),
        label("account", "v2", "account_takeover", 4.5, "a1"),
        label("account", "v3", "account_takeover", 5, "a2"),
        label("account", "t1", "benign_travel", 5, None, 6),
        label("account", "t2", "benign_travel", 5, None, 6),
    ],
    TRUTH_LABELS,
)


def harm(name, hours, attack):
    return {"event_id": name, "time": START + 4 * DAY_US + int(hours * HOUR), "attack": attack,
            "kind": "account_takeover", "harmful": True}  # fmt: skip


TRUTH = pa.Table.from_pylist(
    [harm("e1", 0, "a1"), harm("e2", 1, "a1"), harm("e3", 2, "a1"), harm("e4", 24, "a2")], TRUTH_EVENTS
)
PEOPLE = Population({"v1", "v2", "v3", "t1", "t2", *(f"h{k}" for k in range(95))}, START, START + 10 * DAY_US, 1000)


def touch(event_id, subject, tier, hours, kind="account"):
    as_of = START + 4 * DAY_US + int(hours * HOUR)
    row = DecisionRow(1, 0, as_of, event_id, kind, subject, 1, "t", tier, '["r"]', "[]", "[]", "p")
    return Touch(row, subject, subject)


FELT = [
    touch("w", "h1", 3, -60),  # in the warm-up
    touch("e1", "v1", 1, 0),
    touch("e2", "v1", 2, 1),
    touch("e3", "v1", 3, 2),
    touch("e4", "v3", 2, 24.5),
    touch("x", "t1", 2, 30),  # while it travels
    touch("y", "t2", 2, 60),  # after
]

CASES = [
    # one expectation, what was found, whether it holds
    ("attacks: [{attack: a1, caught_share: 0.5}]", 0.5, True),
    ("attacks: [{attack: a1, caught_share: 0.6}]", 0.5, False),
    ("attacks: [{kind: account_takeover, caught_share: 0.6}]", 2 / 3, True),
    ("attacks: [{attack: a1, within_h: 1}]", 1.0, True),
    ("attacks: [{attack: a1, within_h: 0.9}]", 1.0, False),
    ("attacks: [{attack: a1, within_h: 1, tier: watch}]", 0.0, True),
    ("attacks: [{attack: a1, within_h: 1, tier: restrict}]", 2.0, False),
    ("attacks: [{kind: account_takeover, within_h: 1}]", 1.0, True),
    ("attacks: [{kind: account_takeover, within_h: 9, tier: restrict}]", None, False),
    ("attacks: [{attack: a1, harmful_before: 1}]", 1.0, True),
    ("attacks: [{attack: a1, harmful_before: 1, tier: restrict}]", 2.0, False),
    ("attacks: [{attack: a2, harmful_before: 0, tier: restrict}]", 1.0, False),
    ("attacks: [{attack: p1, within_h: 9}]", None, False),
    ("attacks: [{attack: p1, caught_share: 0}]", None, False),
    ("honest: {touched_per_10k_week: 207}", 2 / 97 * 10_000, True),
    ("honest: {touched_per_10k_week: 206}", 2 / 97 * 10_000, False),
    ("honest: {touched_per_10k_week: 0, tier: restrict}", 0.0, True),
    ("honest: {kinds: [{kind: benign_travel, touched_share: 0.5}]}", 0.5, True),
    ("honest: {kinds: [{kind: benign_travel, touched_share: 0.4}]}", 0.5, False),
    ("honest: {kinds: [{kind: benign_travel, touched_share: 0, tier: restrict}]}", 0.0, True),
    ("honest: {kinds: [{kind: benign_bulk_delete, touched_share: 0}]}", None, True),
    ("honest: {nothing_fires: true}", 4.0, False),
    ("honest: {nothing_fires: true, tier: restrict}", 1.0, False),
    ("honest: {nothing_fires: true, tier: block}", 0.0, True),
]


@pytest.mark.parametrize(("wanted", "found", "ok"), CASES, ids=[c[0] for c in CASES])
def test_one_expectation(wanted, found, ok):
    scenario = parse_scenario(HEAD + ATTACKS + f"expect:\n  warm_up_days: 3\n  {wanted}\n")
    (check,) = check_expectations(scenario, LABELS, TRUTH, FELT, PEOPLE)
    assert check.ok is ok
    assert check.found == (found if found is None else pytest.approx(found))


def test_what_is_not_said_is_not_asked():
    assert check_expectations(parse_scenario(HEAD + ATTACKS), LABELS, TRUTH, FELT, PEOPLE) == []


STRANGER = """shoal_scenario: 1
name: stranger
start: 2026-02-02
days: 2
seed: 3
population: {accounts: 120, signups_per_day: 2}
adversaries:
  - {id: locker, kind: destruction, start_day: 1.2, days: 0.3, victims: 1, files: 80}
expect:
  warm_up_days: 1
  attacks: [{attack: locker, caught_share: 1, within_h: 2}]
"""


def run(*words):
    return CliRunner().invoke(app, ["scenario", *map(str, words)])


def test_a_file_of_somebody_else_runs_and_a_miss_is_told(tmp_path: Path):
    good, bad = tmp_path / "stranger.yaml", tmp_path / "strict.yaml"
    good.write_text(STRANGER)
    bad.write_text(STRANGER.replace("within_h: 2}]", "harmful_before: 0}]\n  honest: {nothing_fires: true}"))
    assert "1 attacks, 2 expectations" in run("check", good).output
    done = run("run", good, "--json", tmp_path / "r.json")
    assert done.exit_code == 0, done.output
    body = json.loads((tmp_path / "r.json").read_text())
    assert (body["ok"], [check["ok"] for check in body["results"][0]["checks"]]) == (True, [True, True])
    assert body["results"][0]["events"] > 1000
    missed = run("run", bad, "--keep", tmp_path / "kept")
    assert missed.exit_code == 1
    assert "MISS" in missed.output
    assert (tmp_path / "kept" / "00-stranger" / "shoal" / "store.sqlite").exists()


def test_bad_files_are_refused_before_anything_runs(tmp_path: Path):
    path = tmp_path / "bad.yaml"
    path.write_text(STRANGER.replace("within_h: 2", "within: 2").replace("victims: 1", "victims: 0"))
    for words in (["check", path], ["run", path], ["run", path, tmp_path / "absent.yaml"]):
        problems = run(*words).exception.problems
        assert {f"{path}:8", f"{path}:11"} <= {str(p.where).split(" ")[0] for p in problems}
        assert any(p.nearest == "within_h" for p in problems)
    assert len(problems) == 3
    with pytest.raises(InvalidInput, match="no shipped scenario"):
        raise run("run", "tinny").exception


def test_the_list_shows_what_there_is():
    lines = {line.split()[0]: line for line in run("list").output.splitlines() if line.strip()}
    assert " yes " in lines["tiny"]
    assert " yes " not in lines["fortnight"]
