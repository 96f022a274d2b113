"""Ids for events whose source gives none: the hash of the canonical record and its occurrence number in the source.

The canonical record is the native line of the event (schema order, nulls left out) without its place (source,
partition, offset), its receipt time and its id, so the same record gets the same id from any file, cut or order. Two
records of one source that are alike in every field are told apart by their occurrence number, and a replayed file
gives the same numbers again. The counts live as long as this object; `state` and `EventIds(state)` carry them over a
restart. A stream has no end to count to: there the id is the record's place (`place_ids`), which a broker gives again
when it delivers again.
"""

from __future__ import annotations

import hashlib

import msgpack
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import Corrupt
from shoal.events.schema import BY_NAME
from shoal.events.writers import write_native

STATE_FORMAT, STATE_VERSION = "shoal.event_ids", 1
_PLACE = frozenset({"source", "partition", "offset", "received", "event_id"})
_DIGEST_BYTES = 16


class EventIds:
    """Gives ids to one source's events. Keep one for the whole source: it counts occurrences (about 100 B a record)."""

    def __init__(self, state: bytes | None = None) -> None:
        self._seen: dict[bytes, int] = {}
        if state is not None:
            body = msgpack.unpackb(state, strict_map_key=False)
            if not isinstance(body, dict) or body.get("format") != STATE_FORMAT or body.get("version") != STATE_VERSION:
                raise Corrupt("not a state of event ids that this release reads")
            self._seen = dict(body["seen"])

    def state(self) -> bytes:
        """The counts so far, for `EventIds(state)` after a restart."""
        packed: bytes = msgpack.packb({"format": STATE_FORMAT, "version": STATE_VERSION, "seen": self._seen})
        return packed

    def assign(self, table: pa.Table) -> pa.Table:
        """The table with `event_id` filled where it is null or absent; rows keep their order."""
        rows = table.num_rows
        if "event_id" in table.column_names:
            if table.column("event_id").null_count == 0:
                return table
            given = table.column("event_id").combine_chunks()
            missing = np.flatnonzero(np.asarray(given.is_null()))
        else:
            given = pa.nulls(rows, pa.string())
            missing = np.arange(rows)
        names = [name for name in table.column_names if name not in _PLACE]
        names.sort(key=list(BY_NAME).index)
        lines = write_native(table.select(names).take(pa.array(missing))).split(b"\n")
        made = [self._next(lines[row]) for row in range(len(missing))]
        mask = np.zeros(rows, dtype=np.bool_)
        mask[missing] = True
        filled = pc.replace_with_mask(given, pa.array(mask), pa.array(made, pa.string())) if rows else given
        if "event_id" in table.column_names:
            return table.set_column(table.column_names.index("event_id"), "event_id", filled)
        return table.append_column("event_id", filled)

    def _next(self, line: bytes) -> str:
        digest = hashlib.blake2b(line, digest_size=_DIGEST_BYTES).digest()
        occurrence = self._seen.get(digest, 0)
        self._seen[digest] = occurrence + 1
        return f"h{digest.hex()}.{occurrence}"


def place_ids(table: pa.Table) -> pa.Table:
    """The table with `event_id` filled where it is null or absent, from source, partition and offset."""
    rows = table.num_rows
    given = table.column("event_id").to_pylist() if "event_id" in table.column_names else [None] * rows
    if all(given):
        return table
    places = zip(*(table.column(name).to_pylist() for name in ("source", "partition", "offset")), strict=True)
    made = [
        name or "p" + hashlib.blake2b("\0".join(map(str, place)).encode(), digest_size=_DIGEST_BYTES).hexdigest()
        for name, place in zip(given, places, strict=True)
    ]
    filled = pa.array(made, pa.string())
    if "event_id" in table.column_names:
        return table.set_column(table.column_names.index("event_id"), "event_id", filled)
    return table.append_column("event_id", filled)
