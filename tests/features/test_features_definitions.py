"""Definitions: every malformed one gets its error, all together; the hash knows what changes values only."""

from __future__ import annotations

from dataclasses import replace

import pytest

from oracles.features_streams import IDENTITY, LAYOUT, define, engine_of, every_operation, feed, stamp
from shoal.errors import InvalidInput, Where
from shoal.events.schema import Kind
from shoal.features.definitions import OPERATIONS, FeatureDefinition, check_definitions
from shoal.features.engine import FeatureEngine

GOOD = define("a.b", "count", window_s=60)
MALFORMED = [
    ("id", replace(GOOD, id="A b"), "features.id", "id"),
    ("no operation", replace(GOOD, operation="cuont"), "features.operation", "operation"),
    ("no key", replace(GOOD, key=()), "features.key_missing", "key"),
    ("key twice", replace(GOOD, key=("ip", "ip")), "features.key", "key"),
    ("unknown key", replace(GOOD, key=("acount",)), "features.unknown_column", "key"),
    ("window 0", replace(GOOD, window_s=0), "features.window", "window_s"),
    ("window too long", replace(GOOD, window_s=401 * 86_400, bucket_s=86_400), "features.window", "window_s"),
    ("long and exact", replace(GOOD, window_s=86_401), "features.window_needs_bucket", "window_s"),
    ("bucket not dividing", replace(GOOD, window_s=100_000, bucket_s=3_600), "features.bucket", "bucket_s"),
    ("bucket too small", replace(GOOD, window_s=600, bucket_s=30), "features.bucket", "bucket_s"),
    ("bucket of lifetime", replace(GOOD, window_s=None, bucket_s=3600), "features.not_for_operation", "bucket_s"),
    ("oldest by thirds", replace(GOOD, bucket_s=60, oldest_bucket="hale"), "features.oldest_bucket", "oldest_bucket"),
    ("half of exact", replace(GOOD, oldest_bucket="half"), "features.not_for_operation", "oldest_bucket"),
    ("half of max", define("a.b", "max", value="ratio", window_s=60, bucket_s=60, oldest_bucket="half"),
     "features.not_for_operation", "oldest_bucket"),
    ("half of derived", FeatureDefinition("a.b", "derived", expression="1", oldest_bucket="half"),
     "features.not_for_operation", "oldest_bucket"),
    ("count of a value", replace(GOOD, value="ip"), "features.not_for_operation", "value"),
    ("sum of nothing", replace(GOOD, operation="sum"), "features.value_missing", "value"),
    ("sum of a text", replace(GOOD, operation="sum", value="ip"), "features.kind", "value"),
    ("where of a number", replace(GOOD, where="size_bytes + 1"), "features.kind", "where"),
    ("where empty", replace(GOOD, where=" "), "features.where_empty", "where"),
    ("where unknown", replace(GOOD, where="sise_bytes > 1"), "expression.unknown_column", "where"),
    ("where of a feature", replace(GOOD, where="a.b > 1"), "expression.", "where"),
    ("places", replace(GOOD, operation="sum", value="ratio", places=10), "features.places", "places"),
    ("largest", replace(GOOD, operation="sum", value="ratio", places=9), "features.largest", "largest"),
    ("largest nan", replace(GOOD, operation="sum", value="ratio", largest=float("nan")), "features.largest", "largest"),
    ("decayed without half-life", define("a.b", "decayed"), "features.half_life", "half_life_s"),
    ("half-life of a count", replace(GOOD, half_life_s=1.0), "features.not_for_operation", "half_life_s"),
    ("decayed window", define("a.b", "decayed", half_life_s=5.0, window_s=5), "features.not_for_operation", "window_s"),
    ("self", define("a.b", "last", value="ip", include_self=True), "features.not_for_operation", "include_self"),
    ("age window", define("a.b", "age", window_s=5), "features.not_for_operation", "window_s"),
    ("derived of nothing", FeatureDefinition("a.b", "derived"), "features.expression_missing", "expression"),
    ("derived key", FeatureDefinition("a.b", "derived", ("ip",), expression="1"), "features.not_for_operation", "key"),
    ("expression of a count", replace(GOOD, expression="1"), "features.not_for_operation", "expression"),
    ("id of a column", replace(GOOD, id="ip"), "features.id_is_column", "id"),
]  # fmt: skip


@pytest.mark.parametrize(("one", "slug", "path"), [row[1:] for row in MALFORMED], ids=[row[0] for row in MALFORMED])
def test_malformed(one, slug, path):
    placed = replace(one, origin=Where("pack/features.yaml", 7, "features[0]"))
    with pytest.raises(InvalidInput) as caught:
        engine_of([placed])
    found = [(p.slug, str(p.where)) for p in caught.value.problems]
    assert any(s.startswith(slug) and w == f"pack/features.yaml:7 [features[0].{path}]" for s, w in found), found


def test_all_problems_come_together():
    bad = [
        replace(row[1], id=f"x.n{k}") for k, row in enumerate(MALFORMED) if row[0] in ("no key", "window 0", "places")
    ]
    with pytest.raises(InvalidInput) as caught:
        engine_of([*bad, replace(GOOD, where="sise_bytes > 1")])
    assert {"features.key_missing", "features.window", "features.places", "expression.unknown_column"} <= {
        p.slug for p in caught.value.problems
    }


def test_twice_the_same_id_and_too_many():
    slugs = [p.slug for p in check_definitions([GOOD, GOOD], {"account": Kind.TEXT})]
    assert slugs == ["features.duplicate_id"]
    many = [replace(GOOD, id=f"a.n{k}") for k in range(201)]
    assert [p.slug for p in check_definitions(many, {"account": Kind.TEXT})] == ["features.too_many"]


def test_two_hundred_features_run():
    many = [replace(GOOD, id=f"a.n{k}", window_s=60 + k % 100, where=f"size_bytes > {k}") for k in range(200)]
    rows = stamp([{"account": "a", "size_bytes": 150, "time": 10**15 + k} for k in range(3)])
    last = feed(engine_of(many), rows)[-1]
    assert [last[f"a.n{k}"][0] for k in (0, 149, 150, 199)] == [3, 3, 0, 0]
    assert last["a.n64"][0] == 3  # the second word of condition bits


def test_cyclic_derived_features_are_refused():
    a = FeatureDefinition("x.a", "derived", expression="x.b + 1")
    b = FeatureDefinition("x.b", "derived", expression="x.a + 1")
    with pytest.raises(InvalidInput, match=r"features\.order_of_derived"):
        engine_of([a, b])


SAME = [("id", "x.y"), ("description", "words"), ("unit", "km"), ("origin", Where("f", 3)), ("include_self", True)]
OTHER = [
    ("operation", "distinct"), ("key", ("ip",)), ("window_s", 61), ("where", "external"), ("include_self", False),
    ("bucket_s", 60), ("include_shoal", True), ("oldest_bucket", "half"),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), SAME)
def test_the_hash_does_not_know(field, value):
    assert replace(GOOD, **{field: value}).hash == GOOD.hash


@pytest.mark.parametrize(("field", "value"), OTHER)
def test_the_hash_knows(field, value):
    assert replace(GOOD, **{field: value}).hash != GOOD.hash


def test_the_hash_is_persisted_and_must_not_change():
    assert GOOD.hash == HASH_OF_GOOD


HASH_OF_GOOD = "fa91f90539e751fd"


def test_every_operation_is_tried_by_the_oracle():
    assert {one.operation for one in every_operation()} == set(OPERATIONS) - {"derived"}


@pytest.mark.parametrize(("option", "value"), [("pair_cap", 0), ("lifetime_s", 59), ("lifetime_s", 10**12)])
def test_bad_options(option, value):
    with pytest.raises(InvalidInput, match=f"features.{option.removesuffix('_s')}"):
        FeatureEngine([GOOD], LAYOUT, IDENTITY, history_complete=True, **{option: value})
