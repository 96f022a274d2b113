"""A minimal writer of MMDB files (MaxMind DB format 2.0, IPv6 tree, 28-bit records) for tests."""

from __future__ import annotations

import ipaddress
import struct
from typing import Any

MARK = b"\xab\xcd\xefMaxMind.com"


def encode(value: Any) -> bytes:
    if isinstance(value, bool):
        return _head(14, int(value))
    if isinstance(value, str):
        data = value.encode()
        return _head(2, len(data)) + data
    if isinstance(value, float):
        return _head(3, 8) + struct.pack(">d", value)
    if isinstance(value, tuple):  # (type number, integer)
        data = value[1].to_bytes((value[1].bit_length() + 7) // 8, "big")
        return _head(value[0], len(data)) + data
    if isinstance(value, int):
        data = value.to_bytes((value.bit_length() + 7) // 8, "big")
        return _head(6 if len(data) <= 4 else 9, len(data)) + data
    if isinstance(value, list):
        return _head(11, len(value)) + b"".join(map(encode, value))
    return _head(7, len(value)) + b"".join(encode(k) + encode(v) for k, v in value.items())


def _head(kind: int, size: int) -> bytes:
    if size >= 285:
        raise ValueError("too long for a test")
    extra = b"" if size < 29 else bytes([size - 29])
    size = min(size, 29)
    return (bytes([kind << 5 | size]) if kind < 8 else bytes([size, kind - 7])) + extra


def mmdb(networks: dict[str, Any], build_epoch: int = 1_700_000_000, ip_version: int = 6) -> bytes:
    """The bytes of a file in which each network has its record; later networks must be more specific."""
    nodes: list[list[Any]] = [[None, None]]
    data = b""
    for text, record in networks.items():
        network = ipaddress.ip_network(text)
        bits, value, length = 128, int(network.network_address), network.prefixlen
        if network.version == 4 and ip_version == 6:
            length += 96
        elif network.version == 4:
            bits = 32
        at = 0
        for depth in range(length):
            bit = value >> (bits - 1 - depth) & 1
            if depth == length - 1:
                nodes[at][bit] = ("data", len(data))
            elif not isinstance(nodes[at][bit], int):
                nodes.append([nodes[at][bit], nodes[at][bit]])
                nodes[at][bit] = len(nodes) - 1
            at = nodes[at][bit] if depth < length - 1 else at
        data += encode(record)
    count = len(nodes)

    def number(child: Any) -> int:
        if child is None:
            return count
        return child if isinstance(child, int) else count + 16 + child[1]

    tree = b""
    for left, right in nodes:
        low, high = number(left), number(right)
        middle = (low >> 24 & 15) << 4 | (high >> 24 & 15)
        tree += (low & 0xFFFFFF).to_bytes(3, "big") + bytes([middle]) + (high & 0xFFFFFF).to_bytes(3, "big")
    metadata = {
        "node_count": (6, count), "record_size": (5, 28), "ip_version": (5, ip_version), "database_type": "Test-City",
        "languages": ["en"], "binary_format_major_version": (5, 2), "binary_format_minor_version": (5, 0),
        "build_epoch": (9, build_epoch), "description": {"en": "test"},
    }  # fmt: skip
    return tree + bytes(16) + data + MARK + encode(metadata)
