"""A world: a scenario and a seed, unrolled into events, facts and truth.

`simulate` builds the people and plans the attacks; `World.blocks` then lives through the days one after the other and
holds no more than one day of events in memory. A world may be iterated again and gives the same events. It knows no
detector.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from shoal.simulate.scenario import Scenario


@dataclass(frozen=True)
class Part:
    """A stretch of the world in order of delivery: facts first, then events that may rest on them."""

    facts: pa.Table  # FACT columns: subject_type, subject, name, value, time
    events: pa.Table  # GIVEN columns
    truth: pa.Table  # TRUTH_EVENTS


class World:
    """The unrolled scenario."""

    scenario: Scenario
    seed: int

    def parts(self) -> Iterator[Part]:
        """Facts, events and truth, a block at a time, in order of delivery."""
        raise NotImplementedError

    def blocks(self) -> Iterator[pa.Table]:
        """The event tables alone. Rows are in order of delivery (`received`), which is that of `time` but for the
        disorder and the late records that the scenario states."""
        raise NotImplementedError

    @property
    def facts(self) -> pa.Table:
        """All facts of accounts, by time."""
        raise NotImplementedError

    def labels(self) -> pa.Table:
        """`TRUTH_LABELS` of the whole world (lives through it once, if it has not been yet)."""
        raise NotImplementedError

    @property
    def truth(self) -> pa.Table:
        """`TRUTH_EVENTS` of the whole world (lives through it once, if it has not been yet)."""
        raise NotImplementedError


def simulate(scenario: Scenario, *, seed: int | None = None, block_rows: int = 65_536) -> World:
    """The world of `scenario`. `seed` defaults to the scenario's own."""
    raise NotImplementedError
