"""Reading a pack: a folder, or the name of one that ships or is installed, becomes a checked `Pack`.

Its folder and those of the packs that it builds on are read to raw definitions (`folder`), laid over one another
(`inherit`), and only then understood: so a changed field is judged in its place. All problems of all files are
collected and raised together, each with the file and line where the text stands, in whichever pack.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from shoal.errors import InvalidInput, Problem, Where
from shoal.events.schema import EVENT_COLUMNS, Kind
from shoal.packs.find import Found, Resolver, builtin_packs, find_pack, find_parent
from shoal.packs.folder import Raw, Reading, read_folder
from shoal.packs.inherit.merging import Inherited, definitions_of, lay_over
from shoal.packs.inherit.references import read_reference
from shoal.packs.learned.check import resolve_models, resolve_signals
from shoal.packs.learned.read import make_model, make_signal
from shoal.packs.learned.views import make_view, resolve_views
from shoal.packs.pack import Pack, PackSettings, RuleTest, Source, stated_kinds
from shoal.packs.relations.read import make_relation, resolve_relations
from shoal.packs.resolve import pack_hash, resolve_features, resolve_rules
from shoal.packs.sections import make_allow, make_attribute, make_feature, make_rule, make_threat, read_list
from shoal.packs.testfile import read_tests
from shoal.policy.checks import policy_problems
from shoal.policy.definitions import Policy

__all__ = ["builtin_packs", "load_pack"]

MAX_RULES = 1_000
MAX_DEPTH = 8
MAX_PARENTS = 32


def load_pack(source: str | Path, resolver: Resolver = find_parent) -> Pack:
    """Read the pack in folder `source`, or the pack of that name: built in, else installed (`name`, `name ==1.2`).

    `resolver` finds the packs that it builds on. Raises `InvalidInput` with all problems (slugs `pack.*`, `yaml.*`,
    `features.*`, `rule.*`, `reason.*`, `policy.*`, `allow.*`, `test.*`, `expression.*`). Costs about a second for 100
    rules.
    """
    found = find_pack(source)
    loading = _Loading(resolver)
    raw, merged = loading.gather(found, ())
    pack = None if raw is None else loading.understand(raw, merged)
    if loading.reading.problems or pack is None:
        problems = {loading.placed(problem): None for problem in loading.reading.problems}
        raise InvalidInput(sorted(problems, key=lambda p: (p.where.file, p.where.line)))
    return pack


@dataclass
class _Loading:
    """One reading of a pack with all that it builds on."""

    resolver: Resolver
    reading: Reading = field(default_factory=Reading)
    sources: list[Source] = field(default_factory=list)
    seen: dict[Path, Where] = field(default_factory=dict)

    def placed(self, problem: Problem) -> Problem:
        """The problem with the place of the very value, found by the path of its field (`window_s`: window)."""
        where, lines = problem.where, self.reading.lines
        found = lines.get((where.file, where.path)) or lines.get((where.file, where.path.removesuffix("_s")))
        return problem if found is None else replace(problem, where=Where(found.file, found.line, found.path))

    def gather(self, found: Found, chain: tuple[Path, ...]) -> tuple[Raw | None, Inherited]:
        """Read a folder, then the packs that it builds on, and lay them together."""
        raw = read_folder(found.folder, found.shown, self.reading)
        if raw is None:
            return None, Inherited()
        here = found.folder.resolve()
        place = len(self.sources)
        self.sources.append(Source(raw.name, raw.version, found.folder, found.shown))
        parents, links = [], []
        for text, where in raw.extends:
            parent = self._parent(text, where, raw, (*chain, here))
            if parent is None:
                continue
            links.append((text, parent.folder))
            parent_raw, passed = self.gather(parent, (*chain, here))
            if parent_raw is not None:
                self._check_version(text, where, parent_raw)
                parents.append((parent_raw.name, passed))
        self.sources[place] = replace(self.sources[place], extends=tuple(links))
        return raw, lay_over(parents, raw, self.reading)

    def _parent(self, text: str, where: Where, raw: Raw, chain: tuple[Path, ...]) -> Found | None:
        problems = self.reading.problems
        reference = read_reference(text, where, problems)
        parent = None if reference is None else self.resolver(reference, raw.folder, where, problems)
        if parent is None:
            return None
        folder = parent.folder.resolve()
        if folder in chain:
            names = " → ".join((*(path.name for path in chain[chain.index(folder) :]), folder.name))
            problems.append(Problem("pack.extends_cycle", f"packs build on one another in a circle: {names}", where))
        elif folder in self.seen:
            message = f"{text!r} is reached twice"
            hint = f"first at {self.seen[folder]}; build on it in one place"
            problems.append(Problem("pack.extends_twice", message, where, hint=hint))
        elif len(chain) >= MAX_DEPTH:
            problems.append(
                Problem("pack.extends_depth", "packs build on packs too deeply", where, f"{MAX_DEPTH} levels")
            )
        elif len(self.seen) >= MAX_PARENTS:
            problems.append(Problem("pack.extends_many", "too many packs to build on", where, f"at most {MAX_PARENTS}"))
        else:
            self.seen[folder] = where
            return parent
        return None

    def _check_version(self, text: str, where: Where, parent: Raw) -> None:
        reference = read_reference(text, where, [])
        if reference is not None and reference.name and reference.name != parent.name:
            message = f"the pack {reference.name!r} calls itself {parent.name!r}"
            self.reading.problems.append(Problem("pack.name", message, where))
        elif reference is not None and not reference.admits(parent.version):
            message = f"{parent.name} is {parent.version} here, {text!r} is asked for"
            hint = "an installed pack of the name of one that ships is never used"
            hint = hint if parent.name in builtin_packs() else ""
            self.reading.problems.append(Problem("pack.parent_version", message, where, hint=hint))

    def understand(self, raw: Raw, merged: Inherited) -> Pack:
        """Definitions as plain data, with names resolved across all of them."""
        problems = self.reading.problems
        made = [make_attribute(name, one) for name, one in definitions_of(merged, "attributes")]
        attributes = {one.name: one for one in made if one is not None}
        columns: dict[str, Kind] = {c.name: c.kind for c in EVENT_COLUMNS} | {a.name: a.kind for a in made if a}
        features = [make_feature(name, one) for name, one in definitions_of(merged, "features")]
        asked = [make_signal(name, one) for name, one in definitions_of(merged, "signals")]
        signals = tuple(one for one in asked if one is not None)
        models = tuple(make_model(name, one) for name, one in definitions_of(merged, "models"))
        relations = tuple(make_relation(name, one) for name, one in definitions_of(merged, "relations"))
        views = tuple(make_view(name, one) for name, one in definitions_of(merged, "views"))
        rules = tuple(make_rule(name, one) for name, one in definitions_of(merged, "rules"))
        if len(rules) > MAX_RULES:
            problems.append(Problem("pack.too_many_rules", f"{len(rules)} rules", allowed=f"at most {MAX_RULES}"))
        read = [read_list(one, name) for name, one in definitions_of(merged, "lists")]
        lists = {one.name: one for one in read if one is not None}
        threats = {name: make_threat(name, one) for name, one in definitions_of(merged, "threats")}
        allow = tuple(make_allow(one) for _, one in definitions_of(merged, "allow"))
        policy = Policy(threats, allow, merged.evidence_s or Policy.evidence_s)
        lateness_s = PackSettings.lateness_s if merged.lateness_s is None else merged.lateness_s
        settings = PackSettings(lateness_s)
        kinds = resolve_features(features, columns, frozenset(lists), problems)
        computed = {**kinds, **resolve_signals(signals, columns, frozenset(lists), problems)}
        computed |= resolve_models(models, columns, computed, frozenset(lists), threats, problems)
        resolve_relations(relations, columns, frozenset(lists), problems)
        resolve_views(views, columns, computed, frozenset(lists), problems)
        resolve_rules(rules, columns, computed, frozenset(lists), problems)
        problems.extend(policy_problems(policy, rules, columns, lists))
        tests: list[RuleTest] = []
        stated = stated_kinds(signals, models)
        for name, one in definitions_of(merged, "rules"):
            tests += read_tests(name, one, columns | stated)
        return Pack(
            name=raw.name,
            version=raw.version,
            description=raw.description,
            hash=pack_hash(attributes, settings, features, rules, policy, lists, signals, models),
            attributes=attributes,
            settings=settings,
            features=tuple(features),
            feature_kinds=kinds,
            rules=rules,
            policy=policy,
            lists=lists,
            tests=tuple(tests),
            sources=tuple(self.sources),
            disabled=tuple(merged.disabled),
            signals=signals,
            models=models,
            relations=relations,
            views=views,
        )
