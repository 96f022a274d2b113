"""The entity graph: events a CPU-second into edges of thirteen relations, against DuckDB's GROUP BY on the same tables.

A synthetic service: accounts of log-normal activity in households of two behind home addresses, carriers, offices and
addresses that are seen once; two devices each; uploads, links, sign-ups, payments. Tables are journal frames of 16,384
rows as they are decoded, attributes extracted already. DuckDB (one thread) groups texts by relation with first, last
and count: the same edges, which the benchmark checks, without codes, CSR or a state that goes on. Both sides in process
CPU time. Then: the arrays from scratch and after 1 % more events, memory, hubs, pairs and hard components.
"""

from __future__ import annotations

import argparse
import json
import time

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shoal.coordination.graph import (
    EntityGraph,
    GraphBuilder,
    default_columns,
    default_relations,
    hard_components,
    learn_hubs,
    relation_pairs,
)
from shoal.events.identity import BatchIds, Identity
from shoal.expressions.frame import Layout
from shoal.storage.packed.columns import pack, unpack

FRAME = 16_384
Ints = npt.NDArray[np.int64]
TYPES = {
    "login.succeeded": 0.1, "session.started": 0.1, "session.used": 0.25, "file.uploaded": 0.2, "file.downloaded": 0.2,
    "link.visited": 0.13, "account.created": 0.01, "payment.added": 0.004, "phone.verified": 0.003,
    "recovery.changed": 0.003,
}  # fmt: skip


def texts(form: str, codes: Ints, where: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """The texts of numbers, each made once; null where `where` is not."""
    distinct, at = np.unique(codes, return_inverse=True)
    made = pa.array([form.format(int(code)) for code in distinct.tolist()], pa.string())
    return made.take(pa.array(at, mask=None if where is None else ~where))


def service(events: int, seed: int = 0) -> pa.Table:
    """A table of events with attributes as columns."""
    draw = np.random.default_rng(seed)
    accounts = max(events // 25, 100)
    activity = draw.lognormal(0.0, 1.2, accounts)
    who = draw.choice(accounts, events, p=activity / activity.sum())
    kind = draw.choice(len(TYPES), events, p=list(TYPES.values()))
    names = np.array(list(TYPES))
    is_kind = {name: kind == number for number, name in enumerate(TYPES)}
    place = draw.random(events)
    crowd = 10**9 + who % 40  # carriers and offices
    address = np.where(
        place < 0.6, who // 2, np.where(place < 0.9, crowd, 2 * 10**9 + draw.integers(0, events, events))
    )
    network = np.where(place < 0.6, who // 20, np.where(place < 0.9, crowd, 3 * 10**9 + address % 5_000))
    actor = texts("acct-{:08d}", who)
    agents = (who * 7 + (draw.random(events) < 0.1)) % 400
    agent = (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{:d}.0 Safari/537.36"
    )
    signup = is_kind["account.created"]
    return pa.table({
        "seq": np.arange(events), "time": np.sort(draw.integers(0, 30 * 86_400_000_000, events)),
        "type": pa.array(names[kind]), "actor": actor, "account": actor,
        "ip": texts("10.{:d}.7", address), "network": texts("10.{:d}.0/24", network), "asn": network % 500,
        "network_kind": pa.array(np.where(place < 0.6, "home", np.where(place < 0.9, "mobile", "unknown"))),
        "user_agent": texts(agent, agents), "device": texts("device-{:012d}", who * 2 + (draw.random(events) < 0.3)),
        "file_sha256": texts("{:064x}", draw.integers(0, events // 8, events), is_kind["file.uploaded"]),
        "link": texts("link{:010d}", draw.zipf(1.5, events) % (events // 40), is_kind["link.visited"]),
        "payment_hash": texts("{:032x}", who // 3, is_kind["payment.added"]),
        "phone_hash": texts("{:032x}", who, is_kind["phone.verified"]),
        "recovery_hash": texts("{:032x}", who // 2, is_kind["recovery.changed"]),
        "invited_by": texts("acct-{:08d}", who // 5, signup), "domain": texts("mail{:d}.example", who % 40, signup),
        "email_shape": texts("aaa.{:d}", who % 30, signup),
        "device_attested": pa.array(who % 3 == 0, mask=~is_kind["session.started"]),
    })  # fmt: skip


def frames(table: pa.Table) -> list[memoryview]:
    """The table as payloads of journal frames."""
    codec = pa.Codec("zstd", 1)
    return [pack(table.slice(at, FRAME).combine_chunks(), codec) for at in range(0, table.num_rows, FRAME)]


def builder() -> GraphBuilder:
    return GraphBuilder(default_relations(), Layout.of(default_columns()), Identity(bytes(16)))


def build(parts: list[pa.Table]) -> GraphBuilder:
    """All tables, as a job reads them."""
    made, identity = builder(), Identity(bytes(16))
    for part in parts:
        made.update(part, ids=BatchIds(identity))
    return made


def group_by(table: pa.Table) -> tuple[dict[str, int], float]:
    """Edges by relation that DuckDB finds, and its CPU seconds."""
    connection = duckdb.connect(config={"threads": 1})
    connection.register("events", table)
    sizes, start = {}, time.process_time()
    for relation in default_relations():
        columns = ", ".join(relation.columns)
        present = " AND ".join(f"{name} IS NOT NULL" for name in ("actor", *relation.columns))
        loop = " AND actor <> invited_by" if relation.id == "inviter" else ""
        condition = f" AND ({relation.on})" if relation.on else ""
        found = connection.execute(
            f"CREATE OR REPLACE TEMP TABLE edges AS SELECT actor, {columns}, min(time), max(time), count(*) "
            f"FROM events WHERE {present}{loop}{condition} GROUP BY actor, {columns}"
        ).fetchone()
        assert found is not None
        sizes[relation.id] = int(found[0])
    return sizes, time.process_time() - start


def array_bytes(graph: EntityGraph) -> int:
    """Bytes of a graph's edges, without what is computed when asked for."""
    return sum(
        array.nbytes for edges in graph.relations.values()
        for array in (edges.entity, edges.first, edges.last, edges.count, edges.account_start, edges.entity_ids)
    )  # fmt: skip


def measure(quick: bool) -> tuple[dict[str, float], dict[str, float], list[tuple[str, str]]]:
    """Figures, baselines, and rows of the table for people."""
    events = 400_000 if quick else 4_000_000
    table = service(events)
    payloads = frames(table)
    parts = [unpack(payload) for payload in payloads]
    build(parts[:2]).graph()
    group_by(table.slice(0, 1_000))
    ours, theirs = [], []
    for _ in range(3):  # one after the other, so that both meet the same neighbours on the machine
        start = time.process_time()
        made = build(parts)
        ours.append(time.process_time() - start)
        sizes, seconds = group_by(table)
        theirs.append(seconds)
    start = time.process_time()
    read = [unpack(payload) for payload in payloads]
    decode = time.process_time() - start
    del read
    first, second = _arrays(made, service(events // 100, 1).drop_columns(["seq"]))
    graph = made.graph()
    whole = build(parts).graph()
    edges = sum(one.size for one in whole.relations.values())
    wrong = sum(abs(whole.relations[name].size - size) for name, size in sizes.items())
    held = sum(array.nbytes for array in made.snapshot().values())
    figures = {
        "graph_events_per_cpu_s": events / min(ours),
        "graph_with_decode_events_per_cpu_s": events / (min(ours) + decode),
        "graph_edges_per_event": edges / events, "graph_edge_mismatches": float(wrong), "graph_arrays_s": first,
        "graph_arrays_again_s": second, "graph_builder_bytes_per_edge": held / edges,
        "graph_bytes_per_edge": array_bytes(whole) / edges,
    } | _evidence(graph)  # fmt: skip
    baselines = {"graph_duckdb_events_per_cpu_s": events / min(theirs)}
    rows = [
        (name, f"{value:,.3f}" if value < 1_000 else f"{value:,.0f}") for name, value in (figures | baselines).items()
    ]
    return figures, baselines, [("events", f"{events:,}"), ("edges", f"{edges:,}"), *rows]


def _arrays(made: GraphBuilder, more: pa.Table) -> tuple[float, float]:
    """CPU seconds of the arrays: from scratch, and with new events after a `graph()`."""
    start = time.process_time()
    made.graph()
    first = time.process_time() - start
    made.update(more)
    start = time.process_time()
    made.graph()
    return first, time.process_time() - start


def _evidence(graph: EntityGraph) -> dict[str, float]:
    """CPU seconds of hubs, and speeds of pairs and hard components."""
    hard_components(graph, learn_hubs(graph))  # compiles, and fills the cached CSR of the other side
    start = time.process_time()
    hubs = learn_hubs(graph)
    learned = time.process_time()
    pairs = relation_pairs(graph, hubs)
    paired = time.process_time()
    hard_components(graph, hubs)
    joined = time.process_time()
    total = sum(one.size for one in pairs)
    return {
        "graph_hubs_s": learned - start, "graph_pairs": float(total), "graph_pairs_s": paired - learned,
        "graph_hard_components_s": joined - paired,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data", default="../shared/data")
    parser.add_argument("--dump", default="")
    quick = parser.parse_args().quick
    figures, baselines, rows = measure(quick)
    for name, value in rows:
        print(f"{name:40} {value:>16}")
    print(json.dumps({"benchmark": "coordination_graph", "quick": quick, "figures": figures, "baselines": baselines}))


if __name__ == "__main__":
    main()
