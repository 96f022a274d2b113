"""The relational store: what one batch changes, in one transaction.

The journal position, the mark of the decision log, source offsets, ledger counts, decisions above `allow`, the outbox
and the dead letters. SQLAlchemy Core 2 over SQLite (WAL, synchronous=FULL); the statements are the same for PostgreSQL.
The hot inserts go through the driver's own executemany. Dead letters' raw bytes stand in an NDJSON file beside the
database, whose length belongs to the transaction. One process commits; others may read.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from shoal.errors import Corrupt, InvalidInput, Permanent, Problem, Temporary, Unsupported, nearest_name
from shoal.events.identity import Identity
from shoal.storage.deadfile import DeadFile, DeadRow, RawDeadLetter
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

    def __init__(self, engine: sa.Engine, dead: DeadFile, *, read_only: bool) -> None:
        """Use `Store.open`."""
        self._engine, self._dead, self.read_only = engine, dead, read_only
        self._write = engine.execution_options(shoal_write=True)
        self._insert_decisions = _Statement(engine, tables.decisions)
        self._insert_outbox = _Statement(engine, tables.outbox)
        self._add_ledger = _Statement(engine, tables.ledger, ("source", "name"), add=True)
        self._add_dead_counts = _Statement(engine, tables.dead_counts, ("source", "reason"), add=True)
        self._set_offsets = _Statement(engine, tables.source_offsets, ("source", "partition"))
        self._insert_revisions = _Statement(engine, tables.revisions)
        self._set_open = _Statement(engine, tables.open_decisions, ("seq",))
        self._set_missing = _Statement(engine, tables.missing_parts, ("name",))
        self._set_position = _Statement(engine, tables.position, ("id",))
        self._position_text = str(sa.select(tables.position).compile(dialect=engine.dialect))

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

        `where`: a path (SQLite there) or a database URL; `dead_letters`: their NDJSON file, by default beside the
        database. Of dead letters at most `max_dead_rows` rows and `max_dead_bytes` are kept; all are counted. Raises
        `Unsupported` for a schema of a later release, `Corrupt` when the file is no database.
        """
        url, file = _where(where)
        beside = dead_letters or (file.with_name("dead-letters.ndjson") if file else None)
        if beside is None:
            raise InvalidInput(Problem("store.dead_letters", "a store by URL needs a path for its dead letters"))
        if file is not None:
            if read_only and not file.exists():
                raise InvalidInput(Problem("store.missing", f"there is no store at {file}"))
            file.parent.mkdir(parents=True, exist_ok=True)
        engine = _engine(url)
        try:
            with _errors(str(where)):
                _migrate(engine, read_only=read_only)
            return cls(engine, DeadFile(beside, max_dead_rows, max_dead_bytes), read_only=read_only)
        except BaseException:
            engine.dispose()
            raise

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        with _errors(str(self._engine.url)), self._engine.connect() as connection:
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
        if self.read_only:
            raise Permanent("the store is open read-only")
        problems = _batch_problems(batch)
        if problems:
            raise InvalidInput(problems)
        with _errors(str(self._engine.url)), self._write.begin() as connection:
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
        query = sa.select(table).where(table.c.seq >= from_seq).order_by(table.c.seq, table.c.revision)
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
        with _errors(str(self._engine.url)), self._write.begin() as connection:
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
        with _errors(str(self._engine.url)), self._write.begin() as connection:
            for text in texts:
                for table, column in (
                    (tables.decisions, tables.decisions.c.reasons),
                    (tables.outbox, tables.outbox.c.body),
                ):
                    named = sa.or_(table.c.subject == text, column.contains(text, autoescape=True))
                    subject = sa.case((table.c.subject == text, identity.erased(text)), else_=table.c.subject)
                    values = {"subject": subject, column.name: "null"}
                    changed += connection.execute(sa.update(table).where(named).values(values)).rowcount
                told = tables.revisions.c.known.contains(text, autoescape=True)
                changed += connection.execute(sa.update(tables.revisions).where(told).values(known="{}")).rowcount
            connection.execute(
                sa.update(tables.dead_letters)
                .where(sa.or_(sa.false(), *(tables.dead_letters.c.detail.contains(t, autoescape=True) for t in texts)))
                .values(detail="")
            )
        return changed + sum(self._dead.erase(row, texts) for row in self.read_dead())


def _where(where: str | Path) -> tuple[sa.URL, Path | None]:
    if isinstance(where, str) and "://" in where:
        try:
            url = sa.make_url(where)
        except sa.exc.ArgumentError as error:
            raise InvalidInput(Problem("store.url", "this is no database URL")) from error
        if url.get_backend_name() != "sqlite":
            raise Unsupported(f"store on {url.get_backend_name()}: this release has SQLite alone")
        return url, Path(url.database) if url.database else None
    return sa.URL.create("sqlite", database=str(where)), Path(where)


def _engine(url: sa.URL) -> sa.Engine:
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


def _migrate(engine: sa.Engine, *, read_only: bool) -> None:
    with engine.connect() as connection:
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
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    with engine.execution_options(shoal_write=True).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


@contextmanager
def _errors(where: str) -> Iterator[None]:
    """Database errors as ours. Values are never shown: they may be personal."""
    try:
        yield
    except IntegrityError as error:
        raise Permanent(f"{where}: an entry is there already, or lacks a value: {error.orig}") from None
    except OperationalError as error:
        raise Temporary(f"{where}: {error.orig}") from None
    except DBAPIError as error:
        raise Corrupt(f"{where}: {error.orig}") from None


class _Statement:
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

    def run(self, connection: sa.Connection, rows: Sequence[tuple[Any, ...]]) -> None:
        """Insert rows whose values stand in the order of the table's columns."""
        if not rows:
            return
        if self._names is None:  # plain tuples: SQLite binds them a fifth faster than named ones
            connection.exec_driver_sql(self._text, list(map(tuple, rows)))
        else:
            connection.exec_driver_sql(self._text, [dict(zip(self._names, row, strict=True)) for row in rows])


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
