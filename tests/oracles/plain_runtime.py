"""The plainest runtime: facts, enrichment, features, rules and policy put together by hand, for tests of packs."""

import numpy as np
import pyarrow as pa

from shoal.detectors.signal_stage import SignalStage
from shoal.enrich.enricher import Enricher
from shoal.enrich.facts import FactTable
from shoal.events.identity import Identity
from shoal.expressions.frame import Frame
from shoal.features.engine import FeatureEngine, Stamps
from shoal.packs.testing import Outcome
from shoal.policy.policy import PolicyEngine
from shoal.rules.rules import RuleSet

IDENTITY = Identity(bytes(range(16)))


class PlainRuntime:
    """One run of a pack over one stream with complete history; batches of any size, in order."""

    def __init__(self, pack, identity=IDENTITY):
        self.pack, self.identity = pack, identity
        lists = pack.named_lists()
        self.event_layout, self.layout = pack.event_layout(), pack.layout()
        self.facts, self.enricher = FactTable(identity), Enricher()
        self.features = FeatureEngine(pack.features, self.event_layout, identity, lists, history_complete=True)
        self.signals = SignalStage(pack.signals, self.event_layout, identity, lists)
        self.rules = RuleSet(pack.rules, self.layout, identity, lists)
        self.policy = PolicyEngine(pack.policy, self.rules, self.layout, identity, lists)
        self.seq, self.as_of = 0, 0

    def run(self, events, facts=None):
        """Stamp and decide one batch."""
        n = events.num_rows
        time = np.asarray(events.column("time"), dtype=np.int64)
        as_of = np.maximum.accumulate(np.maximum(time, self.as_of))
        seq = np.arange(self.seq, self.seq + n, dtype=np.int64)
        self.seq, self.as_of = self.seq + n, int(as_of[-1]) if n else self.as_of
        stated = {name: events.column(name) for name in events.column_names if name in self.pack.model_kinds}
        events = self.enricher.enrich(self.facts.join(events.drop_columns(list(stated)), facts))
        for name, column in stated.items():
            events = events.append_column(name, column)
        for name, values in (("seq", seq), ("as_of", as_of)):
            events = events.append_column(name, pa.array(values))
        frame = Frame.empty(self.layout, max(n, 1))
        frame.fill(events, self.identity)
        flags, shoal = np.zeros(n, np.uint8), np.zeros(n, np.uint8)
        if "cause" in events.column_names:
            shoal[:] = [text == "shoal" for text in events.column("cause").to_pylist()]
        stamps = Stamps(seq, as_of, time, flags, shoal)
        first = len(self.event_layout.names)
        part = Frame(self.event_layout, frame.values[:first], frame.valid[:first], n, frame.texts)
        self.features.update(part, stamps, frame.values[first:], frame.valid[first:])
        self.signals.update(frame, stamps, first + len(self.features.names))
        matches = self.rules.match(frame)
        decisions = self.policy.decide(frame, matches, stamps)
        return Outcome(frame, matches, decisions)
