"""docs/anomaly-streams.md runs as it stands."""

import doctest
from pathlib import Path


def test_the_examples_of_the_page() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "anomaly-streams.md"
    failed, tried = doctest.testfile(str(page), module_relative=False)
    assert failed == 0
    assert tried >= 20
