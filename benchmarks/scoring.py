"""Benchmark `scoring`: a fitted model of 300 trees of 63 leaves over 60 inputs, one row and 4,096 rows.

Single: `Model.judge`, the call that the engine makes (raw sum, calibrated score and level into its own arrays), wall
time of each call, another row each time. Batch: `Model.raw` of 4,096 rows, process CPU time on one thread, the best of
some rounds. Baselines on the same rows in the same run: LightGBM through Python and through its fastest C call for one
row, and ONNX Runtime where it and a converter are installed (neither is a dependency). Reasons: µs a row, against
LightGBM's `pred_contrib`. `python -m benchmarks.scoring [--quick] [--data DIR] [--dump DIR]`.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib
import importlib.util
import json
import time
from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt

from shoal.detectors.models.metadata import (
    MODEL_FORMAT,
    MODEL_VERSION,
    Calibration,
    InputColumn,
    Level,
    Metadata,
    Origin,
)
from shoal.detectors.models.model import Model, write_model

Floats = npt.NDArray[np.float64]
TREES, LEAVES, INPUTS, ROWS = 300, 63, 60, 4_096
GOALS = {"single_p50_us": "≤ 15", "single_p99_us": "≤ 50", "rows_per_s": "≥ 60,000"}


def world(seed: int, n: int) -> tuple[Floats, Floats]:
    """Counts, amounts and flags with holes, and a label that a third of them tell."""
    chance = np.random.default_rng(seed)
    x = np.empty((n, INPUTS))
    for column in range(INPUTS):
        kinds = (chance.poisson(2.0, n), chance.normal(size=n), chance.random(n) < 0.3, chance.lognormal(3, 2, n))
        x[:, column] = kinds[column % 4]
    told = x[:, 1:INPUTS:4].sum(axis=1) * 0.4 + x[:, 0] * x[:, 2] * 0.3 + np.log1p(x[:, 3]) * 0.2 - 1.0
    y = (told + chance.normal(size=n) > 1.5).astype(np.float64)
    x[chance.random(x.shape) < 0.1] = np.nan
    return x, y


def model_of(booster: lightgbm.Booster) -> Model:
    """The booster as a model of ours, through its two files."""
    columns = [InputColumn(f"input_{i}", "float", "column", typical=0.0, high=9.0) for i in range(INPUTS)]
    calibration = Calibration("isotonic", np.linspace(-6, 6, 40).tolist(), np.linspace(0, 1, 40).tolist())
    levels = [Level("watch", 1.0, 50.0, 50.0, 40.0, 60.0), Level("restrict", 3.0, 1.0, 1.0, 0.5, 2.0)]
    metadata = Metadata(
        MODEL_FORMAT, MODEL_VERSION, "benchmark", "takeover", "2026-01-01T00:00:00+00:00", "0" * 16, "true", "account",
        ["hijacked"], columns, calibration, levels, Origin("synthetic", "1", "0", 0, 0, 0, 0, 0, 0, 0), {}, {}, [], [],
        {},
    )  # fmt: skip
    return Model.read(write_model(booster.model_to_string(), metadata), "benchmark")


def each_us(works: list[Callable[[int], object]], count: int) -> list[Floats]:
    """Wall µs of each of `count` calls of each work; they take turns by 1,000, so that all meet the same neighbours."""
    clock = time.perf_counter_ns
    times = [np.empty(count) for _ in works]
    for first in range(0, count, 1_000):
        for work, taken in zip(works, times, strict=True):
            for i in range(first, min(first + 1_000, count)):
                start = clock()
                work(i)
                taken[i] = clock() - start
    return [taken / 1_000.0 for taken in times]


def best_s(work: Callable[[], object], rounds: int) -> float:
    """CPU seconds of the best of some rounds."""
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best


def one_row_in_c(booster: lightgbm.Booster, x: Floats) -> Callable[[int], object]:
    """LightGBM's call made for one row at a time, without its Python layer."""
    lib: Any = importlib.import_module("lightgbm.basic")._LIB
    config, length, out = ctypes.c_void_p(), ctypes.c_int64(), np.empty(1)
    settings = ctypes.c_char_p(b"num_threads=1")
    handle: Any = booster._handle  # type: ignore[attr-defined,unused-ignore]
    raw, float64, all_trees = 1, 1, -1
    failed = lib.LGBM_BoosterPredictForMatSingleRowFastInit(
        handle, ctypes.c_int(raw), 0, all_trees, ctypes.c_int(float64), ctypes.c_int32(INPUTS), settings,
        ctypes.byref(config),
    )  # fmt: skip
    assert not failed
    rows = [row.ctypes.data_as(ctypes.c_void_p) for row in x]
    call, to, size = (
        lib.LGBM_BoosterPredictForMatSingleRowFast,
        out.ctypes.data_as(ctypes.c_void_p),
        ctypes.byref(length),
    )

    def work(i: int) -> object:
        call(config, rows[i], size, to)
        return out[0]

    return work


def onnx_session(booster: lightgbm.Booster) -> Any:
    """The booster in ONNX Runtime on one thread, or None where that or the converter is not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("onnxruntime", "onnxmltools")):
        return None
    runtime, tools = importlib.import_module("onnxruntime"), importlib.import_module("onnxmltools")
    types = importlib.import_module("onnxmltools.convert.common.data_types")
    shape = [("x", types.FloatTensorType([None, INPUTS]))]
    converted = tools.convert_lightgbm(booster, initial_types=shape, zipmap=False)
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return runtime.InferenceSession(converted.SerializeToString(), options, providers=["CPUExecutionProvider"])


def main() -> None:
    """Run and print; see BENCHMARKS.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--dump", default="")
    quick = parser.parse_args().quick
    calls, rounds = (3_000, 5) if quick else (20_000, 15)
    x, y = world(1, 20_000)
    settings = {"objective": "binary", "num_leaves": LEAVES, "learning_rate": 0.05, "num_threads": 1, "verbose": -1}
    fixed = {"deterministic": True, "force_row_wise": True, "max_bin": 255, "min_data_in_leaf": 20}
    booster = lightgbm.train(settings | fixed, lightgbm.Dataset(x, y), TREES)
    model = model_of(booster)
    model.warm()
    batch, singles = x[:ROWS].copy(), [x[i : i + 1] for i in range(len(x))]
    raw, score, level = np.empty(1), np.empty(1), np.empty(1, np.int64)
    in_c, session = one_row_in_c(booster, x), onnx_session(booster)
    small = [one.astype(np.float32) for one in singles[:calls]]
    works = [lambda i: model.judge(singles[i], raw, score, level), in_c]
    if session is not None:
        works.append(lambda i: session.run(None, {"x": small[i]}))
    ours, theirs, *waited = each_us(works, calls)
    (python,) = each_us([lambda i: booster.predict(singles[i], raw_score=True, num_threads=1)], calls // 10)
    mismatches = int((model.raw(x) != booster.predict(x, raw_score=True)).sum())
    few = batch[: 100 if quick else 400]
    figures: dict[str, float | None] = {
        "single_p50_us": float(np.percentile(ours, 50)),
        "single_p99_us": float(np.percentile(ours, 99)),
        "rows_per_s": ROWS / best_s(lambda: model.raw(batch), rounds),
        "rows_unlike_lightgbm": mismatches,
        "reasons_us": best_s(lambda: model.reasons(few), 3) / len(few) * 1e6,
    }
    baselines: dict[str, float | None] = {
        "lightgbm_c_single_p50_us": float(np.percentile(theirs, 50)),
        "lightgbm_c_single_p99_us": float(np.percentile(theirs, 99)),
        "lightgbm_python_single_p50_us": float(np.percentile(python, 50)),
        "lightgbm_rows_per_s": ROWS / best_s(lambda: booster.predict(batch, raw_score=True, num_threads=1), 3),
        "lightgbm_contrib_us": best_s(lambda: booster.predict(few, pred_contrib=True, num_threads=1), 1)
        / len(few)
        * 1e6,
        "onnx_single_p50_us": None,
        "onnx_single_p99_us": None,
        "onnx_rows_per_s": None,
    }
    if session is not None:
        narrow = batch.astype(np.float32)
        baselines["onnx_single_p50_us"] = float(np.percentile(waited[0], 50))
        baselines["onnx_single_p99_us"] = float(np.percentile(waited[0], 99))
        baselines["onnx_rows_per_s"] = ROWS / best_s(lambda: session.run(None, {"x": narrow}), rounds)
    else:
        print("ONNX Runtime or its converter is not installed: its figures are null")
    for name, value in (figures | baselines).items():
        shown = "-" if value is None else f"{value:,.1f}"
        print(f"{name:32} {shown:>12}  {GOALS.get(name, '')}")
    print(json.dumps({"benchmark": "scoring", "quick": quick, "figures": figures, "baselines": baselines}))


if __name__ == "__main__":
    main()
