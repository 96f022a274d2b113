"""All of coordination in one: graph, structure, co-action, sign-ups, and campaigns against the truth.

Each part is a benchmark of its own (`python -m benchmarks.coordination_NAME`) with its table and its baselines; here
they run as processes of their own (a part's memory and compiled kernels are not the next one's), two at a time in
`--quick`, and their figures come together under the names of the goals. `--part NAME` runs some only.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

PARTS = ("quality", "stream", "speed", "coaction", "signups", "graph")
GOALS = {
    "coaction_precision": "≥ .995", "coaction_recall": "≥ .90", "signup_precision": "≥ .97", "signup_recall": "≥ .85",
    "unit_auc_in_period": "≥ .99", "unit_auc_out_of_time": "≥ .97",
    "benign_groups_touched": "≤ .0005", "carrier_nat_touched": "≤ .0001",
    "cells3_precision_kept": "≥ .75", "cells20_precision_kept": "≥ .90", "unionfind_10m_s": "≤ .2",
    "unionfind_100m_s": "≤ 6", "communities_10m_s": "≤ 40", "coaction_10m_s": "≤ 15",
    "campaign_single_p99_us": "≤ 50", "stream_edges_per_cpu_s": "≥ 20,000,000", "graph_events_per_cpu_s": "≥ 1,000,000",
}  # fmt: skip


def run_part(name: str, arguments: list[str]) -> tuple[str, dict[str, Any]]:
    """Run one part; its whole output, and its line of JSON."""
    command = [sys.executable, "-m", f"benchmarks.coordination_{name}", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    lines = done.stdout.rstrip().splitlines()
    return "\n".join(lines[:-1]), json.loads(lines[-1])


def main() -> None:
    """Print every part's table, the goals, and the line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--dump", default="")
    parser.add_argument("--part", action="append", choices=PARTS)
    given = parser.parse_args()
    arguments = ["--quick"] if given.quick else []
    arguments += ["--data", given.data] + (["--dump", given.dump] if given.dump else [])
    figures: dict[str, float | None] = {}
    baselines: dict[str, float | None] = {}
    with ThreadPoolExecutor(2 if given.quick else 1) as pool:
        parts = given.part or PARTS
        for name, (text, told) in zip(parts, pool.map(lambda one: run_part(one, arguments), parts), strict=True):
            print(f"== {name}\n{text}\n", flush=True)
            figures.update(told["figures"])
            baselines.update(told["baselines"])
    for key, goal in GOALS.items():
        if key in figures:
            value = figures[key]
            print(f"{key:32} {'-' if value is None else f'{value:,.4g}':>14}  goal {goal}")
    print(json.dumps({"benchmark": "coordination", "quick": given.quick, "figures": figures, "baselines": baselines}))


if __name__ == "__main__":
    main()
