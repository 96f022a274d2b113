"""The reacting world: `step` delivers what happens, `act` changes what happens next.

A day is generated openly, as `World` does it, and what has not been delivered waits in `_waiting`. Enforcement meets
each row as it is about to be delivered; it never reaches back: an action takes effect not before the end of the last
step. What adversaries do instead joins the rows that wait, and is delivered like any other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from shoal.errors import InvalidInput, Problem
from shoal.simulate.catalogue import CODE, TYPE
from shoal.simulate.draws import DAY, SECOND, Bools, generator
from shoal.simulate.honest import HonestWorld
from shoal.simulate.people import People
from shoal.simulate.react.clones import RECOVERY, VISITS, units_of
from shoal.simulate.react.foes import NEVER, Foe, Row
from shoal.simulate.react.holds import COLUMN, Directory, Hold, Holds
from shoal.simulate.react.ledger import Ledger
from shoal.simulate.react.reactor import Reactor
from shoal.simulate.react.semantics import ACTIONS_SCHEMA, HELD, KINDS, SEMANTICS
from shoal.simulate.rows import COLUMNS, Rows, concat, length, take
from shoal.simulate.scenario import Scenario
from shoal.simulate.world import MAX_BLOCK_ROWS, Part, World, delivery_columns

_READ = ("number", "time", "type", "actor", "account", "owner", "session", "device", "address", "agent", "link", "file",
         "content", "attack", "mark", "harmful")  # fmt: skip
_DOWNLOAD = TYPE["file.downloaded"]


class ReactiveWorld:
    """A world that answers to enforcement. Times are µs UTC; steps go forward only."""

    def __init__(self, scenario: Scenario, seed: int | None = None) -> None:
        seed = scenario.seed if seed is None else seed
        if not 0 <= seed < 1 << 31:
            raise InvalidInput(Problem("simulate.seed", f"the seed is {seed}", allowed=f"0 to {(1 << 31) - 1:,}"))
        world = self._world = World(scenario, seed, MAX_BLOCK_ROWS)
        self.scenario, self.now = scenario, scenario.start
        self.end = scenario.start + scenario.days * DAY
        spares = _spares(world.people, scenario)
        world.renderer = world.new_renderer()
        self._honest = HonestWorld(scenario, seed, world.people, world.book)
        self._facts = pa.concat_tables(
            [world.account_facts(0, scenario.start), world.link_facts(self._honest.old_links)]
        )
        self._waiting: Rows = {**concat([]), **delivery_columns()}
        self._later: list[Rows] = []  # rows for days that have not been generated
        self._day = 0
        self._ledger = Ledger()
        self._directory = Directory(world.renderer)
        self._holds = Holds(self._directory)
        planned, attack = world.attacks.rows, world.attacks.rows["attack"]
        self._foes = [Foe.of(world, index, take(planned, attack == index), own) for index, own in enumerate(spares)]
        self._reactor = Reactor(world, self._holds, self._foes, self._ledger)
        self._ledger.attacks = {foe.spec.id: foe.ledger for foe in self._foes}
        self._ledger.owners.accounts = world.people.honest
        self._ledger.owners.weeks = scenario.days / 7
        self._acted = False
        self._numbers = self._actions = 0
        self._verdicts: dict[int, tuple[bool, int, int]] = {}  # row number → happened, session, address
        self._harm: dict[tuple[int, int], list[int]] = {}  # (account, type) → attacks of the harm done
        self._labels: pa.Table | None = None

    @property
    def over(self) -> bool:
        """Whether all has been delivered."""
        return self.now >= self.end

    def step(self, until_us: int) -> Part:
        """All that is delivered before `until_us`, in order of delivery. The step that reaches the end of the world
        takes all that is still under way.

        Raises `InvalidInput` (`react.step`) for a moment that is not after the last one.
        """
        if until_us <= self.now:
            allowed = f"after {self.now}"
            raise InvalidInput(Problem("react.step", f"the step ends at {until_us}", allowed=allowed))
        while self._day < self.scenario.days and self._generated_until < until_us:
            self._generate()
        last = until_us >= self.end
        limit = NEVER if last else until_us
        block = self._due(limit)
        if self._acted:
            block = self._reacted(block, limit)
        else:
            self._remember(block)
        times = np.asarray(self._facts["time"])
        count = len(times) if last else int(np.searchsorted(times, until_us, side="left"))
        part = self._world.part(block, self._facts.slice(0, count), times[:count])
        self._facts = self._facts.slice(count)
        self._directory.note(block)
        self._account_for(block, part)
        self.now = until_us
        return part

    def act(self, actions: pa.Table) -> int:
        """Take enforcement (`ACTIONS_SCHEMA`; other columns are not read). Returns how many had an effect.

        An action takes effect `reactions.delay_s` after its `as_of`, and not before the end of the last step. Subjects
        that were never seen, and kinds of subject on which nothing can be done, are counted (`without_effect`). Raises
        `InvalidInput` (`react.actions`) for another table or an unknown action, all problems together.
        """
        rows = _checked(actions)
        delay, done = int(self.scenario.reactions.delay_s * SECOND), 0
        for row in rows:
            name = str(row["action"])
            counts = self._ledger.actions
            counts[name] = counts.get(name, 0) + 1
            kind, start = str(row["subject_type"]), max(int(row["as_of"]) + delay, self.now)
            code = self._directory.code(kind, str(row["subject"])) if kind in KINDS else None
            if code is None or SEMANTICS[name].effect == "note":
                self._ledger.without_effect += code is None and SEMANTICS[name].effect != "note"
                continue
            self._apply(name, kind, code, start, int(row["until"]))
            done += 1
        if done:
            self._acted = True
            self._take_births()
        return done

    def ledger(self) -> Ledger:
        """What was counted so far; the same object all along."""
        return self._ledger

    def labels(self) -> pa.Table:
        """`TRUTH_LABELS` of the world as it went. Only when it is over; a subject that an adversary never came to do
        harm with keeps its label."""
        if not self.over:
            raise InvalidInput(Problem("react.labels", "the world is not over", hint="step to its end first"))
        if self._labels is None:
            self._labels = self._world.label_table(self._honest)
        return self._labels

    def groups(self) -> pa.Table:
        """`TRUTH_GROUPS` of the world as it went so far; accounts that took the place of others are in their cells."""
        return self._world.groups()

    @property
    def _generated_until(self) -> int:
        return self.scenario.start + self._day * DAY

    def _generate(self) -> None:
        """One more day, openly."""
        fresh = self._world.fresh(self._honest, self._day)
        self._day += 1
        day_end = self._generated_until
        due = [take(rows, rows["time"] < day_end) for rows in self._later]
        self._later = [kept for rows in self._later if length(kept := take(rows, rows["time"] >= day_end))]
        if any(length(rows) for rows in due):
            fresh = concat([fresh, *due])
        self._facts = pa.concat_tables([self._facts, self._world.facts_of_day(day_end, fresh)])
        self._wait(self._world.deliver(fresh))

    def _wait(self, delivered: Rows) -> None:
        self._waiting = {name: np.concatenate([column, delivered[name]]) for name, column in self._waiting.items()}

    def _due(self, limit: int) -> Rows:
        due = self._waiting["deliver"] < limit
        block = take(self._waiting, due)
        self._waiting = take(self._waiting, ~due)
        return take(block, np.lexsort((block["number"], block["deliver"])))

    def _reacted(self, block: Rows, limit: int) -> Rows:
        """The rows that still happen, with those that were born and are due; what is born is judged like the rest."""
        parts = []
        while length(block):
            parts.append(self._judged(block))
            self._take_births()
            block = self._due(limit)
        if not parts:
            return block
        whole = {name: np.concatenate([part[name] for part in parts]) for name in block}
        return take(whole, np.lexsort((whole["number"], whole["deliver"])))

    def _judged(self, block: Rows) -> Rows:
        """The rows that still happen, perhaps in another session or from another address."""
        reactor = self._reactor
        chosen = np.flatnonzero(self._concerned(block))
        kept = np.ones(length(block), bool)
        units = units_of(block)
        columns = {name: block[name][chosen].tolist() for name in _READ}
        for place, at in enumerate(chosen.tolist()):
            number = columns["number"][place]
            if block["copy"][at]:  # the same bytes as the original's; of one that did not happen there is none
                kept[at], block["session"][at], block["address"][at] = self._verdicts.get(
                    number, (True, block["session"][at], block["address"][at])
                )
                continue
            row: Row = {name: int(columns[name][place]) for name in _READ}
            row["unit"] = int(units[at])
            kept[at] = reactor.judge(row)
            self._verdicts[number] = (bool(kept[at]), row["session"], row["address"])
            if kept[at]:
                block["session"][at], block["address"][at] = row["session"], row["address"]
                reactor.happened(row)
        return take(block, kept)

    def _concerned(self, block: Rows) -> Bools:
        reactor = self._reactor
        out = self._holds.concerned(block) | (block["attack"] >= 0)
        gone = list(reactor.ended) + [session for session, _ in reactor.renewed]
        for column, codes in (
            ("session", gone), ("link", list(reactor.dead_links)), ("actor", list(reactor.dead_accounts)),
        ):  # fmt: skip
            if codes:
                out |= np.isin(block[column], np.array(codes, dtype=np.int64))
        return out & (block["cause"] < 0)  # enforcement does not meet itself

    def _take_births(self) -> None:
        """New rows begin to wait, or wait for their day."""
        reactor = self._reactor
        if reactor.born:
            born = concat([_from_dicts(reactor.born)])
            reactor.born.clear()
            born["number"] = (1 << 54) + self._numbers + np.arange(length(born))
            self._numbers += length(born)
            deliver = np.maximum(born["time"], self.now) + SECOND // 5
            self._wait({
                **born, "received": deliver, "deliver": deliver, "copy": np.zeros(length(born), bool),
                "late": np.zeros(length(born), bool),
            })  # fmt: skip
        for foe in self._foes:
            for rows in foe.born:
                rows = take(rows, rows["time"] < self.end)
                near = rows["time"] < self._generated_until
                if near.any():
                    now = concat([take(rows, near)])
                    self._wait(self._world.deliver(now))
                    self._facts = self._with_facts(now)
                self._later.append(take(rows, ~near))
            foe.born.clear()

    def _with_facts(self, born: Rows) -> pa.Table:
        """The facts with those of accounts and links that were made out of turn."""
        tables = [self._facts]
        signed_up = take(born, born["type"] == TYPE["account.created"])
        for account, time in zip(signed_up["account"].tolist(), signed_up["time"].tolist(), strict=True):
            table = self._world.account_facts(time, time + 1)
            name = self._world.renderer.accounts[account].as_py()
            tables.append(table.filter(pa.compute.equal(table["subject"], name)))
        made = born["type"] == TYPE["link.created"]
        tables.append(self._world.link_facts({name: born[name][made] for name in ("time", "link", "owner")}))
        table = pa.concat_tables(tables)
        return table.take(pa.array(np.argsort(np.asarray(table["time"]), kind="stable")))

    def _apply(self, name: str, kind: str, code: int, start: int, until: int) -> None:
        meaning = SEMANTICS[name]
        self._actions += 1
        if meaning.effect in HELD:
            over = NEVER if meaning.effect == "end" else until
            self._holds.add(kind, code, Hold(self._actions, name, meaning.effect, meaning.types, start, over))
        elif kind == "account" and meaning.effect == "tell":
            self._reactor.told(code, start)
        elif kind == "account" and meaning.effect == "undo":
            for what in meaning.types:
                for attack in self._harm.pop((code, what), ()):
                    self._foes[attack].ledger.undone += 1
        row = {"time": start, "type": TYPE["action.applied"], "operation": CODE["operation"][name],
               "outcome": CODE["outcome"]["success"], "cause": CODE["cause"]["shoal"]}  # fmt: skip
        column = "account" if kind == "account" else COLUMN.get(kind)
        if column is not None:
            row[column] = code
        self._reactor.born.append(row)

    def _remember(self, block: Rows) -> None:
        """Before the first action: who is inside which account, since when."""
        for at in np.flatnonzero((block["attack"] >= 0) & (block["harmful"] > 0)).tolist():
            row = {name: int(block[name][at]) for name in _READ}
            foe = self._foes[row["attack"]]
            row["unit"] = row["account"] if row["account"] >= 0 else row["actor"]
            foe.ledger.attempts += not block["copy"][at]
            self._reactor.happened(row)
        for account in block["account"][(block["attack"] >= 0) & (block["mark"] == RECOVERY)].tolist():
            self._reactor.held_since.pop(account, None)

    def _account_for(self, block: Rows, part: Part) -> None:
        """Count harm in what was delivered."""
        self._ledger.events += length(block)
        bad = np.flatnonzero((block["attack"] >= 0) & ~block["copy"])
        if not len(bad):
            return
        sizes = part.events["size_bytes"].to_pylist() if "size_bytes" in part.events.column_names else None
        for at in bad.tolist():
            ledger, kind = self._foes[int(block["attack"][at])].ledger, int(block["type"][at])
            if block["harmful"][at]:
                ledger.harmful += 1
                if kind == _DOWNLOAD and sizes is not None:
                    ledger.bytes_taken += sizes[at] or 0
                if block["actor"][at] >= 0:
                    self._harm.setdefault((int(block["actor"][at]), kind), []).append(int(block["attack"][at]))
            elif kind in VISITS[:2]:
                ledger.visits += 1
                person = int(block["actor"][at])
                ledger.visitors.add(person if person >= 0 else -2 - int(block["address"][at]))


def _spares(people: People, scenario: Scenario) -> list[list[int]]:
    """Accounts that each adversary may still make, as far as his budget goes; made when they are needed."""
    out = []
    for adversary in scenario.adversaries:
        size = adversary.budget.accounts
        rng = generator(people.seed, "spares", adversary.id)
        home = rng.integers(0, len(scenario.homes), size)
        naming = people.names.of_attack.get(adversary.id, -1)
        out.append(people.add(np.full(size, NEVER), home, 0, naming=naming).tolist())
    return out


def _from_dicts(born: list[dict[str, int]]) -> Rows:
    return {
        name: np.array([row.get(name, default) for row in born], dtype=dtype)
        for name, (dtype, default) in COLUMNS.items()
    }


def _checked(actions: pa.Table) -> list[dict[str, Any]]:
    """The rows of a table of actions; refused with all problems together."""
    problems = []
    for field in ACTIONS_SCHEMA:
        if field.name not in actions.column_names:
            problems.append(Problem("react.actions", f"the column {field.name!r} is missing"))
        elif actions.schema.field(field.name).type != field.type and actions.num_rows:
            found = actions.schema.field(field.name).type
            problems.append(Problem("react.actions", f"{field.name} is {found}", allowed=str(field.type)))
        elif actions.column(field.name).null_count:
            problems.append(Problem("react.actions", f"{field.name} has nulls"))
    if problems:
        raise InvalidInput(problems)
    rows: list[dict[str, Any]] = actions.select(ACTIONS_SCHEMA.names).to_pylist()
    for name in sorted({str(row["action"]) for row in rows} - set(SEMANTICS)):
        problems.append(Problem("react.actions", f"no action {name!r}", allowed=", ".join(SEMANTICS)))
    if problems:
        raise InvalidInput(problems)
    return rows
