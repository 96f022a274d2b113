"""What a node's place in the graph is: clustering, cores, rank.

Triangles and cores are of ties without direction or weight. For ties through entities the pairs are not made, so there
are no triangles; the core is that of the graph of nodes and entities. Knows links only.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from shoal.coordination.nodes import topology_kernel as kernel
from shoal.coordination.nodes.links import Direct, Link, Shared

Floats = npt.NDArray[np.float64]

DAMPING, STEPS = 0.85, 50
"""PageRank's usual damping (Brin and Page 1998); what is left after 50 steps is under .85^50 = 3e-4 of the whole."""


def triangles(link: Direct) -> Floats:
    """Triangles through each node [n]."""
    start, other = _simple(link)
    return np.asarray(kernel.triangles(start, other), dtype=np.float64)


def clustering(link: Direct, found: Floats) -> Floats:
    """Share of pairs of neighbours that are neighbours themselves [n]; NaN under two neighbours."""
    degree = np.diff(_simple(link)[0]).astype(np.float64)
    pairs = degree * (degree - 1) / 2
    return np.asarray(np.divide(found, pairs, out=np.full(len(found), np.nan), where=pairs > 0))


def cores(link: Link) -> Floats:
    """Core number of each node [n]; of the graph of nodes and entities where ties go through these."""
    if isinstance(link, Shared):
        whole = sparse.block_array([[None, link.members], [link.members.T, None]], format="csr")
        whole.sort_indices()
        start, other = whole.indptr.astype(np.int64), whole.indices.astype(np.int64)
    elif isinstance(link, Direct):
        start, other = _simple(link)
    else:
        raise TypeError(f"no cores of a {type(link).__name__}")
    return np.asarray(kernel.cores(start, other)[: link.size], dtype=np.float64)


def page_rank(link: Link) -> Floats:
    """PageRank of each node [n], times the number of nodes, so that 1 is average; a node that reaches nobody gives its
    rank to all."""
    back, rank = link.turned(), np.ones(link.size)
    part = np.divide(1.0, link.weight, out=np.zeros(link.size), where=link.weight > 0)
    stuck = part == 0
    for _ in range(STEPS):
        lost = rank[stuck].sum() / link.size
        rank = 1.0 - DAMPING + DAMPING * (back.sums((rank * part)[:, None])[:, 0] + lost)
    return rank


def _simple(link: Direct) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    matrix = link.both().matrix
    return matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64)
