"""Simulated login streams for `benchmarks.segments`: a world's logins as one frame, with the attack behind each row.

A world is simulated once; a campaign of any size is then the honest rows with a share of one attack's attempts, drawn
evenly, which is what a smaller steady campaign would have sent. What follows inside a hijacked account, and the owners'
recoveries, are left out: they are no part of the question. So are sessions of an account with a device and network that
it has had before in that world, since a world is shorter than the time for which an account stays known.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from shoal.detectors.signal_kinds import KINDS
from shoal.detectors.signals import SettingValue, Signal, SignalDefinition
from shoal.enrich.enricher import Enricher
from shoal.events.identity import Identity
from shoal.events.schema import BY_NAME
from shoal.expressions.frame import Frame, Layout
from shoal.features.engine import Stamps
from shoal.simulate import Scenario, simulate

IDENTITY = Identity(bytes(range(16)))
TYPES = (
    "login.failed", "login.succeeded", "challenge.issued", "challenge.passed", "challenge.failed", "session.started",
    "session.used", "account.created",
)  # fmt: skip
COLUMNS = (
    "type", "reason", "account", "org", "device", "ip", "network", "network_kind", "asn", "country", "user_agent",
    "ua_family", "ua_os",
)  # fmt: skip
LAYOUT = Layout.of({name: BY_NAME[name].kind for name in COLUMNS})
WORLDS = Path(__file__).parent / "worlds"
HOUR_US = 3_600_000_000


@dataclass
class Logins:
    """Rows in order of time: the frame's matrices, their times, the attack behind each (0 none, else 1 + its place in
    `attacks`), whether it is a failed or successful login."""

    values: npt.NDArray[np.int64]
    valid: npt.NDArray[np.uint8]
    time: npt.NDArray[np.int64]
    attack: npt.NDArray[np.int64]
    failed: npt.NDArray[np.bool_]
    succeeded: npt.NDArray[np.bool_]
    event: npt.NDArray[np.object_]
    attacks: tuple[str, ...]

    @cached_property
    def first_failures(self) -> npt.NDArray[np.bool_]:
        """Failures with none of the same account in the six hours before."""
        rows = np.flatnonzero(self.failed)
        out, last = np.zeros(len(self), bool), dict[int, int]()
        account, time = self.column("account")[rows].tolist(), self.time[rows].tolist()
        for row, who, now in zip(rows.tolist(), account, time, strict=True):
            if now - last.get(who, -(10**18)) > 6 * HOUR_US:
                out[row], last[who] = True, now
        return out

    def __len__(self) -> int:
        return len(self.time)

    def column(self, name: str) -> npt.NDArray[np.int64]:
        """The ids or numbers of a column (0 where null)."""
        row = LAYOUT.index[name]
        known: npt.NDArray[np.int64] = np.where(self.valid[row] == 1, self.values[row], 0)
        return known

    def some(self, rows: npt.NDArray[np.bool_]) -> Logins:
        """A part of the rows."""
        return Logins(
            np.ascontiguousarray(self.values[:, rows]), np.ascontiguousarray(self.valid[:, rows]), self.time[rows],
            self.attack[rows], self.failed[rows], self.succeeded[rows], self.event[rows], self.attacks,
        )  # fmt: skip

    def campaign(self, attack: str, share: float, seed: int) -> Logins:
        """The honest rows and a share of one attack's."""
        number = self.attacks.index(attack) + 1
        drawn = np.random.default_rng(seed).random(len(self)) < share
        return self.some((self.attack == 0) | ((self.attack == number) & drawn))


def read_world(scenario: Scenario, seed: int) -> Logins:
    """Simulate a world and keep its logins."""
    world, enricher = simulate(scenario, seed=seed), Enricher()
    parts = []
    for block in world.blocks():
        table = pl.from_arrow(block)
        assert isinstance(table, pl.DataFrame)
        table = table.filter(pl.col("type").is_in(TYPES))
        kept = table.select("event_id", "time", *(name for name in COLUMNS if name in table.columns))
        frame = pl.from_arrow(enricher.enrich(_plain(kept)))
        assert isinstance(frame, pl.DataFrame)
        missing = [name for name in COLUMNS if name not in frame.columns]
        frame = frame.with_columns(*(pl.lit(None, pl.String).alias(name) for name in missing))
        parts.append(frame.select("event_id", "time", *COLUMNS))
    truth = pl.from_arrow(world.truth)
    assert isinstance(truth, pl.DataFrame)
    truth = truth.select("event_id", "attack", pl.col("kind").alias("what"))
    rows = pl.concat(parts).unique("event_id", keep="first").join(truth, on="event_id", how="left")
    rows = rows.filter(pl.col("what").is_null() | (pl.col("what") != "recovery")).sort("time", "event_id")
    session = pl.col("type").is_in(("session.started", "session.used"))
    seen = pl.struct("account", "device", "network", session.alias("session")).is_first_distinct()
    rows = rows.filter(~session | seen)
    attacks = tuple(adversary.id for adversary in scenario.adversaries)
    attack = rows["attack"].replace_strict(attacks, range(1, len(attacks) + 1), default=0).fill_null(0)
    frame_ = Frame.empty(LAYOUT, max(rows.height, 1))
    frame_.fill(_plain(rows.select(COLUMNS)), IDENTITY)
    kind = rows["type"].to_numpy()
    return Logins(
        frame_.values, frame_.valid, rows["time"].to_numpy(), attack.to_numpy().astype(np.int64),
        kind == "login.failed", kind == "login.succeeded", rows["event_id"].to_numpy(), attacks,
    )  # fmt: skip


def _plain(frame: pl.DataFrame) -> pa.Table:
    """An event table of plain Arrow types."""
    table = frame.to_arrow()
    kinds = [BY_NAME[name].kind.arrow for name in table.column_names]
    return table.cast(pa.schema(list(zip(table.column_names, kinds, strict=True))))


def new_signal(**settings: SettingValue) -> Signal:
    """A signal with its defaults but for `settings`."""
    kind = KINDS["login_segments"]
    chosen = {name: setting.default for name, setting in kind.settings.items()} | settings
    return kind(SignalDefinition("segments", "login_segments", chosen), LAYOUT, IDENTITY, {})


def columns_of(logins: Logins, signal: Signal, cut: int = 1 << 30) -> dict[str, npt.NDArray[np.float64]]:
    """Run the signal over all rows, `cut` a batch: its columns as floats, NaN where null."""
    named = signal.outputs(signal.definition.settings)
    values = np.zeros((len(named), len(logins)), np.int64)
    valid = np.zeros((len(named), len(logins)), np.uint8)
    for at in range(0, len(logins), cut):
        part = slice(at, min(at + cut, len(logins)))
        size = part.stop - at
        frame = Frame(
            LAYOUT, np.ascontiguousarray(logins.values[:, part]), np.ascontiguousarray(logins.valid[:, part]), size
        )
        zero = np.zeros(size, np.uint8)
        stamps = Stamps(np.arange(at, part.stop), logins.time[part], logins.time[part], zero, zero)
        signal.update(frame, stamps, values[:, part], valid[:, part])
    out = {}
    for row, (name, output) in enumerate(named.items()):
        column = values[row].view(np.float64) if output.kind.name == "FLOAT" else values[row].astype(np.float64)
        out[name] = np.where(valid[row] == 1, column, np.nan)
    return out
