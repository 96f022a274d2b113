"""The doctor: is the deployment whole, and where did every record go?

Verifies the journal, reconciles the ledger with it, compares store, decisions and journal, and says which extras are
installed. Reads only.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from shoal import extras
from shoal.errors import Problem, ShoalError
from shoal.runtime.home import Home
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
        _examine(found, journal, store, log)
    except ShoalError as error:
        found.problems.append(Problem("doctor.read", str(error)))
    finally:
        log.close()
        store.close()
        journal.close()
    return found


def _examine(found: Checkup, journal: Journal, store: Store, log: DecisionLog) -> None:
    for cut in journal.cuts:
        found.notes.append(f"journal {cut.file}: a torn tail of {cut.cut_bytes} bytes ({cut.reason})")
    report = journal.verify()
    found.problems += report.problems
    found.events, found.duplicates, found.controls = report.events, report.duplicates, report.controls
    found.records = found.events + found.duplicates + found.controls
    found.decided = sum(table.num_rows for table in log.read())
    found.ledger = store.read_ledger()
    position = store.position()
    done = position.next_seq if position else 0
    store.check_against(journal.next_seq)
    if done < journal.next_seq:
        found.notes.append(f"{journal.next_seq - done:,} journalled records wait to be decided: the next run does it")
        return
    found.problems += store.reconcile(journal.stats())
    if found.decided != found.events:
        found.problems.append(
            Problem("doctor.decisions", f"{found.events:,} events are journalled and {found.decided:,} decided")
        )
