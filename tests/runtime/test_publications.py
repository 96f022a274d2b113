"""Another pack takes over: what is known by its definition keeps its state, what is new is partial or warmed up, and a
replay comes to the same decisions either way."""

import copy
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from keep_parts import FEATURES, RULES, SMALL, feed, halves, later, opened, write_pack
from test_keep import retain, whole
from test_run import decisions, stored

from oracles.runtime_stream import stream, write_lines
from shoal.errors import Corrupt, InvalidInput
from shoal.runtime.engine import Engine
from shoal.runtime.home import open_home
from shoal.runtime.keep.snapshots import on_ladder
from shoal.runtime.review.doctor import check_up
from shoal.runtime.review.explain import explain_event
from shoal.runtime.review.replay import replay

Maker = Callable[..., Path]
MORE = {**FEATURES, "account_hour": {"operation": "count", "key": "account", "window": "1h"},
        "country_day": {"operation": "distinct", "key": "account", "value": "country", "window": "24h"}}  # fmt: skip
NEW_RULE = {**RULES, "hasty": ("account", "low", "account_hour >= 3 AND country_day >= 0")}


@pytest.fixture
def decided(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows that engines decided, live or for warming up."""
    rows: list[int] = []
    real = Engine.decide

    def decide(self: Engine, table: pa.Table, *more: Any) -> object:
        rows.append(table.num_rows)
        return real(self, table, *more)

    monkeypatch.setattr(Engine, "decide", decide)
    return rows


def state_of(folder: Path) -> str:
    deployment = opened(folder)
    try:
        return str(deployment.history.publication(deployment.running.published).body["state"])
    finally:
        deployment.close()


def test_editing_a_title_keeps_all_state_and_replays_nothing(
    tmp_path: Path, home_folder: Maker, decided: list[int]
) -> None:
    one, two = halves(tmp_path)
    first = write_pack(tmp_path / "first")
    edited = write_pack(tmp_path / "edited", title="in better words")
    twin, folder = home_folder("twin", **SMALL), home_folder("edited-home", **SMALL)
    feed(twin, first, one, two)
    feed(folder, first, one)
    decided.clear()
    feed(folder, edited, two)
    assert sum(decided) < 600 + 301, "the second half, and what the opening reads behind its snapshot"
    assert state_of(folder) == "carried"
    left, right = (decisions(f).drop(["seq", "features"]) for f in (twin, folder))
    assert left.equals(right)
    deployment = opened(folder)
    assert {rule.title for rule in deployment.running.pack.rules} == {"in better words"}
    deployment.close()
    whole(folder)


def test_a_new_feature_is_replayed_by_default_and_is_then_exact(tmp_path: Path, home_folder: Maker) -> None:
    one, two = halves(tmp_path)
    first, more = write_pack(tmp_path / "first"), write_pack(tmp_path / "more", features=MORE, rules=NEW_RULE)
    always, folder = home_folder("always", **SMALL), home_folder("h", **SMALL)
    feed(always, more, one, two)
    feed(folder, first, one)
    feed(folder, more, two)
    assert state_of(folder) == "replayed"
    left, right = (decisions(f).drop(["seq", "features"]) for f in (always, folder))
    assert left.slice(900).equals(right.slice(900))
    whole(folder)


@pytest.mark.parametrize("how", ["asked", "long"])
def test_without_a_warm_up_what_is_known_goes_on_and_what_is_new_is_partial(
    tmp_path: Path, home_folder: Maker, decided: list[int], how: str
) -> None:
    one, two = halves(tmp_path)
    first, more = write_pack(tmp_path / "first"), write_pack(tmp_path / "more", features=MORE, rules=NEW_RULE)
    always = home_folder("always", **SMALL)
    folder = home_folder("h", **SMALL, **({"warm_up_rows": 100} if how == "long" else {}))
    feed(always, more, one, two)
    feed(folder, first, one)
    decided.clear()
    feed(folder, more, two, warm_up=False if how == "asked" else None)
    assert sum(decided) < 600 + 301
    assert state_of(folder) == "carried"
    whole(folder)
    home = open_home(folder, create=False)
    seqs = decisions(folder).column("seq").to_pylist()
    soon, late = (explain_event(home, seqs[k]) for k in (901, -1))
    assert "account_hour" in soon.partial
    assert "account_hour" not in late.partial
    assert not {"ip_events_1h", "account_day", "failed_share"} & {*soon.partial, *late.partial}
    other = explain_event(open_home(always, create=False), decisions(always).column("seq").to_pylist()[-1])
    assert late.features == {**other.features, "country_day": late.features["country_day"]}
    assert soon.differences == late.differences == []
    # the same when the engine is built again from snapshots, from the journal alone, or by an explanation
    feed(folder, more, later(tmp_path))
    shutil.rmtree(folder / "snapshots")
    whole(folder)
    feed(folder, more)
    whole(folder)
    feed(folder, more, warm_up=True)
    assert state_of(folder) == "replayed"
    whole(folder)


def test_three_packs_in_a_row_and_one_that_comes_back(tmp_path: Path, home_folder: Maker) -> None:
    one, two = halves(tmp_path)
    first, more = write_pack(tmp_path / "first"), write_pack(tmp_path / "more", features=MORE, rules=NEW_RULE)
    fewer = {name: FEATURES[name] for name in ("account_day", "account_weight")}
    small = write_pack(tmp_path / "small", features=fewer, rules={"busy": RULES["busy"]})
    folder = home_folder("h", **SMALL)
    feed(folder, first, one)
    for pack, source in ((small, two), (more, later(tmp_path)), (first, later(tmp_path, 6))):
        feed(folder, pack, source, warm_up=False)
        whole(folder)
    shutil.rmtree(folder / "snapshots")
    whole(folder)
    assert retain(folder, 3 * 86_400.0) > 1600
    whole(folder)
    # features that no pack read for a while were fed all the time
    last = decisions(folder).column("seq").to_pylist()[-1]
    assert explain_event(open_home(folder, create=False), last).partial == ()


def test_behind_a_retention_cut_a_new_pack_takes_over_what_is_there(tmp_path: Path, home_folder: Maker) -> None:
    first, more = write_pack(tmp_path / "first"), write_pack(tmp_path / "more", features=MORE, rules=NEW_RULE)
    folder = home_folder("h", **SMALL)
    feed(folder, first, write_lines(tmp_path / "events.ndjson", stream()))
    retain(folder, 12 * 3600.0)
    with pytest.raises(InvalidInput) as caught:
        feed(folder, more, warm_up=True)
    assert caught.value.problems[0].slug == "publish.history_dropped"
    feed(folder, more, later(tmp_path))
    assert state_of(folder) == "carried"
    whole(folder)
    retain(folder, 4 * 86_400.0)
    whole(folder)


def test_a_pack_that_replayed_the_journal_outlives_the_journal_it_replayed(tmp_path: Path, home_folder: Maker) -> None:
    one, two = halves(tmp_path)
    first, more = write_pack(tmp_path / "first"), write_pack(tmp_path / "more", features=MORE, rules=NEW_RULE)
    folder = home_folder("h", **SMALL)
    feed(folder, first, one)
    feed(folder, more, two)
    assert state_of(folder) == "replayed"
    cut = retain(folder, 30 * 3600.0)
    deployment = opened(folder)
    assert 0 < cut < deployment.running.published, "the cut must lie before the publication, or this shows nothing"
    deployment.close()
    whole(folder)
    assert retain(folder, 6 * 3600.0) > cut
    whole(folder)


def test_a_column_that_is_gone_or_means_something_else_is_refused(tmp_path: Path, home_folder: Maker) -> None:
    def with_attribute(name: str, path: str | None) -> Path:
        features = copy.deepcopy(FEATURES)
        rules = dict(RULES)
        if path or name == "first":
            features["odd_count"] = {"operation": "distinct", "key": "account", "value": "odd", "window": "24h"}
        told = {"odd": {"path": path, "type": "int"}} if path else None
        return write_pack(tmp_path / name, features=features, rules=rules, attributes=told)

    one, _ = halves(tmp_path)
    folder = home_folder("h", **SMALL)
    feed(folder, with_attribute("first", "odd_field"), one)
    for name, path in (("gone", None), ("other", "even_field")):
        with pytest.raises(InvalidInput) as caught:
            feed(folder, with_attribute(name, path), warm_up=False)
        assert {problem.slug for problem in caught.value.problems} == {"publish.attribute"}
    feed(folder, with_attribute("other", "even_field"))
    assert state_of(folder) == "replayed"
    whole(folder)


def test_a_snapshot_of_another_publication_or_a_broken_one_is_passed_over(tmp_path: Path, home_folder: Maker) -> None:
    one, two = halves(tmp_path)
    folder = home_folder("h", **SMALL)
    feed(folder, write_pack(tmp_path / "first"), one, two)
    for path in (folder / "snapshots").glob("engine-*"):
        mark = path / "engine.json"
        mark.write_text("{" if "12" in path.name else mark.read_text().replace('"published": 0', '"published": 7'))
    notes = feed(folder, write_pack(tmp_path / "first"))
    assert any("is not used" in note for note in notes)
    whole(folder)


def test_a_snapshot_ahead_of_the_journal_is_refused(tmp_path: Path, home_folder: Maker) -> None:
    folder = home_folder("h", **SMALL)
    feed(folder, write_pack(tmp_path / "first"), halves(tmp_path)[0])
    some = next((folder / "snapshots").glob("facts-*"))
    some.rename(some.with_name("facts-99999"))
    with pytest.raises(Corrupt, match="ahead of the journal"):
        opened(folder)


def test_an_explanation_from_a_snapshot_is_that_from_the_start(
    tmp_path: Path, home_folder: Maker, decided: list[int]
) -> None:
    folder = home_folder("h", **SMALL)
    feed(folder, write_pack(tmp_path / "first"), write_lines(tmp_path / "events.ndjson", stream()))
    home = open_home(folder, create=False)
    seq = stored(folder)[0][-1].seq  # type: ignore[attr-defined]
    decided.clear()
    near = explain_event(home, seq)
    assert sum(decided) <= 400, "from the last snapshot"
    shutil.rmtree(folder / "snapshots")
    decided.clear()
    far = explain_event(home, seq)
    assert sum(decided) > 1000
    assert near == far
    assert near.stored
    assert near.differences == []


def test_an_explanation_names_what_was_stored_otherwise(tmp_path: Path, home_folder: Maker) -> None:
    import sqlite3

    folder = home_folder("h", **SMALL)
    feed(folder, write_pack(tmp_path / "first"), write_lines(tmp_path / "events.ndjson", stream()))
    seq = stored(folder)[0][-1].seq  # type: ignore[attr-defined]
    with sqlite3.connect(folder / "store.sqlite") as base:
        base.execute("update decisions set tier = tier + 1 where seq = ?", (seq,))
    base.close()
    assert [one.what for one in explain_event(open_home(folder, create=False), seq).differences] == ["decision"]
    assert replay(open_home(folder, create=False)).count == 1
    assert check_up(open_home(folder, create=False)).problems == []


def test_the_ladder_is_dense_where_it_is_new_and_never_misses_what_it_dropped() -> None:
    kept: list[int] = []
    for position in range(10, 4010, 10):
        kept.append(position)
        alive = on_ladder(kept, 10)
        kept = [one for one in kept if one in alive]
        head = position // 10
        for age in range(1, head):
            below = [one for one in kept if one // 10 <= head - age]
            if head - age >= 64:
                assert below
                assert head - age - below[-1] // 10 <= max(1, age // 2), (head, age)
    assert len(kept) < 40
    assert np.all(np.diff(kept)[-7:] == 10)
