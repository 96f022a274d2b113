"""The one writer of a store: its connection, and the lock that goes with it.

Two processes that commit into one store would decide records twice. On SQLite a locked file beside the database keeps
the second out; it falls with the process. PostgreSQL is reached from many machines: there the writer keeps one
connection whose session holds an advisory lock, and writes through that connection alone, so a lost connection is a
lost lock, and the next write must win it again. The `Store` owns the writer until it is closed.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import sqlalchemy as sa

from shoal.errors import Temporary
from shoal.storage.engines.connect import Place
from shoal.storage.segments import FolderLock

ADVISORY_KEY = 0x5348_4F41_4C00_0001
"""`SHOAL` and 1: with the database and schema, the name of the lock."""
WAIT_S = 10.0
"""How long a new writer waits for the lock: a server needs a moment to notice that the old writer was killed."""


class Writer:
    """Begins write transactions, one at a time. Raises `Temporary` while another process writes this store."""

    def __init__(self, engine: sa.Engine, place: Place, *, wait_s: float = WAIT_S) -> None:
        self._engine, self._shown, self._wait_s = engine.execution_options(shoal_write=True), place.shown, wait_s
        self._mutex = threading.Lock()
        self._file = FolderLock(place.file.parent, f"{place.file.name}.lock") if place.file else None
        self._connection: sa.Connection | None = None

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """One transaction: committed at the end, rolled back by any error."""
        with self._mutex:
            if self._engine.dialect.name != "postgresql":
                with self._engine.begin() as connection:
                    yield connection
                return
            if self._connection is None or self._connection.closed or self._connection.invalidated:
                self._connect()
            kept = self._connection
            assert kept is not None
            try:
                with kept.begin():
                    yield kept
            except sa.exc.DBAPIError as error:
                if error.connection_invalidated:
                    self._drop()
                raise

    def _connect(self) -> None:
        self._drop()
        connection = self._engine.connect()
        try:
            self._lock(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _lock(self, connection: sa.Connection) -> None:
        """One lock for each schema of a database; two schemas may hold two stores."""
        ask = sa.text("SELECT pg_try_advisory_lock(:key # hashtext(current_schema())::bigint)")
        until = time.monotonic() + self._wait_s
        while True:
            got = connection.execute(ask, {"key": ADVISORY_KEY}).scalar_one()
            connection.rollback()  # the lock is the session's; the transaction was for asking only
            if got:
                return
            if time.monotonic() >= until:
                raise Temporary(f"{self._shown}: another process writes this store; stop it or open read-only")
            time.sleep(0.1)

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(sa.exc.SQLAlchemyError):
                self._connection.close()
            self._connection = None

    def close(self) -> None:
        """Let go of the lock."""
        self._drop()
        if self._file is not None:
            self._file.release()
