"""What the tests of behaviour signals share: a layout, streams with every oddity, and running a signal in pieces."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import strategies as st

from shoal.detectors.signals import Signal, SignalDefinition
from shoal.events.identity import Identity
from shoal.events.schema import Flag, Kind
from shoal.expressions.frame import Frame, Layout
from shoal.features.engine import Stamps

US = 1_000_000
HOUR, DAY = 3600 * US, 86_400 * US
IDENTITY = Identity(bytes(range(16)))
LAYOUT = Layout.of({"account": Kind.TEXT, "org": Kind.TEXT, "type": Kind.TEXT, "client": Kind.TEXT,
                    "size_bytes": Kind.INT, "lat": Kind.FLOAT})  # fmt: skip
WIDTH = 6


def make(kind: type[Signal], **settings) -> Signal:
    return kind(SignalDefinition("b", kind.kind, settings), LAYOUT, IDENTITY, {})


def event(account, as_of, kind="file.downloaded", **more) -> dict:
    """One row; `late` and `shoal` say how the writer stamped it."""
    base = {"account": account, "org": "o", "type": kind, "client": "web", "size_bytes": 10, "lat": 0.5}
    return base | {"as_of": as_of, "late": False, "shoal": 0} | more


def feed(signal: Signal, rows: list[dict], cuts=(), first: int = 0):
    """The outputs [n, 6] as floats, NaN where null; the rows cut before each place of `cuts`."""
    out = np.full((len(rows), WIDTH), np.nan)
    edges = [0, *sorted({c for c in cuts if 0 < c < len(rows)}), len(rows)]
    for start, end in itertools.pairwise(edges):
        piece = rows[start:end]
        frame = Frame.of_rows(piece, LAYOUT, IDENTITY)
        stamps = Stamps(
            np.arange(first + start, first + end, dtype=np.int64),
            np.array([r["as_of"] for r in piece], np.int64),
            np.array([r["as_of"] for r in piece], np.int64),
            np.array([Flag.LATE if r["late"] else 0 for r in piece], np.uint8),
            np.array([r["shoal"] for r in piece], np.uint8),
        )
        values, valid = np.zeros((WIDTH, len(piece) + 3), np.int64), np.full((WIDTH, len(piece) + 3), 7, np.uint8)
        signal.update(frame, stamps, values, valid)
        assert (valid[:, len(piece) :] == 7).all()
        got = values[:, : len(piece)].view(np.float64)
        assert np.isfinite(got).all()
        out[start:end] = np.where(valid[:, : len(piece)] == 1, got, np.nan).T
    return out


def plain_rows(rows: list[dict], wanted) -> list[dict]:
    """Rows as the oracles take them: ids of texts, `still`, `wanted`."""
    out = []
    for row in rows:
        one: dict = {}
        for name, kind in zip(LAYOUT.names, LAYOUT.kinds, strict=True):
            value = row[name]
            one[name] = IDENTITY.id_of(value) if kind is Kind.TEXT and value is not None else value
        out.append(one | {"as_of": row["as_of"], "still": row["late"] or row["shoal"] == 1, "wanted": wanted(row)})
    return out


def as_floats(rows: list[list[float | None]]) -> np.ndarray:
    return np.array([[np.nan if value is None else value for value in row] for row in rows]).reshape(-1, WIDTH)


@st.composite
def streams(draw, most: int = 60):
    """Bursts and pauses of a few accounts: ties, gaps, jumps of the clock, late rows, own enforcement, nulls."""
    rows, now = [], draw(st.integers(0, 3)) * 7 * DAY + 1_700_000_000 * US
    for _ in range(draw(st.integers(1, most))):
        now += draw(st.sampled_from([0, 1, US, 60 * US, 20 * 60 * US, HOUR, 5 * HOUR, DAY, 9 * DAY, 3000 * DAY]))
        account = draw(st.sampled_from(["a", "a", "b", "c", "d", "e", None]))
        kind = draw(st.sampled_from(["file.downloaded", "file.downloaded", "login.succeeded", "link.created", None]))
        more = {
            "client": draw(st.sampled_from(["web", "mobile", None])),
            "size_bytes": draw(st.sampled_from([0, 1, 5, 10**6, 2**62, -4, None])),
            "lat": draw(st.sampled_from([0.0, 1.5, 1e308, -1.0, None])),
            "org": draw(st.sampled_from(["o", "p", None])),
            "late": draw(st.integers(0, 9)) == 0,
            "shoal": int(draw(st.integers(0, 9)) == 0),
        }
        times = draw(st.sampled_from([1, 1, 1, 3, 8]))
        rows += [event(account, now, kind, **more) for _ in range(times)]
    return rows
