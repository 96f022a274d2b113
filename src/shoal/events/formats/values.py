"""Single values at the border: times, addresses, texts. The plain, correct versions. Holds small caches only.

A time is ISO 8601 with a zone (or integer microseconds); an address is IPv4 or IPv6 text, its port, brackets and zone
index taken off, in canonical form (RFC 5952). What is not valid raises `BadValue` with its dead-letter reason, or is
None for addresses, whose text then stays in `attributes`.
"""

from __future__ import annotations

import ipaddress
import re
from datetime import UTC, datetime, timedelta, timezone
from functools import lru_cache
from typing import Any

from shoal.events.identity import ERASED_MARK

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MAX_TIME_US = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z
_US = timedelta(microseconds=1)
_ISO = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:?\d\d)?", re.ASCII)
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_PLAIN_IPV4 = re.compile(rf"{_BYTE}(?:\.{_BYTE}){{3}}")
_PORT = re.compile(r":\d{1,5}", re.ASCII)


class BadValue(ValueError):  # noqa: N818 - becomes a dead letter
    """A value that cannot be read: `reason` is the dead letter's slug."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def parse_time(value: Any, *, zone_required: bool) -> int:
    """Microseconds UTC of ISO 8601 text or of an integer (already microseconds).

    `YYYY-MM-DD`, `T` or a space, `HH:MM[:SS[.f…]]`, then `Z` or `±HH[:]MM`. Without a zone it is refused, or UTC where
    `zone_required` is false (a format whose times are UTC by definition). Digits after the sixth are cut. Leap second
    :60 is refused. Raises `BadValue` (`time.malformed`, `time.zone_missing`, `time.out_of_range`).
    """
    if isinstance(value, str):
        return _parse_text(value, zone_required)
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value <= MAX_TIME_US:
            raise BadValue("time.out_of_range", "the integer time is not within 1970 to 9999 in microseconds")
        return value
    raise BadValue("time.malformed", f"the time is a JSON {type(value).__name__}")


@lru_cache(maxsize=65536)
def _parse_text(text: str, zone_required: bool) -> int:
    us = _parse_common(text)
    return _parse_any(text, zone_required) if us is None else us


def _parse_common(text: str) -> int | None:
    """`YYYY-MM-DDTHH:MM:SS[.f…]Z`, which nearly all times are, by the standard library's parser; None to decline.

    That parser takes more than we do (other separators, 24:00, anything behind six digits): so we look at the shape.
    """
    size = len(text)
    if not 20 <= size <= 30 or text[-1] != "Z" or text[4] != "-" or text[10] != "T" or text[13] != ":":
        return None
    if text[16] != ":" or text[11:13] == "24" or not text.isascii():
        return None
    if size > 20 and (text[19] != "." or not text[20:-1].isdigit()):
        return None
    try:
        since = datetime.fromisoformat(text) - EPOCH
    except ValueError:
        return None
    us = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return us if us >= 0 else None


def _parse_any(text: str, zone_required: bool) -> int:
    match = _ISO.fullmatch(text)
    if match is None:
        raise BadValue("time.malformed", f"{text[:40]!r} is not ISO 8601")
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    if zone is None and zone_required:
        raise BadValue("time.zone_missing", f"{text[:40]!r} has no zone (Z or ±HH:MM)")
    micro = int((fraction or "0")[:6].ljust(6, "0"))
    try:
        offset = UTC
        if zone is not None and zone != "Z":
            minutes = int(zone[-2:])
            if minutes > 59 or int(zone[1:3]) > 23:
                raise ValueError("the zone offset is not within 23:59")
            shift = timedelta(hours=int(zone[1:3]), minutes=minutes)
            offset = timezone(-shift if zone[0] == "-" else shift)
        local = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), micro, offset)
        us = (local - EPOCH) // _US
    except ValueError as error:
        raise BadValue("time.malformed", f"{text[:40]!r}: {error}") from error
    if not 0 <= us <= MAX_TIME_US:
        raise BadValue("time.out_of_range", f"{text[:40]!r} is not within 1970 to 9999")
    return us


@lru_cache(maxsize=65536)
def parse_address(text: str) -> str | None:
    """The address in canonical form, or None where the text is not one (a host name, a word, nothing).

    Takes `1.2.3.4`, `1.2.3.4:5678`, `v6`, `[v6]`, `[v6]:port`; a zone index (`%eth0`) is cut; an IPv4-mapped IPv6
    address (`::ffff:1.2.3.4`) becomes the IPv4 address it stands for.

    >>> parse_address("[2A01:111::1]:52903"), parse_address("s3.amazonaws.com")
    ('2a01:111::1', None)
    """
    if _PLAIN_IPV4.fullmatch(text):  # in canonical form already
        return text
    host = text.strip()
    if not host or len(host) > 64:
        return None
    if host[0] == "[":
        host, closed, port = host[1:].partition("]")
        if not closed or ":" not in host or (port and not _PORT.fullmatch(port)):
            return None
    elif host.count(":") == 1:
        host, _, port = host.partition(":")
        if not _PORT.fullmatch(":" + port):
            return None
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)


def refuse_marked(value: Any) -> None:
    """Raise `BadValue` where a text (or name) anywhere in a JSON value begins with the mark of erased texts."""
    if isinstance(value, str):
        if value.startswith(ERASED_MARK):
            raise BadValue("text.erased_mark", "a text begins with the mark of erased texts")
    elif isinstance(value, dict):
        for name, item in value.items():
            refuse_marked(name)
            refuse_marked(item)
    elif isinstance(value, list):
        for item in value:
            refuse_marked(item)
