"""What the features of a pack cost in memory and disk at a stated rate: an estimate for people, before they deploy.

The model is that of docs/features.md: one log of live events for all exact windows (as long as the longest of them), a
row for each key of a key tuple, a pair row for each (key, value) of `distinct`, `seen` and `share`, a cell for each
bucket. Byte counts are round numbers of the engine's layout, not measurements. Holds no state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from shoal.features.definitions import FeatureDefinition
from shoal.packs.pack import Pack
from shoal.rules.reasons import bytes_words, duration_words

LOG_BYTES = 40
"""Bytes of one event in the log, for a few keys (FEATURES.md)."""
KEY_BYTES, CELL_BYTES, PAIR_BYTES = 32, 8, 32
_PAIRED = frozenset({"distinct", "seen", "share"})


@dataclass(frozen=True)
class Load:
    """The load to reckon with: events a second, and how many keys of a kind are alive (default for those not named)."""

    events_per_s: float = 1_000.0
    keys: int = 1_000_000
    values_per_key: float = 4.0


@dataclass(frozen=True)
class FeatureCost:
    """The cost of one feature on its own; `log_bytes` is shared by all features whose window is no longer."""

    feature: str
    log_bytes: float
    key_bytes: float
    pair_bytes: float

    @property
    def note(self) -> str:
        """One line for a table."""
        parts = [f"{bytes_words(self.key_bytes)} for keys"]
        if self.pair_bytes:
            parts.append(f"{bytes_words(self.pair_bytes)} for pairs")
        if self.log_bytes:
            parts.append(f"{bytes_words(self.log_bytes)} of the shared log")
        return ", ".join(parts)


def feature_cost(feature: FeatureDefinition, load: Load) -> FeatureCost:
    """The cost of one feature on its own."""
    if feature.operation == "derived":
        return FeatureCost(feature.id, 0.0, 0.0, 0.0)
    exact = feature.window_s is not None and feature.bucket_s is None
    log = LOG_BYTES * load.events_per_s * feature.window_s if exact and feature.window_s else 0.0
    cells = 1 if feature.bucket_s is None or feature.window_s is None else feature.window_s // feature.bucket_s + 1
    pairs = load.keys * load.values_per_key * PAIR_BYTES if feature.operation in _PAIRED else 0.0
    return FeatureCost(feature.id, log, float(load.keys * (KEY_BYTES + CELL_BYTES * cells)), pairs)


def costs(pack: Pack, load: Load | None = None) -> tuple[tuple[FeatureCost, ...], str]:
    """The cost of each feature, and a line for the whole: the log once, the key row of a key tuple once."""
    load = load or Load()
    listed = tuple(feature_cost(feature, load) for feature in pack.features)
    by_id: Mapping[str, FeatureDefinition] = {feature.id: feature for feature in pack.features}
    log = max((cost.log_bytes for cost in listed), default=0.0)
    tuples = {by_id[cost.feature].key for cost in listed if by_id[cost.feature].key}
    own = sum(max(cost.key_bytes - load.keys * KEY_BYTES, 0.0) + cost.pair_bytes for cost in listed)
    memory = len(tuples) * load.keys * KEY_BYTES + own
    longest = max((f.window_s or 0 for f in pack.features if f.bucket_s is None), default=0)
    total = (
        f"{len(listed)} features over {len(tuples)} keys: about {bytes_words(memory)} of memory with "
        f"{load.keys:,} live keys each, and a log of {bytes_words(log)} ({duration_words(longest)} at "
        f"{load.events_per_s:,.0f} events a second, mapped from disk)"
    )
    return listed, total
