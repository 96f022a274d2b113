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


def plain_pairs(
    edges: Sequence[tuple[int, int, int, int]], worth: Mapping[int, float], half_life: float, most: float
) -> dict[tuple[int, int], tuple[float, int]]:
    """{(left, right): (llr, shared)} from edges (account, entity, first, last) and what an entity is worth."""
    found: dict[tuple[int, int], tuple[float, int]] = {}
    for a, x, first_a, last_a in edges:
        for b, y, first_b, last_b in edges:
            if x == y and a < b and worth[x] > 0:
                gap = max(max(first_a, first_b) - min(last_a, last_b), 0)
                value = worth[x] * (2 ** (-gap / half_life) if half_life else 1.0)
                llr, shared = found.get((a, b), (0.0, 0))
                found[a, b] = (llr + value, shared + 1)
    return {pair: (min(llr, most), shared) for pair, (llr, shared) in found.items()}


def plain_components(
    accounts: int, entities: Sequence[tuple[str, int, frozenset[int]]], limit: int
) -> tuple[list[int], set[tuple[str, int]]]:
    """Labels (the smallest account of each group) and the (relation, entity) that were refused.

    `entities`: relation, id and accounts. The fewest accounts first, then by relation and id; then, while any two
    groups are tied by entities of two relations among those refused, all such groups of a round are joined."""
    groups = {account: {account} for account in range(accounts)}

    def join(members: set[int]) -> None:
        whole = set().union(*(groups[account] for account in members))
        for account in whole:
            groups[account] = whole

    names = list(dict.fromkeys(relation for relation, _, _ in entities))
    refused = []
    for relation, ident, members in sorted(entities, key=lambda e: (len(e[2]), names.index(e[0]), e[1])):
        whole = set().union(*(groups[account] for account in members))
        if len({min(groups[account]) for account in members}) > 1:
            if len(whole) > limit:
                refused.append((relation, ident, members))
            else:
                join(set(members))
    while True:
        ties: dict[tuple[int, int], set[str]] = {}
        for relation, _, members in refused:
            sides = sorted({min(groups[account]) for account in members})
            for i, a in enumerate(sides):
                for b in sides[i + 1 :]:
                    ties.setdefault((a, b), set()).add(relation)
        double = [pair for pair, relations in ties.items() if len(relations) > 1]
        if not double:
            break
        for a, b in double:
            join({a, b})
    labels = [min(groups[account]) for account in range(accounts)]
    return labels, {(relation, ident) for relation, ident, members in refused if len({labels[a] for a in members}) > 1}
