"""A table of logins with its truth, and counts over it; what the worlds of the takeover benchmark give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Logins:
    """Logins in order of time: `events`, and for each row which attacker made it (-1 honest), the account as a number,
    how many successful logins the account had before and how many it has in all, and whether it succeeded."""

    events: pa.Table
    attacker: Ints
    account: Ints
    before: Ints
    total: Ints
    success: Bools


def counted(account: Ints, success: Bools) -> tuple[Ints, Ints]:
    """Successful logins of the row's account before the row, and in all."""
    order = np.argsort(account, kind="stable")
    running: Ints = np.cumsum(success[order]) - success[order]
    first = np.flatnonzero(np.diff(account[order], prepend=-1) != 0)
    begins: Ints = np.repeat(running[first], np.diff(np.append(first, len(order))))
    before = np.empty(len(order), np.int64)
    before[order] = running - begins
    return before, np.bincount(account[success], minlength=int(account.max()) + 1)[account]
