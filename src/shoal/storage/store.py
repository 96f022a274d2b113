"""The relational store: one transaction a batch. Shape first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from shoal.errors import Problem

LEDGER_COUNTS = (
    "read", "decided", "duplicate", "dead_lettered", "conflict", "facts", "labels", "control", "late", "behind",
    "clamped", "deferred",
)  # fmt: skip
"""read = decided + duplicate + dead_lettered + facts + labels; conflict is part of dead_lettered; late, behind,
clamped and deferred are part of decided; control counts journal control records (of any source, "" for our own)."""


class DecisionRow(NamedTuple):
    """A decision above `allow`, for one subject of one event. `rules`, `reasons`, `actions` are JSON texts."""

    seq: int
    revision: int
    as_of: int
    event_id: str | None
    subject_type: str
    subject: str
    subject_id: int
    threat: str
    tier: int
    rules: str
    reasons: str
    actions: str
    pack: str


class OutboxRow(NamedTuple):
    """An action to take; key = (subject_type, subject_id, action, seq). `lease_until` is in µs."""

    subject_type: str
    subject_id: int
    action: str
    seq: int
    as_of: int
    subject: str
    threat: str
    tier: int
    lease_until: int
    state: str  # planned | taken | done | failed | cancelled
    body: str


class SourceOffset(NamedTuple):
    """The next offset to read of one partition."""

    source: str
    partition: str
    offset: int


@dataclass(frozen=True)
class StorePosition:
    """How far the store has come: all records below `next_seq` are decided; the decision segment's mark."""

    next_seq: int
    decision_segment: int
    decision_length: int
    decision_crc: int


@dataclass(frozen=True)
class CommitBatch:
    """All that one batch changes. `from_seq` must be the store's present `next_seq`."""

    from_seq: int
    position: StorePosition
    ledger: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # source -> count name -> increment
    offsets: Sequence[SourceOffset] = ()
    decisions: Sequence[DecisionRow] = ()
    outbox: Sequence[OutboxRow] = ()
    dead: Sequence[object] = ()  # events.deadletters.DeadLetter


class Store:
    """See the module."""

    @classmethod
    def open(cls, url_or_path: str | Path) -> Store:
        """Open or create (a path means SQLite there); migrates the schema to this release."""
        raise NotImplementedError

    def position(self) -> StorePosition | None:
        """How far; None before the first commit."""
        raise NotImplementedError

    def check_against(self, journal_next_seq: int) -> None:
        """Raise `Corrupt` when the store is ahead of its journal."""
        raise NotImplementedError

    def commit(self, batch: CommitBatch) -> None:
        """One transaction: all of it or nothing."""
        raise NotImplementedError

    def read_ledger(self) -> dict[str, dict[str, int]]:
        """source -> count name -> count."""
        raise NotImplementedError

    def read_offsets(self, source: str | None = None) -> list[SourceOffset]:
        """The next offsets."""
        raise NotImplementedError

    def read_decisions(
        self,
        *,
        subject_type: str | None = None,
        subject_id: int | None = None,
        from_seq: int = 0,
        to_seq: int | None = None,
        min_tier: int = 0,
        limit: int | None = None,
    ) -> list[DecisionRow]:
        """Decisions above allow, by seq."""
        raise NotImplementedError

    def read_outbox(self, *, state: str | None = None, limit: int | None = None) -> list[OutboxRow]:
        """Outbox entries, by causing seq."""
        raise NotImplementedError

    def reconcile(self, *, events: int, duplicates: int, controls: int, next_seq: int) -> list[Problem]:
        """Compare the ledger with the journal's counts; an empty list proves that they agree."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of the database."""
        raise NotImplementedError
