"""Behaviour: an account against its own past and against its peers, what it does and in which order.

`EntityBaseline` (amounts), `SequenceSurprise` (order) and `BehaviourEmbedding` (kind of account) are signals; the last
takes up an `NgramEmbedding` and `PeerGroups` that were fitted offline. See docs/behaviour.md.
"""

from shoal.detectors.behaviour.baseline import EntityBaseline
from shoal.detectors.behaviour.embedding import NgramEmbedding, PeerGroups
from shoal.detectors.behaviour.profile import BehaviourEmbedding, fit_profile
from shoal.detectors.behaviour.sequence import SequenceSurprise

__all__ = ["BehaviourEmbedding", "EntityBaseline", "NgramEmbedding", "PeerGroups", "SequenceSurprise", "fit_profile"]
