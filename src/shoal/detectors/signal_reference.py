"""The reference of signals in words: each kind with its settings and columns, as Markdown. Read from the code, so that
the page cannot say otherwise. No state.
"""

from __future__ import annotations

from shoal.detectors.signal_kinds import KINDS
from shoal.detectors.signals import Setting, Signal


def reference() -> str:
    """All kinds, by name."""
    return "\n".join(describe(name) for name in sorted(KINDS))


def describe(name: str) -> str:
    """One kind."""
    kind = KINDS[name]
    first = " ".join((kind.__doc__ or "").strip().split("\n\n")[0].split())
    lines = [
        f"### `{name}`",
        "",
        first,
        *(["", "Takes up [published tables](#published-tables)."] if kind.takes_tables else []),
        "",
        "| setting | kind | default | allowed | meaning |",
        "|---|---|---|---|---|",
    ]
    lines += [_setting(key, setting) for key, setting in kind.settings.items()]
    lines += ["", "| column | kind | what it says |", "|---|---|---|"]
    lines += [_output(key, kind) for key in kind.outputs({k: s.default for k, s in kind.settings.items()})]
    return "\n".join([*lines, ""])


def _setting(key: str, setting: Setting) -> str:
    default = setting.default
    if isinstance(default, tuple):
        shown = ", ".join(default) or "none"
    elif setting.kind == "seconds":
        shown = _span(float(default))
    else:
        shown = f"{default:g}" if isinstance(default, float) else str(default)
    if setting.kind == "word":
        allowed = ", ".join(setting.allowed)
    elif setting.kind == "seconds":
        allowed = f"{_span(setting.low)} to {_span(setting.high)}"
    elif setting.kind in ("number", "integer"):
        allowed = f"{setting.low:,.10g} to {setting.high:,.10g}"
    else:
        allowed = "SQL over event columns" if setting.kind == "condition" else "event columns"
    return f"| `{key}` | {setting.kind} | {_cell(shown)} | {_cell(allowed)} | {_cell(setting.doc)} |"


def _output(key: str, kind: type[Signal]) -> str:
    found = kind.outputs({name: setting.default for name, setting in kind.settings.items()})[key]
    unit = f" ({found.unit})" if found.unit else ""
    return f"| `{key}` | {found.kind.name.lower()} | {_cell(found.doc)}{unit} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _span(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"
