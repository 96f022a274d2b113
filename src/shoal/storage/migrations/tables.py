"""The store's tables, as SQLAlchemy Core sees them; the migrations build the same.

One schema for SQLite and PostgreSQL. There is no index on random text: that alone would cost more than all the rest of
a row (measured 13 µs against 2). Times are int64 µs; `rules`, `reasons`, `actions` and `body` are JSON texts.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnClause,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    column,
)

from shoal.storage.engines.texts import StoredText

HEAD = "0002"
"""The migration that this release needs."""
ROW_NUMBER: ColumnClause[int] = column("rowid", BigInteger)
"""The order in which decisions were committed: SQLite has it without being asked, on PostgreSQL the migration makes an
identity column of this name. It is no column of the table, for nothing ever writes it."""

metadata = MetaData(
    naming_convention={"ix": "ix_%(table_name)s_%(column_0_N_name)s", "pk": "pk_%(table_name)s"}
)  # fmt: skip


def _count(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False)


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, StoredText, nullable=nullable)


position = Table(
    "position",
    metadata,
    Column("id", Integer, autoincrement=False, nullable=False),
    _count("next_seq"),
    _count("decision_segment"),
    _count("decision_length"),
    _count("decision_crc"),
    _count("dead_length"),
    PrimaryKeyConstraint("id"),
)

source_offsets = Table(
    "source_offsets",
    metadata,
    _text("source"),
    _text("partition"),
    _count("offset"),
    PrimaryKeyConstraint("source", "partition"),
)

ledger = Table(
    "ledger",
    metadata,
    _text("source"),
    Column("name", String(32), nullable=False),
    _count("count"),
    PrimaryKeyConstraint("source", "name"),
)

decisions = Table(
    "decisions",
    metadata,
    _count("seq"),
    Column("revision", Integer, nullable=False),
    _count("as_of"),
    _text("event_id", nullable=True),
    _text("subject_type"),
    _text("subject"),
    _count("subject_id"),
    _text("threat"),
    Column("tier", Integer, nullable=False),
    _text("rules"),
    _text("reasons"),
    _text("actions"),
    _text("pack"),
    Index(None, "seq"),
    Index(None, "subject_type", "subject_id"),
)

outbox = Table(
    "outbox",
    metadata,
    _text("subject_type"),
    _count("subject_id"),
    _text("action"),
    _count("seq"),
    _count("as_of"),
    _text("subject"),
    _text("threat"),
    Column("tier", Integer, nullable=False),
    _count("lease_until"),
    Column("state", String(16), nullable=False),
    _text("body"),
    PrimaryKeyConstraint("subject_type", "subject_id", "action", "seq"),
)

dead_counts = Table(
    "dead_counts",
    metadata,
    _text("source"),
    _text("reason"),
    _count("count"),
    PrimaryKeyConstraint("source", "reason"),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", Integer, nullable=False),
    _text("source"),
    _text("partition"),
    _count("offset"),
    _text("reason"),
    _text("detail"),
    _count("file_offset"),
    _count("file_length"),
    PrimaryKeyConstraint("id"),
)

open_decisions = Table(
    "open_decisions",
    metadata,
    _count("seq"),
    _count("as_of"),
    _text("waiting"),
    PrimaryKeyConstraint("seq"),
)

missing_parts = Table(
    "missing_parts",
    metadata,
    _text("name"),
    _text("kind"),
    _text("columns"),
    _count("since_seq"),
    _text("why"),
    PrimaryKeyConstraint("name"),
)

revisions = Table(
    "revisions",
    metadata,
    _count("seq"),
    Column("revision", Integer, nullable=False),
    _count("cause_seq"),
    _count("as_of"),
    Column("tier_before", Integer, nullable=False),
    Column("tier", Integer, nullable=False),
    Column("provisional", Integer, nullable=False),
    _text("known"),
    PrimaryKeyConstraint("seq", "revision"),
)
