"""Ids of one batch: the same as ever, hashed once."""

import numpy as np
import pyarrow as pa
import pytest

from shoal.events.identity import BatchIds, Identity

IDENTITY = Identity(b"sixteen byte key")


class Counting:
    """An identity that counts what it hashed."""

    def __init__(self) -> None:
        self.arrays = 0

    def ids_of(self, texts: pa.Array) -> np.ndarray:
        self.arrays += 1
        return IDENTITY.ids_of(texts)


def test_a_column_and_its_equals_are_hashed_once() -> None:
    counting = Counting()
    ids = BatchIds(counting)  # type: ignore[arg-type]
    texts = pa.array(["a", None, "bb", "a"])
    again = pa.array(["a", None, "bb", "a"])
    other = pa.array(["a", None, "bc", "a"])
    nulls = pa.array(["a", "", "bb", "a"])
    for array in (texts, again, texts, other, nulls, nulls):
        assert ids.ids_of(array).tolist() == IDENTITY.ids_of(array).tolist()
    assert counting.arrays == 3
    assert ids.ids_of(texts) is ids.ids_of(again)
    with pytest.raises(ValueError, match="read-only"):
        ids.ids_of(texts)[0] = 1


def test_slices_and_other_types_are_told_apart() -> None:
    ids = BatchIds(IDENTITY)
    texts = pa.array([f"t{k}" for k in range(50)])
    for array in (texts, texts.slice(3, 7), texts.slice(10, 7), texts.slice(3, 7), texts.slice(0, 0),
                  texts.cast(pa.large_string()), pa.array([], pa.string()), pa.nulls(3, pa.string())):  # fmt: skip
        assert ids.ids_of(array).tolist() == IDENTITY.ids_of(array).tolist()
