"""Dense blocks of accounts and entities: prune by score, then peel.

Hooi, Song, Beutel, Shah, Shin and Faloutsos (FRAUDAR, KDD 2016): a block's density is the suspicion of its nodes plus
the weight of its edges, over the number of its nodes; an edge to an entity that d accounts have weighs 1 / log(c + d),
so that ties to what everybody has (camouflage) count little. The weakest node is taken out again and again, and the
densest state on the way is the block: in the paper's measure at least half as dense as the densest one. Beyond the
paper, an entity leaves with its last but one account and an account with its last entity, so that suspicion without a
tie makes no block.

**Density alone is not abuse**: the densest parts of a file-sharing service are teams, classes and households. So the
call asks for a score of each account, lets go of accounts below a bound before it looks for density, and a block says
how far its accounts' mean score stands above that of all. No state.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from shoal.coordination.structure import peel_kernel as K  # noqa: N812 - a namespace of kernels
from shoal.coordination.structure.checks import (
    MAX_NODES,
    Codes,
    Floats,
    Ints,
    code_problem,
    edge_arrays,
    float_array,
    node_problems,
    number_problems,
    refuse,
)
from shoal.coordination.structure.partitions import LARGEST, Rows, rows_of
from shoal.errors import Problem, Where

BITS = 60
"""Sums of all suspicion and weight stay below 2 to the power of this, in units."""


@dataclass(frozen=True)
class Block:
    """Accounts that share entities densely. `accounts`, `entities`: codes, ascending. `density`: suspicion and weight a
    node. `edges`: pairs of an account and an entity in it. `score`: mean score of its accounts; `base`: that of all
    accounts that have an entity."""

    accounts: Ints
    entities: Ints
    density: float
    edges: int
    score: float
    base: float

    @property
    def lift(self) -> float:
        """How many times the mean score of all its accounts have; infinity where that is 0."""
        return self.score / self.base if self.base > 0 else math.inf


def dense_blocks(
    accounts: int,
    entities: int,
    account: Codes,
    entity: Codes,
    scores: Floats,
    *,
    least: float,
    weight: Floats | None = None,
    prior: float = 1.0,
    offset: float = 5.0,
    blocks: int = 1,
    least_density: float = 0.0,
) -> list[Block]:
    """The densest blocks among accounts that score at least `least`, the densest first, no account in two of them.

    `account`, `entity`: codes of the ends of each edge; repeated edges add up their `weight` (float64 [edges], ones
    where None), edges of weight 0 are none. `scores` float64 [accounts] in [0, 1]: how suspicious each account is for
    other reasons; one below `least` takes no part, but counts in how popular its entities are. `prior`: suspicion of an
    account with score 1, in the measure of edges; 0 lets edges alone decide. `offset`: the c of 1 / log(c + d), over 1.
    Further blocks are looked for among the accounts of none before; fewer than `blocks` are given where nobody shares
    anything or the density is below `least_density`. Raises `InvalidInput`. Some 0.5 µs an edge and block.
    """
    problems = node_problems(accounts, "accounts") + node_problems(entities, "entities")
    if not problems and accounts + entities > MAX_NODES:
        message = f"{accounts + entities:,} accounts and entities"
        problems.append(Problem("structure.nodes", message, Where(path="entities"), f"{MAX_NODES:,} together"))
    problems += number_problems(least, "least", 0.0, 1.0) + number_problems(prior, "prior", 0.0, LARGEST)
    problems += number_problems(offset, "offset", 1.001, LARGEST)
    problems += number_problems(blocks, "blocks", 1, 10_000, whole=True)
    problems += number_problems(least_density, "least_density", 0.0, LARGEST)
    one, other = edge_arrays(account, entity, ("account", "entity"), problems)
    strength = float_array(weight, "weight", len(one), problems, high=LARGEST)
    refuse(problems)
    suspicion = float_array(scores, "scores", accounts, problems, high=1.0)
    refuse(problems + code_problem(accounts, one, "account") + code_problem(entities, other, "entity"))
    rows = rows_of(accounts + entities, one.astype(np.int64), other.astype(np.int64) + accounts, strength)
    return _blocks(rows, accounts, suspicion, float(least), float(prior), float(offset), blocks, float(least_density))


def _blocks(
    rows: Rows, accounts: int, scores: Floats, least: float, prior: float, offset: float, blocks: int, sparse: float
) -> list[Block]:
    n = rows.size
    degree = np.diff(rows.start)
    tied = degree[:accounts] > 0
    base = float(scores[tied].mean()) if tied.any() else 0.0
    units, priors, scale = _units(rows, accounts, scores, prior, offset)
    kept = np.ones(n, np.uint8)
    kept[:accounts] = scores >= least
    gone, density, found = np.empty(n, np.int32), np.zeros(1), list[Block]()
    while len(found) < blocks:
        left = kept.copy()
        whole = int(left.sum())
        best = K.peel(rows.start, rows.beside, units, priors, left, accounts, gone, density)
        if best < 0 or density[0] / scale < sparse:
            break
        left[gone[best:whole]] = 1
        members = np.flatnonzero(left[:accounts])
        edges = int(K.within(rows.start, rows.beside, left, accounts))
        score, shared = float(scores[members].mean()), np.flatnonzero(left[accounts:])
        found.append(Block(members, shared, float(density[0] / scale), edges, score, base))
        kept[members] = 0
    return found


def _units(rows: Rows, accounts: int, scores: Floats, prior: float, offset: float) -> tuple[Ints, Ints, float]:
    """Edge weights and suspicion in whole units, and how many units are 1."""
    worth = 1.0 / np.log(offset + np.diff(rows.start)[accounts:])
    strength = rows.strength.copy()
    whole = K.weigh(rows.start, rows.beside, strength, worth, accounts)
    suspicion = np.concatenate([scores * prior, np.zeros(rows.size - accounts)])
    total = whole + float(suspicion.sum()) + 1.0
    scale = math.ldexp(1.0, min(BITS - math.frexp(total)[1], 40))
    strength *= scale
    return np.rint(strength, out=strength).astype(np.int64), np.rint(suspicion * scale).astype(np.int64), scale
