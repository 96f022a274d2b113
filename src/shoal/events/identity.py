# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""The one keyed hash: a text becomes a 64-bit id, the same everywhere in one deployment. Hot path.

Attackers choose strings, so the hash is keyed (SipHash-1-3, Aumasson and Bernstein, INDOCRYPT 2012; the 1-3 variant
is the one Rust and CPython use for their tables). The 16-byte key is the deployment's secret, stored with the
journal, in backups, never rotated in place. 1e7 texts collide with odds 2.7e-6.

An erased text is replaced by `ERASED_MARK` and the 16 hex digits of its id, so that ids outlive the text: `ids_of`
reads such a text back as that very id. Readers refuse texts that begin with the mark, so it cannot be forged.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types, uint64
from numba.extending import intrinsic

from shoal.errors import InvalidInput, Problem

KEY_BYTES = 16
ERASED_MARK = "\x01erased:"
_MARK = np.frombuffer(ERASED_MARK.encode(), dtype=np.uint8)

Int64s = npt.NDArray[np.int64]
Bytes = npt.NDArray[np.uint8]


def _load_word(_typingctx, data, at):  # noqa: ARG001 - an intrinsic's signature is Numba's
    def generate(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        pointer = builder.gep(array.data, [args[1]])
        return builder.load(builder.bitcast(pointer, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(data, types.int64), generate


load_word: Any = intrinsic(_load_word)
"""The 8 bytes of a uint8 array that begin at an index, little-endian; who calls makes sure that they are there."""


@njit(inline="always")
def last_word(data, start, end):
    """The bytes `start … end - 1` (0 to 7 of them) as a little-endian word."""
    count = end - start
    if count == 0:
        return uint64(0)
    if end >= 8:
        return load_word(data, end - 8) >> uint64(8 * (8 - count))
    word = uint64(0)
    for j in range(count):
        word |= uint64(data[start + j]) << uint64(8 * j)
    return word


@njit(inline="always")
def _round(v0, v1, v2, v3):
    v0 = v0 + v1
    v1 = ((v1 << uint64(13)) | (v1 >> uint64(51))) ^ v0
    v0 = (v0 << uint64(32)) | (v0 >> uint64(32))
    v2 = v2 + v3
    v3 = ((v3 << uint64(16)) | (v3 >> uint64(48))) ^ v2
    v0 = v0 + v3
    v3 = ((v3 << uint64(21)) | (v3 >> uint64(43))) ^ v0
    v2 = v2 + v1
    v1 = ((v1 << uint64(17)) | (v1 >> uint64(47))) ^ v2
    v2 = (v2 << uint64(32)) | (v2 >> uint64(32))
    return v0, v1, v2, v3


@njit(cache=True, nogil=True)
def siphash13(data, start, end, k0, k1):
    """SipHash-1-3 of `data[start:end]` (uint8) under the key (k0, k1), as a signed 64-bit integer."""
    v0 = k0 ^ uint64(0x736F6D6570736575)
    v1 = k1 ^ uint64(0x646F72616E646F6D)
    v2 = k0 ^ uint64(0x6C7967656E657261)
    v3 = k1 ^ uint64(0x7465646279746573)
    length = end - start
    i = start
    whole = start + (length // 8) * 8
    while i < whole:
        m = load_word(data, i)
        v3 ^= m
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
        v0 ^= m
        i += 8
    m = (uint64(length & 0xFF) << uint64(56)) | last_word(data, whole, end)
    v3 ^= m
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0 ^= m
    v2 ^= uint64(0xFF)
    for _ in range(3):
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return np.int64(v0 ^ v1 ^ v2 ^ v3)


@njit(cache=True, nogil=True)
def _is_erased(data, start, end, mark):
    if end - start != len(mark) + 16:
        return False
    for j in range(len(mark)):
        if data[start + j] != mark[j]:
            return False
    return True


@njit(cache=True, nogil=True)
def _hex_id(data, start):
    value = uint64(0)
    for j in range(16):
        c = data[start + j]
        digit = c - 48 if c <= 57 else c - 87
        value = (value << uint64(4)) | uint64(digit)
    return np.int64(value)


@njit(cache=True, nogil=True)
def _ids_of_buffers(data, offsets, mark, k0, k1, out):
    for row in range(len(out)):
        start = offsets[row]
        end = offsets[row + 1]
        if end > start and data[start] == mark[0] and _is_erased(data, start, end, mark):
            out[row] = _hex_id(data, start + len(mark))
        else:
            out[row] = siphash13(data, start, end, k0, k1)


class Hash(Protocol):
    """What turns texts into ids: an `Identity`, or a `BatchIds` that remembers."""

    def ids_of(self, texts: pa.Array) -> Int64s:
        """The ids of an Arrow `string` array; 0 where the text is null."""
        ...


@dataclass(frozen=True)
class Identity:
    """A deployment's keyed hash. `key` is 16 secret bytes; `repr` does not show it."""

    key: bytes

    def __post_init__(self) -> None:
        if len(self.key) != KEY_BYTES:
            raise InvalidInput(
                Problem(
                    "identity.key_length",
                    f"the identity key has {len(self.key)} bytes",
                    allowed=f"{KEY_BYTES} bytes",
                )
            )

    def __repr__(self) -> str:
        return "Identity(key=…)"

    @classmethod
    def generate(cls) -> Identity:
        """A new random key, for a new deployment."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @property
    def _halves(self) -> tuple[np.uint64, np.uint64]:
        k0, k1 = np.frombuffer(self.key, dtype="<u8")
        return np.uint64(k0), np.uint64(k1)

    def id_of(self, text: str) -> int:
        """The id of one text, a signed 64-bit integer."""
        return int(self.ids_of(pa.array([text], pa.string()))[0])

    def ids_of(self, texts: pa.Array) -> Int64s:
        """The ids of an Arrow `string` array; [n] int64, 0 where the text is null (look at the null mask, not at the
        0)."""
        out = np.zeros(len(texts), dtype=np.int64)
        if len(texts) == 0 or texts.null_count == len(texts):
            return out
        if texts.type != pa.string():
            texts = texts.cast(pa.string())
        _, offsets_buffer, data_buffer = texts.buffers()
        offsets = np.frombuffer(offsets_buffer, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
        data = np.frombuffer(data_buffer, dtype=np.uint8) if data_buffer is not None and data_buffer.size else _MARK[:0]
        k0, k1 = self._halves
        _ids_of_buffers(data, offsets, _MARK, k0, k1, out)
        if texts.null_count:
            out[np.asarray(texts.is_null())] = 0
        return out

    def erased(self, text: str) -> str:
        """What stands in the place of an erased text: the mark and the id in hexadecimal."""
        return f"{ERASED_MARK}{self.id_of(text) & 0xFFFFFFFFFFFFFFFF:016x}"


class BatchIds:
    """The ids of one batch's text columns: each is hashed once, whoever asks for it (writer, facts, frame).

    A column is known by the place of its bytes, which is kept as long as this object; a column with the same texts as
    one that was hashed (`actor` and `account`, mostly) takes its ids. The arrays handed out are shared and read-only.
    Not for two threads at once; may be handed from one to the next.
    """

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._known: dict[tuple[int, ...], tuple[pa.Array, Int64s]] = {}
        self._sizes: dict[tuple[int, int, int], pa.Array] = {}

    def ids_of(self, texts: pa.Array) -> Int64s:
        """As `Identity.ids_of`."""
        if texts.type != pa.string() or not len(texts):
            return self._identity.ids_of(texts)
        place = _place(texts)
        found = self._known.get(place)
        if found is None:
            found = self._known[place] = (texts, self._hashed(texts))
        return found[1]

    def _hashed(self, texts: pa.Array) -> Int64s:
        size = (len(texts), texts.null_count, _text_bytes(texts))
        twin = self._sizes.setdefault(size, texts)
        if twin is not texts and twin.equals(texts):
            return self.ids_of(twin)
        ids = self._identity.ids_of(texts)
        ids.flags.writeable = False
        return ids


def _place(texts: pa.Array) -> tuple[int, ...]:
    return (texts.offset, len(texts), *(0 if buffer is None else buffer.address for buffer in texts.buffers()))


def _text_bytes(texts: pa.Array) -> int:
    offsets = np.frombuffer(texts.buffers()[1], dtype=np.int32)
    return int(offsets[texts.offset + len(texts)] - offsets[texts.offset])
