"""The 17-feature workload of FEATURES.md: definitions, events, and the same features in Python and SQL.

Events: 10 % share their microsecond with the one before, the busiest address (a carrier's NAT) has 20 % of them,
1 % are late; 48 hours of stream time, so that the 24-hour windows expire while it runs.
"""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shoal.events.schema import Kind
from shoal.expressions.frame import Frame, Layout
from shoal.features.definitions import FeatureDefinition
from shoal.features.engine import Stamps

US = 1_000_000
HOUR, DAY = 3_600, 86_400
LAYOUT = Layout.of(
    {"account": Kind.TEXT, "ip": Kind.TEXT, "device": Kind.TEXT, "size_bytes": Kind.INT, "failed": Kind.BOOL}
)


def _one(name: str, operation: str, key: str, window_s: int | None, **more: Any) -> FeatureDefinition:
    return FeatureDefinition(name, operation, (key,), window_s, **more)


FEATURES: tuple[FeatureDefinition, ...] = (
    _one("account.events_10m", "count", "account", 600),
    _one("account.events_1h", "count", "account", HOUR),
    _one("account.events_24h", "count", "account", DAY),
    _one("account.failed_1h", "count", "account", HOUR, where="failed"),
    _one("account.failed_24h", "count", "account", DAY, where="failed"),
    _one("account.bytes_1h", "sum", "account", HOUR, value="size_bytes", largest=2e9),
    _one("account.bytes_24h", "sum", "account", DAY, value="size_bytes", largest=2e9),
    _one("account.ips_1h", "distinct", "account", HOUR, value="ip"),
    _one("account.ips_24h", "distinct", "account", DAY, value="ip"),
    _one("account.gap", "gap", "account", None),
    _one("ip.events_10m", "count", "ip", 600),
    _one("ip.events_1h", "count", "ip", HOUR),
    _one("ip.failed_1h", "count", "ip", HOUR, where="failed"),
    _one("ip.accounts_1h", "distinct", "ip", HOUR, value="account"),
    _one("ip.accounts_24h", "distinct", "ip", DAY, value="account"),
    _one("device.events_24h", "count", "device", DAY),
    _one("device.accounts_24h", "distinct", "device", DAY, value="account"),
)


@dataclass
class Stream:
    """The workload's columns; ids are what the keyed hash would give."""

    as_of: npt.NDArray[np.int64]
    time: npt.NDArray[np.int64]
    late: npt.NDArray[np.uint8]
    columns: dict[str, npt.NDArray[np.int64]]

    def frame(self, start: int, stop: int) -> Frame:
        """Events `start..stop` as an encoded frame."""
        values = np.stack([self.columns[name][start:stop] for name in LAYOUT.names])
        return Frame(LAYOUT, values, np.ones(values.shape, np.uint8), stop - start)

    def stamps(self, start: int, stop: int) -> Stamps:
        """Their stamps."""
        part = slice(start, stop)
        zero = np.zeros(stop - start, np.uint8)
        seq = np.arange(start, stop, dtype=np.int64)
        return Stamps(seq, self.as_of[part], self.time[part], self.late[part], zero)


def make_stream(count: int, seed: int = 7, late_share: float = 0.01) -> Stream:
    """`count` events over 48 hours."""
    rng = np.random.default_rng(seed)
    steps = rng.exponential(48 * HOUR * US / count / 0.9, count).astype(np.int64) + 1
    steps[rng.random(count) < 0.1] = 0
    as_of = 1_700_000_000 * US + np.cumsum(steps)
    late = (rng.random(count) < late_share).astype(np.uint8)
    accounts, addresses = max(count // 20, 100), max(count // 40, 50)
    account = (accounts * rng.random(count) ** 1.7).astype(np.int64)
    roam = rng.random(count)
    ip = np.where(roam < 0.75, account % addresses, (addresses * rng.random(count)).astype(np.int64)) + 1
    ip[rng.random(count) < 0.2] = 0
    device = account * 3 + (rng.random(count) ** 3 * 3).astype(np.int64)
    shared = rng.random(count) < 0.05
    device[shared] = (accounts * rng.random(int(shared.sum()))).astype(np.int64)
    scramble = np.uint64(0x9E3779B97F4A7C15)

    def ids(numbers: npt.NDArray[np.int64], salt: int) -> npt.NDArray[np.int64]:
        mixed = (numbers.astype(np.uint64) + np.uint64(salt)) * scramble
        return (mixed ^ (mixed >> np.uint64(29))).view(np.int64)

    size = np.minimum(rng.lognormal(10, 3, count), 1.9e9).astype(np.int64)
    columns = {
        "account": ids(account, 1 << 40),
        "ip": ids(ip, 2 << 40),
        "device": ids(device, 3 << 40),
        "size_bytes": size,
        "failed": (rng.random(count) < 0.15).astype(np.int64),
    }
    return Stream(as_of, as_of - late.astype(np.int64) * 3600 * US, late, columns)


class PythonOracle:
    """The same features with dicts and deques, one event at a time."""

    def __init__(self) -> None:
        self.queues: dict[int, deque[tuple[int, Any, Any]]] = defaultdict(deque)
        self.totals: list[dict[Any, int]] = [defaultdict(int) for _ in FEATURES]
        self.values: list[dict[Any, dict[Any, int]]] = [defaultdict(lambda: defaultdict(int)) for _ in FEATURES]
        self.last: dict[Any, int] = {}

    def step(self, as_of: int, time: int, late: bool, row: dict[str, int]) -> list[int | float | None]:
        """The 17 values at one event."""
        read: list[int | float | None] = []
        for number, one in enumerate(FEATURES):
            key = row[one.key[0]]
            if one.operation == "gap":
                before = self.last.get(key)
                read.append(None if before is None else (as_of - before) / 1e6)
                moment = time if late else as_of
                if before is None or moment >= before:
                    self.last[key] = moment
                continue
            queue, totals = self.queues[number], self.totals[number]
            assert one.window_s is not None
            while queue and queue[0][0] <= as_of - one.window_s * US:
                _, old, amount = queue.popleft()
                self._count(number, one, old, amount, -1)
            if not late and (one.where is None or row["failed"]):
                amount = row[one.value] if one.value is not None else 1
                queue.append((as_of, key, amount))
                self._count(number, one, key, amount, 1)
            read.append(len(self.values[number][key]) if one.operation == "distinct" else totals[key])
        return read

    def _count(self, number: int, one: FeatureDefinition, key: int, amount: int, sign: int) -> None:
        if one.operation != "distinct":
            self.totals[number][key] += sign * amount
            return
        held = self.values[number][key]
        held[amount] += sign
        if held[amount] == 0:
            del held[amount]


def unique_order(as_of: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], int]:
    """An order key without ties made of (as_of, seq), and the factor by which windows grow with it."""
    new = np.concatenate(([True], as_of[1:] != as_of[:-1]))
    starts = np.flatnonzero(new)
    rank = np.arange(len(as_of)) - np.repeat(starts, np.diff(np.append(starts, len(as_of))))
    factor = int(rank.max()) + 1
    return (as_of - as_of[0]) * factor + rank, factor


def duckdb_sql(rows: str, factor: int) -> str:
    """The 16 windows as SQL over `rows` (its order key `o` from `unique_order`, `late`, and the event's columns)."""
    parts = []
    for one in FEATURES:
        if one.operation == "gap":
            continue
        assert one.window_s is not None
        # (as_of - W, as_of] over the unique key: everything up to this row whose microsecond is after as_of - W.
        before = f"(o % {factor}) + {(one.window_s * US - 1) * factor}"
        frame = f"(PARTITION BY {one.key[0]} ORDER BY o RANGE BETWEEN ({before}) PRECEDING AND CURRENT ROW)"
        parts.append(f'{_aggregate(one)} OVER {frame} AS "{one.id}"')
    return f"SELECT o, {', '.join(parts)} FROM {rows} ORDER BY o"


def _aggregate(one: FeatureDefinition) -> str:
    condition = "late = 0" + (f" AND {one.where}" if one.where else "")
    if one.operation == "count":
        return f"count(CASE WHEN {condition} THEN 1 END)"
    if one.operation == "sum":
        return f"sum(CASE WHEN {condition} THEN {one.value} ELSE 0 END)"
    return f"count(DISTINCT CASE WHEN {condition} THEN {one.value} END)"
