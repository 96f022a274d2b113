"""External merge sort (being written)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa


def sorted_tables(tables: Iterable[pa.Table], memory_bytes: int, folder: Path) -> Iterator[pa.Table]:
    """The rows of all tables by (time, event_id), as tables."""
    raise NotImplementedError
