"""Spec: the writer's stamps (FEATURES points 1 and 3): times in, `as_of` and flags out."""

import numpy as np
import pytest

from shoal.events.schema import Flag
from shoal.runtime.ingest.stamps_kernel import stamp

LATENESS, BOUND = 10, 1000
NONE, LATE, BEHIND, CLAMPED = 0, Flag.LATE, Flag.BEHIND, Flag.CLAMPED

# what, time, as_of, flags; one stream, in order
STORY = [
    ("the first", 100, 100, NONE),
    ("a tie is not behind", 100, 100, NONE),
    ("time moves on", 120, 120, NONE),
    ("a little behind counts at as_of", 119, 120, BEHIND),
    ("exactly the lateness is not late", 110, 120, BEHIND),
    ("a microsecond further is late", 109, 120, LATE),
    ("late ones do not move time back", 121, 121, NONE),
    ("the bound itself is allowed", 1000, 1000, NONE),
    ("beyond the bound is clamped to it", 5000, 1000, CLAMPED),
    ("and what follows is measured against the bound", 995, 1000, BEHIND),
]


@pytest.mark.parametrize("cut", [1, 3, len(STORY)])
def test_stamps(cut: int) -> None:
    now, found = 0, []
    for start in range(0, len(STORY), cut):
        times = np.array([time for _, time, *_ in STORY[start : start + cut]])
        as_of, flags = np.empty(len(times), np.int64), np.empty(len(times), np.int64)
        now = stamp(times, np.full(len(times), BOUND), now, LATENESS, as_of, flags)
        found += zip(as_of.tolist(), flags.tolist(), strict=True)
    told = [(what, *stamps) for (what, *_), stamps in zip(STORY, found, strict=True)]
    assert told == [(what, as_of, int(flags)) for what, _, as_of, flags in STORY]
