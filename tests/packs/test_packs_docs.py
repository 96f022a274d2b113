"""docs/packs.md is true: its commands run and say what it shows, its pack is sound, its verbs and slugs exist."""

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

import shoal.packs
from oracles.plain_runtime import PlainRuntime
from shoal.cli.app import app
from shoal.packs.load import load_pack
from shoal.packs.testing import run_tests

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "packs.md").read_text(encoding="utf-8")


def blocks(kind):
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.S)


def pattern(line):
    return ".*".join(re.escape(part) for part in line.split("…"))


def test_the_commands_of_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SHOAL_PACKS", str(tmp_path / "home"))
    (session,) = blocks("console")
    count = 0
    for part in session.split("$ shoal ")[1:]:
        command, *shown = part.rstrip("\n").split("\n")
        found = CliRunner().invoke(app, shlex.split(command))
        assert found.exit_code == (1 if command.startswith("pack diff") else 0), (command, found.output)
        for line in shown:
            assert re.search(pattern(line), found.output), (command, line, found.output)
        count += 1
    assert count == 9


def test_the_pack_that_builds_on_another(tmp_path):
    (text,) = [block for block in blocks("yaml") if "\nextends:" in block]
    (tmp_path / "pack.yaml").write_text(text)
    pack = load_pack(tmp_path)
    rule = next(rule for rule in pack.rules if rule.id == "link.reported")
    assert rule.severity.name == "HIGH"
    assert all(result.passed for result in run_tests(pack, PlainRuntime, ["link.reported"]))
    assert pack.lists["trusted_networks"].entries == ("198.51.100.0/24",)
    assert pack.disabled == ("rules.link.owner_reported_often",)


def test_every_verb_is_told():
    told = set(re.findall(r"`([a-z]+)(?: [^`]*)?`", "\n".join(re.findall(r"^\| (.*?) \| ", PAGE, re.M))))
    listed = CliRunner().invoke(app, ["pack", "--help"]).output
    for verb in ("new", "check", "fmt", "test", "diff", "docs", "tune", "export", "install", "installed"):
        assert verb in told
        assert re.search(rf"^\W*{verb}\b", listed, re.M), verb


@pytest.mark.parametrize("slug", sorted(set(re.findall(r"check\.[a-z_]+", PAGE))))
def test_every_warning_of_the_page_exists(slug):
    source = (Path(shoal.packs.__file__).parent / "review" / "warnings.py").read_text()
    assert f'"{slug}"' in source


def test_every_warning_is_on_the_page():
    source = (Path(shoal.packs.__file__).parent / "review" / "warnings.py").read_text()
    assert set(re.findall(r'"(check\.[a-z_]+)"', source)) == set(re.findall(r"check\.[a-z_]+", PAGE))
