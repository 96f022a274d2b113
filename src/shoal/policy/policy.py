"""The policy engine: rule matches in, decisions out, in seq order. Hot path.

Owns two states, both keyed by subject and advanced in `seq` order, so that results do not depend on how the journal was
cut: the evidence (which rule families matched a subject for a threat within the window) and the leases (until when an
action on a subject is not planned again). Work is proportional to the rows that matched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from shoal.events.identity import Identity
from shoal.expressions.frame import Frame, Layout
from shoal.policy.decisions import Decisions
from shoal.policy.definitions import Policy
from shoal.rules.rules import Matches, RuleSet


class Stamped(Protocol):
    """What the policy reads of `features.engine.Stamps`."""

    seq: npt.NDArray[np.int64]
    as_of: npt.NDArray[np.int64]


class PolicyEngine:
    """A policy compiled for one rule set and layout."""

    threats: tuple[str, ...]
    kinds: tuple[str, ...]
    actions: tuple[str, ...]
    text_columns: frozenset[str]
    """Columns whose texts the frame must carry."""

    def __init__(
        self,
        policy: Policy,
        rules: RuleSet,
        layout: Layout,
        identity: Identity,
        lists: Mapping[str, Any] | None = None,
    ) -> None:
        raise NotImplementedError

    def decide(self, frame: Frame, matches: Matches, stamps: Stamped) -> Decisions:
        """Decide a batch; rows must be in seq order and follow those of earlier calls."""
        raise NotImplementedError

    def snapshot(self) -> bytes:
        """The state, with format name and version; equal states give equal bytes."""
        raise NotImplementedError

    def restore(self, data: bytes) -> None:
        """Take over a state; raises `Corrupt` or `Unsupported`."""
        raise NotImplementedError

    def warm(self) -> None:
        """Compile the kernels."""
        raise NotImplementedError


def rule_indices(words: npt.NDArray[np.uint64]) -> Sequence[int]:
    """Indices of the bits set in one row of packed words."""
    return [64 * w + b for w, word in enumerate(words.tolist()) for b in range(64) if word >> b & 1]
