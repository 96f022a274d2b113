"""Behaviour: an account against its own past and against its peers, what it does and in which order.

`EntityBaseline` (amounts) and `SequenceSurprise` (order) are signals; see docs/behaviour.md.
"""

from shoal.detectors.behaviour.baseline import EntityBaseline
from shoal.detectors.behaviour.sequence import SequenceSurprise

__all__ = ["EntityBaseline", "SequenceSurprise"]
