"""Blocks of memory keep what they hold when they grow, whether they are copied, moved or still looked at."""

from __future__ import annotations

import numpy as np
import pytest

from shoal.features import memory
from shoal.features.memory import LARGE_BYTES, Memory, zero_words


@pytest.mark.parametrize("way", ["mapped", "copied", "refused"])
def test_a_block_keeps_its_bytes(way, monkeypatch):
    """`refused`: the system grants no addresses ahead."""
    monkeypatch.setattr(memory, "_CAN_MOVE", way != "copied" and memory._CAN_MOVE)
    if way == "refused":
        monkeypatch.setattr(memory, "_mapping", lambda _: None)
    block, size = Memory(100), 100
    content = np.random.default_rng(1).integers(0, 256, 64 * LARGE_BYTES, np.uint8)
    block.bytes[:size] = content[:size]
    for larger in (101, 5_000, LARGE_BYTES - 1, LARGE_BYTES, 3 * LARGE_BYTES, 9 * LARGE_BYTES, 64 * LARGE_BYTES):
        block.grow(larger, size)
        assert len(block.bytes) >= larger
        assert np.array_equal(block.bytes[:size], content[:size])
        block.bytes[size:larger] = content[size:larger]
        size = larger
    assert np.array_equal(block.bytes[:size], content)


def test_only_what_was_used_is_kept_and_growing_less_changes_nothing():
    block = Memory(1_000)
    block.bytes[:] = 7
    before = block.bytes.ctypes.data
    block.grow(1_000, 1_000)
    block.grow(10, 1_000)
    assert (block.bytes.ctypes.data, len(block.bytes)) == (before, 1_000)
    block.grow(2 * LARGE_BYTES, 4)
    assert block.bytes[:4].tolist() == [7, 7, 7, 7]
    assert not block.bytes[4:].any() or not memory._CAN_MOVE


def test_a_block_that_is_looked_at_is_copied_and_the_view_stays_good():
    block = Memory(10)
    block.grow(LARGE_BYTES, 10)
    block.bytes[:LARGE_BYTES] = 5
    view = block.bytes[:LARGE_BYTES]
    block.grow(20 * LARGE_BYTES, LARGE_BYTES)
    block.bytes[0] = 6
    assert view[0] == 5
    assert int(block.bytes[:LARGE_BYTES].sum()) == 5 * LARGE_BYTES + 1


@pytest.mark.parametrize("count", [64, LARGE_BYTES // 8 - 1, LARGE_BYTES // 8, 3 * LARGE_BYTES // 8])
def test_zero_words(count):
    words = zero_words(count)
    assert (len(words), words.dtype, words.flags.writeable) == (count, np.int64, True)
    assert not words.any()
    words[:] = -1
    assert not zero_words(count).any()
