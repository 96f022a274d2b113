"""What the policy yields for a batch: struct of arrays, sized by what matched.

`Decisions` has one line a row for the tier and the packed rule bits; `Hits` one line for each (row, threat, subject)
that a rule matched, in seq order; `Outbox` one line for each action planned. Texts of subjects and reasons are taken
from the frame while it is there, so that a `Decisions` outlives its frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Int64s = npt.NDArray[np.int64]
Int8s = npt.NDArray[np.int8]
Bools = npt.NDArray[np.bool_]
Bits = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Hits:
    """One line for each (row, threat, subject); all arrays have length H."""

    row: Int64s  # row of the batch
    seq: Int64s
    as_of: Int64s
    threat: Int64s  # index into PolicyEngine.threats
    kind: Int64s  # index into PolicyEngine.kinds (account, ip, link, event, …)
    subject: Int64s  # keyed id of the subject's text; the seq where the kind is event
    text: tuple[str, ...]  # the subject's text; the event_id (or "seq:N") where the kind is event
    tier: Int8s
    severity: Int8s  # of the strongest rule that matched now
    families: Int64s  # independent rules within the evidence window, this row included
    fresh: Bools  # a rule that had not yet matched this subject for this threat within the window
    provisional: Bools
    suppressed: Int64s  # index of the allow entry that suppressed actions, -1: none
    rules: Bits  # [H, W] rules that matched
    reasons: Mapping[int, tuple[str, ...]]  # hit → one text a rule; for fresh hits and hits with an outbox line

    def __len__(self) -> int:
        return len(self.row)


@dataclass(frozen=True)
class Outbox:
    """One line for each action planned; all arrays have length A."""

    hit: Int64s
    seq: Int64s  # the causing record
    as_of: Int64s
    action: Int64s  # index into PolicyEngine.actions
    kind: Int64s
    subject: Int64s
    text: tuple[str, ...]
    until: Int64s  # end of the lease, µs

    def __len__(self) -> int:
        return len(self.hit)


@dataclass(frozen=True)
class Decisions:
    """The decision of each row of a batch; see the module's docstring."""

    tier: Int8s  # [n] as scored
    enforced: Int8s  # [n] after allow-lists: the highest tier of a hit that is not suppressed
    matched: Bits  # [n, W]
    unknown: Bits  # [n, W]
    provisional: Bools  # [n] a rule with on_unknown: defer was unknown
    hits: Hits
    outbox: Outbox
