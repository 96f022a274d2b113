"""The JSON texts of a batch's decisions, made once for each combination, are those of each row by itself."""

import json

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shoal.policy.policy import rule_indices
from shoal.runtime.commit import _action_texts, _rule_texts

WORDS = st.tuples(st.integers(0, 3), st.sampled_from([0, 1, 2**63]))


@given(st.lists(WORDS, max_size=20))
@settings(max_examples=60, deadline=None)
def test_rule_texts_are_those_of_each_row(words: list[tuple[int, int]]) -> None:
    bits = np.array(words, dtype=np.uint64).reshape(-1, 2)
    ids = [f"rule{k}" for k in range(128)]
    plain = [[ids[k] for k in rule_indices(bits[row])] for row in range(len(bits))]
    assert [json.loads(text) for text in _rule_texts(bits, ids)] == plain
    assert [json.loads(text) for text in _rule_texts(bits[:, ::-1][:, ::-1], ids)] == plain


@given(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(["watch", "stop", 'quote"'])), max_size=20))
@settings(max_examples=60, deadline=None)
def test_action_texts_keep_the_order_in_which_actions_were_planned(planned: list[tuple[int, str]]) -> None:
    plain: dict[int, list[str]] = {}
    for hit, name in planned:
        plain.setdefault(hit, []).append(name)
    texts = _action_texts([hit for hit, _ in planned], [name for _, name in planned])
    assert {hit: json.loads(text) for hit, text in texts.items()} == plain
