"""The `.ids` file beside a sealed segment: sorted id hashes and the seqs of the events that carry them.

Twelve bytes an event, memory-mapped, searched by binary search. Derived from the segment, to which it is bound by its
seqs and row count: one that is missing, damaged or of another version is written anew. Body hashes, times and the
`event_id` texts stay in the segment's rows, where a hit is confirmed.
"""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shoal.events.identity import Identity
from shoal.storage import frames as codec
from shoal.storage.catalog import Segment
from shoal.storage.frames import EVENTS, EventFrame, Int64s
from shoal.storage.segments import write_whole

_HEAD = struct.Struct("<8sIIqqqI")
_MAGIC, VERSION = b"SHOALIDS", 1


class Collector:
    """Gathers the ids of one segment's events, then writes the file."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._ids: list[Int64s] = []
        self._seqs: list[Int64s] = []

    def add(self, frame: EventFrame) -> None:
        """A frame with at least `seq` and `event_id`; rows without an id are left out."""
        if "event_id" not in frame.table.column_names:
            return
        texts = frame.table.column("event_id").combine_chunks()
        seqs = codec.column_array(frame.table, "seq")
        hashes = self._identity.ids_of(texts)
        if texts.null_count:
            known = np.asarray(texts.is_valid())
            hashes, seqs = hashes[known], seqs[known]
        self._ids.append(hashes)
        self._seqs.append(seqs)

    def write(self, segment: Segment) -> IdFile:
        """Sort and write; returns the file, opened."""
        empty = [np.zeros(0, dtype=np.int64)]
        hashes, seqs = np.concatenate(self._ids or empty), np.concatenate(self._seqs or empty)
        order = np.argsort(hashes, kind="stable")
        sorted_ids = hashes[order].astype("<i8")
        places = (seqs[order] - segment.first_seq).astype("<u4")
        crc = zlib.crc32(places.tobytes(), zlib.crc32(sorted_ids.tobytes()))
        body = [sorted_ids.tobytes(), places.tobytes()]
        head = _HEAD.pack(_MAGIC, VERSION, 0, segment.first_seq, segment.next_seq, len(hashes), crc)
        write_whole(segment.ids_path, [head + zlib.crc32(head).to_bytes(4, "little"), *body])
        return IdFile(segment.ids_path, segment)


class IdFile:
    """One opened `.ids` file; raises ValueError when it does not fit its segment."""

    def __init__(self, path: Path, segment: Segment) -> None:
        self.segment = segment
        start = _HEAD.size + 4
        with path.open("rb") as file:
            head = file.read(start)
        size = path.stat().st_size
        if len(head) < start or zlib.crc32(head[:-4]) != int.from_bytes(head[-4:], "little"):
            raise ValueError("damaged head")
        magic, version, _, first, following, count, self._crc = _HEAD.unpack(head[:-4])
        if (magic, version) != (_MAGIC, VERSION) or (first, following) != (segment.first_seq, segment.next_seq):
            raise ValueError("belongs to another segment")
        if size != start + 12 * count:
            raise ValueError("another length")
        self.count = count
        self.hashes: npt.NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._places: npt.NDArray[np.uint32] = np.zeros(0, dtype=np.uint32)
        if count:
            self.hashes = np.memmap(path, dtype="<i8", mode="r", offset=start, shape=(count,))
            self._places = np.memmap(path, dtype="<u4", mode="r", offset=start + 8 * count, shape=(count,))

    def check(self) -> bool:
        """Whether the contents match the checksum and are sorted (reads all of it)."""
        crc = zlib.crc32(self._places.tobytes(), zlib.crc32(self.hashes.tobytes()))
        return crc == self._crc and bool(np.all(np.diff(self.hashes) >= 0 if self.count > 1 else True))

    def find(self, hashes: Int64s) -> tuple[Int64s, Int64s]:
        """All pairs (index into `hashes`, seq) where the id stands in the file; O(log n) an id."""
        low = np.searchsorted(self.hashes, hashes, side="left")
        inside = np.minimum(low, max(self.count - 1, 0))
        hits = np.flatnonzero(self.hashes[inside] == hashes) if self.count else np.zeros(0, dtype=np.int64)
        if not len(hits):
            return hits.astype(np.int64), np.zeros(0, dtype=np.int64)
        high = np.searchsorted(self.hashes, hashes[hits], side="right")
        counts = high - low[hits]
        rows = np.repeat(hits, counts)
        inner = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        places = np.repeat(low[hits], counts) + inner
        return rows.astype(np.int64), self._places[places].astype(np.int64) + self.segment.first_seq


def open_ids(segment: Segment, identity: Identity, *, write: bool = True) -> IdFile | None:
    """The segment's file, written anew where it is missing or wrong (None if that is not allowed)."""
    try:
        return IdFile(segment.ids_path, segment)
    except (OSError, ValueError):
        return rebuild(segment, identity) if write else None


def rebuild(segment: Segment, identity: Identity) -> IdFile:
    """Write the file anew from the segment."""
    collected = Collector(identity)
    with segment.reader() as reader:
        for unit in reader.segment.units:
            for head in unit.heads:
                if head.kind == EVENTS:
                    collected.add(codec.decode_events(head, reader.payload(head), ["seq", "event_id"]))
    return collected.write(segment)
