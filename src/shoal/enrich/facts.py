"""The fact table: slowly changing facts, joined to events as of each row. Hot path: `join`.

account → created, tier, org, verified; link → owner, created; file → owner, sha256. Facts come as records (see
`fact_values`) and from events themselves: `account.created` tells created (and org, and tier where the event has it);
`link.created` owner and created; `file.uploaded` owner and sha256; `file.modified` sha256, or that it is unknown now.
The owner told is the event's `owner`; where that is null, the actor (else the account) is taken for the owner of a link
or file whose owner is unknown. `account.deleted` changes nothing. The later record in the journal wins; the `time` of a
fact does not order. The table owns its state for the life of a deployment: no window's TTL touches it. Deterministic:
neither the answers nor the snapshots depend on how the journal is cut into batches.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoal.enrich import facts_kernel as kernel
from shoal.enrich.fact_values import FIELDS, NAMES, SUBJECT_TYPES, CheckedFacts, RejectedFact, check_facts
from shoal.enrich.pool_kernel import TextPool, fill_slots, find, grown, slots_for
from shoal.errors import Corrupt, Unsupported
from shoal.events.identity import Hash, Identity
from shoal.events.schema import BY_NAME
from shoal.ranges.addresses_kernel import plain_texts

__all__ = ["FactTable", "RejectedFact"]

SNAPSHOT_MAGIC = b"shoal.facts\n"
SNAPSHOT_VERSION = 1
_CHECK_BYTES = 16
_KEY_CHECK = "shoal.facts key check"

_ENTITIES = ("account", "actor", "owner", "recipient", "link", "file")
_TELLING = ("account.created", "link.created", "file.uploaded", "file.modified")
_TELLS = ("account_tier", "org", "owner", "file_sha256")
_TIMES = ("account_created", "owner_created", "recipient_created", "link_created")
_TEXTS = ("account_tier", "org", "owner", "owner_tier", "recipient_org", "file_sha256")

Int32s = npt.NDArray[np.int32]


class FactTable:
    """State of the facts, as of the last row seen; about 40 bytes a subject beside the texts.

    `rejected`: the facts of the last `join` that were not taken, with their reasons. Not shared between threads.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self.rejected: tuple[RejectedFact, ...] = ()
        self._clear(16)

    def _clear(self, room: int) -> None:
        self._count = 0
        self._pool = TextPool()
        self._slots = slots_for(room)
        self._keys = np.zeros(room, dtype=np.int64)
        self._created = np.zeros(room, dtype=np.int64)
        self._flags = np.zeros(room, dtype=np.uint8)
        self._codes = np.full((2, room), -1, dtype=np.int32)

    def __len__(self) -> int:
        """Subjects of which something is or was known."""
        return self._count

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        arrays = (self._slots, self._keys, self._created, self._flags, self._codes)
        return sum(array.nbytes for array in arrays) + self._pool.nbytes

    def warm(self) -> None:
        """Compile the kernels, so that the first batch does not pay for it; changes nothing."""
        texts = {"type": "link.created", "link": "l", "actor": "a", "account": "a"}
        FactTable(self._identity).join(pa.table({name: pa.array([text], pa.string()) for name, text in texts.items()}))

    def join(self, events: pa.Table, facts: pa.Table | None = None, ids: Hash | None = None) -> pa.Table:
        """Join a batch and move the state past it.

        `events`: an event table in journal order. `facts`: columns subject_type, subject, name, value (text), time
        (int64 µs) and row (int64: index of the event before which the fact stands; num_rows = behind the last); the
        order of facts of one row counts. `ids`: what has hashed texts of this batch already. Returns `events` with
        `account_created`, `account_tier`, `account_verified`, `owner_created`, `owner_tier`, `recipient_created`,
        `link_created` added, and `org`, `owner`, `recipient_org`, `file_sha256` filled where null; a value that is
        there stays, a column in which nothing is known is not added.
        Facts that cannot be taken are in `rejected` afterwards. Raises `InvalidInput` only where a table has another
        shape. Under a CPU-microsecond an event.
        """
        self.rejected = ()
        given = {name: _column(events, name) for name in events.column_names if name in _READ}
        records = None
        if facts is not None and facts.num_rows:
            records = check_facts(facts, events.num_rows, self._identity)
            self.rejected = records.rejected
        size = events.num_rows
        op, telling = _operations(given, size)
        keys, has = self._entities(given, size, ids or self._identity)
        told = self._told(given, telling, size)
        fact_arrays = self._fact_arrays(records)
        self._reserve(len(fact_arrays[0]) + len(telling))
        moment = given.get("time")
        has_time = np.zeros(size, np.bool_) if moment is None else np.asarray(moment.is_valid())
        time = np.zeros(size, np.int64) if moment is None else np.asarray(moment.fill_null(0), dtype=np.int64)
        out_time, out_has = np.zeros((4, size), np.int64), np.zeros((4, size), np.uint8)
        out_code, out_verified = np.full((6, size), -1, np.int32), np.full(size, -1, np.int8)
        self._count = int(
            kernel.join_batch(
                (self._slots, self._keys, self._created, self._flags, self._codes),
                self._count,
                kernel.SALTS,
                fact_arrays,
                (op, keys, has, time, has_time, told),
                self._pool.ids,
                (out_time, out_has, out_code, out_verified),
            )
        )
        return self._write(events, given, out_time, out_has, out_code, out_verified)

    def _entities(
        self, given: dict[str, pa.Array], size: int, known: Hash
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
        ids, has = np.zeros((6, size), np.int64), np.zeros((6, size), np.uint8)
        for row, name in enumerate(_ENTITIES):
            texts = given.get(name)
            if texts is not None and texts.null_count < size:
                ids[row] = known.ids_of(texts)
                has[row] = np.asarray(texts.is_valid()) if texts.null_count else 1
        return ids, has

    def _told(self, given: dict[str, pa.Array], telling: npt.NDArray[np.int64], size: int) -> Int32s:
        """Codes of what events tell of themselves; only the rows that tell something are looked at."""
        told = np.full((5, size), -1, np.int32)
        if len(telling) == 0:
            return told
        take = pa.array(telling)
        for row, name in enumerate(_TELLS):
            if name in given:
                told[row, telling] = self._intern(given[name].take(take))
        doers = [given[name].take(take) for name in ("actor", "account") if name in given]
        if doers:
            told[kernel.TELLS_DOER, telling] = self._intern(pc.coalesce(*doers))
        return told

    def _intern(self, texts: pa.Array) -> Int32s:
        return self._pool.add(texts, self._identity.ids_of(texts))

    def _fact_arrays(self, facts: CheckedFacts | None) -> tuple[npt.NDArray[np.generic], ...]:
        if facts is None:
            none = np.zeros(0, np.int64)
            return none, none, none, np.zeros(0, np.bool_), none, np.zeros(0, np.int32)
        return facts.row, facts.key, facts.field, facts.known, facts.number, self._intern(facts.texts)

    def _reserve(self, more: int) -> None:
        """Room for `more` further records."""
        need = self._count + more
        if need <= len(self._keys):
            return
        size = max(need, 2 * len(self._keys))
        self._keys = grown(self._keys, size)  # type: ignore[assignment]
        self._created = grown(self._created, size)  # type: ignore[assignment]
        self._flags = grown(self._flags, size)  # type: ignore[assignment]
        codes = np.full((2, size), -1, dtype=np.int32)
        codes[:, : self._count] = self._codes[:, : self._count]
        self._codes = codes
        self._slots = slots_for(size)
        fill_slots(self._slots, self._keys, self._count)

    def _write(
        self,
        events: pa.Table,
        given: dict[str, pa.Array],
        out_time: npt.NDArray[np.int64],
        out_has: npt.NDArray[np.uint8],
        out_code: Int32s,
        out_verified: npt.NDArray[np.int8],
    ) -> pa.Table:
        """The columns of the answer, in the order of the schema's fields."""
        new: dict[str, pa.Array] = {}
        for row, name in enumerate(_TIMES):
            if out_has[row].any():
                new[name] = pa.array(out_time[row], pa.int64(), mask=out_has[row] == 0)
        for row, name in enumerate(_TEXTS):
            if (out_code[row] >= 0).any():
                new[name] = self._pool.texts(out_code[row])
        if (out_verified >= 0).any():
            new["account_verified"] = pa.array(out_verified == 1, pa.bool_(), mask=out_verified < 0)
        columns = dict(zip(events.column_names, events.columns, strict=True))
        for name in sorted(new, key=_PLACES.__getitem__):
            columns[name] = pc.coalesce(given[name], new[name]) if name in given else new[name]
        return pa.Table.from_arrays(list(columns.values()), names=list(columns), metadata=events.schema.metadata)

    def get(self, subject_type: str, subject: str) -> dict[str, object]:
        """The facts known of a subject now, by name; empty where nothing is known. For explanations."""
        if subject_type not in SUBJECT_TYPES:
            return {}
        kind = SUBJECT_TYPES.index(subject_type)
        row = int(find(self._slots, self._keys, np.int64(self._identity.id_of(subject)) ^ kernel.SALTS[kind]))
        if row < 0:
            return {}
        found: dict[str, object] = {}
        flags = int(self._flags[row])
        for name in NAMES:
            field = FIELDS.get((kind, name))
            if field == kernel.CREATED and flags & kernel.HAS_CREATED:
                found[name] = int(self._created[row])
            elif field == kernel.VERIFIED and flags & kernel.HAS_VERIFIED:
                found[name] = bool(flags & kernel.IS_VERIFIED)
            elif field in (kernel.FIRST, kernel.SECOND):
                code = int(self._codes[field - kernel.FIRST, row])
                if code >= 0:
                    found[name] = self._pool.text(code)
        return found

    def erase(self, ids: npt.NDArray[np.int64]) -> int:
        """Forget the texts of some entities (ids of `Identity.ids_of`); how many texts were replaced.

        The erased mark with the id stands in their place, so joins by id go on as before; what was known of the
        subjects themselves stays, since it is held by id. Costs a pass over all texts.
        """
        hit = np.flatnonzero(np.isin(self._pool.ids[: self._pool.count], ids)).astype(np.int32)
        texts = self._pool.texts(hit).to_pylist()
        if texts:
            self._pool.replace(hit, [self._identity.erased(text) for text in texts])
        return len(texts)

    def snapshot(self) -> bytes:
        """The state as bytes: a magic line, a checksum (BLAKE2b, 16 bytes), then msgpack with a version.

        Only texts that are still in use are written, in the order of the records, so equal states give equal bytes.
        """
        count = self._count
        codes = self._codes[:, :count]
        used, first = np.unique(codes[codes >= 0], return_index=True)
        used = used[np.argsort(first)]
        renamed = np.full(self._pool.count + 1, -1, dtype=np.int32)
        renamed[used] = np.arange(len(used), dtype=np.int32)
        texts = self._pool.texts(used.astype(np.int32))
        body = msgpack.packb(
            {
                "version": SNAPSHOT_VERSION,
                "key_check": self._identity.id_of(_KEY_CHECK),
                "count": count,
                "keys": self._keys[:count].astype("<i8").tobytes(),
                "created": self._created[:count].astype("<i8").tobytes(),
                "flags": self._flags[:count].tobytes(),
                "codes": renamed[codes].astype("<i4").tobytes(),
                "texts": texts.to_pylist(),
            }
        )
        return SNAPSHOT_MAGIC + hashlib.blake2b(body, digest_size=_CHECK_BYTES).digest() + bytes(body)

    def restore(self, data: bytes) -> None:
        """Take the state that `snapshot` wrote.

        Raises `Corrupt` for bytes that are no whole snapshot or that were written under another identity key, and
        `Unsupported` for a later version; the state is then as it was.
        """
        body = _checked_body(data)
        if body["key_check"] != self._identity.id_of(_KEY_CHECK):
            raise Corrupt("the facts snapshot was written under another identity key")
        count, texts = body["count"], body["texts"]
        keys = np.frombuffer(body["keys"], "<i8")
        created = np.frombuffer(body["created"], "<i8")
        flags = np.frombuffer(body["flags"], np.uint8)
        codes = np.frombuffer(body["codes"], "<i4")
        whole = len(keys) == len(created) == len(flags) == count and len(codes) == 2 * count
        if not whole or (count and (codes.max() >= len(texts) or codes.min() < -1)):
            raise Corrupt("the facts snapshot contradicts itself")
        self._clear(max(16, count))
        self.rejected = ()
        self._keys[:count], self._created[:count], self._flags[:count] = keys, created, flags
        self._codes[:, :count] = codes.reshape(2, count)
        self._count = count
        fill_slots(self._slots, self._keys, count)
        self._intern(pa.array(texts, pa.string()))


_PLACES = {name: place for place, name in enumerate(BY_NAME)}
_TELLING_SET = pa.array(_TELLING)
_READ = frozenset(("type", "time", "account_verified", *_ENTITIES, *_TIMES, *_TEXTS))


def _column(table: pa.Table, name: str) -> pa.Array:
    """A column as one array."""
    column = table.column(name)
    if BY_NAME[name].kind.arrow == pa.string():
        return plain_texts(column)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()  # which copies even one chunk


def _operations(given: dict[str, pa.Array], size: int) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int64]]:
    """(what each event tells of itself, int8[n]; the rows that tell something)."""
    types = given.get("type")
    if types is None:
        return np.zeros(size, np.int8), np.zeros(0, np.int64)
    found = pc.index_in(types, value_set=_TELLING_SET)
    if found.null_count == size:
        return np.zeros(size, np.int8), np.zeros(0, np.int64)
    op = np.asarray(found.fill_null(-1), dtype=np.int8) + np.int8(1)
    return op, np.flatnonzero(op)


def _checked_body(data: bytes) -> dict[str, Any]:
    """The body of a snapshot; raises `Corrupt` or `Unsupported`."""
    start = len(SNAPSHOT_MAGIC) + _CHECK_BYTES
    if not data.startswith(SNAPSHOT_MAGIC) or len(data) < start:
        raise Corrupt("these bytes are no facts snapshot")
    body = data[start:]
    if hashlib.blake2b(body, digest_size=_CHECK_BYTES).digest() != data[len(SNAPSHOT_MAGIC) : start]:
        raise Corrupt("the facts snapshot fails its checksum")
    try:
        found = msgpack.unpackb(body)
    except ValueError as error:
        raise Corrupt(f"the facts snapshot cannot be read: {error}") from error
    version = found.get("version") if isinstance(found, dict) else None
    if version != SNAPSHOT_VERSION:
        raise Unsupported(f"a facts snapshot of version {version}; this release reads {SNAPSHOT_VERSION}")
    return dict(found)
