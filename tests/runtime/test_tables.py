"""Tables that the journal publishes for signals: live is replay, across kills, snapshots and packs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from keep_parts import SMALL, feed, halves, opened
from learned_parts import Marked, Visits, marked_pack

from shoal.clock import SystemClock
from shoal.detectors import signal_kinds
from shoal.detectors.signal_tables import pack_tables
from shoal.errors import InvalidInput
from shoal.packs.load import load_pack
from shoal.runtime.engine import TABLES
from shoal.runtime.home import open_home
from shoal.runtime.judge.backtest import Window, backtest
from shoal.runtime.learning.tables import publish_table, published_tables, withdraw_table
from shoal.runtime.review.replay import replay
from shoal.runtime.run import Progress, read_source
from shoal.storage.journal import Journal

Maker = Callable[..., Path]
SILENT = Progress(lambda _: None, lambda _a, _b: None)


@pytest.fixture(autouse=True)
def _kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in (Marked, Visits):
        monkeypatch.setitem(signal_kinds.KINDS, kind.kind, kind)


def table(folder: Path, modulus: int = 2) -> dict[str, Any]:
    """Marks of some of the accounts that the stream may have."""
    identity = open_home(folder, create=False).identity
    ids = sorted(identity.id_of(f"user{n}") for n in range(0, 400, modulus))
    return {"ids": np.array(ids, np.int64), "marks": np.full(len(ids), 0.75)}


def publish(folder: Path, arrays: dict[str, Any], name: str = "marked") -> int:
    deployment = opened(folder)
    try:
        return publish_table(deployment, name, arrays)
    finally:
        deployment.close()


def read(folder: Path, source: Path) -> None:
    deployment = opened(folder)
    try:
        read_source(deployment, [source], "native", received=False, clock=SystemClock(), progress=SILENT)
        deployment.rest()
    finally:
        deployment.close()


def found(folder: Path) -> list[tuple[int, int]]:
    """Where the rule that reads the table matched."""
    store = open_home(folder, create=False).open_store(read_only=True)
    try:
        rows = store.read_decisions(latest=True)
    finally:
        store.close()
    return [(row.seq, row.subject_id) for row in rows if "all.marked" in row.rules]


def record(folder: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """A record as no release writes it."""
    deployment = opened(folder)
    try:
        definition = deployment.running.signals.definitions[0]
        body = change(pack_tables(definition, table(folder)))
        deployment.process(deployment.writer.control(TABLES, body))
    finally:
        deployment.close()


@pytest.fixture
def world(tmp_path: Path, home_folder: Maker) -> tuple[Path, Path, Path, Path]:
    """A deployment that has read half of the stream with a pack whose signal takes up tables; the pack, both halves."""
    one, two = halves(tmp_path)
    pack = marked_pack(tmp_path / "pack")
    folder = home_folder("home", **SMALL)
    feed(folder, pack, one)
    return folder, pack, one, two


def test_a_table_counts_from_its_record_on_and_a_replay_says_the_same(world: tuple[Path, ...]) -> None:
    folder, _, _, two = world
    assert found(folder) == []
    seq = publish(folder, table(folder))
    assert publish(folder, table(folder)) == seq, "the same again writes nothing"
    read(folder, two)
    assert found(folder)
    assert min(at for at, _ in found(folder)) > seq
    report = replay(open_home(folder, create=False))
    assert (report.count, report.events > 1000, report.vectors > 100) == (0, True, True)
    shutil.rmtree(folder / "snapshots")  # all of it again, from the first record
    assert replay(open_home(folder, create=False)).count == 0
    assert publish(folder, table(folder)) == seq


def test_a_deployment_that_was_stopped_says_the_same_as_one_that_never_was(
    home_folder: Maker, world: tuple[Path, ...]
) -> None:
    folder, pack, one, two = world
    publish(folder, table(folder))
    read(folder, two)
    whole = home_folder("whole", **{**SMALL, "batch_rows": 33, "snapshot_rows": 10**9})
    deployment = opened(whole)
    try:
        deployment.publish(pack, history_complete=True)
        read_source(deployment, [one], "native", received=False, clock=SystemClock(), progress=SILENT)
        publish_table(deployment, "marked", table(whole))
        read_source(deployment, [two], "native", received=False, clock=SystemClock(), progress=SILENT)
    finally:
        deployment.close()
    assert [who for _, who in found(folder)] == [who for _, who in found(whole)]
    assert found(whole)


def test_another_table_takes_the_place_of_the_first_and_withdrawing_makes_it_unknown(world: tuple[Path, ...]) -> None:
    folder, _, _, two = world
    first = publish(folder, table(folder, 2))
    second = publish(folder, table(folder, 3))
    deployment = opened(folder)
    try:
        assert deployment.running.signals.tables["marked"].seq == second > first
        withdraw_table(deployment, "marked")
        assert deployment.running.signals.tables == {}
        with pytest.raises(InvalidInput, match="uses no published tables"):
            withdraw_table(deployment, "marked")
    finally:
        deployment.close()
    read(folder, two)
    assert found(folder) == []
    assert replay(open_home(folder, create=False)).count == 0
    home = open_home(folder, create=False)
    journal = Journal.open(home.journal, identity=home.identity, read_only=True)
    assert [len(one.tables.arrays) if one.tables else -1 for one in published_tables(journal)] == [2, 2, 0]
    journal.close()


def test_a_pack_that_carries_state_keeps_the_tables_also_under_another_name(
    tmp_path: Path, world: tuple[Path, ...]
) -> None:
    folder, _, _, two = world
    seq = publish(folder, table(folder))
    feed(folder, marked_pack(tmp_path / "renamed", name="named"), two)
    deployment = opened(folder)
    assert deployment.running.signals.tables["named"].seq == seq
    assert deployment.history.publication(deployment.running.published).body["state"] == "carried"
    deployment.close()
    assert found(folder)
    assert replay(open_home(folder, create=False)).count == 0
    notes = feed(folder, marked_pack(tmp_path / "other", name="named", step=2))
    assert any("tables of the signal named are out of force" in note for note in notes)
    assert replay(open_home(folder, create=False)).count == 0


def test_a_pack_that_replays_history_meets_the_tables_that_were_published_in_it(
    tmp_path: Path, world: tuple[Path, ...]
) -> None:
    folder, _, _, two = world
    seq = publish(folder, table(folder))
    more = {"account_hour": {"operation": "count", "key": "account", "window": "1h"}}
    wider = marked_pack(tmp_path / "wider", name="renamed", features=more,
                        rules={"hasty": ("account", "low", "account_hour >= 9")})  # fmt: skip
    feed(folder, wider, two, warm_up=True)
    deployment = opened(folder)
    assert deployment.running.signals.tables["renamed"].seq == seq
    deployment.close()
    assert replay(open_home(folder, create=False)).count == 0


def test_a_backtest_meets_the_tables(world: tuple[Path, ...]) -> None:
    folder, pack, _, two = world
    publish(folder, table(folder))
    read(folder, two)
    same = backtest(open_home(folder, create=False), load_pack(pack), window=Window(warm_up_us=0))
    assert any(flip.rule == "all.marked" and flip.new == flip.old > 0 for flip in same.rules)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda body: {**body, "definition": "0" * 16}, "no signal is so defined now"),
        (lambda body: {**body, "version": 2}, "version 2"),
        (lambda body: {**body, "format": "other"}, "'other'"),
        (lambda body: {**body, "arrays": [1]}, "without arrays"),
        (lambda body: {key: value for key, value in body.items() if key != "signal"}, "without signal"),
        (lambda body: {**body, "arrays": {**body["arrays"], "ids": body["arrays"]["ids"][:-1] + b"\0"}}, "SHA-256"),
        (lambda body: {**body, "arrays": {"ids": "text"}}, "no bytes"),
        (lambda body: _resealed(body, {"ids": b"rubbish"}), "no array"),
        (lambda body: _resealed(body, {"ids": body["arrays"]["ids"][:-8]}), "a head that says"),
        (lambda body: _resealed(body, {"ids": body["arrays"]["ids"]}), "ids and marks of one length"),
        (lambda body: _resealed(body, {"../x": body["arrays"]["ids"]}), "no name of an array"),
    ],
)
def test_a_record_that_is_not_used_is_told_and_changes_nothing(
    world: tuple[Path, ...], change: Callable[[dict[str, Any]], dict[str, Any]], told: str
) -> None:
    folder = world[0]
    seq = publish(folder, table(folder, 3))
    deployment = opened(folder)
    try:
        stage = deployment.running.signals
        body = change(pack_tables(stage.definitions[0], table(folder)))
        (note,) = stage.take_up(body, 77)
        assert told in note
        assert "published by record 77" in note
        assert stage.tables["marked"].seq == seq
    finally:
        deployment.close()


def _resealed(body: dict[str, Any], packed: dict[str, bytes]) -> dict[str, Any]:
    from shoal.detectors import signal_tables

    return {**body, "arrays": packed, "sha256": signal_tables._digest(packed)}


def test_a_damaged_record_in_the_journal_stops_neither_a_run_nor_a_replay(world: tuple[Path, ...]) -> None:
    folder, _, _, two = world
    record(folder, lambda body: {**body, "sha256": "0" * 64})
    read(folder, two)
    assert found(folder) == []
    home = open_home(folder, create=False)
    assert replay(home).count == 0
    journal = Journal.open(home.journal, identity=home.identity, read_only=True)
    (one,) = published_tables(journal)
    assert one.tables is None
    assert "SHA-256" in one.why
    journal.close()


@pytest.mark.parametrize(
    ("name", "arrays", "slug"),
    [
        ("markt", {"ids": np.zeros(1, np.int64)}, "tables.unknown"),
        ("marked", {}, "tables.none"),
        ("marked", {"ids": np.zeros(1, np.int64)}, "marked.arrays"),
        ("marked", {"ids": np.zeros(1, object), "marks": np.zeros(1)}, "tables.kind"),
        ("marked", {"ids": np.array(["a"]), "marks": np.zeros(1)}, "tables.kind"),
    ],
)
def test_arrays_that_would_not_be_used_are_refused_before_they_are_written(
    world: tuple[Path, ...], name: str, arrays: dict[str, Any], slug: str
) -> None:
    folder = world[0]
    with pytest.raises(InvalidInput) as error:
        publish(folder, arrays, name)
    assert error.value.problems[0].slug == slug


def test_all_that_is_wrong_with_arrays_is_told_together(world: tuple[Path, ...]) -> None:
    deployment = opened(world[0])
    definition = deployment.running.signals.definitions[0]
    deployment.close()
    hostile: dict[str, Any] = {"Upper": np.zeros(1), "ok": np.zeros(2, np.complex128), "list": [1]}
    with pytest.raises(InvalidInput) as error:
        pack_tables(definition, hostile)
    assert [one.slug for one in error.value.problems] == ["tables.name", "tables.kind", "tables.kind"]
    with pytest.raises(InvalidInput, match=r"tables\.size"):
        pack_tables(definition, {"large": np.broadcast_to(np.zeros(1), (2**26,))})
    with pytest.raises(InvalidInput, match=r"tables\.many"):
        pack_tables(definition, {f"a{k}": np.zeros(1) for k in range(65)})


def test_a_damaged_table_in_a_snapshot_is_passed_over(world: tuple[Path, ...]) -> None:
    folder, _, _, two = world
    publish(folder, table(folder))
    read(folder, two)
    written = sorted((folder / "snapshots").glob("engine-*/signals/tables/marked.npz"))
    assert written
    for path in written:
        path.write_bytes(path.read_bytes()[:-20])
    deployment = opened(folder)
    try:
        assert any("is not used" in note for note in deployment.notes)
        assert deployment.running.signals.tables["marked"].sha256
    finally:
        deployment.close()


def test_a_signal_that_takes_no_tables_says_so() -> None:
    assert "takes up no tables" in Visits.take_up(object.__new__(Visits), {"a": np.zeros(1)}, 1)


@pytest.mark.parametrize(("version", "read_it"), [(3, True), (4, True), (5, False)])
def test_snapshots_of_the_release_before_are_read(world: tuple[Path, ...], version: int, read_it: bool) -> None:
    folder = world[0]
    newest = max((folder / "snapshots").glob("engine-*"), key=lambda path: int(path.name.split("-")[1]))
    mark = json.loads((newest / "engine.json").read_text())
    if version == 3:
        del mark["tables"]
    (newest / "engine.json").write_text(json.dumps({**mark, "version": version}))
    deployment = opened(folder)
    assert any(newest.name in note for note in deployment.notes) is not read_it
    deployment.close()
