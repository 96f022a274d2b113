"""From a path or URL to an engine whose schema is this release's.

SQLite: WAL, synchronous=FULL, and BEGIN said by us, so that reads stand in the transaction too. PostgreSQL: psycopg 3
(the extra `postgres`), UTF-8, commits flushed before they are told. What is shown of a URL has no password and no
query. Owns no state; the `Store` owns the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from shoal import extras
from shoal.errors import InvalidInput, Problem, Unsupported, nearest_name
from shoal.storage.migrations import tables

ENGINES = ("sqlite", "postgresql")
CONNECT_TIMEOUT_S = 10


@dataclass(frozen=True)
class Place:
    """Where a store is: its URL, the file of a SQLite one, and how it is named in messages."""

    url: sa.URL
    file: Path | None
    shown: str

    def __repr__(self) -> str:
        return f"Place({self.shown})"


def place_of(where: str | Path) -> Place:
    """Read a path or a database URL; raises `InvalidInput` (the URL is never repeated), `Unsupported`, `MissingExtra`.

    >>> place_of("postgresql://ann:secret@db.example/shoal?sslpassword=x").shown
    'postgresql+psycopg://ann:***@db.example/shoal'
    """
    if isinstance(where, Path) or "://" not in where:
        return Place(sa.URL.create("sqlite", database=str(where)), Path(where), str(where))
    try:
        url = sa.make_url(where)
        backend, _, driver = url.drivername.partition("+")
    except (sa.exc.ArgumentError, ValueError):
        hint = "for example postgresql://user@host/database; reserved characters of a password are written as %xx"
        raise InvalidInput(Problem("store.url", "this is no database URL", hint=hint)) from None
    if backend == "sqlite" and driver in ("", "pysqlite"):
        file = Path(url.database) if url.database and url.database != ":memory:" else None
        return Place(url, file, str(file or "sqlite://"))
    if backend in ("postgresql", "postgres") and driver in ("", "psycopg"):
        extras.require("psycopg", "postgres")
        url = url.set(drivername="postgresql+psycopg")
        return Place(url, None, url.set(query={}).render_as_string(hide_password=True))
    allowed = ", ".join(f"{name}://" for name in ENGINES)
    near = nearest_name(backend, ENGINES)
    message = f"a store on {url.drivername}" if url.drivername.replace("+", "").isalnum() else "a store on this engine"
    raise Unsupported(str(Problem("store.engine", message, allowed=allowed, nearest=near)))


def engine_of(place: Place) -> sa.Engine:
    """An engine; opens no connection yet. With the execution option `shoal_write`, SQLite begins for writing."""
    return _postgres(place.url) if place.url.get_backend_name() == "postgresql" else _sqlite(place.url)


def _sqlite(url: sa.URL) -> sa.Engine:
    engine = sa.create_engine(url, connect_args={"timeout": 30.0})

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves, so that reads stand in the transaction too
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=4000", "cache_size=-65536"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def begun(connection: sa.Connection) -> None:
        write = connection.get_execution_options().get("shoal_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _postgres(url: sa.URL) -> sa.Engine:
    given = {"connect_timeout": CONNECT_TIMEOUT_S, "application_name": "shoal", "client_encoding": "utf8"}
    arguments = {name: value for name, value in given.items() if name not in url.query}
    # Readers come seldom and the writer keeps its connection: without a pool none is stale after a restart.
    engine = sa.create_engine(url, connect_args=arguments, poolclass=NullPool, isolation_level="REPEATABLE READ")

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            # What is told as committed must be on disk; a dead client must not hold the writer's lock for hours.
            cursor.execute(
                "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit')='off'"
            )
            for name, value in (("idle", "30"), ("interval", "10"), ("count", "3")):
                cursor.execute("SELECT set_config(%s, %s, false)", (f"tcp_keepalives_{name}", value))
        connection.commit()

    return engine


def migrate(connection: sa.Connection, *, read_only: bool) -> None:
    """Bring the schema to this release, in the transaction that the connection is in.

    Raises `Unsupported` for a later schema, and for an older one that is to be read only; `InvalidInput` where a
    PostgreSQL database is not in UTF-8.
    """
    if connection.dialect.name == "postgresql":
        encoding = connection.exec_driver_sql("SHOW server_encoding").scalar_one()
        if encoding != "UTF8":
            hint = "make one with: createdb --encoding=UTF8 --template=template0 NAME"
            problem = Problem("store.encoding", f"the database is in {encoding}", allowed="UTF8", hint=hint)
            raise InvalidInput(problem)
    known = sa.inspect(connection).has_table("alembic_version")
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() if known else None
    if found == tables.HEAD:
        return
    if found is not None and str(found) > tables.HEAD:
        raise Unsupported(f"the store has schema {found}; this release knows up to {tables.HEAD}")
    if read_only:
        raise Unsupported(f"the store has schema {found}; open it once for writing to bring it to {tables.HEAD}")
    from alembic import command
    from alembic.config import Config

    config = Config()
    folder = Path(tables.__file__).parent
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
