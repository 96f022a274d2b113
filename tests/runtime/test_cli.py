"""The command line as a user meets it: help, mistakes, exit codes, the main job, explain, replay, doctor."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from oracles.runtime_stream import stream, write_lines
from shoal.errors import ShoalError
from shoal.storage.store import Store

ENVIRONMENT = {**os.environ, "COLUMNS": "150", "NO_COLOR": "1", "TERM": "dumb"}


def shoal(
    *words: object, text: str | None = None, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shoal", *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, env={**ENVIRONMENT, **(environment or {})}, input=text, timeout=300
    )


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    write_lines(folder / "events.ndjson", stream())
    done = shoal("run", folder / "events.ndjson", "--out", folder / "home")
    assert done.returncode == 0, done.stderr
    assert "203.0.113.77" in done.stdout
    assert "read 1,500" in done.stdout
    return folder / "home"


def test_help_and_version() -> None:
    for words in (["--help"], ["run", "--help"], ["journal", "--help"], ["pack", "--help"]):
        assert shoal(*words).returncode == 0
    assert shoal("--version").stdout.startswith("shoal ")


MISTAKES = [
    (["run", "no-such-file.ndjson"], 2, "source.absent"),
    (["run", "."], 2, "source.not_a_file"),
    (["run"], 2, "Missing argument"),
    (["run", "x", "--format", "smoke"], 2, "smoke"),
    (["run", "x", "--merge-wait", "1"], 2, "run.merge_wait"),
    (["run", "--follow", "-"], 2, "follow.stdin"),
    (["frobnicate"], 2, "No such command"),
    (["doctor", "."], 0, "no deployment"),
    (["replay", "."], 2, "home.absent"),
    (["explain", "x", "--out", "."], 2, "home.absent"),
    (["journal", "retain", "."], 2, "home.absent"),
    (["journal", "retain", ".", "--keep"], 2, "--keep"),
    (["pack", "check", "file_sharin"], 2, "did you mean 'file_sharing'"),
    (["simulate", "no-such-world"], 2, "no-such-world"),
    (["scenario", "run", "no-such.yaml"], 2, "scenario.unreadable"),
    (["scenario", "check", "tinny"], 2, "did you mean 'tiny'"),
    (["simulate", "tiny", "--react", "--pack", "file_sharin"], 2, "file_sharin"),
]


@pytest.mark.parametrize(("words", "code", "told"), MISTAKES, ids=[" ".join(m[0]) for m in MISTAKES])
def test_a_mistake_gets_a_message_and_no_traceback(tmp_path: Path, words: list[str], code: int, told: str) -> None:
    source = Path(__file__).resolve().parents[2] / "src"
    done = subprocess.run(
        [sys.executable, "-m", "shoal", *words],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**ENVIRONMENT, "PYTHONPATH": str(source)},
        timeout=120,
    )
    assert done.returncode == code, done.stderr
    assert told in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_findings_as_ndjson_and_ocsf(deployed: Path) -> None:
    source = deployed.parent / "events.ndjson"
    (first, *_) = shoal("run", source, "--out", deployed, "--output", "ndjson").stdout.splitlines()
    finding = json.loads(first)
    assert (finding["rank"], finding["subject_type"], finding["subject"]) == (1, "ip", "203.0.113.77")
    assert finding["findings"][0]["rules"][0]["reason"]
    (record, *_) = shoal("run", source, "--out", deployed, "--output", "ocsf").stdout.splitlines()
    assert json.loads(record)["class_uid"] == 2004


def test_explain_an_event_and_a_subject(deployed: Path) -> None:
    event = shoal("explain", "a00299", "--out", deployed)
    assert event.returncode == 0, event.stderr
    assert "login.failed" in event.stdout
    assert "300 events are behind it" in event.stdout
    subject = shoal("explain", "203.0.113.77", "--out", deployed)
    assert "decisions above allow" in subject.stdout
    unknown = shoal("explain", "nobody", "--out", deployed)
    assert unknown.returncode == 2
    assert "explain.unknown" in unknown.stderr


def test_replay_doctor_and_journal(deployed: Path) -> None:
    assert "0 differences" in shoal("replay", deployed).stdout
    assert "every record is accounted for" in shoal("doctor", deployed).stdout
    assert "the journal is sound" in shoal("journal", "verify", deployed).stdout
    assert "1,500" in shoal("journal", "stats", deployed).stdout


def test_retain_from_the_dry_run_to_what_is_told_afterwards(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    settings = "batch_rows = 100\nsegment_bytes = 65536\nsnapshot_rows = 400\ndedupe_horizon_s = 3600\n"
    (home / "shoal.toml").write_text(settings)
    assert shoal("run", write_lines(tmp_path / "events.ndjson", stream()), "--out", home).returncode == 0
    refused = shoal("journal", "retain", home)
    assert (refused.returncode, "retain.no_period" in refused.stderr) == (2, True), refused.stderr
    assert "nothing is older" in shoal("journal", "retain", home, "--keep", "400d").stdout
    before = sorted(path.name for path in (home / "journal").iterdir())
    dry = shoal("journal", "retain", home, "--keep", "12h", "--dry-run")
    assert "would go" in dry.stdout, dry.stderr
    assert sorted(path.name for path in (home / "journal").iterdir()) == before
    done = shoal("journal", "retain", home, "--keep", "12h")
    assert done.returncode == 0, done.stderr
    assert "are gone" in done.stdout
    assert dry.stdout.split("would go")[0] == done.stdout.split("are gone")[0]
    assert "by retention" in shoal("journal", "stats", home).stdout
    doctor = shoal("doctor", home)
    assert "were dropped" in " ".join(doctor.stdout.split())
    assert "every record is accounted for" in doctor.stdout
    replayed = " ".join(shoal("replay", home).stdout.split())
    assert "0 differences" in replayed
    assert "what lies before the retention cut" in replayed
    gone = shoal("explain", "a00299", "--out", home)
    assert gone.returncode == 0, gone.stderr
    assert "before the retention cut" in " ".join(gone.stdout.split())
    subject = shoal("explain", "203.0.113.77", "--out", home)
    assert "decisions above allow" in subject.stdout
    assert "before the retention cut" in " ".join(subject.stdout.split())


def test_a_damaged_journal_is_told_with_its_place(deployed: Path, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(deployed, copy)
    segment = max((copy / "journal").glob("*"), key=lambda path: path.stat().st_size)
    data = bytearray(segment.read_bytes())
    data[len(data) // 3] ^= 0x40
    segment.write_bytes(bytes(data))
    done = shoal("journal", "verify", copy)
    assert done.returncode != 0
    assert segment.name in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_standard_input(tmp_path: Path) -> None:
    text = "".join(json.dumps(event) + "\n" for event in stream(rows=20))
    done = shoal("run", "-", "--format", "native", "--out", tmp_path / "home", text=text)
    assert done.returncode == 0, done.stderr
    assert "read 320" in done.stdout


def test_an_interrupt_is_told_and_the_next_run_goes_on(tmp_path: Path) -> None:
    source = write_lines(tmp_path / "events.ndjson", stream())
    home = tmp_path / "home"
    home.mkdir()
    (home / "shoal.toml").write_text("batch_rows = 1\n")
    command = [sys.executable, "-m", "shoal", "run", str(source), "--out", str(home)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)
    store = home / "decisions"
    for _ in range(600):
        if store.exists() and any(path.stat().st_size > 20_000 for path in store.iterdir()):
            break
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, told = child.communicate(timeout=60)
    assert child.returncode == 130, told
    assert "goes on from there" in told
    (home / "shoal.toml").write_text("batch_rows = 4096\n")
    done = shoal("run", source, "--out", home)
    assert done.returncode == 0, done.stderr
    assert "went on behind" in done.stderr
    assert "every record is accounted for" in shoal("doctor", home).stdout


def test_a_log_is_followed_until_interrupted_and_again(tmp_path: Path) -> None:
    log, home = tmp_path / "app.log", tmp_path / "home"
    events = stream(rows=100)
    told = []
    for part in (events[:250], events[250:]):
        with log.open("a") as out:
            out.writelines(json.dumps(event) + "\n" for event in part)
        command = [sys.executable, "-m", "shoal", "run", "--follow", log, "--out", home, "--merge-wait", "0.2"]
        process = subprocess.Popen(
            [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
        )
        wanted = len(part) + sum(told)
        for _ in range(1200):
            if _decided(home) >= wanted or process.poll() is not None:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        assert f"read {len(part):,}" in printed
        assert ("went on behind 250 records" in errors) is bool(told)
        told.append(len(part))
    assert "203.0.113.77" in printed
    assert shoal("doctor", home).returncode == 0
    assert shoal("replay", home).returncode == 0


def _decided(home: Path) -> int:
    if not (home / "store.sqlite").exists():
        return 0
    try:
        with Store.open(home / "store.sqlite", read_only=True) as store:
            return sum(counts.get("decided", 0) for counts in store.read_ledger().values())
    except ShoalError:  # not made whole yet
        return 0
