"""What enforcement holds at the moment, by subject; and which subject a text names.

`Holds` keeps intervals by (kind, code) and finds the rows that any of them may concern; `Directory` turns the texts of
subjects back into codes, from the rows that were delivered: a service can act only on what it has seen.
"""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from shoal.simulate.catalogue import TYPE
from shoal.simulate.draws import Bools, Ints, mix
from shoal.simulate.render import Renderer
from shoal.simulate.rows import Rows, length

COLUMN = {"session": "session", "device": "device", "ip": "address", "link": "link", "file": "file"}
_HASHED = {"session": ("s", 16, 4), "device": ("d", 14, 5), "link": ("l", 13, 6), "file": ("f", 15, 16)}
_BY_OTHERS = np.array([TYPE["link.visited"], TYPE["link.downloaded"]])
_REPORT = TYPE["abuse.reported"]


@dataclass(frozen=True)
class Hold:
    """One action in force, from its effect to the end of its lease (µs)."""

    number: int
    action: str
    effect: str
    types: frozenset[int]
    start: int
    until: int


class Directory:
    """Codes of the subjects that were seen."""

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self._known: dict[str, dict[str, int]] = defaultdict(dict)
        self._new: dict[str, list[Ints]] = defaultdict(list)
        self._networks: Ints | None = None
        self._network_codes: dict[str, int] = {}

    def note(self, block: Rows) -> None:
        """Rows that were delivered."""
        for kind in _HASHED:
            codes = block[COLUMN[kind]]
            self._new[kind].append(np.unique(codes[codes >= 0]))
        held = block["file"] >= 0
        self._new["content"].append(np.unique(self.contents(block)[held]))

    def contents(self, block: Rows) -> Ints:
        """The content of each row's file."""
        return self._renderer.content_of(block["file"], block["content"])

    def code(self, kind: str, text: str) -> int | None:
        """The code of a subject, or None."""
        known = self._known[kind]
        if kind == "account" and not known:
            known.update((name, code) for code, name in enumerate(self._renderer.accounts.to_pylist()))
        elif kind == "ip" and not known:
            known.update((name, code) for code, name in enumerate(self._renderer.book.text.to_pylist()))
        elif kind == "network":
            self.networks()
            return self._network_codes.get(text)
        elif kind in self._new:
            fresh = np.unique(np.concatenate(self._new[kind])) if self._new[kind] else np.zeros(0, np.int64)
            self._new[kind] = []
            salt = self._renderer.seed * 8
            for code, word in zip(fresh.tolist(), mix(fresh, salt + self._salt(kind)).tolist(), strict=True):
                known[self._text(kind, word)] = code
            if kind == "content":
                text = text[:16]
        return known.get(text)

    @staticmethod
    def _salt(kind: str) -> int:
        return 20 if kind == "content" else _HASHED[kind][2]

    @staticmethod
    def _text(kind: str, word: int) -> str:
        digits = word.to_bytes(8, "little").hex()
        if kind == "content":  # the first sixteen digits of the hash
            return digits
        prefix, size, _ = _HASHED[kind]
        return prefix + digits[:size]

    def networks(self) -> Ints:
        """The network (/24 or /48) of each address, as codes."""
        if self._networks is None:
            codes = []
            for text in self._renderer.book.text.to_pylist():
                wide = 48 if ":" in text else 24
                name = str(ipaddress.ip_network(f"{text}/{wide}", strict=False))
                codes.append(self._network_codes.setdefault(name, len(self._network_codes)))
            self._networks = np.array(codes, dtype=np.int64)
        return self._networks


class Holds:
    """Holds by kind of subject and code."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._held: dict[str, dict[int, list[Hold]]] = defaultdict(dict)

    def add(self, kind: str, code: int, hold: Hold) -> None:
        """Another action in force."""
        self._held[kind].setdefault(code, []).append(hold)

    def concerned(self, block: Rows) -> Bools:
        """Rows that any hold may concern."""
        out: Bools = np.zeros(length(block), bool)
        for kind, codes in self._held.items():
            known = np.array(sorted(codes), dtype=np.int64)
            for column in self._columns(kind, block):
                out |= np.isin(column, known)
        return out

    def _columns(self, kind: str, block: Rows) -> list[Ints]:
        if kind == "account":
            return [block["actor"], block["account"], block["owner"]]
        if kind == "network":
            return [np.where(block["address"] >= 0, self._directory.networks()[block["address"]], -1)]
        if kind == "content":
            return [np.where(block["file"] >= 0, self._directory.contents(block), -1)]
        return [block[COLUMN[kind]]]

    def of(self, row: dict[str, int], time: int) -> list[tuple[str, int, Hold]]:
        """The holds on a row at a time: kind and code of the subject, and the hold."""
        out = []
        for kind, codes in self._held.items():
            for code in self._subjects(kind, row):
                for hold in codes.get(code, ()):
                    if hold.start <= time < hold.until and self._fits(kind, code, hold, row):
                        out.append((kind, code, hold))
        return sorted(out, key=lambda item: item[2].number)

    def _subjects(self, kind: str, row: dict[str, int]) -> set[int]:
        if kind == "account":
            return {row["actor"], row["account"], row["owner"]} - {-1}
        if kind == "network":
            return {int(self._directory.networks()[row["address"]])} if row["address"] >= 0 else set()
        if kind == "content":
            if row["file"] < 0:
                return set()
            file, content = np.array([row["file"]]), np.array([row["content"]])
            return {int(self._directory.contents({"file": file, "content": content})[0])}
        return {row[COLUMN[kind]]} - {-1}

    @staticmethod
    def _fits(kind: str, code: int, hold: Hold, row: dict[str, int]) -> bool:
        """An account's holds concern what it does; a closed account is also not logged in to, and its links rest."""
        if hold.effect == "stop" and hold.types and row["type"] not in hold.types:
            return False
        if kind != "account" or row["actor"] == code:
            return True
        if hold.effect != "stop" or hold.types or row["type"] == _REPORT:
            return False
        return (row["actor"] < 0 and row["account"] == code) or (row["owner"] == code and row["type"] in _BY_OTHERS)
