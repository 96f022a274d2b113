"""Signals and fitted detectors in the engine: live is replay, across kills, snapshots and packs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keep_parts import SMALL, feed, halves, opened
from learned_parts import Visits, learned_pack, model_files

from shoal.clock import SystemClock
from shoal.detectors import signal_kinds
from shoal.errors import Corrupt, InvalidInput
from shoal.runtime.home import open_home
from shoal.runtime.learning.frames import gather
from shoal.runtime.learning.logged import gather_logged
from shoal.runtime.learning.publish import publish_model, published, withdraw_model
from shoal.runtime.review.explain import explain_event
from shoal.runtime.review.replay import replay
from shoal.runtime.run import Progress, read_source
from shoal.storage.journal import Journal

Maker = Callable[..., Path]
SILENT = Progress(lambda _: None, lambda _a, _b: None)


@pytest.fixture(autouse=True)
def _kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(signal_kinds.KINDS, "visits", Visits)  # type: ignore[arg-type]


def read(folder: Path, source: Path) -> None:
    deployment = opened(folder)
    try:
        read_source(deployment, [source], "native", received=False, clock=SystemClock(), progress=SILENT)
        deployment.rest()
    finally:
        deployment.close()


def publish(folder: Path, files: dict[str, bytes]) -> int:
    deployment = opened(folder)
    try:
        return publish_model(deployment, "guess", files)[1]
    finally:
        deployment.close()


def decisions(folder: Path) -> list[dict[str, Any]]:
    home = open_home(folder, create=False)
    store = home.open_store(read_only=True)
    try:
        return [row._asdict() for row in store.read_decisions(latest=True)]
    finally:
        store.close()


def guessed(folder: Path) -> list[tuple[int, int]]:
    return [(row["seq"], row["tier"]) for row in decisions(folder) if "all.guessed" in row["rules"]]


@pytest.fixture
def world(tmp_path: Path, home_folder: Maker) -> tuple[Path, Path, Path, Path]:
    """A deployment that has read half of the stream with a pack that learns; the pack, and both halves."""
    one, two = halves(tmp_path)
    pack = learned_pack(tmp_path / "pack")
    folder = home_folder("home", **SMALL)
    feed(folder, pack, one)
    return folder, pack, one, two


def test_nothing_scores_before_a_model_is_published_and_its_rules_match_from_there(world: tuple[Path, ...]) -> None:
    folder, pack, _, two = world
    assert guessed(folder) == []
    seq = publish(folder, model_files(pack))
    read(folder, two)
    found = guessed(folder)
    assert found
    assert min(at for at, _ in found) > seq
    report = replay(open_home(folder, create=False))
    assert (report.count, report.events > 1000, report.vectors > 100) == (0, True, True)


def test_a_rebuilt_engine_says_the_same_as_one_that_was_never_stopped(
    tmp_path: Path, home_folder: Maker, world: tuple[Path, ...]
) -> None:
    folder, pack, one, two = world
    files = model_files(pack)
    publish(folder, files)
    read(folder, two)
    whole = home_folder("whole", **{**SMALL, "batch_rows": 33, "snapshot_rows": 10**9})
    deployment = opened(whole)
    try:
        deployment.publish(pack, history_complete=True)
        read_source(deployment, [one], "native", received=False, clock=SystemClock(), progress=SILENT)
        publish_model(deployment, "guess", files)
        read_source(deployment, [two], "native", received=False, clock=SystemClock(), progress=SILENT)
    finally:
        deployment.close()
    strip = [{k: v for k, v in row.items() if k not in ("seq", "as_of")} for row in decisions(folder)]
    assert strip == [{k: v for k, v in row.items() if k not in ("seq", "as_of")} for row in decisions(whole)]


def test_reasons_name_the_inputs_and_explain_shows_score_and_signal(world: tuple[Path, ...]) -> None:
    folder, pack, _, two = world
    publish(folder, model_files(pack))
    read(folder, two)
    rows = [row for row in decisions(folder) if "all.guessed" in row["rules"] and row["reasons"] != "[]"]
    assert any("the failed_share" in row["reasons"] or "the visits.seen" in row["reasons"] for row in rows)
    told = explain_event(open_home(folder, create=False), rows[0]["seq"])
    assert told.features["guess.level"] >= 2
    assert 0 < told.features["guess.score"] < 1
    assert told.features["visits.seen"] >= 0


def test_withdrawing_makes_scores_unknown_again_and_publishing_twice_writes_one_record(world: tuple[Path, ...]) -> None:
    folder, pack, _, two = world
    files = model_files(pack)
    assert publish(folder, files) == publish(folder, files)
    deployment = opened(folder)
    try:
        withdraw_model(deployment, "guess")
        with pytest.raises(InvalidInput, match="no model 'guess' is in force"):
            withdraw_model(deployment, "guess")
    finally:
        deployment.close()
    read(folder, two)
    assert guessed(folder) == []
    home = open_home(folder, create=False)
    journal = Journal.open(home.journal, identity=home.identity, read_only=True)
    assert [bool(one.files) for one in published(journal)] == [True, False]
    journal.close()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"name": "other"}, "the model is of 'other'"),
        ({"on": "type = 'login.failed'"}, "fitted for other inputs or other events"),
    ],
)
def test_a_model_that_does_not_fit_is_refused_before_it_is_written(
    world: tuple[Path, ...], changed: dict[str, Any], message: str
) -> None:
    folder, pack, _, _ = world
    with pytest.raises(InvalidInput, match=message):
        publish(folder, model_files(pack, **changed))


def test_a_damaged_file_is_refused(world: tuple[Path, ...]) -> None:
    folder, pack, _, _ = world
    files = model_files(pack)
    with pytest.raises(Corrupt):
        publish(folder, {**files, "model.txt": files["model.txt"].replace(b"leaf_value=", b"leaf_value=1 ", 1)})


def test_files_beside_the_two_of_a_model_go_nowhere(world: tuple[Path, ...]) -> None:
    folder, pack, _, _ = world
    hostile = {**model_files(pack), "../../escaped.txt": b"x"}
    with pytest.raises(InvalidInput, match="escaped"):
        publish(folder, hostile)
    deployment = opened(folder)
    try:
        assert deployment.running.models.take_up("guess", hostile, 7)  # why it is not used
        assert deployment.running.models.in_force == {}
    finally:
        deployment.close()


def test_another_pack_keeps_the_model_while_its_columns_mean_the_same(tmp_path: Path, world: tuple[Path, ...]) -> None:
    folder, pack, _, two = world
    publish(folder, model_files(pack))
    retitled = learned_pack(
        tmp_path / "retitled", title="in better words", rules={"any": ("account", "low", "account_day >= 13")}
    )
    feed(folder, retitled, two)
    assert guessed(folder)
    assert replay(open_home(folder, create=False)).count == 0
    changed = learned_pack(tmp_path / "changed", step=2)
    feed(folder, changed)
    deployment = opened(folder)
    assert deployment.running.models.in_force == {}, "visits.seen counts twice now"
    deployment.close()


def test_a_pack_that_replays_history_meets_the_models_that_were_published_in_it(
    tmp_path: Path, world: tuple[Path, ...]
) -> None:
    folder, pack, _, two = world
    seq = publish(folder, model_files(pack))
    more = {"account_hour": {"operation": "count", "key": "account", "window": "1h"}}
    wider = learned_pack(tmp_path / "wider", features=more, rules={"hasty": ("account", "low", "account_hour >= 9")})
    feed(folder, wider, two, warm_up=True)
    deployment = opened(folder)
    try:
        assert deployment.history.publication(deployment.running.published).body["state"] == "replayed"
        assert deployment.running.models.in_force["guess"].seq == seq
    finally:
        deployment.close()
    assert replay(open_home(folder, create=False)).count == 0


def test_a_training_frame_holds_what_was_served(world: tuple[Path, ...]) -> None:
    folder, pack, _, two = world
    publish(folder, model_files(pack))
    read(folder, two)
    found = gather(open_home(folder, create=False)).frames["guess"]
    told = explain_event(open_home(folder, create=False), int(found.seq[-7]))
    row = dict(zip(found.definition.inputs, found.x[-7].tolist(), strict=True))
    assert row == {name: pytest.approx(told.features[name], nan_ok=True) for name in row}
    assert set(np.unique(found.weight)) == {1.0}
    half = gather(open_home(folder, create=False), share=0.5).frames["guess"]
    assert 0 < len(half) < len(found)
    assert set(half.subject.to_pylist()) < set(found.subject.to_pylist())


@pytest.mark.parametrize(("names", "more", "slug"), [
    (["gues"], {}, "learn.unknown"), ([], {"share": 0.0}, "learn.share"), ([], {"until_us": 1}, "frame.empty"),
])  # fmt: skip
def test_bad_requests_for_a_frame(world: tuple[Path, ...], names: list[str], more: dict[str, Any], slug: str) -> None:
    with pytest.raises(InvalidInput) as error:
        gather(open_home(world[0], create=False), names, **more)
    assert slug in str(error.value)


def test_stored_vectors_make_a_frame_that_stands_for_all_rows(tmp_path: Path, home_folder: Maker) -> None:
    one, two = halves(tmp_path)
    folder, pack = home_folder("sampled", **SMALL, sample_one_in=3), learned_pack(tmp_path / "pack")
    feed(folder, pack, one)
    publish(folder, model_files(pack))
    read(folder, two)
    home = open_home(folder, create=False)
    whole, sampled = gather(home).frames["guess"], gather_logged(home).frames["guess"]
    assert len(sampled) < len(whole)
    assert set(np.unique(sampled.weight)) == {1.0, 3.0}
    assert sampled.weight.sum() == pytest.approx(len(whole), rel=0.15)
    places = np.searchsorted(whole.seq, sampled.seq)
    assert np.array_equal(whole.seq[places], sampled.seq)
    np.testing.assert_array_equal(whole.x[places], sampled.x)
    assert whole.subject.take(places).equals(sampled.subject)
