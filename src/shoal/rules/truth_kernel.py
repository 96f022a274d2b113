# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""From a program's answers to the three truths of a rule, in one pass and without large arrays between. Hot path.

1 matched, 0 not, 2 unknown. The arrays belong to `rules.RuleSet`; nothing here holds state or knows a rule.
"""

from __future__ import annotations

import numpy as np
from numba import njit, types


@njit(types.void(types.int64[:, ::1], types.uint8[:, ::1], types.int8[:, ::1]), cache=True, nogil=True)
def truths(values, valid, out):
    """Fill `out` [R, n] from `values` and `valid` [R, >= n]."""
    rules, rows = out.shape
    for rule in range(rules):
        for row in range(rows):
            out[rule, row] = np.int8(values[rule, row] != 0) if valid[rule, row] != 0 else np.int8(2)
