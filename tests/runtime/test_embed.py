"""`shoal learn embed`: fitted on what the signal holds, published, read by rows of training from their first on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from keep_parts import SMALL, feed, halves, opened
from learned_parts import Visits, learned_pack, model_files
from typer.testing import CliRunner

from shoal.cli.app import app
from shoal.clock import SystemClock
from shoal.detectors import signal_kinds
from shoal.errors import InvalidInput
from shoal.runtime.home import open_home
from shoal.runtime.learning.embed import embed
from shoal.runtime.learning.frames import gather
from shoal.runtime.learning.logged import gather_logged
from shoal.runtime.learning.publish import publish_model
from shoal.runtime.learning.tables import withdraw_table
from shoal.runtime.review.replay import replay
from shoal.runtime.run import Progress, read_source

SILENT = Progress(lambda _: None, lambda _a, _b: None)


@pytest.fixture(autouse=True)
def _kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(signal_kinds.KINDS, "visits", Visits)  # type: ignore[arg-type]


def pack_of(folder: Path) -> Path:
    """`learned_pack` with the signal `kind`, which the detector and a rule read."""
    learned_pack(folder, rules={"far": ("account", "medium", "kind.from_self >= 0.05")})
    settings = {"visits": {"kind": "visits", "step": 1},
                "kind": {"kind": "behaviour_embedding", "token": ["type"], "dimensions": 2, "cells": 256}}  # fmt: skip
    body: dict[str, Any] = {"format": "shoal.signals", "version": 1, "signals": settings}
    (folder / "signals" / "all.yaml").write_text(yaml.safe_dump(body, sort_keys=False), encoding="utf-8")
    model = yaml.safe_load((folder / "models" / "all.yaml").read_text(encoding="utf-8"))
    model["models"]["guess"]["inputs"].append("kind.from_self")
    (folder / "models" / "all.yaml").write_text(yaml.safe_dump(model, sort_keys=False), encoding="utf-8")
    return folder


@pytest.fixture
def world(tmp_path: Path, home_folder: Callable[..., Path]) -> tuple[Path, Path, Path]:
    """A deployment that has read half of the stream; the pack and the other half."""
    one, two = halves(tmp_path)
    pack = pack_of(tmp_path / "pack")
    folder = home_folder("home", **SMALL, sample_one_in=1)
    feed(folder, pack, one)
    return folder, pack, two


def matched(folder: Path) -> list[int]:
    store = open_home(folder, create=False).open_store(read_only=True)
    try:
        return [row.seq for row in store.read_decisions(latest=True) if "all.far" in row.rules]
    finally:
        store.close()


def test_columns_are_known_from_the_record_on_and_a_replay_says_the_same(world: tuple[Path, Path, Path]) -> None:
    folder, _, two = world
    deployment = opened(folder)
    dry = embed(deployment, "kind", groups=3, publish=False)
    assert (dry.record, deployment.running.signals.tables) == (-1, {})
    found = embed(deployment, "kind", groups=3)
    assert (found.accounts, found.sizes, found.out_of_force) == (dry.accounts, dry.sizes, ())
    assert sum(found.sizes) == found.accounts >= 40
    assert len(found.sizes) == 3
    read_source(deployment, [two], "native", received=False, clock=SystemClock(), progress=SILENT)
    deployment.rest()
    deployment.close()
    assert matched(folder)
    assert min(matched(folder)) > found.record
    assert replay(open_home(folder, create=False)).count == 0


def test_rows_of_training_are_held_under_one_embedding_and_a_model_goes_with_it(
    world: tuple[Path, Path, Path],
) -> None:
    folder, pack, two = world
    home = open_home(folder, create=False)
    before = gather(home).frames["guess"]
    place = list(before.definition.inputs).index("kind.from_self")
    assert np.isnan(before.x[:, place]).all()
    deployment = opened(folder)
    first = embed(deployment, "kind", groups=3).record
    deployment.close()
    whole = gather(home).frames["guess"]
    assert not np.isnan(whole.x[:, place]).any(), "from the first row on, though published behind the last"
    with pytest.raises(InvalidInput, match=r"frame\.empty"):
        gather_logged(home)  # nothing was decided under it yet
    hash_now = next(one.hash for one in whole.inputs if one.name == "kind.from_self")
    assert hash_now != next(one.hash for one in before.inputs if one.name == "kind.from_self")

    deployment = opened(folder)
    try:
        with pytest.raises(InvalidInput, match="defined otherwise"):
            publish_model(deployment, "guess", model_files(pack))
        files = model_files(pack, hashes={"kind.from_self": hash_now})
        publish_model(deployment, "guess", files)
        read_source(deployment, [two], "native", received=False, clock=SystemClock(), progress=SILENT)
        again = embed(deployment, "kind", groups=3)
        assert again.record > first
        assert again.out_of_force == ("guess",)
        assert deployment.running.models.in_force == {}
    finally:
        deployment.close()
    assert replay(home).count == 0
    deployment = opened(folder)
    assert (deployment.running.models.in_force, deployment.running.signals.tables["kind"].seq) == ({}, again.record)
    deployment.close()


def test_withdrawing_puts_the_columns_out_of_force(world: tuple[Path, Path, Path]) -> None:
    folder, _, two = world
    deployment = opened(folder)
    embed(deployment, "kind", groups=3)
    withdraw_table(deployment, "kind")
    read_source(deployment, [two], "native", received=False, clock=SystemClock(), progress=SILENT)
    deployment.close()
    assert matched(folder) == []
    assert replay(open_home(folder, create=False)).count == 0


@pytest.mark.parametrize(
    ("name", "said", "slug"),
    [
        ("kimd", {}, "embed.unknown"),
        ("visits", {}, "embed.unknown"),
        ("kind", {"groups": 0}, "embedding.setting"),
        ("kind", {"groups": 200}, "embedding.too_few"),
        ("kind", {"least": 1e8}, "embedding.too_few"),
    ],
)
def test_bad_requests(world: tuple[Path, Path, Path], name: str, said: dict[str, Any], slug: str) -> None:
    deployment = opened(world[0])
    try:
        with pytest.raises(InvalidInput) as error:
            embed(deployment, name, **said)
        assert error.value.problems[0].slug == slug
        assert deployment.running.signals.tables == {}
    finally:
        deployment.close()


def test_the_command(world: tuple[Path, Path, Path]) -> None:
    home = ["--home", str(world[0])]
    shown = CliRunner().invoke(app, ["learn", "embed", "kind", "--groups", "3", "--dry-run", *home])
    assert (shown.exit_code, "uses it from record" in shown.output) == (0, False)
    done = CliRunner().invoke(app, ["learn", "embed", "kind", "--groups", "3", *home])
    assert done.exit_code == 0, done.output
    assert "kind uses it from record" in done.output
    listed = CliRunner().invoke(app, ["learn", "list", *home])
    assert "kind" in listed.output
    gone = CliRunner().invoke(app, ["learn", "withdraw", "kind", *home])
    assert gone.exit_code == 0, gone.output
