"""Definitions of a pack laid over those that it inherits: nothing is shadowed in silence.

A definition whose id is inherited is an error, unless the pack says `replaces` for it; `overrides` changes single
fields of an inherited definition, and `disable` leaves one out. Values keep the place where they stand, so that a
problem points into the pack that caused it. Works on trees; what definitions mean is read afterwards. No state.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from shoal.errors import Problem, Where, nearest_name
from shoal.packs.fields import Reader
from shoal.packs.folder import SECTIONS, Raw, Reading
from shoal.packs.yamltree import Node


@dataclass
class Inherited:
    """What a pack passes on: definitions by section and id, and settings (None: nobody said)."""

    sections: dict[str, dict[str, Reader]] = field(default_factory=lambda: {name: {} for name in SECTIONS})
    lateness_s: int | None = None
    evidence_s: int | None = None
    disabled: list[str] = field(default_factory=list)


def lay_over(parents: Sequence[tuple[str, Inherited]], own: Raw, reading: Reading) -> Inherited:
    """The definitions of `own` over those of its parents (name and what each passes on)."""
    merged, problems = Inherited(), reading.problems
    replaced, disabled = _ids(own.replaces, problems), _ids(own.disable, problems)
    changed = _overrides(own.overrides, problems)
    for section in SECTIONS:
        found = _together(section, parents, replaced[section], disabled[section], own, reading)
        mine = own.sections[section]
        _check(section, own, found, {*replaced[section]}, "replaces", replaced, problems)
        _check(section, own, found, {*disabled[section]}, "disable", disabled, problems)
        for name, one in changed[section].items():
            if name in mine or name not in found or name in disabled[section]:
                problems.append(_cannot_override(section, name, one, found, name in mine))
            else:
                found[name] = _changed(found[name], one, reading)
        for name, where in replaced[section].items():
            if name not in mine:
                message = f"{section[:-1] if section.endswith('s') else section} {name!r} is not defined here"
                problems.append(Problem("pack.replaces_nothing", message, where, ", ".join(mine)))
        for name in disabled[section]:
            if found.pop(name, None) is not None:
                merged.disabled.append(f"{section}.{name}")
        for name, one in mine.items():
            if name in found and name not in replaced[section]:
                problems.append(_shadows(section, name, one, found[name]))
            found[name] = one
        merged.sections[section] = found
    merged.disabled += [name for _, parent in parents for name in parent.disabled]
    merged.lateness_s = _setting("lateness", own.lateness_s, [p.lateness_s for _, p in parents], own, problems)
    merged.evidence_s = _setting("evidence", own.evidence_s, [p.evidence_s for _, p in parents], own, problems)
    return merged


def _together(
    section: str,
    parents: Sequence[tuple[str, Inherited]],
    replaced: dict[str, Where],
    disabled: dict[str, Where],
    own: Raw,
    reading: Reading,
) -> dict[str, Reader]:
    """The definitions of all parents; two that give one id must be told apart here."""
    found: dict[str, Reader] = {}
    for _, parent in parents:
        for name, one in parent.sections[section].items():
            if name in found and name not in replaced and name not in disabled:
                where = own.extends[0][1]
                message = f"{section}: two packs that this one builds on define {name!r}"
                hint = f"{found[name].where} and {one.where}; replace or disable it here"
                reading.problems.append(Problem("pack.conflict", message, where, hint=hint))
            found[name] = one
    return found


def _shadows(section: str, name: str, one: Reader, other: Reader) -> Problem:
    message = f"{name!r} is inherited from {other.where}"
    hint = f"say `replaces: {{{section}: [{name}]}}` in pack.yaml, or change fields under `overrides`"
    return Problem("pack.shadows", message, one.where, hint=hint)


def _cannot_override(section: str, name: str, one: Reader, found: dict[str, Reader], mine: bool) -> Problem:
    if mine:
        return Problem("pack.overrides_own", f"{name!r} is defined in this pack", one.where, hint="change it there")
    if name in found:
        return Problem("pack.overrides_disabled", f"{name!r} is disabled and overridden", one.where)
    message = f"{section}: no inherited {name!r} to override"
    return Problem("pack.unknown_override", message, one.where, nearest=nearest_name(name, found))


def _check(
    section: str,
    own: Raw,
    found: dict[str, Reader],
    names: set[str],
    verb: str,
    places: dict[str, dict[str, Where]],
    problems: list[Problem],
) -> None:
    """Refuse ids that are not inherited."""
    for name in sorted(names - set(found)):
        message = f"{verb}: no inherited {name!r} in {section}"
        if name in own.sections[section] and verb == "disable":
            message = f"disable: {name!r} is defined in this pack"
        near = nearest_name(name, found)
        problems.append(Problem("pack.unknown_override", message, places[section][name], nearest=near))


def _ids(reader: Reader | None, problems: list[Problem]) -> dict[str, dict[str, Where]]:
    """Ids by section, each with its place."""
    listed: dict[str, dict[str, Where]] = {section: {} for section in SECTIONS}
    if reader is None:
        return listed
    for section in SECTIONS:
        names = reader.texts(section)
        node = reader.node.entries.get(section)
        items = [] if node is None else node.items if node.kind == "sequence" else [node]
        for i, name in enumerate(names):
            if name in listed[section]:
                problems.append(Problem("pack.choice", f"{name!r} is named twice", reader.place(section)))
            place = reader.place(section)
            line = items[i].line if len(items) == len(names) else place.line
            listed[section][name] = Where(place.file, line, place.path)
    reader.finish()
    return listed


def _overrides(reader: Reader | None, problems: list[Problem]) -> dict[str, dict[str, Reader]]:
    """`overrides`: section → id → the fields that change."""
    listed: dict[str, dict[str, Reader]] = {section: {} for section in SECTIONS}
    if reader is None:
        return listed
    for section in SECTIONS:
        found = reader.mapping(section)
        for name, one in () if found is None else found.children():
            if not one.node.entries:
                problems.append(Problem("pack.empty", f"the override of {name!r} changes nothing", one.where))
            listed[section][name] = one
    reader.finish()
    return listed


def _changed(base: Reader, change: Reader, reading: Reading) -> Reader:
    """A definition with the fields of an override; `null` takes one away, `add` and `remove` change list entries."""
    entries, keys = dict(base.node.entries), dict(base.node.keys)
    for key, node in change.node.entries.items():
        line, path = change.node.keys[key], f"{change.path}.{key}"
        if key in ("add", "remove") and "entries" in entries:
            entries["entries"] = _entries(entries["entries"], key, change, reading.problems)
            continue
        if node.kind == "null":
            entries.pop(key, None)
            continue
        node.home = (change.file, path)
        entries[key], keys[key] = node, line
        own = f"{base.path}.{key}" if base.path else key
        reading.lines[base.file, own] = Where(change.file, line, path)
    node = Node("mapping", base.node.line, entries=entries, keys=keys)
    return Reader(node, base.file, base.path, base.problems)


def _entries(listed: Node, verb: str, change: Reader, problems: list[Problem]) -> Node:
    """Entries of a list with some added or removed; what is removed must stand there."""
    given = change.texts(verb)
    there = listed.items if listed.kind == "sequence" else [listed]
    items = [item for item in there if verb == "add" or item.text.strip() not in given]
    known = {item.text.strip() for item in there}
    for text in given if verb == "remove" else ():
        if text not in known:
            near = nearest_name(text, known)
            message = f"the list has no entry {text!r} to remove"
            problems.append(Problem("pack.unknown_override", message, change.place(verb), nearest=near))
    if verb == "add":
        line = change.node.keys["add"]
        items += [Node("text", line, text) for text in given]
    return Node("sequence", listed.line, items=items, home=listed.home)


def _setting(name: str, own: int | None, given: Sequence[int | None], raw: Raw, problems: list[Problem]) -> int | None:
    """A setting: the pack's own, else the one on which its parents agree."""
    if own is not None:
        return own
    said = sorted({value for value in given if value is not None})
    if len(said) > 1:
        message = f"the packs that this one builds on differ in {name}: {', '.join(f'{value} s' for value in said)}"
        problems.append(Problem("pack.conflict", message, raw.extends[0][1], hint=f"say {name} here"))
    return said[0] if said else None


def definitions_of(merged: Inherited, section: str) -> Iterator[tuple[str, Reader]]:
    """The definitions of one section, inherited ones first."""
    yield from merged.sections[section].items()
