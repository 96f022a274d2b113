"""`MemorySource`: a stream whose partitions are scripts, for tests of Shoal and of what is built on it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from shoal.adapters.source import ENDED, Polled, RawBatch
from shoal.testing.clocks import FakeClock


class Signal(Enum):
    """What a script can say beside records."""

    IDLE = "idle"


IDLE = Signal.IDLE

Scripted = tuple[float, Mapping[str, Any] | bytes | Signal]
"""When it arrives, in seconds from the clock's start; and a record (as a dict or as bytes), or `IDLE`."""


class MemorySource:
    """A `StreamSource` over scripts: partition → what arrives, in order of arrival. Offsets count its records.

    A poll with nothing to give moves the clock forward by its timeout, at most to the next arrival. With `ends`,
    partitions end behind their script. `committed` holds what was committed; `limit` bounds the records of a poll.
    """

    def __init__(
        self,
        scripts: Mapping[str, Sequence[Scripted]],
        clock: FakeClock,
        *,
        format: str = "native",  # noqa: A002 - the contract's word
        name: str = "memory",
        ends: bool = True,
        limit: int = 1_000_000,
    ) -> None:
        self.name, self.format = name, format
        self._clock, self._ends, self._limit = clock, ends, limit
        start = clock.now_us()
        self._scripts = {
            partition: [(start + round(at * 1e6), item) for at, item in script] for partition, script in scripts.items()
        }
        self._at = dict.fromkeys(self._scripts, 0)
        self._ended: set[str] = set()
        self.committed: dict[str, int] = {}
        self.closed = False

    def append(self, partition: str, record: Mapping[str, Any] | bytes) -> None:
        """Let a record arrive now; a partition of a new name comes into being."""
        self._scripts.setdefault(partition, []).append((self._clock.now_us(), record))
        self._at.setdefault(partition, 0)

    def seek(self, offsets: Mapping[str, int]) -> None:
        """Go on at these offsets."""
        for partition, offset in offsets.items():
            if partition in self._scripts:
                self._at[partition] = self._place(partition, offset)

    def _place(self, partition: str, offset: int) -> int:
        script = self._scripts[partition]
        if offset == ENDED:
            return len(script)
        records = [k for k, (_, item) in enumerate(script) if not isinstance(item, Signal)]
        return records[offset] if offset < len(records) else len(script)

    def partitions(self) -> frozenset[str]:
        """Those that have not ended."""
        return frozenset(self._scripts.keys() - self._ended)

    def poll(self, timeout_s: float) -> Polled:
        """What has arrived by now; else moves the clock and looks again."""
        found = self._due()
        if not (found.batches or found.idle or found.ended) and timeout_s > 0:
            due = [script[self._at[name]][0] for name, script in self._scripts.items() if self._at[name] < len(script)]
            ahead = min([(at - self._clock.now_us()) / 1e6 for at in due] + [timeout_s])
            self._clock.advance(max(ahead, 1e-6))
            found = self._due()
        return found

    def _due(self) -> Polled:
        batches, idle, ended = [], set(), set()
        for partition, script in self._scripts.items():
            at = self._at[partition]
            records: list[bytes] = []
            while at < len(script) and script[at][0] <= self._clock.now_us() and len(records) < self._limit:
                item = script[at][1]
                at += 1
                if isinstance(item, Signal):
                    idle.add(partition)
                else:
                    idle.discard(partition)
                    records.append(item if isinstance(item, bytes) else json.dumps(item).encode())
            first = sum(not isinstance(item, Signal) for _, item in script[: self._at[partition]])
            self._at[partition] = at
            if records:
                last = first + len(records)
                batch = RawBatch.of(partition, range(first, last), records, last)
                batches += [batch] if len(batch.offsets) else []
            if self._ends and at == len(script) and partition not in self._ended:
                self._ended.add(partition)
                ended.add(partition)
        return Polled(tuple(batches), frozenset(idle), frozenset(ended))

    def commit(self, offsets: Mapping[str, int]) -> None:
        """Remember them."""
        self.committed.update(offsets)

    def close(self) -> None:
        """Nothing is held."""
        self.closed = True
