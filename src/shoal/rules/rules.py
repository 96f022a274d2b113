"""Rules: a condition in SQL, and what a person must know to trust it.

A `Rule` is plain data read from a pack; a `RuleSet` is the rules compiled for one column layout. Matching is
three-valued: 1 matched, 0 not, 2 unknown (a value that the condition needs is null). What an unknown means
(`on_unknown`) is the policy's business, not the rule set's. Nothing here knows YAML, policy or packs, and nothing holds
state from batch to batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

import numpy as np
import numpy.typing as npt

from shoal.errors import InvalidInput, Problem, Where
from shoal.events.identity import Identity
from shoal.events.schema import Kind
from shoal.expressions.compile import Expression, Scope, compile_expression
from shoal.expressions.frame import Frame, Layout
from shoal.expressions.program import ListLike, Program
from shoal.rules.reasons import Reason, parse_reason

OnUnknown = Literal["ignore", "match", "defer"]
Matches = npt.NDArray[np.int8]
Bits = npt.NDArray[np.uint64]

MATCHED, NOT_MATCHED, UNKNOWN = 1, 0, 2


class Severity(IntEnum):
    """How bad it is if the rule is right; the numbers are persisted."""

    INFO = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


SUBJECT_KINDS: Mapping[str, str] = {
    "account": "account",
    "actor": "account",
    "owner": "account",
    "recipient": "account",
    "org": "org",
    "session": "session",
    "device": "device",
    "ip": "ip",
    "network": "network",
    "link": "link",
    "url": "url",
    "domain": "domain",
    "registered_domain": "domain",
    "file": "file",
    "file_sha256": "content",
    "app": "app",
    "credential": "credential",
    "resource": "resource",
    "event": "event",
}
"""Column that a rule names as its subject → the kind of thing that the finding is about."""


@dataclass(frozen=True)
class Rule:
    """One rule of a pack.

    `condition` is an expression over event columns, pack attributes and features. `subject` names the column whose
    value the finding is about (`event`: the event itself; a rule whose subject is null on a row falls back to the
    event). `family`: rules of one family rest on the same evidence and count once when the policy counts independent
    rules (default: the rule's own id). `confidence` is the author's estimate in [0, 1] of how often a match is right;
    it ranks, it does not decide. `confirmed`: the evidence is a confirmed verdict, which no allow-list may suppress.
    """

    id: str
    title: str
    condition: str
    subject: str
    threat: str
    severity: Severity
    reason: str
    description: str = ""
    on_unknown: OnUnknown = "ignore"
    family: str = ""
    confidence: float = 0.5
    technique: tuple[str, ...] = ()
    tactic: str = ""
    false_positives: tuple[str, ...] = ()
    evasion: str = ""
    confirmed: bool = False
    include_shoal: bool = False
    origin: Where = field(default_factory=Where)


class RuleSet:
    """Rules compiled for one layout (event columns, attributes and features).

    Raises `InvalidInput` with all problems of all conditions and reasons.
    """

    rules: tuple[Rule, ...]
    reasons: tuple[Reason, ...]
    text_columns: frozenset[str]
    """Columns whose texts the frame must carry for `match` and `render`."""

    def __init__(
        self,
        rules: Sequence[Rule],
        layout: Layout,
        identity: Identity,
        lists: Mapping[str, ListLike] | None = None,
    ) -> None:
        self.rules, self.layout = tuple(rules), layout
        lists = dict(lists or {})
        kinds = dict(zip(layout.names, layout.kinds, strict=True))
        self.expressions, self.reasons = compile_rules(self.rules, kinds, frozenset(lists))
        self._program = Program(self.expressions, layout, identity, lists)
        shown = {name for reason in self.reasons for name in reason.columns if kinds[name] is Kind.TEXT}
        self.text_columns = self._program.text_columns | shown
        self._cause = layout.index.get("cause", -1)
        self._shoal = identity.id_of("shoal")
        self._own = np.array([rule.include_shoal for rule in self.rules], dtype=np.bool_)

    def match(self, frame: Frame) -> Matches:
        """int8 [R, n]: 1 matched, 0 not, 2 unknown. Rows that Shoal itself caused match no rule that does not ask for
        them."""
        matches = np.empty((len(self.rules), frame.size), np.int8)
        self._program.truths(frame, matches)
        if self._cause >= 0:
            if frame.size == 1 and not frame.valid[self._cause, 0]:
                return matches
            known = self._cause, slice(0, frame.size)
            caused = (frame.valid[known] != 0) & (frame.values[known] == self._shoal)
            if caused.any():
                matches[np.ix_(~self._own, caused)] = NOT_MATCHED
        return matches

    def render(self, rule: int, frame: Frame, row: int) -> str:
        """The reason of one rule on one row, in words."""
        return self.reasons[rule].render(frame, row)

    def render_rows(self, rule: int, frame: Frame, rows: npt.NDArray[np.int64]) -> list[str]:
        """The reasons of one rule on some rows."""
        return self.reasons[rule].render_rows(frame, rows)


def compile_rules(
    rules: Sequence[Rule], kinds: Mapping[str, Kind], lists: frozenset[str]
) -> tuple[tuple[Expression, ...], tuple[Reason, ...]]:
    """Compile conditions and check reasons; raises `InvalidInput` with the problems of all rules together."""
    scope = Scope(kinds, lists)
    problems: list[Problem] = []
    expressions, reasons = [], []
    for rule in rules:
        try:
            expression = compile_expression(rule.condition, scope, rule.origin.at("condition"))
            if expression.kind is not Kind.BOOL:
                found = expression.kind.name.lower()
                problems.append(
                    Problem(
                        "rule.condition_kind",
                        f"the condition is of kind {found}",
                        rule.origin.at("condition"),
                        allowed="bool",
                    )
                )
            expressions.append(expression)
        except InvalidInput as error:
            problems.extend(error.problems)
        try:
            reasons.append(parse_reason(rule.reason, kinds, rule.origin.at("reason")))
        except InvalidInput as error:
            problems.extend(error.problems)
    if problems:
        raise InvalidInput(problems)
    return tuple(expressions), tuple(reasons)


def pack_bits(flags: npt.NDArray[np.bool_]) -> Bits:
    """Flags [R, n] as uint64 words [n, ceil(R / 64)]: bit r % 64 of word r // 64 is rule r."""
    rules, rows = flags.shape
    words = (rules + 63) // 64
    padded = np.zeros((rows, words * 64), dtype=np.uint8)
    padded[:, :rules] = flags.T
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").reshape(rows, words)


def unpack_bits(words: Bits, rules: int) -> npt.NDArray[np.bool_]:
    """The inverse of `pack_bits`: bool [R, n]."""
    rows = words.shape[0]
    raw = np.ascontiguousarray(words, dtype="<u8").view(np.uint8).reshape(rows, words.shape[1] * 8)
    return np.unpackbits(raw, axis=1, bitorder="little")[:, :rules].T.astype(np.bool_)
