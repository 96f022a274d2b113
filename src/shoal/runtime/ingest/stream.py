"""A stream's records on their way to the writer: polled, decoded, merged, and resumed where the journal ends.

`Stream` iterates what is to be journalled: a `Release` of records with the places of all partitions behind it, or a
`Tick` where the source has been silent. It stops when it is told to, or when all partitions have ended. What it holds
when it stops was never journalled and is read again by the next run; what was journalled is never taken twice, because
places and records are one unit of the journal. Times of receipt come from the injected clock.
"""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal.adapters.source import RawBatch, StreamSource
from shoal.clock import Clock
from shoal.errors import Corrupt
from shoal.events.decode import Decoded, Decoder
from shoal.events.formats import FORMATS
from shoal.events.ids import place_ids
from shoal.runtime.columns import one_chunk
from shoal.runtime.ingest.merge import Int64s, Merge, Place, Release
from shoal.settings import Settings

POLL_S = 0.2


@dataclass(frozen=True)
class Tick:
    """A moment at which a stream was idle; it moves the journal's time."""

    as_of: int


def place_body(source: str, release: Release) -> dict[str, Any]:
    """The journal's record of the places behind a release: of each partition its name, the offset to go on at, the one
    that was read to, and what between them is not journalled yet."""
    listed = [[name, place.next, place.read, _packed(place)] for name, place in sorted(release.places.items())]
    return {"source": source, "version": 1, "partitions": listed, "early": release.early}


def read_places(body: Mapping[str, Any]) -> dict[str, Place]:
    """The places of such a record; raises `Corrupt` for what is none."""
    if body.get("version") != 1:
        raise Corrupt(f"a record of a stream's places of version {body.get('version')}")
    return {name: Place(read, _unpacked(start, held)) for name, start, read, held in body["partitions"]}


def _packed(place: Place) -> bytes:
    return zlib.compress(np.diff(place.held, prepend=place.next).astype("<i8").tobytes(), 1) if len(place.held) else b""


def _unpacked(start: int, held: bytes) -> Int64s:
    return np.cumsum(np.frombuffer(zlib.decompress(held), "<i8")) + start if held else np.zeros(0, np.int64)


class Stream:
    """Iterates `Release` and `Tick`; see the module. `committed` may be called from another thread."""

    def __init__(
        self,
        source: StreamSource,
        clock: Clock,
        settings: Settings,
        *,
        merge_wait_s: float,
        resume: Mapping[str, Place],
        stopped: Callable[[], bool],
    ) -> None:
        self.source, self._clock, self._stopped = source, clock, stopped
        self.merge = Merge(
            wait_us=round(merge_wait_s * 1e6), max_rows=settings.merge_rows, skew_us=round(settings.skew_s * 1e6)
        )
        self._limit = settings.batch_rows
        self._tick_us = round(settings.tick_s * 1e6)
        self._resume = dict(resume)
        self._decoders: dict[str, Decoder] = {}
        self._lock = threading.Lock()
        self._to_commit: dict[str, int] = {}

    def committed(self, release: Release) -> None:
        """What was released is journalled, decided and committed: the source is told before its next poll."""
        with self._lock:
            self._to_commit = {name: place.next for name, place in release.places.items()}

    def tell_source(self) -> None:
        """Commit the places that are waiting for it at the source."""
        with self._lock:
            places, self._to_commit = self._to_commit, {}
        if places:
            self.source.commit(places)

    def __iter__(self) -> Iterator[Release | Tick]:
        self.source.seek({name: place.next for name, place in self._resume.items()})
        quiet_since = self._clock.now_us()
        while not self._stopped():
            self.tell_source()
            self.merge.know(self.source.partitions())
            polled = self.source.poll(POLL_S)
            now = self._clock.now_us()
            for batch in polled.batches:
                self.merge.add(batch.partition, self._decode(batch, now), now, batch.next_offset)
            self.merge.idle(polled.idle)
            self.merge.end(polled.ended)
            while not self._stopped() and (release := self.merge.release(now, self._limit)) is not None:
                quiet_since = now
                yield release
            if polled.batches or self.merge.rows:
                quiet_since = now
            elif self._tick_us and now - quiet_since >= self._tick_us:
                quiet_since = now
                yield Tick(now - self.merge.wait_us)
            if not self.merge.rows and polled.ended and not self.source.partitions():
                return

    def _decode(self, batch: RawBatch, now: int) -> Decoded:
        """The batch's records with their offsets, ids and receipt, without those that are journalled already."""
        name = batch.partition
        if name not in self._decoders:
            self._decoders[name] = FORMATS[self.source.format].decoder(self.source.name, name)
        data, places = batch.data, batch.offsets
        decoded = self._decoders[name].decode(data, 0)
        if decoded.read != len(places):  # a line that the format does not count as a record
            lines = data.removesuffix(b"\n").split(b"\n")
            counted = [k for k, line in enumerate(lines) if self._decoders[name].decode(line + b"\n", 0).read == 1]
            data, places = b"".join(lines[k] + b"\n" for k in counted), places[counted]
            decoded = self._decoders[name].decode(data, 0)
        block = Decoded(
            _placed(decoded.events, places),
            _placed(decoded.facts, places),
            _placed(decoded.labels, places),
            tuple(replace(letter, offset=int(places[letter.offset])) for letter in decoded.dead),
            decoded.read,
        )
        block = replace(block, events=_received(place_ids(block.events), now)) if block.events.num_rows else block
        done = self._resume.get(name)
        return block if done is None or not len(places) or int(places[0]) >= done.read else _without(block, done)


def _placed(table: pa.Table, places: Int64s) -> pa.Table:
    """With the source's offsets instead of line numbers."""
    if not table.num_rows:
        return table
    offsets = pa.array(places[np.asarray(one_chunk(table, "offset"))])
    return table.set_column(table.column_names.index("offset"), "offset", offsets)


def _received(table: pa.Table, now: int) -> pa.Table:
    """With the time of receipt where the record tells none."""
    if "received" not in table.column_names:
        return table.append_column("received", pa.array(np.full(table.num_rows, now, dtype=np.int64)))
    filled = pc.fill_null(table.column("received"), now)
    return table.set_column(table.column_names.index("received"), "received", filled)


def _without(block: Decoded, done: Place) -> Decoded:
    """Without the records that were journalled by an earlier run."""

    def left(offsets: Int64s) -> Int64s:
        return np.flatnonzero((offsets >= done.read) | np.isin(offsets, done.held))

    def kept(table: pa.Table) -> pa.Table:
        return table.take(pa.array(left(np.asarray(one_chunk(table, "offset"))))) if table.num_rows else table

    wanted = left(np.array([letter.offset for letter in block.dead], dtype=np.int64))
    dead = tuple(block.dead[k] for k in wanted.tolist())
    events, facts, labels = kept(block.events), kept(block.facts), kept(block.labels)
    return Decoded(events, facts, labels, dead, events.num_rows + facts.num_rows + labels.num_rows + len(dead))
