"""Slow twins of the simulator's array functions: the plainest correct loops."""

import json
from collections import Counter
from datetime import UTC, datetime

MASK = (1 << 64) - 1


def mix(code: int, salt: int) -> int:
    """splitmix64, one number at a time."""
    x = (code + (salt * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15)) & MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def ragged(counts):
    return [g for g, c in enumerate(counts) for _ in range(c)], [p for c in counts for p in range(c)]


def running(values, counts):
    out, at = [], 0
    for count in counts:
        total = 0
        for value in values[at : at + count]:
            total += value
            out.append(total)
        at += count
    return out


def rank_within(keys):
    seen = Counter()
    out = []
    for key in keys:
        out.append(seen[key])
        seen[key] += 1
    return out


def hex_text(prefix, words, digits):
    """Little-endian bytes of the words, as hexadecimal, cut to `digits`."""
    return prefix + "".join(word.to_bytes(8, "little").hex() for word in words)[:digits]


def native_lines(table):
    """One `json.dumps` a row."""
    out = []
    for row in table.to_pylist():
        record = {}
        for name, value in row.items():
            if value is None or name in ("source", "partition", "offset"):
                continue
            if name in ("time", "received"):
                whole = datetime.fromtimestamp(value // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
                value = f"{whole}.{value % 1_000_000:06d}Z"
            record[name] = json.loads(value) if name == "attributes" else value
        out.append(json.dumps(record))
    return out
