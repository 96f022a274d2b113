"""The slow twin of deduplication: a dict of lists, straight from FEATURES.md point 4.

An accepted event counts while its `as_of` lies within the horizon; beyond the hot hour (or the last `max_hot` records)
only with the same `time`. The same body wins, then the largest seq. Duplicates and conflicts change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class SlowDedupe:
    horizon_us: int
    hot_us: int
    max_hot: int = 1 << 60
    as_of: int = -(1 << 62)
    next_seq: int = 0
    accepted: dict[str, list[tuple[int, int, int, int]]] = field(default_factory=dict)  # id: (seq, body, time, as_of)

    def judge(self, event_id: str | None, body: int, time: int) -> tuple[str, int, int]:
        """(verdict, seq, original or -1)."""
        now = max(self.as_of, time)
        candidates = []
        for entry in self.accepted.get(event_id, []) if event_id is not None else []:
            seq, _, then, as_of = entry
            if now - as_of > self.horizon_us:
                continue
            hot = now - as_of <= self.hot_us and self.next_seq - seq <= self.max_hot
            if hot or then == time:
                candidates.append(entry)
        same = [seq for seq, other, _, _ in candidates if other == body]
        if same:
            self.next_seq += 1
            return "duplicate", self.next_seq - 1, max(same)
        if candidates:
            self.next_seq += 1
            return "conflict", self.next_seq - 1, max(seq for seq, *_ in candidates)
        self.as_of = now
        seq = self.next_seq
        self.next_seq += 1
        if event_id is not None:
            self.accepted.setdefault(event_id, []).append((seq, body, time, now))
        return "new", seq, -1
