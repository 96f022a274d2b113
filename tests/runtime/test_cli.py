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
    (["run", "x", "--format", "syslog"], 2, "syslog"),
    (["frobnicate"], 2, "No such command"),
    (["doctor", "."], 0, "no deployment"),
    (["replay", "."], 2, "home.absent"),
    (["explain", "x", "--out", "."], 2, "home.absent"),
    (["pack", "check", "file_sharin"], 2, "did you mean 'file_sharing'"),
    (["simulate", "no-such-world"], 2, "no-such-world"),
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
