"""Codes to texts: a `Rows` becomes an Arrow event table. Hot path.

Texts of long lists (accounts, addresses, agents) are taken from pools made once; ids are hashed numbers written as
hexadecimal by table look-up. A column that is null throughout a block is left out, as the event schema asks.
"""

from __future__ import annotations

from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shoal.events.schema import BY_NAME
from shoal.simulate.addresses import AddressBook
from shoal.simulate.attributes import Attributes
from shoal.simulate.catalogue import (
    CLIENTS,
    ENTROPY,
    EXTENSIONS,
    LINK_HOST,
    NETWORK_KINDS,
    REACTION_TYPES,
    STEMS,
    TYPE,
    TYPES,
    VERSIONS,
    WORDS,
)
from shoal.simulate.draws import Bools, Floats, Ints, Words, mix, unit
from shoal.simulate.people import People
from shoal.simulate.rows import EXTRAS, Rows, extra, length
from shoal.simulate.scenario.structure import Means

SOURCE = "simulator"
_HEX = np.frombuffer("".join(f"{v:02x}" for v in range(256)).encode(), dtype=np.uint16)
_CONTENT = tuple(TYPE[name] for name in ("file.uploaded", "file.modified", "file.downloaded", "link.downloaded"))
_LINKED = tuple(TYPE[name] for name in ("link.created", "link.visited", "link.downloaded", "link.stopped"))
_NAMED = (
    *_CONTENT,
    TYPE["file.renamed"],
    TYPE["file.deleted"],
    TYPE["link.created"],
    TYPE["file.removed"],
)
_ENTROPY = EXTRAS.index("entropy")
_SIZED = (*_CONTENT, TYPE["file.deleted"])
LIBRARY_BITS = 24
POPULAR = 700
"""Contents that many people have: installers, templates, well-known pictures."""


def _flags(codes: tuple[int, ...]) -> Bools:
    out = np.zeros(128, dtype=bool)
    out[list(codes)] = True
    return out


_IS_CONTENT, _IS_LINKED, _IS_NAMED, _IS_SIZED = (_flags(c) for c in (_CONTENT, _LINKED, _NAMED, _SIZED))
_IS_ENTROPY = _flags((TYPE["file.uploaded"], TYPE["file.modified"]))
_IS_CONTENT_OR_CREATED = _flags((*_CONTENT, TYPE["link.created"], TYPE["file.removed"]))


def texts_from(width: int, valid: Bools | None, fill: npt.NDArray[np.uint8], size: int) -> pa.Array:
    """Arrow texts of one width; `fill` [valid rows, width] are their bytes."""
    offsets = np.zeros(size + 1, dtype=np.int32)
    if valid is None:
        offsets[1:] = width
    else:
        offsets[1:] = np.where(valid, width, 0)
    np.cumsum(offsets, out=offsets)
    bitmap = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little").tobytes())
    nulls = 0 if valid is None else int(size - np.count_nonzero(valid))
    buffers = [bitmap, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(fill))]
    return pa.StringArray.from_buffers(size, buffers[1], buffers[2], buffers[0], nulls)


def hex_texts(prefix: str, words: list[Words], digits: int, valid: Bools | None = None) -> pa.Array:
    """`prefix` and hexadecimal digits of one or more 64-bit words a row; null where not valid."""
    size = len(words[0])
    kept = words if valid is None else [word[valid] for word in words]
    count, head = len(kept[0]), prefix.encode()
    out = np.empty((count, len(head) + digits), dtype=np.uint8)
    out[:, : len(head)] = np.frombuffer(head, dtype=np.uint8)
    at = len(head)
    for word in kept:
        span = min(16, len(head) + digits - at)
        out[:, at : at + span] = _HEX[word.view(np.uint8)].view(np.uint8).reshape(count, 16)[:, :span]
        at += span
    return texts_from(len(head) + digits, valid, out, size)


def account_names(people: People) -> pa.Array:
    """The text of every account code: real and mistyped names look alike."""
    return hex_texts("u", [mix(np.arange(people.count), people.seed * 8 + 1)], 12)


def _quantiles() -> Floats:
    """Standard normal quantiles at the middles of 4,096 equal parts."""
    normal = NormalDist()
    return np.array([normal.inv_cdf((k + 0.5) / 4096) for k in range(4096)])


_EXTENSION_STEPS = np.searchsorted(
    np.cumsum([e[1] for e in EXTENSIONS]) / sum(e[1] for e in EXTENSIONS), (np.arange(4096) + 0.5) / 4096
).astype(np.int64)


def extension_of(file: Ints, seed: int) -> Ints:
    """The kind of each file, as an index into `EXTENSIONS`: it follows from the file's code."""
    return np.take(_EXTENSION_STEPS, (mix(file, seed * 8 + 17) & np.uint64(4095)).astype(np.int64))


class Renderer:
    """Holds the pools of one world."""

    def __init__(
        self,
        people: People,
        book: AddressBook,
        suffixes: list[str],
        entropy_share: float = 0.0,
        means: Means | None = None,
    ) -> None:
        self.entropy_share = entropy_share
        self.people, self.book, self.seed = people, book, people.seed
        self.suffixes = suffixes
        self.accounts = account_names(people)
        self.attributes = Attributes(people, self.accounts, means or Means())
        orgs = np.arange(max(len(people.org_size), 1))
        self.orgs = hex_texts("org-", [mix(orgs, self.seed * 8 + 2)], 8)
        self.types = pa.array((*TYPES, *REACTION_TYPES), pa.string())
        self.kinds = pa.array(NETWORK_KINDS, pa.string())
        self.countries = pa.array(book.countries, pa.string())
        self.words = {column: pa.array(words, pa.string()) for column, words in WORDS.items()}
        agents = [c.agent.replace("{v}", str(c.version + v)) for c in CLIENTS for v in range(VERSIONS)]
        self.agents = pa.array(agents, pa.string())
        self.clients = pa.array([c.client for c in CLIENTS for _ in range(VERSIONS)], pa.string())
        self.domains = pa.array(people.domains, pa.string())
        self.names = pa.array([f"{s}.{e[0]}" for s in STEMS for e in EXTENSIONS], pa.string())
        self.desktop = np.array([c.client == "desktop" for c in CLIENTS for _ in range(VERSIONS)])
        mean, spread = (np.array([ENTROPY[e[0]][k] for e in EXTENSIONS])[:, None] for k in (0, 1))
        bits = np.minimum(mean + spread * _quantiles()[None, :], 16 - mean - spread * _quantiles()[None, :])
        self.entropy_of = np.round(np.clip(bits, 0.5, 7.99) * 100).astype(np.int64)
        base = np.array([np.log(e[2]) for e in EXTENSIONS])
        sigma = np.array([e[3] for e in EXTENSIONS])
        self.size_of = np.maximum(np.exp(base[:, None] + sigma[:, None] * _quantiles()[None, :]), 16).astype(np.int64)

    def table(self, part: Rows) -> pa.Table:
        """The event table of complete rows (all of `COLUMNS`, and `received`)."""
        size = length(part)
        kind = part["type"]
        columns: dict[str, pa.Array] = {
            "event_id": hex_texts("e", [mix(part["number"], self.seed * 8 + 3)], 16),
            "source": _constant(SOURCE, size),
            "time": pa.array(part["time"]),
            "received": pa.array(part["received"]),
            "type": self.types.take(pa.array(kind)),
        }
        for name in ("actor", "account", "owner", "recipient"):
            columns[name] = _taken(self.accounts, part[name])
        self._people_columns(part, columns)
        self._place_columns(part, columns)
        for name in ("method", "reason", "outcome", "permission", "referrer", "app", "cause", "operation"):
            columns[name] = _taken(self.words[name], part[name])
        columns["domain"] = _taken(self.domains, part["domain"])
        self._file_columns(part, columns)
        self._link_columns(part, columns)
        external = part["external"]
        columns["external"] = pa.array(external == 1, mask=external < 0)
        columns["attributes"] = self._attributes(part)
        kept = {name: column for name, column in columns.items() if column.null_count < size or not size}
        ordered = [name for name in BY_NAME if name in kept]
        return pa.table({name: kept[name] for name in ordered})

    def _people_columns(self, part: Rows, columns: dict[str, pa.Array]) -> None:
        people, salt = self.people, self.seed * 8
        account = part["account"]
        org = np.where(account >= 0, people.org[account], -1)
        signed = part["actor"] >= 0
        columns["org"] = _taken(self.orgs, np.where(signed, people.org[part["actor"]], org))
        recipient = part["recipient"]
        columns["recipient_org"] = _taken(self.orgs, np.where(recipient >= 0, people.org[recipient], -1))
        columns["session"] = hex_texts("s", [mix(part["session"], salt + 4)], 16, part["session"] >= 0)
        columns["device"] = hex_texts("d", [mix(part["device"], salt + 5)], 14, part["device"] >= 0)
        columns["resource"] = hex_texts("fo-", [mix(part["resource"], salt + 6)], 10, part["resource"] >= 0)
        invited = part["invitee"] >= 0
        if invited.any():
            numbers = part["invitee"][invited]
            domains = part["domain"][invited]
            mails = [f"p{v:012x}@{self.people.domains[d]}" for v, d in zip(
                (mix(numbers, salt + 7) >> np.uint64(16)).tolist(), domains.tolist(), strict=True)]  # fmt: skip
            merged = np.array(columns["recipient"].to_pylist(), dtype=object)
            merged[invited] = mails
            columns["recipient"] = pa.array(merged.tolist(), pa.string())

    def _place_columns(self, part: Rows, columns: dict[str, pa.Array]) -> None:
        book, address = self.book, part["address"]
        columns["ip"] = _taken(book.text, address)
        none = address < 0  # the service itself acts, or enforcement of ours
        some = none if none.any() else None
        columns["country"] = self.countries.take(pa.array(book.country[address], mask=some))
        columns["lat"] = pa.array(book.lat[address], mask=some)
        columns["lon"] = pa.array(book.lon[address], mask=some)
        columns["asn"] = pa.array(book.asn[address], mask=some)
        columns["network_kind"] = self.kinds.take(pa.array(book.kind[address], mask=some))
        columns["user_agent"] = _taken(self.agents, part["agent"])
        columns["client"] = _taken(self.clients, part["agent"])

    def _attributes(self, part: Rows) -> pa.Array:
        """`attributes`, with the entropy of contents where the client states it."""
        code = part["extra"].astype(np.int64)
        if self.entropy_share > 0:
            of = np.flatnonzero(_IS_ENTROPY[part["type"]] & (part["file"] >= 0))
            states = self.desktop[part["agent"][of]] & (unit(part["device"][of], 23) < self.entropy_share)
            code[of[~states]] = -1
            plain = of[states & ((code[of] < 0) | (code[of] % len(EXTRAS) != _ENTROPY))]
            ext = extension_of(part["file"][plain], self.seed)
            content = self.content_of(part["file"][plain], part["content"][plain])
            quantile = (mix(content, self.seed * 8 + 24) & np.uint64(4095)).astype(np.int64)
            code[plain] = extra("entropy", self.entropy_of[ext, quantile])
        elif (code >= 0).any():
            code = np.where(_IS_ENTROPY[part["type"]], -1, code)
        return self.attributes.column(part, code)

    def _file_columns(self, part: Rows, columns: dict[str, pa.Array]) -> None:
        kind, file, salt = part["type"], part["file"], self.seed * 8
        held = file >= 0
        columns["file"] = hex_texts("f", [mix(file, salt + 16)], 15, held)
        named = held & _IS_NAMED[kind]
        names = np.where(part["name"] >= 0, part["name"], file)
        form = mix(names, salt + 17)
        ext = extension_of(file, self.seed)
        stem = ((form >> np.uint64(12)) % np.uint64(len(STEMS))).astype(np.int64)
        codes = np.where(named, stem * len(EXTENSIONS) + ext, -1)
        texts = _taken(self.names, codes)
        suffix = part["suffix"]
        if (suffix >= 0).any():
            listed = texts.to_pylist()
            for row in np.flatnonzero(named & (suffix >= 0)).tolist():
                listed[row] = self._suffixed(listed[row], self.suffixes[int(suffix[row])])
            texts = pa.array(listed, pa.string())
        columns["file_name"] = texts
        with_content = held & _IS_CONTENT_OR_CREATED[kind]
        content = self.content_of(file, part["content"])
        rows = content[with_content]
        words = [mix(rows, salt + 20 + k) for k in range(4)]
        spread = [np.zeros(len(file), np.uint64) for _ in words]
        for whole, some in zip(spread, words, strict=True):
            whole[with_content] = some
        columns["file_sha256"] = hex_texts("", spread, 64, with_content)
        quantile = (mix(content, salt + 18) & np.uint64(4095)).astype(np.int64)
        columns["size_bytes"] = pa.array(self.size_of[ext, quantile], mask=~(held & _IS_SIZED[kind]))

    @staticmethod
    def _suffixed(name: str, suffix: str) -> str:
        """A suffix that begins with `=` is the whole name, else it is appended as an extension."""
        return suffix[1:] if suffix.startswith("=") else f"{name}.{suffix}"

    def content_of(self, file: Ints, content: Ints) -> Ints:
        """The content's code: given, or the file's own; one file in forty holds a popular content."""
        own = mix(file, self.seed * 8 + 19)
        common = own % np.uint64(40) == 0
        popular = (own >> np.uint64(20)) % np.uint64(POPULAR)
        base = np.where(common, popular, (own >> np.uint64(1)) | np.uint64(1 << 62)).astype(np.int64)
        return np.where(content >= 0, content, base)

    def _link_columns(self, part: Rows, columns: dict[str, pa.Array]) -> None:
        link = part["link"]
        held = link >= 0
        words = [mix(link, self.seed * 8 + 6)]
        columns["link"] = hex_texts("l", words, 13, held)
        shown = held & _IS_LINKED[part["type"]]
        columns["url"] = hex_texts(f"https://{LINK_HOST}/s/l", words, 13, shown)
        host = _constant(LINK_HOST, len(link))
        if shown.any():
            codes = np.where(shown, len(self.domains), part["domain"])
            pool = pa.concat_arrays([self.domains, host[:1]])
            columns["domain"] = _taken(pool, codes)

    def link_texts(self, links: Ints) -> pa.Array:
        """The texts of links."""
        return hex_texts("l", [mix(links, self.seed * 8 + 6)], 13)

    def sha_texts(self, contents: Ints) -> pa.Array:
        """The hashes of contents."""
        return hex_texts("", [mix(contents, self.seed * 8 + 20 + k) for k in range(4)], 64)


def _taken(pool: pa.Array, codes: npt.NDArray[Any]) -> pa.Array:
    """Texts by code; null where the code is negative."""
    missing = codes < 0
    return pool.take(pa.array(codes, mask=missing) if missing.any() else pa.array(codes))


def _constant(text: str, size: int) -> pa.Array:
    """The same text in every row."""
    fill = np.tile(np.frombuffer(text.encode(), dtype=np.uint8), (size, 1))
    return texts_from(len(text.encode()), None, fill, size)
