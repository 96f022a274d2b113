"""Lockstep groups in StarScout's timed stars, without labels, against the same table dealt anew.

Every row of that file is a star by an account of a list of suspected fakes, so there is no precision to measure: what
is measured is how many accounts are grouped, and how many are when accounts and times are dealt anew over the rows
(each account keeps how often it starred, each repository how often it was starred). The null says that nothing is
grouped by chance; it does not say that a group is bought, and an honest crowd that comes in a day (a front page) would
be grouped as well. Groups by the longest burst allowed are shown, for a month is a weaker claim than an hour. Baseline:
repositories with three stars within one calendar week, no test.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
from scipy.stats import beta

from shoal.coordination.coaction import LockstepSettings, actions, lockstep, null_of

Figures = dict[str, float | None]
HOUR_S, DAY_S = 3_600, 86_400
LADDER = {
    "an hour": (HOUR_S,), "a day": (HOUR_S, DAY_S), "a week": (HOUR_S, DAY_S, 7 * DAY_S),
    "a month": (HOUR_S, DAY_S, 7 * DAY_S, 30 * DAY_S),
}  # fmt: skip
GOALS = {"starscout_grouped": "≥ .5", "starscout_null_grouped": "≤ .01"}


def stars(path: Path) -> pa.Table:
    """The stars as actions."""
    told = pl.read_parquet(path)
    codes = [told[name].rank("dense").cast(pl.Int64).to_numpy() for name in ("account", "repository")]
    return actions(codes[0], codes[1], told["time"].dt.timestamp("us").to_numpy())


def weekly(events: pa.Table) -> float:
    """Share of accounts with a star in a repository that three accounts starred in one calendar week."""
    told = pl.from_arrow(events)
    assert isinstance(told, pl.DataFrame)
    week = told.group_by("object", pl.col("time") // (7 * DAY_S * 1_000_000)).agg("account")
    hit = week.filter(pl.col("account").list.n_unique() >= 3)["account"].explode().n_unique()
    return hit / told["account"].n_unique()


def measure(quick: bool, data: Path, dump: Path | None = None) -> tuple[Figures, Figures]:
    """Figures and baselines of the JSON; null where the data is absent."""
    path, seeds = data / "graphs" / "starscout_stars.parquet", 10 if quick else 100
    names = ("starscout_grouped", "starscout_null_grouped", "starscout_null_grouped_high", "starscout_groups")
    if not path.is_file():
        print(f"no {path}: the figures of lockstep are null")
        return dict.fromkeys(names), dict.fromkeys(("weekly_grouped", "weekly_null_grouped"))
    events = stars(path)
    start = time.process_time()
    found = lockstep(events)
    seconds = time.process_time() - start
    dealt = [null_of(events, seed, times=True) for seed in range(seeds)]
    null = [lockstep(one).share for one in dealt]
    any_ = sum(share > 0 for share in null)
    high = float(beta.ppf(0.95, any_ + 1, seeds - any_))
    print(f"\n## StarScout: {events.num_rows:,} stars, {found.accounts:,} accounts; {seeds} tables dealt anew\n")
    print(f"{'bursts of at most':20}{'grouped':>9}{'bursts alone':>14}{'dealt anew':>12}{'groups':>8}")
    for name, windows in LADDER.items():
        one, alone = (
            lockstep(events, LockstepSettings(windows)),
            lockstep(events, LockstepSettings(windows, pairs=None)),
        )
        by_chance = np.mean([lockstep(table, LockstepSettings(windows)).share for table in dealt[:5]])
        print(f"{name:20}{one.share:9.4f}{alone.share:14.4f}{by_chance:12.5f}{len(one.groups):8}")
    sizes = [len(group.accounts) for group in found.groups]
    print(f"\ndefault (a week, false-discovery rate .01): {found.share:.4f} grouped in {len(sizes)} groups (largest "
          f"{sizes[0]}, median {np.median(sizes):.0f}) in {seconds:.2f} CPU s; dealt anew {np.mean(null):.5f}, at most "
          f"{max(null):.5f} in one table; any group: {any_} of {seeds} (95 %: at most a share of {high:.3f})"
    )  # fmt: skip
    if dump is not None:
        dump.mkdir(parents=True, exist_ok=True)
        rows = [(int(account), i, group.p) for i, group in enumerate(found.groups) for account in group.accounts]
        pl.DataFrame(rows, ["account", "group", "p"], orient="row").write_parquet(dump / "graph.lockstep.parquet")
    figures: Figures = {
        "starscout_grouped": found.share, "starscout_null_grouped": float(np.mean(null)),
        "starscout_null_grouped_high": max(null), "starscout_groups": float(len(sizes)),
    }  # fmt: skip
    baselines: Figures = {
        "weekly_grouped": weekly(events), "weekly_null_grouped": float(np.mean([weekly(one) for one in dealt[:10]])),
    }  # fmt: skip
    print(f"three stars in a calendar week, no test: {baselines['weekly_grouped']:.4f} grouped, dealt anew "
          f"{baselines['weekly_null_grouped']:.4f}")  # fmt: skip
    return figures, baselines


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10 tables dealt anew instead of 100")
    parser.add_argument("--data", default="../shared/data", help="folder of the real data")
    parser.add_argument("--dump", default="", help="folder for accounts and their groups (codes, not names)")
    options = parser.parse_args()
    figures, baselines = measure(options.quick, Path(options.data), Path(options.dump) if options.dump else None)
    for key, goal in GOALS.items():
        print(f"{key} {figures[key]}  goal {goal}")
    print(json.dumps({
        "benchmark": "graph_lockstep", "quick": options.quick, "figures": figures, "baselines": baselines,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
