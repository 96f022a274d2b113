"""Evidence about pairs: how much speaks for one hand behind two accounts, and from where.

Each finder (a relation of the graph, co-action, sign-up templates, shared content) gives one `PairEvidence` per source;
the fusion adds the log-likelihood ratios with a cap for each source, so that no single soft one decides. Accounts are
codes of one `EntityGraph`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class PairEvidence:
    """Pairs that one source speaks about; each pair at most once, `left < right`, sorted by (left, right).

    `source`: id of a relation, or of a finder (`coaction`, `signup`, `content`). `llr`: natural log of
    P(what is shared | one hand) / P(what is shared | strangers), float64 [pairs]; negative where it speaks against.
    `support`: how many shared things it rests on, int64 [pairs]. `hard`: rests on a hard link.
    """

    source: str
    left: Ints
    right: Ints
    llr: Floats
    support: Ints
    hard: bool = False

    def __post_init__(self) -> None:
        sizes = {len(self.left), len(self.right), len(self.llr), len(self.support)}
        if len(sizes) != 1:
            raise ValueError(f"pairs of unequal lengths: {sorted(sizes)}")

    @property
    def size(self) -> int:
        """Number of pairs."""
        return len(self.left)


def empty(source: str, *, hard: bool = False) -> PairEvidence:
    """No pairs of a source."""
    none = np.zeros(0, np.int64)
    return PairEvidence(source, none, none, np.zeros(0), none, hard)


def sources(found: Sequence[PairEvidence]) -> tuple[str, ...]:
    """The sources in their order, each once."""
    return tuple(dict.fromkeys(one.source for one in found))
