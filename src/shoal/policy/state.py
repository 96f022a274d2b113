"""The policy's per-subject state: two growing hash tables and their snapshot.

Owned by one `PolicyEngine`. Expired cells behave as absent, so growing drops them and a snapshot leaves them out; equal
states give equal bytes. Names, not numbers, are persisted: a snapshot survives a policy whose threats, kinds, actions
or rule families were reordered, and forgets those that are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
import numpy as np
import numpy.typing as npt

from shoal.errors import Corrupt, Unsupported
from shoal.policy.policy_kernel import insert

FORMAT, VERSION = "shoal.policy_state", 1
Int64s = npt.NDArray[np.int64]
MIN_CAPACITY = 1024


class StateTable:
    """An open-addressing table of (a, b) → three int64 cells; the kernels write it in place."""

    def __init__(self) -> None:
        self.allocate(MIN_CAPACITY)

    def allocate(self, capacity: int) -> None:
        """Start empty with the given capacity (a power of two)."""
        self.keys = np.zeros((capacity, 2), dtype=np.int64)
        self.cells = np.zeros((capacity, 3), dtype=np.int64)
        self.used = np.zeros(capacity, dtype=np.uint8)
        self.count = np.zeros(1, dtype=np.int64)

    def reserve(self, extra: int, live: Callable[[Int64s], npt.NDArray[np.bool_]]) -> None:
        """Make room for `extra` inserts at a load of at most one half, dropping cells that are not live."""
        if 2 * (int(self.count[0]) + extra) <= len(self.used):
            return
        keys, cells = self.rows(live)
        capacity = MIN_CAPACITY
        while capacity < 4 * (len(keys) + extra):
            capacity *= 2
        self.allocate(capacity)
        self.fill(keys, cells)

    def fill(self, keys: Int64s, cells: Int64s) -> None:
        """Insert keys that are not in the table; the capacity must suffice."""
        insert(self.keys, self.cells, self.used, keys, cells)
        self.count[0] += len(keys)

    def rows(self, live: Callable[[Int64s], npt.NDArray[np.bool_]]) -> tuple[Int64s, Int64s]:
        """Keys and cells of the live entries, sorted by key."""
        held = self.used == 1
        keys, cells = self.keys[held], self.cells[held]
        kept = live(cells)
        keys, cells = keys[kept], cells[kept]
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        return np.ascontiguousarray(keys[order]), np.ascontiguousarray(cells[order])

    @property
    def arrays(self) -> tuple[Int64s, Int64s, npt.NDArray[np.uint8], Int64s]:
        """What the kernels take."""
        return self.keys, self.cells, self.used, self.count


@dataclass(frozen=True)
class Names:
    """The names behind the numbers of the state."""

    threats: tuple[str, ...]
    kinds: tuple[str, ...]
    actions: tuple[str, ...]
    families: Mapping[str, tuple[str, ...]]  # threat → family of each bit


def write_state(
    as_of: int, window_us: int, names: Names, evidence: tuple[Int64s, Int64s], leases: tuple[Int64s, Int64s]
) -> bytes:
    """The snapshot's bytes."""
    body = {
        "format": FORMAT,
        "version": VERSION,
        "as_of": as_of,
        "window_us": window_us,
        "threats": list(names.threats),
        "kinds": list(names.kinds),
        "actions": list(names.actions),
        "families": {threat: list(families) for threat, families in names.families.items()},
        "evidence": [part.astype("<i8").tobytes() for part in evidence],
        "leases": [part.astype("<i8").tobytes() for part in leases],
    }
    packed: bytes = msgpack.packb(body, use_bin_type=True)
    return packed


def read_state(data: bytes, names: Names, window_us: int) -> tuple[int, tuple[Int64s, Int64s], tuple[Int64s, Int64s]]:
    """Read a snapshot for the names at hand: (as_of, evidence, leases).

    Raises `Corrupt` for bytes that are no snapshot, `Unsupported` for another version. Evidence of another window
    length is dropped (its epochs mean something else).
    """
    body = _body(data)
    try:
        threats, kinds, actions = body["threats"], body["kinds"], body["actions"]
        evidence = _matrices(body["evidence"])
        leases = _matrices(body["leases"])
        families = {str(threat): list(map(str, listed)) for threat, listed in body["families"].items()}
        as_of, window = int(body["as_of"]), int(body["window_us"])
        kind_map = _renumber(kinds, names.kinds)
        lease_rows = _rekey(*leases, _renumber(actions, names.actions), kind_map)
        evidence_rows = _rekey(*evidence, _renumber(threats, names.threats), kind_map)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise Corrupt(f"the policy state is damaged: {error}") from error
    if window != window_us:
        evidence_rows = (np.zeros((0, 2), dtype=np.int64), np.zeros((0, 3), dtype=np.int64))
    return as_of, _remask(evidence_rows, names, families), lease_rows


def _body(data: bytes) -> dict[str, Any]:
    try:
        body = msgpack.unpackb(data, raw=False, strict_map_key=False)
    except Exception as error:
        raise Corrupt("the policy state cannot be read") from error
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise Corrupt("this is no policy state")
    if body.get("version") != VERSION:
        raise Unsupported(f"policy state version {body.get('version')!r}; this release reads {VERSION}")
    return body


def _matrices(parts: Sequence[bytes]) -> tuple[Int64s, Int64s]:
    keys = np.frombuffer(parts[0], dtype="<i8").reshape(-1, 2).astype(np.int64)
    cells = np.frombuffer(parts[1], dtype="<i8").reshape(-1, 3).astype(np.int64)
    if len(keys) != len(cells):
        raise ValueError("keys and cells differ in length")
    return keys, cells


def _renumber(old: Sequence[str], new: Sequence[str]) -> Int64s:
    """Old number → new number, -1 where the name is gone."""
    place = {name: i for i, name in enumerate(new)}
    return np.array([place.get(name, -1) for name in old], dtype=np.int64)


def _rekey(keys: Int64s, cells: Int64s, first: Int64s, kinds: Int64s) -> tuple[Int64s, Int64s]:
    if not len(keys):
        return keys, cells
    a, kind = first[keys[:, 0] >> 8], kinds[keys[:, 0] & 0xFF]
    kept = (a >= 0) & (kind >= 0)
    new = np.column_stack([(a << 8) | kind, keys[:, 1]])[kept]
    return np.ascontiguousarray(new), np.ascontiguousarray(cells[kept])


def _remask(rows: tuple[Int64s, Int64s], names: Names, families: Mapping[str, Sequence[str]]) -> tuple[Int64s, Int64s]:
    keys, cells = rows
    cells = cells.copy()
    for number, threat in enumerate(names.threats):
        old, new = families.get(threat, ()), names.families.get(threat, ())
        if tuple(old) == tuple(new):
            continue
        moved = _renumber(old, new)
        mine = (keys[:, 0] >> 8) == number
        for column in (1, 2):
            before = cells[mine, column]
            after = np.zeros_like(before)
            for bit, target in enumerate(moved.tolist()):
                if target >= 0:
                    after |= ((before >> bit) & 1) << target
            cells[mine, column] = after
    return keys, cells
