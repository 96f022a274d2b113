"""Facts joined as of each event."""

from __future__ import annotations
from dataclasses import dataclass
import pyarrow as pa
from shoal.events.identity import Identity


@dataclass(frozen=True)
class RejectedFact:
    """A fact that was not taken: its index in the `facts` table given to `join`, a slug and a sentence."""

    index: int
    reason: str
    detail: str


class FactTable:
    """State of the facts, as of the last row seen."""

    rejected: tuple[RejectedFact, ...]

    def __init__(self, identity: Identity) -> None:
        raise NotImplementedError

    def join(self, events: pa.Table, facts: pa.Table | None = None) -> pa.Table:
        """Events (journal order) with the FACT columns added and owner, file_sha256, org, recipient_org filled where
        null. `facts`: subject_type, subject, name, value text; time int64 µs; `row` int64, index of the event row
        before which the fact stands (= num_rows: after the last). Rejected ones: `self.rejected` (of the last call)."""
        raise NotImplementedError

    def get(self, subject_type: str, subject: str) -> dict[str, object]:
        """The facts known of a subject now; empty where none."""
        raise NotImplementedError

    def snapshot(self) -> bytes:
        """The state as versioned, checksummed bytes."""
        raise NotImplementedError

    def restore(self, data: bytes) -> None:
        """Take the state of `snapshot`; raises Corrupt or Unsupported and then leaves the state as it was."""
        raise NotImplementedError
