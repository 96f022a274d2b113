"""docs/models.md is true: its example runs, and it names every slug that the code has."""

import doctest
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "models.md"


def test_the_page() -> None:
    done = doctest.testfile(str(PAGE), module_relative=False)
    assert done.attempted >= 12
    assert done.failed == 0


def test_every_slug_is_named() -> None:
    said = set()
    for cell in re.findall(r"\| ([^|]*`model\.[^|]*)\|$", PAGE.read_text(encoding="utf-8"), re.M):
        names = re.findall(r"`([a-z_.]+)`", cell)
        for name in names:
            if name.startswith("."):
                name = "model" + name
            elif name.startswith("_"):
                name = "model.trees" + name
            said.add(name)
    said |= set(re.findall(r"`(model\.[a-z_]+)`", PAGE.read_text(encoding="utf-8")))
    folder = ROOT / "src" / "shoal" / "detectors" / "models"
    names = ("model", "verify", "text", "trees", "inputs", "serving")
    code = "".join((folder / f"{name}.py").read_text(encoding="utf-8") for name in names)
    raised = set(re.findall(r'"(model\.[a-z_]+)"', code)) | set(re.findall(r"\[(model\.[a-z_]+)\]", code))
    raised -= {"model.txt", "model.json"}
    assert raised <= said
    assert len(raised) > 25
