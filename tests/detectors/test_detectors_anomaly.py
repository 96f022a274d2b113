"""One suite for every detector of unusual rows: the contract, its laws, malformed input; then each one's own facts."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from shoal.detectors import tail
from shoal.detectors.anomaly import Anomaly, Covariance, Forest, Histogram, MinorComponents, NearestNeighbours, Tails
from shoal.detectors.anomaly.scale import NAMES, fit_scaling
from shoal.detectors.contract import Detector, RowDetector
from shoal.detectors.tail import Tail
from shoal.errors import InvalidInput

Floats = npt.NDArray[np.float64]
MAKERS: dict[str, Callable[[], RowDetector]] = {
    "neighbours": NearestNeighbours,
    "neighbours_share": lambda: NearestNeighbours(0.1, power=1, scaling="normal"),
    "neighbours_some": lambda: NearestNeighbours(3, scaling="range", reference=40),
    "neighbours_raw": lambda: NearestNeighbours(1, scaling="none"),
    "neighbours_root": lambda: NearestNeighbours(2, power=0.5, scaling="range", reference=50),
    "minor": MinorComponents,
    "minor_normal": lambda: MinorComponents(0.5, scaling="normal"),
    "forest": lambda: Forest(10),
    "robust": Covariance,
    "shrunk": lambda: Covariance(robust=False, scaling="normal"),
    "tails": Tails,
    "histogram": Histogram,
    "mixed": Anomaly,
    "clean": lambda: Anomaly("clean"),
}
each = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS.keys())


def world(seed: int = 0, rows: int = 120, columns: int = 4) -> Floats:
    """Two groups, correlated columns, one discrete and one skewed column."""
    chance = np.random.default_rng(seed)
    x = chance.normal(size=(rows, columns)) @ chance.normal(size=(columns, columns))
    x[: rows // 3] += 3
    x[:, 0] = chance.integers(0, 4, rows)
    x[:, -1] = np.exp(x[:, -1])
    return x


@each
@pytest.mark.parametrize("columns", [1, 4, 15])
def test_a_row_alone_scores_as_in_a_batch_bit_for_bit(make: Callable[[], RowDetector], columns: int) -> None:
    detector = make().fit(world(0, 120, columns))
    batch = np.concatenate([world(1, 14, columns), world(0, 120, columns)[:5], world(2, 2, columns) * 50])
    for ask in (detector.decision_function, detector.surprise):
        together = ask(batch)
        assert together.tobytes() == np.concatenate([ask(row[None]) for row in batch]).tobytes()
        assert together.tobytes() == np.concatenate([ask(batch[:7]), ask(batch[7:])]).tobytes()
        assert together[::-1].tobytes() == ask(batch[::-1]).tobytes()


@each
def test_the_contract(make: Callable[[], RowDetector]) -> None:
    x = world()
    before = x.copy()
    detector = make()
    assert detector.fit(x) is detector
    assert isinstance(detector, Detector)
    far = np.full((1, 4), 1e3)
    scores, chances = detector.decision_function(x), detector.tail_probability(x)
    assert scores.shape == chances.shape == detector.decision_scores_.shape == (120,)
    assert np.isfinite(detector.decision_scores_).all()
    assert ((chances > 0) & (chances <= 1)).all()
    assert detector.decision_function(far)[0] > np.quantile(scores, 0.95)
    assert detector.tail_probability(far)[0] <= 0.05
    order = np.argsort(scores, kind="stable")
    assert (np.diff(chances[order]) <= 0).all(), "a higher score is never more probable"
    assert (x == before).all(), "nothing given was changed"
    again = make().fit(x)
    assert again.decision_function(world(3)).tobytes() == detector.decision_function(world(3)).tobytes()
    assert again.decision_scores_.tobytes() == detector.decision_scores_.tobytes()
    assert detector.decision_function(np.empty((0, 4))).shape == (0,)


@each
def test_an_unknown_value_makes_its_own_row_unknown_and_no_other(make: Callable[[], RowDetector]) -> None:
    detector = make().fit(world())
    x = world(1, 6)
    x[1, 2], x[3, 0], x[4, 1] = np.nan, np.inf, -np.inf
    unknown = np.array([False, True, False, True, True, False])
    for ask in (detector.decision_function, detector.tail_probability, detector.surprise):
        assert (np.isnan(ask(x)) == unknown).all()
        assert ask(x)[~unknown].tobytes() == ask(world(1, 6))[~unknown].tobytes()


@each
def test_odd_columns_are_scored(make: Callable[[], RowDetector]) -> None:
    """Constant, tiny, huge, repeated and two-valued columns, more columns than rows, rows all alike."""
    x = world(0, 60, 6)
    x[:, 1], x[:, 2], x[:, 3], x[:, 4] = 7.0, x[:, 2] * 1e-30, x[:, 3] * 1e25, x[:, 5]
    for rows in (x, world(0, 12, 30), np.ones((20, 3)), np.repeat([[0.0, 1.0], [1.0, 0.0]], 10, axis=0)):
        detector = make().fit(rows)
        assert np.isfinite(detector.decision_scores_).all()
        extremes = np.stack([rows[0], np.full(rows.shape[1], 1e300), np.full(rows.shape[1], -1e300)])
        scores = detector.decision_function(extremes)
        assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "forest"])  # it cuts no constant column
def test_a_departure_from_a_constant_column_is_seen(name: str) -> None:
    x = world()
    x[:, 2] = 5.0
    usual = x[:1].copy()
    other = usual.copy()
    other[0, 2] = 6.0
    detector = MAKERS[name]().fit(x)
    assert detector.decision_function(other)[0] > detector.decision_function(usual)[0]


MALFORMED = [
    ([1.0, 2.0], "detector.shape", "the shape is 2"),
    (3.0, "detector.shape", "a single number"),
    (np.zeros((12, 2, 2)), "detector.shape", "12 x 2 x 2"),
    (np.zeros((12, 0)), "detector.shape", "12 x 0"),
    ([["a", "b"]] * 12, "detector.not_numbers", "type <U1"),
    ([[1, 2], [3]], "detector.not_numbers", ""),
    (np.zeros((12, 2), dtype=complex), "detector.not_numbers", "complex128"),
    (np.array([[None, 1.0]] * 12), "detector.not_numbers", "object"),
    (np.zeros((9, 2)), "detector.too_few_rows", "9 rows are too few"),
    (np.zeros((0, 2)), "detector.too_few_rows", "0 rows are too few"),
    ([[1.0, np.nan]] * 12, "detector.not_finite", "x[:, 1]"),
    ([[-np.inf, 1.0]] * 12, "detector.not_finite", "12 of 12 values"),
    ([[1e31, 1.0]] * 12, "detector.too_large", "x[:, 0]"),
]


@each
@pytest.mark.parametrize(("given_rows", "slug", "text"), MALFORMED)
def test_malformed_training_rows(make: Callable[[], RowDetector], given_rows: object, slug: str, text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        make().fit(given_rows)  # type: ignore[arg-type]
    assert slug in {problem.slug for problem in caught.value.problems}
    assert text in str(caught.value)


def test_all_problems_are_told_together() -> None:
    with pytest.raises(InvalidInput) as caught:
        Tails().fit([[np.nan, 1e40, np.inf]] * 3)
    assert [problem.slug for problem in caught.value.problems] == [
        "detector.too_few_rows",
        "detector.not_finite",
        "detector.not_finite",
        "detector.too_large",
    ]


@each
def test_questions_that_cannot_be_answered(make: Callable[[], RowDetector]) -> None:
    with pytest.raises(InvalidInput, match="call fit first"):
        make().decision_function(world())
    with pytest.raises(InvalidInput, match="4 columns"):
        make().fit(world()).decision_function(world()[:, :3])
    with pytest.raises(InvalidInput, match="not_numbers"):
        make().fit(world()).decision_function([["x"] * 4])


@pytest.mark.parametrize(
    "make",
    [
        lambda: NearestNeighbours(0),
        lambda: NearestNeighbours(1.5),
        lambda: NearestNeighbours(float("nan")),
        lambda: NearestNeighbours(power=3),
        lambda: NearestNeighbours(power=1.5),
        lambda: NearestNeighbours(power=float("nan")),
        lambda: MinorComponents(1.5),
        lambda: MinorComponents(float("nan")),
        lambda: MinorComponents(scaling="ranks"),
        lambda: NearestNeighbours(scaling="ranks"),
        lambda: NearestNeighbours(reference=1),
        lambda: Covariance(scaling=""),
        lambda: Forest(0),
        lambda: Forest(sample=1),
        lambda: Histogram(0),
        lambda: Anomaly("cleen"),
    ],
)
def test_settings_out_of_range(make: Callable[[], RowDetector]) -> None:
    with pytest.raises(InvalidInput, match=r"detector\.setting"):
        make()


def test_the_nearest_setting_is_named() -> None:
    with pytest.raises(InvalidInput, match="did you mean 'clean'"):
        Anomaly("cleen")


@given(st.integers(0, 1000), st.integers(1, 6), st.sampled_from([0.5, 1, 2]), st.sampled_from([2, 14]))
@settings(max_examples=40, deadline=None)
def test_neighbours_agree_with_the_plain_sum(seed: int, k: int, power: float, columns: int) -> None:
    x, new = world(seed, 30, columns), world(seed + 1, 5, columns)
    detector = NearestNeighbours(k, power=power, scaling="none").fit(x)

    def plain(row: Floats, others: Floats) -> float:
        return float(np.mean(sorted((np.abs(others - row) ** power).sum(axis=1) ** (1 / max(power, 1)))[:k]))

    assert np.allclose(detector.decision_function(new), [plain(row, x) for row in new], rtol=1e-12)
    own = [plain(x[i], np.delete(x, i, axis=0)) for i in range(len(x))]
    assert np.allclose(detector.decision_scores_, own, rtol=1e-12, atol=1e-12)


def test_a_share_is_of_the_rows_looked_among() -> None:
    x = world(0, 200)
    assert (NearestNeighbours(0.05).fit(x).decision_scores_ == NearestNeighbours(10).fit(x).decision_scores_).all()
    some = NearestNeighbours(0.1, reference=50).fit(x).decision_scores_
    assert (some == NearestNeighbours(5, reference=50).fit(x).decision_scores_).all()
    assert (some != NearestNeighbours(5, reference=50, seed=1).fit(x).decision_scores_).any()


@pytest.mark.parametrize("name", NAMES)
def test_scalings(name: str) -> None:
    x = world()
    scaled = fit_scaling(name, x).apply(x)
    ranks = [np.argsort(np.argsort(column, kind="stable"), kind="stable") for column in (x[:, 1], scaled[:, 1])]
    assert (ranks[0] == ranks[1]).all(), "the order of a column is kept"
    if name == "range":
        assert scaled.min() == 0
        assert scaled.max() == 1
    elif name == "deviation":
        assert np.allclose(scaled.mean(axis=0), 0)
        assert np.allclose(scaled.std(axis=0), 1)
    elif name == "normal":
        assert np.allclose(np.sort(scaled[:, 1]), norm.ppf((np.arange(120) + 0.5) / 120))
        beyond = x[:1].copy()
        beyond[0, 1] = x[:, 1].max() + 2 * x[:, 1].std()
        assert np.isclose(fit_scaling(name, x).apply(beyond)[0, 1], scaled[:, 1].max() + 2)


@pytest.mark.parametrize(
    ("shape", "robust"), [((200, 5), True), ((39, 20), False), ((250, 101), False)], ids=["robust", "few", "wide"]
)
def test_the_covariance_says_which_it_was(shape: tuple[int, int], robust: bool) -> None:
    detector = Covariance().fit(np.random.default_rng(0).normal(size=shape))
    assert detector.robust_ is robust


def test_a_singular_covariance_falls_back() -> None:
    x = world(0, 100, 4)
    x[:, 3] = x[:, 2] * 2
    detector = Covariance().fit(x)
    assert not detector.robust_
    assert np.isfinite(detector.decision_scores_).all()


def test_a_robust_covariance_is_not_widened_by_the_anomalies_it_should_find() -> None:
    chance = np.random.default_rng(0)
    x = np.concatenate([chance.normal(size=(180, 3)), chance.normal(8, 0.1, size=(20, 3))])
    for robust in (True, False):
        scores = Covariance(robust=robust).fit(x).decision_scores_
        ratio = scores[180:].min() / np.median(scores[:180])
        assert bool(ratio > 50) is robust


def test_tails_of_a_new_row_count_the_training_rows_alone() -> None:
    x = np.arange(10.0)[:, None]
    assert np.allclose(Tails().fit(x).decision_function([[99.0]]), -np.log(1 / 11))
    assert np.allclose(Tails().fit(x).decision_function([[4.0]]), -np.log(6 / 11), atol=0.2)


def test_a_histogram_by_hand() -> None:
    x = np.array([[0.0]] * 8 + [[10.0]] * 4)
    costs = Histogram(2).fit(x).decision_function([[0.0], [10.0], [11.0]])
    assert np.allclose(costs, -np.log([8.5 / 13, 4.5 / 13, 0.1 / 13]))


def test_the_examples_in_docstrings() -> None:
    assert doctest.testmod(tail, globs={"Tail": Tail, "np": np}) == (0, 2)


def test_the_example_of_the_page() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "anomaly.md"
    failed, tried = doctest.testfile(str(page), module_relative=False)
    assert failed == 0
    assert tried == 8


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), st.floats(-1e6, 1e6))
@settings(max_examples=60, deadline=None)
def test_a_tail_counts_and_keeps_order(scores: list[float], asked: float) -> None:
    made = Tail.of(np.array(scores))
    expected = (1 + sum(score >= asked for score in scores)) / (len(scores) + 1)
    assert made.probability(np.array([asked]))[0] == pytest.approx(expected)
    beyond = made.surprise(np.array([max(scores), max(scores) + 1e6, max(scores) + 3e6]))
    assert (np.diff(beyond) > 0).all()


@pytest.mark.parametrize("maker", [lambda: NearestNeighbours(1), lambda: Anomaly("clean")], ids=["nearest", "clean"])
def test_new_usual_rows_are_below_a_tenth_about_as_often_as_said(maker: Callable[[], RowDetector]) -> None:
    chance = np.random.default_rng(5)
    detector = maker().fit(chance.normal(size=(2000, 3)))
    share = float((detector.tail_probability(chance.normal(size=(4000, 3))) <= 0.1).mean())
    assert 0.08 < share < 0.125


def test_minor_components_see_a_broken_dependence_that_no_column_shows() -> None:
    chance = np.random.default_rng(2)
    x = chance.uniform(-1, 1, size=(400, 3))
    x[:, 2] = x[:, 0] - x[:, 1] + chance.normal(0, 0.02, 400)
    detector = MinorComponents().fit(x)
    assert detector.minor_ == 1
    broken = np.array([[0.5, -0.2, 0.0]])
    assert detector.decision_function(broken)[0] > detector.decision_scores_.max()
    assert Tails().fit(x).decision_function(broken)[0] < np.quantile(Tails().fit(x).decision_scores_, 0.9)


def test_minor_components_by_hand() -> None:
    """Variances 4 and 0.04 (a floor of 1 % of their mean is added): the second holds less than 5 %."""
    x = np.tile([[2.0, 0.2], [-2.0, 0.2], [2.0, -0.2], [-2.0, -0.2]], (5, 1))
    detector = MinorComponents(scaling="none").fit(x)
    assert np.allclose(detector.decision_function([[100.0, 0.0], [0.0, 3.0]]), [0.0, 9.0 / (0.04 + 0.01 * 2.02)])


@pytest.mark.parametrize("shape", [(300, 3), (300, 1), (20, 40)], ids=["round", "one", "wide"])
def test_minor_components_say_where_there_are_none(shape: tuple[int, int]) -> None:
    detector = MinorComponents(scaling="deviation").fit(np.random.default_rng(0).normal(size=shape))
    assert (detector.minor_ > 0) is (shape[1] > shape[0])


def test_more_columns_than_rows_agree_with_all_directions_written_out() -> None:
    """What the directions of the rows do not span counts in units of the floor, as a direction without variance."""
    x = np.random.default_rng(3).normal(size=(15, 25))
    new = np.random.default_rng(4).normal(size=(6, 25))
    away = x - x.mean(axis=0)
    variances, directions = np.linalg.eigh(away.T @ away / 15)
    some = variances > 1e-9
    floor = 0.01 * variances.sum() / some.sum()
    upward = np.cumsum(np.maximum(variances, 0.0))
    minor = upward <= 0.05 * upward[-1]
    turned = ((new - x.mean(axis=0)) @ directions)[:, minor]
    plain = (turned**2 / (np.where(some, variances, 0.0)[minor] + floor)).sum(axis=1)
    detector = MinorComponents(scaling="none").fit(x)
    assert detector.minor_ == minor.sum()
    assert np.allclose(detector.decision_function(new), plain, rtol=1e-9)


def test_the_default_says_what_it_chose() -> None:
    chance = np.random.default_rng(0)
    dependent = chance.normal(size=(200, 4))
    dependent[:, 3] = dependent[:, 2] + chance.normal(0, 0.05, 200)
    near, normal = "neighbours, range", "neighbours, normal scores"
    minor = ["minor components, range", "minor components, normal scores"]
    kinds = {
        "round": (chance.normal(size=(200, 4)), [near, normal], "robust"),
        "dependent": (dependent, [near, normal, *minor], "robust"),
        "discrete": (chance.integers(0, 3, (200, 4)), [near], "robust"),
        "wide": (chance.normal(size=(50, 60)), [near, normal, *minor], "shrunk"),
    }
    for x, clean, covariance in kinds.values():
        assert [choice.name for choice in Anomaly("clean").fit(x).chosen_] == clean
        chosen = [choice.name for choice in Anomaly().fit(x).chosen_]
        assert chosen == ["neighbours, range, trimmed", f"covariance, {covariance}"]


def test_a_quarter_of_the_rows_far_off_does_not_vouch_for_itself() -> None:
    """At 5 % of all rows such a group is its own neighbourhood; trimmed away, it has none."""
    chance = np.random.default_rng(6)
    x = np.concatenate([chance.normal(size=(750, 3)), chance.normal(4, 1.5, size=(250, 3))])
    far = np.arange(1000) >= 750
    plain = NearestNeighbours(0.05, power=0.5, scaling="range").fit(x).decision_scores_
    detector = Anomaly().fit(x)
    near, _ = detector._members[0]
    alone = near.decision_function(x)
    assert roc_auc_score(far, plain) < 0.98
    assert roc_auc_score(far, alone) > 0.99
    assert roc_auc_score(far, detector.decision_scores_) > 0.995


def test_a_tight_group_of_anomalies_is_found_among_the_training_rows() -> None:
    """A group of 20 alike vouches for itself at k = 5 and not at 5 % of the rows."""
    chance = np.random.default_rng(1)
    x = np.concatenate([chance.normal(size=(1000, 3)), chance.normal(6, 0.01, size=(20, 3))])
    few, found = NearestNeighbours(5).fit(x).decision_scores_, Anomaly().fit(x).decision_scores_
    assert found[1000:].min() > found[:1000].max()
    assert few[1000:].max() < np.median(few[:1000])
