"""Campaigns in the journal: one record holds all of them, and one table makes them columns of the stream.

The newest record is the whole truth. What a signal of kind `campaign` looks up is published beside it as tables
(`runtime.learning.tables`), so that live, replay and restored say the same of each event.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from shoal.coordination.campaigns.campaign import Campaign
from shoal.coordination.campaigns.codec import Published, from_body, online, to_body
from shoal.coordination.relations import Relation
from shoal.detectors.membership.signal import CampaignMembership
from shoal.errors import InvalidInput, Problem, Where, nearest_name
from shoal.runtime.deployment import Deployment
from shoal.runtime.home import Home
from shoal.runtime.learning.tables import publish_table, withdraw_table
from shoal.storage.frames import ControlFrame
from shoal.storage.journal import Journal

CAMPAIGNS = "campaigns"
"""The kind of the record that says which campaigns there are (`coordination.campaigns.codec`)."""


@dataclass(frozen=True)
class Told:
    """The newest record: its place and time, and what it says."""

    seq: int
    as_of: int
    published: Published

    @property
    def campaigns(self) -> tuple[Campaign, ...]:
        """The campaigns, the most probable first."""
        return self.published.campaigns


def newest(home: Home, journal: Journal) -> Told | None:
    """The campaigns that are in force; None where none were ever published. Raises `Corrupt` or `Unsupported`."""
    last = None
    for frame in journal.read(max(_hint(home, journal), journal.first_seq)):
        if isinstance(frame, ControlFrame) and frame.kind == CAMPAIGNS:
            last = frame
    return None if last is None else Told(last.seq, last.as_of, from_body(last.body))


def chosen(told: Told | None, name: str) -> Campaign:
    """The campaign of an id, or of the beginning of one. Raises `InvalidInput` (`campaigns.none`,
    `campaigns.unknown`)."""
    if told is None:
        hint = "find some with: shoal campaigns run"
        raise InvalidInput(Problem("campaigns.none", "no campaigns were published here", hint=hint))
    found = [one for one in told.campaigns if one.id.startswith(name)]
    exact = [one for one in found if one.id == name]
    if len(exact or found) == 1:
        return (exact or found)[0]
    gone = [one for one in told.campaigns if name in one.merged_from]
    if gone:
        return gone[0]
    ids = [one.id for one in told.campaigns]
    message = f"{name!r} begins {len(found)} ids" if found else f"no campaign {name!r}"
    allowed = ", ".join((found and [one.id for one in found]) or ids[:10])
    raise InvalidInput(
        Problem("campaigns.unknown", message, Where("CAMPAIGN"), allowed, nearest=nearest_name(name, ids))
    )


def publish(
    deployment: Deployment, campaigns: Sequence[Campaign], *, read: int, retired: Sequence[str] = (),
    merged: Sequence[tuple[str, str]] = (),
) -> int:  # fmt: skip
    """Write the campaigns into the journal, and their tables for each signal of the pack in force that looks them up;
    returns the record of the campaigns."""
    body = to_body(campaigns, read=read, retired=retired, merged=merged)
    group = deployment.writer.control(CAMPAIGNS, body)
    deployment.process(group)
    running = deployment.running
    for one in running.pack.signals:
        if one.kind != CampaignMembership.kind:
            continue
        if campaigns:
            columns = one.settings["entities"]
            assert isinstance(columns, tuple)
            publish_table(deployment, one.id, online_tables(campaigns, running.pack.relations, columns))
        elif one.id in running.signals.tables:
            withdraw_table(deployment, one.id)
    _keep_hint(deployment.home, group.last_seq)
    return group.last_seq


def number_of(campaign: str) -> int:
    """What a campaign is called where only numbers stand: the 12 hex digits of its id."""
    return int(campaign.removeprefix("c"), 16)


def online_tables(
    campaigns: Sequence[Campaign], relations: Sequence[Relation], columns: Sequence[str]
) -> Mapping[str, npt.NDArray[np.generic]]:
    """The tables of a signal of kind `campaign` whose setting `entities` is `columns`.

    An entity of a relation with one column is found in that column; of several relations over one column the heavier
    entry counts. Entities of several columns together are not looked up.
    """
    told = online(campaigns)
    single = {one.id: columns.index(one.columns[0]) for one in relations if len(one.columns) == 1
              and one.columns[0] in columns}  # fmt: skip
    start = told["entity_start"]
    rows: dict[tuple[int, int], tuple[float, int]] = {}
    for at, name in enumerate(told["relation"].tolist()):
        if name not in single:
            continue
        for row in range(int(start[at]), int(start[at + 1])):
            campaign, weight = int(told["entity_campaign"][row]), float(told["entity_weight"][row])
            key = single[name], int(told["entity"][row])
            rows[key] = max(rows.get(key, (-1.0, 0)), (weight * float(told["campaign_score"][campaign]), row))
    keys = sorted(rows)
    chosen_rows = np.array([rows[key][1] for key in keys], np.int64)
    return {
        "accounts": told["account"],
        "account_campaign": told["account_campaign"],
        "account_belief": told["account_belief"],
        "account_hub_share": told["account_hub_share"],
        "entity_column": np.array([key[0] for key in keys], np.int64),
        "entities": np.array([key[1] for key in keys], np.int64),
        "entity_campaign": told["entity_campaign"][chosen_rows],
        "entity_weight": told["entity_weight"][chosen_rows],
        "number": np.array([number_of(one.id) for one in campaigns], np.int64),
        "score": told["campaign_score"],
        "size": np.array([one.size for one in campaigns], np.int64),
    }


def _hint(home: Home, journal: Journal) -> int:
    """Where the newest record stood when it was written; 0 where nothing says so."""
    try:
        seq = int(json.loads((home.folder / "campaigns" / "newest.json").read_text(encoding="utf-8"))["seq"])
    except (OSError, ValueError, KeyError, TypeError):
        return 0
    return seq if 0 <= seq < journal.next_seq else 0


def _keep_hint(home: Home, seq: int) -> None:
    folder = home.folder / "campaigns"
    folder.mkdir(exist_ok=True)
    (folder / "newest.json").write_text(json.dumps({"seq": seq}), encoding="utf-8")
