"""A small world with planted operations, as arrays: households, offices, carrier NAT, cells with cards, camouflage.

Its evidence is deliberately plain (log of rarity per shared entity), so that what is tested is the fusion, the groups
and the judgement, not a finder.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import combinations
from math import log

import numpy as np

from shoal.coordination.evidence import PairEvidence
from shoal.coordination.graph.graph import Edges, EntityGraph
from shoal.coordination.relations import Relation, Role, Strength

MINUTE, HOUR, DAY = 60_000_000, 3_600_000_000, 86_400_000_000
START = 20_000 * DAY

RELATIONS = {
    "ip": Relation("ip", ("ip",), words="use the same address"),
    "device": Relation("device", ("device",), words="use the same device"),
    "payment": Relation("payment", ("payment_hash",), strength=Strength.HARD, words="pay with the same card"),
    "link": Relation("link", ("link",), role=Role.TARGET, words="open the same link"),
}


@dataclass
class World:
    """Rows (account, entity, time) by relation, creation times and truth: operation or benign group by account."""

    rng: np.random.Generator
    rows: dict[str, list[tuple[int, int, int]]] = field(default_factory=lambda: {name: [] for name in RELATIONS})
    created: list[int] = field(default_factory=list)
    operation: dict[int, str] = field(default_factory=dict)
    benign: dict[int, str] = field(default_factory=dict)
    entities: int = 0

    def entity(self) -> int:
        self.entities += 1
        return self.entities

    def account(self, created: int) -> int:
        self.created.append(int(created))
        return len(self.created) - 1

    def tie(self, relation: str, account: int, entity: int, time: int) -> None:
        self.rows[relation].append((account, entity, int(time)))

    def person(self, ip: int | None = None, device: int | None = None) -> int:
        """An honest account: years or days old, with its own address and device, and a few links of the crowd."""
        rng = self.rng
        account = self.account(START - int(rng.exponential(300 * DAY)))
        since = max(self.created[account], START - 60 * DAY)
        when = lambda: since + int(rng.uniform(0, START - since))  # noqa: E731
        self.tie("ip", account, ip or self.entity(), when())
        self.tie("device", account, device or self.entity(), when())
        for _ in range(int(rng.integers(2, 9))):
            self.tie("link", account, self.popular(), when())
        for _ in range(int(rng.integers(0, 4))):
            self.tie("link", account, self.entity(), when())
        return account

    def popular(self) -> int:
        """A link of the crowd."""
        return -int(min(self.rng.zipf(1.5), 400))

    def household(self, name: str, size: int, card: bool) -> list[int]:
        ip, device = self.entity(), self.entity()
        own = [self.person(ip, device if self.rng.random() < 0.5 else None) for _ in range(size)]
        album = [self.entity() for _ in range(3)]
        paid = self.entity()
        for account in own:
            self.benign[account] = name
            for link in album:
                if self.rng.random() < 0.6:
                    self.tie("link", account, link, START - int(self.rng.uniform(0, 50 * DAY)))
            if card:
                self.tie("payment", account, paid, START - int(self.rng.uniform(0, 50 * DAY)))
        return own

    def place(self, name: str, size: int, addresses: int, documents: int = 0) -> list[int]:
        """An office or a carrier: many people behind few addresses, who open the same documents of a morning."""
        ips = [self.entity() for _ in range(addresses)]
        own = [self.person(ips[i % addresses]) for i in range(size)]
        for account in own:
            self.benign[account] = name
        for _ in range(documents):
            link, day = self.entity(), START - int(self.rng.integers(1, 50)) * DAY
            for account in own:
                if self.rng.random() < 0.4:
                    self.tie("link", account, link, day + int(self.rng.uniform(0, 3 * HOUR)))
        return own

    def cell(self, name: str, size: int, per_card: int = 0, targets: int = 8, camouflage: float = 0.0) -> list[int]:
        """Accounts of one operator: made within hours, one proxy address each, acting on the same links at once."""
        rng = self.rng
        begin = START - int(rng.uniform(5, 40) * DAY)
        own = [self.account(begin + int(rng.uniform(0, 4 * HOUR))) for _ in range(size)]
        cards: dict[int, int] = defaultdict(self.entity)
        device = self.entity()
        for i, account in enumerate(own):
            self.operation[account] = name
            self.tie("ip", account, self.entity(), begin + 5 * HOUR)
            self.tie("device", account, device if i % 2 else self.entity(), begin + 5 * HOUR)
            if per_card:
                self.tie("payment", account, cards[i // per_card], begin + 6 * HOUR)
        for _ in range(targets):
            link, at = self.entity(), begin + int(rng.uniform(1, 4) * DAY)
            for account in own:
                if rng.random() < 0.85:
                    self.tie("link", account, link, at + int(rng.uniform(0, 8 * MINUTE)))
        for account in own:
            for _ in range(round(camouflage * targets)):
                self.tie("link", account, self.popular(), begin + int(rng.uniform(1, 4) * DAY))
        return own

    def graph(self) -> EntityGraph:
        return EntityGraph(
            np.arange(len(self.created), dtype=np.int64) * 7 + 1_000_003,
            np.array(self.created, np.int64),
            {name: edges_of(RELATIONS[name], rows, len(self.created)) for name, rows in self.rows.items()},
            read=sum(map(len, self.rows.values())),
            now=START,
        )


def edges_of(relation: Relation, rows: list[tuple[int, int, int]], accounts: int) -> Edges:
    """Edges of rows (account, entity, time)."""
    seen: dict[tuple[int, int], list[int]] = defaultdict(list)
    for account, entity, time in rows:
        seen[account, entity].append(time)
    keys = sorted(seen)
    ids = sorted({entity for _, entity in keys})
    code = {entity: i for i, entity in enumerate(ids)}
    array = lambda values: np.array(list(values), np.int64)  # noqa: E731
    start = np.concatenate([[0], np.cumsum(np.bincount(array(a for a, _ in keys), minlength=accounts))])
    return Edges(
        relation, array(ids), start.astype(np.int64), array(code[e] for _, e in keys),
        array(min(seen[k]) for k in keys), array(max(seen[k]) for k in keys), array(len(seen[k]) for k in keys),
    )  # fmt: skip


def evidence(graph: EntityGraph, cap: int = 60) -> list[PairEvidence]:
    """Log of rarity per shared entity up to a cap on popularity; co-action of three rare links within ten minutes."""
    out = []
    n = graph.accounts
    for name, edges in graph.relations.items():
        total: dict[tuple[int, int], float] = defaultdict(float)
        support: dict[tuple[int, int], int] = defaultdict(int)
        times: dict[tuple[int, int], int] = defaultdict(int)
        for entity in range(len(edges.entity_ids)):
            at = edges.by_entity[edges.entity_start[entity] : edges.entity_start[entity + 1]]
            if not 2 <= len(at) <= cap:
                continue
            for i, j in combinations(sorted(at.tolist(), key=lambda e: int(edges.account[e])), 2):
                key = (int(edges.account[i]), int(edges.account[j]))
                total[key] += log(n / len(at)) * (0.3 if edges.relation.role is Role.TARGET else 1.0)
                support[key] += 1
                times[key] += abs(int(edges.first[i]) - int(edges.first[j])) < 10 * MINUTE
        hard = edges.relation.strength is Strength.HARD
        out.append(pairs_of(name, {k: total[k] for k in total}, support, hard))
        if edges.relation.role is Role.TARGET:
            out.append(pairs_of("coaction", {k: 6.0 * c for k, c in times.items() if c >= 3}, times))
    return out


def pairs_of(source: str, llr: dict[tuple[int, int], float], support: dict[tuple[int, int], int], hard: bool = False):
    """Evidence of a dictionary by pair."""
    keys = sorted(llr)
    array = lambda values: np.array(list(values), np.int64)  # noqa: E731
    return PairEvidence(
        source, array(a for a, _ in keys), array(b for _, b in keys), np.array([llr[k] for k in keys], float),
        array(support[k] for k in keys), hard,
    )  # fmt: skip


def world(seed: int, people: int = 1500) -> World:
    """Everything at once: about 2 % of the accounts are of operations."""
    made = World(np.random.default_rng(seed))
    for _ in range(people):
        made.person()
    for i in range(120):
        made.household(f"household-{i}", int(made.rng.integers(2, 6)), card=i % 3 == 0)
    for i in range(4):
        made.place(f"office-{i}", int(made.rng.integers(25, 55)), 2, documents=6)
    made.place("carrier", 900, 3)
    for size, cells in ((3, 8), (5, 6), (10, 3), (20, 2)):
        for i in range(cells):
            made.cell(f"op-{size}-{i}", size, per_card=(0, 2, size)[i % 3], camouflage=(0.0, 0.5, 1.0)[i % 3])
    return made
