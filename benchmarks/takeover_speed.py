"""Logins scored and learned per CPU-second: the signal in batches, beside a version with dictionaries."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from typing import Any

import numpy as np
from msgspec.structs import replace

from benchmarks.takeover_curve import WORLD
from benchmarks.takeover_logins import make_logins, read_world
from benchmarks.takeover_scores import frame_of, signal_of
from shoal.detectors.takeover.likelihood import PUBLISHED

BATCH = 4096
LEVELS = tuple((one.column, one.weight, one.group) for one in PUBLISHED if one.weight)


def with_dictionaries(rows: list[tuple[Any, ...]]) -> float:
    """The published ratio over (account, values of the levels), scored and learned; the sum of all."""
    own: defaultdict[tuple[Any, ...], int] = defaultdict(int)
    common: defaultdict[tuple[Any, ...], int] = defaultdict(int)
    logins: defaultdict[Any, int] = defaultdict(int)
    summed = 0.0
    for count, (account, *values) in enumerate(rows):
        mine = logins[account]
        sums = [0.0, 0.0, 0.0, 0.0]
        for level, (value, (_, weight, group)) in enumerate(zip(values, LEVELS, strict=True)):
            p = (common[level, value] + 1e-6) / (count + 1)
            sums[2 * group] += weight * p
            sums[2 * group + 1] += weight * (own[account, level, value] + p) / (mine + 1)
        score = math.log(sums[0] / sums[1]) + math.log(sums[2] / sums[3])
        summed += score + math.log((count + 1) / (len(logins) * (mine + 1)))
        for level, value in enumerate(values):
            common[level, value] += 1
            own[account, level, value] += 1
        logins[account] += 1
    return summed


def run(quick: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both on the same logins, in turns."""
    events = make_logins(replace(read_world(WORLD), accounts=2000 if quick else 12_000), 1).events
    tables = [events.slice(at, BATCH) for at in range(0, events.num_rows, BATCH)]
    names = ["account", *(column for column, _, _ in LEVELS)]
    rows = list(zip(*(events[name].to_pylist() for name in names), strict=True))
    best = {"ours": math.inf, "dictionaries": math.inf}
    for _ in range(2):
        frames = [frame_of(table) for table in tables]
        signal = signal_of(scores="true", learns="true")
        count = len(signal.outputs(signal.definition.settings))
        values, valid = np.empty((count, BATCH), np.int64), np.empty((count, BATCH), np.uint8)
        signal.warm()
        begun = time.process_time()
        for frame, stamps in frames:
            signal.update(frame, stamps, values, valid)
        best["ours"] = min(best["ours"], time.process_time() - begun)
        begun = time.process_time()
        with_dictionaries(rows)
        best["dictionaries"] = min(best["dictionaries"], time.process_time() - begun)
    rate, base = (round(len(rows) / best[name]) for name in ("ours", "dictionaries"))
    print(f"\nLogins scored and learned per CPU-second: {rate:,} ({count} columns, batches of {BATCH});"
          f" dictionaries, the published ratio alone: {base:,}; {len(rows):,} logins")  # fmt: skip
    return {"logins_per_cpu_s": rate}, {"dict_logins_per_cpu_s": base}
