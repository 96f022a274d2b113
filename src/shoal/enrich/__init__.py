"""Enrich: network, client and domain facts from versioned tables, and the join of keyed facts as of each event."""

from shoal.enrich.enricher import Enricher
from shoal.enrich.facts import FactTable, RejectedFact
from shoal.enrich.tables import EnrichmentTable, read_table

__all__ = ["Enricher", "EnrichmentTable", "FactTable", "RejectedFact", "read_table"]
