"""Ingest: putting records in order, stamping and journalling them."""
