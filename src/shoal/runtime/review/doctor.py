"""The doctor: is the deployment whole, and where did every record go?

Verifies the journal, reconciles the ledger with it, compares store, decisions and journal, and says which extras are
installed. Reads only.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from shoal import extras
from shoal.errors import Problem, ShoalError
from shoal.runtime.home import Home
from shoal.runtime.keep.history import History, cut_in_words
from shoal.storage.decisions import DecisionLog
from shoal.storage.journal import Journal
from shoal.storage.store import Store


@dataclass
class Checkup:
    """What the doctor found. `ledger`: source → count name → count."""

    records: int = 0
    events: int = 0
    duplicates: int = 0
    controls: int = 0
    decided: int = 0
    ledger: dict[str, dict[str, int]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    extras: dict[str, bool] = field(default_factory=extras.installed)


def check_up(home: Home) -> Checkup:
    """Examine a deployment; problems are returned, not raised."""
    found = Checkup()
    try:
        journal = Journal.open(home.journal, identity=home.identity, read_only=True)
        store = home.open_store(read_only=True)
        log = DecisionLog.open(home.decisions, read_only=True)
    except ShoalError as error:
        found.problems.append(Problem("doctor.open", str(error)))
        return found
    try:
        _examine(found, home, journal, store, log)
    except ShoalError as error:
        found.problems.append(Problem("doctor.read", str(error)))
    finally:
        log.close()
        store.close()
        journal.close()
    return found


def _examine(found: Checkup, home: Home, journal: Journal, store: Store, log: DecisionLog) -> None:
    for cut in journal.cuts:
        found.notes.append(f"journal {cut.file}: a torn tail of {cut.cut_bytes} bytes ({cut.reason})")
    report = journal.verify()
    found.problems += report.problems
    found.events, found.duplicates, found.controls = report.events, report.duplicates, report.controls
    found.records = found.events + found.duplicates + found.controls
    found.decided = sum(table.num_rows for table in log.read(journal.first_seq))
    if journal.first_seq:
        gone = journal.dropped
        found.notes.append(
            f"{gone.before_seq:,} records ({gone.events:,} events, {gone.duplicates:,} duplicates, {gone.controls:,} "
            f"control records) were dropped at {cut_in_words(journal)}; they stay counted, and their decisions above "
            "allow stay in the store"
        )
        found.problems += _state_problems(home, journal)
    found.ledger = store.read_ledger()
    position = store.position()
    done = position.next_seq if position else 0
    store.check_against(journal.next_seq)
    if done < journal.next_seq:
        found.notes.append(f"{journal.next_seq - done:,} journalled records wait to be decided: the next run does it")
        return
    for part in store.read_missing_parts():
        feeds = ", ".join(json.loads(part.columns))
        found.notes.append(
            f"the {part.kind} {part.name} is missing since record {part.since_seq:,}"
            f"{f' ({part.why})' if part.why else ''}; it feeds {feeds}"
        )
    waiting = store.count_open()
    if waiting:
        found.notes.append(f"{waiting:,} provisional decisions are open")
    found.problems += store.reconcile(journal.stats())
    if found.decided != found.events:
        found.problems.append(
            Problem("doctor.decisions", f"{found.events:,} events are journalled and {found.decided:,} decided")
        )


def _state_problems(home: Home, journal: Journal) -> list[Problem]:
    """Behind a retention cut all rests on snapshots: whether they can be used."""
    problems: list[Problem] = []
    with tempfile.TemporaryDirectory(prefix="shoal-doctor-") as place:
        history = History(home, journal, Path(place))
        for ask in (history.from_first, lambda: history.facts_at_or_before(journal.next_seq)):
            try:
                ask()
            except ShoalError as error:
                problems.append(Problem("doctor.snapshot", str(error), hint="restore snapshots/ from a backup"))
    return problems
