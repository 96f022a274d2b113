"""The page's examples run, and the docstrings'."""

import doctest
from pathlib import Path

import numpy as np

from shoal.coordination.coaction import significance

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coordination-coaction.md"


def test_the_page_says_what_happens():
    failed, tried = doctest.testfile(str(PAGE), module_relative=False)
    assert (failed, tried > 5) == (0, True)


def test_the_docstrings_say_what_happens():
    failed, tried = doctest.testmod(significance, globs={**vars(significance), "np": np})
    assert (failed, tried > 0) == (0, True)
