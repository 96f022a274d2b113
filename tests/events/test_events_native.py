"""The native reader: malformed lines, the kernel against its twins, and the laws of blocks."""

import json
from datetime import timedelta, timezone

import orjson
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oracles.events_oracle import NATIVE_FLOATS, NATIVE_INTS, NATIVE_TEXTS, native_row
from shoal.events.deadletters import REASONS
from shoal.events.decode import Decoded
from shoal.events.formats.native import NativeDecoder
from shoal.events.formats.native_rows import KEYS
from shoal.events.identity import ERASED_MARK
from shoal.events.schema import check_table
from shoal.events.writers import write_native

CHECKED = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
GOOD = b'{"time":"2024-01-01T00:00:00Z","type":"file.uploaded","account":"a"}'


def deep(levels: int) -> bytes:
    return b'{"time":0,"type":"a","x":' + b"[" * levels + b"]" * levels + b"}"


MALFORMED = [
    (b"{", "json.malformed"),
    (b"nonsense", "json.malformed"),
    (b'{"time":0,"type":"a"', "json.malformed"),
    (b'{"time":0,"type":"a"}}', "json.malformed"),
    (b'{"time":0,"type":"a",}', "json.malformed"),
    (b'{"time":0,"type":"a","size_bytes":01}', "json.malformed"),
    (b'{"time":0,"type":"a","lat":NaN}', "json.malformed"),
    (b'{"time":0,"type":"a\tb"}', "json.malformed"),
    (b'{"time":0,"type":"a"}\x00', "json.malformed"),
    (b'{"time":0 "type":"a"}', "json.malformed"),
    (b"{'time':0}", "json.malformed"),
    (b"[1]", "json.not_object"),
    (b"null", "json.not_object"),
    (b'"text"', "json.not_object"),
    (b'{"time":0,"type":"\xff"}', "utf8.invalid"),
    (b'{"time":0,"type":"a","x":"\xc0\xaf"}', "utf8.invalid"),
    (b'{"time":0,"type":"a","actor":"\xed\xa0\x80"}', "utf8.invalid"),
    (b'{"time":0,"type":"a","actor":"\xf4\x90\x80\x80"}', "utf8.invalid"),
    (b'{"time":0,"type":"a","actor":"\\ud800"}', "text.surrogate"),
    (b'{"time":0,"type":"a","x":"' + b"y" * (1 << 20) + b'"}', "line.too_long"),
    (b'{"time":0,"type":"a","x":"' + b"y" * 65537 + b'"}', "text.too_long"),
    (b'{"time":0,"type":"a","actor":"' + b"y" * 65537 + b'"}', "text.too_long"),
    (b'{"time":0,"type":"a","' + b"y" * 65537 + b'":1}', "text.too_long"),
    (deep(64), "nesting.too_deep"),
    (deep(5000), "nesting.too_deep"),
    (b'{"time":0,"type":"a","actor":"\\u0001erased:00"}', "text.erased_mark"),
    (b'{"time":0,"type":"a","x":{"y":["\\u0001erased:00"]}}', "text.erased_mark"),
    (b'{"time":0,"type":"a","\\u0001erased:00":1}', "text.erased_mark"),
    (b'{"type":"a"}', "time.missing"),
    (b'{"time":null,"type":"a"}', "time.missing"),
    (b'{"time":"yesterday","type":"a"}', "time.malformed"),
    (b'{"time":"","type":"a"}', "time.malformed"),
    (b'{"time":"2024-02-30T00:00:00Z","type":"a"}', "time.malformed"),
    (b'{"time":"2023-02-29T00:00:00Z","type":"a"}', "time.malformed"),
    (b'{"time":"2024-01-01T24:00:00Z","type":"a"}', "time.malformed"),
    (b'{"time":"2024-01-01T23:59:60Z","type":"a"}', "time.malformed"),
    (b'{"time":"2024-01-01T00:00:00+24:00","type":"a"}', "time.malformed"),
    (b'{"time":"2024-01-01T00:00:00.Z","type":"a"}', "time.malformed"),
    (b'{"time":"2024-01-01","type":"a"}', "time.malformed"),
    (b'{"time":1.5,"type":"a"}', "time.malformed"),
    (b'{"time":true,"type":"a"}', "time.malformed"),
    (b'{"time":"2024-01-01T00:00:00","type":"a"}', "time.zone_missing"),
    (b'{"time":-1,"type":"a"}', "time.out_of_range"),
    (b'{"time":253402300800000000,"type":"a"}', "time.out_of_range"),
    (b'{"time":"1969-12-31T23:59:59Z","type":"a"}', "time.out_of_range"),
    (b'{"time":"1970-01-01T00:00:00+00:01","type":"a"}', "time.out_of_range"),
    (b'{"time":0,"type":"a","received":"soon"}', "time.malformed"),
    (b'{"time":0}', "type.missing"),
    (b'{"time":0,"type":""}', "type.missing"),
    (b'{"time":0,"type":null}', "type.missing"),
    (b"{}", "type.missing"),
    (b'{"time":0,"type":5}', "type.wrong"),
    (b'{"time":0,"type":"a","actor":5}', "type.wrong"),
    (b'{"time":0,"type":"a","actor":["x"]}', "type.wrong"),
    (b'{"time":0,"type":"a","ip":5}', "type.wrong"),
    (b'{"time":0,"type":"a","size_bytes":"5"}', "type.wrong"),
    (b'{"time":0,"type":"a","size_bytes":5.0}', "type.wrong"),
    (b'{"time":0,"type":"a","size_bytes":true}', "type.wrong"),
    (b'{"time":0,"type":"a","external":1}', "type.wrong"),
    (b'{"time":0,"type":"a","external":"true"}', "type.wrong"),
    (b'{"time":0,"type":"a","lat":"1.0"}', "type.wrong"),
    (b'{"time":0,"type":"a","size_bytes":9223372036854775808}', "number.out_of_range"),
    (b'{"time":0,"type":"a","size_bytes":-9223372036854775809}', "number.out_of_range"),
    (b'{"time":0,"type":"a","lat":1e999}', "json.malformed"),
    (b'{"time":0,"type":"a","attributes":"x"}', "attributes.not_object"),
    (b'{"time":0,"type":"a","attributes":[1]}', "attributes.not_object"),
    (b'{"time":0,"type":"a","x":1,"attributes":{"x":2}}', "attributes.conflict"),
    (b'{"record":"thing","time":0,"type":"a"}', "record.unknown"),
    (b'{"record":5}', "record.unknown"),
    (b'{"record":"fact","subject_type":"account","subject":"a","name":"tier","value":"x"}', "fact.invalid"),
    (b'{"record":"fact","subject_type":"dog","subject":"a","name":"tier","value":"x","time":0}', "fact.invalid"),
    (b'{"record":"fact","subject_type":"account","subject":"a","name":"age","value":"x","time":0}', "fact.invalid"),
    (b'{"record":"fact","subject_type":"account","subject":"","name":"tier","value":"x","time":0}', "fact.invalid"),
    (b'{"record":"fact","subject_type":"account","subject":"a","name":"tier","value":5,"time":0}', "fact.invalid"),
    (b'{"record":"fact","subject_type":"account","subject":"a","name":"verified","value":1,"time":0}', "fact.invalid"),
    (b'{"record":"fact","subject_type":"account","subject":"a","name":"created","value":"x","time":0}', "fact.invalid"),
    (b'{"record":"fact","subject_type":"account","subject":"a","name":"tier","time":0,"x":1}', "fact.invalid"),
    (b'{"record":"label","subject_type":"account","subject":"a","kind":"k","source":"s"}', "label.invalid"),
    (b'{"record":"label","subject_type":"dog","subject":"a","kind":"k","source":"s","known_at":0}', "label.invalid"),
    (b'{"record":"label","subject_type":"ip","subject":"a","source":"s","known_at":0}', "label.invalid"),
    (b'{"record":"label","subject_type":"ip","subject":"a","kind":"k","source":"s","known_at":0,"start":2,"end":1}',
     "label.invalid"),
    (b'{"record":"label","subject_type":"ip","subject":"a","kind":"k","source":"s","known_at":0,"confidence":2}',
     "label.invalid"),
    (b'{"record":"label","subject_type":"ip","subject":"a","kind":"k","source":"s","known_at":0,"retracted":"no"}',
     "label.invalid"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "reason"), MALFORMED)
@pytest.mark.parametrize("rows_only", [False, True])
def test_each_malformed_line_is_a_dead_letter_with_its_reason(line: bytes, reason: str, rows_only: bool) -> None:
    decoded = NativeDecoder("s", "p", rows_only=rows_only).decode(GOOD + b"\n" + line + b"\n" + GOOD, 10)
    assert [(letter.offset, letter.reason) for letter in decoded.dead] == [(11, reason)]
    assert decoded.dead[0].raw == line[: 64 * 1024]
    assert ("cut" in decoded.dead[0].detail) == (len(line) > 64 * 1024)
    assert decoded.events.column("offset").to_pylist() == [10, 12]
    assert reason in REASONS


def same(one: Decoded, other: Decoded) -> None:
    assert one.events.equals(other.events), (one.events.to_pylist(), other.events.to_pylist())
    assert one.facts.equals(other.facts)
    assert one.labels.equals(other.labels)
    assert one.dead == other.dead
    assert one.read == other.read
    assert one.balanced


TEXTS = st.one_of(
    st.sampled_from(["", "a", 'with "quotes"', "back\\slash", "é", "日本語", "line\nbreak", "x" * 40, ERASED_MARK]),
    st.text(st.characters(codec="utf-8"), max_size=20),
)
ADDRESSES = st.one_of(
    st.ip_addresses().map(str),
    st.sampled_from(
        ["10.0.0.1:443", "[2001:DB8::1]:80", "::ffff:1.2.3.4", "01.2.3.4", "1.2.3", "256.1.1.1", "host.example", "",
         "::", "2001:0db8::1", "1:0:0:2::", "1::2:0:0:3", "fe80::1%eth0", "::ffff:102:304", "1:2:3:4:5:6:7:8:9", ":::",
         "1.2.3.4."]
    ),
)  # fmt: skip
ZONES = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.one_of(
    st.integers(0, 253_402_300_799_999_999),
    st.datetimes(timezones=ZONES).map(lambda d: d.isoformat()),
    st.sampled_from(
        ["2024-02-29T12:00:00Z", "2024-01-01 00:00:00.123456789+05:30", "2024-01-01T00:00Z", "2024-01-01T00:00:00+0100",
         "2024-01-01T00:00:00", "9999-12-31T23:59:59-01:00", "1970-01-01T00:00:00+01:00"]
    ),
)  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False), TEXTS
)
EVENTS = st.dictionaries(
    st.sampled_from([*KEYS, "record", "source", "offset", "seq", "zz", "score", "é", ""]),
    st.one_of(SCALARS, ADDRESSES, MOMENTS, st.lists(SCALARS, max_size=2), st.dictionaries(TEXTS, SCALARS, max_size=3)),
    max_size=6,
).flatmap(lambda extra: st.builds(lambda time, kind: {"time": time, "type": kind, **extra}, MOMENTS, TEXTS))
LIKELY = st.fixed_dictionaries(
    {"time": MOMENTS, "type": st.sampled_from(["a.b", "login.failed"])},
    optional={
        **{name: TEXTS for name in NATIVE_TEXTS if name != "type"},
        **{name: st.integers(-(2**63), 2**63 - 1) for name in NATIVE_INTS},
        **{name: st.floats(-180, 180) for name in NATIVE_FLOATS},
        "ip": ADDRESSES,
        "external": st.booleans(),
        "attributes": st.dictionaries(st.sampled_from(["p", "q", "r"]), SCALARS, max_size=3),
        "zz": SCALARS,
        "yy": st.one_of(st.floats(0, 1), st.decimals(0, 10, places=3).map(float)),
    },
)
SPACED = st.sampled_from([(",", ":"), (", ", ": "), (" ,\t", " : ")])


@st.composite
def lines(draw: st.DrawFn, events: st.SearchStrategy[dict]) -> bytes:
    event = draw(events)
    text = json.dumps(event, separators=draw(SPACED), ensure_ascii=draw(st.booleans()))
    line = text.encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 9)) == 0:  # break it somewhere
        at = draw(st.integers(0, len(line)))
        line = line[:at] + draw(st.binary(max_size=3)).replace(b"\n", b"") + line[at + draw(st.integers(0, 3)) :]
    return line


BLOCKS = st.lists(st.one_of(lines(LIKELY), lines(EVENTS), st.just(b"  \r"), st.binary(max_size=20)), max_size=12).map(
    b"\n".join
)


@CHECKED
@given(BLOCKS, st.integers(0, 1000))
def test_the_kernel_reads_as_the_row_reader_does(block: bytes, offset: int) -> None:
    fast = NativeDecoder("s", "p").decode(block, offset)
    same(fast, NativeDecoder("s", "p", rows_only=True).decode(block, offset))
    check_table(fast.events)


@CHECKED
@given(st.lists(lines(LIKELY), min_size=1, max_size=12), st.data())
def test_a_cut_into_blocks_changes_nothing(block: list[bytes], data: st.DataObject) -> None:
    whole = NativeDecoder("s", "p").decode(b"\n".join(block), 0)
    at = data.draw(st.integers(0, len(block)))
    decoder = NativeDecoder("s", "p")
    first = decoder.decode(b"\n".join(block[:at]), 0)
    second = decoder.decode(b"\n".join(block[at:]), first.read)
    both = pa.concat_tables([first.events, second.events], promote_options="default")
    assert [drop_null(row) for row in both.to_pylist()] == [drop_null(row) for row in whole.events.to_pylist()]
    assert first.dead + second.dead == whole.dead


def drop_null(row: dict) -> dict:
    return {name: value for name, value in row.items() if value is not None}


@CHECKED
@given(LIKELY)
def test_a_valid_event_becomes_the_row_that_the_oracle_says(event: dict) -> None:
    if isinstance(event["time"], str):
        event["time"] = "2024-05-06T07:08:09.123456+02:00"
    event = {k: v for k, v in event.items() if not (isinstance(v, str) and v == ERASED_MARK)}
    for name in ("zz", "attributes"):
        if ERASED_MARK in str(event.get(name)) or "\\x01erased" in repr(event.get(name)):
            del event[name]
    event.get("attributes", {}).pop("zz", None)
    if "ip" in event and native_row({"ip": event["ip"]}, {"ip"}).get("ip") is None:
        del event["ip"]
    line = json.dumps(event).encode()
    decoded = NativeDecoder("s", "p").decode(line, 0)
    assert decoded.dead == ()
    row = {
        k: v for k, v in drop_null(decoded.events.to_pylist()[0]).items() if k not in ("source", "partition", "offset")
    }
    expected = native_row(event, set(KEYS))
    for side in (row, expected):
        if "attributes" in side:
            side["attributes"] = orjson.loads(side["attributes"])
    assert row == expected


@CHECKED
@given(st.lists(LIKELY, max_size=8))
def test_what_is_written_is_read_back(events: list[dict]) -> None:
    block = b"\n".join(json.dumps(event).encode() for event in events)
    first = NativeDecoder("s", "p").decode(block, 0).events
    again = NativeDecoder("s", "p").decode(write_native(first), 0).events
    names = [name for name in first.column_names if name != "offset"]
    assert again.select(names).equals(first.select(names))


def test_facts_and_labels_stand_beside_events_in_their_order() -> None:
    block = b"\n".join(
        [
            GOOD,
            b'{"record":"fact","subject_type":"account","subject":"a","name":"created","value":"2020-01-01T00:00:00Z",'
            b'"time":5}',
            b'{"record":"event","time":1,"type":"x.y"}',
            b'{"record":"label","subject_type":"account","subject":"a","kind":"benign","source":"team","known_at":9,'
            b'"start":1}',
            b'{"record":"fact","subject_type":"account","subject":"a","name":"verified","value":true,"time":6}',
            b'{"record":"fact","subject_type":"account","subject":"a","name":"tier","value":null,"time":7}',
        ]
    )
    decoded = NativeDecoder("s", "p").decode(block, 100)
    assert decoded.balanced
    assert decoded.read == 6
    assert decoded.events.column("offset").to_pylist() == [100, 102]
    assert decoded.facts.to_pylist() == [
        {"subject_type": "account", "subject": "a", "name": "created", "value": "1577836800000000", "time": 5,
         "offset": 101},
        {"subject_type": "account", "subject": "a", "name": "verified", "value": "true", "time": 6, "offset": 104},
        {"subject_type": "account", "subject": "a", "name": "tier", "value": None, "time": 7, "offset": 105},
    ]  # fmt: skip
    assert decoded.labels.to_pylist() == [
        {"subject_type": "account", "subject": "a", "kind": "benign", "start": 1, "end": None, "source": "team",
         "confidence": None, "known_at": 9, "retracted": False, "offset": 103}
    ]  # fmt: skip


def test_many_declined_lines_are_put_in_their_places() -> None:
    block = b"\n".join(
        b'{"time":%d,"type":"a.b","file_name":"%s"}' % (i, b"\\u0061" if i % 3 == 0 else b"a") for i in range(400)
    )
    decoded = NativeDecoder("s", "p").decode(block, 7)
    assert decoded.events.column("offset").to_pylist() == list(range(7, 407))
    assert decoded.events.column("time").to_pylist() == list(range(400))
    assert set(decoded.events.column("file_name").to_pylist()) == {"a"}
    same(decoded, NativeDecoder("s", "p", rows_only=True).decode(block, 7))


def test_a_host_name_in_ip_stays_in_attributes() -> None:
    decoded = NativeDecoder("s", "p").decode(b'{"time":0,"type":"a","ip":"host.example"}', 0)
    assert "ip" not in decoded.events.column_names
    assert decoded.events.column("attributes").to_pylist() == ['{"ip":"host.example"}']


def test_the_kernel_takes_what_is_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fast path is the path: no plain line may fall to the row reader."""
    from shoal.events.formats import native

    def refuse(*_: object) -> None:
        raise AssertionError("a plain line was declined")

    monkeypatch.setattr(native.Rows, "read", refuse)
    block = "\n".join(
        json.dumps({"time": "2024-01-01T00:00:00.5+01:00", "type": "a.b", "ip": ip, "size_bytes": 5, "lat": -1.25,
                    "lon": 3, "external": True, "zz": "é", "n": 1.5, "attributes": {"k": None, "b": False},
                    "actor": None},
                   ensure_ascii=False)
        for ip in ("1.2.3.4", "2001:db8::1", "::", "1:2:3:4:5:6:7:8", "255.255.255.255")
    )  # fmt: skip
    decoded = NativeDecoder("s", "p").decode(block.encode(), 0)
    assert decoded.events.num_rows == 5
    assert decoded.events.column("attributes").to_pylist()[0] == '{"zz":"é","n":1.5,"k":null,"b":false}'
