"""What a pack offers to fitted detectors: every column with a hash of its meaning, so that a model refuses one that
has come to mean something else under the same name. No state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from shoal.detectors.models.definition import Input
from shoal.detectors.signal_kinds import signal_columns
from shoal.events.schema import BY_NAME, Kind
from shoal.expressions.compile import Scope, compile_expression
from shoal.features.definitions import FeatureDefinition
from shoal.packs.pack import Pack


def offered_inputs(pack: Pack, measures: Mapping[str, str] | None = None) -> dict[str, Input]:
    """All columns of kind BOOL, INT and FLOAT of a pack: event columns, attributes, features, signals. `measures`: by
    the id of a signal, the hash of published tables under which its columns mean what they do."""
    given = measures or {}
    numbers = (Kind.BOOL, Kind.INT, Kind.FLOAT)
    found = {
        name: Input(name, kind, "column", BY_NAME[name].doc)
        for name, kind in pack.event_columns.items()
        if name in BY_NAME and kind in numbers
    }
    for one in pack.attributes.values():
        if one.kind in numbers:
            found[one.name] = Input(one.name, one.kind, _hash("attribute", one.path), one.path)
    known = {feature.id: feature for feature in pack.features}
    scope = Scope({**pack.event_columns, **pack.feature_kinds}, frozenset(pack.lists))
    hashes: dict[str, str] = {}
    for feature in pack.features:
        kind = pack.feature_kinds[feature.id]
        if kind in numbers:
            text = feature.description or feature.id.replace("_", " ")
            found[feature.id] = Input(feature.id, kind, _meaning(feature, known, scope, hashes), text, feature.unit)
    for signal in pack.signals:
        meaning = _hash(signal.hash, given[signal.id]) if signal.id in given else signal.hash
        for name, output in signal_columns(signal).items():
            if output.kind in numbers:
                found[name] = Input(name, output.kind, meaning, output.doc, output.unit)
    return found


def _meaning(
    feature: FeatureDefinition, known: Mapping[str, FeatureDefinition], scope: Scope, hashes: dict[str, str]
) -> str:
    """A feature's hash; that of a derived one covers the features that it reads."""
    if feature.id not in hashes:
        if feature.operation == "derived" and feature.expression:
            read = compile_expression(feature.expression, scope, feature.origin).columns & set(known)
            below = [_meaning(known[name], known, scope, hashes) for name in sorted(read)]
            hashes[feature.id] = _hash(feature.hash, *below)
        else:
            hashes[feature.id] = feature.hash
    return hashes[feature.id]


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
