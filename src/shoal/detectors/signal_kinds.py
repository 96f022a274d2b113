"""The kinds of signals by name: what a pack may write as `kind:`. A new kind is one line here."""

from __future__ import annotations

from collections.abc import Mapping

from shoal.detectors.behaviour import EntityBaseline, SequenceSurprise
from shoal.detectors.signals import Signal

KINDS: Mapping[str, type[Signal]] = {
    EntityBaseline.kind: EntityBaseline,
    SequenceSurprise.kind: SequenceSurprise,
}
