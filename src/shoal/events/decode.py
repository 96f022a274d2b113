"""What decoding yields, and the port that each format implements.

`Decoded` is one block's outcome: events, facts, labels and dead letters, and how many records were read. The law of
conservation holds for every block of every format: read = events + facts + labels + dead. A `Decoder` is made per
(source, partition) and is pure: bytes in, tables out; it touches no disk and no clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shoal.events.deadletters import DeadLetter
from shoal.events.facts import FACT_SCHEMA
from shoal.events.labels import LABEL_SCHEMA
from shoal.events.schema import GIVEN_COLUMNS, schema_of

MAX_LINE_BYTES = 1 << 20
MAX_NESTING = 64
MAX_TEXT_BYTES = 64 * 1024

ALWAYS = ("time", "type", "source", "partition", "offset")
"""Columns that a decoded event table always has."""


_SPLICE_LIMIT = 64  # up to so many rows are put between slices; more are sorted in


def empty_events() -> pa.Table:
    """An event table without rows, with the columns that are always there."""
    return schema_of(list(ALWAYS)).empty_table()


@dataclass(frozen=True)
class Decoded:
    """The outcome of one block. The next block's first offset is this block's plus `read`."""

    events: pa.Table = field(default_factory=empty_events)
    facts: pa.Table = field(default_factory=FACT_SCHEMA.empty_table)
    labels: pa.Table = field(default_factory=LABEL_SCHEMA.empty_table)
    dead: tuple[DeadLetter, ...] = ()
    read: int = 0

    @property
    def balanced(self) -> bool:
        """Whether every record that was read became exactly one event, fact, label or dead letter."""
        kept: int = self.events.num_rows + self.facts.num_rows + self.labels.num_rows
        return self.read == kept + len(self.dead)


class Decoder(Protocol):
    """Reads blocks of one partition of one source."""

    def decode(self, block: bytes, offset: int) -> Decoded:
        """Decode whole records.

        `block`: whole lines, each one JSON text (blank lines are skipped and not counted); or, for a CSV format, the
        header row and then whole rows. `offset`: number of the first record in the partition. Never raises for what
        the block holds: a record that cannot be read is a dead letter.
        """
        ...


def event_table(columns: Mapping[str, Sequence[Any] | pa.Array], source: str, partition: str) -> pa.Table:
    """An event table of `columns` (name → values of the column's kind) in schema order, without all-null columns.

    `time`, `type` and `offset` must be among them; `source` and `partition` are filled in.
    """
    rows = len(columns["time"])
    arrays: dict[str, pa.Array] = {}
    for spec in GIVEN_COLUMNS:
        if spec.name in ("source", "partition"):
            text = source if spec.name == "source" else partition
            arrays[spec.name] = pa.repeat(pa.scalar(text, pa.string()), rows)
            continue
        values = columns.get(spec.name)
        if values is None:
            continue
        array = values if isinstance(values, pa.Array) else pa.array(values, spec.kind.arrow)
        if array.null_count < rows or spec.name in ALWAYS:
            arrays[spec.name] = array
    return pa.table(arrays)


def splice(fast: pa.Table, offsets: npt.NDArray[np.int64], slow: pa.Table) -> pa.Table:
    """Two event tables, each in order of offset, as one in that order."""
    if slow.num_rows == 0:
        return fast
    if fast.num_rows == 0:
        return slow
    if slow.num_rows > _SPLICE_LIMIT:
        both = pa.concat_tables([fast, slow], promote_options="default")
        order = np.argsort(both.column("offset").to_numpy(), kind="stable")
        table = both.take(pa.array(order))
    else:
        parts, done = [], 0
        places = np.searchsorted(offsets, slow.column("offset").to_numpy())
        for row, place in enumerate(places.tolist()):
            parts.append(fast.slice(done, place - done))
            parts.append(slow.slice(row, 1))
            done = place
        parts.append(fast.slice(done))
        table = pa.concat_tables(parts, promote_options="default")
    names = [spec.name for spec in GIVEN_COLUMNS if spec.name in table.column_names]
    return table.select(names).combine_chunks()
