"""docs/signals.md says what the code does, and every kind keeps the laws that need no example."""

from pathlib import Path

import pytest

from shoal.detectors.signal_kinds import KINDS
from shoal.detectors.signal_reference import describe
from shoal.events.schema import BY_NAME, Kind
from shoal.expressions.compile import Scope, compile_expression

PAGE = (Path(__file__).parents[2] / "docs" / "signals.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", sorted(KINDS))
def test_the_page_holds_the_reference(name: str) -> None:
    hint = "write the end of docs/signals.md anew: shoal.detectors.signal_reference"
    assert describe(name).strip() in PAGE, hint


@pytest.mark.parametrize("name", sorted(KINDS))
def test_defaults_are_sound(name: str) -> None:
    kind = KINDS[name]
    defaults = {key: setting.default for key, setting in kind.settings.items()}
    scope = Scope({column: spec.kind for column, spec in BY_NAME.items()}, frozenset())
    for key, setting in kind.settings.items():
        assert setting.doc, key
        if setting.kind == "condition":
            assert compile_expression(str(setting.default), scope).kind is Kind.BOOL, key
        elif setting.kind in ("seconds", "number", "integer"):
            assert setting.low <= float(setting.default) <= setting.high, key  # type: ignore[arg-type]
        elif setting.kind == "word":
            assert setting.default in setting.allowed, key
        else:
            assert isinstance(setting.default, tuple), key
            assert set(setting.default) <= set(BY_NAME), key
    assert kind.reads(defaults) <= set(BY_NAME)
    outputs = kind.outputs(defaults)
    assert outputs
    assert all(one.kind in (Kind.BOOL, Kind.INT, Kind.FLOAT) and one.doc for one in outputs.values())
