"""The sequence model: held to its slow twin, its laws, what it finds, and what it refuses."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from oracles import sequence_oracle
from shoal.detectors.takeover.sessions import SequenceModel, SequenceOptions
from shoal.detectors.takeover.sessions.levels import Levels
from shoal.errors import InvalidInput

TOKENS = st.lists(st.sampled_from("abcde"), max_size=8)
HISTORY = st.lists(st.tuples(st.sampled_from(["ann", "bob", "cy"]), TOKENS), min_size=1, max_size=12)


def made(seed: int, users: int = 6, sessions: int = 30, length: int = 40) -> tuple[list[str], list[list[str]]]:
    """Each account walks its own order over the same tokens: the singles tell nothing, the order does."""
    chance = np.random.default_rng(seed)
    words = np.array([f"w{i}" for i in range(12)])
    accounts, found = [], []
    for user in range(users):
        order = np.random.default_rng(user).permutation(12)
        for _ in range(sessions):
            place, tokens = int(chance.integers(12)), []
            for _ in range(length):
                place = int(order[place]) if chance.random() < 0.6 else int(chance.integers(12))
                tokens.append(str(words[place]))
            accounts.append(f"u{user}")
            found.append(tokens)
    return accounts, found


@settings(max_examples=60, deadline=None)
@given(HISTORY, TOKENS.filter(bool), st.integers(1, 3))
def test_equals_the_slow_twin(history: list[tuple[str, list[str]]], tokens: list[str], longest: int) -> None:
    model = SequenceModel(SequenceOptions(longest=longest)).fit([a for a, _ in history], [s for _, s in history])
    got = model.judge(["ann"], [tokens])[0]
    if not any(a == "ann" and s for a, s in history):
        assert got.score is None
        assert got.basis == "none"
        return
    assert got.score == pytest.approx(sequence_oracle.score(history, "ann", tokens, longest, 50.0, 2.0, 1.0, 9.0))


@settings(max_examples=40, deadline=None)
@given(HISTORY, st.lists(TOKENS, min_size=1, max_size=5))
def test_rows_are_independent_and_streams_agree(history: list[tuple[str, list[str]]], batch: list[list[str]]) -> None:
    model = SequenceModel().fit([a for a, _ in history], [s for _, s in history])
    together = model.decision_function(["ann"] * len(batch), batch)
    alone = [model.decision_function(["ann"], [tokens])[0] for tokens in batch]
    np.testing.assert_array_equal(together, alone)
    for tokens, score in zip(batch, alone, strict=True):
        stream = model.stream("ann")
        last = None
        for token in tokens:
            last = stream.push(token)
        assert (math.isnan(score) and last is None) or last == score


@settings(max_examples=40, deadline=None)
@given(HISTORY)
def test_probabilities_sum_to_one(history: list[tuple[str, list[str]]]) -> None:
    model = SequenceModel(groups={"ann": "g", "bob": "g"}).fit([a for a, _ in history], [s for _, s in history])
    known = {t for _, s in history for t in s}
    levels: Levels = model.levels("ann")
    for context in ((), ("a",)):
        pairs = [levels.probabilities((*context, token)) for token in [*known, "never seen"]]
        assert sum(own for own, _ in pairs) == pytest.approx(1)
        assert sum(others for _, others in pairs) == pytest.approx(1)


def test_order_alone_tells_accounts_apart_and_tails_hold() -> None:
    model = SequenceModel().fit(*made(1))
    accounts, sessions = made(2, sessions=10)
    own = model.judge(accounts, sessions)
    strange = model.judge([f"u{(int(a[1:]) + 1) % 6}" for a in accounts], sessions)
    scores = [judged.score for judged in (*own, *strange)]
    assert roc_auc_score([0] * len(own) + [1] * len(strange), scores) > 0.97
    singles = SequenceModel(SequenceOptions(longest=1)).fit(*made(1))
    flat = singles.decision_function(accounts + accounts[10:] + accounts[:10], sessions + sessions)
    assert roc_auc_score([0] * len(own) + [1] * len(own), flat) < 0.7  # the single tokens do not tell it
    assert np.mean([judged.tail <= 0.1 for judged in own if judged.tail is not None]) < 0.25
    assert np.mean([judged.tail <= 0.1 for judged in strange if judged.tail is not None]) > 0.9


def test_reasons_name_the_surprise_with_its_counts() -> None:
    history = [("ann", ["ls", "vi"])] * 4 + [("bob", ["nmap", "ls"])] * 3
    model = SequenceModel().fit([a for a, _ in history], [s for _, s in history])
    judged = model.judge(["ann"], [["ls", "nmap", "nmap"]])[0]
    texts = [reason.text for reason in judged.reasons]
    assert "'nmap' (2 times here): in 0 of this account's 4 sessions, in 3 of 3 of others" in texts
    assert [r.amount for r in judged.reasons] == sorted((r.amount for r in judged.reasons), reverse=True)
    surprise = model.score_tokens("ann", ["vi", "nmap"])
    assert surprise[0] < 0 < surprise[1]


def test_update_learns_the_owner_and_not_the_intruder() -> None:
    accounts, sessions = made(1)
    model = SequenceModel().fit(accounts, sessions)
    before = model.decision_function(["u0"], [["x", "y", "z"] * 5])[0]
    assert not model.update("u0", ["w1", "root"] * 3 + sessions[60])  # u2's walk
    assert model.decision_function(["u0"], [["x", "y", "z"] * 5])[0] == before
    learned = [model.update("u0", tokens) for tokens in made(3, users=1)[1]]
    assert np.mean(learned) > 0.8
    new = [*made(4, users=1, sessions=1)[1][0], "brand_new"]
    first = model.decision_function(["u0"], [new])[0]
    assert model.update("u0", new, force=True)
    assert model.decision_function(["u0"], [new])[0] < first
    assert not model.update("u0", [])


def test_no_history_falls_back_to_peers_then_to_unknown() -> None:
    history = [("ann", ["ls", "vi"])] * 5 + [("bob", ["nmap", "nc"])] * 5
    groups = {"ann": "ops", "new": "ops"}
    model = SequenceModel(groups=groups).fit([a for a, _ in history], [s for _, s in history])
    like, unlike = model.judge(["new", "new"], [["ls", "vi"], ["nmap", "nc"]])
    assert like.basis == unlike.basis == "group"
    assert like.tail is None
    assert like.score is not None
    assert unlike.score is not None
    assert like.score < 0 < unlike.score
    nobody = model.judge(["stranger"], [["ls"]])[0]
    assert (nobody.score, nobody.basis) == (None, "none")
    assert "nothing is known" in nobody.reasons[0].text
    empty = model.judge(["ann"], [[]])[0]
    assert (empty.score, empty.basis) == (None, "empty")
    one = model.judge(["ann"], [["never seen"]])[0]
    assert one.score is not None
    assert math.isfinite(one.score)


def test_memory_is_bounded_and_others_stay_exact() -> None:
    model = SequenceModel(SequenceOptions(most_ngrams=64))
    for number in range(60):
        model.update("ann", [f"t{number}-{i}" for i in range(10)] + ["home", "again"], force=True)
    assert model.ngrams_kept("ann") <= 64
    model.update("bob", ["other"])
    levels = model.levels("bob")
    home = model.judge(["ann"], [["home", "again"]])[0].score
    assert home is not None
    assert home < model.decision_function(["ann"], [["t0-1"]])[0]
    own, others = levels.probabilities(("home",))
    assert 0 < own < others < 1


@pytest.mark.parametrize(
    ("accounts", "sessions", "slug", "path"),
    [
        (["a"], [["x"], ["y"]], "session.lengths", "accounts"),
        ([""], [["x"]], "session.account", "accounts[0]"),
        ([7], [["x"]], "session.account", "accounts[0]"),
        (["a"], ["text"], "session.tokens", "sessions[0]"),
        (["a"], [None], "session.tokens", "sessions[0]"),
        (["a"], [["x", None]], "session.token", "sessions[0][1]"),
        (["a"], [[math.nan]], "session.token", "sessions[0][0]"),
        (["a"], [[""]], "session.token", "sessions[0][0]"),
        (["a"], [["x" * 513]], "session.token", "sessions[0][0]"),
    ],
)
def test_malformed_sessions(accounts: Any, sessions: Any, slug: str, path: str) -> None:
    for call in (SequenceModel().fit, SequenceModel().decision_function, SequenceModel().judge):
        with pytest.raises(InvalidInput) as caught:
            call(accounts, sessions)
        assert [(p.slug, p.where.path) for p in caught.value.problems] == [(slug, path)]


def test_problems_come_together_and_nothing_is_learned() -> None:
    model = SequenceModel()
    with pytest.raises(InvalidInput) as caught:
        model.fit(["ann"] * 31, [["good"]] + [[None]] * 30)  # type: ignore[list-item]
    assert len(caught.value.problems) == 21
    assert "10 more" in caught.value.problems[-1].message
    assert model.judge(["ann"], [["good"]])[0].basis == "none"


@pytest.mark.parametrize(
    "wrong",
    [{"longest": 0}, {"longest": 2.5}, {"own_prior": 0.0}, {"unseen": math.nan}, {"clip": math.inf},
     {"most_ngrams": 1}, {"learn_quantile": 0.0}, {"learn_margin": math.nan}],
)  # fmt: skip
def test_malformed_options(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as caught:
        SequenceOptions(**wrong)
    assert caught.value.problems[0].slug == "session.option"


@pytest.mark.data
def test_real_command_sequences(data_folder: Path) -> None:
    table = pq.read_table(data_folder / "takeover" / "bash_masquerade.parquet").to_pylist()
    groups: dict[tuple[int, int], tuple[list[str], int]] = {}
    for row in table:
        tokens, label = groups.get((row["user"], row["segment"]), ([], 0))
        groups[row["user"], row["segment"]] = ([*tokens, row["command"]], max(label, row["label"]))
    history = [(f"u{user}", tokens) for (user, segment), (tokens, _) in groups.items() if segment < 50]
    test = [(f"u{user}", *found) for (user, segment), found in groups.items() if segment >= 50]
    model = SequenceModel().fit([a for a, _ in history], [s for _, s in history])
    scores = model.decision_function([row[0] for row in test], [row[1] for row in test])
    assert roc_auc_score([row[2] for row in test], scores) >= 0.965
