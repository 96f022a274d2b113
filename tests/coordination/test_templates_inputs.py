"""Sign-up tables from events, and the timing comb: tables of what goes in and what comes out."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from shoal.coordination.templates import make_signups, signups_of
from shoal.coordination.templates.comb import SECOND, comb
from shoal.coordination.templates.signups import form_of
from shoal.errors import InvalidInput
from shoal.events.identity import Identity

IDENTITY = Identity(b"0123456789abcdef")
DAY = 86_400 * SECOND


def _events(rows: list[dict[str, object]]) -> pa.Table:
    names = ("actor", "account", "ip", "network", "domain", "user_agent", "attributes")
    columns = {name: pa.array([row.get(name) for row in rows], pa.string()) for name in names}
    kinds = pa.array([row.get("type", "account.created") for row in rows], pa.string())
    asn = pa.array([row.get("asn") for row in rows], pa.int64())
    return pa.table(
        {**columns, "type": kinds, "asn": asn, "time": pa.array([row.get("time") for row in rows], pa.int64())}
    )


def test_a_signup_has_what_was_known_and_the_means_that_came_along() -> None:
    shapes = {"email_shape": "aaa.aa99", "name_shape": "Aaa Aaaa", "invited_by": "u9"}
    rows: list[dict[str, object]] = [
        {"actor": "u1", "time": 5, "ip": "10.1.2.3", "asn": 64500, "attributes": json.dumps(shapes)},
        {"actor": "u1", "time": 9, "type": "payment.added", "attributes": '{"payment_hash":"late"}'},
        {"actor": "u1", "time": 7, "type": "payment.added", "attributes": '{"payment_hash":"card"}'},
        {"actor": "u1", "time": 8 * DAY, "type": "phone.verified", "attributes": '{"phone_hash":"p"}'},
        {"actor": "u2", "time": 6, "type": "recovery.changed", "attributes": '{"recovery_hash":"r"}'},
        {"actor": None, "account": "u3", "time": 3, "ip": "no address"},
    ]
    signups = signups_of(_events(rows), IDENTITY)
    assert signups.account.tolist() == [IDENTITY.id_of("u3"), IDENTITY.id_of("u1")]
    assert signups.time.tolist() == [3, 5]
    columns = signups.columns

    def told(name: str) -> list[int | None]:
        return [int(columns[name].ids[code]) if code >= 0 else None for code in columns[name].code.tolist()]

    assert told("payment_hash") == [None, IDENTITY.id_of("card")]
    assert told("network") == [None, IDENTITY.id_of("10.1.2.0/24")]
    assert told("invited_by") == [None, IDENTITY.id_of("u9")]
    assert columns["email_form"].texts == ("a.a99",)
    assert columns["asn"].texts == ("64500",)
    assert columns["ip"].texts == (), "addresses are not kept as texts"
    assert "phone_hash" not in columns, "a week later is not brought along"
    assert "recovery_hash" not in columns, "nor is that of an account that did not sign up"


def test_what_is_left_out_is_counted() -> None:
    rows: list[dict[str, object]] = [
        {"actor": "a", "time": 5},
        {"actor": "a", "time": 4},
        {"actor": None, "time": 4},
        {"actor": "b", "time": None},
    ]
    signups = signups_of(_events(rows), IDENTITY)
    assert (signups.size, signups.left_out, signups.time.tolist()) == (1, 3, [4])


def test_any_cut_and_order_of_tables_gives_the_same() -> None:
    rng = np.random.default_rng(0)
    rows: list[dict[str, object]] = [
        {"actor": f"u{at}", "time": int(rng.integers(0, 20)), "ip": f"10.0.0.{rng.integers(1, 5)}"} for at in range(30)
    ]
    one, other = signups_of(_events(rows), IDENTITY), signups_of([_events(rows[20:]), _events(rows[:20])], IDENTITY)
    assert np.array_equal(one.account, other.account)
    assert np.array_equal(one.columns["ip"].code, other.columns["ip"].code)


@pytest.mark.parametrize("given", [[], _events([]), _events([{"type": "login.failed", "actor": "a", "time": 1}])])
def test_no_signups(given: pa.Table | list[pa.Table]) -> None:
    assert signups_of(given, IDENTITY).size == 0
    assert signups_of(given, IDENTITY).span == 0


@pytest.mark.parametrize(
    ("table", "slugs"),
    [
        (pa.table({"x": [1]}), ["signups.no_column"] * 3),
        (pa.table({"type": ["account.created"], "time": ["now"], "actor": ["a"]}), ["signups.column_type"]),
        (pa.table({"type": ["account.created"], "time": [1.5]}), ["signups.no_column", "signups.column_type"]),
    ],
)
def test_wrong_tables(table: pa.Table, slugs: list[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        signups_of(table, IDENTITY)
    assert [problem.slug for problem in caught.value.problems] == slugs
    assert all("tables.0" in problem.where.path for problem in caught.value.problems)


def test_wrong_columns() -> None:
    two = np.array([1, 1])
    with pytest.raises(InvalidInput) as caught:
        make_signups(two, np.array([1]), {"emial_shape": ["a", "b"], "ip": ["x"]}, IDENTITY)
    slugs = [problem.slug for problem in caught.value.problems]
    assert slugs == ["signups.unknown_field", "signups.length", "signups.length", "signups.twice"]
    assert caught.value.problems[0].nearest == "email_shape"


@pytest.mark.parametrize(
    ("shape", "form"),
    [("aaa.aa9999", "a.a9999"), ("Aaaa AAA", "Aa A"), ("xxxx", "x"), ("oo", "o"), ("A.", "A."), (None, None)],
)
def test_forms(shape: str | None, form: str | None) -> None:
    assert form_of(pa.array([shape], pa.string())).to_pylist() == [form]


def _every(seed: int, size: int, days: int) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).integers(0, days * DAY, size))


def test_a_comb_is_told_from_people() -> None:
    service = _every(1, 4_000, 10)
    even = np.arange(40, dtype=np.int64) * 240 * SECOND + DAY
    found = comb(even, np.sort(np.concatenate([service, even])), 0.01)
    assert found.evenness > 4
    assert found.density > 6
    assert found.every_s == 240
    people = service[1_000:1_400:10]
    plain = comb(people, service, 0.1)
    assert plain.score < 5


def test_a_wave_of_the_service_is_no_comb() -> None:
    rng = np.random.default_rng(3)
    wave = np.sort(np.concatenate([_every(2, 1_000, 10), rng.integers(5 * DAY, 5 * DAY + DAY // 8, 3_000)]))
    group = np.sort(rng.choice(wave, 60, replace=False))
    assert comb(group, wave, 60 / len(wave)).score < 4


def test_a_scheduler_leaves_teeth() -> None:
    rng = np.random.default_rng(4)
    minutes = np.sort(rng.choice(2_000, 40, replace=False)) * 600 * SECOND + rng.integers(0, 40 * SECOND, 40)
    found = comb(minutes.astype(np.int64), np.sort(np.concatenate([_every(5, 4_000, 14), minutes])), 0.01)
    assert found.teeth > 6
    assert found.period_s in (300, 600)


@pytest.mark.parametrize("times", [[], [5], [5, 5], [5, 5, 5], [1, 2, 3], [7] * 50])
def test_few_times_or_one_instant_give_numbers(times: list[int]) -> None:
    given = np.array(times, np.int64)
    found = comb(given, given, 0.5)
    assert np.isfinite([found.density, found.evenness, found.teeth, found.every_s]).all()
    assert found.score <= 50
