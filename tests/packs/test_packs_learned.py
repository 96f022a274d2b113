"""Signals and fitted detectors in packs: read, checked, inherited, compared."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from small_pack import RULES, write

from shoal.detectors import signal_kinds
from shoal.detectors.signals import Output, Setting, SettingValue, Signal
from shoal.errors import InvalidInput
from shoal.events.schema import Kind
from shoal.packs.learned.offer import offered_inputs
from shoal.packs.load import load_pack
from shoal.packs.review.diff import diff_packs

SIGNALS = """\
format: shoal.signals
version: 1
signals:
  pace:
    kind: pace
    half_life: 30d
    where: type = 'login.failed'
    columns: [device, ip]
"""
MODELS = """\
format: shoal.models
version: 1
models:
  guess:
    threat: credential_attack
    description: whether a login is a guess
    on: type = 'login.failed' AND failures_10m > 1
    subject: ip
    labels: [credential_stuffing]
    inputs: [failures_10m, pace.slow, size_bytes]
    rising: [failures_10m]
    budgets: {watch: 50, challenge: 10}
"""


class Pace(Signal):
    """A kind with a setting of each sort."""

    settings: ClassVar[Mapping[str, Setting]] = {
        "half_life": Setting("seconds", 86_400, "how fast it fades", low=3600, high=86_400 * 400),
        "share": Setting("number", 0.5, "a share", low=0, high=1),
        "count": Setting("integer", 3, "a count", low=1, high=9),
        "where": Setting("condition", "true", "what counts"),
        "columns": Setting("columns", ("device",), "what is looked at"),
        "mode": Setting("word", "both", "how", allowed=("one", "both")),
    }

    @classmethod
    def outputs(cls, settings: Mapping[str, SettingValue]) -> Mapping[str, Output]:
        return {"slow": Output(Kind.FLOAT, "how slow"), "seen": Output(Kind.BOOL, "seen before")}

    @classmethod
    def reads(cls, settings: Mapping[str, SettingValue]) -> frozenset[str]:
        return frozenset({"account"})

    def update(self, *given: Any) -> None:
        """Nothing."""

    def snapshot(self) -> Mapping[str, Any]:
        return {}

    def restore(self, arrays: Mapping[str, Any]) -> None:
        """Nothing."""


@pytest.fixture(autouse=True)
def _kind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(signal_kinds.KINDS, "pace", Pace)  # type: ignore[arg-type]


def files(**changed: str) -> dict[str, str]:
    return {"signals/s.yaml": changed.get("signals", SIGNALS), "models/m.yaml": changed.get("models", MODELS)}


def test_what_is_read(tmp_path: Path) -> None:
    pack = load_pack(write(tmp_path, files()))
    (signal,), (model,) = pack.signals, pack.models
    assert signal.settings == {
        "half_life": 30 * 86_400, "share": 0.5, "count": 3, "where": "type = 'login.failed'",
        "columns": ("device", "ip"), "mode": "both",
    }  # fmt: skip
    assert list(pack.computed) == [
        "failures_10m", "failures_per_account", "pace.slow", "pace.seen", "guess.score", "guess.level",
    ]  # fmt: skip
    assert (model.subject, model.monotone, model.budgets) == ("ip", {"failures_10m": 1}, {"watch": 50, "challenge": 10})
    offered = offered_inputs(pack)
    assert offered["pace.slow"].hash == signal.hash
    assert "device" not in offered


BAD = [
    ("signals", "kind: pace", "kind: pase", "pack.choice"),
    ("signals", "pace:\n", "Pace!:\n", "signal.name"),
    ("signals", "30d", "30s", "pack.duration"),
    ("signals", "30d", "soon", "pack.duration"),
    ("signals", "half_life: 30d", "halflife: 30d", "pack.unknown_key"),
    ("signals", "half_life: 30d", "share: 1.5", "pack.number"),
    ("signals", "half_life: 30d", "count: 0", "pack.number"),
    ("signals", "half_life: 30d", "mode: three", "pack.choice"),
    ("signals", "type = 'login.failed'", "typ = 'login.failed'", "expression.unknown_column"),
    ("signals", "type = 'login.failed'", "failures_10m > 1", "expression.unknown_column"),
    ("signals", "type = 'login.failed'", "size_bytes + 1", "expression.condition_kind"),
    ("signals", "[device, ip]", "[device, ipp]", "signal.unknown_column"),
    ("models", "threat: credential_attack", "threat: nonsense", "model.unknown_threat"),
    ("models", "failures_10m > 1", "failures_10 > 1", "expression.unknown_column"),
    ("models", "on: type = 'login.failed' AND failures_10m > 1", "on: failures_10m", "expression.condition_kind"),
    ("models", "pace.slow", "pace.slw", "model.unknown_input"),
    ("models", "size_bytes]", "account]", "model.input_kind"),
    ("models", "size_bytes]", "time]", "model.input_kind"),
    ("models", "size_bytes]", "guess.score]", "model.unknown_input"),
    ("models", "size_bytes]", "failures_10m]", "model.input_twice"),
    ("models", "rising: [failures_10m]", "rising: [items]", "model.monotone"),
    ("models", "rising: [failures_10m]", "rising: [size_bytes]\n    falling: [size_bytes]", "model.monotone"),
    ("models", "{watch: 50, challenge: 10}", "{}", "model.budgets"),
    ("models", "{watch: 50, challenge: 10}", "{watch: 5, challenge: 10}", "model.budgets"),
    ("models", "{watch: 50, challenge: 10}", "{wach: 50}", "pack.unknown_key"),
    ("models", "{watch: 50, challenge: 10}", "{watch: 0}", "pack.number"),
    ("models", "subject: ip", "subject: campaign", "pack.choice"),
    ("models", "    labels: [credential_stuffing]\n", "", "pack.missing_key"),
    ("models", "guess:\n", "Guess:\n", "model.name"),
    ("models", "format: shoal.models", "format: shoal.signals", "pack.format"),
]


@pytest.mark.parametrize(("part", "old", "new", "slug"), BAD)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, part: str, old: str, new: str, slug: str) -> None:
    text = {"signals": SIGNALS, "models": MODELS}[part]
    assert old in text
    with pytest.raises(InvalidInput) as error:
        load_pack(write(tmp_path, files(**{part: text.replace(old, new, 1)})))
    found = [problem for problem in error.value.problems if problem.slug == slug]
    assert found, [str(problem) for problem in error.value.problems]
    assert found[0].where.file.endswith(f"{part}/{part[0]}.yaml")
    assert found[0].where.line > 0


def test_what_decides_is_in_the_hash_and_the_diff(tmp_path: Path) -> None:
    plain = load_pack(write(tmp_path / "plain"))
    whole = load_pack(write(tmp_path / "whole", files()))
    tighter = load_pack(write(tmp_path / "tighter", files(models=MODELS.replace("challenge: 10", "challenge: 5"))))
    slower = load_pack(write(tmp_path / "slower", files(signals=SIGNALS.replace("30d", "60d"))))
    told = load_pack(write(tmp_path / "told", files(models=MODELS.replace("is a guess", "is guessed"))))
    assert len({one.hash for one in (plain, whole, tighter, slower)}) == 4
    assert told.hash == whole.hash
    changes = {(one.section, one.id, one.kind) for one in diff_packs(plain, whole).changes}
    assert changes == {("signal", "pace", "added"), ("model", "guess", "added")}
    (change,) = diff_packs(whole, tighter).changes
    assert change.fields == (("budgets", "watch 50, challenge 10", "watch 50, challenge 5"),)
    assert offered_inputs(slower)["pace.slow"].hash != offered_inputs(whole)["pace.slow"].hash


def test_a_derived_input_means_what_the_features_below_it_mean(tmp_path: Path) -> None:
    from small_pack import FEATURES

    one = offered_inputs(load_pack(write(tmp_path / "one")))
    other = offered_inputs(
        load_pack(write(tmp_path / "other", {"features/f.yaml": FEATURES.replace("10m\n", "20m\n")}))
    )
    assert one["failures_per_account"].hash != other["failures_per_account"].hash


def test_a_pack_that_builds_on_another_may_override_and_disable(tmp_path: Path) -> None:
    base = write(tmp_path / "base", files())
    child = tmp_path / "child"
    child.mkdir()
    (child / "pack.yaml").write_text(
        f"format: shoal.pack\nversion: 1\nname: child\npack_version: '1'\ndescription: child\nextends: ../{base.name}\n"
        "overrides:\n  models: {guess: {budgets: {watch: 20}}}\n  signals: {pace: {half_life: 90d}}\n"
    )
    pack = load_pack(child)
    assert pack.models[0].budgets == {"watch": 20}
    assert pack.signals[0].settings["half_life"] == 90 * 86_400
    text = (child / "pack.yaml").read_text().replace("  models: {guess: {budgets: {watch: 20}}}\n", "")
    (child / "pack.yaml").write_text(text.replace("overrides:", "disable: {models: [guess]}\noverrides:"))
    assert load_pack(child).models == ()


def test_a_rule_reads_a_score_and_shows_it(tmp_path: Path) -> None:
    rule = RULES.replace("failures_10m >= 3 AND", "guess.level >= 2 OR failures_10m >= 3 AND").replace(
        '"{failures_10m} failed', '"{guess.score:percent} {failures_10m} failed'
    )
    pack = load_pack(write(tmp_path, {**files(), "rules/login.yaml": rule}))
    assert "guess.level" in pack.rules[0].condition
