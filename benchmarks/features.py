"""Benchmark `features`: the 17-feature workload of FEATURES.md, our kernel against Python, Polars and DuckDB.

Kernel figures are of the kernel alone over encoded columns (as FEATURES.md's table is); the figure with frames, stamps
and conditions in is printed beside. Speeds are events a second of process CPU time. `python -m benchmarks.features
[--quick] [--data DIR] [--dump DIR]`; see BENCHMARKS for the keys.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from benchmarks.features_pack import run_pack
from benchmarks.features_workload import (
    DAY,
    FEATURES,
    HOUR,
    LAYOUT,
    US,
    PythonOracle,
    Stream,
    duckdb_sql,
    make_stream,
    unique_order,
)
from shoal.events.identity import Identity
from shoal.events.schema import Kind
from shoal.features.definitions import FeatureDefinition
from shoal.features.descriptor import SKETCH_ERROR
from shoal.features.engine import FeatureEngine
from shoal.features.kernel.event_kernel import run

BATCH = 4_096
IDENTITY = Identity(b"benchmark-key-16")
NO_CAP = 2**24


def new_engine(cap: int = NO_CAP, definitions: tuple[FeatureDefinition, ...] = FEATURES) -> FeatureEngine:
    return FeatureEngine(definitions, LAYOUT, IDENTITY, history_complete=True, pair_cap=cap)


def run_batches(engine: FeatureEngine, stream: Stream, count: int, keep: bool = False) -> tuple[float, float, Any]:
    """CPU seconds of the kernel and of the whole update, and the values where asked."""
    kernel = whole = 0.0
    kept = []
    frames = [(stream.frame(i, min(i + BATCH, count)), i) for i in range(0, count, BATCH)]
    for frame, start in frames:
        stamps = stream.stamps(start, start + frame.size)
        begin = time.process_time()
        batch = engine.bind(frame, stamps)
        middle = time.process_time()
        engine.parts[0].drive(0, frame.size)
        end = time.process_time()
        engine._last_seq, engine._now = int(stamps.seq[-1]), int(stamps.as_of[-1])
        kernel += end - middle
        whole += end - begin
        if keep:
            kept.append((batch.values.copy(), batch.valid.copy()))
    values = [np.concatenate([part[k] for part in kept], axis=1) for k in (0, 1)] if keep else None
    return kernel, whole, values


def run_single(engine: FeatureEngine, stream: Stream, start: int, count: int) -> tuple[float, float, float]:
    """Events a CPU-second, and p50 and p99 in µs, one event a call over bound columns."""
    state, cpu = engine.parts[0].state, 0.0
    times = np.zeros(count, np.int64)
    clock = time.perf_counter_ns
    for base in range(start, start + count, BATCH):
        size = min(BATCH, start + count - base)
        stamps = stream.stamps(base, base + size)
        batch = engine.bind(stream.frame(base, base + size), stamps)
        d, out = state.d, base - start
        begin = time.process_time()
        for i in range(size):
            before = clock()
            done = run(d, i, i + 1)
            while done <= i:
                state.make_room()
                done = run(d, i, i + 1)
            times[out + i] = clock() - before
        cpu += time.process_time() - begin
        engine._last_seq, engine._now = int(stamps.seq[-1]), int(stamps.as_of[-1])
        del batch
    return count / cpu, float(np.percentile(times, 50)) / 1e3, float(np.percentile(times, 99)) / 1e3


def as_numbers(values: npt.NDArray[np.int64], valid: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.float64]]:
    """Each feature's values as doubles, NaN for null (all are far under 2^53)."""
    out = []
    for number, one in enumerate(FEATURES):
        row = np.ascontiguousarray(values[number])
        numbers = row.view(np.float64) if one.kind is Kind.FLOAT else row.astype(np.float64)
        out.append(np.where(valid[number] != 0, numbers, np.nan))
    return out


def mismatches(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> int:
    return int((~np.isclose(a, b, rtol=1e-9, atol=0, equal_nan=True)).sum())


def run_python(stream: Stream, count: int, ours: list[npt.NDArray[np.float64]]) -> tuple[float, int]:
    oracle = PythonOracle()
    lists = {name: column[:count].tolist() for name, column in stream.columns.items()}
    begin = time.process_time()
    rows = []
    stamps = zip(stream.as_of[:count].tolist(), stream.time[:count].tolist(), stream.late[:count].tolist(), strict=True)
    for i, (as_of, when, late) in enumerate(stamps):
        rows.append(oracle.step(as_of, when, bool(late), {name: column[i] for name, column in lists.items()}))
    spent = time.process_time() - begin
    found = np.array([[np.nan if v is None else v for v in row] for row in rows], dtype=np.float64).T
    return count / spent, sum(mismatches(found[k], ours[k][:count]) for k in range(len(FEATURES)))


def table_of(stream: Stream, count: int) -> tuple[pl.DataFrame, int]:
    order, factor = unique_order(stream.as_of[:count])
    columns = {name: column[:count] for name, column in stream.columns.items()}
    columns["failed"] = columns["failed"].astype(np.bool_)
    return pl.DataFrame({"o": order, "late": stream.late[:count], **columns}), factor


def run_polars(stream: Stream, count: int, ours: list[npt.NDArray[np.float64]]) -> tuple[float, int]:
    """The counts and sums (Polars has no rolling distinct)."""
    table, factor = table_of(stream, count)
    table = table.with_columns(t=pl.col("o") // factor)
    expressions = []
    for one in FEATURES:
        if one.operation in ("count", "sum"):
            condition = pl.col("late") == 0
            if one.where:
                condition &= pl.col(one.where)
            amount = pl.lit(1) if one.operation == "count" else pl.col(str(one.value))
            amount = pl.when(condition).then(amount).otherwise(0)
            # Over the unique key the oldest microsecond of the window may be cut short: windows grow to whole ones,
            # which is exact where no row of the key stands at that very microsecond (checked below).
            window = f"{(one.window_s or 0) * US * factor}i"
            expressions.append(amount.rolling_sum_by("o", window, closed="right").over(one.key[0]).alias(one.id))
    begin = time.process_time()
    found = table.select(expressions)
    spent = time.process_time() - begin
    wrong = sum(
        mismatches(found[one.id].to_numpy().astype(np.float64), ours[k][:count])
        for k, one in enumerate(FEATURES)
        if one.operation in ("count", "sum")
    )
    return count / spent, wrong


def run_duckdb(stream: Stream, count: int, ours: list[npt.NDArray[np.float64]]) -> tuple[float, int]:
    table, factor = table_of(stream, count)
    arrow = table.to_arrow()
    connection = duckdb.connect()
    connection.execute("SET threads = 1")
    connection.register("rows", arrow)
    begin = time.process_time()
    found = connection.execute(duckdb_sql("rows", factor)).fetchnumpy()
    spent = time.process_time() - begin
    wrong = 0
    for k, one in enumerate(FEATURES):
        if one.operation != "gap":
            wrong += mismatches(np.asarray(found[one.id], dtype=np.float64), ours[k][:count])
    return count / spent, wrong


def sketch_error(stream: Stream, count: int, exact: list[npt.NDArray[np.float64]]) -> tuple[float, float, int]:
    """With the cap on: root mean square and largest relative error of sketched counts, and how many there were."""
    engine = new_engine(cap=512)
    _, _, kept = run_batches(engine, stream, count, keep=True)
    capped = as_numbers(kept[0], kept[1])
    errors = []
    for k, one in enumerate(FEATURES):
        if one.operation == "distinct":
            over = exact[k][:count] > 512
            errors.append(capped[k][over] / exact[k][:count][over] - 1.0)
    joined = np.concatenate(errors)
    if not len(joined):
        return 0.0, 0.0, 0
    return float(np.sqrt(np.mean(joined**2))), float(np.abs(joined).max()), len(joined)


BUCKETED = tuple(
    FeatureDefinition(f"{key}.{operation}_{name}", operation, (key,), DAY, value=value, largest=2e9, **more)
    for key in ("account", "ip")
    for operation, value in (("count", None), ("sum", "size_bytes"))
    for name, more in (
        ("exact", {}),
        ("whole", {"bucket_s": HOUR}),
        ("half", {"bucket_s": HOUR, "oldest_bucket": "half"}),
    )
)
LEAST_EVENTS = 10
"""Relative errors are taken where the exact window holds this many events: of one or two any error is large."""


def bucket_errors(stream: Stream, count: int) -> dict[str, float]:
    """Windows of 24 hours in buckets of an hour against exact ones: p99 of the relative error, and the mean error
    (does it lean to one side), over all events from hour 25 on whose exact window holds `LEAST_EVENTS`."""
    _, _, kept = run_batches(new_engine(definitions=BUCKETED), stream, count, keep=True)
    full = stream.as_of[:count] >= stream.as_of[0] + (DAY + HOUR) * US  # before, there is no oldest bucket
    rows = {one.id: kept[0][k][full].astype(np.float64) for k, one in enumerate(BUCKETED)}
    found: dict[str, float] = {}
    for operation in ("count", "sum"):
        for name in ("whole", "half"):
            errors = []
            for key in ("account", "ip"):
                enough = rows[f"{key}.count_exact"] >= LEAST_EVENTS
                exact = rows[f"{key}.{operation}_exact"][enough]
                errors.append(rows[f"{key}.{operation}_{name}"][enough] / exact - 1.0)
            joined = np.concatenate(errors)
            found[f"bucket_{name}_{operation}_p99_error"] = round(float(np.percentile(np.abs(joined), 99)), 4)
            found[f"bucket_{name}_{operation}_mean_error"] = round(float(joined.mean()), 4)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", type=Path, default=None)
    parser.add_argument("--dump", type=Path, default=None)
    quick = parser.parse_args().quick
    count = 400_000 if quick else 2_000_000
    sample = 30_000 if quick else 150_000
    new_engine().warm()
    stream = make_stream(count)
    check = max(sample, count // 5)
    _, _, kept = run_batches(new_engine(), stream, check, keep=True)
    ours = as_numbers(kept[0], kept[1])
    engine = new_engine()
    half = count - min(count // 4, 200_000)
    kernel, whole, _ = run_batches(engine, stream, half)
    sizes = engine.sizes()
    single, p50, p99 = run_single(engine, stream, half, count - half)
    python, wrong_python = run_python(stream, sample, ours)
    polars, wrong_polars = run_polars(stream, check, ours)
    duck, wrong_duck = run_duckdb(stream, sample // 2, ours)
    rms, worst, sketched = sketch_error(stream, check, ours)
    run_pack(IDENTITY, 5_000)
    pack, pack_whole = min(run_pack(IDENTITY, count) for _ in range(3))
    key_bytes = sizes["key_bytes"] / max(sizes["keys"], 1)
    figures = {
        "batch_events_per_cpu_s": round(half / kernel),
        "batch_with_binding_events_per_cpu_s": round(half / whole),
        "single_events_per_cpu_s": round(single),
        "single_p50_us": round(p50, 2),
        "single_p99_us": round(p99, 2),
        "oracle_mismatches": wrong_python + wrong_duck,
        "state_bytes_per_key": round(key_bytes, 1),
        "state_bytes_per_pair": round(sizes["pair_bytes"] / max(sizes["pairs"], 1), 1),
        "state_bytes_per_live_event": round(sizes["log_bytes"] / max(sizes["log_events"], 1), 1),
        "log_record_bytes": sizes["log_record_bytes"],
        "keys": sizes["keys"],
        "pairs": sizes["pairs"],
        "live_events": sizes["log_events"],
        "sketch_rms_error": round(rms, 4),
        "sketch_worst_error": round(worst, 4),
        "sketched_values": sketched,
        "pack45_us_per_event": round(pack, 2),
        "pack45_with_binding_us_per_event": round(pack_whole, 2),
        **bucket_errors(stream, count),
    }
    baselines = {
        "python_events_per_cpu_s": round(python),
        "polars_events_per_cpu_s": round(polars),
        "polars_mismatches": wrong_polars,
        "duckdb_events_per_cpu_s": round(duck),
        "duckdb_mismatches": wrong_duck,
        "sketch_standard_error": round(SKETCH_ERROR, 4),
    }
    for name, number in [*figures.items(), *baselines.items()]:
        print(f"{name:40} {number:>14,}")
    print(json.dumps({"benchmark": "features", "quick": quick, "figures": figures, "baselines": baselines}))


if __name__ == "__main__":
    main()
