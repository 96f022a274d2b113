"""Fitting an embedding of behaviour on what a deployment's signal holds, and publishing it.

The signal keeps a bag of n-grams for each account from the first event on, so that nothing is replayed: what the engine
holds behind the journal's last record is what is learned from. Detectors that read the columns were fitted under the
embedding before and go out of force; they are told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from shoal.detectors.behaviour.embedding import NgramEmbedding, PeerGroups
from shoal.detectors.behaviour.profile import BehaviourEmbedding, fit_profile
from shoal.errors import InvalidInput, Problem, nearest_name
from shoal.runtime.deployment import Deployment
from shoal.runtime.learning.tables import publish_table


@dataclass(frozen=True)
class Embedded:
    """What was fitted. `record`: where it takes effect (-1: it was not published); `accounts`: how many it was fitted
    on; `sizes`: accounts in each group; `spread`: root mean square of the vectors' distances from their group's centre;
    `out_of_force`: fitted detectors that must be fitted again."""

    signal: str
    record: int
    accounts: int
    sizes: tuple[int, ...]
    spread: float
    out_of_force: tuple[str, ...]


def embed(
    deployment: Deployment, name: str, *, groups: int = 8, least: float = 3.0, seed: int = 0, publish: bool = True
) -> Embedded:
    """Fit the embedding of the signal `name` and publish it, unless told not to.

    Raises `InvalidInput` (`embed.unknown` where the pack has no such signal, and what `fit_profile` raises)."""
    engine = deployment.running
    known = {one.definition.id: one for one in engine.signals.signals if isinstance(one, BehaviourEmbedding)}
    if name not in known:
        message, allowed = f"the pack has no signal {name!r} of kind behaviour_embedding", ", ".join(known) or "none"
        raise InvalidInput(Problem("embed.unknown", message, allowed=allowed, nearest=nearest_name(name, known)))
    arrays = fit_profile(known[name], groups=groups, least=least, seed=seed)
    _, bags = known[name].bags()
    bags = bags[np.flatnonzero(np.asarray(bags.sum(axis=1)).ravel() >= least)]
    vectors = NgramEmbedding.of_arrays(arrays).vectors(bags)
    peers = PeerGroups.of_arrays(arrays)
    group = peers.assign(vectors)
    spread = float(np.sqrt(((vectors - peers.centres[group]) ** 2).sum(axis=1).mean()))
    served = set(engine.models.in_force)
    record = publish_table(deployment, name, arrays) if publish else -1
    gone = tuple(sorted(served - set(deployment.running.models.in_force)))
    sizes = tuple(np.bincount(group, minlength=groups).tolist())
    return Embedded(name, record, len(vectors), sizes, spread, gone)
