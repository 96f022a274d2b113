"""Stuffing and spraying by segment: the smallest campaign that is found, at one false campaign a month.

The **limit curve**: campaigns of six spreads (`benchmarks/worlds/segments-limit.yaml`), thinned to so many attempts an
hour, against a service with some 100 honest logins an hour, for three days; the limit is the rate from which on nine of
ten campaigns are found. False campaigns are counted on months of honest logins with incidents
(`segments-honest.yaml`) and on the shipped honest scenarios. Members, hours to detection and honest people touched are
told on the shipped attack scenarios. The signal runs with its defaults, chosen on seeds 100 to 109; what is reported is
of seeds from 200 on. Baselines (`segments_rules.py`) get the lowest threshold with one false campaign a month on the
seeds of development. `python -m benchmarks.segments [--quick] [--dump DIR] [--plot FILE]`
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from scipy.stats import chi2
from sklearn.metrics import roc_auc_score

from benchmarks.segments_rules import RULES, Scored, campaigns, threshold_of
from benchmarks.segments_world import HOUR_US, WORLDS, Logins, columns_of, new_signal, read_world
from shoal.learn.intervals import Share
from shoal.reports.plots import CYCLE, GRID, INK, MARKERS, QUIET, STYLES
from shoal.simulate import Scenario, builtin_scenario, read_scenario

HONEST_SCENARIOS = (
    "ordinary-week", "quiet", "service-incident", "holiday", "office-move", "renumbering", "product-launch",
    "press-article",
)  # fmt: skip
ATTACK_SCENARIOS = ("stuffing-few", "stuffing-distributed", "spraying")
SHARES = (0.004, 0.006, 0.008, 0.01, 0.015, 0.02, 0.03, 0.06, 0.15, 0.5)
QUICK_SHARES = (0.005, 0.01, 0.03, 0.2)
FOUND = 0.9
SIGNAL = "signal"
SIZES = (2_000, 32_000)
SPRAY_PER_H = 95.0
"""Attempts an hour of the whole spraying campaign: members of the organisations chosen, three rounds (measured)."""


@dataclasses.dataclass
class Asked:
    """How much is done."""

    quick: bool
    develop: range
    report: range
    draws: int
    shares: Sequence[float]

    @classmethod
    def of(cls, quick: bool) -> Asked:
        """`--quick` or all."""
        if quick:
            return cls(True, range(100, 101), range(200, 201), 1, QUICK_SHARES)
        return cls(False, range(100, 106), range(200, 204), 2, SHARES)


def honest(logins: Logins) -> Logins:
    """The world without its attacks."""
    return logins.some(logins.attack == 0)


def count_false(asked: Asked, figures: dict[str, Any], baselines: dict[str, Any]) -> dict[str, float]:
    """False campaigns a month, of the signal and of each rule; the rules' thresholds."""
    scenario = read_scenario(WORLDS / "segments-honest.yaml")
    develop = [honest(read_world(scenario, seed)) for seed in asked.develop]
    months = len(develop) * scenario.days / 30
    thresholds = {name: threshold_of([(rule(world), world.time) for world in develop], months)
                  for name, rule in RULES.items()}  # fmt: skip
    opened, highest, days, seen = 0, -99.0, 0, 0
    false = dict.fromkeys(RULES, 0)
    for seed in asked.report:
        world = honest(read_world(scenario, seed))
        found, evidence = signal_on_honest(world)
        print(f"  {scenario.name} seed {seed}: {int(world.succeeded.sum()):,} logins, {found} false campaigns,"
              f" highest evidence {evidence:+.1f} (0 opens one)")  # fmt: skip
        opened, highest, days = opened + found, max(highest, evidence), days + scenario.days
        seen += int(world.succeeded.sum())
        for name, rule in RULES.items():
            false[name] += campaigns(rule(world), world.time, thresholds[name])
    figures["false_campaigns_per_month"] = round(opened / (days / 30), 3)
    figures["false_campaigns_upper"] = round(float(chi2.ppf(0.95, 2 * opened + 2)) / 2 / (days / 30), 3)
    figures["honest_highest_log_e"] = round(highest, 2)
    figures["honest_logins_per_h"] = round(seen / (days * 24), 1)
    for name, number in false.items():
        baselines[f"{name}_threshold"] = round(thresholds[name], 4)
        baselines[f"{name}_false_per_month"] = round(number / (days / 30), 3)
        print(f"  {name:<16} threshold {thresholds[name]:8.3f}, {number / (days / 30):.2f} false campaigns a month")
    others, evidence = 0, -99.0
    for name in HONEST_SCENARIOS[: 2 if asked.quick else None]:
        for seed in asked.report:
            found, high = signal_on_honest(honest(read_world(builtin_scenario(name), seed)))
            others, evidence = others + found, max(evidence, high)
    figures["false_campaigns_shipped"], figures["shipped_highest_log_e"] = others, round(evidence, 2)
    print(f"  shipped honest scenarios: {others} false campaigns, highest evidence {evidence:+.1f}")
    return thresholds


def signal_on_honest(world: Logins) -> tuple[int, float]:
    """Campaigns opened, and the highest evidence."""
    signal = new_signal()
    out = columns_of(world, signal)
    return int(signal.snapshot()["figures"][-1]), float(np.nanmax(out["log_e"]))


def first_alarm(name: str, world: Logins, thresholds: dict[str, float]) -> float | None:
    """Hours from a campaign's first attempt to the first of its attempts that is known for one."""
    bad = world.attack > 0
    begun = int(world.time[bad][0])
    if name == SIGNAL:
        hit = bad & (columns_of(world, new_signal())["in_campaign"] == 1)
    else:
        scored: Scored = RULES[name](world)
        hit = np.zeros(len(world), bool)
        hit[scored.rows[scored.score >= thresholds[name]]] = True
        hit &= bad
    return float(world.time[hit][0] - begun) / HOUR_US if hit.any() else None


def limits(
    scenario: Scenario, asked: Asked, thresholds: dict[str, float], attacks: Sequence[str] = (),
    methods: Sequence[str] = (SIGNAL, *RULES),
) -> dict[tuple[str, str], dict[float, list[float | None]]]:  # fmt: skip
    """Hours to detection of each (attack, method) at each rate an hour; None where it was not found."""
    out: dict[tuple[str, str], dict[float, list[float | None]]] = {}
    for seed in asked.report:
        world = read_world(scenario, seed)
        for attack in attacks or world.attacks:
            for share in asked.shares:
                for draw in range(asked.draws):
                    one = world.campaign(attack, share, seed * 100 + draw)
                    if not (one.attack > 0).any():
                        continue
                    for method in methods:
                        cell = out.setdefault((attack, method), {}).setdefault(share, [])
                        cell.append(first_alarm(method, one, thresholds))
    return out


def limit_of(cells: dict[float, list[float | None]]) -> float | None:
    """The lowest share from which on all have nine of ten campaigns found."""
    best = None
    for share in sorted(cells, reverse=True):
        found = [value is not None for value in cells[share]]
        if np.mean(found) < FOUND:
            break
        best = share
    return best


def members(asked: Asked, dump: str, figures: dict[str, Any]) -> None:
    """Precision and recall of attempts, detection and honest people touched, on the shipped attack scenarios."""
    print("Members on shipped scenarios (probability of half or more; successes: in a campaign), all seeds together:")
    table: dict[str, list[npt.NDArray[Any]]] = {}
    for name in ATTACK_SCENARIOS:
        scenario = builtin_scenario(name)
        found: dict[str, list[float]] = {attack.id: [] for attack in scenario.adversaries}
        sums: dict[str, npt.NDArray[np.int64]] = {attack.id: np.zeros(5, np.int64) for attack in scenario.adversaries}
        honest_hits = touched = near = people_weeks = 0.0
        wins_odds, wins_bad = list[npt.NDArray[np.float64]](), list[npt.NDArray[np.bool_]]()
        for seed in asked.report:
            world = read_world(scenario, seed)
            out = columns_of(world, new_signal())
            tried = world.failed | world.succeeded
            likely, inside = out["probability"] >= 0.5, out["in_campaign"] == 1
            good = tried & (world.attack == 0)
            honest_hits += int((likely & good & world.failed).sum())
            touched += len(np.unique(world.column("account")[likely & good]))
            near += len(np.unique(world.column("account")[inside & good]))
            lucky = world.succeeded & (out["known"] == 0)
            wins_odds.append(out["probability"][lucky])
            wins_bad.append(world.attack[lucky] > 0)
            people_weeks += scenario.population.accounts * scenario.days / 7
            for number, attack in enumerate(world.attacks, 1):
                bad = world.attack == number
                alone = first_alarm(SIGNAL, world.campaign(attack, 1.0, 0), {})
                found[attack].append(np.inf if alone is None else alone)
                upto = world.time[bad][0] + found[attack][-1] * HOUR_US
                sums[attack] += [
                    (bad & world.failed & likely).sum(), (bad & world.failed).sum(),
                    (bad & world.succeeded & inside).sum(), (bad & world.succeeded).sum(),
                    (bad & tried & (world.time < upto)).sum(),
                ]  # fmt: skip
            keep(table, name, seed, world, out, tried)
        hits = sum(int(row[0]) for row in sums.values())
        precision = Share(hits, hits + int(honest_hits))
        figures[f"{key(name)}_precision"] = round(precision.value or 0.0, 4)
        figures[f"{key(name)}_honest_touched_per_10k_week"] = round(touched / people_weeks * 1e4, 1)
        figures[f"{key(name)}_honest_in_campaign_per_10k_week"] = round(near / people_weeks * 1e4, 1)
        auc = float(roc_auc_score(np.concatenate(wins_bad), np.concatenate(wins_odds)))
        figures[f"{key(name)}_success_auc"] = round(auc, 4)
        print(f"  {name}: precision of failed attempts {precision.value or 0:.4f} ({precision.wilson()});"
              f" AUC of strangers' successes {auc:.3f}")  # fmt: skip
        print("    honest accounts of 10,000 a week with a login at half or more:"
              f" {touched / people_weeks * 1e4:.1f}, in a campaign: {near / people_weeks * 1e4:.1f}")  # fmt: skip
        for attack, (caught, total, won, wins, before) in sums.items():
            recall = Share(int(caught), int(total))
            hours = float(np.median(found[attack]))
            figures[f"{key(name)}_{key(attack)}_recall"] = round(recall.value or 0.0, 4)
            figures[f"{key(name)}_{key(attack)}_hours"] = round(hours, 3) if np.isfinite(hours) else None
            print(f"    {attack:<14} recall {recall.value or 0:.3f} ({recall.wilson()}), successes {won} of {wins},"
                  f" alone found after {hours:.2f} h and {before / len(asked.report):.0f} attempts")  # fmt: skip
    if dump:
        Path(dump).mkdir(parents=True, exist_ok=True)
        columns = {name: np.concatenate(parts) for name, parts in table.items()}
        pq.write_table(pa.table(columns), Path(dump) / "segments.members.parquet")


def keep(
    table: dict[str, list[npt.NDArray[Any]]], name: str, seed: int, world: Logins,
    out: dict[str, npt.NDArray[np.float64]], tried: npt.NDArray[np.bool_],
) -> None:  # fmt: skip
    """Predictions of one world, for `--dump`; the baseline's score is accounts failed from the address in an hour."""
    scored = RULES["address_1h"](world)
    count = np.zeros(len(world))
    count[scored.rows] = scored.score
    for column, values in {
        "id": world.event.astype(str), "split": np.full(len(world), f"{name}/{seed}"),
        "label": (world.attack > 0).astype(np.int64), "failed": world.failed.astype(np.int64),
        "score": out["probability"], "in_campaign": out["in_campaign"], "log_e": out["log_e"], "address_1h": count,
    }.items():  # fmt: skip
        table.setdefault(column, []).append(values[tried])


def key(name: str) -> str:
    """A name as part of a key."""
    return name.replace("-", "_")


def speed(asked: Asked, figures: dict[str, Any]) -> None:
    """Logins a CPU-second, conditions included, in batches of 4,096."""
    world = read_world(read_scenario(WORLDS / "segments-limit.yaml"), asked.report[0])
    logins = world.some(world.failed | world.succeeded)
    columns_of(logins, new_signal(), 4096)
    begun = time.process_time()
    columns_of(logins, new_signal(), 4096)
    figures["logins_per_cpu_s"] = round(len(logins) / (time.process_time() - begun))
    print(f"  {figures['logins_per_cpu_s']:,} logins per CPU-second ({len(logins):,} logins, half of them attacks')")


def show_limits(
    cells: dict[tuple[str, str], dict[float, list[float | None]]], scenario: Scenario, figures: dict[str, Any],
    baselines: dict[str, Any],
) -> None:  # fmt: skip
    """Print the curve and enter the limits."""
    print(f"\nLimit: attempts an hour from which on {FOUND:.0%} of campaigns are found within their three days")
    attacks = list(dict.fromkeys(attack for attack, _ in cells))
    print(f"  {'':<14}" + "".join(f"{method:>16}" for method in (SIGNAL, *RULES)))
    for attack in attacks:
        line = f"  {attack:<14}"
        for method in (SIGNAL, *RULES):
            share = limit_of(cells[attack, method])
            value = None if share is None else round(share * rate_of(scenario, attack), 3)
            place = figures if method == SIGNAL else baselines
            place[f"limit_{key(attack)}_per_h" if method == SIGNAL else f"{method}_limit_{key(attack)}_per_h"] = value
            line += f"{'none' if value is None else f'{value:.2f}':>16}"
        print(line)
    for attack in attacks:
        texts = []
        for share, hours in sorted(cells[attack, SIGNAL].items()):
            found = [hour for hour in hours if hour is not None]
            after = f"{np.median(found):.1f} h" if found else "-"
            texts.append(f"{share * rate_of(scenario, attack):.2f}: {len(found)} of {len(hours)} {after}")
        print(f"  {attack}: found, and the median of hours, by attempts an hour:", "; ".join(texts))


def rate_of(scenario: Scenario, attack: str) -> float:
    """Attempts an hour of a whole campaign."""
    spec = next(a for a in scenario.adversaries if a.id == attack)
    return float(spec.attempts / (spec.days * 24)) if attack != "spray" else SPRAY_PER_H


def plot(
    cells: dict[tuple[str, str], dict[float, list[float | None]]], scenario: Scenario, path: Path, honest_rate: float
) -> None:
    """The share of campaigns found by attempts an hour: the signal by spread, and the best rule for each."""
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "shoal", "font.size": 9.5, "text.color": INK,
                                "axes.spines.top": False, "axes.spines.right": False}):  # fmt: skip
        figure = Figure(figsize=(8.2, 6.4), layout="constrained")
        attacks = list(dict.fromkeys(attack for attack, _ in cells))
        for number, attack in enumerate(attacks):
            axes = figure.add_subplot(3, 2, number + 1)
            for order, method in enumerate((SIGNAL, "network_24h", "cusum_all", "ratio_asn_6h")):
                found = sorted(cells[attack, method].items())
                axes.plot(
                    [share * rate_of(scenario, attack) for share, _ in found],
                    [np.mean([hour is not None for hour in hours]) for _, hours in found],
                    STYLES[order], marker=MARKERS[order], markersize=4, color=CYCLE[order],
                    label=method.replace("_", " "), linewidth=2.2 if method == SIGNAL else 1.3,
                )  # fmt: skip
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.axvline(honest_rate, color=QUIET, linewidth=1, linestyle=":")
            axes.set_ylim(-0.03, 1.05)
            axes.grid(visible=True, color=GRID)
            axes.set_title(attack, fontsize=9.5, loc="left")
            axes.set_xlabel("attempts an hour (dotted: honest logins)" if number > 3 else "")
            axes.set_ylabel("campaigns found" if number % 2 == 0 else "")
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper left", ncols=4, frameon=False)
        figure.savefig(path, metadata={"Date": None, "Creator": None} if path.suffix == ".svg" else None)


def sizes(asked: Asked, thresholds: dict[str, float], figures: dict[str, Any]) -> None:
    """How the limit moves with the size of the service, for the plainest campaign and the most spread."""
    scenario = read_scenario(WORLDS / "segments-limit.yaml")
    some = dataclasses.replace(asked, report=asked.report[:2], draws=1, shares=SHARES[:8])
    if asked.quick:
        print("  null: limits of other sizes of the service take minutes (without --quick)")
        figures |= {f"limit_{attack}_{size}_accounts_per_h": None for size in SIZES for attack in ("machines", "homes")}
        return
    for accounts in SIZES:
        changed = dataclasses.replace(scenario, population=dataclasses.replace(scenario.population, accounts=accounts))
        for attack in ("machines", "homes"):
            cells = limits(changed, some, thresholds, (attack,), (SIGNAL,))
            share = limit_of(cells[attack, SIGNAL])
            value = None if share is None else round(share * rate_of(scenario, attack), 3)
            figures[f"limit_{attack}_{accounts}_accounts_per_h"] = value
            print(f"  a service of {accounts:,} accounts: {attack} from {value} attempts an hour on")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", help="not used: the worlds are simulated")
    parser.add_argument("--dump", default="")
    parser.add_argument("--plot", default="", help="write the limit curve as a picture (.svg, .png)")
    given = parser.parse_args()
    asked = Asked.of(given.quick)
    figures: dict[str, Any] = {}
    baselines: dict[str, Any] = {}
    scenario = read_scenario(WORLDS / "segments-limit.yaml")
    new_signal().warm()
    print("False campaigns on honest logins:", flush=True)
    thresholds = count_false(asked, figures, baselines)
    cells = limits(scenario, asked, thresholds)
    show_limits(cells, scenario, figures, baselines)
    sizes(asked, thresholds, figures)
    members(asked, given.dump, figures)
    speed(asked, figures)
    if given.plot:
        plot(cells, scenario, Path(given.plot), figures["honest_logins_per_h"])
    print(json.dumps({"benchmark": "segments", "quick": asked.quick, "figures": figures, "baselines": baselines}))


if __name__ == "__main__":
    main()
