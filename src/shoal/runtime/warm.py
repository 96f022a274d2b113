"""Compiling every kernel of the way from bytes to decisions: tens of seconds once, then from the cache within a second
or two."""

from __future__ import annotations

from collections.abc import Callable

from shoal.enrich import Enricher, FactTable
from shoal.events.formats import native
from shoal.events.identity import Identity
from shoal.expressions.program import warm as warm_expressions
from shoal.runtime.engine import Engine


def warm(engine: Engine, stage: Callable[[str], None] = lambda _: None) -> None:
    """Compile, or load from the cache, the kernels of reading, enriching and deciding."""
    parts = (
        ("reading", native.warm),
        ("facts", FactTable(Identity(bytes(16))).warm),
        ("enrichment", Enricher().warm),
        ("expressions", warm_expressions),
        ("features, rules, policy", engine.warm),
    )
    for place, (name, compile_part) in enumerate(parts, start=1):
        stage(f"compiling kernels, once: {name} ({place} of {len(parts)})")
        compile_part()
