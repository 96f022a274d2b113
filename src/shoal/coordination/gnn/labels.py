"""Labels as they are given: checked, all problems together, and dealt to folds.

Folds and what is set aside hold both classes in their shares (stratified): a network stops early by average precision,
which is nothing without abusive ones. Arrays only.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from shoal.coordination.nodes.graph import NodeGraph, known_codes
from shoal.errors import InvalidInput, Problem, Where

Ints = npt.NDArray[np.int64]


def checked(graph: NodeGraph, nodes: npt.ArrayLike, y: npt.ArrayLike, least: int, problems: list[Problem]) -> Ints:
    """Codes and labels [2, m]. Raises `InvalidInput` with `problems` and its own: `nodes.ids`, `nodes.unknown`,
    `nodes.labels`, `nodes.one_class`, `nodes.too_few_labels` (under `least` of a class)."""
    codes, where = np.zeros(0, np.int64), Where(path="y")
    try:
        codes = known_codes(graph, nodes, "nodes")
    except InvalidInput as error:
        problems.extend(error.problems)
    labels = np.asarray(y)
    if labels.dtype.kind not in "biuf" or labels.ndim != 1 or not np.isin(labels, (0, 1)).all():
        allowed = "1 abusive or 0 honest for each node"
        problems.append(Problem("nodes.labels", "labels that are not 0 or 1", where, allowed=allowed))
    elif len(labels) != np.asarray(nodes).size:
        message = f"{len(labels)} labels for {np.asarray(nodes).size} nodes"
        problems.append(Problem("nodes.labels", message, where, allowed="one label a node"))
    else:
        honest, abusive = (int((labels == one).sum()) for one in (0, 1))
        if min(honest, abusive) == 0:
            message = f"{abusive} abusive and {honest} honest labels"
            problems.append(Problem("nodes.one_class", message, where, allowed="both classes"))
        elif min(honest, abusive) < least:
            message = f"{abusive} abusive and {honest} honest labels"
            problems.append(Problem("nodes.too_few_labels", message, where, allowed=f"{least} of each up"))
    if problems:
        raise InvalidInput(problems)
    return np.stack([codes, labels.astype(np.int64)])


def deal(y: Ints, folds: int, draw: np.random.Generator) -> Ints:
    """The fold of each label [m]: each class dealt out evenly, by place alone within it."""
    fold, given = np.empty(len(y), np.int64), 0
    for kind in (1, 0):
        rows = np.flatnonzero(y == kind)
        fold[rows] = draw.permutation((given + np.arange(len(rows))) % folds)
        given += len(rows)
    return fold
