"""How fast the simulator makes events: from a scenario to Arrow tables, per CPU-second.

The baseline is a plain generator in the same run: people and sessions, one Python dict an event with the same columns,
gathered into Arrow tables of the same size. `python -m benchmarks.simulate [--quick]`; the last line is one JSON
object as BENCHMARKS.md says.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from shoal.events.schema import schema_of
from shoal.simulate import builtin_scenario, simulate, write_world
from shoal.simulate.catalogue import CLIENTS

GOAL = 200_000


def plain_events(accounts: int, events: int, seed: int) -> Iterator[dict[str, Any]]:
    """What one would write first: a loop over sessions, a dict an event."""
    rng = random.Random(seed)
    people = [
        {
            "account": f"u{rng.getrandbits(48):012x}",
            "ip": f"240.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(256)}",
            "device": f"d{rng.getrandbits(56):014x}",
            "user_agent": rng.choice(CLIENTS).agent,
            "lat": rng.uniform(-60, 60),
            "lon": rng.uniform(-180, 180),
        }
        for _ in range(accounts)
    ]
    now, made = 1_740_960_000_000_000, 0
    while made < events:
        who = rng.choice(people)
        session = f"s{rng.getrandbits(64):016x}"
        for kind in ["session.used", *rng.choices(["file.downloaded", "file.uploaded", "file.modified"], k=4)]:
            now += int(rng.expovariate(1e-5))
            row = {
                "event_id": f"e{rng.getrandbits(64):016x}", "source": "plain", "time": now,
                "received": now + int(rng.expovariate(5e-7)), "type": kind, "actor": who["account"], "session": session,
                "country": "DE", "asn": 4_200_000_001, "network_kind": "home", "client": "web", **who,
            }  # fmt: skip
            if kind != "session.used":
                row |= {
                    "owner": who["account"], "file": f"f{rng.getrandbits(60):015x}", "external": False,
                    "file_name": f"report{rng.randrange(100)}.pdf", "size_bytes": int(rng.lognormvariate(12, 1)),
                    "file_sha256": f"{rng.getrandbits(256):064x}",
                }  # fmt: skip
            yield row
            made += 1


def plain_tables(accounts: int, events: int, block_rows: int) -> Iterator[pa.Table]:
    """The plain generator's events as Arrow tables."""
    first = "event_id source time received type actor account owner session device ip file file_sha256 client"
    second = "user_agent file_name size_bytes external country lat lon asn network_kind"
    names = f"{first} {second}".split()
    schema = schema_of(names)
    rows: list[dict[str, Any]] = []
    for row in plain_events(accounts, events, 1):
        rows.append(row)
        if len(rows) == block_rows:
            yield pa.Table.from_pylist(rows, schema=schema)
            rows = []
    yield pa.Table.from_pylist(rows, schema=schema)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", help="not used: the simulator reads no data")
    parser.add_argument("--dump", help="not used: there are no predictions")
    quick = parser.parse_args().quick
    scenario = builtin_scenario("fortnight")
    scenario = dataclasses.replace(scenario, days=7 if quick else 14)
    late = [a for a in scenario.adversaries if a.start_day < scenario.days]
    soon = [h for h in scenario.calendar if h.day < scenario.days]
    scenario = dataclasses.replace(scenario, adversaries=tuple(late), calendar=tuple(soon))
    for _ in simulate(dataclasses.replace(builtin_scenario("tiny"))).blocks():
        pass
    rates = []
    build = events = 0.0
    for run in range(3):
        begun = time.process_time()
        world = simulate(scenario, seed=run)
        build = time.process_time() - begun
        events = float(sum(table.num_rows for table in world.blocks()))
        rates.append(events / (time.process_time() - begun))
    begun = time.process_time()
    size = 60_000 if quick else 300_000
    made = sum(table.num_rows for table in plain_tables(20_000, size, 65_536))
    plain = made / (time.process_time() - begun)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        manifest = write_world(simulate(scenario), Path(folder) / "world")
        written = manifest.lines / (time.process_time() - begun)
    rate = sorted(rates)[1]
    print(f"scenario {scenario.name}, {scenario.days} days, {events:,.0f} events, {len(late)} attacks")
    print(f"{'people, address plan, attacks':<42}{build:>12.2f} CPU-s (counted in the rates)")
    print(f"{'simulator to Arrow':<42}{rate:>12,.0f} events per CPU-s (median of {[f'{r:,.0f}' for r in rates]})")
    print(f"{'plain Python generator':<42}{plain:>12,.0f} events per CPU-s")
    print(f"{'simulator to NDJSON, labels and truth':<42}{written:>12,.0f} lines per CPU-s")
    print(f"goal {GOAL:,}: {'reached' if rate >= GOAL else 'missed'}")
    figures = {"events_per_s": round(rate), "written_lines_per_s": round(written), "events": round(events)}
    line = {
        "benchmark": "simulate", "quick": quick, "figures": figures,
        "baselines": {"plain_events_per_s": round(plain)},
    }  # fmt: skip
    print(json.dumps(line))


if __name__ == "__main__":
    main()
