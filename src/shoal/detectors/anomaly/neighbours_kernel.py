# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Distances that sum square roots of differences. Hot path, for which SciPy has no fast metric.

The reference rows come by columns, so that the inner loop runs along one array and takes several rows at once; each
pair is summed column after column by itself, so its bits depend on no other pair.
"""

from __future__ import annotations

import numpy as np
from numba import njit


@njit("float64[:, ::1](float64[:, ::1], float64[:, ::1])", cache=True, nogil=True)
def root_distances(rows, columns):
    """Distances [m, n] of `rows` [m, d] to the reference rows, given by `columns` [d, n]."""
    count, width = len(rows), columns.shape[1]
    out = np.zeros((count, width))
    for i in range(count):
        own = out[i]
        for j in range(columns.shape[0]):
            value, others = rows[i, j], columns[j]
            for r in range(width):
                own[r] += np.sqrt(np.abs(value - others[r]))
    return out
