"""A simulated world played through signals: event tables in order of delivery, the writer's stamps, the columns added.

Used by the behaviour benchmarks. The stamps are made as the writer makes them (`as_of` the largest time so far, late
beyond 15 minutes); the truth is joined afterwards and no signal sees it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import polars as pl
import pyarrow as pa

from shoal.detectors.signals import Signal, SignalDefinition
from shoal.events.identity import Identity
from shoal.events.schema import BY_NAME, Flag
from shoal.expressions.frame import Frame, Layout
from shoal.features.engine import Stamps
from shoal.simulate import World, read_scenario, simulate

Made = TypeVar("Made", bound=Signal)
IDENTITY = Identity(bytes(range(16)))
COLUMNS = ("type", "account", "actor", "client", "network_kind", "size_bytes", "ip", "device", "asn", "link", "domain",
           "method", "country", "owner")  # fmt: skip
LAYOUT = Layout.of({name: BY_NAME[name].kind for name in COLUMNS})
LATENESS_US = 900_000_000
WORLDS = Path(__file__).resolve().parent / "worlds"
DAY = 86_400_000_000


def world_of(name: str, seed: int) -> World:
    """A world of `benchmarks/worlds`."""
    return simulate(read_scenario(WORLDS / f"behaviour-{name}.yaml"), seed=seed)


def make(kind: type[Made], **settings: object) -> Made:
    """A signal over the benchmark's columns."""
    return kind(SignalDefinition(kind.kind, kind.kind, settings), LAYOUT, IDENTITY, {})  # type: ignore[arg-type]


def frames_of(world: World, batch: int = 4096) -> tuple[pl.DataFrame, list[tuple[Frame, Stamps]]]:
    """All events with their ids as texts, and the same as frames of `batch` rows with stamps."""
    whole = pa.concat_tables([block.select(["event_id", "time", *COLUMNS]) for block in world.blocks()])
    whole = whole.combine_chunks()
    times = np.asarray(whole["time"])
    as_of = np.maximum.accumulate(times)
    flags = np.where(as_of - times > LATENESS_US, int(Flag.LATE), 0).astype(np.uint8)
    frames = []
    for start in range(0, len(times), batch):
        part = slice(start, min(start + batch, len(times)))
        size = part.stop - start
        frame = Frame.empty(LAYOUT, size)
        frame.fill(whole.slice(start, size), IDENTITY)
        zero = np.zeros(size, np.uint8)
        frames.append((frame, Stamps(np.arange(start, part.stop), as_of[part], times[part], flags[part], zero)))
    table = pl.from_arrow(whole)
    assert isinstance(table, pl.DataFrame)
    return table.with_columns(pl.Series("as_of", as_of), pl.Series("row", np.arange(len(times)))), frames


def run(signal: Signal, frames: Sequence[tuple[Frame, Stamps]]) -> tuple[pl.DataFrame, float]:
    """The signal's columns over all rows (null where unknown), and the CPU seconds of `update` alone."""
    names = list(type(signal).outputs(signal.definition.settings))
    total = sum(frame.size for frame, _ in frames)
    values, valid = np.zeros((len(names), total), np.int64), np.zeros((len(names), total), np.uint8)
    at, spent = 0, 0.0
    for frame, stamps in frames:
        part = slice(at, at + frame.size)
        some, good = np.empty((len(names), frame.size), np.int64), np.empty((len(names), frame.size), np.uint8)
        begun = time.process_time()
        signal.update(frame, stamps, some, good)
        spent += time.process_time() - begun
        values[:, part], valid[:, part] = some, good
        at += frame.size
    floats = values.view(np.float64)
    columns = {n: np.where(valid[k] == 1, floats[k], np.nan) for k, n in enumerate(names)}
    return pl.DataFrame(columns).fill_nan(None), spent


def truth_of(world: World) -> pl.DataFrame:
    """event_id → attack, kind, harmful."""
    found = pl.from_arrow(world.truth)
    assert isinstance(found, pl.DataFrame)
    return found.select("event_id", "attack", "kind", "harmful")


def bootstrap(values: Mapping[str, np.ndarray], statistic: object, rounds: int, seed: int = 0) -> tuple[float, float]:
    """The middle 95 % of a statistic over resampled rows (arrays of one length; a callable of the same names)."""
    rng = np.random.default_rng(seed)
    size = len(next(iter(values.values())))
    found = []
    for _ in range(rounds):
        rows = rng.integers(0, size, size)
        found.append(statistic(**{name: array[rows] for name, array in values.items()}))  # type: ignore[operator]
    low, high = np.nanquantile(found, [0.025, 0.975])
    return float(low), float(high)
