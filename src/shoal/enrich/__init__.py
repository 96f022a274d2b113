"""Enrichment: facts joined as of the event, and client, network and domain columns from versioned tables."""
