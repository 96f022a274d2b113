"""Named lists."""

from __future__ import annotations
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
import numpy as np
import numpy.typing as npt
import pyarrow as pa


@dataclass(frozen=True)
class NamedList:
    """A list that conditions name: `ip IN list('office')`."""

    name: str
    version: str
    kind: Literal["text", "address"]
    texts: frozenset[str] = field(repr=False)

    @classmethod
    def of(
        cls, name: str, entries: Sequence[str], version: str = "", kind: Literal["text", "address"] | None = None
    ) -> NamedList:
        """Build; raises InvalidInput with all bad entries."""
        raise NotImplementedError

    @classmethod
    def read(cls, path: Path, name: str = "", kind: Literal["text", "address"] | None = None) -> NamedList:
        """Read a text file, one entry a line, `#` comments."""
        raise NotImplementedError

    def contains(self, texts: pa.Array) -> npt.NDArray[np.bool_]:
        """Whether each text is in the list; null → False."""
        raise NotImplementedError
