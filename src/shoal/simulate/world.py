"""A world: a scenario and a seed, unrolled into events, facts and truth.

`simulate` builds the people and plans the attacks; `World.parts` then lives through the days one after the other and
holds no more than one day of events in memory. A world may be iterated again and gives the same events. It knows no
detector.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from shoal.errors import InvalidInput, Problem
from shoal.simulate.addresses import AddressBook, build_addresses
from shoal.simulate.adversaries import Attacks, plan_attacks
from shoal.simulate.catalogue import TYPE
from shoal.simulate.communities import build_communities, honest_groups
from shoal.simulate.draws import DAY, HOUR, SECOND, Ints, unit
from shoal.simulate.honest import HonestWorld, Presence
from shoal.simulate.people import TIERS, People, build_people
from shoal.simulate.render import Renderer
from shoal.simulate.rows import Rows, concat, length, take
from shoal.simulate.scenario import Scenario
from shoal.simulate.truth import ALL_KINDS, TRUTH_EVENTS, TRUTH_GROUPS

MAX_BLOCK_ROWS = 4_000_000
"""A block's longest column (the hashes, 64 bytes a row) must fit 32-bit offsets."""
FACTS = pa.schema(
    [(name, pa.string()) for name in ("subject_type", "subject", "name", "value")] + [("time", pa.int64())]
)
"""The columns of facts, as in `events.facts` (places in a partition are the reader's)."""


@dataclass(frozen=True)
class Part:
    """A stretch of the world in order of delivery: facts first, then events that may rest on them."""

    facts: pa.Table  # FACTS
    places: Ints  # [facts], ascending: the row of `events` before which each fact stands
    events: pa.Table  # GIVEN columns
    truth: pa.Table  # TRUTH_EVENTS; duplicates are listed once
    duplicates: int  # rows of `events` that are copies of earlier ones
    late: int  # rows delivered late (duplicates not counted)


class World:
    """The unrolled scenario. Made by `simulate`."""

    def __init__(self, scenario: Scenario, seed: int, block_rows: int) -> None:
        self.scenario, self.seed, self.block_rows = scenario, seed, block_rows
        self.people: People = build_people(scenario, seed)
        self.people.communities = build_communities(scenario, seed, self.people)
        countries = tuple(sorted({home.country for home in scenario.homes}))
        people, homes = self.people, np.zeros(int(self.people.household.max()) + 1, dtype=np.int64)
        homes[people.household] = people.home[: people.honest]
        self.book: AddressBook = build_addresses(
            scenario, seed, homes, people.org_home, countries, people.communities.campus_city
        )
        self.presence = Presence(scenario, people, self.book)
        """Where people are at home, for adversaries; honest life has its own."""
        self.attacks: Attacks = plan_attacks(scenario, seed, people, self.book, self.presence)
        self.renderer = self.new_renderer()
        self._labels: pa.Table | None = None
        self._truth: pa.Table | None = None

    def new_renderer(self) -> Renderer:
        """A renderer of all accounts that there are by now."""
        scenario = self.scenario
        return Renderer(
            self.people, self.book, self.attacks.suffixes, scenario.activity.entropy_share, scenario.structure.means
        )

    def parts(self) -> Iterator[Part]:
        """Facts, events and truth, a block at a time, in order of delivery. Facts are never late."""
        scenario, honest = self.scenario, HonestWorld(self.scenario, self.seed, self.people, self.book)
        truths: list[pa.Table] = []
        carried: list[Rows] = []
        facts = pa.concat_tables([self.account_facts(0, scenario.start), self.link_facts(honest.old_links)])
        for day in range(scenario.days):
            day_end = scenario.start + (day + 1) * DAY
            fresh = self.fresh(honest, day)
            facts = pa.concat_tables([facts, self.facts_of_day(day_end, fresh)])
            today = self.deliver(fresh)
            today = {name: np.concatenate([*(part[name] for part in carried), some]) for name, some in today.items()}
            if day + 1 < scenario.days:
                due = today["deliver"] < day_end
                carried = [take(today, ~due)]
                today = take(today, due)
            today = take(today, np.lexsort((today["number"], today["deliver"])))
            times = np.asarray(facts["time"])
            done = 0
            for at in range(0, length(today), self.block_rows):
                block = take(today, slice(at, at + self.block_rows))
                last = at + self.block_rows >= length(today)
                upto = len(times) if last else int(np.searchsorted(times, block["deliver"][-1], side="right"))
                part = self.part(block, facts.slice(done, upto - done), times[done:upto])
                done = upto
                truths.append(part.truth)
                yield part
            facts = facts.slice(done)
        if facts.num_rows:  # a world in which nothing happens has people all the same
            yield self.part({**concat([]), **delivery_columns()}, facts, np.asarray(facts["time"]))
        self._truth = pa.concat_tables(truths) if truths else TRUTH_EVENTS.empty_table()
        self._labels = self.label_table(honest)

    def fresh(self, honest: HonestWorld, day: int) -> Rows:
        """What happens on a day, without delivery; days must be asked for in turn."""
        start = self.scenario.start
        fresh = concat([honest.day(day), self.attacks.between(start + day * DAY, start + (day + 1) * DAY)])
        return take(fresh, fresh["time"] < start + self.scenario.days * DAY)

    def blocks(self) -> Iterator[pa.Table]:
        """The event tables alone. Rows are in order of delivery (`received`, but for duplicates), which is that of
        `time` but for the disorder and the late records that the scenario states."""
        for part in self.parts():
            yield part.events

    @property
    def facts(self) -> pa.Table:
        """All facts of accounts, by time of creation; those of links are in the parts."""
        return self.account_facts(0, self.scenario.start + self.scenario.days * DAY)

    def labels(self) -> pa.Table:
        """`TRUTH_LABELS` of the whole world (lives through it once, if it has not been yet)."""
        self._live()
        assert self._labels is not None
        return self._labels

    def groups(self) -> pa.Table:
        """`TRUTH_GROUPS` of the whole world: cells of operations, and honest people who share something."""
        people, names = self.people, self.renderer.accounts
        country = self.presence.city_country[people.home[: people.honest]]
        book = honest_groups(people, people.communities, country, self.scenario.networks.carriers_per_country)
        rows = self.attacks.groups.rows + book.rows
        columns = list(zip(*rows, strict=True)) or [()] * 5
        texts = names.take(pa.array(columns[0], pa.int64()))
        return pa.table([texts, *(pa.array(column, pa.string()) for column in columns[1:])], schema=TRUTH_GROUPS)

    @property
    def truth(self) -> pa.Table:
        """`TRUTH_EVENTS` of the whole world (lives through it once, if it has not been yet)."""
        self._live()
        assert self._truth is not None
        return self._truth

    def _live(self) -> None:
        if self._truth is None:
            for _ in self.parts():
                pass

    def deliver(self, today: Rows) -> Rows:
        """Adds when each row is received and delivered; doubles some. Chosen by the row's number, so that one row's
        fate does not hang on the others."""
        delivery, number = self.scenario.delivery, today["number"]
        delay = -np.log1p(-unit(number, 101)) * delivery.disorder_s * SECOND
        late = unit(number, 102) < delivery.late_share
        delay += np.where(late, (0.1 - np.log1p(-unit(number, 103))) * delivery.late_h * HOUR, 0.0)
        today["received"] = today["time"] + delay.astype(np.int64)
        today["deliver"] = today["received"]
        today["copy"] = np.zeros(len(number), bool)
        today["late"] = late
        twice = np.flatnonzero(unit(number, 104) < delivery.duplicate_share)
        again = take(today, twice)
        wait = -np.log1p(-unit(number[twice], 105)) * np.where(
            unit(number[twice], 106) < 0.7, 20 * SECOND, delivery.late_h * HOUR
        )
        again["deliver"] = again["deliver"] + wait.astype(np.int64) + 1000
        again["copy"] = np.ones(len(twice), bool)
        return {name: np.concatenate([column, again[name]]) for name, column in today.items()}

    def part(self, block: Rows, facts: pa.Table, fact_times: Ints) -> Part:
        """The part of these rows; each fact stands before the first row delivered at its time or later."""
        events = self.renderer.table(block)
        places = np.searchsorted(block["deliver"], fact_times, side="left").astype(np.int64)
        kept = ~block["copy"]
        marked = np.flatnonzero((block["mark"] >= 0) & kept)
        names = [adversary.id for adversary in self.scenario.adversaries]
        truth = pa.table(
            {
                "event_id": events["event_id"].take(pa.array(marked)),
                "time": pa.array(block["time"][marked]),
                "attack": [names[a] if a >= 0 else None for a in block["attack"][marked].tolist()],
                "kind": [ALL_KINDS[m] for m in block["mark"][marked].tolist()],
                "harmful": pa.array(block["harmful"][marked] > 0),
            },
            schema=TRUTH_EVENTS,
        )
        late = int(np.count_nonzero(block["late"] & kept))
        return Part(facts, places, events, truth, int(np.count_nonzero(~kept)), late)

    def facts_of_day(self, day_end: int, fresh: Rows) -> pa.Table:
        """Facts of the accounts and links made on a day, by time."""
        made = np.flatnonzero(fresh["type"] == TYPE["link.created"])
        links = self.link_facts({name: fresh[name][made] for name in ("time", "link", "owner")})
        table = pa.concat_tables([self.account_facts(day_end - DAY, day_end), links])
        return table.take(pa.array(np.argsort(np.asarray(table["time"]), kind="stable")))

    def account_facts(self, start: int, end: int) -> pa.Table:
        """Four facts (three for private persons) of each account made in [start, end) µs, as of its creation."""
        people = self.people
        accounts = np.flatnonzero((people.created >= start) & (people.created < end))
        accounts = accounts[np.argsort(people.created[accounts], kind="stable")]
        org, created = people.org[accounts], people.created[accounts]
        values = {
            "created": _integers(created),
            "tier": pa.array(TIERS, pa.string()).take(pa.array(people.tier[accounts])),
            "verified": pa.array(["false", "true"], pa.string()).take(pa.array(people.verified[accounts].astype(int))),
            "org": self.renderer.orgs.take(pa.array(org, mask=org < 0)),
        }
        return _facts("account", self.renderer.accounts.take(pa.array(accounts)), values, created)

    def link_facts(self, links: Rows) -> pa.Table:
        """Owner and creation of links (`time`, `link`, `owner`), in their order."""
        created = np.asarray(links["time"], dtype=np.int64)
        values = {"owner": self.renderer.accounts.take(pa.array(links["owner"])), "created": _integers(created)}
        return _facts("link", self.renderer.link_texts(links["link"]), values, created)

    def label_table(self, honest: HonestWorld) -> pa.Table:
        """`TRUTH_LABELS` of what was lived through with `honest`."""
        book, renderer = self.attacks.labels, self.renderer
        honest.labels.rows += book.rows

        def texts(subject_type: str, codes: list[int]) -> list[str]:
            array = np.array(codes, dtype=np.int64)
            if subject_type == "account":
                found = renderer.accounts.take(pa.array(array))
            elif subject_type == "link":
                found = renderer.link_texts(array)
            elif subject_type == "ip":
                found = self.book.text.take(pa.array(array))
            elif subject_type == "app":
                found = renderer.words["app"].take(pa.array(array))
            else:
                found = renderer.sha_texts(array)
            return [str(text) for text in found.to_pylist()]

        return honest.labels.table(texts)


def delivery_columns() -> Rows:
    """The columns that delivery adds, without rows."""
    none = np.zeros(0, dtype=np.int64)
    return {"received": none, "deliver": none, "copy": none.astype(bool), "late": none.astype(bool)}


def _integers(values: Ints) -> pa.Array:
    return pa.array(values, pa.int64()).cast(pa.string())


def _facts(subject_type: str, subject: pa.Array, values: dict[str, pa.Array], time: Ints) -> pa.Table:
    """Rows of facts, one name after the other for each subject; null values are left out."""
    size, count = len(subject), len(values)
    order = np.arange(size * count).reshape(count, size).T.ravel()
    table = pa.table(
        {
            "subject_type": pa.array([subject_type] * (size * count), pa.string()),
            "subject": pa.concat_arrays([subject] * count),
            "name": pa.array([name for name in values for _ in range(size)], pa.string()),
            "value": pa.concat_arrays(list(values.values())),
            "time": pa.array(np.tile(time, count), pa.int64()),
        },
        schema=FACTS,
    ).take(pa.array(order))
    return table.filter(table["value"].is_valid())


def simulate(scenario: Scenario, *, seed: int | None = None, block_rows: int = 65_536) -> World:
    """The world of `scenario`. `seed` defaults to the scenario's own; `block_rows` bounds the rows of a block and
    changes nothing else.

    Raises `InvalidInput` (`simulate.seed`, `simulate.block_rows`) for values out of range.
    """
    seed = scenario.seed if seed is None else seed
    problems = []
    if not 0 <= seed < 1 << 31:
        problems.append(Problem("simulate.seed", f"the seed is {seed}", allowed=f"0 to {(1 << 31) - 1:,}"))
    if not 1 <= block_rows <= MAX_BLOCK_ROWS:
        message = f"block_rows is {block_rows}"
        problems.append(Problem("simulate.block_rows", message, allowed=f"1 to {MAX_BLOCK_ROWS:,}"))
    if problems:
        raise InvalidInput(problems)
    return World(scenario, seed, block_rows)
