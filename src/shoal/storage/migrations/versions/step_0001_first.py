"""The first schema: position, offsets, ledger, decisions, outbox, dead letters."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    by_code_point = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    return sa.Column(name, by_code_point, nullable=nullable)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _small(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False)


def upgrade() -> None:
    """Create all tables."""
    op.create_table(
        "position", sa.Column("id", sa.Integer, autoincrement=False, nullable=False), _count("next_seq"),
        _count("decision_segment"), _count("decision_length"), _count("decision_crc"), _count("dead_length"),
        sa.PrimaryKeyConstraint("id", name="pk_position"),
    )  # fmt: skip
    op.create_table(
        "source_offsets", _text("source"), _text("partition"), _count("offset"),
        sa.PrimaryKeyConstraint("source", "partition", name="pk_source_offsets"),
    )  # fmt: skip
    op.create_table(
        "ledger", _text("source"), sa.Column("name", sa.String(32), nullable=False), _count("count"),
        sa.PrimaryKeyConstraint("source", "name", name="pk_ledger"),
    )  # fmt: skip
    op.create_table(
        "decisions", _count("seq"), _small("revision"), _count("as_of"), _text("event_id", nullable=True),
        _text("subject_type"), _text("subject"), _count("subject_id"), _text("threat"), _small("tier"),
        _text("rules"), _text("reasons"), _text("actions"), _text("pack"),
    )  # fmt: skip
    if op.get_bind().dialect.name == "postgresql":  # what SQLite has as rowid: the order of committing
        op.add_column("decisions", sa.Column("rowid", sa.BigInteger, sa.Identity(always=True), nullable=False))
    op.create_index("ix_decisions_seq", "decisions", ["seq"])
    op.create_index("ix_decisions_subject_type_subject_id", "decisions", ["subject_type", "subject_id"])
    op.create_table(
        "outbox", _text("subject_type"), _count("subject_id"), _text("action"), _count("seq"), _count("as_of"),
        _text("subject"), _text("threat"), _small("tier"), _count("lease_until"),
        sa.Column("state", sa.String(16), nullable=False), _text("body"),
        sa.PrimaryKeyConstraint("subject_type", "subject_id", "action", "seq", name="pk_outbox"),
    )  # fmt: skip
    op.create_table(
        "dead_counts", _text("source"), _text("reason"), _count("count"),
        sa.PrimaryKeyConstraint("source", "reason", name="pk_dead_counts"),
    )  # fmt: skip
    op.create_table(
        "dead_letters", _small("id"), _text("source"), _text("partition"), _count("offset"), _text("reason"),
        _text("detail"), _count("file_offset"), _count("file_length"),
        sa.PrimaryKeyConstraint("id", name="pk_dead_letters"),
    )  # fmt: skip
