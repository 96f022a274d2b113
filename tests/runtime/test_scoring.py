"""Scoring: caught, missed, touched, from hand-made truth."""

import pyarrow as pa

from shoal.runtime.review.scoring import DAY_US, Touch, score
from shoal.storage.store import DecisionRow


def row(seq: int, event_id: str, subject: str, tier: int, day: float, kind: str = "account") -> DecisionRow:
    return DecisionRow(seq, 0, int(day * DAY_US), event_id, kind, subject, 1, "t", tier, '["r"]', "[]", "[]", "p")


LABELS = pa.Table.from_pylist(
    [
        {
            "subject_type": "account",
            "subject": "victim",
            "kind": "account_takeover",
            "attack": "a1",
            "start": 4 * DAY_US,
        },
        {
            "subject_type": "account",
            "subject": "missed",
            "kind": "account_takeover",
            "attack": "a2",
            "start": 5 * DAY_US,
        },
        {
            "subject_type": "account",
            "subject": "traveller",
            "kind": "benign_travel",
            "attack": None,
            "start": 5 * DAY_US,
        },
    ]
)
TRUTH = pa.Table.from_pylist(
    [
        {"event_id": "e1", "time": 4 * DAY_US, "attack": "a1", "kind": "account_takeover", "harmful": True},
        {"event_id": "e2", "time": 5 * DAY_US, "attack": "a2", "kind": "account_takeover", "harmful": True},
        {"event_id": "e3", "time": 5 * DAY_US, "attack": None, "kind": "benign_travel", "harmful": False},
    ]
)


def test_caught_missed_and_touched() -> None:
    touches = [
        Touch(row(1, "e1", "victim", 2, 4.5), "victim", "victim"),
        Touch(row(2, "e2", "missed", 1, 5.0), "missed", "missed"),
        Touch(row(3, "e3", "traveller", 2, 5.0), "traveller", "traveller"),
        Touch(row(4, "e4", "traveller", 3, 6.0), "traveller", "traveller"),
        Touch(row(5, "e5", "early", 3, 1.0), "early", "early"),
        Touch(row(6, "e6", "1.2.3.4", 3, 6.0, "ip"), "neighbour", None),
        Touch(row(7, "e7", "l1", 3, 6.0, "link"), "visitor", "visitor", "sharer"),
    ]
    accounts = {"victim", "missed", "traveller", "early", "neighbour", "sharer", "visitor"}
    found = score(LABELS, TRUTH, touches, accounts=accounts, start_us=0, end_us=10 * DAY_US)
    (kind,) = found.kinds
    assert (kind.attacks, kind.caught, kind.watched, kind.subjects, kind.subjects_caught) == (2, 1, 1, 2, 1)
    assert kind.median_delay_s == 43_200
    assert kind.missed == ["a2"]
    assert set(found.touched) == {"traveller", "neighbour", "sharer"}
    assert found.honest_accounts == 5
    assert found.touched_per_10k_week == 3 / 5 * 10_000


def test_nothing_happened() -> None:
    found = score(LABELS.slice(0, 0), TRUTH.slice(0, 0), [], accounts={"a"}, start_us=0, end_us=10 * DAY_US)
    assert (found.kinds, found.touched, found.touched_per_10k_week) == ([], {}, 0.0)
