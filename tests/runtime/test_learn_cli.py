"""`shoal learn` as a user meets it: fit, card, publish, monitor, mistakes; on a small pack and made-up history."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from keep_parts import feed, opened
from learned_parts import Visits, learned_pack
from typer.testing import CliRunner, Result

from oracles.runtime_stream import write_lines
from shoal.cli import show
from shoal.cli.app import app
from shoal.detectors import signal_kinds
from shoal.errors import InvalidInput
from shoal.learn.frame import TrainingFrame
from shoal.runtime.review.replay import replay

Maker = Callable[..., Path]
START = datetime(2026, 1, 5, tzinfo=UTC)
DAYS = 20


@pytest.fixture(scope="module", autouse=True)
def _kind() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(signal_kinds.KINDS, "visits", Visits)  # type: ignore[arg-type]
        for console in (show.out, show.err):  # made once a process, for the terminal that was there
            patch.setattr(console, "width", 150)
        yield


def history(seed: int, first: int = 0) -> list[dict[str, object]]:
    """Logins of 400 people over twenty days, and 40 hijacked ones whose address fails often; labels two days later."""
    rng = random.Random(seed)
    found: list[dict[str, object]] = []

    def add(when: datetime, kind: str, account: str, ip: str, device: str) -> None:
        found.append({"event_id": f"{seed}-{len(found)}", "time": _text(when), "type": kind, "account": account,
                      "ip": ip, "device": device})  # fmt: skip

    for person in range(400):
        for _ in range(8):
            when = START + timedelta(days=first, seconds=rng.randrange(DAYS * 86_400))
            kind = "login.failed" if rng.random() < 0.1 else "login.succeeded"
            add(when, kind, f"user{person}", f"198.51.{person // 250}.{person % 250}", f"d{person}")
    for victim in range(40):
        when = START + timedelta(days=first + 1 + rng.random() * (DAYS - 6))
        ip = f"203.0.113.{victim % 7}"
        for step in range(6):
            kind = "login.succeeded" if step == 5 else "login.failed"
            add(when + timedelta(seconds=20 * step), kind, f"user{victim}", ip, f"rig{victim % 7}")
        label = {"record": "label", "subject_type": "account", "subject": f"user{victim}", "kind": "account_takeover"}
        label |= {"source": "analyst", "start": _text(when), "end": _text(when + timedelta(hours=1))}
        found.append({**label, "known_at": _text(when + timedelta(days=2))})
    return sorted(found, key=lambda row: str(row.get("time", row.get("known_at"))))


def _text(when: datetime) -> str:
    return when.isoformat().replace("+00:00", "Z")


def learn(*words: object) -> Result:
    return CliRunner().invoke(app, ["learn", *map(str, words)], env={"COLUMNS": "150"})


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A deployment with the history, and the folder of a model fitted on it."""
    root = tmp_path_factory.mktemp("learn")
    pack = learned_pack(root / "pack")
    home = root / "home"
    feed(home, pack, write_lines(root / "history.ndjson", history(1)))
    done = learn("fit", "guess", "--out", root / "model", "--home", home, "--trials", 2)
    assert done.exit_code == 0, done.output + repr(done.exception)
    assert "average precision" in done.stdout
    return home, root / "model"


def test_a_model_with_its_card_is_written(world: tuple[Path, Path]) -> None:
    _, model = world
    assert {path.name for path in model.iterdir()} == {"model.txt", "model.json", "card.html", "card.md", "card.json"}
    metadata = json.loads((model / "model.json").read_text())
    assert (metadata["name"], metadata["origin"]["positive_subjects"]) == ("guess", 40)
    page = (model / "card.html").read_text(encoding="utf-8")
    assert "Limits" in page
    assert "://" not in page.replace("http://www.w3.org", "")


def test_the_same_history_gives_the_same_bytes(world: tuple[Path, Path], tmp_path: Path) -> None:
    home, model = world
    assert learn("fit", "guess", "--out", tmp_path / "again", "--home", home, "--trials", 2).exit_code == 0
    assert (tmp_path / "again" / "model.txt").read_bytes() == (model / "model.txt").read_bytes()


def test_published_it_decides_and_is_replayed(world: tuple[Path, Path], tmp_path: Path) -> None:
    home, model = world
    done = learn("publish", model, "--home", home)
    assert (done.exit_code, "decides from record" in done.stdout) == (0, True), done.output
    feed(home, learned_pack(tmp_path / "pack"), write_lines(tmp_path / "more.ndjson", history(2, first=DAYS)))
    deployment = opened(home)
    assert "guess" in deployment.running.models.in_force
    opened_home = deployment.home
    store = deployment.store
    caught = {row.subject for row in store.read_decisions() if "all.guessed" in row.rules}
    deployment.close()
    assert len([name for name in caught if int(name[4:]) < 40]) >= 30
    assert len([name for name in caught if int(name[4:]) >= 40]) <= 8
    assert replay(opened_home).count == 0
    assert "in force" in learn("list", "--home", home).stdout
    told = learn("monitor", "guess", "--home", home)
    assert "stability index" in told.stdout, told.output
    same = learn("compare", model, model, "--home", home)
    assert (same.exit_code, "cannot be told" in same.stdout) == (0, True), same.output
    assert "AUROC" in learn("evaluate", model, "--home", home).stdout
    assert learn("withdraw", "guess", "--home", home).exit_code == 0


def test_a_frame_goes_to_a_notebook_and_the_card_to_markdown(world: tuple[Path, Path], tmp_path: Path) -> None:
    home, model = world
    assert learn("frame", "guess", "--out", tmp_path / "frame.parquet", "--home", home).exit_code == 0
    assert len(TrainingFrame.from_parquet(tmp_path / "frame.parquet")) > 1_000
    assert learn("card", model, "--markdown").stdout.startswith("# Model card: guess")


MISTAKES: list[tuple[list[object], str]] = [
    (["fit", "gues", "--out", "NEW"], "learn.unknown"),
    (["fit", "guess", "--out", "MODEL"], "learn.folder"),
    (["fit", "guess", "--out", "NEW", "--share", "2"], "learn.share"),
    (["fit", "guess", "--out", "NEW", "--until", "someday"], "option.moment"),
    (["fit", "guess", "--out", "NEW", "--until", "2026-01-06"], "fit."),
    (["fit", "guess", "--out", "NEW", "--labels", "no-such.parquet"], "labels.absent"),
    (["publish", "no-such-model"], "model.file"),
    (["evaluate", "no-such-model"], "model.file"),
    (["withdraw", "guesses"], "model.none"),
    (["monitor", "guesses"], "model.none"),
    (["card", "no-such-model"], "learn.card"),
]


@pytest.mark.parametrize(("words", "slug"), MISTAKES)
def test_mistakes_are_told(world: tuple[Path, Path], tmp_path: Path, words: list[object], slug: str) -> None:
    home, model = world
    places = {"NEW": tmp_path / "new", "MODEL": model}
    home_too = [] if words[0] == "card" else ["--home", home]
    done = learn(*(places.get(str(word), word) for word in words), *home_too)
    assert isinstance(done.exception, InvalidInput), done.output
    assert slug in str(done.exception)
    assert not (tmp_path / "new").exists()
