"""Publishing arrays for a signal: they become a record of the journal and are used from there on.

The way of whatever is found offline and read online (an embedding, peers, campaigns). Before it is written the signal
in force says what is wrong with the arrays, so that a record that is not used later can only come of a change of the
pack. No arrays withdraw what is in force. Like `publish.py` for fitted detectors; holds nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoal.detectors.signal_tables import Tables, pack_tables, read_tables
from shoal.errors import InvalidInput, Problem, ShoalError, nearest_name
from shoal.runtime.deployment import Deployment
from shoal.runtime.engine import TABLES
from shoal.storage.frames import ControlFrame
from shoal.storage.journal import Journal


@dataclass(frozen=True)
class PublishedTable:
    """One record. `tables` is None where the record is damaged, with `why`; without arrays it withdraws."""

    seq: int
    as_of: int
    tables: Tables | None
    why: str = ""


def publish_table(deployment: Deployment, signal: str, arrays: Mapping[str, npt.NDArray[np.generic]]) -> int:
    """Publish arrays for the signal `signal` of the pack in force; returns their record. What is in use already writes
    nothing.

    Raises `InvalidInput` (`tables.*`, and what the signal finds wrong) for arrays that would not be used, or none.
    """
    if not arrays:
        hint = "to take what is published out of force: withdraw_table"
        raise InvalidInput(Problem("tables.none", "there are no arrays to publish", hint=hint))
    stage = deployment.running.signals
    body = pack_tables(stage.verify(signal, arrays), arrays)
    now = stage.tables.get(signal)
    if now is not None and now.sha256 == body["sha256"]:
        return now.seq
    group = deployment.writer.control(TABLES, body)
    deployment.process(group)
    return group.last_seq


def withdraw_table(deployment: Deployment, signal: str) -> int:
    """Take the tables of a signal out of force; returns the record. Raises `InvalidInput` where it uses none."""
    stage = deployment.running.signals
    definition = stage.verify(signal, {})
    if signal not in stage.tables:
        known = stage.tables
        message = f"the signal {signal!r} uses no published tables"
        near = nearest_name(signal, known)
        raise InvalidInput(Problem("tables.none", message, allowed=", ".join(known), nearest=near))
    group = deployment.writer.control(TABLES, pack_tables(definition, {}))
    deployment.process(group)
    return group.last_seq


def published_tables(journal: Journal) -> list[PublishedTable]:
    """All records of tables that the journal still holds, oldest first."""
    found = []
    for frame in journal.read():
        if isinstance(frame, ControlFrame) and frame.kind == TABLES:
            try:
                found.append(PublishedTable(frame.seq, frame.as_of, read_tables(frame.body)))
            except ShoalError as error:
                found.append(PublishedTable(frame.seq, frame.as_of, None, str(error)))
    return found
