"""Single values at the border, in Python and in the kernel, against the standard library."""

import ipaddress
from datetime import datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from oracles.events_oracle import address, time_us
from shoal.events.formats import values
from shoal.events.formats import values_kernel as kernel
from shoal.events.formats.values import MAX_TIME_US, BadValue, parse_address, parse_time

CHECKED = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
ZONES = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(min_value=datetime(1960, 1, 1), timezones=ZONES)


def buffer(text: str) -> np.ndarray:
    return np.frombuffer(text.encode() + b"\n" * 16, dtype=np.uint8)


def kernel_time(text: str) -> int:
    return int(kernel.read_time(buffer(text), 0, len(text.encode())))


@CHECKED
@given(MOMENTS, st.sampled_from("T "), st.sampled_from(["seconds", "milliseconds", "microseconds"]))
def test_times_are_those_of_the_standard_library(moment: datetime, between: str, precision: str) -> None:
    text = moment.isoformat(between, precision)
    expected = time_us(text)
    if 0 <= expected <= MAX_TIME_US:
        assert parse_time(text, zone_required=True) == expected
        assert kernel_time(text) == (expected if moment.year >= 1970 else -1)  # the rarest case is left to Python
    else:
        with pytest.raises(BadValue) as caught:
            parse_time(text, zone_required=True)
        assert caught.value.reason == "time.out_of_range"
        assert kernel_time(text) == -1


DIGITS = st.text(st.sampled_from("0123456789-:T.Z+ "), min_size=18, max_size=36)


@CHECKED
@given(st.one_of(DIGITS, st.builds(lambda m, at, c: m.isoformat()[:at] + c + m.isoformat()[at + 1 :], MOMENTS,
                                   st.integers(0, 30), st.sampled_from("0123456789-:T.Z+ "))))  # fmt: skip
@example("2023-02-29T00:00:00Z")
@example("1900-02-29T00:00:00Z")
@example("2000-02-29T00:00:00Z")
@example("2024-00-10T00:00:00Z")
@example("2024-13-10T00:00:00Z")
def test_the_kernel_accepts_no_time_that_python_refuses(text: str) -> None:
    found = kernel_time(text)
    if found >= 0:
        assert parse_time(text, zone_required=True) == found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (MAX_TIME_US, MAX_TIME_US),
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00Z", 0),
        ("1970-01-01 01:00:00+0100", 0),
        ("1970-01-01T00:00:00.0000019Z", 1),
        ("9999-12-31T23:59:59.999999Z", MAX_TIME_US),
    ],
)
def test_times_in_their_forms(value: object, expected: int) -> None:
    assert parse_time(value, zone_required=True) == expected


def test_a_zone_may_be_left_out_only_where_the_format_says_utc() -> None:
    assert parse_time("1970-01-01T00:00:01", zone_required=False) == 1_000_000
    with pytest.raises(BadValue, match="no zone"):
        parse_time("1970-01-01T00:00:01", zone_required=True)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1.2.3.4", "1.2.3.4"),
        (" 1.2.3.4 ", "1.2.3.4"),
        ("1.2.3.4:5678", "1.2.3.4"),
        ("[2001:DB8::1]:443", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("2001:0DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("::", "::"),
        ("s3.amazonaws.com", None),
        ("AWS Internal", None),
        ("01.2.3.4", None),
        ("1.2.3", None),
        ("1.2.3.256", None),
        ("1.2.3.4:port", None),
        ("1.2.3.4:999999", None),
        ("[1.2.3.4]:80", None),
        ("[2001:db8::1", None),
        ("[2001:db8::1]x", None),
        ("12345::", None),
        ("", None),
        ("1" * 100, None),
        ("1٢.2.3.4", None),
    ],
)
def test_addresses(text: str, expected: str | None) -> None:
    assert parse_address(text) == expected


GROUPS = st.lists(st.sampled_from(["0", "1", "ff", "db8", "0db8", "FF", "ffff", ""]), min_size=1, max_size=9).map(
    ":".join
)


@CHECKED
@given(st.one_of(st.ip_addresses().map(str), GROUPS, st.text(st.sampled_from("0123456789abcf:."), max_size=20),
                 st.lists(st.integers(0, 300).map(str), min_size=3, max_size=5).map(".".join)))  # fmt: skip
@example("1::")
@example("::1")
@example("1:0:0:2::")
@example("0:0:0:0:0:0:0:0")
@example("1:2:3:4:5:6:7::")
@example("::ffff:1:2")
def test_the_kernel_accepts_just_the_canonical_addresses(text: str) -> None:
    data = buffer(text)
    found = kernel.address_kind(data, 0, len(text))
    canonical = address(text) == text and text.isascii()
    assert (found != 0) == canonical
    if canonical:
        assert found == (6 if ":" in text else 4)
        assert parse_address(text) == text


@CHECKED
@given(st.binary(max_size=12))
def test_utf8_is_judged_as_python_does(raw: bytes) -> None:
    padded = raw.replace(b'"', b"'").replace(b"\\", b"/")
    padded = bytes(c if c >= 32 else 65 for c in padded)
    data = np.frombuffer(padded + b'"' + b"\n" * 16, dtype=np.uint8)
    try:
        padded.decode("utf-8")
        good = True
    except UnicodeDecodeError:
        good = False
    assert kernel.string_end(data, 0) == (len(padded) if good else -1)


@pytest.mark.parametrize("at", range(20))
@pytest.mark.parametrize("stop", [b'"', b"\\", b"\x1f", b"\n"])
def test_a_text_ends_at_its_first_special_byte(at: int, stop: bytes) -> None:
    data = np.frombuffer(b"x" * at + stop + b'y"' + b"\n" * 16, dtype=np.uint8)
    assert kernel.string_end(data, 0) == (at if stop == b'"' else -1)


SHAPES = st.from_regex(r"\A20[0-9]{2}-[01][0-9]-[0-3][0-9][T ,][0-2][0-9]:[0-6][0-9]:[0-6][0-9]([.,][0-9]{0,10})?Z?\Z")
SPOILT = st.builds(
    lambda text, at, extra, cut: text[: at % (len(text) + 1)] + extra + text[at % (len(text) + 1) + cut :],
    SHAPES, st.integers(0, 40), st.sampled_from([*"0129-:.,TZ+W ", "\u0663", ""]), st.integers(0, 2),
)  # fmt: skip


@CHECKED
@given(SHAPES | SPOILT)
@example("2024-01-03T07:24:11.502711.00Z")
@example("2024-01-03T24:00:00Z")
@example("2024-01-03T23:59:60Z")
@example("2024-01-03T07:24:11.50271\u0663Z")
def test_the_short_way_reads_times_as_the_long_way_does(text: str) -> None:
    short = values._parse_common(text)
    if short is not None:
        assert short == values._parse_any(text, True)


@CHECKED
@given(st.from_regex(r"\A[0-9]{1,3}(\.[0-9]{1,3}){2,4}\Z") | st.ip_addresses(v=4).map(str))
@example("1.2.3.04")
@example("1.2.3.4\n")
@example("256.1.1.1")
def test_plain_ipv4_addresses_are_those_of_the_standard_library(text: str) -> None:
    try:
        expected = str(ipaddress.IPv4Address(text.strip()))
    except ValueError:
        expected = None
    assert parse_address(text) == expected
