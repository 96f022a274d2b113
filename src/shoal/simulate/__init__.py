"""Simulate: a service, its users and its adversaries, as events with ground truth.

`read_scenario` or `builtin_scenario` gives a `Scenario`, `simulate` a `World`, `write_world` a folder. Imports only
`events` and below; nobody but `cli` and the runtime's demo imports this: a simulator that knows its detectors, or a
detector that knows its simulator, measures nothing.
"""

from shoal.simulate.scenario import Scenario, builtin_scenario, builtin_scenarios, read_scenario
from shoal.simulate.truth import BENIGN_KINDS, GROUP_KINDS, KINDS, TRUTH_EVENTS, TRUTH_GROUPS, TRUTH_LABELS
from shoal.simulate.world import Part, World, simulate
from shoal.simulate.write import Manifest, write_world

__all__ = [
    "BENIGN_KINDS",
    "GROUP_KINDS",
    "KINDS",
    "TRUTH_EVENTS",
    "TRUTH_GROUPS",
    "TRUTH_LABELS",
    "Manifest",
    "Part",
    "Scenario",
    "World",
    "builtin_scenario",
    "builtin_scenarios",
    "read_scenario",
    "simulate",
    "write_world",
]
