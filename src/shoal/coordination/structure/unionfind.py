"""Connected components: at once, and kept while edges come in.

A component is known by its smallest member, which makes labels a function of the edges alone: neither their order nor
the cut into batches shows. `Components` owns its forest for its whole life and says which components new edges have
touched, so that only those need to be looked at again. Self-loops and repeated edges join nothing; a node without
edges is its own component. Linear in practice, in nodes plus edges; 4 bytes a node beside the labels.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from shoal.coordination.structure.checks import (
    MAX_NODES,
    Codes,
    Ints,
    code_problem,
    edge_arrays,
    node_problems,
    refuse,
)
from shoal.coordination.structure.union_kernel import find, flatten, join_all, join_marked, number
from shoal.errors import Corrupt, Problem

FORMAT = 1
"""Version of the arrays of a snapshot."""


def components(n: int, left: Codes, right: Codes) -> Ints:
    """The component of each of `n` nodes under undirected edges: its smallest member, int64 [n].

    `left`, `right`: codes 0 … n - 1, int32 or int64 [edges] (taken without a copy). Raises `InvalidInput`.

    >>> components(5, np.array([3, 1]), np.array([1, 4])).tolist()
    [0, 1, 2, 1, 1]
    """
    problems = node_problems(n)
    one, other = edge_arrays(left, right, ("left", "right"), problems)
    refuse(problems)
    parent = np.arange(n, dtype=np.int32)
    if join_all(parent, one, other) >= 0:
        refuse(code_problem(n, one, "left") + code_problem(n, other, "right"))
    flatten(parent)
    return parent.astype(np.int64)


def numbered(labels: Ints) -> tuple[Ints, int]:
    """Dense numbers 0 … count - 1 for labels that are smallest members, in the order of those; and the count.

    >>> numbered(np.array([0, 1, 2, 1, 1]))
    (array([0, 1, 2, 1, 1]), 3)
    """
    out = np.empty(len(labels), np.int64)
    return out, int(number(np.ascontiguousarray(labels, np.int64), out))


class Components:
    """Components that are kept while edges are added; nodes are codes 0 … size - 1, and more can be added.

    >>> kept = Components(4)
    >>> kept.add(np.array([2]), np.array([3]))
    1
    >>> kept.labels().tolist(), kept.touched().tolist()
    ([0, 1, 2, 2], [2])
    """

    def __init__(self, size: int = 0) -> None:
        refuse(node_problems(size, "size"))
        self._size = int(size)
        self._parent = np.arange(self._size, dtype=np.int32)
        self._marks = np.zeros(self._size, np.uint8)

    @property
    def size(self) -> int:
        """Number of nodes."""
        return self._size

    def grow(self, size: int) -> None:
        """Have `size` nodes, the new ones each alone; fewer than there are change nothing."""
        refuse(node_problems(size, "size"))
        if size > len(self._parent):
            held = min(max(int(size), len(self._parent) * 3 // 2, 1024), MAX_NODES)
            parent, marks = np.arange(held, dtype=np.int32), np.zeros(held, np.uint8)
            parent[: self._size], marks[: self._size] = self._parent[: self._size], self._marks[: self._size]
            self._parent, self._marks = parent, marks
        self._size = max(self._size, int(size))

    def add(self, left: Codes, right: Codes) -> int:
        """Add edges; how many of them joined two components. Raises `InvalidInput`, and then nothing is added."""
        problems: list[Problem] = []
        one, other = edge_arrays(left, right, ("left", "right"), problems)
        refuse(problems)
        refuse(code_problem(self._size, one, "left") + code_problem(self._size, other, "right"))
        return int(join_marked(self._parent[: self._size], self._marks, one, other))

    def find(self, node: int) -> int:
        """The component of one node."""
        refuse(code_problem(self._size, np.array([node]), "node"))
        return int(find(self._parent, node))

    def labels(self) -> Ints:
        """The component of each node: its smallest member, int64 [size]."""
        parent = self._parent[: self._size]
        flatten(parent)
        return parent.astype(np.int64)

    def touched(self) -> Ints:
        """Components to which edges were added since `forget_touched`, sorted int64; an edge within one counts."""
        marked = np.flatnonzero(self._marks[: self._size])
        return np.unique(self.labels()[marked])

    def forget_touched(self) -> None:
        """Begin to note touched components anew."""
        self._marks[:] = 0

    def snapshot(self) -> dict[str, npt.NDArray[np.generic]]:
        """The state as named arrays; equal components, touched alike, give equal arrays."""
        return {"format": np.array([FORMAT]), "labels": self.labels().astype(np.int32),
                "touched": self.touched().astype(np.int32)}  # fmt: skip

    def restore(self, arrays: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Take over a snapshot; raises `Corrupt` where it is none."""
        lacking = sorted({"format", "labels", "touched"} - set(arrays))
        if lacking:
            raise Corrupt(f"components: the snapshot lacks {', '.join(lacking)}")
        form = arrays["format"]
        if form.shape != (1,) or form.dtype.kind != "i" or int(form[0]) != FORMAT:
            raise Corrupt(f"components: the snapshot is not of format {FORMAT}")
        if any(arrays[name].dtype != np.dtype(np.int32) or arrays[name].ndim != 1 for name in ("labels", "touched")):
            raise Corrupt("components: labels and touched are not int32 in one row")
        labels, touched = arrays["labels"].astype(np.int64), arrays["touched"].astype(np.int64)
        n, order = len(labels), np.arange(len(labels))
        sound = bool(((labels >= 0) & (labels <= order)).all()) and bool((labels[labels] == labels).all())
        inside = bool(((touched >= 0) & (touched < n)).all())
        if not sound or not inside or bool((labels[touched] != touched).any()):
            raise Corrupt("components: labels are not smallest members")
        self._size, self._parent = n, labels.astype(np.int32)
        self._marks = np.zeros(n, np.uint8)
        self._marks[touched] = 1
