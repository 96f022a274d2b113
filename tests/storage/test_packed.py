"""Packed event frames: what is read is what was packed, whatever the columns hold, and it is small."""

import msgpack
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_parts import IDENTITY, content, events, open_journal

from shoal.errors import Corrupt, Unsupported
from shoal.storage import frames as codec
from shoal.storage.packed import columns_kernel as kernel
from shoal.storage.packed.columns import pack, unpack
from shoal.storage.segments import FrameHead, encode_frame

ZSTD = codec.codec_of("zstd")
EDGES = [0, 1, -1, 2**31, -(2**31), 2**62, 2**63 - 1, -(2**63)]
TEXTS = st.one_of(st.none(), st.sampled_from(["", "a", "eight by", "eight by and more", "nä", "x" * 40]), st.text())
NUMBERS = st.one_of(st.sampled_from(EDGES), st.integers(-(2**63), 2**63 - 1), st.integers(-3, 3))


@st.composite
def tables(draw: st.DrawFn) -> pa.Table:
    rows = draw(st.integers(1, 30))
    columns: dict[str, pa.Array] = {}
    for k in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["text", "number", "nulls", "float", "bool", "again", "line"]))
        values = {
            "text": TEXTS, "number": NUMBERS, "nulls": st.one_of(st.none(), NUMBERS),
            "float": st.one_of(st.none(), st.floats(allow_nan=False)), "bool": st.one_of(st.none(), st.booleans()),
        }.get(kind)  # fmt: skip
        types = {"text": pa.string(), "float": pa.float64(), "bool": pa.bool_()}
        if kind == "again" and columns:
            columns[f"c{k}"] = draw(st.sampled_from(list(columns.values())))
        elif values is not None:
            drawn = draw(st.lists(values, min_size=rows, max_size=rows))
            columns[f"c{k}"] = pa.array(drawn, types.get(kind, pa.int64()))
        else:
            columns[f"c{k}"] = pa.array(draw(st.integers(-9, 9)) + draw(st.integers(-9, 9)) * np.arange(rows))
    cut = draw(st.integers(0, rows - 1))
    table = pa.table(columns)
    return table.slice(cut) if draw(st.booleans()) else pa.concat_tables([table.slice(0, cut), table.slice(cut)])


@given(tables(), st.data())
@settings(max_examples=100, deadline=None)
def test_what_is_read_is_what_was_packed(table: pa.Table, data: st.DataObject) -> None:
    packed = pack(table, ZSTD)
    assert unpack(packed).equals(table.combine_chunks())
    names = [*table.column_names, "absent"]
    wanted = [data.draw(st.sampled_from(table.column_names)), *data.draw(st.lists(st.sampled_from(names)))]
    some = unpack(packed, wanted)
    assert some.equals(table.select([name for name in table.column_names if name in wanted]).combine_chunks())


def test_each_kind_of_column_is_stored_as_it_should_be() -> None:
    rows = 1000
    users = pa.array([f"user{k * 7919 % 997}" for k in range(rows)])
    table = pa.table(
        {
            "seq": np.arange(rows) + 5,
            "flags": np.zeros(rows, np.int64),
            "as_of": np.arange(rows) ** 2,
            "time": np.arange(rows) ** 2,
            "type": pa.array([("a", "b", None)[k % 3] for k in range(rows)]),
            "actor": users,
            "account": pa.array(users.to_pylist()),
            "size_bytes": pa.array([None, *range(rows - 1)]),
            "wide": pa.array([(-1) ** k * 2**60 for k in range(rows)]),
        }
    )
    packed = pack(table, ZSTD)
    with pa.ipc.open_stream(packed) as stream:
        notes = msgpack.unpackb(stream.schema.metadata[b"shoal.packed"])["columns"]
        stored = stream.schema.names
    assert [note[:2] for note in notes] == [
        ["seq", "line"], ["flags", "line"], ["as_of", "steps"], ["time", "same"], ["type", "codes"], ["actor", "plain"],
        ["account", "same"], ["size_bytes", "plain"], ["wide", "plain"],
    ]  # fmt: skip
    assert stored == ["as_of", "type", "actor", "size_bytes", "wide"]
    assert unpack(packed).equals(table)
    assert len(packed) < len(codec.arrow_bytes(table, ZSTD)) * 0.8


def test_texts_made_to_collide_are_stored_as_they_are() -> None:
    rows = 2000
    many = pa.array([f"t{k % 900}" for k in range(rows)])
    few = pa.array([f"t{k % 90}" for k in range(rows)])
    assert unpack(pack(pa.table({"type": many}), ZSTD)).column("type").to_pylist() == many.to_pylist()
    slots, codes = np.empty(kernel.SLOTS, np.int32), np.empty(rows, np.int16)
    firsts, none = np.empty(kernel.MAX_CODES, np.int64), np.zeros(0, np.uint8)

    def coded(texts: pa.Array) -> int:
        _, offsets, data = texts.buffers()
        return int(
            kernel.code_texts(np.frombuffer(data, np.uint8), np.frombuffer(offsets, np.int32)[: rows + 1], none, slots,
                              codes, firsts)
        )  # fmt: skip

    assert (coded(many), coded(few)) == (-1, 90)
    assert codes[:180].tolist() == [*range(90)] * 2


def test_frames_of_earlier_releases_are_read_beside_packed_ones(tmp_path) -> None:
    def old_frame(table: pa.Table, bodies: np.ndarray) -> object:
        seqs, moments = codec.column_array(table, "seq"), codec.column_array(table, "as_of")
        payload = codec.arrow_bytes(table.append_column(codec.BODY, pa.array(bodies)), ZSTD)
        ends = (int(seqs[0]), int(seqs[-1]), int(moments[0]), int(moments[-1]), *codec.time_range(table))
        return encode_frame(FrameHead(codec.EVENTS, codec.ARROW, table.num_rows, *ends), payload)

    table = events(range(600))
    bodies = np.arange(600, dtype=np.int64) * 7
    with open_journal(tmp_path / "new") as journal:
        journal.append_events(table, bodies)
        journal.sync()
        wanted = content(journal.read())
        encodings = {head.encoding for unit in journal.segments[0].units for head in unit.heads}
        assert encodings == {codec.PACKED}
    with open_journal(tmp_path / "old") as journal:
        first, second = table.slice(0, 300), table.slice(300)
        journal.append_events(second.slice(0, 0))
        journal._group.frames.append(old_frame(first, bodies[:300]))  # as the release before wrote it
        journal._group.seqs.append(codec.column_array(first, "seq"))
        journal._group.as_ofs.append((codec.column_array(first, "seq"), codec.column_array(first, "as_of")))
        journal.append_events(second, bodies[300:])
        journal.sync()
        assert content(journal.read()) == wanted
        assert {head.encoding for unit in journal.segments[0].units for head in unit.heads} == {1, 4}
        assert journal.rows(np.array([599, 3]), ["account"]).column("account").to_pylist() == ["u4", "u3"]
    with open_journal(tmp_path / "old") as journal:
        journal.seal()
        assert content(journal.read()) == wanted
        assert journal.verify().ok
        assert journal.erase(["u3"]).events == 86
        erased = content(journal.read())
        assert {row[2]["account"] for row in erased} >= {"u4", IDENTITY.erased("u3")}


def test_another_version_is_refused_by_name() -> None:
    def stream(meta: dict[str, object]) -> bytes:
        schema = pa.schema([pa.field("a", pa.int64())], metadata={b"shoal.packed": msgpack.packb(meta)})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, schema) as writer:
            writer.write_batch(pa.RecordBatch.from_arrays([pa.array([1])], schema=schema))
        return sink.getvalue().to_pybytes()

    with pytest.raises(Unsupported, match="version 2"):
        unpack(stream({"version": 2, "rows": 1, "columns": []}))
    with pytest.raises(Unsupported, match="version None"):
        unpack(codec.arrow_bytes(pa.table({"a": [1]}), None))
    with pytest.raises(Corrupt, match="'odd'"):
        unpack(stream({"version": 1, "rows": 1, "columns": [["a", "odd"]]}))
