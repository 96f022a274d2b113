"""Scenario files: what may be said (`schema`, `adversaries`); the reader finds all mistakes at once (`read`)."""

from shoal.simulate.scenario.adversaries import (
    ADVERSARIES,
    Adversary,
    Destruction,
    FakeAccounts,
    LinkAttack,
    Malware,
    Operation,
    Persistence,
    Phishing,
    Spraying,
    Stuffing,
    Takeover,
)
from shoal.simulate.scenario.expect import Expectations, ExpectedAttack, ExpectedBenign, ExpectedHonest
from shoal.simulate.scenario.reactions import Budget, Reactions
from shoal.simulate.scenario.read import builtin_scenario, builtin_scenarios, parse_scenario, read_scenario
from shoal.simulate.scenario.schema import SCENARIO_VERSION, Failures, Happening, Home, Scenario
from shoal.simulate.scenario.structure import Structure

__all__ = [
    "ADVERSARIES",
    "SCENARIO_VERSION",
    "Adversary",
    "Budget",
    "Destruction",
    "Expectations",
    "ExpectedAttack",
    "ExpectedBenign",
    "ExpectedHonest",
    "Failures",
    "FakeAccounts",
    "Happening",
    "Home",
    "LinkAttack",
    "Malware",
    "Operation",
    "Persistence",
    "Phishing",
    "Reactions",
    "Scenario",
    "Spraying",
    "Structure",
    "Stuffing",
    "Takeover",
    "builtin_scenario",
    "builtin_scenarios",
    "parse_scenario",
    "read_scenario",
]
