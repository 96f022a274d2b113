"""The cluster-as-unit model: beats the mean member score, brackets the truth, survives its text, refuses nonsense."""

import json

import numpy as np
import pytest
from planted_graphs import evidence, world

from shoal.coordination.campaigns.find import candidates, find
from shoal.coordination.campaigns.fuse import CampaignSettings, fuse
from shoal.coordination.campaigns.score import FEATURES
from shoal.coordination.campaigns.unit import UnitModel, fit, from_text
from shoal.errors import Corrupt, InvalidInput, Unsupported

EVERY = CampaignSettings(min_score=0.0)


def drawn(count: int, seed: int, curved: bool = False):
    """Labels that depend on two features; the mean score is a noisy hint."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, len(FEATURES)))
    signal = np.abs(x[:, 0]) * 4 - 3 if curved else 2 * x[:, 0] - 2 * x[:, 1] - 1
    y = (rng.random(count) < 1 / (1 + np.exp(-signal))).astype(np.int64)
    return x, y, 0.3 * y + rng.random(count)


@pytest.mark.parametrize("curved", [False, True])
def test_it_beats_the_mean_member_score_and_is_calibrated(curved):
    x, y, hint = drawn(800, 1, curved)
    fitted = fit(x, y, mean_score=np.clip(hint / 1.3, 0, 1))
    assert fitted.card.beats_baseline
    assert fitted.card.kind == ("trees" if curved else "logistic")
    fresh, truth, _ = drawn(1_500, 2, curved)
    p, low, high = fitted.model.predict(fresh)
    assert ((low <= p) & (p <= high)).all()
    for begin in (0.0, 0.25, 0.5, 0.75):
        some = (p >= begin) & (p < begin + 0.25)
        if some.sum() >= 100:
            assert abs(truth[some].mean() - p[some].mean()) < 0.12
    assert fitted.model.predict_proba(fresh).sum(axis=1) == pytest.approx(1.0)


def test_the_interval_narrows_with_what_was_seen():
    few, many = (fit(*drawn(count, 3)[:2]).model for count in (30, 800))
    fresh = drawn(200, 4)[0]
    width = lambda model: float(np.mean(np.subtract(*model.predict(fresh)[:0:-1])))  # noqa: E731
    assert width(many) < 0.5 * width(few)


def test_venn_abers_brackets_are_those_of_two_isotonic_fits():
    from sklearn.isotonic import IsotonicRegression

    model = fit(*drawn(60, 5)[:2]).model
    for value in (-100.0, float(model.seen_score[7]), 0.1, 100.0):
        expected = [
            IsotonicRegression()
            .fit(np.append(model.seen_score, value), np.append(model.seen_label, label))
            .predict([value])[0]
            for label in (0, 1)
        ]
        assert model._bracket(value) == pytest.approx(expected)


def test_trees_are_lightgbms():
    import lightgbm

    from shoal.coordination.campaigns import unit

    x, y, _ = drawn(300, 6, curved=True)
    model = fit(x, y).model
    data = lightgbm.Dataset(x, label=y, params={"verbosity": -1})
    own = lightgbm.train(unit._TREES, data, unit._ROUNDS).predict(x, raw_score=True, num_threads=1)
    np.testing.assert_allclose(model.raw(x), own, rtol=1e-9, atol=1e-9)


def test_a_group_is_never_on_both_sides_of_a_fold():
    """Features that only name the operation look perfect where it is on both sides, and show nothing where not."""
    rng = np.random.default_rng(7)
    operation = np.repeat(np.arange(80), 5)
    y = (operation % 2).astype(np.int64)
    x = rng.normal(size=(80, len(FEATURES)))[operation] + 0.01 * rng.normal(size=(400, len(FEATURES)))
    leaking = fit(x, y).card.auc
    honest = fit(x, y, groups=[str(o) for o in operation]).card.auc
    assert leaking > 0.9
    assert honest < 0.75


@pytest.mark.parametrize("curved", [False, True])
def test_a_model_survives_its_text(curved):
    x, y, _ = drawn(300, 8, curved)
    model = fit(x, y).model
    again = from_text(model.to_text())
    for one, two in zip(model.predict(x), again.predict(x), strict=True):
        np.testing.assert_array_equal(one, two)
    assert again.to_text() == model.to_text()


def test_it_learns_campaigns_of_one_world_and_judges_those_of_another():
    """Fitted on planted worlds, tested on a fresh one; beats the mean score of members on it."""
    rows, labels, hints, names = [], [], [], []
    for seed in (31, 32, 33, 34):
        w = world(seed, people=600)
        graph = w.graph()
        rng = np.random.default_rng(seed)
        abusive = np.array([code in w.operation for code in range(graph.accounts)])
        scores = np.clip(rng.normal(np.where(abusive, 0.35, 0.2), 0.15), 0, 1)
        made = candidates(graph, fuse(evidence(graph), EVERY, graph.accounts), EVERY, scores=scores)
        for group in range(made.count):
            rows.append(made.features.matrix[group])
            labels.append(int(abusive[made.members(group)].mean() > 0.5))
            hints.append(made.features.mean_score[group])
            names.append(seed)
    x, y, hint, of = np.array(rows), np.array(labels), np.array(hints), np.array(names)
    train = of != 34
    fitted = fit(
        x[train], y[train], groups=[str(o) + str(i % 7) for i, o in enumerate(of[train])], mean_score=hint[train]
    )
    p, _, _ = fitted.model.predict(x[~train])
    from sklearn.metrics import roc_auc_score

    assert fitted.card.beats_baseline
    assert roc_auc_score(y[~train], p) >= 0.99 > roc_auc_score(y[~train], hint[~train])
    told = find(graph, evidence(graph), model=fitted.model, scores=scores)
    precision = np.mean([abusive[graph.codes(np.array([m.account]))[0]] for c in told for m in c.members])
    assert precision >= 0.98
    assert all(c.low <= c.score <= c.high for c in told)


# --- bad input

X, Y, _ = drawn(40, 9)
SMALL = fit(X, Y).model
BAD = [
    ("one class", X, np.zeros(40, int), {}, ["campaigns.one_class"]),
    ("few of a class", X, np.r_[np.ones(4, int), np.zeros(36, int)], {}, ["campaigns.one_class"]),
    ("none", X[:0], Y[:0], {}, ["campaigns.one_class"]),
    ("NaN", np.where(np.arange(40)[:, None] == 3, np.nan, X), Y, {}, ["campaigns.features"]),
    ("columns", X[:, :3], Y, {}, ["campaigns.features"]),
    ("labels", X, Y + 1, {}, ["campaigns.labels"]),
    ("lengths", X, Y[:39], {"mean_score": np.zeros(2)}, ["campaigns.lengths", "campaigns.lengths"]),
    ("one group", X, Y, {"groups": [str(label) for label in Y]}, ["campaigns.one_group"]),
    ("folds", X, Y, {"folds": 1}, ["campaigns.folds"]),
    ("all at once", X[:, :3], Y * 0, {"folds": 0}, ["campaigns.features", "campaigns.one_class", "campaigns.folds"]),
]


@pytest.mark.parametrize(("x", "y", "more", "slugs"), [b[1:] for b in BAD], ids=[b[0] for b in BAD])
def test_what_cannot_be_learned_from_is_refused(x, y, more, slugs):
    with pytest.raises(InvalidInput) as caught:
        fit(x, y, **more)
    assert [p.slug for p in caught.value.problems] == slugs


def test_features_of_another_shape_are_refused():
    model = SMALL
    with pytest.raises(InvalidInput, match=r"campaigns\.features"):
        model.predict(X[:, :5])
    with pytest.raises(InvalidInput, match=r"campaigns\.features"):
        model.predict(np.full((1, len(FEATURES)), np.inf))
    assert [len(part) for part in model.predict(X[:0])] == [0, 0, 0]


def body(**change):
    made = json.loads(SMALL.to_text())
    made.update(change)
    return json.dumps(made)


LEAF = {"feature": [0, -1, -1], "threshold": [0.0] * 3, "left": [1, -1, -1], "right": [2, -1, -1], "value": [0.0] * 3}
TEXTS = [
    ("no json", "{", Corrupt),
    ("a list", "[]", Unsupported),
    ("format", body(format="other"), Unsupported),
    ("version", body(version=2), Unsupported),
    ("columns", body(columns=["size"]), Unsupported),
    ("kind", body(kind="magic"), Corrupt),
    ("weights", body(weights=[1.0]), Corrupt),
    ("text in numbers", body(weights=["x"] * len(FEATURES)), Corrupt),
    ("null", body(intercept=None), Corrupt),
    ("scale", body(scale=[0.0] * len(FEATURES)), Corrupt),
    ("labels", body(seen_label=[3] * 40), Corrupt),
    ("disorder", body(seen_score=list(range(40, 0, -1))), Corrupt),
    ("uncalibrated", body(seen_score=[], seen_label=[]), Corrupt),
    ("a tree that walks in a circle", body(kind="trees", trees=[{**LEAF, "left": [0, -1, -1]}]), Corrupt),
    ("a tree that leaves", body(kind="trees", trees=[{**LEAF, "right": [9, -1, -1]}]), Corrupt),
    ("a tree of other features", body(kind="trees", trees=[{**LEAF, "feature": [999, -1, -1]}]), Corrupt),
    ("a tree of fractions", body(kind="trees", trees=[{**LEAF, "left": [1.5, -1, -1]}]), Corrupt),
    ("half a tree", body(kind="trees", trees=[{**LEAF, "value": [0.0]}]), Corrupt),
]


@pytest.mark.parametrize(("text", "error"), [t[1:] for t in TEXTS], ids=[t[0] for t in TEXTS])
def test_texts_that_are_no_model_are_refused(text, error):
    with pytest.raises(error):
        from_text(text)


def test_a_sound_tree_is_read():
    model = from_text(body(kind="trees", trees=[LEAF]))
    assert isinstance(model, UnitModel)
    assert model.raw(X).tolist() == [0.0] * 40
