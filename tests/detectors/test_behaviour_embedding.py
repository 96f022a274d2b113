"""The embedding of event n-grams: groups that it finds, rows alone, running = whole, stored and read."""

import io

import numpy as np
import pytest

from shoal.detectors.behaviour import NgramEmbedding, PeerGroups
from shoal.errors import Corrupt, InvalidInput


def three_kinds(accounts: int = 90, events: int = 40, seed: int = 0):
    """Accounts of three kinds that do the same things in another order; ids, tokens, and the kind of each account."""
    rng = np.random.default_rng(seed)
    orders = np.array([[1, 2, 3, 4], [4, 3, 2, 1], [1, 3, 1, 3]])
    ids = rng.permutation(accounts).astype(np.int64) * 7919 - 10**6
    kinds = np.arange(accounts) % 3
    rows, tokens = [], []
    for ident, kind in zip(ids, kinds, strict=True):
        start = int(rng.integers(0, 4))
        for k in range(events):
            rows.append(ident)
            tokens.append(orders[kind][(start + k) % 4] if rng.random() > 0.1 else rng.integers(1, 6))
    return np.array(rows), np.array(tokens, dtype=np.int64), dict(zip(ids.tolist(), kinds.tolist(), strict=True))


def test_groups_by_order_of_events_not_by_their_mix():
    accounts, tokens, kinds = three_kinds()
    fitted = NgramEmbedding.fit(accounts, tokens, dimensions=4)
    who, vectors = fitted.transform(accounts, tokens)
    found = PeerGroups.fit(vectors, 3).assign(vectors)
    true = np.array([kinds[ident] for ident in who.tolist()])
    assert all(np.bincount(found[true == kind]).max() >= 0.95 * (true == kind).sum() for kind in range(3))
    assert len({int(np.bincount(found[true == kind]).argmax()) for kind in range(3)}) == 3
    mix = NgramEmbedding.fit(accounts, tokens, dimensions=4, longest=1)  # the first two kinds do the same things
    same = PeerGroups.fit(mix.transform(accounts, tokens)[1], 3).assign(mix.transform(accounts, tokens)[1])
    assert np.bincount(same[true == 0]).max() < 0.95 * (true == 0).sum()


def test_a_vector_depends_on_its_account_alone_and_the_running_one_is_the_same():
    accounts, tokens, _ = three_kinds()
    fitted = NgramEmbedding.fit(accounts, tokens, dimensions=4, longest=3)
    who, vectors = fitted.transform(accounts, tokens)
    for at in (0, 17, 80):
        own = accounts == who[at]
        alone, vector = fitted.transform(accounts[own], tokens[own])
        assert alone.tolist() == [who[at]]
        assert vector[0].tobytes() == vectors[at].tobytes()
        running = fitted.stream()
        for token in tokens[own].tolist():
            last = running.push(token)
        np.testing.assert_allclose(last, vectors[at], rtol=0, atol=1e-12)


def test_a_burst_says_what_its_first_events_say():
    accounts, tokens, _ = three_kinds()
    fitted = NgramEmbedding.fit(accounts, tokens, dimensions=4)
    one, many = fitted.stream(), fitted.stream()
    for token in (1, 2, 3, 3):
        a = one.push(token)
    for token in (1, 2, *[3] * 1000):
        b = many.push(token)
    assert a.tobytes() == b.tobytes()
    assert not fitted.stream().push(999_999).any() or np.isfinite(fitted.stream().push(999_999)).all()


def test_same_rows_and_seed_give_the_same_bytes_and_signs_are_fixed():
    accounts, tokens, _ = three_kinds()
    a, b = (NgramEmbedding.fit(accounts, tokens, dimensions=4, seed=3) for _ in range(2))
    assert a.weights.tobytes() == b.weights.tobytes()
    other = NgramEmbedding.fit(accounts, tokens, dimensions=4, seed=4)
    np.testing.assert_allclose(np.sign((a.weights * other.weights).sum(axis=0)), 1.0)


def test_stored_as_arrays_and_read_back_without_pickle():
    accounts, tokens, _ = three_kinds()
    fitted = NgramEmbedding.fit(accounts, tokens, dimensions=4)
    groups = PeerGroups.fit(fitted.transform(accounts, tokens)[1], 3)
    file = io.BytesIO()
    np.savez(file, **fitted.arrays(), **groups.arrays())
    file.seek(0)
    with np.load(file, allow_pickle=False) as read:
        again, groups_again = NgramEmbedding.of_arrays(read), PeerGroups.of_arrays(read)
    vectors = again.transform(accounts, tokens)[1]
    assert vectors.tobytes() == fitted.transform(accounts, tokens)[1].tobytes()
    assert groups_again.assign(vectors).tolist() == groups.assign(vectors).tolist()


IDS = np.arange(40, dtype=np.int64)
BAD = [
    (lambda: NgramEmbedding.fit(IDS.astype(float), IDS), "accounts: float64 (40,); allowed: an int64 array of ids"),
    (lambda: NgramEmbedding.fit(IDS, ["a"]), "tokens: list"),
    (lambda: NgramEmbedding.fit(IDS[:, None], IDS), "accounts: int64 (40, 1)"),
    (lambda: NgramEmbedding.fit(IDS, IDS[:3]), "40 accounts and 3 tokens"),
    (lambda: NgramEmbedding.fit(IDS[:0], IDS[:0]), "there are no rows"),
    (lambda: NgramEmbedding.fit(IDS[:5], IDS[:5]), "5 accounts are too few for 16 dimensions"),
    (lambda: NgramEmbedding.fit(IDS, IDS, cells=1000), "cells is 1000; allowed: 16 to 1048576, a power of two"),
    (lambda: NgramEmbedding.fit(IDS, IDS, dimensions=0, longest=9), "longest is 9; allowed: 1 to 4"),
    (lambda: PeerGroups.fit(np.zeros((3, 2)), 4), "4 groups of vectors (3, 2)"),
    (lambda: PeerGroups.fit(np.full((9, 2), np.nan), 2), "a matrix of finite numbers"),
    (lambda: PeerGroups(np.zeros((2, 3))).assign(np.zeros((5, 2))), "finite numbers, 3 columns"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InvalidInput) as caught:
        call()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "change",
    [
        {"embedding.head": np.array([2, 2])}, {"embedding.head": np.array([1, 9])}, {"embedding.head": np.array([1])},
        {"embedding.weights": np.zeros((3, 2))}, {"embedding.weights": np.full((4, 2), np.inf)},
        {"groups.centres": np.zeros(3)}, {"groups.head": np.array([7])},
    ],
)  # fmt: skip
def test_arrays_that_are_none_of_this_are_corrupt(change):
    whole = NgramEmbedding(np.zeros((16, 2)), 2).arrays() | PeerGroups(np.zeros((2, 2))).arrays()
    reader = PeerGroups if next(iter(change)).startswith("groups") else NgramEmbedding
    reader.of_arrays(whole)
    with pytest.raises(Corrupt):
        reader.of_arrays({**whole, **change})
