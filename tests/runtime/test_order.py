"""Ordering: facts, labels and dead letters keep their place among events, wherever a block is cut."""

import numpy as np
import pyarrow as pa
import pytest

from shoal.events.deadletters import DeadLetter
from shoal.runtime.ingest.order import Ordered

EVENTS = pa.table({"time": pa.array(range(5), pa.int64()), "event_id": [f"e{k}" for k in range(5)]})
BLOCK = Ordered(
    EVENTS,
    pa.table({"subject": ["f0", "f2", "f5"]}),
    np.array([0, 2, 5]),
    pa.table({"subject": ["l2", "l5"]}),
    np.array([2, 5]),
    (DeadLetter("s", "p", 0, "r", "d0", b""), DeadLetter("s", "p", 1, "r", "d3", b"")),
    np.array([0, 3]),
)
WHOLE = ["f0", "d0", "e0", "e1", "f2", "l2", "e2", "d3", "e3", "e4", "f5", "l5"]


def told(block: Ordered) -> list[str]:
    """The records of a block in their one order."""
    events, facts, labels, dead = block.places()
    named = dict(zip(events.tolist(), block.events.column("event_id").to_pylist(), strict=True))
    named |= dict(zip(facts.tolist(), block.facts.column("subject").to_pylist(), strict=True))
    named |= dict(zip(labels.tolist(), block.labels.column("subject").to_pylist(), strict=True))
    named |= dict(zip(dead.tolist(), (letter.detail for letter in block.dead), strict=True))
    return [named[place] for place in range(block.records)]


def test_one_order() -> None:
    assert told(BLOCK) == WHOLE


@pytest.mark.parametrize("first", range(len(WHOLE) + 1))
def test_any_cut_keeps_it(first: int) -> None:
    for second in range(first, len(WHOLE) + 1):
        parts = BLOCK.between(0, first), BLOCK.between(first, second), BLOCK.between(second, len(WHOLE))
        assert [told(part) for part in parts] == [WHOLE[:first], WHOLE[first:second], WHOLE[second:]]
