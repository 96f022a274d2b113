"""Parts of a deployment that go missing and come back, and the journal records that say so.

`Tables` are the enrichment tables that the settings name, those that could be read and those that could not. `Parts`
compares them with what the journal says, writes `part.missing` and `part.back`, and, once the engine has said which
open
events a part concerns, looks their columns up and journals them as `part.joined`: a revision rests on that record,
never
on the table. A table that vanishes while it is in memory goes on being used; it is missed at the next start.
"""

from __future__ import annotations

import queue
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from shoal.enrich.enricher import Enricher
from shoal.enrich.tables import TABLE_COLUMNS, EnrichmentTable, read_table
from shoal.errors import InvalidInput, Problem, nearest_name
from shoal.events.schema import BY_NAME
from shoal.runtime.columns import one_chunk
from shoal.runtime.revise.causes import BACK, JOINED, MAX_NAME, MISSING, PART_KINDS, TABLE_PART, joined_body, part_body
from shoal.runtime.revise.open import MissingPart
from shoal.storage.frames import Group

if TYPE_CHECKING:
    from shoal.runtime.deployment import Deployment

DETECTOR = "detector"
Join = Callable[[pa.Table], pa.Table]
"""Events in, the same rows with the columns that a part gives out."""


@dataclass
class Tables:
    """The enrichment tables of the settings, by their paths; `why`: those that cannot be read, with the reason."""

    paths: tuple[str, ...] = ()
    readable: dict[str, EnrichmentTable] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, paths: Sequence[str], *, allow_missing: bool) -> Tables:
        """Read all; raises `InvalidInput` with the problems of all, unless some may be missing."""
        tables = cls(tuple(paths))
        problems: list[Problem] = []
        for path in paths:
            problems += tables.try_one(path)
        if problems and not allow_missing:
            raise InvalidInput(problems)
        return tables

    def try_one(self, path: str) -> list[Problem]:
        """Read one (again); returns why it cannot be read."""
        try:
            self.readable[path] = read_table(Path(path))
        except InvalidInput as error:
            first = error.problems[0]
            more = f" (and {len(error.problems) - 1} more problems)" if len(error.problems) > 1 else ""
            self.why[path] = f"{first.message} [{first.slug}]{more}"
            return list(error.problems)
        self.why.pop(path, None)
        return []

    def enricher(self) -> Enricher:
        """The enricher of those that can be read, in the order of the settings."""
        return Enricher([self.readable[path] for path in self.paths if path in self.readable])


class Parts:
    """See the module. `ask` is called by the deciding thread; all else by the one that writes the journal."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self.tables = Tables()
        self._joins: dict[str, Join] = {}
        self._asked: queue.SimpleQueue[tuple[str, list[int]]] = queue.SimpleQueue()

    @property
    def known(self) -> Mapping[str, MissingPart]:
        """The missing parts at the place where the engine is."""
        reviser = self._deployment.running.reviser
        return reviser.open.parts if reviser is not None else {}

    def ask(self, wants: Mapping[str, list[int]]) -> None:
        """The engine asks for the columns that these parts give for these open events."""
        for name, seqs in wants.items():
            self._asked.put((name, seqs))

    def note(self) -> None:
        """Write down which tables went or came since the journal last said so. Nothing may be under way."""
        reviser = self._deployment.running.reviser
        if reviser is None:
            return
        for path, why in self.tables.why.items():
            self._deployment.notes.append(f"the enrichment table {path} is missing: {why}")
            self.missing(path, TABLE_COLUMNS, kind=TABLE_PART, why=why)
        for name, part in list(self.known.items()):
            if part.kind == TABLE_PART and name not in self.tables.why:
                listed = name in self.tables.readable
                self._process(BACK, part_body(name, part.kind, part.columns, "" if listed else "no longer listed"))
        self.ask(reviser.open.wants())  # also what an earlier process was asked for and did not journal
        self.settle()

    def missing(self, name: str, columns: Collection[str], *, kind: str, why: str) -> None:
        """Record a missing part; nothing may be under way. Raises `InvalidInput`."""
        problems = []
        if not 0 < len(name) <= MAX_NAME:
            problems.append(Problem("part.name", "a part needs a name", allowed=f"1 to {MAX_NAME} characters"))
        if kind not in PART_KINDS:
            allowed = ", ".join(PART_KINDS)
            problems.append(Problem("part.kind", f"no kind {kind!r}", allowed=allowed,
                                    nearest=nearest_name(kind, PART_KINDS)))  # fmt: skip
        if not columns:
            problems.append(Problem("part.columns", f"part {name!r} feeds no column"))
        for column in sorted(set(columns) - set(BY_NAME)):
            near = nearest_name(column, BY_NAME)
            problems.append(Problem("part.columns", f"no column {column!r}", nearest=near))
        if problems:
            raise InvalidInput(problems)
        if name not in self.known:
            self._process(MISSING, part_body(name, kind, columns, why))

    def back(self, name: str, join: Join | None = None) -> None:
        """Record that a part is back, and have its columns joined; nothing may be under way. Raises `InvalidInput`."""
        part = self.known.get(name)
        if part is None:
            near = nearest_name(name, self.known)
            raise InvalidInput(Problem("part.not_missing", f"the part {name!r} is not missing", nearest=near))
        if join is not None:
            self._joins[name] = join
        self._process(BACK, part_body(name, part.kind, part.columns))
        self.settle()

    def _process(self, kind: str, body: dict[str, object]) -> None:
        self._deployment.process(self._deployment.writer.control(kind, body))

    def settle(self) -> None:
        """Journal and decide what was asked for; nothing may be under way."""
        for group in self.joined():
            self._deployment.process(group)

    def joined(self) -> Iterator[Group]:
        """Journal what was asked for; the groups are to be decided in order."""
        while True:
            try:
                name, seqs = self._asked.get_nowait()
            except queue.Empty:
                return
            table = self._look_up(name, seqs)
            if table is not None:
                yield self._deployment.writer.control(JOINED, joined_body(name, table))

    def retry(self) -> Iterator[Group]:
        """Try the tables that are missing again, while a stream runs."""
        for path in list(self.tables.why):
            if not self.tables.try_one(path):
                self._deployment.writer.enricher = self.tables.enricher()
                body = part_body(path, TABLE_PART, TABLE_COLUMNS)
                self._deployment.notes.append(f"the enrichment table {path} is back")
                yield self._deployment.writer.control(BACK, body)

    def _look_up(self, name: str, seqs: list[int]) -> pa.Table | None:
        """The columns that a part gives for events; None where it gives none (any more)."""
        journal = self._deployment.journal
        kept = np.array([seq for seq in seqs if seq >= journal.first_seq], np.int64)
        join = self._joins.get(name)
        if join is None and name in self.tables.readable:
            join = Enricher([self.tables.readable[name]]).enrich
        if join is None or not len(kept):
            return None
        events = journal.rows(kept)
        found = join(events)
        columns = {"seq": one_chunk(events, "seq")}
        for column in found.column_names:
            if column == "seq" or column not in BY_NAME or column == "enrichment":
                continue
            new = one_chunk(found, column)
            if column in events.column_names:
                had = one_chunk(events, column)
                new = pc.if_else(had.is_valid(), pa.scalar(None, new.type), new)
            if new.null_count < len(new):
                columns[column] = new
        return pa.table(columns)
