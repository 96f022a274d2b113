"""The MITRE ATT&CK words that rules use: tactics in their order along an intrusion, and the form of technique ids.

Source: MITRE ATT&CK Enterprise, the tactic matrix (https://attack.mitre.org/tactics/enterprise/). The number is the
place in the chain; findings that span more places rank higher. Holds no state.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

TACTICS: Mapping[str, int] = {
    name: place
    for place, name in enumerate(
        (
            "reconnaissance",
            "resource-development",
            "initial-access",
            "execution",
            "persistence",
            "privilege-escalation",
            "defense-evasion",
            "credential-access",
            "discovery",
            "lateral-movement",
            "collection",
            "command-and-control",
            "exfiltration",
            "impact",
        )
    )
}
"""Tactic → place in the chain."""

TECHNIQUE_FORM = re.compile(r"T\d{4}(\.\d{3})?\Z")
"""The form of a technique id."""
