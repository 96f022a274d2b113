"""Published tables: arrays that a signal takes up from a record of the journal, as fitted detectors are taken up.

What is learned or found offline (an embedding, the campaigns of last night) must reach the stream by a record that says
where it takes effect, or live and replay would differ. `pack_tables` makes the body of such a record, `read_tables`
checks one and gives its arrays. An array is its bytes in NumPy's own format, read here without pickle and without
trusting a header that promises more than there is; a SHA-256 over all of them says that they arrived whole, not who
wrote them. Holds no state; knows no journal.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from shoal.detectors.signals import SignalDefinition
from shoal.errors import Corrupt, InvalidInput, Problem, Unsupported, Where

FORMAT, VERSION = "shoal.tables", 1
MOST_ARRAYS, MOST_BYTES = 64, 256 << 20
_NAME = re.compile(r"[a-z][a-z0-9_.]{0,63}")
_FIELDS = {"format": str, "version": int, "signal": str, "kind": str, "definition": str, "arrays": dict, "sha256": str}
Array = npt.NDArray[np.generic]
Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class Tables:
    """What a record publishes for the signal `signal` of the definition with that hash; no arrays withdraw."""

    signal: str
    kind: str
    definition: str
    arrays: Arrays
    sha256: str


def pack_tables(definition: SignalDefinition, arrays: Arrays) -> dict[str, Any]:
    """The body of the record that publishes these arrays for a signal; raises `InvalidInput` with all problems."""
    problems = _problems(arrays)
    if problems:
        raise InvalidInput(problems)
    packed = {name: _pack(arrays[name]) for name in sorted(arrays)}
    head = {"format": FORMAT, "version": VERSION, "signal": definition.id, "kind": definition.kind}
    return head | {"definition": definition.hash, "arrays": packed, "sha256": _digest(packed)}


def read_tables(body: Mapping[str, Any]) -> Tables:
    """The tables of a record's body. Arrays are read-only. Raises `Corrupt` or `Unsupported`."""
    told = (body.get("format"), body.get("version"))
    if told != (FORMAT, VERSION):
        raise Unsupported(f"tables of format {told[0]!r} version {told[1]!r}; this release reads {FORMAT} {VERSION}")
    wrong = [name for name, kind in _FIELDS.items() if type(body.get(name)) is not kind]
    if wrong:
        raise Corrupt(f"tables without {', '.join(wrong)}")
    packed = body["arrays"]
    if not all(isinstance(name, str) and isinstance(data, bytes) for name, data in packed.items()):
        raise Corrupt("tables: an array is no bytes under a name")
    if _digest(packed) != body["sha256"]:
        raise Corrupt("tables: the arrays are not those that were published (SHA-256)")
    arrays = {name: _unpack(name, data) for name, data in packed.items()}
    problems = _problems(arrays)
    if problems:
        raise Corrupt("tables: " + "; ".join(problem.message for problem in problems))
    return Tables(body["signal"], body["kind"], body["definition"], arrays, body["sha256"])


def digest(arrays: Arrays) -> str:
    """The SHA-256 under which these arrays are published."""
    return _digest({name: _pack(array) for name, array in arrays.items()})


def _problems(arrays: Arrays) -> list[Problem]:
    found, size = [], 0
    if len(arrays) > MOST_ARRAYS:
        found.append(Problem("tables.many", f"{len(arrays)} arrays", allowed=f"at most {MOST_ARRAYS}"))
    for name, array in arrays.items():
        where = Where(path=str(name))
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            allowed = "lower-case letters, digits, _ and ., up to 64, a letter first"
            found.append(Problem("tables.name", f"no name of an array: {name!r}", where, allowed))
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
            what = f"{array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
            allowed = "an array of bool, int or float of up to 64 bits"
            found.append(Problem("tables.kind", f"{name} is {what}", where, allowed))
        else:
            size += array.nbytes
    if size > MOST_BYTES:
        found.append(Problem("tables.size", f"{size:,} bytes of arrays", allowed=f"at most {MOST_BYTES:,}"))
    return found


def _pack(array: Array) -> bytes:
    stream = io.BytesIO()
    plain = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False).reshape(array.shape)
    np.lib.format.write_array(stream, plain, version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def _unpack(name: str, data: bytes) -> Array:
    stream = io.BytesIO(data)
    try:
        if np.lib.format.read_magic(stream) != (1, 0):
            raise Corrupt(f"tables: {name} is of another version of NumPy's format")
        shape, columnwise, dtype = np.lib.format.read_array_header_1_0(stream)
    except (ValueError, TypeError, OSError) as error:
        raise Corrupt(f"tables: {name} is no array: {error}") from error
    count = 1
    for side in shape:
        count *= int(side)
    left = len(data) - stream.tell()
    if dtype.kind not in "biuf" or columnwise or min(shape, default=0) < 0 or count * dtype.itemsize != left:
        raise Corrupt(f"tables: {name} has {left:,} bytes and a head that says {dtype} {shape}")
    return np.frombuffer(data, dtype, count, stream.tell()).reshape(shape)


def _digest(packed: Mapping[str, bytes]) -> str:
    whole = hashlib.sha256()
    for name in sorted(packed):
        whole.update(f"{name}\0{len(packed[name])}\0".encode())
        whole.update(packed[name])
    return whole.hexdigest()
