"""Node classification on real graphs: Tolokers, Bitcoin-OTC, StarScout.

Each task's page says what is used, why it is no leak, and what it is compared with (`graph_tolokers`, `graph_otc`,
`graph_starscout`). Lockstep groups and graph networks are measured by `graph_lockstep` and `graph_gnn` where these are
present. Masks of transductive protocols live here, never in the classifier.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
from pathlib import Path

from benchmarks import graph_otc, graph_starscout, graph_tolokers
from benchmarks.graph_protocol import Dump

Figures = dict[str, float | None]
OTHERS = {"graph_gnn": ("gnn_tolokers_auroc",), "graph_lockstep": ("starscout_grouped", "starscout_null_grouped")}
TASKS = {"tolokers": graph_tolokers, "otc": graph_otc, "starscout": graph_starscout}


def main() -> None:
    """Run and print; see the module's docstring."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one to two splits a task")
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--dump", default="")
    parser.add_argument("--only", choices=(*TASKS, *OTHERS), help="one task")
    options = parser.parse_args()
    figures: Figures = {}
    baselines: Figures = {}
    dump = Dump(Path(options.dump) if options.dump else None)
    for name, task in TASKS.items():
        if options.only in (None, name):
            more, others = task.measure(options.quick, Path(options.data), dump)
            figures |= more
            baselines |= others
    for name, keys in OTHERS.items():
        if options.only in (None, name):
            more, others = _other(name, keys, options.quick, Path(options.data))
            figures |= more
            baselines |= others
    dump.write()
    rounded = [{k: None if v is None else round(float(v), 5) for k, v in part.items()} for part in (figures, baselines)]
    print(json.dumps({"benchmark": "graph", "quick": options.quick, "figures": rounded[0], "baselines": rounded[1]}))


def _other(name: str, keys: tuple[str, ...], quick: bool, data: Path) -> tuple[Figures, Figures]:
    """Figures and baselines of a part that may be absent."""
    if importlib.util.find_spec(f"benchmarks.{name}") is None:
        print(f"benchmarks.{name} is not here: {', '.join(keys)} null")
        return dict.fromkeys(keys), {}
    figures, baselines = importlib.import_module(f"benchmarks.{name}").measure(quick, data)
    return figures, baselines


if __name__ == "__main__":
    main()
