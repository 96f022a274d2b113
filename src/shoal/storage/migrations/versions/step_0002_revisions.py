"""Revisions: open provisional decisions, missing parts, and what was revised.

What was deferred before is counted as closed: earlier releases kept nothing of it open.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _text(name: str) -> sa.Column[str]:
    by_code_point = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    return sa.Column(name, by_code_point, nullable=False)


def _count(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger, nullable=False)


def _small(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.Integer, nullable=False)


def upgrade() -> None:
    """Create the tables; count what was deferred before as closed."""
    op.create_table(
        "open_decisions", _count("seq"), _count("as_of"), _text("waiting"),
        sa.PrimaryKeyConstraint("seq", name="pk_open_decisions"),
    )  # fmt: skip
    op.create_table(
        "missing_parts", _text("name"), _text("kind"), _text("columns"), _count("since_seq"), _text("why"),
        sa.PrimaryKeyConstraint("name", name="pk_missing_parts"),
    )  # fmt: skip
    op.create_table(
        "revisions", _count("seq"), _small("revision"), _count("cause_seq"), _count("as_of"), _small("tier_before"),
        _small("tier"), _small("provisional"), _text("known"),
        sa.PrimaryKeyConstraint("seq", "revision", name="pk_revisions"),
    )  # fmt: skip
    ledger = sa.table("ledger", sa.column("source"), sa.column("name"), sa.column("count"))
    deferred = sa.func.coalesce(sa.func.sum(ledger.c.count), 0)
    found = op.get_bind().execute(sa.select(deferred).where(ledger.c.name == "deferred")).scalar_one()
    if found:
        op.execute(sa.insert(ledger).values(source="", name="closed", count=int(found)))
