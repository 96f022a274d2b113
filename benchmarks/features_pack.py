"""The synthetic pack's features over the pipeline's stream, without the pipeline: what the features stage costs alone.

The columns are those of `benchmarks/pipeline.py`'s events (100,000 accounts, one day, no links, domains or places),
encoded here directly, so that neither decoding nor hashing of texts is measured.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmarks.synthetic_pack import FEATURES_45
from shoal.events.identity import Identity
from shoal.events.schema import BY_NAME
from shoal.expressions.frame import Frame, Layout
from shoal.features.definitions import FeatureDefinition
from shoal.features.engine import FeatureEngine, Stamps

ACCOUNTS = 100_000
DAY_US = 86_400_000_000
_COLUMNS = (
    "type", "account", "session", "device", "ip", "network", "user_agent", "country", "size_bytes", "external",
    "recipient", "link", "domain", "lat", "lon", "account_created", "link_created",
)  # fmt: skip
PACK_LAYOUT = Layout.of({name: BY_NAME[name].kind for name in _COLUMNS})
_TYPES = ("login.succeeded", "login.failed", "file.downloaded", "file.uploaded", "file.deleted", "folder.shared",
          "link.visited")  # fmt: skip
_MIX = [0.2, 0.05, 0.35, 0.2, 0.03, 0.07, 0.1]
Numbers = npt.NDArray[np.int64]


@dataclass
class PackStream:
    """Encoded columns of the stream, null where a column is missing."""

    as_of: Numbers
    columns: dict[str, tuple[Numbers, npt.NDArray[np.uint8]]]

    def frame(self, start: int, stop: int) -> Frame:
        """Events `start..stop` as a frame."""
        frame = Frame.empty(PACK_LAYOUT, stop - start)
        frame.size = stop - start
        for name, (values, valid) in self.columns.items():
            row = PACK_LAYOUT.index[name]
            frame.values[row], frame.valid[row] = values[start:stop], valid[start:stop]
        return frame

    def stamps(self, start: int, stop: int) -> Stamps:
        """Their stamps."""
        as_of, none = self.as_of[start:stop], np.zeros(stop - start, np.uint8)
        return Stamps(np.arange(start, stop, dtype=np.int64), as_of, as_of, none, none)


def _ids(numbers: Numbers, salt: int) -> Numbers:
    mixed = (numbers.astype(np.uint64) + np.uint64(salt << 40)) * np.uint64(0x9E3779B97F4A7C15)
    return (mixed ^ (mixed >> np.uint64(29))).view(np.int64)


def make_pack_stream(count: int, identity: Identity, seed: int = 7) -> PackStream:
    """`count` events over one day, drawn as the pipeline's benchmark draws them."""
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, DAY_US, count))
    account = (rng.zipf(1.3, count) * 7919 + rng.integers(0, ACCOUNTS, count)) % ACCOUNTS
    kind = rng.choice(len(_TYPES), count, p=_MIX)
    ip = (account * 31 + rng.integers(0, 3, count)) % 60_000
    all_there = np.ones(count, np.uint8)
    types = np.array([identity.id_of(name) for name in _TYPES], dtype=np.int64)
    columns = {
        "type": (types[kind], all_there),
        "account": (_ids(account, 1), all_there),
        "session": (_ids(account * 4 + times // (DAY_US // 4) % 4, 2), all_there),
        "device": (_ids((account * 3 + rng.integers(0, 2, count)) % (2 * ACCOUNTS), 3), all_there),
        "ip": (_ids(ip, 4), all_there),
        "network": (_ids(ip >> 8, 5), all_there),
        "user_agent": (_ids(account % 40, 6), all_there),
        "country": (_ids(account % 5, 7), all_there),
        "size_bytes": (rng.integers(100, 10**7, count), (kind >= 2).astype(np.uint8)),
    }
    return PackStream(times + 1_767_225_600_000_000, columns)


def pack_definitions() -> list[FeatureDefinition]:
    """The 45 features of the synthetic pack."""
    return [FeatureDefinition(**one) for one in FEATURES_45]  # type: ignore[arg-type]


def run_pack(identity: Identity, count: int, batch: int = 4_096) -> tuple[float, float]:
    """CPU-µs an event of the kernel alone, and of the whole update (conditions, values, derived features)."""
    stream = make_pack_stream(count, identity)
    engine = FeatureEngine(pack_definitions(), PACK_LAYOUT, identity, history_complete=True)
    starts = range(0, count, batch)
    batches = [(stream.frame(i, min(i + batch, count)), stream.stamps(i, min(i + batch, count))) for i in starts]
    kernel = 0.0
    drive = engine.parts[0].drive

    def timed(start: int, stop: int) -> None:
        nonlocal kernel
        begin = time.process_time()
        drive(start, stop)
        kernel += time.process_time() - begin

    engine.parts[0].drive = timed  # type: ignore[method-assign]
    values, valid = np.zeros((45, batch), np.int64), np.zeros((45, batch), np.uint8)
    begin = time.process_time()
    for frame, stamps in batches:
        engine.update(frame, stamps, values, valid)
    whole = time.process_time() - begin
    return kernel / count * 1e6, whole / count * 1e6
