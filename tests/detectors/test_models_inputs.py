"""A frame's columns as a model reads them."""

import numpy as np
import pytest

from shoal.detectors.models.inputs import Columns
from shoal.errors import InvalidInput
from shoal.events.identity import Identity
from shoal.events.schema import Kind
from shoal.expressions.frame import Frame, Layout

LAYOUT = Layout.of({"type": Kind.TEXT, "size_bytes": Kind.INT, "lat": Kind.FLOAT, "late": Kind.BOOL, "time": Kind.TIME})


def test_values_nulls_and_kinds() -> None:
    told = [
        {"size_bytes": 7, "lat": 1.5, "late": True, "time": 1_700_000_000_000_000},
        {"size_bytes": None, "lat": None, "late": None, "time": None},
        {"size_bytes": -(2**40), "lat": -0.25, "late": False, "time": 0},
    ]
    frame = Frame.of_rows(told, LAYOUT, Identity(bytes(16)))
    columns = Columns(["time", "lat", "late", "size_bytes"], LAYOUT)
    found = columns.read(frame, np.array([2, 0, 1, 2]))
    last = [0.0, -0.25, 0.0, -(2.0**40)]
    assert found.flags.c_contiguous
    assert found[[0, 1, 3]].tolist() == [last, [1.7e15, 1.5, 1.0, 7.0], last]
    assert np.isnan(found[2]).all()
    assert columns.read(frame, np.zeros(0, np.int64)).shape == (0, 4)


def test_infinite_is_unknown_as_in_training() -> None:
    frame = Frame.of_rows([{"lat": 1.0}, {"lat": 2.0}, {"lat": 3.0}], LAYOUT, Identity(bytes(16)))
    # An event cannot bring one in (it is null there); a column that is computed could.
    frame.values.view(np.float64)[LAYOUT.index["lat"], :3] = [np.inf, -np.inf, 1e308]
    found = Columns(["lat"], LAYOUT).read(frame, np.arange(3))[:, 0]
    assert np.isnan(found[:2]).all()
    assert found[2] == 1e308


def test_columns_that_cannot_be_read_are_told_together() -> None:
    with pytest.raises(InvalidInput) as caught:
        Columns(["size_byte", "type", "lat"], LAYOUT)
    told = [(problem.slug, problem.nearest) for problem in caught.value.problems]
    assert told == [("model.input_missing", "size_bytes"), ("model.input_kind", "")]
