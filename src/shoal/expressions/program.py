"""`Program`: many expressions, one machine code, one call a batch. Hot path.

A Program is built once for a layout, an identity and lists; it owns its registers, and is used by one thread at a time.
Results are functions of the row alone: they never depend on the cut into batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shoal.events.identity import Identity
from shoal.events.schema import Kind
from shoal.expressions.compile import Expression
from shoal.expressions.frame import Frame, Layout, Valid, Values


class ListLike(Protocol):
    """What a Program asks of a named list (`shoal.ranges.lists.NamedList`)."""

    @property
    def kind(self) -> str:
        """`text` or `address`."""

    @property
    def texts(self) -> frozenset[str]:
        """The entries of a list of texts."""

    def contains(self, texts: pa.Array) -> npt.NDArray[np.bool_]:
        """Which of the texts are in the list; null is not."""


class Program:
    """Expressions compiled together; common sub-expressions are computed once."""

    kinds: tuple[Kind, ...]
    text_columns: frozenset[str]

    def __init__(
        self,
        expressions: Sequence[Expression],
        layout: Layout,
        identity: Identity,
        lists: Mapping[str, ListLike] | None = None,
    ) -> None:
        raise NotImplementedError

    def run(self, frame: Frame, values: Values | None = None, valid: Valid | None = None) -> tuple[Values, Valid]:
        """Evaluate all expressions on the frame's rows; [P, size] values (frame encoding) and null masks."""
        raise NotImplementedError
