"""What a pack changes in a world that reacts: harm prevented, owners bothered, adversaries' cost; and the loop's pace.

Three worlds of one scenario and seed: without a policy, with the shipped pack, with an oracle that reads the truth. The
baselines are the first and the last. `python -m benchmarks.closed_loop [--quick]`: `tiny`, without `--quick` also a
week of `fortnight` at a quarter of its size; the last line is one JSON object as BENCHMARKS.md says.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from shoal.runtime.judge.closed_loop import DAY_US, Loop, run_loop, unroll
from shoal.runtime.run import Progress
from shoal.simulate import Scenario, builtin_scenario
from shoal.simulate.react import ReactiveWorld

SILENT = Progress(lambda _: None, lambda _a, _b: None)


def week() -> Scenario:
    """Half of `fortnight` with a quarter of its people; attacks that begin later are left out."""
    whole = builtin_scenario("fortnight")
    return dataclasses.replace(
        whole,
        days=7,
        population=dataclasses.replace(whole.population, accounts=whole.population.accounts // 4),
        adversaries=tuple(a for a in whole.adversaries if a.start_day < 7),
        calendar=tuple(h for h in whole.calendar if h.day < 7),
    )


def shares(loop: Loop) -> dict[str, Any]:
    """Shares of harm prevented over all attacks, by the pack and by the oracle."""
    out: dict[str, Any] = {}
    for what in ("harmful", "bytes_taken", "visits"):
        before = sum(row[what]["open"] for row in loop.attacks())
        for run in ("policy", "oracle"):
            after = sum(row[what][run] for row in loop.attacks())
            out[f"{run}_{what}_prevented"] = round(1 - after / before, 4) if before else None
    return out


def pace(scenario: Scenario) -> float:
    """Events per CPU-second of a reacting world in steps, without anybody who acts."""
    begun = time.process_time()
    ledger = unroll(ReactiveWorld(scenario), round(scenario.reactions.step_min * 60e6), None, SILENT)
    stepped = ledger["events"] / (time.process_time() - begun)
    begun = time.process_time()
    unroll(ReactiveWorld(scenario), DAY_US, None, SILENT)
    print(
        f"  {stepped:,.0f} events per CPU-s in steps, {ledger['events'] / (time.process_time() - begun):,.0f} in days"
    )
    return float(stepped)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", help="not used: the world is simulated")
    parser.add_argument("--dump", help="not used: there are no predictions")
    quick = parser.parse_args().quick
    figures: dict[str, Any] = {}
    baselines: dict[str, Any] = {}
    for scenario in (builtin_scenario("tiny"),) if quick else (builtin_scenario("tiny"), week()):
        with tempfile.TemporaryDirectory() as folder:
            loop = run_loop(scenario, Path(folder), SILENT)
        found = shares(loop)
        owners = loop.policy["owners"]
        print(f"{loop.scenario}, seed {loop.seed}, pack {loop.pack}, {loop.policy['events']:,} events")
        for row in loop.attacks():
            print(f"  {row['attack']:<22}", *(f"{what} {row[what]['open']:,}→{row[what]['policy']:,}"
                  f" ({row[what]['oracle']:,})" for what in ("harmful", "visits", "victims")), row["cost"])  # fmt: skip
        figures |= {f"{loop.scenario}_{name}": value for name, value in found.items() if name.startswith("policy")}
        baselines |= {f"{loop.scenario}_{name}": value for name, value in found.items() if name.startswith("oracle")}
        figures[f"{loop.scenario}_bothered_per_10k_week"] = round(owners["bothered_per_10k_week"], 2)
        baselines[f"{loop.scenario}_oracle_bothered_per_10k_week"] = round(
            loop.oracle["owners"]["bothered_per_10k_week"], 2
        )
        figures[f"{loop.scenario}_seconds"] = round(loop.seconds, 1)
        figures[f"{loop.scenario}_world_events_per_cpu_s"] = round(pace(scenario))
    print(json.dumps({"benchmark": "closed_loop", "quick": quick, "figures": figures, "baselines": baselines}))


if __name__ == "__main__":
    main()
