"""Packs looked at as a reviewer would: what smells in one, and what differs between two."""
