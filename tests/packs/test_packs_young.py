"""Rules about new devices on a young installation, where nothing is known of the time before."""

from dataclasses import replace
from typing import Any

import pytest

from shoal.events.identity import Identity
from shoal.packs.load import load_pack
from shoal.packs.testing import event_table, fact_table, focus, run_tests
from shoal.runtime.engine import Engine
from shoal.runtime.packtest import OneStream

PACK = load_pack("file_sharing")
RULE = "takeover.contact_change_new_device"
MATCHED = 1


def young(pack: Any) -> OneStream:
    """A stream as on the first days of an installation: the history before it is not complete."""
    stream = OneStream(pack)
    stream._engine = Engine(pack, Identity(bytes(range(16))), history_complete=False, capacity=1024)
    return stream


def decided(*types: str) -> list[int]:
    """The verdicts of RULE on the events of its first test, with these types instead."""
    pack = focus(PACK, RULE)
    test = pack.tests[0]
    events = tuple({**row, "type": kind} for row, kind in zip(test.events, types, strict=True))
    test = replace(test, events=events)
    return [int(verdict) for verdict in young(pack).run(event_table(pack, test), fact_table(test)).matches[0]]


def test_the_rules_do_not_wait_for_a_complete_history():
    chosen = [rule.id for rule in PACK.rules if rule.id.split(".")[0] in ("takeover", "link", "reports", "malware")]
    results = list(run_tests(PACK, young, chosen))
    assert len(results) > 80
    assert [str(problem) for result in results for problem in result.problems] == []


@pytest.mark.parametrize(("how", "last"), [("login.succeeded", MATCHED), ("session.used", 0)])
def test_a_device_that_comes_with_a_kept_token_is_not_new(how, last):
    verdicts = decided("login.succeeded", how, "email.changed")
    assert [verdict == MATCHED for verdict in verdicts] == [False, False, last == MATCHED]
