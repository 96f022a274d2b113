"""Hosts: a raw host name becomes its normal form, its public suffix and its registered domain.

Normal form: lower case, punycode (IDNA 2003, which Python ships), percent-decoded, no port, no trailing dot; an address
in any form that a browser takes (`0x7f.1`, `2130706433`, `[::1]`) becomes the address's own text. Suffixes are those of
the public suffix list that the package `publicsuffixlist` ships, **private section included** (so the registered domain
of `a.github.io` is `a.github.io`), with the list's default rule for unknown top levels. An address has neither. Pure;
the list is read once in a process and cached.
"""

from __future__ import annotations

import ipaddress
import re
import urllib.parse
from functools import cache
from typing import NamedTuple

import publicsuffixlist

MAX_HOST = 253
"""RFC 1035: 255 bytes on the wire, 253 characters as text."""
MAX_LABEL = 63
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)\Z")
_NUMBER = re.compile(r"(?:0x[0-9a-f]*|[0-9]+)\Z")


class Host(NamedTuple):
    """What is known of a host; all None where the text is no host name."""

    domain: str | None
    registered: str | None
    suffix: str | None


NO_HOST = Host(None, None, None)


@cache
def _public_suffixes() -> publicsuffixlist.PublicSuffixList:
    return publicsuffixlist.PublicSuffixList()


def suffix_list_version() -> str:
    """The version of the public suffix list in use."""
    return str(publicsuffixlist.__version__)


def read_host(text: str) -> Host:
    """Normalise and split a host (a port and a trailing dot are allowed). About 10 µs: call it once per distinct text.

    >>> read_host("WWW.Example.co.uk.:443")
    Host(domain='www.example.co.uk', registered='example.co.uk', suffix='co.uk')
    """
    name = _normal(text)
    if name is None:
        return NO_HOST
    if ":" in name or _NUMBER.match(name.rpartition(".")[2]):
        return Host(name, None, None)
    suffixes = _public_suffixes()
    suffix: str | None = suffixes.publicsuffix(name)
    registered: str | None = suffixes.privatesuffix(name)
    return Host(name, registered, suffix)


def _normal(text: str) -> str | None:
    """The normal form of a raw host, or None."""
    if len(text) > 4 * MAX_HOST + 8:
        return None
    if text.startswith("["):
        return _bracketed(text)
    if text.count(":") > 1:
        return _address_text(text)
    name, colon, port = text.partition(":")
    if colon and port and not (port.isascii() and port.isdigit()):
        return None
    if "%" in name:
        name = urllib.parse.unquote(name, errors="replace")
    plain = _ascii(name)
    if plain is None:
        return None
    name = plain.removesuffix(".")
    if not name or len(name) > MAX_HOST:
        return None
    if _NUMBER.match(name.rpartition(".")[2]):
        return _ipv4_number(name)
    return name if all(_LABEL.match(label) for label in name.split(".")) else None


def _ascii(name: str) -> str | None:
    """Lower case and punycode; None where IDNA refuses."""
    if name.isascii():
        return name.lower()
    try:
        return name.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None


def _bracketed(text: str) -> str | None:
    inside, closing, rest = text[1:].partition("]")
    if not closing or (rest and not re.match(r":[0-9]*\Z", rest)) or ":" not in inside:
        return None
    return _address_text(inside)


def _address_text(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _ipv4_number(name: str) -> str | None:
    """The IPv4 address that a browser reads from one to four numbers (decimal, octal, hexadecimal); WHATWG URL 3.5."""
    numbers = []
    for part in name.split("."):
        if not _NUMBER.match(part) or len(part) > 16:
            return None
        try:
            if part.startswith("0x"):
                numbers.append(int(part[2:] or "0", 16))
            else:
                numbers.append(int(part, 8 if len(part) > 1 and part[0] == "0" else 10))
        except ValueError:
            return None
    *head, last = numbers
    if len(numbers) > 4 or any(n > 255 for n in head) or last >= 256 ** (5 - len(numbers)):
        return None
    value = last + sum(n << (8 * (3 - i)) for i, n in enumerate(head))
    return str(ipaddress.IPv4Address(value))
