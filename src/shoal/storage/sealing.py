"""Rewriting segments: sealing, erasure, and reading single rows out of them.

Every rewrite goes aside, is fsynced and renamed, so that a crash leaves the old file or the new one. A sealed segment
has its length and its counts in its header and a sorted `.ids` file beside it. The functions here are called by the
`Journal`, which owns the segments; they hold nothing but a cache of decoded frames.
"""

from __future__ import annotations

import json
import os
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import Permanent
from shoal.events.identity import Identity
from shoal.events.schema import ENTITY_COLUMNS, SCHEMA_VERSION, Flag
from shoal.storage import frames as codec
from shoal.storage import ids
from shoal.storage.catalog import FORMAT, Reader, Segment, Unit, identity_check, load_segment
from shoal.storage.frames import CONTROLS, DUPLICATES, EVENTS, ControlFrame, ControlRun, EventFrame, Int64s
from shoal.storage.segments import HEADER_BYTES, EncodedFrame, FrameHead, pack_header, sync_folder

TARGET_ROWS = 8192
"""Sealing joins small units until a frame has about this many rows."""


def new_header(first_seq: int, identity: Identity) -> dict[str, Any]:
    """The header of a growing segment."""
    return {"format": FORMAT, "schema": SCHEMA_VERSION, "first_seq": first_seq, "identity": identity_check(identity)}


class _Rewrite:
    """A segment written aside, unit by unit."""

    def __init__(self, segment: Segment) -> None:
        self.path = segment.path
        self.aside = segment.path.with_name(segment.path.name + ".tmp")
        self.file = self.aside.open("wb")
        self.file.write(bytes(HEADER_BYTES))
        self.rows: dict[int, int] = {}

    def add(self, frames: Sequence[EncodedFrame]) -> None:
        """One unit."""
        for i, frame in enumerate(frames):
            self.file.write(frame.packed(i == 0, i == len(frames) - 1))
            self.file.write(frame.payload)
            self.rows[frame.head.kind] = self.rows.get(frame.head.kind, 0) + frame.head.rows

    def finish(self, header: Mapping[str, Any], last_seq: int) -> Segment:
        """Header, fsync, rename; returns the new segment."""
        length = self.file.tell()
        counts = {name: self.rows.get(kind, 0) for kind, name in codec.KIND_NAMES.items() if kind <= CONTROLS}
        whole = {**header, "sealed": True, "length": length, "last_seq": last_seq, **counts}
        self.file.seek(0)
        self.file.write(pack_header(whole))
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        self.aside.replace(self.path)
        sync_folder(self.path.parent)
        return load_segment(self.path, payloads=False)

    def forget(self) -> None:
        """Throw it away."""
        self.file.close()
        self.aside.unlink(missing_ok=True)


def seal(segment: Segment, identity: Identity, compression: pa.Codec | None) -> Segment:
    """Write the sealed form of a segment and its `.ids` file."""
    rewrite = _Rewrite(segment)
    collected = ids.Collector(identity)
    waiting: list[codec.Frame] = []
    waiting_rows = 0
    try:
        with segment.reader() as reader:
            for unit in segment.units:
                rows = unit.last_seq - unit.first_seq + 1
                if rows >= TARGET_ROWS // 2 and all(head.encoding != codec.ROWS for head in unit.heads):
                    _flush(rewrite, waiting, collected, compression)
                    waiting_rows = 0
                    _copy(rewrite, unit, reader, collected)
                    continue
                for head in unit.heads:
                    waiting += codec.decode(head, reader.payload(head))
                waiting_rows += rows
                if waiting_rows >= TARGET_ROWS:
                    _flush(rewrite, waiting, collected, compression)
                    waiting_rows = 0
        _flush(rewrite, waiting, collected, compression)
        sealed = rewrite.finish(segment.header, segment.next_seq - 1)
    except BaseException:
        rewrite.forget()
        raise
    collected.write(sealed)
    return sealed


def _copy(rewrite: _Rewrite, unit: Unit, reader: Reader, collected: ids.Collector) -> None:
    frames = [EncodedFrame(head, reader.payload(head)) for head in unit.heads]
    for frame in frames:
        if frame.head.kind == EVENTS:
            collected.add(codec.decode_events(frame.head, frame.payload, ["seq", "event_id"]))
    rewrite.add(frames)


def _flush(
    rewrite: _Rewrite, waiting: list[codec.Frame], collected: ids.Collector, compression: pa.Codec | None
) -> None:
    if waiting:
        group = codec.group_of(waiting)
        if group.events:
            collected.add(group.events)
        rewrite.add(encode_group(group, compression))
        waiting.clear()


def encode_group(group: codec.Group, compression: pa.Codec | None) -> list[EncodedFrame]:
    """A group's frames, ordered by first seq."""
    frames = []
    if group.events:
        frames.append(codec.encode_events(group.events.table, group.events.bodies, compression))
    if group.duplicates:
        frames.append(codec.encode_duplicates(group.duplicates.seqs, group.duplicates.originals))
    if group.controls or group.runs:
        frames.append(_encode_controls([*group.controls, *group.runs], compression))
    return sorted(frames, key=lambda frame: (frame.head.first_seq, frame.head.kind))


def _encode_controls(records: Sequence[ControlFrame | ControlRun], compression: pa.Codec | None) -> EncodedFrame:
    ordered = sorted(records, key=lambda record: record.first_seq)
    parts = [
        codec.encode_run(record, compression)
        if isinstance(record, ControlRun)
        else codec.encode_control(record, compression)
        for record in ordered
    ]
    return codec.encode_controls(ordered, parts)


def remove(segments: Sequence[Segment]) -> None:
    """Delete segments, the oldest first."""
    for segment in segments:
        segment.path.unlink()
        segment.ids_path.unlink(missing_ok=True)
    sync_folder(segments[0].path.parent)


@dataclass(frozen=True)
class Erasure:
    """What an erasure changed."""

    segments: int = 0
    events: int = 0
    controls: int = 0

    def plus(self, other: Erasure) -> Erasure:
        """Both together."""
        return Erasure(self.segments + other.segments, self.events + other.events, self.controls + other.controls)


def erase(
    segment: Segment, texts: frozenset[str], identity: Identity, compression: pa.Codec | None
) -> tuple[Erasure, Segment]:
    """Rewrite one sealed segment without the texts; the old file stays where it holds none of them."""
    eraser = _Eraser(texts, identity)
    rewrite = _Rewrite(segment)
    try:
        with segment.reader() as reader:
            for unit in segment.units:
                frames = []
                for head in unit.heads:
                    payload = reader.payload(head)
                    frames.append(_erase_frame(head, payload, eraser, compression))
                rewrite.add(frames)
        if not eraser.events and not eraser.controls:
            rewrite.forget()
            return Erasure(), segment
        header = {**segment.header, "erasures": segment.header.get("erasures", 0) + 1}
        return Erasure(1, eraser.events, eraser.controls), rewrite.finish(header, segment.next_seq - 1)
    except BaseException:
        rewrite.forget()
        raise


def _erase_frame(head: FrameHead, payload: bytes, eraser: _Eraser, compression: pa.Codec | None) -> EncodedFrame:
    if head.kind == EVENTS:
        frame = codec.decode_events(head, payload)
        table = eraser.table(frame.table)
        if table is not None:
            return codec.encode_events(table, frame.bodies, compression)
    elif head.kind == CONTROLS:
        before = eraser.controls
        records = [eraser.control(record) for record in codec.decode_controls(payload)]
        if eraser.controls > before:
            return _encode_controls(records, compression)
    else:
        assert head.kind == DUPLICATES
    return EncodedFrame(head, payload)


class _Eraser:
    """Replaces texts and counts what it touched."""

    def __init__(self, texts: frozenset[str], identity: Identity) -> None:
        self.texts = texts
        self.marks = {text: identity.erased(text) for text in texts}
        self.values = pa.array(sorted(texts), pa.string())
        self.replacements = pa.array([self.marks[text] for text in sorted(texts)], pa.string())
        self.events = self.controls = 0

    def table(self, table: pa.Table) -> pa.Table | None:
        """An event table without the texts, or None where it holds none."""
        hit = np.zeros(table.num_rows, dtype=np.bool_)
        for name in ENTITY_COLUMNS:
            if name in table.column_names:
                column, found = self._replace(table.column(name))
                if found is not None:
                    hit |= found
                    table = table.set_column(table.schema.get_field_index(name), name, column)
        mentions = self._mentions(table, hit)
        if mentions.any():
            hit |= mentions
            kept = pc.if_else(pa.array(mentions), pa.scalar(None, pa.string()), table.column("attributes"))
            table = table.set_column(table.schema.get_field_index("attributes"), "attributes", kept)
        if not hit.any():
            return None
        self.events += int(hit.sum())
        flags = (
            codec.column_array(table, "flags") if "flags" in table.column_names else np.zeros(table.num_rows, np.int64)
        )
        marked = pa.array(np.where(hit, flags | int(Flag.ERASED), flags))
        if "flags" in table.column_names:
            return table.set_column(table.schema.get_field_index("flags"), "flags", marked)
        return table.append_column("flags", marked)

    def _replace(self, column: pa.ChunkedArray) -> tuple[pa.ChunkedArray, Any]:
        places = pc.index_in(column, value_set=self.values)
        if places.null_count == len(column):
            return column, None
        marks = pc.take(self.replacements, places)
        return pc.coalesce(marks, column), np.asarray(places.combine_chunks().is_valid())

    def _mentions(self, table: pa.Table, hit: Any) -> Any:
        """Rows whose attributes mention a text: anywhere in rows that name it, as a whole word in others (so that a
        short text does not take the attributes of every row)."""
        mentions = np.zeros(table.num_rows, dtype=np.bool_)
        if "attributes" not in table.column_names:
            return mentions
        column = table.column("attributes")
        for text in self.texts:
            for form in _json_forms(text):
                mentions |= hit & _matches(column, re.escape(form))
                mentions |= _matches(column, rf"(?:^|[^0-9A-Za-z_]){re.escape(form)}(?:[^0-9A-Za-z_]|$)")
        return mentions

    def control(self, record: ControlFrame | ControlRun) -> ControlFrame | ControlRun:
        """A control record without the texts: whole texts in its body, and in its Arrow tables; a run likewise."""
        if isinstance(record, ControlRun):
            table, hit = record.table, np.zeros(len(record.seqs), dtype=np.bool_)
            for i, name in enumerate(table.column_names):
                if table.schema.field(i).type == pa.string():
                    column, found = self._replace(table.column(i))
                    if found is not None:
                        table, hit = table.set_column(i, name, column), hit | found
            self.controls += int(hit.sum())
            return ControlRun(record.kind, record.seqs, record.as_ofs, table) if hit.any() else record
        body, changed = self._value(record.body)
        self.controls += changed
        return ControlFrame(record.seq, record.as_of, record.kind, body) if changed else record

    def _value(self, value: Any) -> tuple[Any, bool]:
        if isinstance(value, str):
            return (self.marks[value], True) if value in self.texts else (value, False)
        if isinstance(value, pa.Table):
            changed = False
            for i, name in enumerate(value.column_names):
                if value.schema.field(i).type == pa.string():
                    column, found = self._replace(value.column(i))
                    if found is not None:
                        value, changed = value.set_column(i, name, column), True
            return value, changed
        if isinstance(value, Mapping):
            pairs = [(self._value(key), self._value(part)) for key, part in value.items()]
            return {k: v for (k, _), (v, _) in pairs}, any(a or b for (_, a), (_, b) in pairs)
        if isinstance(value, list | tuple):
            parts = [self._value(part) for part in value]
            return [part for part, _ in parts], any(changed for _, changed in parts)
        return value, False


def _matches(column: pa.ChunkedArray, pattern: str) -> Any:
    return pc.fill_null(pc.match_substring_regex(column, pattern), False).to_numpy()


def _json_forms(text: str) -> list[str]:
    """How a text may stand inside a JSON text: as it is escaped with and without ASCII only."""
    return sorted({json.dumps(text, ensure_ascii=flag)[1:-1] for flag in (False, True)})


_Key = tuple[Path, bool, int, int, tuple[str, ...] | None]


class RowCache:
    """Decoded columns of frames that were asked for lately, so that a burst of duplicates decodes each frame once."""

    def __init__(self, frames: int = 64) -> None:
        self._frames = frames
        self._cache: OrderedDict[_Key, EventFrame] = OrderedDict()

    def clear(self) -> None:
        """Forget all: a segment was rewritten."""
        self._cache.clear()

    def rows(
        self, segments: Sequence[Segment], pending: Sequence[EncodedFrame], seqs: Int64s, columns: Sequence[str] | None
    ) -> pa.Table:
        """See `Journal.rows`."""
        wanted = None if columns is None else tuple(dict.fromkeys(("seq", *columns)))
        firsts = np.array([segment.first_seq for segment in segments], dtype=np.int64)
        end = segments[-1].next_seq if segments else 0
        order = np.argsort(seqs, kind="stable")
        parts: list[pa.Table] = []
        at = 0
        while at < len(order):
            seq = int(seqs[order[at]])
            if segments and firsts[0] <= seq < end:
                segment = segments[int(np.searchsorted(firsts, seq, side="right")) - 1]
                found = self._stored(segment, seq, wanted)
            else:
                found = self._pending(pending, seq, wanted)
            table = found.table
            if columns is not None and codec.BODY in columns:
                table = table.append_column(codec.BODY, pa.array(found.bodies))
            have = codec.column_array(table, "seq")
            stop = at + int(np.searchsorted(seqs[order[at:]], found.last_seq, side="right"))
            asked = seqs[order[at:stop]]
            places = np.searchsorted(have, asked)
            missing = (places >= len(have)) | (have[np.minimum(places, len(have) - 1)] != asked)
            if missing[0]:
                raise Permanent(f"record {seq} is no event of this journal")
            stop = at + (int(np.argmax(missing)) if missing.any() else len(asked))
            parts.append(table.take(pa.array(places[: stop - at])))
            at = stop
        if not parts:
            return pa.table({"seq": pa.array([], pa.int64())})
        table = pa.concat_tables(parts, promote_options="default")
        back = np.empty(len(order), dtype=np.int64)
        back[order] = np.arange(len(order))
        return table.take(pa.array(back))

    def _stored(self, segment: Segment, seq: int, columns: tuple[str, ...] | None) -> EventFrame:
        with segment.reader() as reader:
            now = reader.segment
            for head in now.units_from(seq)[0].heads:
                if head.kind == EVENTS and head.first_seq <= seq <= head.last_seq:
                    key = (now.path, now.sealed, now.header.get("erasures", 0), head.offset, columns)
                    frame = self._cache.get(key)
                    if frame is None:
                        frame = codec.decode_events(head, reader.payload(head), columns)
                        self._keep(key, frame)
                    seqs = codec.column_array(frame.table, "seq")
                    at = int(np.searchsorted(seqs, seq))
                    if at < len(seqs) and seqs[at] == seq:
                        return frame
        raise Permanent(f"record {seq} is no event of this journal")

    def _pending(self, pending: Sequence[EncodedFrame], seq: int, columns: tuple[str, ...] | None) -> EventFrame:
        for frame in pending:
            head = frame.head
            if head.kind == EVENTS and head.first_seq <= seq <= head.last_seq:
                found = codec.decode_events(head, frame.payload, columns)
                if seq in codec.column_array(found.table, "seq"):
                    return found
        raise Permanent(f"record {seq} is no event of this journal")

    def _keep(self, key: _Key, frame: EventFrame) -> None:
        self._cache[key] = frame
        while len(self._cache) > self._frames:
            self._cache.popitem(last=False)
