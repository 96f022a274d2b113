"""The page about node classification: its example runs, and what it says of odd input and parameters is the code's."""

import doctest
from pathlib import Path

from shoal.coordination.nodes import NodeClassifier, NodeGraph

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coordination-nodes.md"


def test_the_page() -> None:
    done = doctest.testfile(str(PAGE), module_relative=False)
    assert done.attempted >= 9
    assert done.failed == 0


def test_it_names_the_public_calls() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for owner, names in (
        (NodeGraph, ("of_entities", "keep", "before")),
        (NodeClassifier, ("predict_proba", "predict")),
    ):
        for name in names:
            assert callable(getattr(owner, name))
            assert name in text
