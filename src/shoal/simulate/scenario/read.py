"""Reads scenario files: YAML to `Scenario`, with all mistakes reported together, each with its file and line.

The YAML is walked as a tree of nodes (never constructed into objects by tag), so every problem knows its line. Keys
that are not in the schema are refused with the nearest known one. This module keeps no state.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from shoal.errors import InvalidInput, Problem, Where, nearest_name
from shoal.simulate.scenario.adversaries import ADVERSARIES, Operation
from shoal.simulate.scenario.schema import SCENARIO_VERSION, Scenario

MAX_BYTES = 1 << 20
MAX_DEPTH = 20
_TAGGED: Mapping[str, Mapping[str, type[Any]]] = {"adversaries": ADVERSARIES}
_NUMBER = re.compile(r"[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?")
_MISSING = object()


def builtin_scenarios() -> tuple[str, ...]:
    """Names of the scenarios that are shipped."""
    folder = resources.files("shoal.simulate") / "scenarios"
    return tuple(sorted(entry.name[:-5] for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def builtin_scenario(name: str) -> Scenario:
    """A shipped scenario. Raises `InvalidInput` (`scenario.unknown`) with the nearest name."""
    known = builtin_scenarios()
    if name not in known:
        raise InvalidInput(
            Problem(
                "scenario.unknown",
                f"no shipped scenario is called {name!r}",
                allowed=", ".join(known),
                nearest=nearest_name(name, known),
            )
        )
    text = (resources.files("shoal.simulate") / "scenarios" / f"{name}.yaml").read_text(encoding="utf-8")
    return parse_scenario(text, f"{name}.yaml")


def read_scenario(path: Path) -> Scenario:
    """The scenario in a file. Raises `InvalidInput` with all problems together."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        detail = error.strerror or str(error)
        raise InvalidInput(Problem("scenario.unreadable", detail, Where(str(path)))) from None
    if len(raw) > MAX_BYTES:
        message = f"the file has {len(raw):,} bytes"
        raise InvalidInput(Problem("scenario.too_large", message, Where(str(path)), allowed=f"{MAX_BYTES:,} bytes"))
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        message = f"byte {error.start} is not UTF-8"
        raise InvalidInput(Problem("scenario.encoding", message, Where(str(path)))) from None
    return parse_scenario(text, str(path))


def parse_scenario(text: str, file: str = "<scenario>") -> Scenario:
    """The scenario in a text. Raises `InvalidInput` with all problems together (slugs `scenario.*`)."""
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                where = Where(file, event.start_mark.line + 1 if event.start_mark else 0)
                raise InvalidInput(Problem("scenario.yaml", "nested too deeply", where, allowed=f"{MAX_DEPTH} levels"))
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        detail = error.problem or error.context or "cannot be read"
        raise InvalidInput(Problem("scenario.yaml", f"not YAML: {detail}", Where(file, line))) from None
    except yaml.YAMLError as error:
        raise InvalidInput(Problem("scenario.yaml", f"not YAML: {error}".split("\n")[0], Where(file))) from None
    reader = _Reader(file)
    scenario = reader.object(root, Scenario, "") if root is not None else None
    if root is None:
        reader.problems.append(Problem("scenario.empty", "the file is empty", Where(file)))
    if isinstance(scenario, Scenario) and root is not None:
        reader.check_whole(scenario, root)
    if reader.problems or not isinstance(scenario, Scenario):
        raise InvalidInput(reader.problems)
    return scenario


class _Reader:
    """Collects problems while it walks."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []

    def _where(self, node: yaml.Node, path: str) -> Where:
        return Where(self.file, node.start_mark.line + 1, path)

    def _wrong(self, slug: str, message: str, node: yaml.Node, path: str, **more: str) -> Any:
        self.problems.append(Problem(f"scenario.{slug}", message, self._where(node, path), **more))
        return _MISSING

    def object(self, node: yaml.Node, cls: type[Any], path: str) -> Any:
        """A dataclass from a mapping; `_MISSING` when it could not be made."""
        if not isinstance(node, yaml.MappingNode):
            return self._wrong("type", f"{path or 'the file'} is {_what(node)}", node, path, allowed="a mapping")
        fields = {item.name: item for item in dataclasses.fields(cls)}
        hints = typing.get_type_hints(cls)
        values: dict[str, Any] = {}
        before = len(self.problems)
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else ""
            at = f"{path}.{key}" if path else key
            if key in seen:
                self._wrong("key_twice", f"{key!r} is given twice, first on line {seen[key]}", key_node, path)
                continue
            seen[key] = key_node.start_mark.line + 1
            if key not in fields:
                near = nearest_name(key, fields)
                self._wrong("key", f"no key {key!r} here", key_node, path, nearest=near, allowed=", ".join(fields))
                continue
            value = self.value(value_node, _said(hints[key]), fields[key].metadata, at)
            if value is not _MISSING:
                values[key] = value
        for name, item in fields.items():
            if item.metadata.get("required") and name not in seen:
                self._wrong("required", f"{name!r} is missing", node, path, hint=item.metadata["doc"])
        if len(self.problems) > before:
            return _MISSING
        return cls(**values)

    def value(self, node: yaml.Node, hint: Any, meta: Mapping[str, Any], path: str) -> Any:
        """One value of a field, of whatever type its hint says."""
        if "tagged" in meta or "item" in meta:
            return self.objects(node, meta, path)
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            return self.object(node, hint, path)
        if meta.get("moment"):
            return self.moment(node, path)
        if "length" in meta:
            return self.numbers(node, meta, path)
        if hint is bool:
            if isinstance(node, yaml.ScalarNode) and node.tag == "tag:yaml.org,2002:bool":
                return node.value.lower() in ("true", "yes", "on")
            return self._wrong("type", f"{path} is {_what(node)}", node, path, allowed="true, false")
        if hint in (int, float):
            return self.number(node, hint, meta, path)
        return self.text(node, meta, path)

    def text(self, node: yaml.Node, meta: Mapping[str, Any], path: str) -> Any:
        """A text, of the choices or pattern that the field states."""
        if not isinstance(node, yaml.ScalarNode) or node.tag == "tag:yaml.org,2002:null":
            return self._wrong("type", f"{path} is {_what(node)}", node, path, allowed="a text")
        value = node.value
        if "choices" in meta and value not in meta["choices"]:
            near = nearest_name(value, meta["choices"])
            allowed = ", ".join(meta["choices"])
            return self._wrong("choice", f"{path} is {value!r}", node, path, allowed=allowed, nearest=near)
        if "pattern" in meta and not re.fullmatch(meta["pattern"], value):
            country = meta["pattern"].startswith(("[A-Z]{2}", "([A-Z]{2}")) and node.tag.endswith(":bool")
            hint = "put NO in quotes" if country else ""
            return self._wrong("pattern", f"{path} is {value!r}", node, path, allowed=meta["pattern"], hint=hint)
        if len(value) > 1000:
            return self._wrong("range", f"{path} has {len(value):,} characters", node, path, allowed="1,000")
        return value

    def number(self, node: yaml.Node, hint: type, meta: Mapping[str, Any], path: str) -> Any:
        """A number inside its range."""
        kind = "a whole number" if hint is int else "a number"
        if not isinstance(node, yaml.ScalarNode) or node.style in ("'", '"') or not _NUMBER.fullmatch(node.value):
            return self._wrong("type", f"{path} is {_what(node)}", node, path, allowed=kind)
        value = float(node.value.replace("_", ""))
        lo, hi = meta.get("lo"), meta.get("hi")
        if (lo is not None and value < lo) or (hi is not None and value > hi):
            return self._wrong("range", f"{path} is {node.value}", node, path, allowed=f"{lo:,} to {hi:,}")
        if hint is int:
            if value != int(value):
                return self._wrong("type", f"{path} is {node.value}", node, path, allowed=kind)
            return int(value)
        return value

    def numbers(self, node: yaml.Node, meta: Mapping[str, Any], path: str) -> Any:
        """A list of a stated length of numbers, not all zero."""
        wanted = f"a list of {meta['length']} numbers"
        if not isinstance(node, yaml.SequenceNode) or len(node.value) != meta["length"]:
            return self._wrong("type", f"{path} is {_what(node)}", node, path, allowed=wanted)
        found = [self.number(item, float, meta, f"{path}[{i}]") for i, item in enumerate(node.value)]
        if any(item is _MISSING for item in found):
            return _MISSING
        if sum(found) <= 0:
            return self._wrong("range", f"{path} is zero throughout", node, path, allowed=wanted)
        return tuple(found)

    def moment(self, node: yaml.Node, path: str) -> Any:
        """µs UTC of an ISO 8601 date or time; without an offset it is UTC."""
        wanted = "a date or time as in 2025-03-03 or 2025-03-03T00:00:00Z, years 1990 to 2100"
        try:
            value = datetime.fromisoformat(node.value if isinstance(node, yaml.ScalarNode) else "")
        except ValueError:
            return self._wrong("moment", f"{path} is {_what(node)}", node, path, allowed=wanted)
        value = value.replace(tzinfo=UTC) if value.tzinfo is None else value
        if not 1990 <= value.year <= 2100:
            return self._wrong("moment", f"{path} is {node.value}", node, path, allowed=wanted)
        return int(value.timestamp()) * 1_000_000

    def objects(self, node: yaml.Node, meta: Mapping[str, Any], path: str) -> Any:
        """A list of mappings, all of one dataclass or chosen by their `kind`."""
        if not isinstance(node, yaml.SequenceNode):
            return self._wrong("type", f"{path} is {_what(node)}", node, path, allowed="a list")
        least, most = meta.get("least", 0), meta.get("most", 10_000)
        if not least <= len(node.value) <= most:
            return self._wrong(
                "range", f"{path} has {len(node.value)} entries", node, path, allowed=f"{least} to {most}"
            )
        found = []
        for i, item in enumerate(node.value):
            cls = meta.get("item") or self.tagged(item, _TAGGED[meta["tagged"]], f"{path}[{i}]")
            found.append(self.object(item, cls, f"{path}[{i}]") if cls is not None else _MISSING)
        return _MISSING if any(item is _MISSING for item in found) else tuple(found)

    def tagged(self, node: yaml.Node, known: Mapping[str, type[Any]], path: str) -> type[Any] | None:
        """The dataclass that a mapping's `kind` names."""
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        kinds = [value for key, value in pairs if isinstance(key, yaml.ScalarNode) and key.value == "kind"]
        if not kinds or not isinstance(kinds[0], yaml.ScalarNode):
            self._wrong("required", "'kind' is missing", node, path, allowed=", ".join(known))
            return None
        name = kinds[0].value
        if name not in known:
            near = nearest_name(name, known)
            self._wrong("choice", f"kind is {name!r}", kinds[0], f"{path}.kind", allowed=", ".join(known), nearest=near)
            return None
        return known[name]

    def check_whole(self, scenario: Scenario, root: yaml.Node) -> None:
        """What concerns several fields."""
        if scenario.shoal_scenario != SCENARIO_VERSION:
            message = f"version {scenario.shoal_scenario} of the format is not known"
            self._wrong("version", message, root, "shoal_scenario", allowed=str(SCENARIO_VERSION))
        lists = {key.value: value for key, value in root.value if isinstance(value, yaml.SequenceNode)}
        countries = {home.country for home in scenario.homes}
        seen: dict[str, int] = {}
        for i, adversary in enumerate(scenario.adversaries):
            node, path = lists["adversaries"].value[i], f"adversaries[{i}]"
            if adversary.id in seen:
                self._wrong("id_twice", f"the id {adversary.id!r} is also that of {seen[adversary.id]}", node, path)
            seen[adversary.id] = i
            if adversary.start_day >= scenario.days:
                message = f"start_day {adversary.start_day:g} is after the end"
                self._wrong("range", message, node, path, allowed=f"below {scenario.days}")
            if isinstance(adversary, Operation) and adversary.aged_share + adversary.hijacked_share > 1:
                message = f"aged_share and hijacked_share make {adversary.aged_share + adversary.hijacked_share:g}"
                self._wrong("range", message, node, path, allowed="1 together, at most")
        for i, happening in enumerate(scenario.calendar):
            node, path = lists["calendar"].value[i], f"calendar[{i}]"
            if happening.day >= scenario.days:
                message = f"day {happening.day:g} is after the end"
                self._wrong("range", message, node, path, allowed=f"below {scenario.days}")
            if happening.country and happening.country not in countries:
                near = nearest_name(happening.country, countries)
                message = f"nobody lives in {happening.country!r}"
                allowed = ", ".join(sorted(countries))
                self._wrong("choice", message, node, path, allowed=allowed, nearest=near)
        self.check_expectations(scenario, root)
        for name in ("uploads", "downloads"):
            if getattr(scenario.activity, name) <= 0:
                self._wrong("range", f"activity.{name} is 0", root, f"activity.{name}", allowed="above 0")

    def check_expectations(self, scenario: Scenario, root: yaml.Node) -> None:
        """Expectations speak of attacks that are there, and ask something."""
        ids = {adversary.id for adversary in scenario.adversaries}
        kinds = {adversary.kind for adversary in scenario.adversaries}
        expect = scenario.expect
        for i, wanted in enumerate(expect.attacks):
            node, path = _at(root, "expect", "attacks", i), f"expect.attacks[{i}]"
            if bool(wanted.attack) == bool(wanted.kind):
                self._wrong("expect", "says neither or both of 'attack' and 'kind'", node, path, allowed="one of them")
            for name, value, known in (("attack", wanted.attack, ids), ("kind", wanted.kind, kinds)):
                if value and value not in known:
                    near, allowed = nearest_name(value, known), ", ".join(sorted(known))
                    message = f"no {name} {value!r} in this scenario"
                    self._wrong("choice", message, _at(node, name), f"{path}.{name}", allowed=allowed, nearest=near)
            if wanted.caught_share is None and wanted.within_h is None and wanted.harmful_before is None:
                allowed = "caught_share, within_h, harmful_before"
                self._wrong("expect", "expects nothing", node, path, allowed=allowed)
        if expect.count and expect.warm_up_days >= scenario.days:
            where = next((value for key, value in root.value if key.value == "expect"), root)
            message = f"the warm-up of {expect.warm_up_days:g} days leaves no day to judge"
            self._wrong("range", message, where, "expect.warm_up_days", allowed=f"below {scenario.days}")


def _said(hint: Any) -> Any:
    """The type of a field that may be left out: `float | None` is a float in a file."""
    said = [option for option in typing.get_args(hint) if option is not type(None)]
    return said[0] if isinstance(hint, types.UnionType) and len(said) == 1 else hint


def _at(node: yaml.Node, *path: str | int) -> yaml.Node:
    """The node at a path of keys and places that is known to be there."""
    for step in path:
        if isinstance(node, yaml.MappingNode):
            node = next(value for key, value in node.value if key.value == step)
        else:
            node = node.value[step]
    return node


def _what(node: yaml.Node) -> str:
    """What a node is, in words for a message."""
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return f"a list of {len(node.value)}"
    return "nothing" if node.tag == "tag:yaml.org,2002:null" else repr(str(node.value)[:60])
