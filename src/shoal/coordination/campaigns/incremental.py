"""Re-clustering of what was touched only: an hourly run costs what changed, not what there is.

Accounts with new edges make their components dirty, and so does a campaign that lies across a dirty one; all else stays
as it was told. On the dirty parts the result is that of a full run (`find`), because what comes out of a component does
not depend on the others. Two things do move everybody a little, and wait for the next full run: the prior (number of
accounts) and how usual a day of creation is. Pure; what was found before is handed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from shoal.coordination.campaigns.campaign import Campaign
from shoal.coordination.campaigns.find import Describe, Judge, assemble, candidates, ranked
from shoal.coordination.campaigns.fuse import CampaignSettings, Fused, fuse
from shoal.coordination.campaigns.groups import tied_components
from shoal.coordination.evidence import PairEvidence, empty
from shoal.coordination.graph.graph import EntityGraph
from shoal.errors import InvalidInput, Problem, Where

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Refreshed:
    """`campaigns`: all, the most probable first. `accounts`: how many were clustered anew; `formed`: how many
    campaigns came of them; `kept`: how many stayed as they were."""

    campaigns: tuple[Campaign, ...]
    accounts: int
    formed: int
    kept: int


def patch(before: Sequence[PairEvidence], new: Sequence[PairEvidence], touched: Bools) -> list[PairEvidence]:
    """Evidence with the pairs of touched accounts replaced. `new`: all pairs with a touched end, of all sources;
    `touched` bool [accounts] over the codes of both. Costs one pass over the pairs."""
    out = []
    was, now = _named(before), _named(new)
    for key in dict.fromkeys((*was, *now)):
        source, hard = key[0], key[1]
        old = was.get(key) or empty(source, hard=hard)
        add = now.get(key) or empty(source, hard=hard)
        keep = ~(touched[old.left] | touched[old.right])
        left, right = np.r_[old.left[keep], add.left], np.r_[old.right[keep], add.right]
        order = np.lexsort((right, left))
        out.append(
            PairEvidence(
                source, left[order], right[order], np.r_[old.llr[keep], add.llr][order],
                np.r_[old.support[keep], add.support][order], hard,
            )
        )  # fmt: skip
    return out


def _named(pairs: Sequence[PairEvidence]) -> dict[tuple[str, bool, int], PairEvidence]:
    """Evidence by source, strength, and the how manyth of these it is."""
    out: dict[tuple[str, bool, int], PairEvidence] = {}
    for one in pairs:
        number = sum(key[:2] == (one.source, one.hard) for key in out)
        out[one.source, one.hard, number] = one
    return out


def dirty_accounts(
    graph: EntityGraph, fused: Fused, before: Sequence[Campaign], touched: Ints, settings: CampaignSettings
) -> Bools:
    """Accounts whose components must be clustered anew, bool [accounts]: those with a touched account, those that a
    campaign with a dirty member reaches into, and so on until nothing is added."""
    problems = []
    if len(touched) and (touched.min() < 0 or touched.max() >= graph.accounts):
        allowed = f"0 to {graph.accounts - 1}" if graph.accounts else "none: the graph is empty"
        problems.append(
            Problem("campaigns.unknown_account", "a touched account is unknown", Where(path="touched"), allowed=allowed)
        )
    if problems:
        raise InvalidInput(problems)
    if not graph.accounts:
        return np.zeros(0, bool)
    label = tied_components(fused, settings)
    dirty = np.zeros(int(label.max()) + 1, bool)
    dirty[label[touched]] = True
    members = [graph.codes(np.array([m.account for m in one.members], np.int64)) for one in before]
    waiting = list(range(len(before)))
    while True:
        reached = [at for at in waiting if (members[at] < 0).any() or dirty[label[members[at]]].any()]
        if not reached:
            return np.asarray(dirty[label], bool)
        for at in reached:
            dirty[label[members[at][members[at] >= 0]]] = True
        waiting = [at for at in waiting if at not in set(reached)]


def recluster(
    graph: EntityGraph,
    pairs: Sequence[PairEvidence],
    before: Sequence[Campaign],
    touched: Ints,
    settings: CampaignSettings | None = None,
    *,
    scores: Floats | None = None,
    created: Ints | None = None,
    model: Judge | None = None,
    caps: Mapping[str, float] | None = None,
    describe: Describe | None = None,
) -> Refreshed:
    """Campaigns after a change: `before` as last told, `touched` int64: codes of accounts with new edges.

    Other arguments are those of `find`, as of now. Campaigns formed anew have fresh ids: give both to
    `identity.carry`. Raises `InvalidInput` for a touched account that is unknown, and as `find` does.
    """
    chosen = settings or CampaignSettings()
    fused = fuse(pairs, chosen, graph.accounts)
    among = dirty_accounts(graph, fused, before, touched, chosen)
    kept = [one for one in before if not _reached(graph, one, among)]
    if not among.any():
        return Refreshed(ranked(kept), 0, 0, len(kept))
    inner = fused.chosen(among[fused.left] & among[fused.right])
    made = candidates(
        graph, inner, chosen, scores=scores, created=created, model=model, caps=caps, among=among
    )  # fmt: skip
    formed = assemble(made, chosen, describe)
    return Refreshed(ranked([*formed, *kept]), int(among.sum()), len(formed), len(kept))


def _reached(graph: EntityGraph, campaign: Campaign, among: Bools) -> bool:
    codes = graph.codes(np.array([one.account for one in campaign.members], np.int64))
    return bool((codes < 0).any() or among[codes].any())


def restamped(campaigns: Sequence[Campaign], read: int) -> tuple[Campaign, ...]:
    """The same campaigns, resting on `read` records: for those that a run has looked at and left as they were."""
    return tuple(replace(one, read=read) for one in campaigns)
