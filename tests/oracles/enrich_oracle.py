"""Slow twin of `shoal.enrich.enricher`: one row at a time, nothing cached, `ipaddress` and a linear scan."""

from __future__ import annotations

import ipaddress
from functools import cache
from typing import Any

import pyarrow as pa

from oracles.ranges_oracle import most_specific, parse_address, prefix_text, range_of
from shoal.enrich.clients import Client, read_client
from shoal.enrich.hosts import read_host
from shoal.enrich.hosts_kernel import url_hosts

Row = dict[str, Any]
COLUMNS = ("country", "asn", "lat", "lon", "network_kind")


class SlowTable:
    """A table of (CIDR, told) pairs."""

    def __init__(self, name: str, version: str, ranges: list[tuple[str, Row]]) -> None:
        self.label = f"{name}@{version}"
        self.ranges = [range_of(text) for text, _ in ranges]
        self.told = [row for _, row in ranges]

    def lookup(self, ip: str) -> Row:
        value, version = parse_address(ip)
        index = most_specific(self.ranges, value) if version else -1
        return self.told[index] if index >= 0 else {}


def enrich(row: Row, tables: list[SlowTable]) -> Row:
    row = dict(row)
    ip = row.get("ip")
    if ip is not None:
        fill(row, "network", prefix_text(ip))
        spoken: set[str] = set()
        given = {name for name in COLUMNS if row.get(name) is not None}
        for name in COLUMNS:
            if name in given or (name in ("lat", "lon") and given & {"lat", "lon"}):
                continue
            for table in tables:
                value = table.lookup(ip).get(name)
                if value is not None:
                    row[name] = value
                    spoken.add(table.label)
                    break
        fill(row, "enrichment", ";".join(t.label for t in tables if t.label in spoken) or None)
    raw = row.get("domain")
    if raw is None and row.get("url") is not None:
        raw = url_hosts(pa.array([row["url"]])).to_pylist()[0]
    if raw is not None:
        host = read_host(raw)
        fill(row, "domain", host.domain)
        fill(row, "registered_domain", host.registered)
        fill(row, "domain_suffix", host.suffix)
    if row.get("user_agent") is not None:
        client = slow_client(row["user_agent"])
        for name, value in zip(("ua_family", "ua_version", "ua_os", "ua_device"), client, strict=True):
            fill(row, name, value)
    return row


def fill(row: Row, name: str, value: Any) -> None:
    if row.get(name) is None:
        row[name] = value


def country_of(ranges: list[tuple[str, str]], address: str) -> str | None:
    """The country of the longest CIDR that holds the address; of equal ones the last. `ipaddress` only."""
    found, length = None, -1
    place = ipaddress.ip_address(address)
    for cidr, country in ranges:
        network = ipaddress.ip_network(cidr)
        if network.version == place.version and place in network and network.prefixlen >= length:
            found, length = country, network.prefixlen
    return found


@cache
def slow_client(text: str) -> Client:
    return read_client(text)
