"""Named lists: what `ip IN list('office')` and `domain IN list('partners')` look in. Hot path: `contains`.

A list holds texts or addresses, never both. **Texts** are compared exactly: case counts, nothing is trimmed or
normalised at look-up (an entry of a file is trimmed, see `read`); whoever lists domains writes them in lower case, as
the event table has them. **Addresses** are compared as addresses: entries are addresses, CIDRs (no host bits) or
`first-last`; `::ffff:192.0.2.1` is 192.0.2.1. A list is immutable; its version is given or the hash of its entries.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shoal.errors import InvalidInput, Problem, Where
from shoal.ranges.addresses_kernel import HOST_BITS, Int8s, UInt64s, parse_addresses, parse_networks
from shoal.ranges.intervals import RANGE_PROBLEMS, IntervalTable
from shoal.ranges.texts_kernel import TextSet

ListKind = Literal["text", "address"]
MAX_ENTRY_BYTES = 4096
MAX_PROBLEMS = 100
"""More problems than this in one file are counted, not told one by one."""


@dataclass(frozen=True)
class NamedList:
    """A list that conditions name. `texts` are the entries as given (of either kind), without repetition."""

    name: str
    version: str
    kind: ListKind
    texts: frozenset[str] = field(repr=False)
    _text_set: TextSet | None = field(default=None, repr=False, compare=False)
    _intervals: IntervalTable | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(
        cls,
        name: str,
        entries: Sequence[str],
        version: str = "",
        kind: ListKind | None = None,
        places: Sequence[Where] | None = None,
    ) -> NamedList:
        """Build a list.

        `kind`: without it, a list in which any entry is an address, CIDR or range holds addresses, and any other entry
        is then a mistake; else it holds texts. `places[i]` is where entry i stands, for the messages. `version`:
        without it `sha256:` and 12 hex digits of the entries. Raises `InvalidInput` with all bad entries (slugs
        `lists.empty_entry`, `lists.long_entry`, `lists.bad_address`, `lists.host_bits`, `lists.bad_text`).
        """
        where = places if places is not None else [Where(path=f"{name}[{i}]") for i in range(len(entries))]
        problems = _text_problems(entries, where)
        if problems:
            raise InvalidInput(_capped(problems))
        array = pa.array(list(entries), pa.string())
        first_hi, first_lo, last_hi, last_lo, state = parse_networks(array)
        chosen: ListKind = kind or ("address" if bool((state == 0).any() or (state == HOST_BITS).any()) else "text")
        texts = frozenset(entries)
        version = version or _hash_of(chosen, texts)
        if chosen == "text":
            return cls(name, version, chosen, texts, _text_set=TextSet(texts))
        problems = _address_problems(entries, where, state, sure=kind is not None)
        if problems:
            raise InvalidInput(_capped(problems))
        rows = np.zeros(len(entries), dtype=np.int32)
        halves = np.stack([first_hi, first_lo]), np.stack([last_hi, last_lo])
        return cls(name, version, chosen, texts, _intervals=IntervalTable.of_halves(*halves, rows))

    @classmethod
    def read(cls, path: Path, name: str = "", kind: ListKind | None = None, version: str = "") -> NamedList:
        """Read a UTF-8 text file: one entry a line, spaces around it dropped, blank lines skipped.

        `#` at the start of a line or behind a space begins a comment. The name is the file's stem unless given. Raises
        `InvalidInput` with file and line of all bad entries (slugs of `of`, and `lists.unreadable`, `lists.encoding`).
        """
        try:
            raw = path.read_bytes()
        except OSError as error:
            message = f"cannot read the list: {error.strerror or error}"
            raise InvalidInput(Problem("lists.unreadable", message, Where(str(path)))) from error
        entries: list[str] = []
        places: list[Where] = []
        problems: list[Problem] = []
        for number, line in enumerate(raw.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
            where = Where(str(path), number)
            try:
                text = line.decode("utf-8")
            except UnicodeDecodeError:
                problems.append(Problem("lists.encoding", "the line is not UTF-8", where))
                continue
            entry = _without_comment(text)
            if entry:
                entries.append(entry)
                places.append(where)
        try:
            made = cls.of(name or path.stem, entries, version, kind, places)
        except InvalidInput as error:
            raise InvalidInput(_capped([*problems, *error.problems])) from None
        if problems:
            raise InvalidInput(_capped(problems))
        return made

    def contains(self, texts: pa.Array) -> npt.NDArray[np.bool_]:
        """bool[n]: whether each text of the array is in the list; a null, and a text that is no address, is not."""
        if self._text_set is not None:
            return self._text_set.contains(texts)
        return self.contains_addresses(*parse_addresses(texts))

    def contains_addresses(self, hi: UInt64s, lo: UInt64s, version: Int8s) -> npt.NDArray[np.bool_]:
        """The same for addresses that are parsed already; all False for a list of texts."""
        if self._intervals is None:
            return np.zeros(len(hi), dtype=np.bool_)
        return self._intervals.lookup(hi, lo, version) >= 0


def _hash_of(kind: str, texts: frozenset[str]) -> str:
    digest = hashlib.sha256(kind.encode())
    for text in sorted(texts):
        digest.update(b"\0" + text.encode())
    return f"sha256:{digest.hexdigest()[:12]}"


def _without_comment(line: str) -> str:
    line = line.strip()
    if line.startswith("#"):
        return ""
    for mark in (" #", "\t#"):
        line = line.split(mark, 1)[0]
    return line.strip()


def _text_problems(entries: Sequence[str], places: Sequence[Where]) -> list[Problem]:
    problems = []
    for entry, where in zip(entries, places, strict=True):
        if not isinstance(entry, str):
            hint = "put it in quotes"
            problems.append(Problem("lists.bad_text", f"{entry!r} is not a text", where, hint=hint))
        elif not entry.strip():
            problems.append(Problem("lists.empty_entry", "an entry is empty", where))
        elif len(entry) > MAX_ENTRY_BYTES:
            limit = f"at most {MAX_ENTRY_BYTES} characters"
            problems.append(Problem("lists.long_entry", f"an entry has {len(entry)} characters", where, limit))
        elif any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in entry):
            problems.append(Problem("lists.bad_text", f"{entry!r} holds a control character", where))
    return problems


def _address_problems(entries: Sequence[str], places: Sequence[Where], state: Int8s, *, sure: bool) -> list[Problem]:
    problems = []
    for index in np.flatnonzero(state).tolist():
        why = int(state[index])
        slug = "lists.host_bits" if why == HOST_BITS else "lists.bad_address"
        allowed = "" if why == HOST_BITS else "192.0.2.7, 192.0.2.0/24, 2001:db8::/32, 192.0.2.1-192.0.2.9"
        hint = "" if sure or why == HOST_BITS else "if this is a list of texts, say so: kind: text"
        message = f"{entries[index]!r} {RANGE_PROBLEMS[why]}"
        problems.append(Problem(slug, message, places[index], allowed=allowed, hint=hint))
    return problems


def _capped(problems: list[Problem]) -> list[Problem]:
    more = len(problems) - MAX_PROBLEMS
    if more <= 0:
        return problems
    return [*problems[:MAX_PROBLEMS], Problem("lists.more", f"and {more} more problems")]
