"""Events as columns of small numbers, before they become texts.

A `Rows` is a mapping of some of `COLUMNS` to arrays of one length; an absent column has its default in every row. Codes
are those of `People` (accounts), `AddressBook` (addresses) and `catalogue` (words); `render.py` turns them into texts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from shoal.simulate.catalogue import CODE, TYPE

Rows = dict[str, npt.NDArray[Any]]

COLUMNS: dict[str, tuple[str, int]] = {
    "time": ("i8", 0),
    "number": ("i8", 0),  # unique in the world; becomes event_id
    "type": ("i1", -1),
    "actor": ("i4", -1),  # account codes
    "account": ("i4", -1),
    "owner": ("i4", -1),
    "recipient": ("i4", -1),  # an account
    "invitee": ("i8", -1),  # an e-mail address outside
    "session": ("i8", -1),
    "device": ("i8", -1),
    "address": ("i4", -1),
    "agent": ("i2", -1),  # client family * VERSIONS + version
    "method": ("i1", -1),
    "reason": ("i1", -1),
    "outcome": ("i1", -1),
    "permission": ("i1", -1),
    "referrer": ("i1", -1),
    "app": ("i1", -1),
    "domain": ("i4", -1),  # mail domain code
    "link": ("i8", -1),
    "file": ("i8", -1),
    "content": ("i8", -1),  # overrides the file's own content; of a payment, telephone or recovery address: which
    "name": ("i8", -1),  # overrides the file's own name: another hash to draw it from
    "suffix": ("i4", -1),  # appended extension, code into the world's list
    "resource": ("i8", -1),
    "external": ("i1", -1),
    "extra": ("i4", -1),  # an attribute and its value, see `extra`
    "cause": ("i1", -1),
    "operation": ("i1", -1),  # the action, in action.applied
    "attack": ("i2", -1),  # index of the adversary
    "mark": ("i1", -1),  # code into truth.ALL_KINDS
    "harmful": ("i1", 0),
}


EXTRAS = ("entropy", "bonus_mb", "folder", "invited_by")
"""What `extra` may hold: hundredths of a bit a byte; megabytes; a folder's code; an account's."""


def extra(name: str, value: npt.ArrayLike) -> npt.NDArray[np.int64]:
    """The code of an attribute with a whole value, for the column `extra`."""
    return np.asarray(value, dtype=np.int64) * len(EXTRAS) + EXTRAS.index(name)


def rows(kind: str | npt.NDArray[Any], time: npt.NDArray[np.int64], **columns: Any) -> Rows:
    """Events of one type (or of a type code each), at these times (µs). Scalars are repeated; words of code columns may
    be given as text."""
    size = len(time)
    out: Rows = {"time": np.asarray(time, dtype=np.int64)}
    columns["type"] = TYPE[kind] if isinstance(kind, str) else kind
    for name, value in columns.items():
        dtype = COLUMNS[name][0]
        if isinstance(value, str):
            value = CODE[name][value]
        array = np.asarray(value)
        out[name] = np.full(size, array, dtype=dtype) if array.ndim == 0 else array.astype(dtype, copy=False)
        assert len(out[name]) == size, (name, len(out[name]), size)
    return out


def length(part: Rows) -> int:
    """Number of events."""
    return len(part["time"])


def concat(parts: Iterable[Rows]) -> Rows:
    """All parts one after the other, with every column."""
    kept = [part for part in parts if length(part)]
    total = sum(length(part) for part in kept)
    out: Rows = {}
    for name, (dtype, default) in COLUMNS.items():
        column = np.empty(total, dtype=dtype)
        at = 0
        for part in kept:
            size = length(part)
            given = part.get(name)
            column[at : at + size] = default if given is None else given
            at += size
        out[name] = column
    return out


def take(part: Rows, index: npt.NDArray[Any] | slice) -> Rows:
    """Rows by index, mask or slice."""
    return {name: column[index] for name, column in part.items()}
