"""One pack's side of a backtest: an engine of its own, and what it decided over the judged stretch of history.

A side sees every record of the stretch in journal order, beginning with the warm-up, whose decisions are not counted.
It keeps one entry for each (subject, threat) that it brought to `watch` or above, counts for rules and actions, and
the leases of actions that would have stopped later events. Owned by one backtest; reads no store.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoal.learn.cohorts import Subject
from shoal.policy.definitions import Tier
from shoal.policy.effects import EFFECTS, Effect, causing_session
from shoal.policy.policy import rule_indices
from shoal.runtime.columns import one_chunk
from shoal.runtime.engine import Engine, Outcome

LABEL_TYPES = {"content": "file_sha256"}
"""Kinds of subject that labels call otherwise."""


@dataclass
class Held:
    """What a side holds of one subject for one threat: the highest tier, when it was first at `watch` and at
    `challenge` (µs), rules, actions."""

    tier: Tier
    first_us: int
    challenged_us: int | None = None
    rules: set[str] = field(default_factory=set)
    actions: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Lease:
    seq: int
    until: int
    effect: Effect


@dataclass
class Side:
    """See the module. `stopped`: events that its actions would have stopped, as (seq, whose account it is);
    `met`: accounts that feel a decision at `challenge` or above (it is about them, about what they own, or about the
    address, device or session that they act from), with their plan."""

    engine: Engine
    events: int = 0
    tiers: Counter[int] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)
    actions: Counter[str] = field(default_factory=Counter)
    held: dict[tuple[Subject, str], Held] = field(default_factory=dict)
    stopped: list[tuple[int, str | None]] = field(default_factory=list)
    met: dict[str, str | None] = field(default_factory=dict)
    _leases: dict[str, dict[str, list[_Lease]]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(list)))

    def decide(self, table: pa.Table, counted: npt.NDArray[np.bool_]) -> dict[str, npt.NDArray[np.bool_]]:
        """Decide a batch; count where `counted` [n]. Returns for each rule id which counted rows it matched."""
        outcome = self.engine.decide(table)
        decisions = outcome.decisions
        if not counted.any():
            return {}
        self.events += int(counted.sum())
        self.tiers.update(Counter(decisions.tier[counted].tolist()))
        matched = {}
        for place, rule in enumerate(self.engine.pack.rules):
            bits = (decisions.matched[:, place // 64] >> np.uint64(place % 64)) & np.uint64(1)
            rows = (bits != 0) & counted
            if rows.any():
                matched[rule.id] = rows
                self.rules[rule.id] += int(rows.sum())
        self._hold(outcome, table, counted)
        self._stop(table, counted)
        return matched

    def _hold(self, outcome: Outcome, table: pa.Table, counted: npt.NDArray[np.bool_]) -> None:
        hits, policy = outcome.decisions.hits, self.engine.policy
        ids = [rule.id for rule in self.engine.pack.rules]
        chosen = np.flatnonzero((hits.tier > 0) & counted[hits.row]) if len(hits) else np.zeros(0, np.int64)
        if not len(chosen):
            return
        rows = hits.row[chosen]
        people = {name: _texts(table, name, rows) for name in ("account", "actor", "owner", "session")}
        plans = {name: _texts(table, name, rows) for name in ("account_tier", "owner_tier")}
        entries: dict[int, tuple[Held, str | None]] = {}
        for k, hit in enumerate(chosen.tolist()):
            kind = policy.kinds[int(hits.kind[hit])]
            subject = Subject(LABEL_TYPES.get(kind, kind), hits.text[hit])
            tier, at = Tier(int(hits.tier[hit])), int(hits.as_of[hit])
            key = (subject, policy.threats[int(hits.threat[hit])])
            held = self.held.get(key)
            if held is None:
                held = self.held[key] = Held(tier, at)
            held.tier = max(held.tier, tier)
            if tier >= Tier.CHALLENGE:
                held.challenged_us = at if held.challenged_us is None else held.challenged_us
                self._meet(kind, subject.name, {name: column[k] for name, column in (people | plans).items()})
            held.rules.update(ids[rule] for rule in rule_indices(hits.rules[hit]))
            entries[hit] = (held, people["session"][k])
        self._plan(outcome, entries)

    def _meet(self, kind: str, subject: str, row: Mapping[str, Any]) -> None:
        owned = kind in ("link", "file", "content", "url", "domain")
        person = subject if kind == "account" else row["owner"] if owned else row["actor"]
        if person and self.met.get(person) is None:
            self.met[person] = row["owner_tier" if owned else "account_tier"]

    def _plan(self, outcome: Outcome, entries: dict[int, tuple[Held, str | None]]) -> None:
        planned, policy = outcome.decisions.outbox, self.engine.policy
        for line in range(len(planned)):
            entry = entries.get(int(planned.hit[line]))
            if entry is None:
                continue
            held, session = entry
            action, kind = policy.actions[int(planned.action[line])], policy.kinds[int(planned.kind[line])]
            self.actions[action] += 1
            held.actions.add(action)
            effect, subject = EFFECTS.get((action, kind)), planned.text[line]
            if causing_session(action, kind) and session:
                effect, subject = Effect(("session",)), session
            if effect is not None:
                lease = _Lease(int(planned.seq[line]), int(planned.until[line]), effect)
                for column in effect.columns:
                    self._leases[column][subject].append(lease)

    def _stop(self, table: pa.Table, counted: npt.NDArray[np.bool_]) -> None:
        if not self._leases:
            return
        seqs, as_of = np.asarray(one_chunk(table, "seq")), np.asarray(one_chunk(table, "as_of"))
        types = one_chunk(table, "type")
        stopped = np.zeros(table.num_rows, dtype=bool)
        for column, leases in self._leases.items():
            if column not in table.column_names:
                continue
            values = one_chunk(table, column)
            found = np.asarray(pc.is_in(values, value_set=pa.array(list(leases), pa.string())))
            for row in np.flatnonzero(found & counted & ~stopped).tolist():
                kind = types[row].as_py()
                stopped[row] = any(
                    lease.seq < seqs[row]
                    and as_of[row] <= lease.until
                    and (not lease.effect.types or kind in lease.effect.types)
                    for lease in leases[values[row].as_py()]
                )
        rows = np.flatnonzero(stopped)
        people = zip(*(_texts(table, name, rows) for name in ("actor", "account", "owner")), strict=True)
        who = [actor or account or owner for actor, account, owner in people]
        self.stopped += list(zip(seqs[rows].tolist(), who, strict=True))
        self._forget(int(as_of[-1]))

    def _forget(self, now_us: int) -> None:
        """Leases that have run out stop nothing more."""
        for column, leases in list(self._leases.items()):
            for subject, listed in list(leases.items()):
                left = [lease for lease in listed if lease.until > now_us]
                if left:
                    leases[subject] = left
                else:
                    del leases[subject]
            if not leases:
                del self._leases[column]


def _texts(table: pa.Table, name: str, rows: npt.NDArray[np.int64]) -> list[Any]:
    if name not in table.column_names:
        return [None] * len(rows)
    listed: list[Any] = one_chunk(table, name).take(pa.array(rows)).to_pylist()
    return listed
