"""Co-action at size: ten million actions with groups planted among people, pairs found and missed, seconds.

People act at their hours of day on objects of Zipf popularity, accounts have log-normal activity; 200 groups of ten
act together on 20 objects each, within ten minutes an object; every second group on
the most popular objects, the others on any. The baseline is the usual single bucketing in the same
engine on the same table: accounts in one bucket of a day are together, pairs with three such buckets are told, the cap
is the same; it tests nothing. `coaction_10m_s` is wall time with two threads (CPU seconds beside it: the machine may be
shared); `--quick` takes a tenth of the table and scales it up.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from shoal.coordination.coaction import CoActionSettings, DuckEngine, actions, coaction, null_of

Figures = dict[str, float | None]
DAY, HOUR, MINUTE = 86_400_000_000, 3_600_000_000, 60_000_000
GOALS = {"coaction_10m_s": "≤ 15"}
NAIVE = """
SELECT a, b, COUNT(*) AS shared FROM (
  SELECT l.account AS a, r.account AS b FROM placed AS l JOIN placed AS r
  ON l.object = r.object AND l.bucket = r.bucket AND l.account < r.account) AS met
GROUP BY a, b HAVING COUNT(*) >= 3
"""
PLACED = """
SELECT object, bucket, account FROM (
  SELECT object, bucket, account, COUNT(*) OVER (PARTITION BY object, bucket) AS accounts FROM (
    SELECT DISTINCT object, time - time % 86400000000 AS bucket, account FROM events) AS there) AS counted
WHERE accounts <= 30
"""


def world(rows: int, seed: int = 0) -> tuple[pa.Table, set[tuple[int, int]]]:
    """Actions, and the pairs that were planted."""
    chance = np.random.default_rng(seed)
    accounts, objects, groups = rows // 10, rows // 10 * 3, max(rows // 50_000, 4)
    activity = np.cumsum(chance.lognormal(0, 1.2, accounts))
    who = np.searchsorted(activity / activity[-1], chance.random(rows)).clip(0, accounts - 1)
    liked = np.cumsum(1 / np.arange(1, objects + 1) ** 0.9)
    what = np.searchsorted(liked / liked[-1], chance.random(rows)).clip(0, objects - 1)
    when = chance.integers(0, 30, rows) * DAY + (chance.normal(14, 5, rows) % 24 * HOUR).astype(np.int64)
    members = chance.permutation(accounts)[: groups * 10].reshape(groups, 1, 10)
    places = chance.integers(0, objects, (groups, 20, 1))
    places[::2] = chance.integers(0, objects // 10_000, (len(places[::2]), 20, 1))  # hidden in crowds
    begin = chance.integers(0, 30 * DAY - HOUR, (groups, 20, 1)) + chance.integers(0, 10 * MINUTE, (groups, 20, 10))
    parts = [np.concatenate([one, np.broadcast_to(more, (groups, 20, 10)).ravel()])
             for one, more in ((who, members), (what, places), (when, begin))]  # fmt: skip
    order = chance.permutation(len(parts[0]))
    planted = {
        (int(a), int(b)) for group in np.sort(members[:, 0]) for i, a in enumerate(group) for b in group[i + 1 :]
    }
    return actions(*(part[order] for part in parts)), planted


def timed(work: Any) -> tuple[Any, float, float]:
    """What it gives, wall and CPU seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    answer = work()
    return answer, time.perf_counter() - wall, time.process_time() - cpu


def naive(events: pa.Table) -> pa.Table:
    engine = DuckEngine(CoActionSettings())
    try:
        engine.load("events", events)
        engine.keep("placed", PLACED)
        return engine.read(NAIVE)
    finally:
        engine.close()


def measure(quick: bool, dump: Path | None = None) -> tuple[Figures, Figures]:
    """Figures and baselines of the JSON."""
    rows = 1_000_000 if quick else 10_000_000
    scale = 10_000_000 / rows
    events, planted = world(rows)
    coaction(events.slice(0, 1000))  # libraries are loaded
    found, wall, cpu = timed(lambda: coaction(events))
    good = found.significant
    pairs = set(zip(found.left[good].tolist(), found.right[good].tolist(), strict=True))
    chance = coaction(null_of(events.slice(0, 1_000_000), 1))
    plain, plain_wall, plain_cpu = timed(lambda: naive(events))
    told = set(zip(plain["a"].to_pylist(), plain["b"].to_pylist(), strict=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"\n## co-action: {events.num_rows:,} actions, {len(planted):,} planted pairs among {found.tested:,} tested\n"
    )
    print(f"{'':34}{'wall s':>9}{'CPU s':>9}{'found':>9}{'planted':>9}{'precision':>11}")
    for name, one, seconds, busy in (
        ("ours", pairs, wall, cpu),
        ("one bucketing, no test", told, plain_wall, plain_cpu),
    ):
        hits = len(one & planted)
        print(f"{name:34}{seconds:9.1f}{busy:9.1f}{len(one):9,}{hits:9,}{hits / max(len(one), 1):11.4f}")
    for capped in found.capped:
        print(
            f"too popular within {capped.window_s:>6} s: {capped.cells:,} cells, {capped.accounts:,} accounts in them"
        )
    print(f"dealt anew (a million actions): {chance.size} pairs share three objects, {int(chance.significant.sum())} "
          f"are significant; peak {peak:,.0f} MB{'; seconds of a tenth, times ten' if quick else ''}")  # fmt: skip
    if dump is not None:
        dump.mkdir(parents=True, exist_ok=True)
        label = [(int(a), int(b)) in planted for a, b in zip(found.left, found.right, strict=True)]
        columns = {"left": found.left, "right": found.right, "label": label, "score": found.llr, "q": found.q}
        pq.write_table(pa.table(columns), dump / "coordination.coaction.parquet")
    figures: Figures = {
        "coaction_10m_s": wall * scale, "coaction_10m_cpu_s": cpu * scale,
        "coaction_planted_recall": len(pairs & planted) / len(planted),
        "coaction_planted_precision": len(pairs & planted) / max(len(pairs), 1),
        "coaction_null_significant": float(chance.significant.sum()), "coaction_peak_mb": peak,
    }  # fmt: skip
    baselines: Figures = {
        "naive_10m_s": plain_wall * scale, "naive_10m_cpu_s": plain_cpu * scale,
        "naive_planted_recall": len(told & planted) / len(planted),
        "naive_planted_precision": len(told & planted) / max(len(told), 1),
    }  # fmt: skip
    return figures, baselines


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a million actions")
    parser.add_argument("--data", default="../shared/data", help="not used: the table is made up")
    parser.add_argument("--dump", default="", help="folder for pairs with label and score")
    options = parser.parse_args()
    figures, baselines = measure(options.quick, Path(options.dump) if options.dump else None)
    for key, goal in GOALS.items():
        print(f"{key} {figures[key]:.2f}  goal {goal}")
    print(json.dumps({
        "benchmark": "coordination_coaction", "quick": options.quick, "figures": figures, "baselines": baselines,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
