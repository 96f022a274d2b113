"""Small journals for the tests."""

import numpy as np
import pyarrow as pa

from shoal.events.identity import Identity
from shoal.storage.frames import ControlFrame, DuplicateFrame, EventFrame
from shoal.storage.journal import Journal

IDENTITY = Identity(b"sixteen byte key")


def open_journal(folder, **settings):
    return Journal.open(folder, **{"identity": IDENTITY, "segment_bytes": 64 << 10} | settings)


def events(seqs, **columns):
    """An event table with those seqs; as_of = time = 1000 + seq."""
    seqs = np.array(list(seqs), dtype=np.int64)
    base = {
        "seq": seqs,
        "as_of": seqs + 1000,
        "event_id": pa.array([f"e{seq}" for seq in seqs]),
        "time": seqs + 1000,
        "type": pa.array(["login.succeeded"] * len(seqs), pa.string()),
        "account": pa.array([f"u{seq % 7}" for seq in seqs]),
        "size_bytes": pa.array([None if seq % 3 else int(seq) for seq in seqs], pa.int64()),
    }
    return pa.table(base | columns)


def write_mixed(journal, groups, per_group=5):
    """Groups of events with a duplicate and a control record among them, one sync each."""
    for _ in range(groups):
        first = journal.next_seq
        control, twin, last = first + 1, first + 3, first + per_group
        own = [seq for seq in range(first, last) if seq not in (control, twin)]
        journal.append_events(events(own), np.array(own, dtype=np.int64) * 7)
        journal.append_duplicates(np.array([twin]), np.array([first]))
        journal.append_control(control, control + 1000, "facts", {"n": control, "table": pa.table({"a": [control]})})
        journal.sync()


def content(frames):
    """Everything that was read, as comparable Python rows in seq order."""
    rows = []
    for frame in frames:
        if isinstance(frame, EventFrame):
            for row, body in zip(frame.table.to_pylist(), frame.bodies.tolist(), strict=True):
                kept = {name: value for name, value in row.items() if value is not None}
                rows.append((row["seq"], "event", kept, body))
        elif isinstance(frame, DuplicateFrame):
            rows += [
                (seq, "duplicate", original)
                for seq, original in zip(frame.seqs.tolist(), frame.originals.tolist(), strict=True)
            ]
        else:
            assert isinstance(frame, ControlFrame)
            body = {k: v.to_pydict() if isinstance(v, pa.Table) else v for k, v in frame.body.items()}
            rows.append((frame.seq, frame.kind, frame.as_of, body))
    return sorted(rows, key=lambda row: row[0])
