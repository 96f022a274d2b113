"""One run of the search for campaigns: gather, find evidence, form campaigns, keep their names, publish.

The first run reads the whole journal; a later one grows the graph by what is new, looks for evidence anew (the finders
are fast) and clusters only the parts of the graph that new evidence touches. What it cost is told by stage.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from shoal.coordination import coaction, content, templates
from shoal.coordination.campaigns.campaign import Campaign
from shoal.coordination.campaigns.find import Judge, find
from shoal.coordination.campaigns.fuse import CampaignSettings
from shoal.coordination.campaigns.identity import Carried, carry
from shoal.coordination.campaigns.incremental import recluster, restamped
from shoal.coordination.evidence import PairEvidence
from shoal.coordination.graph import EntityGraph, Known, hard_components, learn_hubs, relation_pairs, with_edges
from shoal.packs.pack import Pack
from shoal.runtime.coordination.gather import Gathered, gather, save
from shoal.runtime.coordination.published import Told, newest, publish
from shoal.runtime.deployment import Deployment
from shoal.runtime.home import Home
from shoal.storage.journal import Journal

DAY_US = 86_400_000_000
MOST_REFUSALS = 5
"""Hard links that were not let join large groups, told as notes."""


@dataclass(frozen=True)
class JobSettings:
    """`recent_us`: how far back sign-ups, means of payment and folders are compared. `anew`: build the graph and all
    campaigns from the beginning. `model`: judges campaigns as wholes (`learned.read_model`); None: the score is
    unsupervised."""

    recent_us: int = 30 * DAY_US
    anew: bool = False
    campaigns: CampaignSettings = field(default_factory=CampaignSettings)
    model: Judge | None = None
    coaction: coaction.CoActionSettings = field(default_factory=lambda: coaction.CoActionSettings(cap=300))


@dataclass
class Cost:
    """What a stage took: seconds of the process's CPU, and by the clock on the wall."""

    stage: str
    cpu_s: float
    wall_s: float


@dataclass(frozen=True)
class Run:
    """What a run did. `records`: how many were new; `touched`: accounts that were clustered anew (all: the number of
    accounts); `born`, `retired`: ids. `seq`: the record that published, None where nothing was."""

    campaigns: tuple[Campaign, ...]
    graph: EntityGraph
    pairs: Sequence[PairEvidence]
    records: int
    touched: int
    born: tuple[str, ...]
    retired: tuple[str, ...]
    merged: tuple[tuple[str, str], ...]
    costs: tuple[Cost, ...]
    notes: tuple[str, ...]
    seq: int | None = None


class _Watch:
    """Stages of a run, with what each took."""

    def __init__(self, stage: Callable[[str], None]) -> None:
        self.costs: list[Cost] = []
        self._stage = stage

    @contextmanager
    def at(self, name: str) -> Iterator[None]:
        self._stage(name)
        cpu, wall = time.process_time(), time.perf_counter()
        yield
        self.costs.append(Cost(name, time.process_time() - cpu, time.perf_counter() - wall))


def look(
    home: Home, journal: Journal, pack: Pack, settings: JobSettings | None = None, *,
    stage: Callable[[str], None] = lambda _: None, moved: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[Run, Gathered]:  # fmt: skip
    """Find the campaigns of a journal and publish nothing; the gathered graph can be kept with `gather.save`."""
    settings, watch = settings or JobSettings(), _Watch(stage)
    with watch.at("reading the journal"):
        found = gather(home, journal, pack, recent_us=settings.recent_us, anew=settings.anew, moved=moved)
        told = newest(home, journal)
    graph, pairs, describe = _evidence(home, found, settings, watch)
    with watch.at("forming campaigns"):
        campaigns, touched = _campaigns(graph, pairs, found, told, settings, describe)
        carried = carry(told.campaigns if told else (), campaigns)
    return _run(graph, pairs, found, told, carried, touched, watch), found


def run(
    deployment: Deployment, settings: JobSettings | None = None, *, stage: Callable[[str], None] = lambda _: None,
    moved: Callable[[int, int], None] = lambda _done, _total: None,
) -> Run:  # fmt: skip
    """The same on an opened deployment, with its pack in force; what is found is published there."""
    home, pack = deployment.home, deployment.running.pack
    found, gathered = look(home, deployment.journal, pack, settings, stage=stage, moved=moved)
    stage("publishing")
    seq = publish(deployment, found.campaigns, read=found.graph.read, retired=found.retired, merged=found.merged)
    save(home, gathered)
    return Run(**{**found.__dict__, "seq": seq})


def _evidence(
    home: Home, found: Gathered, settings: JobSettings, watch: _Watch
) -> tuple[EntityGraph, list[PairEvidence], Callable[[npt.NDArray[np.int64]], Sequence[str]]]:
    """The graph with its derived relations, what speaks for pairs, and what tells a group's sign-ups in words."""
    graph = found.graph
    with watch.at("comparing contents"):
        folders = content.folder_sets(found.recent, home.identity)
        graph = with_edges(graph, content.folder_edges(graph, folders))
        pairs = [content.similar(folders).evidence(graph)]
    with watch.at("weighing what is shared"):
        hubs = learn_hubs(graph, _known(found))
        pairs += relation_pairs(graph, hubs)
        refused = hard_components(graph, hubs).refusals
        found.notes.extend(f"not joined: {one.words}" for one in refused[:MOST_REFUSALS])
    with watch.at("comparing sign-ups"):
        signups = templates.signups_of(found.recent, home.identity)
        made = templates.find(signups)
        pairs += made.evidence(graph)
    with watch.at("looking for joint actions"):
        pairs.append(coaction.coaction(coaction.actions_of(graph), settings.coaction).evidence())
    return graph, pairs, lambda accounts: _words(made, accounts)


def _known(found: Gathered) -> Known | None:
    """Labelled accounts that the graph knows."""
    ids = np.array(sorted(found.known), np.int64)
    return Known(ids, np.array([found.known[account] for account in ids.tolist()], bool)) if len(ids) else None


def _words(made: templates.Templates, accounts: npt.NDArray[np.int64]) -> Sequence[str]:
    """What is told of the sign-up cluster that most of the accounts are in."""
    shares = [(int(np.isin(one.accounts, accounts).sum()), at) for at, one in enumerate(made.clusters)]
    most, at = max(shares, default=(0, -1), key=lambda share: (share[0], -share[1]))
    return made.clusters[at].words if most * 2 > len(accounts) else ()


def _campaigns(
    graph: EntityGraph,
    pairs: Sequence[PairEvidence],
    found: Gathered,
    told: Told | None,
    settings: JobSettings,
    describe: Callable[[npt.NDArray[np.int64]], Sequence[str]],
) -> tuple[tuple[Campaign, ...], int]:
    if told is None or found.touched is None or settings.anew:
        return find(graph, pairs, settings.campaigns, model=settings.model, describe=describe), graph.accounts
    again = recluster(
        graph, pairs, told.campaigns, found.touched, settings.campaigns, model=settings.model, describe=describe
    )
    return restamped(again.campaigns, graph.read), again.accounts


def _run(
    graph: EntityGraph,
    pairs: Sequence[PairEvidence],
    found: Gathered,
    told: Told | None,
    carried: Carried,
    touched: int,
    watch: _Watch,
) -> Run:
    before = {one.id for one in told.campaigns} if told else set()
    return Run(
        carried.campaigns,
        graph,
        pairs,
        found.records,
        touched,
        tuple(one.id for one in carried.campaigns if one.id not in before),
        tuple(one.id for one in carried.retired),
        carried.merged,
        tuple(watch.costs),
        tuple(found.notes),
    )
