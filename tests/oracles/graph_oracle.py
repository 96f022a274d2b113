"""Slow twin of the entity graph's builder: dicts of Python values, one row after the other."""

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def plain_edges(rows: Sequence[Row], relations: Mapping[str, Any]) -> dict[str, dict[tuple[str, Any], list[int]]]:
    """{relation: {(account, entity): [first, last, count, place]}}; `relations` maps a name to (columns, subject,
    predicate on a row)."""
    found: dict[str, dict[tuple[str, Any], list[int]]] = {name: {} for name in relations}
    for place, row in enumerate(rows):
        time = row.get("time")
        if time is None or row.get("cause") == "shoal":
            continue
        for name, (columns, subject, holds) in relations.items():
            account, entity = row.get(subject), tuple(row.get(column) for column in columns)
            if account is None or None in entity or not holds(row) or entity == (account,):
                continue
            edge = found[name].setdefault((account, entity), [time, time, 0, place])
            edge[0], edge[1], edge[2] = min(edge[0], time), max(edge[1], time), edge[2] + 1
    return found


def plain_accounts(rows: Sequence[Row], relations: Mapping[str, Any]) -> dict[str, int]:
    """{account: when it was made, or -1}, in the order in which they are first seen: subjects of edges, accounts being
    made. A fact counts from the row on at which the account is known."""
    found: dict[str, int] = {}
    for row in rows:
        made = row.get("time") if row.get("type") == "account.created" else None
        edges = plain_edges([row], relations)
        for subject in dict.fromkeys(subject for _, subject, _ in relations.values()):
            if any(edges[name] for name, one in relations.items() if one[1] == subject):
                found.setdefault(row[subject], -1)
        account = row.get("account")
        about = account if account is not None else row.get("actor")
        if about is not None and made is not None:
            found.setdefault(about, -1)
            found[about] = made if found[about] == -1 else min(found[about], made)
        fact = row.get("account_created")
        if account in found and fact is not None:
            found[account] = fact if found[account] == -1 else min(found[account], fact)
    return found
