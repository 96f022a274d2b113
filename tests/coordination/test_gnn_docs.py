"""The page about graph networks: its example runs, and it names the parameters and calls that there are."""

import doctest
from pathlib import Path

import pytest

from shoal.coordination.gnn import GnnClassifier, read_files, write_files

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coordination-gnn.md"
TEXT = PAGE.read_text(encoding="utf-8")


@pytest.mark.extras
def test_the_example_runs():
    pytest.importorskip("torch")
    done = doctest.testfile(str(PAGE), module_relative=False)
    assert done.attempted >= 9
    assert done.failed == 0


def test_it_names_calls_and_parameters_that_there_are():
    for name in ("fit", "predict_proba", "decision_function", "predict", "embeddings", "get_params", "set_params"):
        assert callable(getattr(GnnClassifier, name))
        assert f"`{name}" in TEXT
    for name in ("full_batch", "fan_out", "device", "model"):
        assert name in GnnClassifier.parameters()
        assert name in TEXT
    assert read_files.__name__ in TEXT
    assert write_files.__name__ in TEXT
