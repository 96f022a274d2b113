"""The curve on real logins: the public RBA data set (Wiefling et al., TOPS 2022), where a user has it.

The CSV is read through the mapping file `worlds/rba.yaml`, like any table. Attackers are drawn as in the study from the
rows that the data set marks as attack addresses: naive any of them, vpn one in the victim's country, targeted one in
the victim's region with the user agent of somebody who has the victim's system and device class. Rows marked as account
takeovers are judged, never learned (`takeover`). The whole set has 31 million rows: `ACCOUNTS` bounds how many accounts
are kept, chosen by a hash of their name.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.takeover_models import FREEMAN, fit, matrix, raw
from benchmarks.takeover_rows import Logins, counted
from benchmarks.takeover_scores import columns_of, frame_of, signal_of, threshold_at
from shoal.adapters.files import FileSource
from shoal.adapters.mapping.mapfile import read_mapping
from shoal.adapters.mapping.source import mapped_format
from shoal.enrich.enricher import Enricher

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
MAPPING = Path(__file__).parent / "worlds" / "rba.yaml"
ACCOUNTS = 200_000
ATTACKERS = ("naive", "vpn", "targeted", "takeover")
LENGTHS, CAUGHT = (12, 39), (0.995, 0.90)
COPIED = ("ip", "country", "region", "asn", "network")
AGENT = ("user_agent", "ua_family", "ua_version", "ua_os", "ua_device")


def read_rba(path: Path, accounts: int = ACCOUNTS) -> tuple[pa.Table, int]:
    """Login events by time with `attack_ip` and `takeover` (bool) beside, and how many rows could not be read."""
    parts, dead, kept = [], 0, 1.0
    names: set[int] = set()
    for decoded in FileSource([path], mapped_format(read_mapping(MAPPING))):
        dead += len(decoded.dead)
        table = decoded.events
        if not table.num_rows:
            continue
        told = [json.loads(text) if text else {} for text in table["attributes"].to_pylist()]
        for column, name in (("attack_ip", "Is Attack IP"), ("takeover", "Is Account Takeover")):
            table = table.append_column(column, pa.array([one.get(name) == "True" for one in told], pa.bool_()))
        codes = _hashed(table["account"])
        names.update(np.unique(codes).tolist())
        parts.append((table.drop_columns(["attributes"]), codes))
    if len(names) > accounts:
        kept = accounts / len(names)
    chosen = []
    for table, codes in parts:
        rows = codes < kept * (1 << 62)
        chosen.append(table.filter(pa.array(rows | np.asarray(table["attack_ip"]) | np.asarray(table["takeover"]))))
    if not chosen:
        return pa.table({}), dead
    whole = pa.concat_tables(chosen, promote_options="default")
    return Enricher().enrich(whole.take(pc.sort_indices(whole, [("time", "ascending")]))), dead


def _hashed(account: pa.ChunkedArray) -> Ints:
    """Numbers in [0, 2^62) that belong to the names."""
    frame, _ = frame_of(pa.table({"account": account, "time": np.zeros(len(account), np.int64)}))
    ids = frame.values[frame.layout.index["account"], : frame.size]
    return np.asarray(ids & ((1 << 62) - 1), dtype=np.int64)


def with_probes(events: pa.Table, seed: int = 1) -> Logins:
    """Honest logins (successful, not marked), the marked takeovers, and one attempt of each attacker an account."""
    rng = np.random.default_rng(seed)
    takeover = np.asarray(events["takeover"].combine_chunks())
    success = np.asarray(pc.equal(events["type"], "login.succeeded")) & ~takeover
    account = _hashed(events["account"])
    _, account = np.unique(account, return_inverse=True)
    before, _ = counted(account, success)
    pool = np.flatnonzero(np.asarray(events["attack_ip"].combine_chunks()))
    honest = events.filter(pa.array(success | takeover))
    kinds = [np.where(takeover[success | takeover], ATTACKERS.index("takeover"), -1)]
    tables = [honest.set_column(honest.column_names.index("type"), "type",
                                pa.array(np.where(kinds[0] < 0, "login.succeeded", "login.attempted")))]  # fmt: skip
    place = np.flatnonzero(success & (before > 0))
    shuffled = place[rng.permutation(len(place))]
    victims = shuffled[np.unique(account[shuffled], return_index=True)[1]]
    for number, key in enumerate(((), ("country",), ("country", "region"))):
        at, source = _matched(rng, events, victims, pool, key)
        agents = np.flatnonzero(success)
        same = ("ua_os", "ua_device") if number == 2 else ()
        rows, worn = _matched(rng, events, at, agents, same)
        source = source[np.isin(at, rows)]
        tables.append(_attempts(events, rows, source, worn, f"probe-{number}"))
        kinds.append(np.full(len(rows), number))
    whole, attacker = pa.concat_tables(tables, promote_options="default"), np.concatenate(kinds)
    order = np.lexsort((np.arange(whole.num_rows), whole["time"].to_numpy()))
    whole, attacker = whole.take(pa.array(order)), attacker[order]
    _, account = np.unique(_hashed(whole["account"]), return_inverse=True)
    success = attacker < 0
    before, total = counted(account, success)
    return Logins(whole, attacker, account, before, total, success)


def _matched(
    rng: np.random.Generator, events: pa.Table, victims: Ints, pool: Ints, key: tuple[str, ...]
) -> tuple[Ints, Ints]:
    """The victims for whom the pool has a row with the same key, and such a row for each, drawn evenly."""
    if not len(pool) or not len(victims):
        return victims[:0], pool[:0]
    codes = np.zeros(events.num_rows, np.int64)
    for name in key:
        column = (
            events[name].combine_chunks() if name in events.column_names else pa.nulls(events.num_rows, pa.string())
        )
        part = column.dictionary_encode().indices.fill_null(-1).to_numpy().astype(np.int64)
        codes = codes * 65_537 + part + 1
    order = pool[np.argsort(codes[pool], kind="stable")]
    low, high = (np.searchsorted(codes[order], codes[victims], side=side) for side in ("left", "right"))
    found = high > low
    chosen = low[found] + (rng.random(int(found.sum())) * (high - low)[found]).astype(np.int64)
    return victims[found], order[chosen]


def _attempts(events: pa.Table, victims: Ints, source: Ints, worn: Ints, prefix: str) -> pa.Table:
    """A second before each victim's login: the network of `source`, the user agent of `worn`."""
    columns = {
        "event_id": pa.array([f"{prefix}-{row}" for row in range(len(victims))], pa.string()),
        "time": pa.array(events["time"].to_numpy()[victims] - 1_000_000),
        "type": pa.array(["login.attempted"] * len(victims), pa.string()),
        "account": events["account"].take(pa.array(victims)),
    }
    for names, rows in ((COPIED, source), (AGENT, worn)):
        columns |= {name: events[name].take(pa.array(rows)) for name in names if name in events.column_names}
    return pa.table(columns)


def run(path: Path, dump: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The curve on real logins; trees are fitted on half of the accounts and judged on the other."""
    begun = time.process_time()
    events, dead = read_rba(path)
    if not events.num_rows:
        print(f"null: no row of {path} could be read ({dead} refused)")
        return {}, {}
    logins = with_probes(events)
    frame, stamps = frame_of(logins.events)
    columns = columns_of(signal_of(), frame, stamps)
    plain = columns_of(signal_of(formula="published", half_life=0), frame, stamps)["total"]
    test = logins.account % 2 == 1
    x = matrix(columns, FREEMAN)
    fitted = ~test & (logins.success | (logins.attacker <= ATTACKERS.index("targeted")))
    scores = {"freeman": plain, "nested": columns["total"]}
    if (logins.attacker[fitted] >= 0).any() and (logins.attacker[fitted] < 0).any():
        scores["score"] = raw(fit(x[fitted], (logins.attacker[fitted] >= 0).astype(np.int64), rounds=400), x)
    print(
        f"\n{path}: {logins.success.sum():,} logins of {len(np.unique(logins.account)):,} accounts, {dead} rows refused"
    )
    figures: dict[str, Any] = {}
    for number, attacker in enumerate(ATTACKERS):
        attacks = test & (logins.attacker == number)
        for caught in CAUGHT:
            for length in LENGTHS:
                kept = test & logins.success & (np.abs(logins.total - length) <= length // 10)
                if not attacks.any() or not kept.any():
                    print(f"  {attacker} at {caught:.1%} caught, {length} logins: none")
                    continue
                cells = []
                for name, score in scores.items():
                    asked = score[kept] >= threshold_at(score[attacks], caught)
                    _, place = np.unique(logins.account[kept], return_inverse=True)
                    share = np.bincount(place, weights=asked) / np.bincount(place)
                    cells.append(f"{name} {np.median(share):.3f} ({asked.mean():.3f})")
                    figures[f"rba_{name}_{attacker}_{length}_{caught}"] = round(float(np.median(share)), 4)
                print(f"  {attacker} at {caught:.1%} caught, {length} logins: {'; '.join(cells)}")
    print(f"  {time.process_time() - begun:.0f} CPU-s")
    if dump:
        Path(dump).mkdir(parents=True, exist_ok=True)
        kinds = pa.array(["", *ATTACKERS]).take(pa.array(logins.attacker + 1))
        labels = (logins.attacker >= 0).astype(np.int64)
        table = {"id": logins.events["event_id"], "split": np.where(test, "report", "development"), "label": labels,
                 "attacker": kinds, "account": logins.account}  # fmt: skip
        pq.write_table(pa.table(table | scores), Path(dump) / "takeover.rba.parquet")
    return figures, {}
