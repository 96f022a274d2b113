"""An independent oracle: DuckDB window functions over a unique order key made of (as_of, seq)."""

from __future__ import annotations

import duckdb
import pyarrow as pa
from hypothesis import HealthCheck, given, settings

from oracles.features_oracle import equal
from oracles.features_streams import LAYOUT, US, define, engine_of, feed, streams
from shoal.expressions.compile import Scope, compile_expression

QUIET = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FACTOR = 1_000
"""More than the rows of a stream: the order key is as_of * FACTOR + seq, and has no ties."""
CONDITIONS = [None, "external", "size_bytes > 3 AND country IS NOT NULL"]
WINDOWS = [60, 3600]
KEYS = ["account", "ip", "account+device"]


def _definitions():
    made = []
    for number, where in enumerate(CONDITIONS):
        for window in WINDOWS if number == 0 else WINDOWS[number - 1 : number]:
            for key in KEYS[number : number + 1]:
                tail = f"{number}_{window}_{key.replace('+', '_')}"
                more = {"key": key, "window_s": window, "where": where}
                made += [
                    define(f"count.n{tail}", "count", **more),
                    define(f"sum.n{tail}", "sum", value="size_bytes", **more),
                    define(f"mean.n{tail}", "mean", value="size_bytes", **more),
                    define(f"min.n{tail}", "min", value="size_bytes", **more),
                    define(f"max.n{tail}", "max", value="ratio", **more),
                    define(f"distinct.n{tail}", "distinct", value="country", **more),
                ]
    for window, bucket in ((3600, 600), (7 * 86_400, 86_400)):
        for oldest in ("whole", "half"):
            more = {"window_s": window, "bucket_s": bucket, "oldest_bucket": oldest}
            made += [
                define(f"count.b{window}_{oldest}", "count", where="external", **more),
                define(f"sum.b{window}_{oldest}", "sum", value="size_bytes", key="ip", **more),
            ]
    return made


DEFINITIONS = _definitions()
SCOPE = Scope(dict(zip(LAYOUT.names, LAYOUT.kinds, strict=True)))
AGGREGATES = {
    "count": "count(CASE WHEN {c} THEN 1 END)",
    "sum": "sum(CASE WHEN {c} AND {v} IS NOT NULL THEN greatest(least({v}, 1099511627776), -1099511627776) ELSE 0 END)",
    "mean": "avg(CASE WHEN {c} AND {v} IS NOT NULL THEN greatest(least({v}, 1099511627776), -1099511627776) END)",
    "min": "min(CASE WHEN {c} THEN {v} END)",
    "max": "max(CASE WHEN {c} THEN {v} END)",
    "distinct": "count(DISTINCT CASE WHEN {c} THEN {v} END)",
}
"""DuckDB's `least` and `greatest` leave nulls out, so the value is asked for first."""


def _sql():
    parts = []
    for one in DEFINITIONS:
        condition = "NOT late AND shoal = 0"
        if one.where:
            condition += f" AND ({compile_expression(one.where, SCOPE).duckdb()})"
        aggregate = AGGREGATES[one.operation].format(c=condition, v=one.value)
        # From the first place of the microsecond after as_of - W up to this row.
        before = f"seq + {(one.window_s * US - 1) * FACTOR}"
        null_key = " OR ".join(f"{name} IS NULL" for name in one.key)
        over = f"PARTITION BY {', '.join(one.key)} ORDER BY o RANGE BETWEEN"
        if one.bucket_s is not None:
            # From the start of the oldest bucket that the window touches.
            width = one.bucket_s * US
            before = f"o - ((as_of // {width} - {one.window_s // one.bucket_s}) * {width} - origin) * {FACTOR}"
        value = f"{aggregate} OVER ({over} ({before}) PRECEDING AND CURRENT ROW)"
        if one.oldest_bucket == "half":
            oldest = f"{over} ({before}) PRECEDING AND ({before} - {width * FACTOR - 1}) PRECEDING"
            value += f" - CAST(floor(coalesce({aggregate} OVER ({oldest}), 0) / 2) AS HUGEINT)"
        parts.append(f'CASE WHEN {null_key} THEN NULL ELSE {value} END AS "{one.id}"')
    return f"SELECT {', '.join(parts)} FROM events ORDER BY o"


SQL = _sql()


@QUIET
@given(rows=streams(max_size=40))
def test_the_kernel_equals_duckdb(rows):
    origin = rows[0]["as_of"]
    columns = {name: pa.array([r[name] for r in rows], kind.arrow) for name, kind in SCOPE.columns.items()}
    columns["o"] = pa.array([(r["as_of"] - origin) * FACTOR + k for k, r in enumerate(rows)], pa.int64())
    columns["as_of"] = pa.array([r["as_of"] for r in rows], pa.int64())
    columns["origin"] = pa.array([origin] * len(rows), pa.int64())
    columns["seq"] = pa.array(range(len(rows)), pa.int64())
    columns["late"] = pa.array([r["late"] for r in rows])
    columns["shoal"] = pa.array([r["shoal"] for r in rows], pa.int64())
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        connection.register("events", pa.table(columns))
        wanted = connection.execute(SQL).fetchall()
    found = feed(engine_of(DEFINITIONS), rows)
    for number, (want, have) in enumerate(zip(wanted, found, strict=True)):
        for one, value in zip(DEFINITIONS, want, strict=True):
            assert equal(value, have[one.id][0]), (number, one.id, value, have[one.id])
