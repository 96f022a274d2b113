"""The enricher: adds the ENRICHED columns to a batch, once per distinct value. Hot path.

Each column that is read (`ip`, `url`, `domain`, `user_agent`) is dictionary-encoded, the distinct values are looked up
(in kernels, or in caches that live as long as the enricher), and the answers are taken back to the rows; nothing runs
per row in Python. What the source gave stays; a column in which nothing is known is not added. An enriched row is a
pure function of the row, the tables and the versions in `Enricher.version`, so it does not depend on the batch; the
writer journals it, and nobody enriches again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoal.enrich.cache import Lru
from shoal.enrich.clients import MAX_USER_AGENT, Client, client_rules_version, read_client
from shoal.enrich.hosts import Host, read_host, suffix_list_version
from shoal.enrich.hosts_kernel import url_hosts
from shoal.enrich.tables import TABLE_COLUMNS, Addresses, EnrichmentTable
from shoal.errors import InvalidInput, Problem
from shoal.events.schema import BY_NAME
from shoal.ranges.addresses_kernel import plain_texts, prefix_texts

CACHED_HOSTS = 1 << 16
CACHED_CLIENTS = 1 << 15
MAX_TABLES = 62
"""The tables that filled a row are bits of one int64."""

Columns = dict[str, pa.Array]
V = TypeVar("V")


class Enricher:
    """Adds and fills the ENRICHED columns, and `domain`; see the module's docstring.

    `tables`: the user's tables; where two know a value, the earlier one speaks. Raises `InvalidInput` for two tables of
    one name and version (`table.twice`), or more than 62 (`table.too_many`). Not shared between threads.
    """

    def __init__(self, tables: Sequence[EnrichmentTable] = ()) -> None:
        self._tables = tuple(tables)
        labels = [f"{table.name}@{table.version}" for table in self._tables]
        problems = [
            Problem("table.twice", f"the table {label} is given twice", hint="give one of them another name")
            for label in sorted({label for label in labels if labels.count(label) > 1})
        ]
        if len(labels) > MAX_TABLES:
            problems.append(Problem("table.too_many", f"{len(labels)} tables", allowed=f"at most {MAX_TABLES}"))
        if problems:
            raise InvalidInput(problems)
        self._labels = tuple(labels)
        own = [f"public-suffixes@{suffix_list_version()}", f"user-agents@{client_rules_version()}"]
        self.version = ";".join([*labels, *own])
        self._hosts: Lru[str, Host] = Lru(CACHED_HOSTS)
        self._clients: Lru[str, Client] = Lru(CACHED_CLIENTS)

    def warm(self) -> None:
        """Compile the kernels and load the rules, so that the first batch does not pay for it."""
        texts = {"ip": "192.0.2.1", "url": "http://example.com/", "user_agent": "Mozilla/5.0 (X11; Linux)"}
        self.enrich(pa.table({name: pa.array([text], pa.string()) for name, text in texts.items()}))

    def enrich(self, table: pa.Table) -> pa.Table:
        """The table with the ENRICHED columns added, or filled where null; rows and other columns stay.

        `table`: an event table (any subset of the columns). Given columns keep their place, new ones stand behind. In
        steady state (addresses and user agents that repeat) under half a CPU-microsecond a row.
        """
        if table.num_rows == 0:
            return table
        given = {name: _array(table, name) for name in table.column_names if name in _READ}
        given = {name: array for name, array in given.items() if array.null_count < len(array)}
        new: Columns = {}
        self._add_addresses(given, new)
        self._add_domains(given, new)
        self._add_clients(given, new)
        return with_columns(table, {name: array for name, array in new.items() if array.null_count < len(array)})

    def _add_addresses(self, given: Columns, new: Columns) -> None:
        if "ip" not in given:
            return
        distinct, places = _distinct(given["ip"])
        addresses = Addresses.of(distinct)
        networks = prefix_texts(addresses.hi, addresses.lo, addresses.version)
        new["network"] = _filled(given.get("network"), _taken(networks, places))
        if self._tables:
            self._add_tables(addresses, places, given, new)

    def _add_tables(self, addresses: Addresses, places: pa.Array | None, given: Columns, new: Columns) -> None:
        """Fill the tables' columns, and record in `enrichment` which tables filled something in which row."""
        answers = [table.lookup(addresses) for table in self._tables]
        size = len(given["ip"])
        marks = np.zeros(size, dtype=np.int64)
        rows: npt.NDArray[np.int32] | slice = slice(None)
        has_ip = np.ones(size, dtype=np.bool_)
        if places is not None:
            rows = np.asarray(places.fill_null(0))
            has_ip = np.asarray(places.is_valid())
        for column in TABLE_COLUMNS:
            found, tellers = _first_answers(column, answers, len(addresses.version))
            if found is None:
                continue
            free = has_ip.copy()
            if column in given:
                free &= np.asarray(given[column].is_null())
            if (column == "lon" and "lat" in given) or (column == "lat" and "lon" in given):
                other = given["lat" if column == "lon" else "lon"]
                free &= np.asarray(other.is_null())  # half a place from each would be a third place
            told = _taken(found, places)
            if not free.all():
                told = pc.if_else(pa.array(free), told, pa.scalar(None, told.type))
            marks |= np.where(free, tellers[rows], 0)
            new[column] = _filled(given.get(column), told)
        new["enrichment"] = _filled(given.get("enrichment"), self._mark_texts(marks))

    def _mark_texts(self, marks: npt.NDArray[np.int64]) -> pa.Array:
        """The bits of the tables as text: `name@version`, joined by `;`."""
        kinds, places = np.unique(marks, return_inverse=True)
        texts = [
            ";".join(label for bit, label in enumerate(self._labels) if kind >> bit & 1) or None
            for kind in kinds.tolist()
        ]
        return pa.array(texts, pa.string()).take(pa.array(places.reshape(-1)))

    def _add_domains(self, given: Columns, new: Columns) -> None:
        """`domain` from the URL where null; its suffix and registered domain."""
        raw = given.get("domain")
        if "url" in given:
            of_url = url_hosts(given["url"])
            raw = of_url if raw is None else pc.coalesce(raw, of_url)
        if raw is None or raw.null_count == len(raw):
            return
        distinct, places = _distinct(raw)
        hosts = _answers(distinct.to_pylist(), self._hosts, read_host)
        for index, name in enumerate(("domain", "registered_domain", "domain_suffix")):
            texts = pa.array([host[index] for host in hosts], pa.string())
            new[name] = _filled(given.get(name), _taken(texts, places))

    def _add_clients(self, given: Columns, new: Columns) -> None:
        agents = given.get("user_agent")
        if agents is None:
            return
        distinct, places = _distinct(agents)
        if pc.max(pc.binary_length(distinct)).as_py() > MAX_USER_AGENT:
            distinct = pc.utf8_slice_codeunits(distinct, 0, MAX_USER_AGENT)
        clients = _answers(distinct.to_pylist(), self._clients, read_client)
        for index, name in enumerate(("ua_family", "ua_version", "ua_os", "ua_device")):
            texts = pa.array([client[index] for client in clients], pa.string())
            new[name] = _filled(given.get(name), _taken(texts, places))


_READ = frozenset(
    (
        *("ip", "url", "domain", "user_agent", "network", "registered_domain", "domain_suffix", "enrichment"),
        *("ua_family", "ua_version", "ua_os", "ua_device"),
        *TABLE_COLUMNS,
    )
)


def _array(table: pa.Table, name: str) -> pa.Array:
    """A column as one array of the schema's type."""
    column = table.column(name)
    if BY_NAME[name].kind.arrow == pa.string():
        return plain_texts(column)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()  # which copies even one chunk


def with_columns(table: pa.Table, new: Columns) -> pa.Table:
    """The table with columns replaced in their place or, where they are new, put behind; in one step."""
    columns = dict(zip(table.column_names, table.columns, strict=True)) | new
    return pa.Table.from_arrays(list(columns.values()), names=list(columns), metadata=table.schema.metadata)


def _distinct(texts: pa.Array) -> tuple[pa.Array, pa.Array | None]:
    """(distinct texts without null, int32 place of each row's text among them, null where the row is null).

    The places are None where each row has its own text: then the order is that of the rows, and nothing is to take.
    """
    if len(texts) == 1 and not texts.null_count:
        return texts, None
    encoded = texts.dictionary_encode()
    return encoded.dictionary, encoded.indices if len(encoded.dictionary) < len(texts) else None


def _taken(answers: pa.Array, places: pa.Array | None) -> pa.Array:
    return answers if places is None else answers.take(places)


def _filled(given: pa.Array | None, found: pa.Array) -> pa.Array:
    return found if given is None else pc.coalesce(given, found)


def _answers(texts: list[str], cache: Lru[str, V], read: Callable[[str], V]) -> list[V]:
    """The answer for each distinct text, from the cache or computed."""
    answers = []
    for text in texts:
        answer = cache.get(text)
        if answer is None:
            answer = read(text)
            cache.put(text, answer)
        answers.append(answer)
    return answers


def _first_answers(
    column: str, answers: Sequence[Mapping[str, pa.Array]], size: int
) -> tuple[pa.Array | None, npt.NDArray[np.int64]]:
    """(the first table's answer that is not null for each distinct address, the bit of that table)."""
    found: pa.Array | None = None
    tellers = np.zeros(size, dtype=np.int64)
    for bit, answer in enumerate(answers):
        array = answer.get(column)
        if array is None or array.null_count == len(array):
            continue
        told = np.asarray(array.is_valid())
        tellers[told & (tellers == 0)] = 1 << bit
        found = array if found is None else pc.coalesce(found, array)
    return found, tellers
