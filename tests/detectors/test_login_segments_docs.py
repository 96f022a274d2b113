"""docs/stuffing.md says of columns and settings what the code says."""

import re
from pathlib import Path

import pytest

from shoal.detectors.signal_kinds import KINDS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "stuffing.md").read_text(encoding="utf-8")
KIND = KINDS["login_segments"]
DEFAULTS = {name: setting.default for name, setting in KIND.settings.items()}
UNITS = {"days": 86_400, "hours": 3600}


def table(heading: str) -> list[list[str]]:
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in row] for row in rows]


def test_columns() -> None:
    named = {row[0].strip("`"): row[1] for row in table("The columns")}
    assert named == {name: output.kind.name for name, output in KIND.outputs(DEFAULTS).items()}


def test_settings() -> None:
    rows = {row[0].strip("`"): row[1] for row in table("Settings")}
    assert list(rows) == list(DEFAULTS)
    checked = 0
    for name, text in rows.items():
        setting = KIND.settings[name]
        if setting.kind == "columns":
            assert tuple(re.findall(r"`(\w+)`", text)) == setting.default
        elif setting.kind in ("number", "integer", "seconds"):
            number, _, unit = text.partition(" ")
            assert float(number) * UNITS.get(unit, 1) == pytest.approx(setting.default)
            checked += 1
    assert checked == 13
