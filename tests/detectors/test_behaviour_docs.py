"""The page about behaviour signals: its examples run, and its settings, columns and bytes are those of the code."""

import doctest
import re
from importlib import import_module
from pathlib import Path

import pytest

from oracles.behaviour_streams import make
from shoal.detectors.behaviour import EntityBaseline, SequenceSurprise

PAGE = Path(__file__).resolve().parents[2] / "docs" / "behaviour.md"


def test_the_page() -> None:
    done = doctest.testfile(str(PAGE), module_relative=False)
    assert done.attempted >= 10
    assert done.failed == 0


def test_docstrings() -> None:
    done = doctest.testmod(import_module("shoal.detectors.behaviour.embedding"))
    assert done.attempted > 0
    assert done.failed == 0


@pytest.mark.parametrize("kind", [EntityBaseline, SequenceSurprise])
def test_the_page_names_every_column_and_setting(kind) -> None:
    part = PAGE.read_text(encoding="utf-8").split(f"## `{kind.kind}`")[1].split("\n## ")[0]
    named = set(re.findall(r"`([a-z_]+)`", part))
    assert set(kind.outputs({})) <= named
    assert set(kind.settings) <= named


def test_the_page_states_the_bytes_of_the_code() -> None:
    text = PAGE.read_text(encoding="utf-8")
    traits = ("type", "client", "org")
    assert f"{make(EntityBaseline, traits=traits).bytes_per_key} bytes a key with the defaults" in text
    whole = make(EntityBaseline, traits=traits, season="hour_of_week").bytes_per_key
    assert f"{whole:,} with `hour_of_week`" in text
    assert f"{make(SequenceSurprise).bytes_per_key} bytes an account with two columns" in text
