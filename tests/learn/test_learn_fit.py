"""Fitting and judging on a made-up service with a known truth."""

from __future__ import annotations

import doctest
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from benchmarks.learn_world import START_US, World, make_world
from shoal.detectors.models.model import Model
from shoal.errors import InvalidInput, Unsupported
from shoal.learn.evaluation.card import Card, decode, encode
from shoal.learn.evaluation.compare import compare, compare_scores
from shoal.learn.evaluation.evaluate import evaluate, judged_rows
from shoal.learn.evaluation.monitor import DriftReport, monitor, stability_index
from shoal.learn.fitting.fit import Fitted, fit
from shoal.learn.fitting.sample import sample_honest
from shoal.learn.fitting.settings import FitSettings
from shoal.learn.fitting.split import BLOCKS, ROLES, abusive_rows, split_frame
from shoal.learn.targets import read_targets

MADE_AT = "2026-03-01T00:00:00Z"
QUICK = FitSettings(trials=2, trees=60)
DAY_US = 86_400_000_000


def fitted_on(world: World, settings: FitSettings = QUICK, **changes: Any) -> Fitted:
    frame = replace(world.frame, **changes)
    return fit(frame, world.labels, until_us=world.end_us, made_at=MADE_AT, settings=settings)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(1, accounts=1500)


@pytest.fixture(scope="module")
def fitted(world: World) -> Fitted:
    return fitted_on(world)


@pytest.fixture(scope="module")
def fresh() -> World:
    return make_world(2, accounts=1500, prefix="b")


def test_no_account_stands_on_two_sides_and_later_parts_are_later(world: World, fitted: Fitted) -> None:
    split, frame = fitted.split, world.frame
    rows = [split[role].rows for role in ROLES]
    for number, one in enumerate(rows):
        for other in rows[number + 1 :]:
            assert not set(frame.groups[one].tolist()) & set(frame.groups[other].tolist())
    assert not set(frame.groups[split["fit"].rows].tolist()) & set(frame.groups[split.honest.rows].tolist())
    for role, part in split.parts.items():
        block = np.searchsorted(np.array(split.cuts_us), frame.time[part.rows], side="right")
        assert (block == BLOCKS[role]).all()
        assert frame.time[part.rows].max() <= fitted.targets.until_us - fitted.targets.maturity_us
    assert len(np.unique(np.concatenate(rows))) == sum(map(len, rows))


@pytest.mark.parametrize("lasting", [False, True])
def test_parts_weigh_as_the_service_does(lasting: bool) -> None:
    world = make_world(3, accounts=4000, hijacked=0.1)
    if lasting:  # abuse that lasts as long as the history: beginnings do not divide it
        world = replace(world, labels=[{**row, "start": None, "end": None} for row in world.labels])
    targets = read_targets(world.frame, world.labels, world.end_us)
    split = split_frame(world.frame, targets)
    assert split.way == ("dealt" if lasting else "begin")
    block = np.searchsorted(np.array(split.cuts_us), world.frame.time, side="right")
    mature = targets.usable & (world.frame.time <= world.end_us - targets.maturity_us)
    merged = split.without_stop(abusive_rows(world.frame, targets))
    for one in (split, merged):
        for role in ("fit", "calibrate", "test"):
            part, whole = one[role], mature & (block == BLOCKS[role])
            share = np.average(targets.positive[part.rows], weights=part.weight)
            assert share == pytest.approx(targets.positive[whole].mean(), rel=0.35)
            assert part.weight.sum() == pytest.approx(whole.sum(), rel=0.15)
    assert len(merged["calibrate"].rows) == len(split["calibrate"].rows) + len(split["stop"].rows)
    assert not len(merged["stop"].rows)


def test_a_name_falls_on_the_same_side_in_every_frame(world: World) -> None:
    targets = read_targets(world.frame, world.labels, world.end_us)
    whole = split_frame(world.frame, targets)
    kept = np.flatnonzero(world.frame.time > START_US + 2 * DAY_US)
    part_frame = world.frame.take(kept)
    part = split_frame(part_frame, read_targets(part_frame, world.labels, world.end_us))
    quiet = ~abusive_rows(world.frame, targets)

    def names(frame: Any, rows: Any) -> set[str]:
        return set(frame.account.take(rows).to_pylist())

    for role in ROLES:
        here = names(part_frame, part[role].rows)
        for other in ROLES:
            if other != role:
                rows = whole[other].rows
                assert not here & names(world.frame, rows[quiet[rows]])


def test_honest_accounts_are_sampled_whole_with_their_rate(world: World) -> None:
    targets = read_targets(world.frame, world.labels, world.end_us)
    part = split_frame(world.frame, targets)["fit"]
    settings = FitSettings(honest_per_positive=5, honest_rows=0)
    small, rates = sample_honest(world.frame, targets, part, settings)
    assert rates
    assert len(small.rows) < len(part.rows) / 2
    assert small.weight.sum() == pytest.approx(part.weight.sum(), rel=0.15)
    groups = world.frame.groups
    dropped = set(groups[part.rows].tolist()) - set(groups[small.rows].tolist())
    assert not dropped & set(groups[small.rows].tolist())
    assert targets.positive[small.rows].sum() == targets.positive[part.rows].sum()
    kept = np.isin(groups[part.rows], groups[small.rows])
    assert len(small.rows) == kept.sum()  # an account is taken with all of its rows


def test_the_same_gives_the_same_bytes_and_another_seed_others(world: World, fitted: Fitted) -> None:
    assert fitted_on(world).files == fitted.files
    assert encode(fitted_on(world).card) == encode(fitted.card)
    assert fitted_on(world, replace(QUICK, seed=1)).files != fitted.files


def test_it_learns_what_there_is_to_learn(fresh: World, fitted: Fitted) -> None:
    score = fitted.model.score(fitted.model.raw(fresh.frame.x))
    best = roc_auc_score(fresh.abusive, fresh.probability)
    assert roc_auc_score(fresh.abusive, score) > best - 0.04
    assert score.mean() == pytest.approx(fresh.abusive.mean(), rel=0.5)
    assert np.abs(score - fresh.probability).mean() < 0.01  # always saying the mean: 0.022


def test_the_model_file_is_whole(world: World, fitted: Fitted) -> None:
    model = Model.read(fitted.files, "here")
    assert model.identity == fitted.model.identity == fitted.evaluation.model == fitted.card.model
    assert [one.name for one in model.metadata.levels] == ["watch", "challenge"]
    assert model.metadata.definition == world.frame.definition.hash
    model.check({one.name: one for one in world.frame.inputs})
    constant = model.metadata.inputs[6]
    assert (constant.name, constant.typical, constant.shares) == ("constant", 7.0, [1.0])
    assert model.metadata.inputs[7].missing == pytest.approx(0.1, abs=0.02)
    assert any("constant" in note for note in fitted.notes)
    other = world.frame.x.copy()
    other[:, 6] = 9e9  # in the schema, in no tree
    assert (model.raw(other) == model.raw(world.frame.x)).all()


def test_monotone_inputs_are_monotone(fresh: World, fitted: Fitted) -> None:
    rows = fresh.frame.x[:200].copy()
    last = None
    for failures in range(9):
        rows[:, 0] = failures
        raw = fitted.model.raw(rows)
        assert last is None or (raw >= last).all()
        last = raw


def test_the_card_goes_through_json_and_back(fitted: Fitted) -> None:
    card = decode(encode(fitted.card))
    assert isinstance(card, Card)
    assert card == msgspec.convert(msgspec.to_builtins(fitted.card), Card)
    assert encode(card) == encode(fitted.card)
    assert sum(one.gain for one in card.importance) == pytest.approx(1.0)
    assert {one.name for one in card.importance[:4]} <= {
        "failures",
        "new_network",
        "distance",
        "downloads",
        "hour_oddity",
    }
    assert any("abusive subjects" in line for line in card.limits)
    assert [one.role for one in card.parts] == list(ROLES)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", InvalidInput),
        (b"[]", InvalidInput),
        (b'{"format": "other", "version": 1}', InvalidInput),
        (b'{"format": "shoal.card", "version": 7}', Unsupported),
        (b'{"format": "shoal.card", "version": 1}', InvalidInput),
    ],
)
def test_foreign_cards(data: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        decode(data)


def test_baselines_stand_beside(fitted: Fitted) -> None:
    names = [one.name for one in fitted.evaluation.ranked]
    assert names[0] == "model"
    assert names[1].startswith("best single input (")
    assert names[2] == "logistic regression"
    areas = [one.subject_auroc.value or 0 for one in fitted.evaluation.ranked]
    assert areas[0] > areas[1]
    for one in fitted.evaluation.ranked:
        assert one.row_auroc.low <= one.row_auroc.value <= one.row_auroc.high  # type: ignore[operator]


def test_slices_and_levels_on_fresh_rows(fresh: World, fitted: Fitted) -> None:
    found = evaluate(fitted.model, fresh.frame, fresh.labels, until_us=fresh.end_us)
    assert {one.name for one in found.slices} >= {
        "account younger than 7 days", "mobile client", "behind a VPN", "month 2026-01", "month 2026-02",
    }  # fmt: skip
    for pair in (("mobile client", "other client"), ("behind a VPN", "not behind a VPN")):
        assert sum(one.rows for one in found.slices if one.name in pair) == found.rows
    for level in found.levels:
        assert level.honest.low <= level.budget  # type: ignore[operator]
        assert 0.3 < (level.recall.value or 0) < 1
    assert found.notes[0].startswith(f"{found.rows:,} of {found.rows:,} rows stand in the stretch")
    assert found.calibration.brier < found.calibration.brier_constant
    assert found.calibration.log_loss < found.calibration.log_loss_constant


def test_a_weaker_model_is_told_from_a_stronger_one(fresh: World, world: World, fitted: Fitted) -> None:
    some = fresh.frame.take(np.arange(8000))
    weak = fitted_on(world, FitSettings(trials=1, trees=2, leaves=2)).model
    found = compare(weak, fitted.model, some, fresh.labels, until_us=fresh.end_us)
    by_name = {one.name: one for one in found.differences}
    assert by_name["average precision by row"].surely == 1
    back = compare(fitted.model, weak, some, fresh.labels, until_us=fresh.end_us).differences[1]
    assert (back.surely, back.difference) == (-1, -by_name[back.name].difference)
    same = compare(fitted.model, fitted.model, some, fresh.labels, until_us=fresh.end_us)
    assert {(one.low, one.high) for one in same.differences} == {(0.0, 0.0)}


def test_a_difference_of_chance_is_not_called_one(fresh: World, fitted: Fitted) -> None:
    targets = read_targets(fresh.frame, fresh.labels, fresh.end_us)
    rows = np.flatnonzero(targets.usable)[:3000]
    judged = judged_rows(fitted.model, fresh.frame, targets, rows, np.ones(len(rows)))
    called = 0
    for seed in range(6):
        noise = np.random.default_rng(seed).normal(0, 0.5, (2, len(rows)))
        called += compare_scores(judged, judged.raw + noise[0], judged.raw + noise[1], seed)[0].surely != 0
    assert called <= 2
    with pytest.raises(InvalidInput, match=r"compare\.shape"):
        compare_scores(judged, judged.raw, judged.raw[1:])


def watch(fitted: Fitted, world: World, labels: Any = None, **changes: Any) -> DriftReport:
    labels = world.labels if labels is None else labels
    return monitor(fitted.model, replace(world.frame, **changes), labels, until_us=world.end_us)


def test_no_alarm_while_nothing_moves(fitted: Fitted) -> None:
    for seed in range(5, 9):
        world = make_world(seed, accounts=700, prefix="c")
        report = watch(fitted, world)
        assert [line for line in report.alarms if "moved" in line] == []
        assert report.score.index < 0.1


def test_a_moved_input_is_named_and_the_score_follows(fresh: World, fitted: Fitted) -> None:
    x = fresh.frame.x.copy()
    x[:, 1] += 1.0
    report = watch(fitted, fresh, x=x)
    assert report.inputs[0].name == "new_network"
    assert report.inputs[0].alarm == 2
    assert sum(one.alarm > 0 for one in report.inputs) == 1
    assert any("new_network has moved much" in line for line in report.alarms)
    assert any("the score has moved" in line for line in report.alarms)
    x[:, 1] = np.nan
    report = watch(fitted, fresh, x=x)
    assert report.inputs[0].most == "unknown: 0.0% then, 100.0% now"


def test_a_broken_budget_is_the_first_alarm(fresh: World, fitted: Fitted) -> None:
    x = fresh.frame.x.copy()
    x[:, 4] += 6.0
    assert "over its budget" in watch(fitted, fresh, x=x).alarms[0]


def test_labels_that_stop_coming_are_a_broken_calibration(fresh: World, fitted: Fitted) -> None:
    report = watch(fitted, fresh, labels=[])
    assert report.observed.value == 0
    assert any(line.startswith("calibration: 0.000%") for line in report.alarms)
    assert report.levels == []
    assert report.notes == ["matured rows are of one class: what the levels catch is unknown"]


def test_the_page_is_true() -> None:
    page = Path(__file__).parents[2] / "docs" / "learning.md"
    found = doctest.testfile(str(page), module_relative=False)
    assert found.attempted > 15
    assert not found.failed


def test_the_stability_index_by_hand() -> None:
    assert stability_index([0.5, 0.5], [0.9, 0.1]) == pytest.approx(0.4 * np.log(0.9 / 0.5) - 0.4 * np.log(0.1 / 0.5))
    with pytest.raises(ValueError):
        stability_index([0.5, 0.5], [1.0, 0.0, 0.0])


def test_the_correction_for_unreported_abuse_brings_scores_nearer_to_the_truth() -> None:
    def loss(world: World, **more: Any) -> float:
        found = fitted_on(world, FitSettings(trials=1, trees=40, leaves=8, method="sigmoid", **more))
        p = np.clip(found.model.score(found.model.raw(world.frame.x)), 1e-6, 1 - 1e-6)
        q = world.probability
        return float(-(q * np.log(p) + (1 - q) * np.log(1 - p)).mean())

    plain, corrected, told = [], [], []
    for seed in (4, 5):
        world = make_world(seed, accounts=2500, hijacked=0.15, reported=0.4, rows_per_week=1.0)
        plain.append(loss(world))
        corrected.append(loss(world, unlabelled="weighted"))
        told.append(loss(world, unlabelled="weighted", label_share=0.4))
    assert np.mean(corrected) < np.mean(plain)
    assert np.mean(told) < np.mean(plain)


def test_without_enough_labels_no_share_is_guessed(world: World, fitted: Fitted) -> None:
    found = fitted_on(replace(world, labels=world.labels[::2]), replace(QUICK, unlabelled="weighted"))
    assert "label_share" not in found.metadata.protocol
    assert any("give label_share" in note for note in found.notes)


def _moment(world: World) -> World:
    time = np.full(len(world.frame), START_US)
    return replace(world, frame=replace(world.frame, time=time))


@pytest.mark.parametrize(
    ("change", "slugs"),
    [
        (lambda w: replace(w, labels=[]), {"fit.one_class", "fit.too_few_positives"}),
        (lambda w: replace(w, labels=w.labels[:5]), {"fit.too_few_positives"}),
        (lambda w: replace(w, frame=w.frame.take(np.arange(100))), {"fit.too_few_rows", "fit.too_few_positives"}),
        (lambda w: replace(w, frame=replace(w.frame, x=np.ones_like(w.frame.x))), {"fit.constant"}),
        (lambda w: replace(w, frame=replace(w.frame, x=np.full_like(w.frame.x, np.inf))), {"fit.constant"}),
        (_moment, {"fit.one_class", "fit.too_few_positives"}),
        (
            lambda w: replace(w, frame=w.frame.take(w.abusive)),
            {"fit.too_few_honest"},
        ),
    ],
)
def test_what_cannot_be_fitted(world: World, change: Any, slugs: set[str]) -> None:
    with pytest.raises(InvalidInput) as caught:
        fitted_on(change(world))
    assert {one.slug for one in caught.value.problems} >= slugs


def test_a_time_of_making_without_a_zone(world: World) -> None:
    for made_at in ("", "yesterday", "2026-03-01T00:00:00"):
        with pytest.raises(InvalidInput, match=r"fit\.made_at"):
            fit(world.frame, world.labels, until_us=world.end_us, made_at=made_at)


def test_a_label_of_an_unknown_account_harms_nothing(world: World, fitted: Fitted) -> None:
    ghost = {**world.labels[0], "subject": "nobody-here"}
    again = fit(world.frame, [*world.labels, ghost], until_us=world.end_us, made_at=MADE_AT, settings=QUICK)
    assert again.files["model.txt"] == fitted.files["model.txt"]
    assert again.targets.counts["labels of subjects that the frame does not hold"] == 1


def test_infinite_values_are_unknown_and_said(world: World) -> None:
    x, y = world.frame.x.copy(), world.frame.x.copy()
    x[::9, 1], y[::9, 1] = np.inf, np.nan
    found = fitted_on(world, x=x)
    assert found.files["model.txt"] == fitted_on(world, x=y).files["model.txt"]
    assert any("infinite" in note for note in found.notes)


def test_few_positives_fall_back_and_say_so(world: World) -> None:
    small = replace(world, labels=world.labels[::3])
    found = fitted_on(small)
    assert any("too few" in note for note in found.notes)
    assert found.metadata.protocol["early_stopping"] is False
    assert found.metadata.calibration.method == "sigmoid"


def test_a_budget_out_of_reach_is_said_on_the_card(world: World) -> None:
    definition = replace(world.frame.definition, budgets={"watch": 1.0})
    found = fitted_on(world, definition=definition)
    assert found.metadata.levels[0].honest == 0
    assert any("cannot be shown" in note for note in found.notes)
    assert any("not proven" in line for line in found.card.limits)


def test_settings_are_refused_together() -> None:
    with pytest.raises(InvalidInput) as caught:
        FitSettings(trials=0, leaves=1, unlabelled="maybe", label_share=0.0, method="magic", maturity_us=-1)
    assert len(caught.value.problems) == 6


def test_a_frame_with_other_inputs_is_refused(fresh: World, fitted: Fitted) -> None:
    inputs = (replace(fresh.frame.inputs[0], hash="changed"), *fresh.frame.inputs[1:])
    with pytest.raises(InvalidInput, match=r"model\.input_changed"):
        evaluate(fitted.model, replace(fresh.frame, inputs=inputs), fresh.labels, until_us=fresh.end_us)
    with pytest.raises(InvalidInput, match=r"evaluate\.one_class"):
        evaluate(fitted.model, fresh.frame, [], until_us=fresh.end_us)
    with pytest.raises(InvalidInput, match=r"monitor\.too_few_rows"):
        monitor(fitted.model, fresh.frame.take(np.arange(9)), fresh.labels, until_us=fresh.end_us)
