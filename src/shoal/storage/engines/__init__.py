"""What SQLite and PostgreSQL do differently, so that `storage.store` need not know.

- `connect`: from a path or URL to an engine, schema brought to this release, passwords never shown.
- `failures`: the drivers' errors as ours.
- `locks`: the one writer of a store.
- `statements`: inserts and upserts by the driver's own executemany; texts that PostgreSQL cannot hold.
"""
