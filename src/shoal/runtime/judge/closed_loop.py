"""The closed loop: a simulated world that reacts to what a pack decides, step by step, and what that changes.

The engine is the real one: each step's records are journalled, decided and committed in a deployment of their own, and
the actions that the policy planned (the outbox: subject, action, as_of, lease) are handed to the world; nothing else
of the decision is. Beside it run the same world without any policy, and with an oracle that reads the truth and acts
at once: the open loop and the upper bound. Owns nothing but the deployment's folder while it runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from shoal.events.decode import empty_events
from shoal.packs.load import load_pack
from shoal.runtime.commit import rows_of
from shoal.runtime.deployment import Deployment, find_pack, open_deployment
from shoal.runtime.home import open_home
from shoal.runtime.ingest.order import Ordered
from shoal.runtime.ingest.writer import FINISHED, STARTED
from shoal.runtime.run import Progress
from shoal.runtime.warm import warm
from shoal.simulate import Part, Scenario
from shoal.simulate.react import ACTIONS_SCHEMA, ReactiveWorld

FORMAT, VERSION = "shoal.closed_loop", 1
DAY_US, LEASE_US = 86_400_000_000, 30 * 86_400_000_000
Actor = Callable[[Part], pa.Table]
"""What watches a step and says what is to be done: `ACTIONS_SCHEMA`."""


@dataclass(frozen=True)
class Loop:
    """One scenario three times: without a policy, with the pack, with the oracle. Ledgers as plain numbers."""

    scenario: str
    seed: int
    pack: str
    step_min: float
    seconds: float  # of the run with the pack
    open: dict[str, Any]
    policy: dict[str, Any]
    oracle: dict[str, Any]

    def attacks(self) -> list[dict[str, Any]]:
        """By attack: what happened in each run, what was prevented, and what a success cost the adversary."""
        out = []
        for name, before in self.open["attacks"].items():
            after, best = self.policy["attacks"][name], self.oracle["attacks"][name]
            row: dict[str, Any] = {"attack": name, "kind": before["kind"]}
            for what in ("harmful", "bytes_taken", "visits", "victims"):
                undone = [run["undone"] if what == "harmful" else 0 for run in (before, after, best)]
                values = [run[what] - less for run, less in zip((before, after, best), undone, strict=True)]
                row[what] = dict(zip(("open", "policy", "oracle"), values, strict=True))
                row[what]["prevented"] = 1 - values[1] / values[0] if values[0] else None
                row[what]["possible"] = 1 - values[2] / values[0] if values[0] else None
            costs = ("attempts", "refused", "challenged", "passed", "retries", "accounts_burned", "addresses_burned")
            row["cost"] = {what: after[what] for what in costs}
            row["attempts_per_victim"] = after["attempts"] / after["victims"] if after["victims"] else None
            row["stopped_at"] = after["stopped_at"]
            out.append(row)
        return out

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        runs = {"open": self.open, "policy": self.policy, "oracle": self.oracle}
        head = {"format": FORMAT, "version": VERSION, "scenario": self.scenario, "seed": self.seed, "pack": self.pack}
        return {**head, "step_min": self.step_min, "seconds": self.seconds, "attacks": self.attacks(), "runs": runs}


def run_loop(
    scenario: Scenario, folder: Path, progress: Progress, *, seed: int | None = None, pack: str = "file_sharing"
) -> Loop:
    """Run the three worlds. The deployment of the run with the pack lies in `folder/shoal` afterwards."""
    seed = scenario.seed if seed is None else seed
    load_pack(find_pack(pack))  # a bad pack is told before the first world is lived through
    progress.stage("without a policy")
    bare = unroll(ReactiveWorld(scenario, seed), DAY_US, None, progress)
    progress.stage("with an oracle")
    step_us = round(scenario.reactions.step_min * 60e6)
    best = unroll(ReactiveWorld(scenario, seed), step_us, Oracle(), progress)
    deployment = open_deployment(open_home(folder / "shoal", create=True), progress.stage)
    try:
        published = deployment.publish(find_pack(pack), history_complete=False)
        warm(deployment.running, progress.stage)
        progress.stage(f"with the pack {published.name}")
        begun = time.perf_counter()
        watched = Watched(deployment, f"{scenario.name}@{seed}")
        policy = unroll(ReactiveWorld(scenario, seed), step_us, watched, progress)
        watched.finish()
        seconds = time.perf_counter() - begun
    finally:
        deployment.close()
    return Loop(scenario.name, seed, published.name, scenario.reactions.step_min, seconds, bare, policy, best)


def unroll(world: ReactiveWorld, step_us: int, actor: Actor | None, progress: Progress) -> dict[str, Any]:
    """Live through a world in steps; the actor's actions go back after each. Returns the ledger as plain numbers."""
    start, span = world.now, world.end - world.now
    while not world.over:
        part = world.step(world.now + step_us)
        if actor is not None and part.events.num_rows + part.facts.num_rows:
            actions = actor(part)
            if actions.num_rows:
                world.act(actions)
        progress.moved(round((world.now - start) / span * 1000), 1000)
    return world.ledger().to_dict()


class Watched:
    """The engine as an actor: journals, decides and commits each step, and gives back what the policy planned."""

    def __init__(self, deployment: Deployment, source: str) -> None:
        self._deployment, self._source, self._offset = deployment, source, 0
        body = {"source": source, "format": "simulator", "received": True, "max_time": 0, "paths": []}
        deployment.process(deployment.writer.control(STARTED, body))

    def __call__(self, part: Part) -> pa.Table:
        """Decide a step."""
        deployment = self._deployment
        block = self._ordered(part)
        rows = deployment.home.settings.batch_rows
        planned: list[dict[str, Any]] = []
        for start in range(0, block.records, rows):
            piece = block.between(start, min(start + rows, block.records))
            bound: Any = 2**62
            if piece.events.num_rows:
                skew = round(deployment.home.settings.skew_s * 1e6)
                bound = np.asarray(piece.events.column("received").combine_chunks()) + skew
            group = deployment.writer.write(piece, bound)
            if group is None:
                continue
            decided = deployment.decide(group)
            deployment.committer.commit(decided)
            if decided.table is not None and decided.decisions is not None:
                outbox = rows_of(decided.table, decided.decisions, decided.engine)[1]
                planned += [
                    dict(
                        zip(
                            ACTIONS_SCHEMA.names,
                            (r.subject_type, r.subject, r.action, r.as_of, r.lease_until),
                            strict=True,
                        )
                    )
                    for r in outbox
                ]
        return pa.Table.from_pylist(planned, schema=ACTIONS_SCHEMA)

    def finish(self) -> None:
        """The world is over."""
        self._deployment.process(self._deployment.writer.control(FINISHED, {"source": self._source}))

    def _ordered(self, part: Part) -> Ordered:
        """The part's records at their places, as a reader of a source gives them."""
        events, facts = part.events, part.facts
        size = events.num_rows
        offsets = pa.array(np.arange(self._offset, self._offset + size))
        self._offset += size
        place = events.column_names.index("source") + 1 if size else 0
        if size:
            events = events.add_column(place, "partition", pa.array(["world"] * size, pa.string()))
            events = events.add_column(place + 1, "offset", offsets)
        else:
            events = empty_events()
        facts = facts.append_column("offset", pa.array(np.zeros(facts.num_rows, np.int64)))
        none = np.zeros(0, np.int64)
        return Ordered(events, facts, np.minimum(part.places, size), empty_events(), none, (), none)


_UNDO = ("revert_contact", "revert_mfa", "revoke_apps", "restore_files")


class Oracle:
    """An actor that reads the truth: whoever did harm in this step is stopped at the next, and what can be mended is.

    An adversary's own account is closed, a bad link stopped, the address of a failed guess closed for a day. An
    intruder who logged in loses session and device; one who came on the owner's own session loses the session only, so
    that the owner logs in again.
    """

    def __init__(self) -> None:
        self._own: set[str] = set()
        self._entered: set[str] = set()
        self._until: dict[tuple[str, str, str], int] = {}  # leases that run

    def __call__(self, part: Part) -> pa.Table:
        """What is to be done about the harm of a step."""
        bad = part.truth.filter(pa.compute.and_(part.truth["harmful"], pa.compute.is_valid(part.truth["attack"])))
        if not bad.num_rows:
            return ACTIONS_SCHEMA.empty_table()
        rows = part.events.filter(pa.compute.is_in(part.events["event_id"], bad["event_id"].combine_chunks()))
        planned: list[dict[str, Any]] = []
        for row in rows.to_pylist():
            for kind, name, action, lease in self._answer(row):
                subject = row.get(name)
                key = (kind, str(subject), action)
                if subject is None or (row["time"] < self._until.get(key, 0) and action not in _UNDO):
                    continue
                self._until[key] = row["received"] + lease
                planned.append({
                    "subject_type": kind, "subject": subject, "action": action, "as_of": row["time"],
                    "until": row["received"] + lease,
                })  # fmt: skip
        unique = pl.DataFrame(planned, schema=ACTIONS_SCHEMA.names).unique(
            ["subject_type", "subject", "action"], keep="first", maintain_order=True
        )
        return unique.to_arrow().cast(ACTIONS_SCHEMA)

    def _answer(self, row: dict[str, Any]) -> list[tuple[str, str, str, int]]:
        """(kind of subject, column, action, lease) for one harmful event."""
        kind, account = str(row["type"]), str(row.get("account"))
        if kind == "account.created":
            self._own.add(account)
        if kind == "login.succeeded":
            self._entered.add(account)
        if kind == "login.failed":
            return [("ip", "ip", "suspend", DAY_US)]
        out = []
        if account in self._own:
            out.append(("account", "account", "suspend", LEASE_US))
        elif account in self._entered:
            out += [("session", "session", "suspend", LEASE_US), ("device", "device", "suspend", LEASE_US)]
        elif row.get("session"):
            out.append(("session", "session", "revoke_sessions", LEASE_US))
        if kind == "link.created":
            out.append(("link", "link", "stop_link", LEASE_US))
        return out + [("account", "account", action, LEASE_US) for action in _UNDO]
