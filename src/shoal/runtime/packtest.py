"""Running a pack's tests on the engine that decides in production: facts, enrichment, stamps, then `Engine`."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from shoal.enrich import Enricher, FactTable
from shoal.errors import InvalidInput, Problem, nearest_name
from shoal.events.identity import Identity
from shoal.packs import testing
from shoal.packs.pack import Pack
from shoal.packs.testing import TestResult
from shoal.runtime.columns import one_chunk
from shoal.runtime.engine import Engine
from shoal.runtime.ingest.stamps_kernel import stamp

_NEVER = 2**62


class OneStream:
    """One run of a pack over one stream, from an empty state with complete history."""

    def __init__(self, pack: Pack) -> None:
        identity = Identity(bytes(range(16)))
        self._engine = Engine(pack, identity, history_complete=True, capacity=1024)
        self._facts, self._enricher = FactTable(identity), Enricher()
        self._lateness_us = round(pack.settings.lateness_s * 1e6)
        self._attributes = set(pack.attributes) | set(pack.stated_kinds)
        self._seq, self._as_of = 0, 0

    def run(self, events: pa.Table, facts: pa.Table) -> testing.Outcome:
        """Stamp and decide a table of events, in the order given; attributes may stand as columns of their own."""
        rows = events.num_rows
        times = np.asarray(one_chunk(events, "time"))
        as_of, flags = np.empty(rows, np.int64), np.empty(rows, np.int64)
        self._as_of = stamp(times, np.full(rows, _NEVER), self._as_of, self._lateness_us, as_of, flags)
        given = {name: events.column(name) for name in events.column_names if name in self._attributes}
        known = self._enricher.enrich(self._facts.join(events.drop_columns(list(given)), facts))
        seq = np.arange(self._seq, self._seq + rows)
        self._seq += rows
        columns = {name: known.column(name) for name in known.column_names} | given
        columns |= {"seq": pa.array(seq), "as_of": pa.array(as_of), "flags": pa.array(flags)}
        outcome = self._engine.decide_columns(pa.table(columns))
        return testing.Outcome(outcome.frame, outcome.matches, outcome.decisions)


def run_tests(pack: Pack, only: str = "") -> Iterator[TestResult]:
    """Run the tests of all rules, or of those whose id contains `only`; raises `InvalidInput` where there is none."""
    chosen = [rule.id for rule in pack.rules if only in rule.id]
    if not chosen:
        near = nearest_name(only, [rule.id for rule in pack.rules])
        raise InvalidInput(Problem("pack.no_rule", f"no rule's id contains {only!r}", nearest=near))
    yield from testing.run_tests(pack, OneStream, chosen, time.perf_counter)
