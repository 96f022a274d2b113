"""Frames of the journal: what a frame holds, and how its payload is written and read. Hot path.

Event frames are packed Arrow IPC streams (`packed`; zstd 1: a third smaller than lz4 for a tenth of a microsecond an
event); releases before wrote them unpacked, which is still read. Under `ROW_WISE_BELOW` rows they are msgpack rows,
because a one-row Arrow stream of 30 columns is 3 KB. Duplicate frames are
pairs of int64. Control frames are lists of msgpack records, in which an Arrow table is an extension value; a run of
records of one kind (thousands of facts) is one entry in columns. A hidden
column keeps the body hash of each event beside it, so that deduplication can be rebuilt. This module holds no state
and opens no file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import ipc

from shoal.errors import InvalidInput, Problem, Unsupported
from shoal.events.identity import BatchIds
from shoal.events.schema import BY_NAME
from shoal.storage.packed.columns import pack, unpack
from shoal.storage.segments import NO_TIME_HIGH, NO_TIME_LOW, EncodedFrame, FrameHead, encode_frame

Int64s = npt.NDArray[np.int64]

EVENTS, DUPLICATES, CONTROLS, DECISIONS, REVISIONS = 1, 2, 3, 4, 5
KIND_NAMES = {EVENTS: "events", DUPLICATES: "duplicates", CONTROLS: "controls", DECISIONS: "decisions",
              REVISIONS: "revisions"}  # fmt: skip
ARROW, ROWS, RAW, PACKED, RUNS = 1, 2, 3, 4, 5
"""Encodings. A release that does not know one refuses the frame by its number."""
ROW_WISE_BELOW = 256
BODY = "__body"
_TABLE_CODE, _RUN_CODE = 1, 2


@dataclass(frozen=True)
class EventFrame:
    """Events of one frame, in `seq` order. `bodies` are their body hashes, 0 where the writer gave none.
    `ids`: what has hashed texts of `table` already, where the writer hands the frame on."""

    first_seq: int
    last_seq: int
    table: pa.Table
    bodies: Int64s
    ids: BatchIds | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class DuplicateFrame:
    """Duplicates of one frame: record `seqs[i]` repeats the event that has `originals[i]`; both int64[n]."""

    first_seq: int
    last_seq: int
    seqs: Int64s
    originals: Int64s


@dataclass(frozen=True)
class ControlFrame:
    """One control record: facts, labels, lists, packs, models, ticks, part_missing, …; tables in `body` are Arrow."""

    seq: int
    as_of: int
    kind: str
    body: Mapping[str, Any] = field(default_factory=dict)

    @property
    def first_seq(self) -> int:
        """Same as `seq`, so that all frames have a first and a last one."""
        return self.seq

    @property
    def last_seq(self) -> int:
        """Same as `seq`."""
        return self.seq


@dataclass(frozen=True)
class ControlRun:
    """Control records of one kind in columns: record i has `seqs[i]` (ascending, not always without gaps), `as_ofs[i]`
    (both int64[n], n > 0) and row i of `table` for its body."""

    kind: str
    seqs: Int64s
    as_ofs: Int64s
    table: pa.Table

    @property
    def first_seq(self) -> int:
        """The first record's seq."""
        return int(self.seqs[0])

    @property
    def last_seq(self) -> int:
        """The last record's seq."""
        return int(self.seqs[-1])


Frame = EventFrame | DuplicateFrame | ControlFrame | ControlRun


@dataclass(frozen=True)
class Group:
    """What was synced together: records `first_seq … last_seq` without a gap, their kinds interleaved by `seq`."""

    first_seq: int
    last_seq: int
    events: EventFrame | None
    duplicates: DuplicateFrame | None
    controls: tuple[ControlFrame, ...]
    runs: tuple[ControlRun, ...] = ()


def codec_of(name: str) -> pa.Codec | None:
    """The compression of Arrow payloads by its setting: `none`, `lz4`, `zstd`."""
    if name not in ("none", "lz4", "zstd"):
        raise InvalidInput(
            Problem("journal.compression", f"unknown compression {name!r}", allowed="none, lz4, zstd", hint="zstd")
        )
    if name == "none":
        return None
    return pa.Codec("zstd", 1) if name == "zstd" else pa.Codec("lz4")


def arrow_bytes(table: pa.Table, codec: pa.Codec | None) -> memoryview:
    """A table as an Arrow IPC stream, without its metadata."""
    sink = pa.BufferOutputStream()
    options = ipc.IpcWriteOptions(compression=codec, use_threads=False)
    with ipc.new_stream(sink, table.schema.remove_metadata(), options=options) as writer:
        writer.write_table(table)
    return memoryview(sink.getvalue())


def arrow_table(data: bytes | memoryview, columns: Sequence[str] | None = None) -> pa.Table:
    """The table of an Arrow IPC stream; of `columns` only those that are there."""
    options = ipc.IpcReadOptions(use_threads=False)
    if columns is not None:
        with ipc.open_stream(data) as stream:
            names = stream.schema.names
        fields = [i for i, name in enumerate(names) if name in columns]
        options = ipc.IpcReadOptions(use_threads=False, included_fields=fields or [0])
        with ipc.open_stream(data, options=options) as stream:
            return stream.read_all().select([names[i] for i in fields])
    with ipc.open_stream(data, options=options) as stream:
        return stream.read_all()


def _range(values: Int64s) -> tuple[int, int]:
    return (int(values.min()), int(values.max())) if len(values) else (NO_TIME_LOW, NO_TIME_HIGH)


def column_array(table: pa.Table, name: str) -> Int64s:
    """A null-free int64 column as NumPy."""
    values: Int64s = table.column(name).to_numpy()
    return values


def time_range(table: pa.Table) -> tuple[int, int]:
    """The range of `time`, nulls left out; (low > high) where there is none."""
    if "time" not in table.column_names:
        return NO_TIME_LOW, NO_TIME_HIGH
    column = table.column("time")
    if column.null_count:
        column = column.drop_null()
    return _range(column.to_numpy())


def encode_events(table: pa.Table, bodies: Int64s | None, codec: pa.Codec | None) -> EncodedFrame:
    """Events (not empty, checked, with `seq` and `as_of`) as a frame."""
    seqs, as_ofs = column_array(table, "seq"), column_array(table, "as_of")
    rows = table.num_rows
    low, high = time_range(table)
    if bodies is not None:
        table = table.append_column(BODY, pa.array(bodies, pa.int64()))
    encoding = ROWS if rows < ROW_WISE_BELOW else PACKED
    payload = _rows_bytes(table) if encoding == ROWS else pack(table, codec)
    head = FrameHead(
        EVENTS, encoding, rows, int(seqs[0]), int(seqs[-1]), int(as_ofs[0]), int(as_ofs[-1]), low, high
    )  # fmt: skip
    return encode_frame(head, payload)


def decode_events(head: FrameHead, payload: bytes | memoryview, columns: Sequence[str] | None = None) -> EventFrame:
    """The events of a frame; of `columns` only those that are there."""
    wanted = None if columns is None else [*columns, BODY]
    if head.encoding == PACKED:
        table = unpack(payload, wanted)
    elif head.encoding == ARROW:
        table = arrow_table(payload, wanted)
    elif head.encoding == ROWS:
        table = _rows_table(payload, wanted)
    else:
        raise Unsupported(f"event frame encoding {head.encoding}")
    names = table.column_names
    if BODY in names:
        bodies = column_array(table, BODY)
        table = table.drop_columns([BODY])
    else:
        bodies = np.zeros(head.rows, dtype=np.int64)
    return EventFrame(head.first_seq, head.last_seq, table, bodies)


def _rows_bytes(table: pa.Table) -> bytes:
    """Rows as msgpack: the names of the columns that hold anything, then their values."""
    names, columns = [], []
    for name, column in zip(table.column_names, table.columns, strict=True):
        if column.null_count < len(column):
            names.append(name)
            columns.append(column.to_pylist())
    data: bytes = msgpack.packb([names, list(zip(*columns, strict=True))])
    return data


def _rows_table(payload: bytes | memoryview, wanted: Sequence[str] | None) -> pa.Table:
    names, rows = msgpack.unpackb(payload)
    columns = dict(zip(names, zip(*rows, strict=True), strict=True))
    return pa.table(
        {
            name: pa.array(values, pa.int64() if name == BODY else BY_NAME[name].kind.arrow)
            for name, values in columns.items()
            if wanted is None or name in wanted
        }
    )


def encode_duplicates(seqs: Int64s, originals: Int64s) -> EncodedFrame:
    """Duplicates (not empty) as a frame."""
    pairs = np.concatenate([seqs, originals]).astype("<i8", copy=False)
    head = FrameHead(DUPLICATES, RAW, len(seqs), int(seqs[0]), int(seqs[-1]))
    return encode_frame(head, pairs.tobytes())


def decode_duplicates(head: FrameHead, payload: bytes | memoryview) -> DuplicateFrame:
    """The duplicates of a frame."""
    pairs = np.frombuffer(payload, dtype="<i8").astype(np.int64)
    return DuplicateFrame(head.first_seq, head.last_seq, pairs[: head.rows], pairs[head.rows :])


def encode_control(record: ControlFrame, codec: pa.Codec | None) -> bytes:
    """One control record in bytes. Raises `InvalidInput` for a body that cannot be kept."""

    def extension(value: object) -> msgpack.ExtType:
        if isinstance(value, pa.Table):
            return msgpack.ExtType(_TABLE_CODE, bytes(arrow_bytes(value, codec)))
        raise TypeError(f"a {type(value).__name__}")

    try:
        data: bytes = msgpack.packb([record.seq, record.as_of, record.kind, record.body], default=extension)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(
            Problem(
                "journal.control_body",
                f"the body of a control record cannot be kept: {error}",
                allowed="maps, lists, texts, bytes, numbers, booleans, null and Arrow tables",
            )
        ) from error
    return data


def encode_run(run: ControlRun, codec: pa.Codec | None) -> bytes:
    """A run of control records in bytes."""
    table = run.table.append_column("seq", pa.array(run.seqs)).append_column("as_of", pa.array(run.as_ofs))
    data: bytes = msgpack.packb([run.kind, msgpack.ExtType(_RUN_CODE, bytes(pack(table, codec)))])
    return data


def encode_controls(records: Sequence[ControlFrame | ControlRun], parts: Sequence[bytes]) -> EncodedFrame:
    """Control records and runs of them (not empty), each encoded already, as one frame."""
    payload = msgpack.Packer().pack_array_header(len(parts)) + b"".join(parts)
    runs = [record for record in records if isinstance(record, ControlRun)]
    as_ofs = [record.as_of for record in records if isinstance(record, ControlFrame)]
    as_ofs += [int(run.as_ofs[place]) for run in runs for place in (0, -1)]
    rows = len(records) - len(runs) + sum(len(run.seqs) for run in runs)
    first, last = min(record.first_seq for record in records), max(record.last_seq for record in records)
    head = FrameHead(CONTROLS, RUNS if runs else ROWS, rows, first, last, min(as_ofs), max(as_ofs))
    return encode_frame(head, payload)


def decode_controls(payload: bytes | memoryview) -> list[ControlFrame | ControlRun]:
    """The control records of a frame, and runs of them."""

    def extension(code: int, data: bytes) -> object:
        if code not in (_TABLE_CODE, _RUN_CODE):
            raise Unsupported(f"control value of kind {code}")
        return arrow_table(data) if code == _TABLE_CODE else unpack(data)

    records = msgpack.unpackb(payload, ext_hook=extension, strict_map_key=False)
    return [ControlFrame(*record) if len(record) == 4 else _run(*record) for record in records]


def _run(kind: str, table: pa.Table) -> ControlRun:
    seqs, as_ofs = column_array(table, "seq"), column_array(table, "as_of")
    return ControlRun(kind, seqs, as_ofs, table.drop_columns(["seq", "as_of"]))


def decode(head: FrameHead, payload: bytes | memoryview) -> list[Frame]:
    """What a frame of any kind holds."""
    if head.kind == EVENTS:
        return [decode_events(head, payload)]
    if head.kind == DUPLICATES:
        return [decode_duplicates(head, payload)]
    if head.kind == CONTROLS:
        return list(decode_controls(payload))
    raise Unsupported(f"frame kind {head.kind}")


def clip(frame: Frame, low: int, high: int) -> Frame | None:
    """The part of a frame with `low <= seq < high`, or None."""
    if frame.first_seq >= low and frame.last_seq < high:
        return frame
    if frame.last_seq < low or frame.first_seq >= high or isinstance(frame, ControlFrame):
        return None
    seqs = column_array(frame.table, "seq") if isinstance(frame, EventFrame) else frame.seqs
    start, end = int(np.searchsorted(seqs, low)), int(np.searchsorted(seqs, high))
    if start == end:
        return None
    first, last = int(seqs[start]), int(seqs[end - 1])
    if isinstance(frame, DuplicateFrame):
        return DuplicateFrame(first, last, seqs[start:end], frame.originals[start:end])
    if isinstance(frame, ControlRun):
        return ControlRun(frame.kind, seqs[start:end], frame.as_ofs[start:end], frame.table.slice(start, end - start))
    return EventFrame(first, last, frame.table.slice(start, end - start), frame.bodies[start:end])


def group_of(frames: Sequence[Frame]) -> Group:
    """Frames of one contiguous range as a group (not empty); several frames of one kind are joined in order."""
    events = [f for f in frames if isinstance(f, EventFrame)]
    twins = [f for f in frames if isinstance(f, DuplicateFrame)]
    controls = sorted((f for f in frames if isinstance(f, ControlFrame)), key=lambda f: f.seq)
    return Group(
        min(f.first_seq for f in frames),
        max(f.last_seq for f in frames),
        join_events(events) if events else None,
        join_duplicates(twins) if twins else None,
        tuple(controls),
        join_runs([f for f in frames if isinstance(f, ControlRun)]),
    )


def join_events(frames: Sequence[EventFrame]) -> EventFrame:
    """Event frames as one, in `seq` order; columns that one lacks are null there."""
    if len(frames) == 1:
        return frames[0]
    ordered = sorted(frames, key=lambda f: f.first_seq)
    table = pa.concat_tables([f.table for f in ordered], promote_options="default").combine_chunks()
    bodies = np.concatenate([f.bodies for f in ordered])
    seqs = column_array(table, "seq")
    if np.any(np.diff(seqs) < 0):
        order = np.argsort(seqs, kind="stable")
        table, bodies, seqs = table.take(pa.array(order)), bodies[order], seqs[order]
    return EventFrame(int(seqs[0]), int(seqs[-1]), table, bodies)


def join_runs(runs: Sequence[ControlRun]) -> tuple[ControlRun, ...]:
    """Runs as one a kind, in `seq` order each; columns that one lacks are null there."""
    joined = []
    for kind in dict.fromkeys(run.kind for run in runs):
        own = [run for run in runs if run.kind == kind]
        if len(own) == 1:
            joined += own
            continue
        seqs, as_ofs = (np.concatenate([getattr(run, name) for run in own]) for name in ("seqs", "as_ofs"))
        table = pa.concat_tables([run.table for run in own], promote_options="default").combine_chunks()
        order = np.argsort(seqs, kind="stable")
        joined.append(ControlRun(kind, seqs[order], as_ofs[order], table.take(pa.array(order))))
    return tuple(joined)


def join_duplicates(frames: Sequence[DuplicateFrame]) -> DuplicateFrame:
    """Duplicate frames as one, in `seq` order."""
    if len(frames) == 1:
        return frames[0]
    seqs, originals = (np.concatenate([getattr(f, name) for f in frames]) for name in ("seqs", "originals"))
    order = np.argsort(seqs, kind="stable")
    return DuplicateFrame(int(seqs[order[0]]), int(seqs[order[-1]]), seqs[order], originals[order])
