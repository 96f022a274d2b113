"""docs/takeover.md: its example runs, and it names every setting, column and level."""

import doctest
from pathlib import Path

import pytest

from shoal.detectors.takeover.likelihood import NESTED, PUBLISHED, LoginLikelihood

PAGE = Path(__file__).resolve().parents[2] / "docs" / "takeover.md"


def test_the_example_runs() -> None:
    done = doctest.testfile(str(PAGE), module_relative=False)
    assert done.attempted >= 15
    assert done.failed == 0


@pytest.mark.parametrize("name", [*LoginLikelihood.settings, *(one.name for one in NESTED if one.name)])
def test_settings_and_levels_are_named(name: str) -> None:
    assert f"`{name}`" in PAGE.read_text()


def test_columns_are_named() -> None:
    text = PAGE.read_text()
    levels = {one.name for one in NESTED}
    names = LoginLikelihood.outputs({"formula": "nested"})
    plain = [name for name in names if name not in levels and not name.endswith(("_seen", "_accounts"))]
    assert len(plain) == 16
    assert [name for name in plain if f"`{name}`" not in text] == []


def test_the_published_weights_sum_to_one_in_each_group() -> None:
    for group in (0, 1):
        assert sum(one.weight for one in PUBLISHED if one.group == group) == pytest.approx(1.0)
