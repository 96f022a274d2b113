"""What the feature tests share: a layout, definitions of every operation, generated streams, and running an engine."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import strategies as st

from shoal.events.identity import Identity
from shoal.events.schema import Flag, Kind
from shoal.expressions.frame import Frame, Layout
from shoal.features.definitions import FeatureDefinition
from shoal.features.engine import FeatureEngine, Stamps

US = 1_000_000
LATENESS_US = 900 * US
IDENTITY = Identity(bytes(range(16)))
LAYOUT = Layout.of(
    {
        "account": Kind.TEXT,
        "ip": Kind.TEXT,
        "device": Kind.TEXT,
        "country": Kind.TEXT,
        "size_bytes": Kind.INT,
        "ratio": Kind.FLOAT,
        "external": Kind.BOOL,
        "lat": Kind.FLOAT,
        "lon": Kind.FLOAT,
        "account_created": Kind.TIME,
    }
)
FUNCTIONS = {
    "size_bytes > 3": lambda r: r["size_bytes"] > 3,
    "size_bytes * 2": lambda r: r["size_bytes"] * 2,
}


def define(name, operation, key="account", **more) -> FeatureDefinition:
    return FeatureDefinition(name, operation, tuple(key.split("+")), **more)


def every_operation() -> list[FeatureDefinition]:
    """Each operation with each kind of window it has, over several keys, conditions and values."""
    made = [
        define("f.last", "last", value="ip"),
        define("f.last_w", "last", value="country", window_s=60, where="external"),
        define("f.gap", "gap"),
        define("f.gap_where", "gap", key="ip", where="external", window_s=3600),
        define("f.age", "age"),
        define("f.age_ip", "age", key="ip+account"),
        define("f.speed", "speed"),
        define("f.speed_w", "speed", window_s=3600, key="device"),
        define("f.seen", "seen", value="ip"),
        define("f.seen_w", "seen", value="ip", window_s=3600),
        define("f.seen_num", "seen", value="ratio", key="ip"),
        define("f.share", "share", value="country"),
        define("f.share_w", "share", value="country", window_s=3600),
        define("f.decayed", "decayed", half_life_s=600.0),
        define("f.decayed_v", "decayed", half_life_s=5.0, value="ratio", key="ip", include_self=False),
        define("f.shoal", "count", window_s=3600, include_shoal=True),
        define("f.excl", "count", window_s=3600, include_self=False),
        define("f.excl_d", "distinct", window_s=3600, value="ip", include_self=False),
        define("f.clamped", "sum", window_s=3600, value="size_bytes", largest=5),
        define("f.expr", "sum", window_s=60, value="size_bytes * 2", where="size_bytes > 3", key="account+device"),
    ]
    for name, window in (
        ("60", {"window_s": 60}),
        ("1h", {"window_s": 3600}),
        ("life", {}),
        ("7d", {"window_s": 7 * 86_400, "bucket_s": 86_400}),
        ("1hb", {"window_s": 3600, "bucket_s": 600}),
    ):
        made += [
            define(f"f.count_{name}", "count", **window),
            define(f"f.count_where_{name}", "count", key="ip", where="external", **window),
            define(f"f.sum_{name}", "sum", value="size_bytes", key="ip", **window),
            define(f"f.sum_places_{name}", "sum", value="ratio", places=2, **window),
            define(f"f.mean_{name}", "mean", value="ratio", places=3, where="external", **window),
            define(f"f.min_{name}", "min", value="size_bytes", **window),
            define(f"f.max_{name}", "max", value="ratio", key="ip", **window),
            define(f"f.distinct_{name}", "distinct", value="ip", **window),
            define(f"f.distinct_where_{name}", "distinct", value="account", key="ip", where="external", **window),
        ]
    for name, window, bucket in (("7d", 7 * 86_400, 86_400), ("1hb", 3600, 600), ("1b", 60, 60)):
        more: dict = {"window_s": window, "bucket_s": bucket, "oldest_bucket": "half"}
        made += [
            define(f"f.count_half_{name}", "count", **more),
            define(f"f.sum_half_{name}", "sum", value="size_bytes", key="ip", **more),
            define(f"f.mean_half_{name}", "mean", value="ratio", places=3, where="external", **more),
        ]
    return made


def stamp(rows: list[dict]) -> list[dict]:
    """Stamp rows as the writer does: `as_of`, lateness; `time` must be there."""
    largest = None
    for row in rows:
        largest = row["time"] if largest is None else max(largest, row["time"])
        row["as_of"] = largest
        row["late"] = largest - row["time"] > LATENESS_US
        row.setdefault("shoal", 0)
    return rows


def stamps_of(rows: list[dict], first: int = 0) -> Stamps:
    return Stamps(
        np.arange(first, first + len(rows), dtype=np.int64),
        np.array([r["as_of"] for r in rows], dtype=np.int64),
        np.array([r["time"] for r in rows], dtype=np.int64),
        np.array([Flag.LATE if r["late"] else 0 for r in rows], dtype=np.uint8),
        np.array([r["shoal"] for r in rows], dtype=np.uint8),
    )


def engine_of(definitions, **options) -> FeatureEngine:
    return FeatureEngine(definitions, LAYOUT, IDENTITY, **{"history_complete": True, **options})


def feed(engine: FeatureEngine, rows: list[dict], cuts=(), first: int = 0):
    """Values as Python objects, [row][feature] = (value, partial); `cuts` are the batch borders."""
    out = []
    borders = [0, *sorted(cuts), len(rows)]
    for start, stop in pairwise(borders):
        if start == stop:
            continue
        batch = rows[start:stop]
        block = engine.update(Frame.of_rows(batch, LAYOUT, IDENTITY), stamps_of(batch, first + start))
        out += rows_of(engine, block, len(batch))
    return out


def rows_of(engine, block, size):
    columns = []
    for number, kind in enumerate(engine.kinds):
        raw = np.ascontiguousarray(block.values[number, :size])
        if kind is Kind.FLOAT:
            raw = raw.view(np.float64)
        elif kind is Kind.BOOL:
            raw = raw.astype(bool)
        values = [v if ok else None for v, ok in zip(raw.tolist(), block.valid[number, :size].tolist(), strict=True)]
        columns.append(list(zip(values, block.partial[number, :size].tolist(), strict=True)))
    return [dict(zip(engine.names, row, strict=True)) for row in zip(*columns, strict=True)]


START = 1_700_000_000 * US
_STEPS = [0, 0, 0, 1, US, 29 * US, 30 * US, 31 * US, 59 * US, 60 * US, 600 * US, 1800 * US, 3600 * US, 3600 * US + 1]
_STEPS += [86_400 * US, 3 * 86_400 * US, -US, -30 * US, -1800 * US, -7200 * US]


def _maybe(values):
    return st.one_of(st.sampled_from(values), st.sampled_from([*values, None]))


_ROW = st.fixed_dictionaries(
    {
        "step": st.sampled_from(_STEPS),
        "account": st.sampled_from(["a", "a", "a", "b", "c", None]),
        "ip": st.sampled_from(["1.1.1.1", "1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4", None]),
        "device": _maybe(["d1", "d2"]),
        "country": _maybe(["de", "fr", "us"]),
        "size_bytes": _maybe([0, 1, 3, 4, 7, -2, 2**41, -(2**50)]),
        "ratio": _maybe([0.0, -0.0, 0.125, 1.5, -2.25, 1e3, 0.1, 3.3333]),
        "external": _maybe([True, True, False]),
        "lat": _maybe([0.0, 52.5, -33.9]),
        "lon": _maybe([0.0, 13.4, 151.2]),
        "account_created": st.sampled_from([None, None, START - US, START + US]),
        "shoal": st.sampled_from([0, 0, 0, 0, 1]),
    }
)


@st.composite
def streams(draw, max_size=60):
    """Stamped rows with ties, gaps, late events, clamped values, nulls and few keys."""
    rows = draw(st.lists(_ROW, min_size=1, max_size=max_size))
    now = START
    for row in rows:
        step = row.pop("step")
        row["time"] = now + step
        now = max(now, now + step)
    return stamp(rows)


def same_id(value, definition):
    """An oracle's text value as the engine gives it."""
    return IDENTITY.id_of(value) if isinstance(value, str) else value
