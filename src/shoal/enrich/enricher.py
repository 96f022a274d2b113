"""The enricher."""

from __future__ import annotations
from collections.abc import Sequence
import pyarrow as pa
from shoal.enrich.tables import EnrichmentTable


class Enricher:
    """Adds the ENRICHED columns to batches."""

    version: str

    def __init__(self, tables: Sequence[EnrichmentTable] = ()) -> None:
        raise NotImplementedError

    def enrich(self, table: pa.Table) -> pa.Table:
        """The table with ENRICHED columns added or filled; a value that the source gave stays."""
        raise NotImplementedError
