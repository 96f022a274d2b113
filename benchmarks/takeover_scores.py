"""Scores of a table of logins by the signal `login_likelihood`, and what they cost: catch rates, re-authentication."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.takeover_rows import Logins
from shoal.detectors.signals import SettingValue, SignalDefinition
from shoal.detectors.takeover.likelihood import LoginLikelihood
from shoal.events.identity import Identity
from shoal.events.schema import BY_NAME, EVENT_COLUMNS, Kind
from shoal.expressions.frame import Frame, Layout
from shoal.features.engine import Stamps

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
LAYOUT = Layout.of({column.name: column.kind for column in EVENT_COLUMNS})
IDENTITY = Identity(bytes(range(16)))


def signal_of(**settings: SettingValue) -> LoginLikelihood:
    """The signal with these settings, the others as they stand by default."""
    whole = {name: setting.default for name, setting in LoginLikelihood.settings.items()} | settings
    return LoginLikelihood(SignalDefinition("login", LoginLikelihood.kind, whole), LAYOUT, IDENTITY, {})


def frame_of(events: pa.Table) -> tuple[Frame, Stamps]:
    """The table as the engine's frame, stamped in its order."""
    frame = Frame.empty(LAYOUT, max(events.num_rows, 1))
    frame.fill(events.select([name for name in events.column_names if name in BY_NAME]), IDENTITY)
    times = events["time"].to_numpy().astype(np.int64)
    zero = np.zeros(len(times), np.uint8)
    return frame, Stamps(np.arange(len(times)), np.maximum.accumulate(times), times, zero, zero)


def columns_of(signal: LoginLikelihood, frame: Frame, stamps: Stamps) -> dict[str, Floats]:
    """The signal's columns as floats, NaN where null."""
    outputs = signal.outputs(signal.definition.settings)
    values = np.zeros((len(outputs), frame.size), np.int64)
    valid = np.zeros((len(outputs), frame.size), np.uint8)
    signal.update(frame, stamps, values, valid)
    found = {}
    for row, (name, output) in enumerate(outputs.items()):
        numbers = values[row].view(np.float64) if output.kind is Kind.FLOAT else values[row].astype(np.float64)
        found[name] = np.where(valid[row] == 1, numbers, np.nan)
    return found


@dataclass(frozen=True)
class Curve:
    """Re-authentication of honest accounts with about `length` logins: the median count of an account over its
    logins, and the mean rate, with a bootstrap interval over accounts."""

    length: int
    median_rate: float
    mean_rate: float
    accounts: int
    low: float
    high: float


def threshold_at(scores: Floats, caught: float) -> float:
    """The largest threshold at which `caught` of these scores are at or above it."""
    ordered = np.sort(scores)
    return float(ordered[int(np.floor((1 - caught) * len(ordered)))])


def reauthentication(logins: Logins, scores: Floats, threshold: float, length: int, rows: Bools) -> Curve:
    """The curve's point at a length of history, over accounts whose logins are within a tenth (at least one) of it."""
    slack = max(1, length // 10)
    kept = rows & logins.success & (logins.attacker < 0) & (np.abs(logins.total - length) <= slack)
    accounts, place = np.unique(logins.account[kept], return_inverse=True)
    asked = np.bincount(place, weights=(scores[kept] >= threshold), minlength=len(accounts))
    sizes = np.bincount(place, minlength=len(accounts))
    rng = np.random.default_rng(5)
    draws = rng.integers(0, len(accounts), (200, len(accounts)))
    means = asked[draws].sum(axis=1) / sizes[draws].sum(axis=1)
    median = float(np.median(asked / sizes * length))
    return Curve(length, median / length, float(asked.sum() / sizes.sum()), len(accounts),
                 float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975)))  # fmt: skip
