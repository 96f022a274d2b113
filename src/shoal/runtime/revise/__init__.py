"""Provisional decisions kept open, and decided again when what was missing is known."""
