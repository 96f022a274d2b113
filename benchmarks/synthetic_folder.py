"""The synthetic pack written as a pack folder, so that the pipeline benchmark runs what a team would run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from benchmarks.synthetic_pack import FEATURES_45, RULE_LISTS, RULES_40

_SUBJECTS = {"stuffing": "ip", "signup": "ip", "automation": "ip"}
_RENAMED = {str(feature["id"]): str(feature["id"]).replace(".", "_") for feature in FEATURES_45}
_SECONDS = {"window_s": "window", "bucket_s": "bucket", "half_life_s": "half_life"}


def _plain(text: str) -> str:
    """A condition with feature names as a pack spells them."""
    for dotted in sorted(_RENAMED, key=len, reverse=True):
        text = text.replace(f'"{dotted}"', _RENAMED[dotted]).replace(dotted, _RENAMED[dotted])
    return text


def _feature(feature: dict[str, object]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in feature.items():
        if name == "id" or value in ((), None):
            continue
        if name in _SECONDS:
            found[_SECONDS[name]] = f"{int(float(str(value)))}s"
        elif name == "key":
            assert isinstance(value, tuple)
            found[name] = value[0] if len(value) == 1 else list(value)
        else:
            found[name] = _plain(str(value)) if name in ("where", "expression") else value
    return found


def write_pack(folder: Path) -> Path:
    """Write the pack of 45 features and 40 rules; returns the folder."""
    for name in ("features", "rules", "lists"):
        (folder / name).mkdir(parents=True)
    head = {"format": "shoal.pack", "version": 1, "name": "synthetic", "pack_version": "1.0", "description": "speed"}
    features = {_RENAMED[str(feature["id"])]: _feature(feature) for feature in FEATURES_45}
    threat = {
        "role": "perpetrator",
        "description": "any",
        "steps": [{"tier": "watch", "severity": "low"}, {"tier": "challenge", "severity": "high"}],
        "actions": [{"action": "watch", "from": "watch", "lease": "1h"}],
    }
    _write(folder / "pack.yaml", head)
    _write(folder / "features" / "all.yaml", {"format": "shoal.features", "version": 1, "features": features})
    _write(folder / "policy.yaml", {"format": "shoal.policy", "version": 1, "threats": {"abuse": threat}})
    groups: dict[str, dict[str, Any]] = {}
    for name, condition in RULES_40:
        group = name.split(".")[0]
        groups.setdefault(group, {})[name] = {
            "title": name,
            "threat": "abuse",
            "subject": _SUBJECTS.get(group, "account"),
            "severity": "medium",
            "condition": _plain(condition),
            "reason": "{account} from {ip}",
            "description": "as a team would write it",
            "false_positives": ["synthetic"],
            "evasion": "synthetic",
        }
    for group, rules in groups.items():
        _write(folder / "rules" / f"{group}.yaml", {"format": "shoal.rules", "version": 1, "rules": rules})
    for name, entries in RULE_LISTS.items():
        (folder / "lists" / f"{name}.txt").write_text("\n".join(entries) + "\n", encoding="utf-8")
    return folder


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
