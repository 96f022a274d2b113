"""docs/coordination-structure.md runs as it stands."""

import doctest
from pathlib import Path

import yaml

from shoal.detectors.bursts.signal import EdgeBurst


def test_the_examples_of_the_page() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "coordination-structure.md"
    failed, tried = doctest.testfile(str(page), module_relative=False)
    assert failed == 0
    assert tried >= 10


def test_the_settings_that_the_page_shows_exist() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "coordination-structure.md").read_text(encoding="utf-8")
    (signal,) = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])["signals"].values()
    assert signal.pop("kind") == "edge_burst"
    assert set(signal) <= set(EdgeBurst.settings)
    default = EdgeBurst.settings
    assert 48 * int(str(default["width"].default)) * int(str(default["depth"].default)) == 384 * 1024
