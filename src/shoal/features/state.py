"""The engine's memory: slabs, tables, the pieces of the log, and the addresses of all of them in the descriptor.

`State` owns every array for the engine's life and is the only place that allocates. Kernels say what lacks room
(`descriptor.NEED`); it grows here by half, between events, which never changes a value. The log is a ring of equal
pieces, files mapped from `folder` or memory; a piece is let go when the last tail has passed it.
"""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

from shoal.features import descriptor as D  # noqa: N812 - a namespace of constants
from shoal.features.kernel.table_kernel import enter_all
from shoal.features.memory import Memory, zero_words
from shoal.features.plan import Plan

Bytes = npt.NDArray[np.uint8]
_LOAD = 0.7
PIECE_BITS_MEMORY = 13
PIECE_BITS_FILE = 18
"""Records in a piece of the log, as a power of two: small where memory counts, larger where files and maps do."""
_FIRST_ROWS = 2 * D.TILE


def address_of(array: npt.NDArray[np.generic]) -> int:
    """Where an array's memory begins."""
    return int(array.ctypes.data)


class Piece:
    """One piece of the log: `size` bytes, in memory or mapped from a file."""

    def __init__(self, size: int, path: Path | None) -> None:
        self.path = path
        self.crc: int | None = None
        """Checksum of a full piece, once a snapshot has made it."""
        self._map: mmap.mmap | None = None
        if path is None:
            self.bytes: Bytes = np.zeros(size, dtype=np.uint8)
            return
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.ftruncate(descriptor, size)
            self._map = mmap.mmap(descriptor, size)
        finally:
            os.close(descriptor)
        self.bytes = np.frombuffer(self._map, dtype=np.uint8)

    def sync(self) -> None:
        """Bring a mapped piece to the disk."""
        if self._map is not None:
            self._map.flush()

    def close(self) -> None:
        """Let the memory go; the file too."""
        self.bytes = np.zeros(0, dtype=np.uint8)
        if self._map is not None:
            self._map.close()
            self._map = None
        if self.path is not None:
            self.path.unlink(missing_ok=True)


class State:
    """All memory of one engine. `d` is the descriptor's address, as kernels take it."""

    def __init__(
        self, plan: Plan, seed: int, pair_cap: int, lifetime_us: int, folder: Path | None, piece_bits: int | None = None
    ) -> None:
        self.plan = plan
        self.folder = folder
        self.words: npt.NDArray[np.int64] = plan.table.copy()
        self.d = address_of(self.words)
        self.words[D.NOW] = D.NONE
        self.words[D.SEED], self.words[D.PAIR_CAP], self.words[D.LIFE_US] = seed, pair_cap, lifetime_us
        start = int(self.words[D.O_SPACE])
        self.spaces = [start + k * D.SPACE_WORDS for k in range(len(plan.spaces))]
        self.pools = [int(self.words[D.NODES]), int(self.words[D.SKETCHES])]
        self._memory: dict[int, Memory] = {}
        self.rows: dict[int, Bytes] = {}
        self.tables: dict[int, npt.NDArray[np.int64]] = {}
        self.templates: dict[int, Bytes] = {}
        self._scratch = np.zeros((2, max(len(self.spaces), 1), D.TILE), dtype=np.int64)
        for number, space in enumerate(self.spaces):
            self._set_template(space, plan.spaces[number].row.template)
            self.words[space + D.S_IDS] = address_of(self._scratch[0, number])
            self.words[space + D.S_SLOTS] = address_of(self._scratch[1, number])
            self.grow_rows(space, _FIRST_ROWS)
        self._set_template(self.pools[0], bytes(D.NODE_BYTES))
        self._set_template(self.pools[1], self._sketch_template())
        self.grow_rows(self.pools[0], D.TILE * int(self.words[D.NODES_PER_EVENT]))
        self.grow_rows(self.pools[1], int(self.words[D.SKETCHES_PER_EVENT]))
        if piece_bits is None:
            piece_bits = PIECE_BITS_MEMORY if folder is None else PIECE_BITS_FILE
        self.piece_bits = piece_bits
        self.words[D.LOG_BITS] = piece_bits
        self.pieces: dict[int, Piece] = {}
        self._ring = np.zeros(0, dtype=np.int64)
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for stale in folder.glob("log-*.bin"):
                stale.unlink()
        if plan.expiry:
            self._set_ring(4)
        else:
            self.words[D.LOG_LIMIT] = D.FAR

    def _set_template(self, space: int, template: bytes) -> None:
        held = np.zeros((len(template) + 15) // 8 * 8, dtype=np.uint8)
        held[: len(template)] = np.frombuffer(template, dtype=np.uint8)
        self.templates[space] = held
        self.words[space + D.TEMPLATE] = address_of(held)

    def _sketch_template(self) -> bytes:
        row = np.zeros(int(self.words[self.pools[1] + D.ROW_BYTES]), dtype=np.uint8)
        row[: D.SKETCH_NEWEST].view(np.int64)[:] = D.NONE
        for k in range(int(self.words[D.SKETCH_WINDOWS])):
            base = D.SKETCH_NEWEST + k * D.SKETCH_WINDOW_BYTES + D.SKETCH_REGISTERS
            row[base : base + 4].view(np.int32)[0] = D.SKETCH_REGISTERS
        return row.tobytes()

    # growth

    def grow_rows(self, space: int, rows: int) -> None:
        """Give a slab room for `rows` rows in all, and its table the bits it needs."""
        words = self.words
        size, used = int(words[space + D.ROW_BYTES]), int(words[space + D.USED])
        wanted = max(rows, 1) * size + 64
        if space not in self._memory:
            self._memory[space] = Memory(wanted)
        memory = self._memory[space]
        self.rows.pop(space, None)
        memory.grow(wanted, used * size)
        self.rows[space] = memory.bytes
        words[space + D.ROWS], words[space + D.CAP] = address_of(memory.bytes), rows
        if int(words[space + D.KIND]) == D.POOL:
            return
        bits = int(words[space + D.BITS])
        if space in self.tables and rows <= _LOAD * (1 << bits):
            return
        while rows > _LOAD * (1 << bits) or bits < 6:
            bits += 1
        before, table = self.tables.get(space), zero_words(1 << bits)
        if before is not None:
            enter_all(address_of(before), int(words[space + D.BITS]), address_of(table), bits)
        self.tables[space] = table
        words[space + D.TABLE], words[space + D.BITS] = address_of(table), bits

    def make_room(self) -> None:
        """Grow what the kernel said lacks room."""
        need = int(self.words[D.NEED])
        if need == 0:
            self._extend_log()
            return
        cap = int(self.words[need + D.CAP])
        if need == self.pools[0]:
            least = D.TILE * int(self.words[D.NODES_PER_EVENT])
        elif need == self.pools[1]:
            least = int(self.words[D.SKETCHES_PER_EVENT])
        else:
            least = D.TILE
        self.grow_rows(need, max(cap + cap // 2, cap + least))

    # the log

    def _set_ring(self, size: int) -> None:
        self._ring = np.zeros(size, dtype=np.int64)
        for number, piece in self.pieces.items():
            self._ring[number & (size - 1)] = address_of(piece.bytes)
        self.words[D.PIECES], self.words[D.PIECE_MASK] = address_of(self._ring), size - 1

    def path_of(self, number: int) -> Path | None:
        """The file of a piece of the log, None in memory."""
        return None if self.folder is None else self.folder / f"log-{number:012d}.bin"

    def add_piece(self, number: int) -> Piece:
        """A further piece of the log."""
        self.release()
        if len(self.pieces) + 1 >= len(self._ring):
            self._set_ring(2 * len(self._ring))
        piece = Piece(int(self.words[D.REC_BYTES]) << self.piece_bits, self.path_of(number))
        self.pieces[number] = piece
        self._ring[number & (len(self._ring) - 1)] = address_of(piece.bytes)
        return piece

    def _extend_log(self) -> None:
        number = int(self.words[D.LOG_LIMIT]) >> self.piece_bits
        self.add_piece(number)
        self.words[D.LOG_LIMIT] = (number + 1) << self.piece_bits

    @property
    def tail(self) -> int:
        """The position before which no window reads the log."""
        start, count = int(self.words[D.O_WINDOW]), int(self.words[D.N_WINDOW])
        tails = [int(self.words[start + k * D.WINDOW_WORDS + D.W_TAIL]) for k in range(count)]
        return min(tails, default=0)

    def release(self) -> None:
        """Let go the pieces of the log that all tails have passed."""
        first = self.tail >> self.piece_bits
        for number in [n for n in self.pieces if n < first]:
            self.pieces.pop(number).close()

    def close(self) -> None:
        """Let go of the log and its files."""
        for piece in self.pieces.values():
            piece.close()
        self.pieces.clear()

    # figures

    def sizes(self) -> dict[str, int]:
        """Bytes and live counts: keys, pairs, nodes, sketches and the log."""
        words = self.words
        figures = {"keys": 0, "key_bytes": 0, "pairs": 0, "pair_bytes": 0}
        for number, space in enumerate(self.spaces):
            name = "key" if number < len(self.plan.keys) else "pair"
            figures[f"{name}s"] += int(words[space + D.LIVE])
            figures[f"{name}_bytes"] += int(words[space + D.CAP] * words[space + D.ROW_BYTES])
            figures[f"{name}_bytes"] += self.tables[space].nbytes
        for name, pool in zip(("nodes", "sketches"), self.pools, strict=True):
            figures[name] = int(words[pool + D.LIVE])
            figures[f"{name}_bytes"] = int(words[pool + D.LIVE] * words[pool + D.ROW_BYTES])
        figures["log_events"] = int(words[D.HEAD]) - self.tail
        figures["log_record_bytes"] = int(words[D.REC_BYTES])
        figures["log_bytes"] = sum(len(piece.bytes) for piece in self.pieces.values())
        figures["clamped"], figures["dropped_pairs"] = int(words[D.CLAMPED_COUNT]), int(words[D.DROPPED_PAIRS])
        return figures
