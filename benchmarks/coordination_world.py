"""Scenarios of operations as the coordination rooms see them: the graph, the evidence of all finders, and the truth.

Only benchmarks join the simulator and the detectors. A world is what a deployment would know at its end: the entity
graph of all events, the pairs that each finder speaks about, without any label; beside it, by account code, who is of
which operation and cell, and the honest groups.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from shoal.coordination.coaction import CoAction, CoActionSettings, actions_of, coaction
from shoal.coordination.content import similar
from shoal.coordination.content.sets import sets_of_relation
from shoal.coordination.evidence import PairEvidence
from shoal.coordination.graph import ATTRIBUTES, EntityGraph, GraphBuilder, default_columns, default_relations
from shoal.coordination.graph.hubs import Hubs, learn_hubs
from shoal.coordination.graph.pairs import relation_pairs
from shoal.coordination.templates.find import Templates
from shoal.coordination.templates.find import find as find_templates
from shoal.coordination.templates.signups import signups_of
from shoal.events.attributes import extract
from shoal.events.identity import Identity
from shoal.expressions.frame import Layout
from shoal.simulate import read_scenario, simulate

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
CAP = 300
"""Accounts in one cell of co-action beyond which it is popular: as a deployment runs it."""
SCENARIOS = Path(__file__).parent / "scenarios"
KINDS = (
    "ordinary", "bulk", "drip", "whole", "cells-3", "cells-5", "cells-10", "cells-20", "camouflage", "slowdown",
    "proxies", "aged",
)  # fmt: skip
ADDRESS_GROUPS = ("benign_household", "benign_office", "benign_campus", "benign_class", "benign_carrier")
"""Honest groups that share an address."""


@dataclass(frozen=True)
class Seen:
    """A world. `operation`, `cell`: of each account, empty where it is honest. `hijacked` bool [accounts]: an honest
    person's account that an operation uses. `honest`: codes of the accounts of each honest group, by kind."""

    name: str
    graph: EntityGraph
    hubs: Hubs
    pairs: tuple[PairEvidence, ...]
    together: CoAction
    templates: Templates
    operation: npt.NDArray[np.str_]
    cell: npt.NDArray[np.str_]
    hijacked: Bools
    honest: Mapping[str, tuple[Ints, ...]]
    events: int

    @property
    def abusive(self) -> Bools:
        """Whether an account is of an operation, bool [accounts]."""
        return np.asarray(self.operation != "", np.bool_)


def path_of(family: str, kind: str) -> Path:
    """Scenario file of a family (`dev`, `report`) and kind."""
    return SCENARIOS / f"operations-{family}-{kind}.yaml"


def see(family: str, kind: str) -> Seen:
    """Live through a scenario and gather all evidence of it."""
    return see_file(path_of(family, kind), f"{family}-{kind}")


def see_file(path: Path, name: str) -> Seen:
    """The same of any scenario file."""
    world = simulate(read_scenario(path))
    identity = Identity(b"benchmark-key-16")
    columns = default_columns()
    relations = default_relations()
    builder = GraphBuilder(relations, Layout.of(columns), identity)
    attributes = {
        column: (column, kind) for column, kind in columns.items() if column in builder.columns and column in ATTRIBUTES
    }
    kept: list[pa.Table] = []
    events = 0
    for block in world.blocks():
        events += block.num_rows
        table = extract(block, attributes)
        builder.update(table.select([column for column in table.column_names if column in builder.columns]))
        kept.append(block)
    graph = builder.graph()
    hubs = learn_hubs(graph)
    together = coaction(actions_of(graph), CoActionSettings(cap=CAP))
    templates = find_templates(signups_of(kept, identity))
    content = similar(sets_of_relation(graph, graph.relations["file_content"]))
    pairs = (*relation_pairs(graph, hubs), together.evidence(), *templates.evidence(graph), content.evidence(graph))
    return Seen(name, graph, hubs, pairs, together, templates, *_truth(world.groups(), graph, identity), events)


def _truth(
    groups: pa.Table, graph: EntityGraph, identity: Identity
) -> tuple[npt.NDArray[np.str_], npt.NDArray[np.str_], Bools, dict[str, tuple[Ints, ...]]]:
    codes = graph.codes(identity.ids_of(groups["account"].combine_chunks()))
    operation, cell = [""] * graph.accounts, [""] * graph.accounts
    hijacked = np.zeros(graph.accounts, bool)
    honest: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    rows = zip(codes.tolist(), *(groups[name].to_pylist() for name in ("kind", "group", "attack", "role")), strict=True)
    for code, kind, group, attack, role in rows:
        if code < 0:
            continue
        if kind == "operation":
            operation[code], cell[code] = attack, group
            hijacked[code] = role == "hijacked"
        else:
            honest[kind][group].append(code)
    found = {kind: tuple(np.array(who, np.int64) for who in some.values()) for kind, some in honest.items()}
    return np.array(operation, np.str_), np.array(cell, np.str_), hijacked, found
