"""How campaigns are kept in a journal record, and as sorted arrays for the stream.

Format `shoal.campaigns`, version 1: a map with three Arrow tables (campaigns, members, entities), which control records
hold as they are. Reading checks everything that a reader relies on, because a journal outlives releases. `online` lays
the same out for look-ups by account and by entity in microseconds. Holds no state and opens no file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shoal.coordination.campaigns.campaign import Campaign, Member, SharedEntity
from shoal.errors import Corrupt, Unsupported

FORMAT, VERSION = "shoal.campaigns", 1
RARE = 0.05
"""Entities that say less than this of who touches them are no use to the stream."""

_CAMPAIGNS = pa.schema(
    [
        ("id", pa.string()), ("relations", pa.list_(pa.string())), ("relation_shares", pa.list_(pa.float64())),
        ("first", pa.int64()), ("last", pa.int64()), ("growth_days", pa.list_(pa.int64())),
        ("growth_counts", pa.list_(pa.int64())), ("templates", pa.list_(pa.string())),
        ("evidence", pa.list_(pa.string())), ("score", pa.float64()), ("low", pa.float64()), ("high", pa.float64()),
        ("expected_innocents", pa.float64()), ("read", pa.int64()), ("merged_from", pa.list_(pa.string())),
    ]
)  # fmt: skip
_MEMBERS = pa.schema(
    [
        ("campaign", pa.int64()), ("account", pa.int64()), ("belief", pa.float64()), ("hard", pa.bool_()),
        ("first", pa.int64()), ("last", pa.int64()), ("hub_share", pa.float64()),
    ]
)  # fmt: skip
_ENTITIES = pa.schema(
    [
        ("campaign", pa.int64()), ("relation", pa.string()), ("entity", pa.int64()), ("members", pa.int64()),
        ("outside", pa.int64()), ("weight", pa.float64()), ("first", pa.int64()), ("last", pa.int64()),
    ]
)  # fmt: skip
_TABLES = {"campaigns": _CAMPAIGNS, "members": _MEMBERS, "entities": _ENTITIES}


@dataclass(frozen=True)
class Published:
    """What a record of campaigns says: the campaigns, ids of those that are over, and (merged, into) ids."""

    campaigns: tuple[Campaign, ...]
    retired: tuple[str, ...]
    merged: tuple[tuple[str, str], ...]
    read: int


def to_body(
    campaigns: Sequence[Campaign],
    *,
    read: int = 0,
    retired: Sequence[str] = (),
    merged: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """The body of a journal record. `read`: position that the run had read; `retired`, `merged` as `identity.carry`
    tells them."""
    rows = [
        {
            "id": one.id,
            "relations": [name for name, _ in one.relations],
            "relation_shares": [share for _, share in one.relations],
            "growth_days": [day for day, _ in one.growth],
            "growth_counts": [count for _, count in one.growth],
            "templates": list(one.templates),
            "evidence": list(one.evidence),
            "merged_from": list(one.merged_from),
            **{
                name: getattr(one, name)
                for name in ("first", "last", "score", "low", "high", "expected_innocents", "read")
            },
        }
        for one in campaigns
    ]
    return {
        "format": FORMAT,
        "version": VERSION,
        "read": read,
        "retired": list(retired),
        "merged": [list(pair) for pair in merged],
        "campaigns": pa.Table.from_pylist(rows, _CAMPAIGNS),
        "members": _rows([one.members for one in campaigns], _MEMBERS),
        "entities": _rows([one.entities for one in campaigns], _ENTITIES),
    }


def _rows(parts: Sequence[Sequence[Member] | Sequence[SharedEntity]], schema: pa.Schema) -> pa.Table:
    columns: dict[str, list[Any]] = {name: [] for name in schema.names}
    for at, part in enumerate(parts):
        columns["campaign"] += [at] * len(part)
        for name in schema.names[1:]:
            columns[name] += [getattr(one, name) for one in part]
    return pa.table(columns, schema)


def from_body(body: Mapping[str, Any]) -> Published:
    """The campaigns of a record. Raises `Unsupported` for another format or version, `Corrupt` with all that is wrong
    for what is none."""
    if body.get("format") != FORMAT:
        raise Unsupported(f"format {body.get('format')!r} where {FORMAT} is expected")
    if body.get("version") != VERSION:
        raise Unsupported(f"{FORMAT} version {body.get('version')!r}; this release reads {VERSION}")
    wrong = _wrong_tables(body) or _wrong_values(body)
    if wrong:
        raise Corrupt(f"{FORMAT}: " + "; ".join(wrong))
    count = body["campaigns"].num_rows
    members, entities = _parts(body["members"], count, Member), _parts(body["entities"], count, SharedEntity)
    campaigns = []
    for at, row in enumerate(body["campaigns"].to_pylist()):
        relations = tuple(zip(row.pop("relations"), row.pop("relation_shares"), strict=True))
        growth = tuple(zip(row.pop("growth_days"), row.pop("growth_counts"), strict=True))
        lists: dict[str, Any] = {name: tuple(row.pop(name)) for name in ("templates", "evidence", "merged_from")}
        campaigns.append(
            Campaign(members=members[at], entities=entities[at], relations=relations, growth=growth, **lists, **row)
        )
    merged = tuple((one, into) for one, into in body["merged"])
    return Published(tuple(campaigns), tuple(body["retired"]), merged, body["read"])


def _parts(table: pa.Table, count: int, kind: Any) -> list[tuple[Any, ...]]:
    out: list[list[Any]] = [[] for _ in range(count)]
    names = [one.name for one in dataclasses.fields(kind)]
    columns = [table[name].to_pylist() for name in names]
    for at, *values in zip(table["campaign"].to_pylist(), *columns, strict=True):
        out[at].append(kind(*values))
    return [tuple(part) for part in out]


def _wrong_tables(body: Mapping[str, Any]) -> list[str]:
    wrong = []
    for name, schema in _TABLES.items():
        table = body.get(name)
        if not isinstance(table, pa.Table):
            wrong.append(f"{name} is no table")
        elif not table.schema.equals(schema):
            wrong.append(f"{name} has other columns than {', '.join(schema.names)}")
        elif any(column.null_count for column in table.columns):
            wrong.append(f"{name} has a null")
    if not isinstance(body.get("read"), int) or isinstance(body.get("read"), bool) or body["read"] < 0:
        wrong.append("read is no position")
    retired, merged = body.get("retired"), body.get("merged")
    if not isinstance(retired, list | tuple) or not all(isinstance(one, str) for one in retired):
        wrong.append("retired is no list of ids")
    if not isinstance(merged, list | tuple) or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 and all(isinstance(one, str) for one in pair)
        for pair in merged
    ):
        wrong.append("merged is no list of pairs of ids")
    return wrong


def _wrong_values(body: Mapping[str, Any]) -> list[str]:
    wrong = []
    campaigns, members, entities = body["campaigns"], body["members"], body["entities"]
    count = campaigns.num_rows
    if len(set(campaigns["id"].to_pylist())) != count:
        wrong.append("an id stands twice")
    for one, two in (("relations", "relation_shares"), ("growth_days", "growth_counts")):
        if any(len(a) != len(b) for a, b in zip(campaigns[one].to_pylist(), campaigns[two].to_pylist(), strict=True)):
            wrong.append(f"{one} and {two} differ in length")
    for name, table in (("members", members), ("entities", entities)):
        of = table["campaign"].to_numpy()
        if len(of) and (of.min() < 0 or of.max() >= count):
            wrong.append(f"{name} of campaigns that are not there")
    if len(np.unique(members["campaign"].to_numpy())) != count:
        wrong.append("a campaign without members")
    if len(np.unique(members["account"].to_numpy())) != members.num_rows:
        wrong.append("an account stands in two campaigns")
    shares = [(campaigns, name) for name in ("score", "low", "high")]
    for table, name in (*shares, (members, "belief"), (members, "hub_share"), (entities, "weight")):
        values = table[name].to_numpy()
        if len(values) and not ((values >= 0) & (values <= 1)).all():
            wrong.append(f"{name} outside 0 to 1")
    return wrong


def online(campaigns: Sequence[Campaign], rare: float = RARE) -> dict[str, npt.NDArray[Any]]:
    """What the stream looks up, as arrays.

    `campaign_id` text [campaigns], in the order given, whose places are the campaigns' numbers; `campaign_score`
    float64. By account: `account` int64, ascending ids; `account_campaign` int64; `account_belief`,
    `account_hub_share` float64. By entity: `relation` text, ascending names; `entity_start` int64 [relations + 1];
    within a relation's stretch `entity` int64, ascending ids; `entity_campaign` int64; `entity_weight` float64. An
    account or entity of several campaigns stands once, with the one where belief (weight) times score is largest.
    Entities with a weight under `rare` are left out.
    """
    accounts = [
        (member.account, -member.belief * one.score, at, member.belief, member.hub_share)
        for at, one in enumerate(campaigns)
        for member in one.members
    ]
    entities = [
        (shared.relation, shared.entity, -shared.weight * one.score, at, shared.weight)
        for at, one in enumerate(campaigns)
        for shared in one.entities
        if shared.weight >= rare
    ]
    by_account = {row[0]: row for row in sorted(accounts, reverse=True)}
    by_entity = {row[:2]: row for row in sorted(entities, reverse=True)}
    held = [by_account[key] for key in sorted(by_account)]
    touched = [by_entity[key] for key in sorted(by_entity)]
    names = sorted({row[0] for row in touched})
    sizes = [sum(row[0] == name for row in touched) for name in names]
    return {
        "campaign_id": np.array([one.id for one in campaigns], np.str_),
        "campaign_score": np.array([one.score for one in campaigns], np.float64),
        "account": np.array([row[0] for row in held], np.int64),
        "account_campaign": np.array([row[2] for row in held], np.int64),
        "account_belief": np.array([row[3] for row in held], np.float64),
        "account_hub_share": np.array([row[4] for row in held], np.float64),
        "relation": np.array(names, np.str_),
        "entity_start": np.cumsum([0, *sizes]).astype(np.int64),
        "entity": np.array([row[1] for row in touched], np.int64),
        "entity_campaign": np.array([row[3] for row in touched], np.int64),
        "entity_weight": np.array([row[4] for row in touched], np.float64),
    }
