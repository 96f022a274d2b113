"""Identity over runs: laws, and tables of splits, merges and thresholds."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.coordination.campaigns.campaign import Campaign, Member
from shoal.coordination.campaigns.identity import carry, fresh_id, lineage
from shoal.errors import InvalidInput


def campaign(name: str, soft: str = "", hard: str = "", first: int = 0, merged: tuple[str, ...] = ()) -> Campaign:
    """Members are letters; `b:0.5` style is not needed: hard and soft believe 0.9."""
    members = tuple(Member(ord(c), 0.9, c in hard, first, first) for c in soft + hard)
    return Campaign(name, members, (), (), first, first, (), (), (), 0.9, 0.8, 1.0, 0.0, 0, merged)


def ids(carried) -> list[str]:
    return [one.id for one in carried.campaigns]


def test_a_campaign_found_again_keeps_its_id():
    old = campaign("c1", soft="abcd")
    carried = carry([old], [campaign("x", soft="abcd", first=5)])
    assert ids(carried) == ["c1"]
    assert carried.campaigns[0].first == 0  # as old as it was
    assert carried.retired == carried.merged == ()


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        (campaign("c1", soft="abcd"), campaign("x", soft="abxyz"), True),  # half persists
        (campaign("c1", soft="abcd"), campaign("x", soft="axyz"), False),  # a quarter
        (campaign("c1", soft="abcdefgh", hard="XY"), campaign("x", soft="X"), True),  # half of the hard-linked
        (campaign("c1", soft="abcdefgh", hard="XY"), campaign("x", soft="abcdefgh"), False),  # all of the soft alone
        (campaign("c1", soft="abcdefgh", hard="XYZ"), campaign("x", soft="Xabcdefgh"), False),
    ],
)
def test_half_of_the_weight_must_persist(old, new, kept):
    carried = carry([old], [new])
    assert (ids(carried) == ["c1"]) is kept
    assert [one.id for one in carried.retired] == ([] if kept else ["c1"])


def test_weight_is_belief():
    members = (Member(1, 0.9, False, 0, 0), Member(2, 0.2, False, 0, 0), Member(3, 0.2, False, 0, 0))
    old = replace(campaign("c1", soft="a"), members=members)
    again = lambda *who: replace(campaign("x", soft="a"), members=tuple(m for m in members if m.account in who))  # noqa: E731
    assert ids(carry([old], [again(1)])) == ["c1"]
    assert ids(carry([old], [again(2, 3)])) != ["c1"]


def test_on_a_split_the_larger_part_keeps_the_id():
    old = campaign("c1", soft="abcdefg")
    carried = carry([old], [campaign("x", soft="abc"), campaign("y", soft="defg")])
    assert ids(carried)[1] == "c1"
    assert ids(carried)[0] not in ("c1", "")
    three = carry([old], [campaign("x", soft="ab"), campaign("y", soft="cde"), campaign("z", soft="fg")])
    assert ids(three)[1] == "c1"  # no part has half, together they have all


def test_a_merge_keeps_the_older_and_records_the_other():
    older, younger = campaign("c1", soft="abc", first=1), campaign("c2", soft="defghi", first=2, merged=("c0",))
    carried = carry([younger, older], [campaign("x", soft="abcdefghi", first=1)])
    assert ids(carried) == ["c1"]
    assert carried.campaigns[0].merged_from == ("c0", "c2")
    assert carried.merged == (("c2", "c1"),)
    assert carried.retired == ()
    assert lineage(carried.campaigns) == {"c0": "c1", "c2": "c1"}
    later = carry(carried.campaigns, [campaign("y", soft="abcdefghi")])
    assert later.campaigns[0].merged_from == ("c0", "c2")  # remembered


def test_a_split_and_a_merge_at_once():
    old = [campaign("c1", soft="abcdef", first=1), campaign("c2", soft="uvw", first=2)]
    carried = carry(old, [campaign("x", soft="abcd"), campaign("y", soft="efuvw")])
    assert ids(carried) == ["c1", "c2"]
    assert carried.merged == ()


def test_what_is_not_found_is_returned_as_retired_and_can_come_back():
    old = campaign("c1", soft="abcd", first=3)
    gone = carry([old], [])
    assert gone.retired == (old,)
    assert ids(carry(gone.retired, [campaign("x", soft="abcd", first=9)])) == ["c1"]


def test_a_new_id_never_meets_one_in_use():
    new = campaign("x", soft="wxyz", first=4)
    taken = replace(campaign("c1", soft="abcd"), id=fresh_id(new.members, new.first))
    carried = carry([taken], [new, campaign("y", soft="abcd")])
    assert ids(carried)[1] == taken.id
    assert ids(carried)[0] != taken.id


SETS = st.lists(st.integers(0, 7), min_size=24, max_size=24)


def partition(labels: list[int], name: str, hard: frozenset[int] = frozenset()) -> list[Campaign]:
    out = []
    for label in sorted(set(labels) - {0}):
        accounts = [i for i, one in enumerate(labels) if one == label]
        members = tuple(Member(i, 0.5 + i / 50, i in hard, i, i) for i in accounts)
        out.append(Campaign(f"{name}{label}", members, (), (), accounts[0], 99, (), (), (), 0.9, 0.8, 1.0, 0.0, 0))
    return out


@settings(max_examples=60, deadline=None)
@given(SETS, st.frozensets(st.integers(0, 23)))
def test_law_the_same_campaigns_keep_their_ids(labels, hard):
    found = partition(labels, "c", hard)
    carried = carry(found, found)
    assert list(carried.campaigns) == found
    assert carried.retired == carried.merged == ()
    once = carry([], found).campaigns
    assert carry(once, found).campaigns == once


@settings(max_examples=100, deadline=None)
@given(SETS, SETS, st.frozensets(st.integers(0, 23)), st.randoms(use_true_random=False))
def test_laws_order_is_irrelevant_ids_are_unique_and_no_old_one_is_lost(before, after, hard, random):
    old, new = partition(before, "c", hard), partition(after, "x")
    carried = carry(old, new)
    mixed_old, mixed_new = random.sample(old, len(old)), random.sample(new, len(new))
    other = carry(mixed_old, mixed_new)
    by_name = {frozenset(m.account for m in one.members): one for one in other.campaigns}
    assert all(by_name[frozenset(m.account for m in one.members)] == one for one in carried.campaigns)
    assert len({one.id for one in carried.campaigns}) == len(new)
    assert other.retired == carried.retired
    kept = {one.id for one in carried.campaigns} & {one.id for one in old}
    fate = [*kept, *(one.id for one in carried.retired), *(name for name, _ in carried.merged)]
    assert sorted(fate) == sorted(one.id for one in old)  # each exactly one fate


@pytest.mark.parametrize(
    ("old", "new", "slug"),
    [
        ([campaign("c1", soft="ab"), campaign("c2", soft="bc")], [], "campaigns.member_twice"),
        ([], [campaign("c1", soft="ab"), campaign("c2", soft="bc")], "campaigns.member_twice"),
        ([campaign("c1", soft="ab"), campaign("c1", soft="cd")], [], "campaigns.id_twice"),
        ([campaign("c1")], [], "campaigns.no_members"),
    ],
)
def test_what_cannot_be_continued_is_refused(old, new, slug):
    with pytest.raises(InvalidInput, match=slug.replace(".", r"\.")):
        carry(old, new)
