"""The kinds of signals by name: what a pack may write as `kind:`. A new kind is one line here."""

from __future__ import annotations

from collections.abc import Mapping

from shoal.detectors.anomaly.streaming.signal import StreamAnomaly
from shoal.detectors.behaviour.baseline import EntityBaseline
from shoal.detectors.behaviour.profile import BehaviourEmbedding
from shoal.detectors.behaviour.sequence import SequenceSurprise
from shoal.detectors.bursts.signal import EdgeBurst
from shoal.detectors.membership.signal import CampaignMembership
from shoal.detectors.signals import Output, Signal, SignalDefinition
from shoal.detectors.takeover.likelihood import LoginLikelihood
from shoal.detectors.takeover.segments import LoginSegments

KINDS: Mapping[str, type[Signal]] = {
    CampaignMembership.kind: CampaignMembership,
    BehaviourEmbedding.kind: BehaviourEmbedding,
    EdgeBurst.kind: EdgeBurst,
    EntityBaseline.kind: EntityBaseline,
    LoginLikelihood.kind: LoginLikelihood,
    LoginSegments.kind: LoginSegments,
    SequenceSurprise.kind: SequenceSurprise,
    StreamAnomaly.kind: StreamAnomaly,
}


def signal_columns(definition: SignalDefinition) -> dict[str, Output]:
    """The columns of a signal under their full names, `<id>.<output>`."""
    outputs = KINDS[definition.kind].outputs(definition.settings)
    return {f"{definition.id}.{name}": output for name, output in outputs.items()}
