"""Campaigns in the journal and for the stream: what is written is read again, and what is damaged is refused."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_graphs import evidence, world

from shoal.coordination.campaigns.campaign import Campaign, Member, SharedEntity
from shoal.coordination.campaigns.codec import from_body, online, to_body
from shoal.coordination.campaigns.find import find
from shoal.errors import Corrupt, Unsupported
from shoal.storage.frames import ControlFrame, codec_of, decode_controls, encode_control, encode_controls

INT = st.integers(-(2**63), 2**63 - 1)
SHARE = st.floats(0, 1)
TEXT = st.text(max_size=20)


@st.composite
def campaigns(draw):
    accounts = draw(st.lists(INT, unique=True, max_size=12))
    names = draw(st.lists(st.text(min_size=1, max_size=5), unique=True, min_size=len(accounts), max_size=len(accounts)))
    out = []
    while accounts:
        size = draw(st.integers(1, len(accounts)))
        mine, accounts = accounts[:size], accounts[size:]
        members = tuple(Member(a, draw(SHARE), draw(st.booleans()), draw(INT), draw(INT), draw(SHARE)) for a in mine)
        entities = tuple(
            SharedEntity(draw(st.sampled_from(["ip", "link"])), draw(st.integers(0, 5)), 2, 1, draw(SHARE), 0, 1)
            for _ in range(draw(st.integers(0, 3)))
        )
        out.append(
            Campaign(
                names.pop(), members, entities, tuple((n, draw(SHARE)) for n in draw(st.lists(TEXT, max_size=2))), 1, 2,
                tuple((d, 1) for d in draw(st.lists(INT, max_size=2))), tuple(draw(st.lists(TEXT, max_size=2))),
                tuple(draw(st.lists(TEXT, max_size=2))), draw(SHARE), draw(SHARE), draw(SHARE), draw(SHARE), 7,
                tuple(draw(st.lists(TEXT, max_size=2))),
            )
        )  # fmt: skip
    return out


@settings(max_examples=60, deadline=None)
@given(campaigns(), st.lists(TEXT, max_size=2))
def test_what_is_written_is_read_again(found, retired):
    body = to_body(found, read=9, retired=retired, merged=[("c1", "c2")])
    published = from_body(body)
    assert published.campaigns == tuple(found)
    assert (published.read, published.retired, published.merged) == (9, tuple(retired), (("c1", "c2"),))


@pytest.fixture(scope="module")
def told():
    graph = world(21, people=500).graph()
    return find(graph, evidence(graph))


def test_a_control_record_holds_it(told):
    record = ControlFrame(5, 6, "campaigns.published", to_body(told, read=3))
    frame = encode_controls([record], [encode_control(record, codec_of("zstd"))])
    (again,) = decode_controls(frame.payload)
    assert from_body(again.body).campaigns == told
    assert len(told) > 5


def test_look_ups_give_what_campaigns_say(told):
    arrays = online(told)
    assert (np.diff(arrays["account"]) > 0).all()
    assert len(arrays["account"]) == sum(c.size for c in told)
    for number, campaign in enumerate(told):
        assert arrays["campaign_id"][number] == campaign.id
        for member in campaign.members:
            at = np.searchsorted(arrays["account"], member.account)
            row = arrays["account"][at], arrays["account_campaign"][at], arrays["account_belief"][at]
            assert row == (member.account, number, member.belief)
            assert arrays["account_hub_share"][at] == member.hub_share
        for shared in campaign.entities:
            place = arrays["relation"].tolist().index(shared.relation)
            low, high = arrays["entity_start"][place : place + 2]
            stretch = arrays["entity"][low:high]
            assert (np.diff(stretch) > 0).all()
            at = np.searchsorted(stretch, shared.entity)
            here = at < len(stretch) and stretch[at] == shared.entity
            assert here == (shared.weight >= 0.05)
            if here:
                assert arrays["entity_weight"][low + at] >= shared.weight * campaign.score - 1e-9


def test_an_entity_of_two_campaigns_stands_with_the_likelier_one(told):
    one, two = told[0], told[1]
    shared = SharedEntity("ip", 77, 2, 0, 0.5, 0, 0)
    weak = replace(one, entities=(replace(shared, weight=0.1),))
    strong = replace(two, entities=(shared,))
    arrays = online([weak, strong])
    assert arrays["entity"].tolist() == [77]
    assert arrays["entity_campaign"].tolist() == [1]
    assert online([])["entity_start"].tolist() == [0]


def change(body, table, column, values):
    at = body[table].schema.get_field_index(column)
    field = body[table].schema.field(at)
    return {**body, table: body[table].set_column(at, field, pa.array(values, field.type))}


def broken():
    members = (Member(1, 0.5, False, 0, 0), Member(2, 0.5, True, 0, 0))
    shared = (SharedEntity("ip", 3, 2, 0, 0.5, 0, 0),)
    made = Campaign("c1", members, shared, (("ip", 1.0),), 0, 0, ((0, 2),), (), (), 0.9, 0.8, 1.0, 1.0, 4)
    body = to_body([made])
    yield "format", {**body, "format": "other"}, Unsupported, "expected"
    yield "version", {**body, "version": 2}, Unsupported, "version 2"
    yield "nothing", {}, Unsupported, "None"
    yield "no table", {**body, "members": [1]}, Corrupt, "members is no table"
    yield "columns", {**body, "members": body["entities"]}, Corrupt, "other columns"
    yield "null", change(body, "members", "belief", [None, 0.5]), Corrupt, "null"
    yield "read", {**body, "read": -1}, Corrupt, "no position"
    yield "retired", {**body, "retired": [1]}, Corrupt, "retired"
    yield "merged", {**body, "merged": [["c1"]]}, Corrupt, "merged"
    yield "belief", change(body, "members", "belief", [1.5, 0.5]), Corrupt, "belief outside"
    yield "NaN", change(body, "campaigns", "score", [np.nan]), Corrupt, "score outside"
    yield "whose", change(body, "members", "campaign", [0, 1]), Corrupt, "not there"
    yield "account twice", change(body, "members", "account", [1, 1]), Corrupt, "two campaigns"
    yield "no members", {**body, "members": body["members"].slice(0, 0)}, Corrupt, "without members"
    yield "lengths", change(body, "campaigns", "growth_days", [[]]), Corrupt, "differ in length"
    twice = {**body, "campaigns": pa.concat_tables([body["campaigns"]] * 2)}
    yield "id twice", change(twice, "members", "campaign", [0, 1]), Corrupt, "twice"
    many = change(change(body, "members", "belief", [9, 9]), "entities", "weight", [-1])
    yield "all at once", {**many, "read": 0}, Corrupt, "belief outside 0 to 1; weight outside"


@pytest.mark.parametrize(("body", "error", "words"), [b[1:] for b in broken()], ids=[b[0] for b in broken()])
def test_damaged_bodies_are_refused(body, error, words):
    with pytest.raises(error, match=words):
        from_body(body)
