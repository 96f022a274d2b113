"""Inserts and upserts run by the driver's own executemany. Hot path.

Made once for each table when a store is opened. PostgreSQL gets its texts escaped (`texts`); psycopg sends the rows of
one executemany as a pipeline, so that they cost one round trip and not one each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from shoal.storage.engines.texts import StoredText, escape


class Statement:
    """An insert (or, given `keys`, an upsert that sets or adds the last columns) run by the driver's executemany."""

    def __init__(self, engine: sa.Engine, table: sa.Table, keys: tuple[str, ...] = (), *, add: bool = False) -> None:
        insert = postgresql.insert(table) if engine.dialect.name == "postgresql" else sqlite.insert(table)
        if keys:
            others = [column for column in table.c if column.name not in keys]
            new = {c.name: (c + insert.excluded[c.name]) if add else insert.excluded[c.name] for c in others}
            insert = insert.on_conflict_do_update(index_elements=list(keys), set_=new)
        compiled = insert.compile(dialect=engine.dialect)
        self._text = str(compiled)
        self._names = None if compiled.positional else tuple(table.c.keys())
        self._texts = [i for i, column in enumerate(table.c) if isinstance(column.type, StoredText)]

    def run(self, connection: sa.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows whose values stand in the order of the table's columns."""
        if not rows:
            return
        if self._names is None:  # plain tuples: SQLite binds them a fifth faster than named ones
            connection.exec_driver_sql(self._text, list(map(tuple, rows)))
            return
        named = [dict(zip(self._names, row, strict=True)) for row in rows]
        for i in self._texts:
            name = self._names[i]
            for values in named:
                text = values[name]
                if text is not None and ("\x00" in text or "\x10" in text):
                    values[name] = escape(text)
        connection.exec_driver_sql(self._text, named)
