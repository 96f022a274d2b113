"""A world that reacts: enforcement comes in as a table, and what happens next is another.

    world = ReactiveWorld(scenario, seed)
    while not world.over:
        part = world.step(until_us)      # facts, events, truth that are delivered before that moment
        world.act(actions)               # ACTIONS: subject_type, subject, action, as_of, until
    world.ledger()                       # harm, owners bothered, adversaries' cost

Nothing about detectors comes in: an action names a subject of an event and what is done to it. Without actions the
world is `simulate`'s, event for event. Same scenario, seed, steps and actions: same bytes.
"""

from shoal.simulate.react.ledger import AttackLedger, Ledger, OwnerLedger
from shoal.simulate.react.semantics import ACTIONS_SCHEMA, SEMANTICS, Semantics
from shoal.simulate.react.world import ReactiveWorld

__all__ = ["ACTIONS_SCHEMA", "SEMANTICS", "AttackLedger", "Ledger", "OwnerLedger", "ReactiveWorld", "Semantics"]
