"""Slow twins of `shoal.ranges`: Python's own `ipaddress`, one text at a time."""

from __future__ import annotations

import ipaddress

V4_BASE = 0xFFFF << 32


def parse_address(text: str | None) -> tuple[int, int]:
    """(128-bit value, version); version 0 where the text is no address."""
    if text is None:
        return 0, 0
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return 0, 0
    if isinstance(address, ipaddress.IPv4Address):
        return V4_BASE | int(address), 4
    return int(address), 4 if int(address) >> 32 == 0xFFFF else 6


def prefix_text(text: str | None) -> str | None:
    value, version = parse_address(text)
    if version == 0:
        return None
    if version == 4:
        return str(ipaddress.ip_network((value & 0xFFFFFFFF, 24), strict=False))
    return str(ipaddress.ip_network((value, 48), strict=False))


def range_of(text: str) -> tuple[int, int] | None:
    """(first, last) of an address, CIDR or `first-last`; None where it is none."""
    if "-" in text:
        left, _, right = text.partition("-")
        (first, one), (last, other) = parse_address(left), parse_address(right)
        return (first, last) if one and one == other and first <= last else None
    address, slash, length = text.partition("/")
    if slash and (not length.isascii() or not length.isdigit() or str(int(length)) != length):
        return None
    if slash and not parse_address(address)[1]:
        return None
    try:
        network = ipaddress.ip_network(text)
    except ValueError:
        return None
    base = V4_BASE if network.version == 4 else 0
    return base | int(network.network_address), base | int(network.broadcast_address)


def most_specific(ranges: list[tuple[int, int]], address: int) -> int:
    """Index of the smallest range that holds the address (of equals the last), or -1."""
    best, size = -1, 0
    for index, (first, last) in enumerate(ranges):
        if first <= address <= last and not _foreign(first, last, address):
            if best < 0 or last - first <= size:
                best, size = index, last - first
    return best


def _foreign(first: int, last: int, address: int) -> bool:
    """Whether an IPv6 range that is larger than the IPv4 block meets an IPv4 address."""
    inside = V4_BASE <= address <= V4_BASE | 0xFFFFFFFF
    return inside and not (first >= V4_BASE and last <= V4_BASE | 0xFFFFFFFF)
