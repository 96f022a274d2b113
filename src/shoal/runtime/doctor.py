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
from shoal.storage.frames import ControlFrame, DuplicateFrame, EventFrame
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
        store = Store.open(home.store)
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
    for frame in journal.read():
        if isinstance(frame, EventFrame):
            found.events += frame.table.num_rows
        elif isinstance(frame, DuplicateFrame):
            found.duplicates += len(frame.seqs)
        elif isinstance(frame, ControlFrame):
            found.controls += 1
    found.records = found.events + found.duplicates + found.controls
    found.decided = sum(table.num_rows for table in log.read())
    found.ledger = store.read_ledger()
    position = store.position()
    done = position.next_seq if position else 0
    store.check_against(journal.next_seq)
    if done < journal.next_seq:
        found.notes.append(f"{journal.next_seq - done:,} journalled records wait to be decided: the next run does it")
        return
    found.problems += store.reconcile(
        events=found.events, duplicates=found.duplicates, controls=found.controls, next_seq=journal.next_seq
    )
    if found.decided != found.events:
        found.problems.append(
            Problem("doctor.decisions", f"{found.events:,} events are journalled and {found.decided:,} decided")
        )
    for source, counts in found.ledger.items():
        read = counts.get("read", 0)
        parts = sum(counts.get(name, 0) for name in ("decided", "duplicate", "dead_lettered", "facts", "labels"))
        if source and read != parts:
            found.problems.append(
                Problem("doctor.conservation", f"{source}: {read:,} records read, {parts:,} accounted for")
            )
