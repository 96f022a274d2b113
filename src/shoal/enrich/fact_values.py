"""Fact records checked in bulk: a table of facts becomes arrays for the kernel, and the list of what was not taken.

A fact is `subject_type` (account, link, file), `subject`, `name`, `value` (text) and `time`, as `events.facts` says; a
null value makes the fact unknown again. Values: `created` integer microseconds UTC; `verified` `true` or `false`;
`sha256` 64 hexadecimal digits (held in lower case); `tier`, `org`, `owner` a text. A fact that is not so is returned
with its reason and changes nothing: nothing here raises on what a source sent. Pure functions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoal.enrich.facts_kernel import ACCOUNT, CREATED, FILE, FIRST, LINK, SALTS, SECOND, VERIFIED
from shoal.errors import InvalidInput, Problem
from shoal.events.identity import Identity
from shoal.ranges.addresses_kernel import plain_texts

SUBJECT_TYPES: tuple[str, ...] = ("account", "link", "file")
FIELDS: dict[tuple[int, str], int] = {
    (ACCOUNT, "created"): CREATED,
    (ACCOUNT, "verified"): VERIFIED,
    (ACCOUNT, "tier"): FIRST,
    (ACCOUNT, "org"): SECOND,
    (LINK, "created"): CREATED,
    (LINK, "owner"): FIRST,
    (FILE, "owner"): FIRST,
    (FILE, "sha256"): SECOND,
}
"""(subject type, name) → field of the record."""
NAMES: tuple[str, ...] = ("created", "tier", "org", "verified", "owner", "sha256")
MAX_FACT_TEXT = 1024
"""Bytes of a subject or a value; longer ones are no tier, owner or id of any service."""

_TEXT_COLUMNS = ("subject_type", "subject", "name", "value")
_FIELD_TABLE = np.full((len(SUBJECT_TYPES) + 1, len(NAMES) + 1), -1, dtype=np.int64)
for (_type, _name), _field in FIELDS.items():
    _FIELD_TABLE[_type, NAMES.index(_name)] = _field


@dataclass(frozen=True)
class RejectedFact:
    """A fact that was not taken: its index in the `facts` table given to `join`, a slug and a sentence."""

    index: int
    reason: str
    detail: str


@dataclass(frozen=True)
class CheckedFacts:
    """Facts for the kernel, in order of `row`: parallel arrays. `texts` are null where the field is not a text."""

    row: npt.NDArray[np.int64]
    key: npt.NDArray[np.int64]
    field: npt.NDArray[np.int64]
    known: npt.NDArray[np.bool_]
    number: npt.NDArray[np.int64]
    texts: pa.Array
    rejected: tuple[RejectedFact, ...]


def check_facts(facts: pa.Table, rows: int, identity: Identity) -> CheckedFacts:
    """Check a table of facts that stand among `rows` events; raises `InvalidInput` only for another shape."""
    _check_shape(facts)
    texts = {name: plain_texts(facts.column(name)) for name in _TEXT_COLUMNS}
    size = facts.num_rows
    why = np.full(size, "", dtype=object)
    kinds = _index_in(texts["subject_type"], SUBJECT_TYPES)
    names = _index_in(texts["name"], NAMES)
    field = _FIELD_TABLE[kinds, names]
    why[field < 0] = "fact.name"
    why[kinds < 0] = "fact.subject_type"
    lengths = np.asarray(pc.fill_null(pc.binary_length(texts["subject"]), 0))
    why[(lengths == 0) | (lengths > MAX_FACT_TEXT)] = "fact.subject"
    place = facts.column("row").combine_chunks()
    row = np.asarray(pc.fill_null(place, -1), dtype=np.int64)
    why[(row < 0) | (row > rows)] = "fact.row"
    known = np.asarray(texts["value"].is_valid())
    number, value_texts, wrong = _values(texts["value"], names, known)
    why[wrong & (why == "")] = "fact.value"
    good = np.flatnonzero(why == "")
    order = good[np.argsort(row[good], kind="stable")]
    rejected = tuple(_rejection(int(i), str(why[i]), facts, rows) for i in np.flatnonzero(why != ""))
    take = pa.array(order)
    key = identity.ids_of(texts["subject"].take(take)) ^ SALTS[kinds[order]]
    return CheckedFacts(row[order], key, field[order], known[order], number[order], value_texts.take(take), rejected)


def _check_shape(facts: pa.Table) -> None:
    problems = []
    for name in (*_TEXT_COLUMNS, "row"):
        if name not in facts.column_names:
            problems.append(Problem("facts.column", f"the table of facts has no column {name!r}"))
            continue
        kind = facts.schema.field(name).type
        text = pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_dictionary(kind)
        if (name == "row") != pa.types.is_integer(kind) or (name != "row" and not text):
            allowed = "int64" if name == "row" else "string"
            problems.append(Problem("facts.column", f"column {name!r} of the facts is {kind}", allowed=allowed))
    if problems:
        raise InvalidInput(problems)


def _index_in(texts: pa.Array, known: tuple[str, ...]) -> npt.NDArray[np.int64]:
    found = pc.index_in(texts, value_set=pa.array(known))
    return np.asarray(pc.fill_null(found, -1), dtype=np.int64)


def _values(
    values: pa.Array, names: npt.NDArray[np.int64], known: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.int64], pa.Array, npt.NDArray[np.bool_]]:
    """(numbers of the times and truths, texts of the rest, which values are of the wrong type)."""
    number = np.zeros(len(values), dtype=np.int64)
    wrong = np.zeros(len(values), dtype=np.bool_)
    times = np.flatnonzero(known & (names == NAMES.index("created")))
    if len(times):
        given = values.take(pa.array(times))
        plain = pc.match_substring_regex(given, r"^-?(0|[1-9][0-9]{0,17})$")
        wrong[times] = ~np.asarray(plain)
        number[times] = np.asarray(pc.if_else(plain, given, "0").cast(pa.int64()))
    truths = np.flatnonzero(known & (names == NAMES.index("verified")))
    if len(truths):
        index = _index_in(values.take(pa.array(truths)), ("false", "true"))
        wrong[truths] = index < 0
        number[truths] = np.maximum(index, 0)
    is_sha = names == NAMES.index("sha256")
    hashes = np.flatnonzero(known & is_sha)
    if len(hashes):
        wrong[hashes] = ~np.asarray(pc.match_substring_regex(values.take(pa.array(hashes)), r"^[0-9A-Fa-f]{64}$"))
        values = pc.if_else(pa.array(is_sha), pc.utf8_lower(values), values)
    is_text = known & ~np.isin(names, [NAMES.index("created"), NAMES.index("verified")])
    lengths = np.asarray(pc.fill_null(pc.binary_length(values), 0))
    wrong |= is_text & ((lengths == 0) | (lengths > MAX_FACT_TEXT))
    return number, pc.if_else(pa.array(is_text), values, pa.scalar(None, pa.string())), wrong


def _rejection(index: int, reason: str, facts: pa.Table, rows: int) -> RejectedFact:
    """The sentence for one rejected fact; it names the kind of mistake, never the subject (personal data)."""
    kind, name = facts.column("subject_type")[index].as_py(), facts.column("name")[index].as_py()
    allowed = {"created": "integer microseconds", "verified": "true or false", "sha256": "64 hexadecimal digits"}
    details = {
        "fact.subject_type": f"no subject type {str(kind)[:40]!r}; allowed: {', '.join(SUBJECT_TYPES)}",
        "fact.name": f"a fact about {str(kind)[:40]!r} cannot be named {str(name)[:40]!r}; allowed: "
        + ", ".join(known for known in NAMES if (_type_of(kind), known) in FIELDS),
        "fact.subject": f"the subject is null, empty or longer than {MAX_FACT_TEXT} bytes",
        "fact.row": f"row is {facts.column('row')[index].as_py()}; allowed: 0 to {rows}",
        "fact.value": f"the value of {name!r} is wrong; allowed: "
        + allowed.get(str(name), f"a text of 1 to {MAX_FACT_TEXT} bytes"),
    }
    return RejectedFact(index, reason, details[reason])


def _type_of(kind: object) -> int:
    return SUBJECT_TYPES.index(kind) if isinstance(kind, str) and kind in SUBJECT_TYPES else -1
