"""Where the SQL runs: in this process (DuckDB), or on a Spark session that the caller made and keeps.

An engine keeps a query's answer under a name, answers a query as an Arrow table, and forgets what it kept. It owns
its temporary tables from the first `keep` to `close`. Neither engine reads files or the network; DuckDB spills what
memory does not hold into a temporary folder of its own.
"""

from __future__ import annotations

import tempfile
from typing import Any, Protocol

import duckdb
import pyarrow as pa

from shoal.coordination.coaction.settings import CoActionSettings


class Engine(Protocol):
    """What co-action asks of an SQL engine."""

    def load(self, name: str, table: pa.Table) -> None:
        """Make an Arrow table known under a name."""

    def keep(self, name: str, query: str) -> None:
        """Keep the answer of a query under a name."""

    def read(self, query: str) -> pa.Table:
        """The answer of a query."""

    def forget(self, name: str) -> None:
        """Drop what is kept under a name."""

    def close(self) -> None:
        """Drop all that is kept."""


class DuckEngine:
    """DuckDB in memory. `keep` gives materialised temporary tables."""

    def __init__(self, settings: CoActionSettings | None = None) -> None:
        settings = settings or CoActionSettings()
        self._spill = tempfile.TemporaryDirectory(prefix="shoal-coaction-", ignore_cleanup_errors=True)
        self._base = duckdb.connect(
            config={
                "threads": settings.threads,
                "memory_limit": f"{settings.memory_gb}GB",
                "temp_directory": self._spill.name,
                "preserve_insertion_order": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            }
        )

    def load(self, name: str, table: pa.Table) -> None:
        """Copied into a table of its own, so that the engine knows the ranges of its columns."""
        self._base.register("given", table)
        self._base.execute(f"CREATE OR REPLACE TEMP TABLE {_named(name)} AS SELECT * FROM given")  # noqa: S608
        self._base.unregister("given")

    def keep(self, name: str, query: str) -> None:
        """A temporary table."""
        self._base.execute(f"CREATE OR REPLACE TEMP TABLE {_named(name)} AS {query}")

    def read(self, query: str) -> pa.Table:
        """As an Arrow table."""
        answer: pa.Table = self._base.sql(query).to_arrow_table()
        return answer

    def forget(self, name: str) -> None:
        """Give its memory back."""
        self._base.execute(f"DROP TABLE IF EXISTS {_named(name)}")

    def close(self) -> None:
        """Close the connection and remove the folder that it spilled into."""
        self._base.close()
        self._spill.cleanup()


class SparkEngine:
    """A Spark session of the caller, which stays open. `keep` gives views of what was computed once.

    Answers are kept by `localCheckpoint`, which cuts the plan behind them: plans that grow from view to view cost
    Spark more than the work. They live on the executors, so a lost one ends the run; start it again then.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._kept: dict[str, Any] = {}

    def load(self, name: str, table: pa.Table) -> None:
        """From Arrow; a service whose events are in a lake makes the view `events` itself and calls `find.run`."""
        self._view(name, self._session.createDataFrame(table))

    def keep(self, name: str, query: str) -> None:
        """Computed now, spilled by Spark where memory is short."""
        self._view(name, self._session.sql(query).localCheckpoint(eager=True))

    def read(self, query: str) -> pa.Table:
        """Collected to the driver: only pairs, and sums by account, are asked for."""
        answer: pa.Table = self._session.sql(query).toArrow()
        return answer

    def forget(self, name: str) -> None:
        """Drop the view; Spark frees what it held once nothing refers to it."""
        if self._kept.pop(name, None) is not None:
            self._session.catalog.dropTempView(_named(name))

    def close(self) -> None:
        """Drop what it kept, not the session."""
        for name in sorted(self._kept):
            self.forget(name)

    def _view(self, name: str, frame: Any) -> None:
        frame.createOrReplaceTempView(_named(name))
        self._kept[name] = frame


def _named(name: str) -> str:
    if not name.isidentifier() or not name.isascii():
        raise ValueError(f"not a name of this package: {name!r}")
    return name
