"""The relational store: what one batch changes, in one transaction.

The journal position, the mark of the decision log, source offsets, ledger counts, decisions above `allow`, the outbox
and the dead letters. SQLAlchemy Core 2 over SQLite or PostgreSQL; what they do differently is in `storage.engines`.
The hot inserts go through the driver's own executemany. Dead letters' raw bytes stand in an NDJSON file beside the
database, whose length belongs to the transaction. One process commits; others may read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import sqlalchemy as sa

from shoal.errors import Corrupt, InvalidInput, Permanent, Problem, nearest_name
from shoal.events.identity import Identity
from shoal.storage.deadfile import DeadFile, DeadRow, RawDeadLetter, forms_of
from shoal.storage.engines.connect import Place, engine_of, migrate, place_of
from shoal.storage.engines.failures import told_as_ours
from shoal.storage.engines.locks import Writer
from shoal.storage.engines.statements import Statement
from shoal.storage.engines.texts import StoredText
from shoal.storage.migrations import tables

LEDGER_COUNTS = (
    "read", "decided", "duplicate", "dead_lettered", "conflict", "facts", "labels", "control", "late", "behind",
    "clamped", "deferred", "ticks", "revised", "settled", "closed",
)  # fmt: skip
"""read = decided + duplicate + dead_lettered + facts + labels; conflict is part of dead_lettered; late, behind,
clamped and deferred are part of decided; control counts journal control records (of any source, "" for our own), ticks
those of an idle stream. Of our own (""): revised counts revisions; each deferred decision is open, settled (revised
until nothing was deferred any more) or closed (never to be revised again)."""

_PARTS = (("conflict", "dead_lettered"), *((name, "decided") for name in ("late", "behind", "clamped", "deferred")))

OUTBOX_STATES = ("planned", "taken", "done", "failed", "cancelled")


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
    """An action to take; key = (subject_type, subject_id, action, seq). `lease_until` in µs; `body` is JSON."""

    subject_type: str
    subject_id: int
    action: str
    seq: int
    as_of: int
    subject: str
    threat: str
    tier: int
    lease_until: int
    state: str
    body: str


class RevisionRow(NamedTuple):
    """A revision of the decision on event `seq`, caused by record `cause_seq`. `known`: the columns that became
    known, as
    JSON; `tier` and `tier_before` are of the event."""

    seq: int
    revision: int
    cause_seq: int
    as_of: int
    tier_before: int
    tier: int
    provisional: int
    known: str


class OpenRow(NamedTuple):
    """A provisional decision that may be revised; `waiting`: what is null, as JSON."""

    seq: int
    as_of: int
    waiting: str


class PartRow(NamedTuple):
    """A part that is missing since record `since_seq`; `columns`: what it feeds, as JSON."""

    name: str
    kind: str
    columns: str
    since_seq: int
    why: str


class SourceOffset(NamedTuple):
    """The next offset to read of one partition."""

    source: str
    partition: str
    offset: int


@dataclass(frozen=True)
class StorePosition:
    """How far the store has come: all records below `next_seq` are decided; and the decision log's mark."""

    next_seq: int
    decision_segment: int
    decision_length: int
    decision_crc: int


@dataclass(frozen=True)
class CommitBatch:
    """All that one batch changes. `from_seq` must be the store's present `next_seq` (0 at first)."""

    from_seq: int
    position: StorePosition
    ledger: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    offsets: Sequence[SourceOffset] = ()
    decisions: Sequence[DecisionRow] = ()
    outbox: Sequence[OutboxRow] = ()
    dead: Sequence[RawDeadLetter] = ()
    revisions: Sequence[RevisionRow] = ()
    opened: Sequence[OpenRow] = ()
    left: Sequence[int] = ()
    missing: Sequence[PartRow] = ()
    back: Sequence[str] = ()


class JournalCounts(Protocol):
    """What `reconcile` needs of a journal's stats."""

    @property
    def events(self) -> int: ...  # noqa: D102
    @property
    def duplicates(self) -> int: ...  # noqa: D102
    @property
    def controls(self) -> int: ...  # noqa: D102
    @property
    def dropped_events(self) -> int: ...  # noqa: D102
    @property
    def dropped_duplicates(self) -> int: ...  # noqa: D102
    @property
    def dropped_controls(self) -> int: ...  # noqa: D102
    @property
    def next_seq(self) -> int: ...  # noqa: D102


class Store:
    """The store of one deployment. See the module."""

    def __init__(self, engine: sa.Engine, place: Place, dead: DeadFile, writer: Writer | None) -> None:
        """Use `Store.open`."""
        self._engine, self._shown, self._dead, self._writer = engine, place.shown, dead, writer
        self._insert_decisions = Statement(engine, tables.decisions)
        self._insert_outbox = Statement(engine, tables.outbox)
        self._add_ledger = Statement(engine, tables.ledger, ("source", "name"), add=True)
        self._add_dead_counts = Statement(engine, tables.dead_counts, ("source", "reason"), add=True)
        self._set_offsets = Statement(engine, tables.source_offsets, ("source", "partition"))
        self._insert_revisions = Statement(engine, tables.revisions)
        self._set_open = Statement(engine, tables.open_decisions, ("seq",))
        self._set_missing = Statement(engine, tables.missing_parts, ("name",))
        self._set_position = Statement(engine, tables.position, ("id",))
        self._position_text = str(sa.select(tables.position).compile(dialect=engine.dialect))

    @property
    def read_only(self) -> bool:
        """Whether this one only reads."""
        return self._writer is None

    @classmethod
    def open(
        cls,
        where: str | Path,
        *,
        dead_letters: Path | None = None,
        max_dead_rows: int = 10_000,
        max_dead_bytes: int = 64 << 20,
        read_only: bool = False,
    ) -> Store:
        """Open or create; brings the schema to this release (a read-only one must have it).

        `where`: a path (SQLite there) or a database URL (`postgresql://…` needs the extra `postgres`); `dead_letters`:
        their NDJSON file, by default beside a database file. Of dead letters at most `max_dead_rows` rows and
        `max_dead_bytes` are kept; all are counted. Raises `Unsupported` for a schema of a later release, `Corrupt` when
        the file is no database, `Temporary` while another process writes this store or the server is away,
        `MissingExtra` without the driver. No message shows a password.
        """
        place = place_of(where)
        beside = dead_letters or (place.file.with_name("dead-letters.ndjson") if place.file else None)
        if beside is None:
            raise InvalidInput(Problem("store.dead_letters", "a store by URL needs a path for its dead letters"))
        if place.file is not None:
            if read_only and not place.file.exists():
                raise InvalidInput(Problem("store.missing", f"there is no store at {place.file}"))
            place.file.parent.mkdir(parents=True, exist_ok=True)
        engine = engine_of(place)
        writer = None
        try:
            with told_as_ours(place.shown):
                if read_only:
                    with engine.begin() as connection:
                        migrate(connection, read_only=True)
                else:
                    writer = Writer(engine, place)
                    with writer.begin() as connection:
                        migrate(connection, read_only=False)
            return cls(engine, place, DeadFile(beside, max_dead_rows, max_dead_bytes), writer)
        except BaseException:
            if writer is not None:
                writer.close()
            engine.dispose()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        if self._writer is not None:
            self._writer.close()
        self._engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with told_as_ours(self._shown), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        if self._writer is None:
            raise Permanent("the store is open read-only")
        with told_as_ours(self._shown), self._writer.begin() as connection:
            yield connection

    def position(self) -> StorePosition | None:
        """How far; None before the first commit."""
        with self._reading() as connection:
            row = connection.execute(sa.select(tables.position)).one_or_none()
        return StorePosition(*row[1:5]) if row else None

    def check_against(self, journal_next_seq: int) -> None:
        """Refuse to start with a store that is ahead of its journal: records that it decided are gone (`Corrupt`)."""
        position = self.position()
        if position and position.next_seq > journal_next_seq:
            raise Corrupt(
                f"the store has decided {position.next_seq} records, its journal has only {journal_next_seq}: journal "
                "and store do not belong together, or the journal was cut; restore both from one backup"
            )

    def commit(self, batch: CommitBatch) -> None:
        """One transaction: all of the batch or nothing.

        Raises `InvalidInput` (all problems) for a batch that does not follow the last one or has unknown counts or
        states, `Permanent` for an outbox entry that is there already, `Temporary` when the database is busy or full.
        """
        problems = _batch_problems(batch)
        if problems:
            raise InvalidInput(problems)
        with self._writing() as connection:
            row = connection.exec_driver_sql(self._position_text).one_or_none()
            at = row.next_seq if row else 0
            if at != batch.from_seq:
                message = f"the batch starts with record {batch.from_seq}; the store has decided up to {at}"
                raise InvalidInput(Problem("store.not_next", message))
            dead_length = row.dead_length if row else 0
            if batch.dead:
                dead_length = self._commit_dead(connection, batch.dead, dead_length)
            counts = [(source, name, n) for source, names in batch.ledger.items() for name, n in names.items() if n]
            self._add_ledger.run(connection, counts)
            self._set_offsets.run(connection, batch.offsets)
            self._insert_decisions.run(connection, batch.decisions)
            self._insert_outbox.run(connection, batch.outbox)
            if batch.revisions or batch.opened or batch.left or batch.missing or batch.back:
                self._commit_revisions(connection, batch)
            to = batch.position
            values = (1, to.next_seq, to.decision_segment, to.decision_length, to.decision_crc, dead_length)
            self._set_position.run(connection, [values])

    def _commit_revisions(self, connection: sa.Connection, batch: CommitBatch) -> None:
        self._insert_revisions.run(connection, batch.revisions)
        for table, column, gone in (
            (tables.open_decisions, tables.open_decisions.c.seq, [{"gone": seq} for seq in batch.left]),
            (tables.missing_parts, tables.missing_parts.c.name, [{"gone": name} for name in batch.back]),
        ):
            if gone:
                connection.execute(sa.delete(table).where(column == sa.bindparam("gone")), gone)
        self._set_open.run(connection, batch.opened)
        self._set_missing.run(connection, batch.missing)

    def _commit_dead(self, connection: sa.Connection, dead: Sequence[RawDeadLetter], length: int) -> int:
        kept = connection.execute(sa.select(sa.func.count()).select_from(tables.dead_letters)).scalar_one()
        rows, length = self._dead.append(dead, kept, length)
        if rows:
            connection.execute(sa.insert(tables.dead_letters), [row._asdict() for row in rows])
        by_reason: dict[tuple[str, str], int] = {}
        for letter in dead:
            key = (letter.source, letter.reason)
            by_reason[key] = by_reason.get(key, 0) + 1
        self._add_dead_counts.run(connection, [(*key, count) for key, count in by_reason.items()])
        return length

    def read_ledger(self) -> dict[str, dict[str, int]]:
        """source -> count name -> count; sources and names in order."""
        found: dict[str, dict[str, int]] = {}
        with self._reading() as connection:
            query = sa.select(tables.ledger).order_by(tables.ledger.c.source, tables.ledger.c.name)
            for source, name, count in connection.execute(query):
                found.setdefault(source, {})[name] = count
        return found

    def read_offsets(self, source: str | None = None) -> list[SourceOffset]:
        """The next offset of each partition (of one source)."""
        table = tables.source_offsets
        query = sa.select(table).order_by(table.c.source, table.c.partition)
        if source is not None:
            query = query.where(table.c.source == source)
        with self._reading() as connection:
            return [SourceOffset(*row) for row in connection.execute(query)]

    def read_decisions(
        self,
        *,
        subject_type: str | None = None,
        subject_id: int | None = None,
        from_seq: int = 0,
        to_seq: int | None = None,
        min_tier: int = 0,
        latest: bool = False,
        revision: int | None = None,
        limit: int | None = None,
    ) -> list[DecisionRow]:
        """Decisions above `allow`, by seq and in the order committed; fast by seq range or by subject. `latest`: of
        each event those of its last revision only; `revision`: those of that number."""
        table, later = tables.decisions, tables.revisions
        query = (
            sa.select(table).where(table.c.seq >= from_seq).order_by(table.c.seq, table.c.revision, tables.ROW_NUMBER)
        )
        if subject_type is not None:
            query = query.where(table.c.subject_type == subject_type)
        if subject_id is not None:
            query = query.where(table.c.subject_id == subject_id)
        if to_seq is not None:
            query = query.where(table.c.seq < to_seq)
        if revision is not None:
            query = query.where(table.c.revision == revision)
        if latest:
            newer = sa.exists().where(later.c.seq == table.c.seq, later.c.revision > table.c.revision)
            query = query.where(~newer)
        if min_tier:
            query = query.where(table.c.tier >= min_tier)
        with self._reading() as connection:
            return [DecisionRow(*row) for row in connection.execute(query.limit(limit))]

    def read_outbox(
        self, *, state: str | None = None, subject_type: str | None = None, subject_id: int | None = None,
        limit: int | None = None,
    ) -> list[OutboxRow]:  # fmt: skip
        """Outbox entries, by causing seq."""
        table = tables.outbox
        query = sa.select(table).order_by(table.c.seq, table.c.subject_type, table.c.subject_id, table.c.action)
        for column, given in ((table.c.state, state), (table.c.subject_type, subject_type)):
            if given is not None:
                query = query.where(column == given)
        if subject_id is not None:
            query = query.where(table.c.subject_id == subject_id)
        with self._reading() as connection:
            return [OutboxRow(*row) for row in connection.execute(query.limit(limit))]

    def read_revisions(self, *, from_seq: int = 0, to_seq: int | None = None) -> list[RevisionRow]:
        """Revisions of these events, by seq and number."""
        table = tables.revisions
        query = sa.select(table).where(table.c.seq >= from_seq).order_by(table.c.seq, table.c.revision)
        if to_seq is not None:
            query = query.where(table.c.seq < to_seq)
        with self._reading() as connection:
            return [RevisionRow(*row) for row in connection.execute(query)]

    def read_open(self) -> list[OpenRow]:
        """Provisional decisions that are open, by seq."""
        with self._reading() as connection:
            return [
                OpenRow(*row)
                for row in connection.execute(sa.select(tables.open_decisions).order_by(tables.open_decisions.c.seq))
            ]

    def count_open(self) -> int:
        """How many provisional decisions are open."""
        with self._reading() as connection:
            return int(connection.execute(sa.select(sa.func.count()).select_from(tables.open_decisions)).scalar_one())

    def read_missing_parts(self) -> list[PartRow]:
        """Parts that are missing, by name."""
        with self._reading() as connection:
            return [
                PartRow(*row)
                for row in connection.execute(sa.select(tables.missing_parts).order_by(tables.missing_parts.c.name))
            ]

    def read_dead(self, limit: int | None = None) -> list[DeadRow]:
        """Dead letters that are kept, the oldest first."""
        columns = [column for column in tables.dead_letters.c if column.name != "id"]
        with self._reading() as connection:
            query = sa.select(*columns).order_by(tables.dead_letters.c.id).limit(limit)
            return [DeadRow(*row) for row in connection.execute(query)]

    def read_dead_raw(self, row: DeadRow) -> bytes | None:
        """The raw record of a dead letter; None where it was erased. Raises `Corrupt`."""
        return self._dead.raw(row)

    def read_dead_counts(self) -> dict[str, dict[str, int]]:
        """source -> reason -> count, also of those that were not kept."""
        found: dict[str, dict[str, int]] = {}
        table = tables.dead_counts
        with self._reading() as connection:
            for source, reason, count in connection.execute(sa.select(table).order_by(table.c.source, table.c.reason)):
                found.setdefault(source, {})[reason] = count
        return found

    def reconcile(self, journal: JournalCounts) -> list[Problem]:
        """Compare the ledger with itself, the dead letters and the journal; an empty list proves that they agree."""
        position = self.position()
        counts, dead = self.read_ledger(), self.read_dead_counts()
        problems: list[Problem] = []

        def compare(slug: str, what: str, left: int, right: int) -> None:
            if left != right:
                problems.append(Problem(f"ledger.{slug}", f"{what}: {left} and {right} differ"))

        for source, names in counts.items():
            of = {name: names.get(name, 0) for name in LEDGER_COUNTS}
            told = of["decided"] + of["duplicate"] + of["dead_lettered"] + of["facts"] + of["labels"]
            compare("read", f"source {source!r}: records read, and what became of them", of["read"], told)
            listed = sum(dead.get(source, {}).values())
            compare("dead", f"source {source!r}: dead-lettered, and dead letters", of["dead_lettered"], listed)
            for part, whole in _PARTS:
                if of[part] > of[whole]:
                    message = f"source {source!r}: {part} is {of[part]}, more than the {of[whole]} {whole}"
                    problems.append(Problem("ledger.part", message))
        decided_to = position.next_seq if position else 0
        if decided_to != journal.next_seq:
            word = "behind" if decided_to < journal.next_seq else "ahead"
            message = f"the store has decided {decided_to} records, the journal has {journal.next_seq}"
            problems.append(Problem(f"ledger.{word}", message))
            return problems
        total = {name: sum(names.get(name, 0) for names in counts.values()) for name in LEDGER_COUNTS}
        events = journal.events + journal.dropped_events
        duplicates = journal.duplicates + journal.dropped_duplicates
        controls = journal.controls + journal.dropped_controls
        compare("decided", "events decided, and events in the journal", total["decided"], events)
        compare("duplicate", "duplicates counted, and in the journal", total["duplicate"], duplicates)
        compare("control", "control records counted, and in the journal", total["control"], controls)
        kept = self.count_open() + total["settled"] + total["closed"]
        compare("deferred", "decisions deferred, and those open, settled or closed", total["deferred"], kept)
        compare(
            "seqs", "all records of the journal, and its next seq", events + duplicates + controls, journal.next_seq
        )
        return problems

    def set_outbox_state(self, keys: Sequence[tuple[str, int, str, int]], state: str) -> int:
        """Change the state of outbox entries by key; returns how many there were."""
        if state not in OUTBOX_STATES:
            raise InvalidInput(_state_problem(state))
        table, changed = tables.outbox, 0
        with self._writing() as connection:
            for subject_type, subject_id, action, seq in keys:
                which = sa.and_(
                    table.c.subject_type == subject_type, table.c.subject_id == subject_id, table.c.action == action,
                    table.c.seq == seq,
                )  # fmt: skip
                changed += connection.execute(sa.update(table).where(which).values(state=state)).rowcount
        return changed

    def erase(self, texts: Collection[str], identity: Identity) -> int:
        """Take texts (of a person or thing) out of decisions, outbox and dead letters; returns how many rows changed.

        A subject becomes its erased form, whose id is the same; reasons and bodies that mention a text become `null`.
        """
        changed = 0
        with self._writing() as connection:
            for text in texts:
                for table, column in (
                    (tables.decisions, tables.decisions.c.reasons),
                    (tables.outbox, tables.outbox.c.body),
                ):
                    named = sa.or_(table.c.subject == text, self._mentions(column, [text]))
                    subject = sa.case((table.c.subject == text, identity.erased(text)), else_=table.c.subject)
                    values = {"subject": subject, column.name: "null"}
                    changed += connection.execute(sa.update(table).where(named).values(values)).rowcount
            told = self._mentions(tables.revisions.c.known, texts)
            changed += connection.execute(sa.update(tables.revisions).where(told).values(known="{}")).rowcount
            connection.execute(
                sa.update(tables.dead_letters)
                .where(self._mentions(tables.dead_letters.c.detail, texts))
                .values(detail="")
            )
        return changed + sum(self._dead.erase(row, texts) for row in self.read_dead())

    def _mentions(self, column: sa.Column[str], texts: Collection[str]) -> sa.ColumnElement[bool]:
        """Whether a text stands in the column; unlike LIKE, which SQLite compares without case, alike on both."""
        find = sa.func.strpos if self._engine.dialect.name == "postgresql" else sa.func.instr
        forms = sorted({form for text in texts for form in forms_of(text) if form})
        return sa.or_(sa.false(), *(find(column, sa.literal(form, StoredText())) > 0 for form in forms))


def _state_problem(state: str) -> Problem:
    near = nearest_name(state, OUTBOX_STATES)
    return Problem("store.outbox_state", f"outbox state {state!r}", allowed=", ".join(OUTBOX_STATES), nearest=near)


def _batch_problems(batch: CommitBatch) -> list[Problem]:
    problems = []
    low, high = batch.from_seq, batch.position.next_seq
    if high < low or low < 0:
        problems.append(Problem("store.backwards", f"a batch from record {low} to {high}"))
    for source, names in batch.ledger.items():
        for name, count in names.items():
            if name not in LEDGER_COUNTS:
                allowed, near = ", ".join(LEDGER_COUNTS), nearest_name(name, LEDGER_COUNTS)
                problems.append(Problem("store.ledger_name", f"unknown count {name!r}", allowed=allowed, nearest=near))
            if count < 0:
                problems.append(Problem("store.ledger_count", f"source {source!r}: {name} is {count}", allowed=">= 0"))
    problems += [_state_problem(state) for state in {row.state for row in batch.outbox} - set(OUTBOX_STATES)]
    wide = [row for row in batch.decisions[:1] if len(row) != len(DecisionRow._fields)]
    if wide:
        problems.append(Problem("store.decision_row", f"a decision of {len(wide[0])} values"))
    return problems
