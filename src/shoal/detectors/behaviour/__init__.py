"""Behaviour: an account against its own past and against its peers, what it does and in which order.

`EntityBaseline` (amounts) and `SequenceSurprise` (order) are signals; `NgramEmbedding` and `PeerGroups` are fitted
offline and give inputs of models. See docs/behaviour.md.
"""

from shoal.detectors.behaviour.baseline import EntityBaseline
from shoal.detectors.behaviour.embedding import NgramEmbedding, PeerGroups
from shoal.detectors.behaviour.sequence import SequenceSurprise

__all__ = ["EntityBaseline", "NgramEmbedding", "PeerGroups", "SequenceSurprise"]
