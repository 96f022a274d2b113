"""Fitted trees: held to LightGBM itself and to a slow twin, their laws, and what a malformed file is told."""

from collections.abc import Callable
from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oracles import trees_oracle
from shoal.detectors.models import text
from shoal.detectors.models.contributions import Paths, contributions
from shoal.detectors.models.text import MAX_BYTES, MAX_LEAVES, MAX_PROBLEMS
from shoal.detectors.models.trees import Trees
from shoal.errors import InvalidInput, ShoalError, Unsupported, Where

Floats = npt.NDArray[np.float64]
HERE = Where("model.txt")
QUIET: dict[str, Any] = {"verbose": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True}


def fitted(x: Floats, y: Floats, rounds: int, **settings: Any) -> lightgbm.Booster:
    data = lightgbm.Dataset(x, y, params={"min_data_in_bin": 1, "verbose": -1})
    return lightgbm.train(QUIET | {"objective": "binary", "min_data_in_leaf": 1} | settings, data, rounds)


def rows(seed: int, n: int, width: int) -> Floats:
    """Numbers as features have them: counts, small and large floats, flags, constants, with holes."""
    chance = np.random.default_rng(seed)
    x = np.empty((n, width))
    for column in range(width):
        kind = int(chance.integers(5))
        x[:, column] = [
            chance.poisson(1.5, n),
            chance.normal(size=n) * 10.0 ** chance.integers(-8, 9),
            chance.random(n) < 0.3,
            np.full(n, chance.integers(3)),
            chance.integers(-3, 4, n) * 0.5,
        ][kind]
        if chance.random() < 0.6:
            x[chance.random(n) < 0.25, column] = np.nan
    return x


def asked(booster: lightgbm.Booster, x: Floats, seed: int) -> Floats:
    """Rows to ask about: those that were fitted, and all that is awkward, the thresholds and their neighbours too."""
    chance = np.random.default_rng(seed)
    cuts = [0.0, -0.0, np.nan, np.inf, -np.inf, 1e-35, -1e-36, 1.0000000180025095e-35, 5e-324, 1e300]
    for tree in booster.dump_model()["tree_info"]:
        waiting = [tree["tree_structure"]]
        while waiting and len(cuts) < 200:
            node = waiting.pop()
            if "threshold" in node:
                cut = node["threshold"]
                cuts += [cut, np.nextafter(cut, np.inf), np.nextafter(cut, -np.inf)]
                waiting += [node["left_child"], node["right_child"]]
    return np.vstack([x, chance.choice(cuts, (60, x.shape[1]))])


SHAPES = st.fixed_dictionaries(
    {
        "num_leaves": st.sampled_from([2, 3, 7, 31]),
        "use_missing": st.booleans(),
        "zero_as_missing": st.booleans(),
        "boosting": st.sampled_from(["gbdt", "gbdt", "dart"]),
        "data_sample_strategy": st.sampled_from(["bagging", "goss"]),
        "objective": st.sampled_from(["binary", "regression", "cross_entropy"]),
        "max_bin": st.sampled_from([3, 15, 255]),
        "learning_rate": st.sampled_from([0.05, 0.7]),
        "feature_fraction": st.sampled_from([0.5, 1.0]),
        "extra_trees": st.booleans(),
        "seed": st.integers(0, 1_000),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SHAPES, st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 6), st.integers(30, 300))
def test_the_sum_is_lightgbms_to_the_last_bit(
    shape: dict[str, Any], seed: int, rounds: int, width: int, n: int
) -> None:
    x = rows(seed, n, width)
    y = (np.nan_to_num(x[:, 0]) + np.random.default_rng(seed).normal(size=n) > 0.5).astype(float)
    booster = fitted(x, y, rounds, **shape)
    trees = Trees.read(booster.model_to_string().encode(), HERE)
    given = asked(booster, x, seed)
    found = trees.raw(given)
    assert found.tolist() == booster.predict(given, raw_score=True, num_threads=1).tolist()
    dumped = booster.dump_model()["tree_info"]
    assert found[-40:].tolist() == [trees_oracle.raw(dumped, row) for row in given[-40:].tolist()]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(SHAPES, st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 4))
def test_reasons_are_shapley_values(shape: dict[str, Any], seed: int, rounds: int, width: int) -> None:
    x = rows(seed, 120, width)
    y = (np.nan_to_num(x[:, 0]) + np.random.default_rng(seed).normal(size=120) > 0.5).astype(float)
    booster = fitted(x, y, rounds, **shape)
    trees = Trees.read(booster.model_to_string().encode(), HERE)
    paths = Paths.of(trees)
    given = asked(booster, x, seed)
    given = given[np.random.default_rng(seed).integers(0, len(given), 12)]
    found = contributions(trees, paths, given)
    scale = 1.0 + np.abs(trees.values).sum()
    theirs = booster.predict(given, pred_contrib=True, num_threads=1)
    assert found == pytest.approx(theirs[:, :-1], abs=1e-10 * scale)
    assert paths.expected + found.sum(axis=1) == pytest.approx(trees.raw(given), abs=1e-12 * scale)
    dumped = booster.dump_model()["tree_info"]
    slow = [trees_oracle.shapley(dumped, row) for row in given[:3].tolist()]
    assert found[:3] == pytest.approx(np.array(slow), abs=1e-10 * scale)


@pytest.fixture(scope="module")
def wide() -> tuple[lightgbm.Booster, Floats]:
    x = rows(5, 3_000, 60)
    y = (np.nan_to_num(x[:, :9]).sum(axis=1) + np.random.default_rng(1).normal(size=len(x)) > 2.0).astype(float)
    return fitted(x, y, 60, num_leaves=63, min_data_in_leaf=5), x


def test_a_row_does_not_depend_on_its_neighbours(wide: tuple[lightgbm.Booster, Floats]) -> None:
    booster, x = wide
    trees = Trees.read(booster.model_to_string().encode(), HERE)
    whole = trees.raw(x)
    assert whole.tolist() == booster.predict(x, raw_score=True, num_threads=1).tolist()
    assert np.concatenate([trees.raw(x[i : i + 1]) for i in range(300)]).tolist() == whole[:300].tolist()
    assert trees.raw(np.ascontiguousarray(x[::-1])).tolist() == whole[::-1].tolist()
    for size in (2, 7, 8, 9, 63, 64, 65, 129):
        assert trees.raw(x[100 : 100 + size]).tolist() == whole[100 : 100 + size].tolist()
    paths = Paths.of(trees)
    shares = contributions(trees, paths, x[:20])
    assert np.vstack([contributions(trees, paths, x[i : i + 1]) for i in range(20)]).tolist() == shares.tolist()


def test_deep_trees_have_exact_reasons() -> None:
    """A tree that peels one row off at each step over many inputs: where polynomials would lose their digits."""
    chance = np.random.default_rng(0)
    x = chance.normal(size=(400, 30))
    y = np.arange(400) * 1.0
    for column in range(30):
        x[column * 3, column] = 1_000.0
        y[column * 3] = 1e6 / (column + 1)
    booster = fitted(x, y, 1, objective="regression", num_leaves=32, learning_rate=0.9)
    trees = Trees.read(booster.model_to_string().encode(), HERE)
    paths = Paths.of(trees)
    assert trees.depths.max() > 15
    found = contributions(trees, paths, x)
    assert paths.expected + found.sum(axis=1) == pytest.approx(trees.raw(x), rel=1e-11)
    dumped = booster.dump_model()["tree_info"]
    slow = [[float(one) for one in trees_oracle.exact(dumped, row)] for row in x[:1].tolist()]
    assert found[:1] == pytest.approx(np.array(slow), rel=1e-10, abs=1e-12 * np.abs(trees.values).sum())


def test_a_constant_model() -> None:
    x = rows(3, 40, 2)
    booster = fitted(x, np.ones(40), 5, objective="regression")
    trees = Trees.read(booster.model_to_string().encode(), HERE)
    assert trees.raw(x).tolist() == booster.predict(x, raw_score=True).tolist()
    assert not contributions(trees, Paths.of(trees), x).any()


SMALL = """tree
version=v4
num_class=1
num_tree_per_iteration=1
label_index=0
max_feature_idx=1
objective=binary sigmoid:1
feature_names=a b
feature_infos=[0:9] [0:9]
tree_sizes=100 100

Tree=0
num_leaves=4
num_cat=0
split_feature=0 1 0
split_gain=9 8 7
threshold=1.5 2.5 0.5
decision_type=10 2 8
left_child=2 -2 -1
right_child=1 -3 -4
leaf_value=-0.5 0.25 1 -0.125
leaf_weight=1 1 1 1
leaf_count=40 30 20 10
internal_value=0 0 0
internal_weight=4 2 2
internal_count=100 50 50
is_linear=0
shrinkage=0.1


Tree=1
num_leaves=1
num_cat=0
split_feature=
split_gain=
threshold=
decision_type=
left_child=
right_child=
leaf_value=0.5
leaf_weight=
leaf_count=
internal_value=
internal_weight=
internal_count=
is_linear=0
shrinkage=1


end of trees

feature_importances:
a=2
"""


def test_a_small_file_by_hand() -> None:
    trees = Trees.read(SMALL.encode(), HERE)
    nan = np.nan
    x = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 2.0], [2.0, 3.0], [nan, 0.0], [2.0, nan], [1.5, 9.0]])
    assert trees.raw(x).tolist() == [0.0, 0.375, 0.75, 1.5, 0.375, 0.75, 0.375]
    assert trees.names == ("a", "b")
    assert trees.count == 2
    windows = SMALL.replace("\n", "\r\n")
    assert Trees.read(windows.encode(), HERE).raw(x).tolist() == trees.raw(x).tolist()


def change(old: str, new: str, count: int = 1) -> Callable[[], bytes]:
    def made() -> bytes:
        assert old in SMALL
        return SMALL.replace(old, new, count).encode()

    return made


MALFORMED: dict[str, tuple[Callable[[], bytes], str, int]] = {
    "nothing": (lambda: b"", "model.trees_format", 1),
    "another file": (lambda: b'{"a": 1}', "model.trees_format", 1),
    "an ONNX file": (lambda: b"\x08\x07\x12\x08\xff\xfe", "model.trees_text", 1),
    "bytes that are no text": (lambda: SMALL.encode().replace(b"sigmoid", b"\xff\xfe"), "model.trees_text", 7),
    "cut off": (lambda: SMALL.encode()[: SMALL.index("Tree=1")], "model.trees_cut", 31),
    "too large": (lambda: b" " * (MAX_BYTES + 1), "model.trees_size", 0),
    "no trees": (lambda: (SMALL[: SMALL.index("Tree=0")] + "end of trees\n").encode(), "model.trees_count", 0),
    "a tree left out": (change("Tree=1", "Tree=2"), "model.trees_order", 31),
    "no version": (change("version=v4\n", ""), "model.trees_key", 1),
    "no class count": (change("num_class=1\n", ""), "model.trees_key", 1),
    "a header line twice": (change("num_class=1\n", "num_class=1\nnum_class=1\n"), "model.trees_key", 4),
    "no inputs": (change("max_feature_idx=1", "max_feature_idx=-1"), "model.trees_inputs", 6),
    "a million inputs": (change("max_feature_idx=1", "max_feature_idx=999999"), "model.trees_inputs", 6),
    "a word for a number": (change("max_feature_idx=1", "max_feature_idx=one"), "model.trees_number", 6),
    "too few names": (change("feature_names=a b", "feature_names=a"), "model.trees_inputs", 8),
    "the same name twice": (change("feature_names=a b", "feature_names=a a"), "model.trees_inputs", 8),
    "no leaves": (change("num_leaves=4", "num_leaves=0"), "model.trees_leaves", 12),
    "too many leaves": (change("num_leaves=4", f"num_leaves={MAX_LEAVES + 1}"), "model.trees_leaves", 12),
    "a huge number": (change("num_leaves=4", "num_leaves=" + "9" * 30), "model.trees_number", 13),
    "a number of 6,000 digits": (change("num_leaves=4", "num_leaves=" + "9" * 6_000), "model.trees_number", 13),
    "more leaves said than there are": (change("num_leaves=4", "num_leaves=5"), "model.trees_number", 15),
    "a line unknown": (change("shrinkage=0.1", "shrinkagge=0.1"), "model.trees_key", 28),
    "a line twice": (change("num_cat=0\n", "num_cat=0\nnum_cat=0\n"), "model.trees_key", 15),
    "a line missing": (change("threshold=1.5 2.5 0.5\n", ""), "model.trees_key", 12),
    "no counts": (change("leaf_count=40 30 20 10\n", ""), "model.trees_key", 12),
    "an input that is none": (change("split_feature=0 1 0", "split_feature=0 2 0"), "model.trees_range", 15),
    "a negative input": (change("split_feature=0 1 0", "split_feature=0 -1 0"), "model.trees_range", 15),
    "a threshold that is nan": (change("1.5 2.5 0.5", "1.5 nan 0.5"), "model.trees_number", 17),
    "a threshold out of range": (change("1.5 2.5 0.5", "1.5 1e999 0.5"), "model.trees_number", 17),
    "a threshold with an underscore": (change("1.5 2.5 0.5", "1.5 1_0 0.5"), "model.trees_number", 17),
    "a threshold too many": (change("1.5 2.5 0.5", "1.5 2.5 0.5 3"), "model.trees_number", 17),
    "a missing type that is none": (change("decision_type=10 2 8", "decision_type=10 14 8"), "model.trees_range", 18),
    "a decision type beyond": (change("decision_type=10 2 8", "decision_type=10 16 8"), "model.trees_range", 18),
    "a child beyond": (change("left_child=2 -2 -1", "left_child=3 -2 -1"), "model.trees_range", 19),
    "a leaf beyond": (change("left_child=2 -2 -1", "left_child=2 -2 -5"), "model.trees_range", 19),
    "a cycle": (change("left_child=2 -2 -1", "left_child=2 -2 0"), "model.trees_shape", 12),
    "a cycle apart": (change("left_child=2 -2 -1", "left_child=-1 -2 2"), "model.trees_shape", 12),
    "a leaf reached twice": (change("right_child=1 -3 -4", "right_child=1 -3 -3"), "model.trees_shape", 12),
    "a node reached twice": (change("right_child=1 -3 -4", "right_child=2 -3 -4"), "model.trees_shape", 12),
    "a leaf value of nan": (change("-0.5 0.25 1", "-0.5 nan 1"), "model.trees_number", 21),
    "a leaf value of inf": (change("-0.5 0.25 1", "-0.5 inf 1"), "model.trees_number", 21),
    "a leaf value too large": (change("-0.5 0.25 1", "-0.5 1e101 1"), "model.trees_range", 21),
    "a leaf without rows": (change("leaf_count=40 30", "leaf_count=40 0"), "model.trees_range", 23),
    "one leaf without value": (change("leaf_value=0.5", "leaf_value="), "model.trees_number", 40),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(name: str) -> None:
    made, slug, line = MALFORMED[name]
    with pytest.raises(InvalidInput) as caught:
        Trees.read(made(), HERE)
    assert (slug, line) in [(problem.slug, problem.where.line) for problem in caught.value.problems]
    assert all(problem.where.file == "model.txt" for problem in caught.value.problems)


UNSUPPORTED = {
    "an old version": change("version=v4", "version=v3"),
    "a later version": change("version=v4", "version=v5"),
    "several classes": change("num_class=1", "num_class=3"),
    "several trees a round": change("num_tree_per_iteration=1", "num_tree_per_iteration=3"),
    "a random forest": change("objective=", "average_output\nobjective="),
    "linear leaves": change("is_linear=0", "is_linear=1"),
    "a categorical tree": change("num_cat=0", "num_cat=1\ncat_boundaries=0 1\ncat_threshold=2"),
    "a categorical split": change("decision_type=10 2 8", "decision_type=10 1 8"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported(name: str) -> None:
    with pytest.raises(Unsupported, match=r"model\.trees_unsupported"):
        Trees.read(UNSUPPORTED[name](), HERE)


@pytest.mark.parametrize(
    "wanted",
    [
        {"objective": "multiclass", "num_class": 3},
        {"objective": "regression", "boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
        {"objective": "regression", "linear_tree": True},
        {"objective": "regression"},
    ],
    ids=["classes", "forest", "linear", "categorical"],
)
def test_lightgbms_own_unsupported_models(wanted: dict[str, Any], request: pytest.FixtureRequest) -> None:
    x, y = np.abs(np.nan_to_num(rows(1, 200, 3))).clip(0, 9).round(), np.arange(200) % 3 * 1.0
    groups: Any = [0] if "categorical" in request.node.name else "auto"
    data = lightgbm.Dataset(x, y, params={"verbose": -1} | wanted, categorical_feature=groups)
    booster = lightgbm.train(QUIET | wanted | {"max_cat_to_onehot": 1, "min_data_per_group": 1}, data, 2)
    with pytest.raises(Unsupported, match=r"model\.trees_unsupported"):
        Trees.read(booster.model_to_string().encode(), HERE)


def test_a_chain_too_deep() -> None:
    n = 140
    chain = {
        "num_leaves": [n],
        "split_feature": [0] * (n - 1),
        "threshold": list(range(n - 1)),
        "decision_type": [2] * (n - 1),
        "left_child": [~i for i in range(n - 1)],
        "right_child": [*range(1, n - 1), ~(n - 1)],
        "leaf_value": [0.5] * n,
        "leaf_count": [1] * n,
    }
    told = SMALL[: SMALL.index("num_leaves=4")]
    told += "\n".join(f"{key}={' '.join(map(str, numbers))}" for key, numbers in chain.items()) + "\n\nend of trees\n"
    with pytest.raises(InvalidInput, match=r"139 steps deep.*max_depth.*model\.trees_depth"):
        Trees.read(told.encode(), HERE)


def test_too_much_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """Limits over all trees: leaves, and different thresholds of one input."""
    monkeypatch.setattr(text, "MAX_TOTAL", 5)
    monkeypatch.setattr(text, "MAX_CUTS", 2)
    assert Trees.read(SMALL.encode(), HERE).count == 2
    monkeypatch.setattr(text, "MAX_TOTAL", 4)
    monkeypatch.setattr(text, "MAX_CUTS", 1)
    with pytest.raises(InvalidInput) as caught:
        Trees.read(SMALL.encode(), HERE)
    told = [(problem.slug, problem.message) for problem in caught.value.problems]
    assert told == [
        ("model.trees_leaves", "5 leaves in all"), ("model.trees_cuts", "2 different thresholds of input 0"),
    ]  # fmt: skip


def test_problems_are_collected_and_end_somewhere() -> None:
    told = SMALL.replace("1.5 2.5 0.5", "x 2.5 0.5").replace("leaf_value=0.5", "leaf_value=y")
    with pytest.raises(InvalidInput) as caught:
        Trees.read(told.encode(), HERE)
    assert [problem.where.line for problem in caught.value.problems] == [17, 40]
    tree = SMALL[SMALL.index("Tree=1") : SMALL.index("end of trees")].replace("leaf_value=0.5", "leaf_value=y")
    many = SMALL[: SMALL.index("Tree=0")] + "".join(tree.replace("=1\n", f"={i}\n", 1) for i in range(99))
    with pytest.raises(InvalidInput) as caught:
        Trees.read((many + "end of trees\n").encode(), HERE)
    assert len(caught.value.problems) == MAX_PROBLEMS


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_a_file_bitten_anywhere_is_refused_or_scored(data: st.DataObject) -> None:
    """No other exception, and no index out of range: whatever is accepted scores every row with a finite number."""
    bitten = bytearray(SMALL.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(bitten) - 1))
        new = data.draw(st.sampled_from([b"", b"0", b"9", b"-", b" ", b"\n", b"=", b".", b"e", b"\xff", b"10", b"inf"]))
        bitten[place : place + data.draw(st.integers(0, 2))] = new
    x = np.array([[0.0, 0.0], [np.nan, np.inf], [9.0, np.nan]])
    try:
        trees = Trees.read(bytes(bitten), HERE)
    except ShoalError:
        return
    x = np.resize(x, (3, trees.inputs))
    assert np.isfinite(trees.raw(x)).all()
    assert np.isfinite(contributions(trees, Paths.of(trees), x)).all()
