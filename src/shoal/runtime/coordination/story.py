"""A campaign with names: its members' events read back from the journal, and what its page shows.

Campaigns know ids; texts are only in the journal, where they can be erased. One pass over it keeps the rows of the
members, from which come their names, what they share by name, and when they used it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shoal.coordination.campaigns.campaign import Campaign
from shoal.coordination.campaigns.innocents import Innocents, who_innocent
from shoal.coordination.content import FOLDER_TREE, VISITORS
from shoal.coordination.graph.read import RelationReader
from shoal.coordination.relations import Relation, Strength
from shoal.events.attributes import extract
from shoal.events.identity import BatchIds
from shoal.expressions.frame import Frame, Layout
from shoal.packs.pack import Pack
from shoal.policy.definitions import Tier
from shoal.reports.campaign import CampaignPage, Doubt, Row, Thing
from shoal.runtime.columns import one_chunk
from shoal.runtime.coordination.gather import gather
from shoal.runtime.home import Home
from shoal.runtime.judge.backtest import published_pack
from shoal.storage.frames import EventFrame
from shoal.storage.journal import Journal
from shoal.storage.store import Store

MOST_MOMENTS = 200
Ints = npt.NDArray[np.int64]
Moved = Callable[[int, int], None]


@dataclass
class Seen:
    """What the journal says of some accounts. By account id: `names`, `created` (µs), `tiers`; `things`: text of an
    entity by (relation, id); `ties`: by account, the entities that it has, with the moments (µs) of use."""

    names: dict[int, str] = field(default_factory=dict)
    created: dict[int, int] = field(default_factory=dict)
    tiers: dict[int, int] = field(default_factory=dict)
    things: dict[tuple[str, int], str] = field(default_factory=dict)
    ties: dict[int, dict[tuple[str, int], list[int]]] = field(default_factory=lambda: defaultdict(dict))

    def name(self, account: int) -> str:
        """The account's name; its id in hex digits where the journal has none (any more)."""
        return self.names.get(account) or f"id:{account & (2**64 - 1):016x}"

    def thing(self, relation: str, entity: int) -> str:
        """An entity's text; its id in hex digits where there is none."""
        return self.things.get((relation, entity)) or f"id:{entity & (2**64 - 1):016x}"


def read_members(
    home: Home, journal: Journal, pack: Pack, campaigns: Iterable[Campaign], *,
    moved: Moved = lambda _done, _total: None,
) -> Seen:  # fmt: skip
    """Names, ties and moments of all members of some campaigns, in one pass over the journal."""
    listed = list(campaigns)
    ids = np.array(sorted({one.account for campaign in listed for one in campaign.members}), np.int64)
    shared = {(one.relation, one.entity) for campaign in listed for one in campaign.entities}
    reading, seen = _Reading(home, pack, ids, shared), Seen()
    for frame in journal.read():
        if isinstance(frame, EventFrame):
            reading.add(frame, seen)
        moved(frame.last_seq + 1, journal.next_seq)
    return seen


def read_tiers(store: Store, seen: Seen) -> None:
    """Add the highest tier that was decided about each account."""
    wanted = set(seen.names)
    for row in store.read_decisions(latest=True):
        if row.subject_id in wanted and row.subject_type in ("account", "actor"):
            seen.tiers[row.subject_id] = max(row.tier, seen.tiers.get(row.subject_id, 0))


class _Reading:
    """One pass: which rows are the members', and what they tie."""

    def __init__(self, home: Home, pack: Pack, ids: Ints, shared: set[tuple[str, int]]) -> None:
        self._identity, self._ids, self._shared = home.identity, ids, shared
        wanted = {name for one in pack.relations for name in (*one.columns, one.subject)}
        kinds = pack.event_columns
        self._attributes = {one.name: (one.path, one.kind) for one in pack.attributes.values()}
        self._reader = RelationReader(pack.relations, pack.event_layout(), home.identity, pack.named_lists())
        self._frame = Frame.empty(Layout.of(kinds), 0)
        self._subjects = sorted({one.subject for one in pack.relations})
        self._wanted = wanted

    def add(self, frame: EventFrame, seen: Seen) -> None:
        """Take what a frame of the journal says of the members."""
        ids = frame.ids or BatchIds(self._identity)
        here = [name for name in self._subjects if name in frame.table.column_names]
        if not here or not len(self._ids):
            return
        hit = np.zeros(frame.table.num_rows, bool)
        for name in here:
            column = one_chunk(frame.table, name)
            found = ids.ids_of(column)
            at = np.minimum(np.searchsorted(self._ids, found), len(self._ids) - 1)
            hit |= (self._ids[at] == found) & np.asarray(column.is_valid())
        if not hit.any():
            return
        table = extract(frame.table.filter(pa.array(hit)), self._attributes)
        self._frame.fill(table, BatchIds(self._identity))
        truths = self._reader.truths(self._frame)
        times = np.asarray(one_chunk(table, "time"))
        self._names(table, seen)
        for number, relation in enumerate(self._reader.relations):
            held = np.flatnonzero(self._reader.held(self._frame, number, truths)[: table.num_rows] == 1)
            if len(held):
                entities = self._reader.entities(self._frame, number)[held]
                self._tie(relation, table, held, entities, times, seen)

    def _names(self, table: pa.Table, seen: Seen) -> None:
        members = set(self._ids.tolist())
        for name in self._subjects:
            if name not in table.column_names:
                continue
            texts = one_chunk(table, name)
            for account, text in zip(self._identity.ids_of(texts).tolist(), texts.to_pylist(), strict=True):
                if text is not None and account in members:
                    seen.names.setdefault(account, text)
        if "type" in table.column_names and "actor" in table.column_names:
            made = np.flatnonzero(np.asarray(pa.compute.equal(one_chunk(table, "type"), "account.created")))
            actors = self._identity.ids_of(one_chunk(table, "actor"))
            times = np.asarray(one_chunk(table, "time"))
            for row in made.tolist():
                seen.created.setdefault(int(actors[row]), int(times[row]))

    def _tie(self, relation: Relation, table: pa.Table, held: Ints, entities: Ints, times: Ints, seen: Seen) -> None:
        kept = [at for at, entity in enumerate(entities.tolist()) if (relation.id, entity) in self._shared]
        if not kept:
            return
        rows = held[kept]
        accounts = self._identity.ids_of(one_chunk(table, relation.subject))[rows]
        columns = [one_chunk(table, name).take(pa.array(rows)).to_pylist() for name in relation.columns]
        texts = [" · ".join(str(part) for part in parts) for parts in zip(*columns, strict=True)]
        for account, entity, text, row in zip(accounts.tolist(), entities[kept].tolist(), texts, rows.tolist(),
                                              strict=True):  # fmt: skip
            key = (relation.id, entity)
            seen.things.setdefault(key, text)
            moments = seen.ties[account].setdefault(key, [])
            if len(moments) < MOST_MOMENTS:
                moments.append(int(times[row]))


def page_of(campaign: Campaign, seen: Seen, innocents: Innocents, relations: Mapping[str, Relation]) -> CampaignPage:
    """The page of a campaign. `relations` by id, derived ones too."""
    things = [
        Thing(
            one.relation,
            seen.thing(one.relation, one.entity),
            one.relation in relations and relations[one.relation].strength is Strength.HARD,
            one.members,
            one.outside,
            relations[one.relation].words if one.relation in relations else "",
        )
        for one in campaign.entities
    ]
    place = {(one.relation, one.entity): at for at, one in enumerate(campaign.entities)}
    rows = []
    for member in campaign.members:
        ties = seen.ties.get(member.account, {})
        moments = sorted(moment for key in ties for moment in ties[key] if key in place)
        tier = seen.tiers.get(member.account, 0)
        rows.append(
            Row(
                seen.name(member.account), member.belief, member.hard, seen.created.get(member.account),
                sorted(place[key] for key in ties if key in place), moments[:MOST_MOMENTS],
                Tier(tier).name.lower() if tier else "",
            )
        )  # fmt: skip
    doubts = [
        Doubt(seen.name(one.account), 1 - one.probability, "; ".join(one.reasons))
        for one in innocents.likely
        if one.reasons or one.probability >= 0.5
    ]
    return CampaignPage(
        campaign.id, campaign.score, campaign.low, campaign.high, rows, things, campaign.evidence, campaign.templates,
        campaign.relations, campaign.first, campaign.last, campaign.growth, innocents.expected, doubts,
        innocents.separates, campaign.merged_from, campaign.read,
    )  # fmt: skip


def plain(campaign: Campaign, seen: Seen) -> dict[str, Any]:
    """A campaign as plain values with names, for JSON."""
    return {
        "id": campaign.id,
        "score": campaign.score,
        "low": campaign.low,
        "high": campaign.high,
        "expected_innocents": campaign.expected_innocents,
        "first": campaign.first,
        "last": campaign.last,
        "read": campaign.read,
        "merged_from": list(campaign.merged_from),
        "evidence": list(campaign.evidence),
        "templates": list(campaign.templates),
        "sources": dict(campaign.relations),
        "growth": [{"day": day, "members": count} for day, count in campaign.growth],
        "members": [
            {"account": seen.name(one.account), "belief": one.belief, "hard": one.hard, "hub_share": one.hub_share,
             "first": one.first, "last": one.last}
            for one in campaign.members
        ],
        "shared": [
            {"relation": one.relation, "entity": seen.thing(one.relation, one.entity), "members": one.members,
             "outside": one.outside, "weight": one.weight, "first": one.first, "last": one.last}
            for one in campaign.entities
        ],
    }  # fmt: skip


def read_pages(
    home: Home, campaigns: Sequence[Campaign], *, moved: Moved = lambda _done, _total: None
) -> tuple[Seen, list[CampaignPage]]:
    """The names of the members of some campaigns, and a page of each, in one reading of journal, store and kept
    graph."""
    journal = Journal.open(home.journal, identity=home.identity, read_only=True)
    try:
        pack, _ = published_pack(home, journal)
        seen = read_members(home, journal, pack, campaigns, moved=moved)
        found = gather(home, journal, pack, recent_us=0)
    finally:
        journal.close()
    store = home.open_store(read_only=True)
    try:
        read_tiers(store, seen)
    finally:
        store.close()
    relations = {one.id: one for one in (*pack.relations, FOLDER_TREE, VISITORS)}
    return seen, [page_of(one, seen, who_innocent(one, found.graph), relations) for one in campaigns]
