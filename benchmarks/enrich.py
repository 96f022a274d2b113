"""Enrichment and facts: CPU-microseconds an event, against a plain row-by-row Python with caches in the same run."""

from __future__ import annotations

import argparse
import functools
import ipaddress
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shoal.enrich import Enricher, FactTable, read_table
from shoal.enrich.clients import read_client
from shoal.enrich.hosts import read_host
from shoal.enrich.hosts_kernel import url_hosts
from shoal.events.identity import Identity
from shoal.ranges import NamedList

AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS %d_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.1",
    "aws-cli/1.%d.1 Python/3.6",
)
FLOOD = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.%d.0 Safari/537.36",
    "Mozilla/5.0 (Linux; Android %d; SM-%d) AppleWebKit/537.36 Chrome/126.0 Mobile Safari/537.36",
    "zz%d yy/%d",
    "x%d (y%d) " + "ab/1.2 " * 60,
)
"""User agents never seen before, the last one as long and as slow as a hostile client can make it."""
TYPES = ("login.succeeded", "file.downloaded", "link.visited", "file.uploaded", "link.created", "file.modified")


def texts(chance: np.random.Generator, known: npt.NDArray[np.str_], size: int, null: float = 0.0) -> pa.Array:
    """`size` texts drawn evenly, some of them null."""
    return pa.array(known[chance.integers(0, len(known), size)], pa.string(), mask=chance.random(size) < null)


def world(chance: np.random.Generator, size: int) -> pa.Table:
    """Events of 100,000 accounts; addresses and clients repeat as on a real service, URLs do not."""
    octets = np.random.default_rng(3).integers(1, 224, (20_000, 4))
    addresses = np.array([".".join(map(str, row)) for row in octets])
    agents = np.array([agent % i for agent in AGENTS for i in range(60)])
    accounts = np.array([f"account-{i:06d}" for i in range(100_000)])
    urls = np.array([f"https://u{i % 500}.pages.dev/s/{i:x}" for i in chance.integers(0, 1 << 30, size)])
    who = texts(chance, accounts, size)
    return pa.table(
        {
            "time": pa.array(np.arange(size), pa.int64()),
            "type": pa.array(np.array(TYPES)[chance.choice(6, size, p=[0.3, 0.35, 0.2, 0.1, 0.03, 0.02])], pa.string()),
            "actor": who,
            "account": who,
            "ip": pa.array(addresses[np.minimum(chance.zipf(1.3, size), 20_000) - 1], pa.string()),
            "user_agent": texts(chance, agents, size),
            "url": pa.array(urls, pa.string(), mask=chance.random(size) < 0.8),
            "link": texts(chance, np.array([f"link-{i}" for i in range(50_000)]), size, 0.7),
            "file": texts(chance, np.array([f"file-{i}" for i in range(300_000)]), size, 0.5),
            "recipient": texts(chance, accounts, size, 0.9),
        }
    )


def ranges(folder: Path) -> Path:
    """A CSV of 57,088 ranges."""
    path = folder / "geo.csv"
    lines = ["cidr,country,asn,lat,lon,network_kind"]
    for a in range(1, 224):
        for b in range(256):
            kind = ("home", "vpn", "hosting")[b % 3]
            lines.append(f"{a}.{b}.0.0/16,{chr(65 + a % 26)}{chr(65 + b % 26)},{a * 256 + b},{a % 90},{b % 180},{kind}")
    path.write_text("\n".join(lines))
    return path


@functools.cache
def plain_network(ip: str) -> str:
    """The /24 of an IPv4 text."""
    return str(ipaddress.ip_network((ip, 24), strict=False))


plain_client, plain_host = functools.cache(read_client), functools.cache(read_host)


def plain_enrich(table: pa.Table) -> list[tuple[object, ...]]:
    """The baseline: row by row, each answer cached by Python (warm in the best round); no tables of ranges."""
    hosts = url_hosts(table.column("url")).to_pylist()
    rows = zip(table.column("ip").to_pylist(), table.column("user_agent").to_pylist(), hosts, strict=True)
    return [(plain_network(ip), *plain_client(agent), *(plain_host(name) if name else ())) for ip, agent, name in rows]


def cpu_us(work: Callable[[], object], events: int, rounds: int) -> float:
    """The best of some rounds, in CPU-microseconds an event."""
    best = float("inf")
    for _ in range(rounds):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best / events * 1e6


def main() -> None:
    """Run and print; see BENCHMARKS.md."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--dump", default="")
    quick = parser.parse_args().quick
    chance, rounds = np.random.default_rng(1), 3 if quick else 8
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = ranges(Path(folder))
        start = time.process_time()
        table = read_table(path)
        figures["table_read_us_per_range"] = (time.process_time() - start) / 57_088 * 1e6
    facts = FactTable(Identity(bytes(16)))
    bare, full = Enricher(), Enricher([table])
    for size in (8_192, 65_536):
        batch = world(chance, size)
        for name, enricher in (("enrich", bare), ("enrich_table", full)):
            enricher.enrich(batch)
            figures[f"{name}_us_{size}"] = cpu_us(lambda e=enricher, b=batch: e.enrich(b), size, rounds)  # type: ignore[misc]
        facts.join(world(chance, 65_536))
        fresh = [world(chance, size) for _ in range(rounds)]
        figures[f"facts_us_{size}"] = min(cpu_us(lambda b=b: facts.join(b), size, 1) for b in fresh)  # type: ignore[misc]
    one = batch.slice(0, 1).combine_chunks()
    figures["enrich_table_one_row_us"] = cpu_us(lambda: [full.enrich(one) for _ in range(100)], 100, rounds)
    figures["facts_one_row_us"] = cpu_us(lambda: [facts.join(one) for _ in range(100)], 100, rounds)
    flood = [FLOOD[i % len(FLOOD)] % (i, i * 7919 % 10_007) for i in range(20_000)]
    figures["client_us_20000_new"] = cpu_us(lambda: [read_client(agent) for agent in flood], len(flood), 1)
    listed = NamedList.of("hosts", [f"h{i}.example.com" for i in range(100_000)])
    asked = pa.array([f"h{i}.example.com" for i in range(0, 200_000, 4)])
    figures["list_us_per_text"] = cpu_us(lambda: listed.contains(asked), len(asked), rounds)
    baselines = {"plain_enrich_us_65536": cpu_us(lambda: plain_enrich(batch), 65_536, rounds)}
    figures = {name: round(value, 4) for name, value in figures.items()}
    baselines = {name: round(value, 4) for name, value in baselines.items()}
    for name, value in (figures | baselines).items():
        print(f"{name:32} {value:10.3f}")
    print(json.dumps({"benchmark": "enrich", "quick": quick, "figures": figures, "baselines": baselines}))


if __name__ == "__main__":
    main()
