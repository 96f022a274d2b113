"""Relations in packs: read, checked, inherited, compared; they are no part of what a decision depends on."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_pack import write

from shoal.coordination.relations import Relation, Role, Strength
from shoal.errors import InvalidInput
from shoal.packs.find import find_pack
from shoal.packs.load import load_pack
from shoal.packs.review.diff import diff_packs

RELATIONS = """\
format: shoal.relations
version: 1
relations:
  bucket:
    columns: [bucket_name, asn]
    on: type = 'login.failed'
    strength: hard
    role: target
    cap: 30
    words: use the same bucket
  ip:
    columns: [ip]
    words: came from the same address
"""


def files(text: str = RELATIONS) -> dict[str, str]:
    return {"relations/r.yaml": text}


def test_what_is_read(tmp_path: Path) -> None:
    bucket, ip = load_pack(write(tmp_path, files())).relations
    asked = Relation(
        "bucket", ("bucket_name", "asn"), "type = 'login.failed'", "actor", Strength.HARD, Role.TARGET, 30,
        "use the same bucket", bucket.origin,
    )  # fmt: skip
    assert bucket == asked
    assert (ip.on, ip.subject, ip.strength, ip.role, ip.cap) == ("", "actor", Strength.SOFT, Role.MEANS, None)


def test_the_hash_of_a_relation_is_that_of_its_edges(tmp_path: Path) -> None:
    before = load_pack(write(tmp_path / "a", files())).relations[0]
    reworded = RELATIONS.replace("cap: 30", "cap: 31").replace("use the same", "share a")
    assert load_pack(write(tmp_path / "b", files(reworded))).relations[0].hash == before.hash
    other = RELATIONS.replace("login.failed", "login.succeeded")
    assert load_pack(write(tmp_path / "c", files(other))).relations[0].hash != before.hash


def test_relations_change_no_decision_and_show_in_a_diff(tmp_path: Path) -> None:
    old = load_pack(write(tmp_path / "a", files()))
    new = load_pack(write(tmp_path / "b", files(RELATIONS.replace("cap: 30", "cap: 40"))))
    assert new.hash == old.hash
    (change,) = diff_packs(old, new).changes
    assert (change.section, change.id, change.fields) == ("relation", "bucket", (("cap", "30", "40"),))


BAD = [
    ("  ip:", "  Ip!:", "relation.name"),
    ("columns: [ip]", "columns: [ipp]", "relation.unknown_column"),
    ("columns: [ip]", "columns: [lat]", "relation.column_kind"),
    ("columns: [ip]", "columns: [ip, ip]", "relation.column_twice"),
    ("columns: [ip]", "columns: [ip]\n    subject: asn", "relation.column_kind"),
    ("columns: [ip]", "columns: [ip]\n    subject: acount", "relation.unknown_column"),
    ("    columns: [ip]\n", "", "pack.missing_key"),
    ("    words: came from the same address\n", "", "pack.missing_key"),
    ("strength: hard", "strength: harder", "pack.choice"),
    ("role: target", "role: both", "pack.choice"),
    ("cap: 30", "cap: 1", "pack.number"),
    ("cap: 30", "colour: red", "pack.unknown_key"),
    ("type = 'login.failed'", "typ = 'login.failed'", "expression.unknown_column"),
    ("type = 'login.failed'", "asn + 1", "expression.condition_kind"),
    ("type = 'login.failed'", "type =", "expression.syntax"),
    ("shoal.relations", "shoal.relation", "pack.format"),
]


@pytest.mark.parametrize(("old", "new", "slug"), BAD, ids=[f"{slug}-{i}" for i, (_, _, slug) in enumerate(BAD)])
def test_bad_relations(tmp_path: Path, old: str, new: str, slug: str) -> None:
    assert old in RELATIONS
    with pytest.raises(InvalidInput) as caught:
        load_pack(write(tmp_path, files(RELATIONS.replace(old, new, 1))))
    assert slug in [problem.slug for problem in caught.value.problems]


def test_too_many_and_twice(tmp_path: Path) -> None:
    one = "  r{0}:\n    columns: [ip]\n    words: w\n"
    many = "format: shoal.relations\nversion: 1\nrelations:\n" + "".join(one.format(i) for i in range(41))
    with pytest.raises(InvalidInput) as caught:
        load_pack(write(tmp_path / "a", files(many)))
    assert [problem.slug for problem in caught.value.problems] == ["pack.too_many_relations"]
    with pytest.raises(InvalidInput) as caught:
        load_pack(write(tmp_path / "b", files() | {"relations/s.yaml": RELATIONS}))
    assert {problem.slug for problem in caught.value.problems} == {"pack.duplicate_relation"}


def test_the_default_pack_ties_accounts() -> None:
    relations = {one.id: one for one in load_pack(find_pack("file_sharing").folder).relations}
    hard = {name for name, one in relations.items() if one.strength is Strength.HARD}
    assert hard == {"payment", "phone", "recovery", "attested_device"}
    assert relations["link"].role is Role.TARGET
