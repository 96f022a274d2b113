"""From a frame's columns to the rows of numbers that a model scores. Hot path.

Where each input stands and of which kind it is, is looked up once, when pack and model are joined; after that a batch
is one kernel call. A null is NaN, as is an infinite value; bools are 0 and 1, counts and times are floats. A `Columns`
owns nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from shoal.detectors.models.trees import Floats
from shoal.detectors.models.trees_kernel import gather
from shoal.errors import InvalidInput, Problem, Where, nearest_name
from shoal.events.schema import Kind
from shoal.expressions.frame import Frame, Layout

Rows = npt.NDArray[np.int64]


class Columns:
    """The columns `names` of frames laid out by `layout`, in that order.

    Raises `InvalidInput`: `model.input_missing` for a name that the layout lacks, `model.input_kind` for a text.
    """

    def __init__(self, names: Sequence[str], layout: Layout) -> None:
        problems = []
        for name in names:
            at = Where(path=name)
            if name not in layout.index:
                nearest = nearest_name(name, layout.names)
                problems.append(Problem("model.input_missing", f"there is no column {name!r}", at, nearest=nearest))
            elif layout.kind(name) is Kind.TEXT:
                message = f"{name!r} is a text"
                problems.append(Problem("model.input_kind", message, at, "bool, int, float, time"))
        if problems:
            raise InvalidInput(problems)
        self._at = np.array([layout.index[name] for name in names], np.int64)
        self._floats = np.array([layout.kind(name) is Kind.FLOAT for name in names], np.bool_)

    def read(self, frame: Frame, rows: Rows) -> Floats:
        """The rows with the numbers `rows` [n] as float64 [n, d], NaN for null."""
        out = np.empty((len(rows), len(self._at)))
        gather(frame.values, frame.values.view(np.float64), frame.valid, self._at, self._floats, rows, out)
        return out
