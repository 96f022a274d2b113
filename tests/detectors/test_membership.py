"""The signal campaign: held to a look-up in dictionaries, independent of batches, and what it refuses."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.detectors.membership.signal import TABLES, CampaignMembership
from shoal.detectors.signal_kinds import KINDS
from shoal.detectors.signals import SignalDefinition
from shoal.errors import Corrupt, InvalidInput
from shoal.events.identity import Identity
from shoal.events.schema import BY_NAME
from shoal.expressions.frame import Frame, Layout
from shoal.features.engine import Stamps

IDENTITY = Identity(bytes(16))
LAYOUT = Layout.of({name: BY_NAME[name].kind for name in ("type", "actor", "device", "ip", "link", "lat")})
OUTPUTS = ("number", "belief", "score", "size", "hub_share", "touched", "touch")
Row = dict[str, Any]
People = dict[str, tuple[int, float, float]]
Things = dict[tuple[str, str], tuple[int, float]]


def new(**chosen: Any) -> CampaignMembership:
    values = {name: setting.default for name, setting in CampaignMembership.settings.items()}
    values |= {"entities": ("device", "ip", "link")} | chosen
    signal = KINDS["campaign"](SignalDefinition("campaign", "campaign", values), LAYOUT, IDENTITY, {})
    assert isinstance(signal, CampaignMembership)
    return signal


def published(people: People, things: Things, scores: list[float]) -> dict[str, np.ndarray]:
    """The arrays of a record, from plain dictionaries."""
    ids = sorted((IDENTITY.id_of(name), told) for name, told in people.items())
    columns = ["device", "ip", "link"]
    entities = sorted((columns.index(c), IDENTITY.id_of(x), *told) for (c, x), told in things.items())
    return {
        "accounts": np.array([one[0] for one in ids], np.int64),
        "account_campaign": np.array([one[1][0] for one in ids], np.int64),
        "account_belief": np.array([one[1][1] for one in ids], float),
        "account_hub_share": np.array([one[1][2] for one in ids], float),
        "entity_column": np.array([one[0] for one in entities], np.int64),
        "entities": np.array([one[1] for one in entities], np.int64),
        "entity_campaign": np.array([one[2] for one in entities], np.int64),
        "entity_weight": np.array([one[3] for one in entities], float),
        "number": np.arange(len(scores)) + 1000,
        "score": np.array(scores),
        "size": np.arange(len(scores)) + 3,
    }


def run(signal: CampaignMembership, rows: list[Row], cut: int | None = None) -> list[tuple[Any, ...]]:
    """The columns of all rows, None for null."""
    found: list[tuple[Any, ...]] = []
    step = cut or max(len(rows), 1)
    for at in range(0, len(rows), step):
        part = rows[at : at + step]
        frame = Frame.of_rows(part, LAYOUT, IDENTITY)
        none = np.zeros(len(part), np.int64)
        values, valid = np.full((8, len(part)), 7, np.int64), np.zeros((8, len(part)), np.uint8)
        stamps = Stamps(none, none, none, none.astype(np.uint8), none.astype(np.uint8))
        signal.update(frame, stamps, values, valid)
        assert (values[7] == 7).all()
        assert (valid[7] == 0).all()
        floats = values.view(np.float64)
        for i in range(len(part)):
            read = [floats[j, i] if name not in ("number", "size", "touched") else int(values[j, i])
                    for j, name in enumerate(OUTPUTS)]  # fmt: skip
            found.append(tuple(read[j] if valid[j, i] else None for j in range(7)))
    return found


def plain(people: People, things: Things, scores: list[float], row: Row) -> tuple[Any, ...]:
    """The slow twin."""
    mine = people.get(row.get("actor", ""))
    own = (1000 + mine[0], mine[1], scores[mine[0]], 3 + mine[0], mine[2]) if mine else (None,) * 5
    best: tuple[Any, Any] = (None, None)
    for column in sorted({"device", "ip", "link"}):
        told = things.get((column, row.get(column, "")))
        if told and (mine is None or told[0] != mine[0]):
            strength = told[1] * scores[told[0]]
            if strength > (best[1] or 0.0):
                best = (1000 + told[0], strength)
    return (*own, *best)


NAMES = st.sampled_from("abcdef")
SHARE = st.floats(0, 1)
WORLDS = st.tuples(
    st.dictionaries(NAMES, st.tuples(st.integers(0, 2), SHARE, SHARE)),
    st.dictionaries(st.tuples(st.sampled_from(["device", "ip", "link"]), NAMES), st.tuples(st.integers(0, 2), SHARE)),
    st.lists(SHARE, min_size=3, max_size=3),
)
ROWS = st.lists(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("actor", "device", "ip", "link"), NAMES)), max_size=12
)


@settings(max_examples=60, deadline=None)
@given(WORLDS, ROWS, st.integers(1, 5))
def test_equals_dictionaries_however_the_journal_was_cut(
    world: tuple[People, Things, list[float]], rows: list[Row], cut: int
) -> None:
    signal = new()
    assert signal.take_up(published(*world), 5) == ""
    expected = [plain(*world, row) for row in rows]
    assert run(signal, rows) == expected
    assert run(signal, rows, cut) == expected


WORLD: tuple[People, Things, list[float]] = (
    {"ann": (0, 0.9, 0.1), "bob": (0, 0.8, 0.2), "eve": (1, 1.0, 0.0)},
    {("device", "d1"): (0, 0.5), ("device", "d2"): (1, 0.9), ("ip", "d1"): (1, 0.3)},
    [0.9, 0.5],
)
EVENTS: list[Row] = [{"actor": "ann", "device": "d1"}, {"actor": "zoe", "device": "d1"}, {"device": "d2"}, {}]


def test_null_before_a_record_after_a_withdrawal_and_the_same_when_restored() -> None:
    signal = new()
    assert run(signal, EVENTS) == [(None,) * 7] * 4
    signal.take_up(published(*WORLD), 1)
    told = run(signal, EVENTS)
    assert told[0] == (1000, 0.9, 0.9, 3, 0.1, None, None)
    assert told[1] == (None, None, None, None, None, 1000, 0.45)
    assert signal.snapshot() == {}, "the stage keeps the tables"
    assert signal.take_up({}, 2) == ""
    assert run(signal, EVENTS) == [(None,) * 7] * 4
    with pytest.raises(Corrupt, match="has no state"):
        signal.restore({"x": np.zeros(1)})


def test_what_a_test_of_a_rule_states_is_left_while_nothing_is_published() -> None:
    frame, none = Frame.of_rows(EVENTS, LAYOUT, IDENTITY), np.zeros(4, np.int64)
    values, valid = np.full((7, 4), 5, np.int64), np.zeros((7, 4), np.uint8)
    valid[1, 2] = 1
    new().update(frame, Stamps(none, none, none, none.astype(np.uint8), none.astype(np.uint8)), values, valid)
    assert valid.sum() == 1
    assert values.sum() == values[1, 2] == 5


def _set(name: str, value: Any) -> Callable[[dict[str, np.ndarray]], None]:
    return lambda arrays: arrays.__setitem__(name, np.asarray(value))


DAMAGE: list[tuple[Callable[[dict[str, np.ndarray]], Any], str]] = [
    *[((lambda arrays, name=name: arrays.pop(name)), f"no column {name}") for name in TABLES],
    (_set("accounts", np.zeros(3)), "no column accounts of kind i"),
    (_set("score", np.zeros((2, 1))), "no column score"),
    (_set("account_belief", [0.5]), "unequal lengths"),
    (_set("account_campaign", [0, 0, 2]), "account_campaign names a place"),
    (_set("account_campaign", [0, 0, -1]), "account_campaign names a place"),
    (_set("entity_column", [0, 0, 3]), "entity_column names a place"),
    (_set("score", [0.9, 1.5]), "score outside"),
    (_set("account_belief", [0.9, np.nan, 0.1]), "account_belief outside"),
    (_set("accounts", [3, 2, 1]), "not ascending"),
    (_set("accounts", [1, 1, 2]), "not ascending"),
    (_set("entities", [3, 2, 1]), "not ascending"),
]


@pytest.mark.parametrize(("damage", "words"), DAMAGE)
def test_damaged_records_are_noted_and_change_nothing(
    damage: Callable[[dict[str, np.ndarray]], Any], words: str
) -> None:
    signal = new()
    signal.take_up(published(*WORLD), 1)
    before = run(signal, EVENTS)
    arrays = published(*WORLD)
    damage(arrays)
    assert words in signal.take_up(arrays, 2)
    assert run(signal, EVENTS) == before


@pytest.mark.parametrize(
    ("chosen", "slug"),
    [
        ({"account": ("actor", "device")}, "signal.columns"),
        ({"account": ()}, "signal.columns"),
        ({"account": ("lat",)}, "signal.column_kind"),
        ({"entities": ("ip", "lat")}, "signal.column_kind"),
        ({"entities": ("ipp",)}, "signal.unknown_column"),
    ],
)
def test_bad_settings(chosen: dict[str, Any], slug: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        new(**chosen)
    assert slug in [problem.slug for problem in caught.value.problems]
