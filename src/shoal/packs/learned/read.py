"""`signals/*.yaml` and `models/*.yaml` to plain data. Whether names exist is checked later (`check`). No state."""

from __future__ import annotations

from shoal.detectors.models.definition import LEVELS, ModelDefinition
from shoal.detectors.signal_kinds import KINDS
from shoal.detectors.signals import Setting, SettingValue, SignalDefinition
from shoal.errors import Problem
from shoal.events.labels import LABEL_SUBJECTS
from shoal.packs.fields import DURATION_FORM, Reader
from shoal.packs.sections import NAME, NAME_FORM

SUBJECTS = tuple(name for name in LABEL_SUBJECTS if name != "campaign")
"""What a fitted detector may be about: labels of campaigns name no column."""


def make_signal(name: str, one: Reader) -> SignalDefinition | None:
    """One signal with a value for every setting of its kind; None where its kind is unknown."""
    _check_name("signal", name, one)
    kind = one.choice("kind", KINDS, required=True)
    description = " ".join(one.text("description").split())
    if not kind:
        return None
    found = KINDS[kind]
    values = {key: _setting(one, key, setting) for key, setting in found.settings.items()}
    one.finish()
    return SignalDefinition(name, kind, values, found.version, description, one.where)


def _setting(one: Reader, key: str, setting: Setting) -> SettingValue:
    default = setting.default
    if setting.kind == "seconds":
        value = one.seconds(key, int(default))  # type: ignore[arg-type]
        if value is None or not setting.low <= value <= setting.high:
            one.wrong(key, "pack.duration", f"{key} is out of range", f"{DURATION_FORM}, from {setting.low:g} s to "
                      f"{setting.high:g} s")  # fmt: skip
        return default if value is None else value
    if setting.kind == "number":
        return one.number(key, float(default), setting.low, setting.high)  # type: ignore[arg-type]
    if setting.kind == "integer":
        return one.integer(key, int(default), int(setting.low), int(setting.high))  # type: ignore[arg-type]
    if setting.kind == "columns":
        return one.texts(key) if one.has(key) else default
    if setting.kind == "word":
        return one.choice(key, setting.allowed, str(default))
    return one.text(key, str(default))


def make_model(name: str, one: Reader) -> ModelDefinition:
    """One fitted detector."""
    _check_name("model", name, one)
    budgets = one.mapping("budgets", required=True)
    found = {} if budgets is None else {
        level: budgets.number(level, 0.0, 1e-3, 10_000.0) for level in LEVELS[1:] if budgets.has(level)
    }  # fmt: skip
    if budgets is not None:
        budgets.finish(LEVELS[1:])
        if list(found.values()) != sorted(found.values(), reverse=True):
            one.wrong("budgets", "model.budgets", "a higher level has a larger budget", "watch ≥ challenge ≥ restrict")
    monotone = dict.fromkeys(one.texts("rising"), 1)
    falling = one.texts("falling")
    for both in sorted(set(falling) & set(monotone)):
        one.wrong("falling", "model.monotone", f"{both!r} is rising and falling")
    definition = ModelDefinition(
        id=name,
        threat=one.text("threat", required=True),
        on=one.text("on", required=True),
        inputs=one.texts("inputs", required=True),
        labels=one.texts("labels", required=True),
        subject=one.choice("subject", SUBJECTS, "account"),
        budgets=found,
        monotone=monotone | dict.fromkeys(falling, -1),
        description=" ".join(one.text("description", required=True).split()),
        origin=one.where,
    )
    one.finish()
    return definition


def _check_name(what: str, name: str, one: Reader) -> None:
    if not NAME.match(name):
        one.problems.append(Problem(f"{what}.name", f"{name!r} is no {what} name", one.where, NAME_FORM))
