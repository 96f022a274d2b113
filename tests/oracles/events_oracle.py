"""Slow twins for the events room: plain Python, written from the documents and not from the code under test."""

from __future__ import annotations

import ipaddress
import json
from datetime import UTC, datetime

NATIVE_TEXTS = ("event_id", "type", "actor", "account", "session", "device", "file", "outcome", "user_agent")
NATIVE_INTS = ("size_bytes", "items", "asn")
NATIVE_FLOATS = ("lat", "lon", "rtt_ms")


def time_us(text: str) -> int:
    """Microseconds of ISO text with a zone, by the standard library."""
    moment = datetime.fromisoformat(text.replace(" ", "T", 1))
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86400 + delta.seconds) * 1_000_000 + delta.microseconds


def address(text: str) -> str | None:
    """Canonical text of an address without port, by the standard library."""
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None)
    return str(mapped or found)


def native_row(event: dict, known: set[str]) -> dict:
    """The row of a valid event (as generated, before it became a line): columns, and attributes as an object."""
    row: dict = {}
    further: dict = {}
    for name, value in event.items():
        if name == "attributes":
            further.update(value or {})
        elif name not in known:
            further[name] = value
        elif value is None:
            continue
        elif name in ("time", "received"):
            row[name] = value if isinstance(value, int) else time_us(value)
        elif name == "ip":
            found = address(value)
            if found is None:
                further[name] = value
            else:
                row[name] = found
        elif name in NATIVE_FLOATS:
            row[name] = float(value)
        else:
            row[name] = value
    if further:
        row["attributes"] = json.dumps(further, sort_keys=True)
    return row


def sort_rows(rows: list[dict]) -> list[dict]:
    """Rows by (time, event_id), missing ids first, ties in their order."""
    return sorted(rows, key=lambda row: (row["time"], row["event_id"] or ""))
