"""Calibration of `entity_baseline` on honest accounts, and mass downloads among honest ones at equal honest cost.

A window is judged by its scores at its last event. Honest windows of days 7 and later tell how often a probability of
.001 occurs (interval: accounts resampled). An attacked account counts as found when one of its windows with five or
more stolen downloads scores above the threshold that touches a given share of honest account-days of the last week.
Baselines over the same windows: the plain count; its global z-score (logarithm, by part of the week, mean and spread of
all windows, future ones too); the account's own z-score over its earlier windows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.behaviour_play import DAY, bootstrap, frames_of, make, run, truth_of, world_of
from shoal.detectors.behaviour import EntityBaseline
from shoal.learn.intervals import Share

COSTS = {"1pct": 0.01, "03pct": 0.003, "01pct": 0.001}
SCORES = ("surprise", "self", "peers", "threshold", "global_z", "own_z")
BASELINES = ("threshold", "global_z", "own_z")
LEAST_STOLEN = 5


def windows_of(seed: int) -> pl.DataFrame:
    """One row a window of a world: its last scores, what it was, and the baselines' scores."""
    world = world_of("bursts", seed)
    table, frames = frames_of(world)
    scores, _ = run(make(EntityBaseline), frames)
    rows = pl.concat([table, scores], how="horizontal").join(truth_of(world), on="event_id", how="left")
    start = rows["time"].min()
    rows = rows.filter(pl.col("p_self").is_not_null() & (pl.col("type") == "file.downloaded")).sort("account", "row")
    begins = (pl.col("observed") <= pl.col("observed").shift(1).over("account")).fill_null(True)
    rows = rows.with_columns(begins.cast(pl.Int32).cum_sum().over("account").alias("window"))
    windows = rows.group_by("account", "window", maintain_order=True).agg(
        pl.col("as_of").first(), pl.col("p_self", "p_peers", "p_when", "surprise", "observed").last(),
        pl.col("harmful").fill_null(False).sum().alias("stolen"), pl.col("attack").drop_nulls().first(),
        pl.col("kind").drop_nulls().first(),
    )  # fmt: skip
    return baselines(windows.with_columns(((pl.col("as_of") - start) / DAY).alias("day"), pl.lit(seed).alias("seed")))


def baselines(windows: pl.DataFrame) -> pl.DataFrame:
    """Adds `self`, `peers` (-log10), `threshold`, `global_z`, `own_z`."""
    hour, weekday = (pl.col("as_of") // (DAY // 24)) % 24, (pl.col("as_of") // DAY + 3) % 7
    windows = windows.with_columns(
        pl.col("observed").log1p().alias("y"), (hour // 3 + 8 * (weekday >= 5).cast(pl.Int64)).alias("part"),
        (-pl.col("p_self").log10()).alias("self"), (-pl.col("p_peers").log10()).alias("peers"),
        pl.col("observed").alias("threshold"),
    )  # fmt: skip
    usual = windows.group_by("part").agg(pl.col("y").mean().alias("mean"), pl.col("y").std().alias("spread"))
    windows = windows.join(usual, on="part", how="left", maintain_order="left").with_columns(
        ((pl.col("y") - pl.col("mean")) / pl.col("spread").fill_null(1.0)).alias("global_z")
    )
    n = pl.col("y").cum_count().over("account") - 1
    total = pl.col("y").cum_sum().over("account") - pl.col("y")
    squares = (pl.col("y") ** 2).cum_sum().over("account") - pl.col("y") ** 2
    mean = total / n
    spread = ((squares / n - mean**2).clip(0.0) * n / (n - 1)).sqrt()
    own = (pl.col("y") - mean) / (spread + 0.25)  # without the quarter, accounts that never vary lead every list
    return windows.with_columns(pl.when(n >= 3).then(own).otherwise(pl.col("global_z")).alias("own_z"))


def calibration(windows: pl.DataFrame, rounds: int) -> dict[str, Any]:
    """Share of honest windows at or below .001, as a multiple of .001, with its interval."""
    honest = windows.filter((pl.col("stolen") == 0) & (pl.col("day") >= 7)).with_columns(
        (10.0 ** -pl.col("surprise")).alias("p_combined"),
        (pl.col("account") + pl.col("seed").cast(pl.String)).alias("who"),
    )
    print(f"Calibration: {len(honest):,} honest windows; the share at or below a probability, over the probability")
    figures: dict[str, Any] = {}
    for name in ("p_self", "p_peers", "p_when", "p_combined"):
        cells = [float((honest[name] <= level).mean() or 0.0) / level for level in (0.1, 0.01, 0.001, 0.0001)]  # type: ignore[arg-type]
        each = honest.group_by("who", maintain_order=True).agg(
            pl.len().alias("n"), (pl.col(name) <= 0.001).sum().alias("k")
        )
        low, high = bootstrap({"n": each["n"].to_numpy(), "k": each["k"].to_numpy()},
                              lambda n, k: k.sum() / n.sum(), rounds)  # fmt: skip
        figures[f"{name}_below_001"] = round(cells[2] * 0.001, 6)
        print(f"  {name:<12} .1: {cells[0]:.2f}  .01: {cells[1]:.2f}  .001: {cells[2]:.2f}"
              f" (95 %: {low / 0.001:.2f} to {high / 0.001:.2f})  .0001: {cells[3]:.2f}")  # fmt: skip
    return figures


def days_and_attacks(windows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The highest scores of each honest account-day of the last week, and of each attacked account."""
    highest = [pl.col(name).max() for name in SCORES]
    late = windows.filter(pl.col("day") >= 14)
    days = late.filter(pl.col("stolen") == 0).group_by(
        "seed", "account", pl.col("day").floor(), maintain_order=True).agg(*highest)  # fmt: skip
    stolen = late.filter((pl.col("stolen") >= LEAST_STOLEN) & pl.col("attack").is_not_null())
    return days, stolen.group_by("seed", "account", "attack", maintain_order=True).agg(*highest)


def detection(windows: pl.DataFrame, rounds: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Recall at equal honest cost, ours and the baselines'."""
    days, attacks = days_and_attacks(windows)
    print(f"Mass downloads: {len(attacks)} attacked accounts, {len(days):,} honest account-days")
    ours: dict[str, Any] = {}
    theirs: dict[str, Any] = {}
    for name in SCORES:
        cells = []
        for label, cost in COSTS.items():
            threshold = np.quantile(days[name].to_numpy(), 1 - cost, method="higher")
            hits = attacks.filter(pl.col(name) > threshold)
            share = Share(len(hits), len(attacks))
            (theirs if name in BASELINES else ours)[f"bursts_{name}_recall_{label}"] = round(share.value or 0.0, 4)
            cells.append(f"{label} {share.value or 0.0:.3f} ({share.wilson().low:.2f} to {share.wilson().high:.2f})")
            if cost == 0.003:
                by = attacks.group_by("attack").agg((pl.col(name) > threshold).mean()).sort("attack")
                each = ", ".join(f"{attack} {value:.2f}" for attack, value in by.iter_rows())
        print(f"  {name:<10}", "  ".join(cells), f"| at .3 %: {each}")
    for label, cost in COSTS.items():
        gain(attacks, days, label, cost, rounds)
    return ours, theirs


def gain(attacks: pl.DataFrame, days: pl.DataFrame, label: str, cost: float, rounds: int) -> None:
    """Print by how much `surprise` finds more than each baseline, attacked accounts resampled in pairs."""
    found = {}
    for name in ("surprise", *BASELINES):
        found[name] = attacks[name].to_numpy() > np.quantile(days[name].to_numpy(), 1 - cost, method="higher")
    cells = []
    for name in BASELINES:
        more = found["surprise"].astype(float) - found[name]
        low, high = bootstrap({"more": more}, lambda more: more.mean(), rounds)
        cells.append(f"{name} {more.mean():+.3f} ({low:+.3f} to {high:+.3f})")
    print(f"  surprise at {label:<5} against", ", ".join(cells))


def bursts(seeds: list[int], rounds: int, dump: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """All of this file over held-out seeds."""
    windows = pl.concat([windows_of(seed) for seed in seeds])
    figures = calibration(windows, rounds)
    ours, theirs = detection(windows, rounds)
    if dump:
        days, attacks = days_and_attacks(windows)
        whole = pl.concat([days.with_columns(pl.lit(0).alias("label")), attacks.with_columns(pl.lit(1).alias("label"))],
                          how="diagonal_relaxed")  # fmt: skip
        day = pl.col("day").cast(pl.String).fill_null("attack")
        named = whole.with_columns(
            pl.concat_str([pl.col("seed"), pl.col("account"), day], separator="/").alias("id"),
            pl.col("seed").cast(pl.String).alias("split"), pl.col("surprise").alias("score"),
        )  # fmt: skip
        named.drop("surprise", "day").write_parquet(Path(dump) / "behaviour.bursts.parquet")
    return figures | ours, theirs
