"""Reasons of fitted detectors: behind the words of a rule that reads a score stand the inputs that raised it.

Computed for the hits that are shown alone. Holds no state.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from shoal.detectors.models.serving import Serving
from shoal.expressions.frame import Frame
from shoal.policy.decisions import Decisions
from shoal.rules.rules import RuleSet, unpack_bits


def with_reasons(decisions: Decisions, models: Serving, rules: RuleSet, frame: Frame) -> Decisions:
    """The decisions, with what raised the scores that their rules read."""
    hits = decisions.hits
    shown = np.array(sorted(hits.reasons), dtype=np.int64)
    if not len(shown):
        return decisions
    matched = unpack_bits(hits.rules[shown], len(rules.rules))
    reasons = dict(hits.reasons)
    for name in models.in_force:
        columns = set(models.definitions[name].columns)
        readers = [place for place, one in enumerate(rules.expressions) if one.columns & columns]
        chosen = shown[matched[readers].any(axis=0)] if readers else shown[:0]
        if len(chosen):
            for hit, words in zip(chosen.tolist(), models.why(name, frame, hits.row[chosen]), strict=True):
                reasons[hit] = (*reasons[hit], *words)
    return replace(decisions, hits=replace(hits, reasons=reasons))
