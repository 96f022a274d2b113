"""Rules: SQL conditions over columns, three-valued: matched, not, unknown."""
