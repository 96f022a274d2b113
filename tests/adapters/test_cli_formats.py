"""The commands: formats, mapping-for, inspect, and a run over a mapped table."""

import io
import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from oracles.format_samples import DROPBOX, WORKSPACE
from shoal.cli.app import app
from shoal.cli.run import FormatName
from shoal.errors import InvalidInput
from shoal.events.formats import FORMATS
from shoal.runtime.run import default_pack

CSV = "time,user,event,ip\n" + "".join(f"2026-01-05T09:00:{s:02d}Z,ann,login_failed,192.0.2.{s}\n" for s in range(9))


def run(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


def test_formats_lists_every_reader_and_writer() -> None:
    listed = json.loads(run("formats", "--json"))
    assert [entry["name"] for entry in listed["readers"]] == [*FORMATS, "--mapping"]
    assert all(entry["maps"] for entry in (*listed["readers"], *listed["writers"]))
    shown = run("formats")
    assert all(name in shown for name in FORMATS)


def test_every_format_can_be_named() -> None:
    assert {name.value for name in FormatName} == {"auto", *FORMATS}
    assert {default_pack(name) for name in ("workspace", "dropbox", "syslog", "table-x")} == {"file_sharing"}


def test_inspect_shows_the_records_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"items": [WORKSPACE]}) + "\n{")
    seen = json.loads(run("inspect", str(path), "--json"))
    assert (seen["format"], seen["pack"], seen["events"], seen["dead"]) == (
        "workspace", "file_sharing", 1, {"json.malformed": 1},
    )  # fmt: skip
    assert {"from": "ipAddress", "column": "ip", "value": "192.0.2.7"} in seen["records"][0]["columns"]
    assert "admin" not in (seen["scores"][0]["format"])
    told = run("inspect", str(path))
    assert "ipAddress" in told
    assert "login.succeeded 1" in told
    assert "json.malformed 1" in told


def test_inspect_reads_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    from shoal.adapters.inspect import inspect_file

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(DROPBOX).encode())))
    assert inspect_file("-").format == "dropbox"


def test_inspect_says_what_to_do_with_a_table(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(CSV)
    with pytest.raises(InvalidInput, match="mapping-for"):
        run("inspect", str(path))
    with pytest.raises(InvalidInput, match="did you mean 'dropbox'"):
        run("inspect", str(path), "--format", "dropbx")
    with pytest.raises(InvalidInput, match="no such file"):
        run("inspect", str(tmp_path / "b"))


def test_a_drafted_mapping_runs(tmp_path: Path) -> None:
    path, drafted, home = tmp_path / "a.csv", tmp_path / "map.yaml", tmp_path / "home"
    path.write_text(CSV)
    run("formats", "mapping-for", str(path), "--out", str(drafted))
    with pytest.raises(InvalidInput, match=r"mapping\.exists"):
        run("formats", "mapping-for", str(path), "--out", str(drafted))
    seen = json.loads(run("inspect", str(path), "--mapping", str(drafted), "--json"))
    assert seen["types"] == {"login.failed": 9}
    with pytest.raises(InvalidInput, match="exclude each other"):
        run("run", str(path), "--mapping", str(drafted), "--format", "native")
    with pytest.raises(InvalidInput, match="cannot be followed"):
        run("run", str(path), "--mapping", str(drafted), "--follow")
    with pytest.raises(InvalidInput, match="cannot be followed"):
        run("run", str(path), "--format", "workspace", "--follow")
    shown = run("run", str(path), "--mapping", str(drafted), "--out", str(home), "--output", "summary")
    assert "9" in shown
