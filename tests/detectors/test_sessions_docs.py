"""The examples in the docs page and in the docstrings of the session detectors run as they stand."""

import doctest
from importlib import import_module
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sessions.md"


def test_the_page() -> None:
    done = doctest.testfile(str(PAGE), module_relative=False)
    assert done.attempted >= 7
    assert done.failed == 0


@pytest.mark.parametrize("name", ["counts", "result", "sequence"])
def test_docstrings(name: str) -> None:
    done = doctest.testmod(import_module(f"shoal.detectors.takeover.sessions.{name}"))
    assert done.attempted > 0
    assert done.failed == 0
