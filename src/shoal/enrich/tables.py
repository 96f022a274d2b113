"""Tables of ranges that the user supplies: MMDB files and CSVs."""

from __future__ import annotations
from pathlib import Path
from typing import Protocol


class EnrichmentTable(Protocol):
    """What the enricher asks of a table: its name, its version, the columns it can fill, and rows by address."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...


def read_table(path: Path, version: str = "") -> EnrichmentTable:
    """An `.mmdb` file or a CSV of ranges; raises InvalidInput with all problems (file:line)."""
    raise NotImplementedError
