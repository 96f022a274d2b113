"""The half of the checker that deals with calls: the function table, CASE values, LIKE and regular expressions.

Shares the problems of the one expression under check; see `check`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc
from sqlglot import exp

from shoal.errors import Problem, Where, nearest_name
from shoal.events.schema import Kind
from shoal.expressions.functions import FUNCTIONS, Function
from shoal.expressions.kinds import INT_MAX, converted, is_untyped
from shoal.expressions.tree import Node, Scope, null

MAX_PATTERN = 1_000
_WHOLE = frozenset({"floor", "ceil", "round", "trunc"})
_HINTS = {
    "now": "there is no clock: compare event times", "current_timestamp": "there is no clock: compare event times",
    "count": "aggregates are features, not expressions", "sum": "aggregates are features, not expressions",
    "avg": "aggregates are features, not expressions", "list": "write x IN list('name')",
    "random": "expressions are deterministic", "date_trunc": "use hour(t), dayofweek(t) or time arithmetic",
}  # fmt: skip


class CallChecker(ABC):
    """The part of `Checker` that knows the functions."""

    def __init__(self, scope: Scope, where: Where) -> None:
        self.scope = scope
        self.where = where
        self.problems: list[Problem] = []

    @abstractmethod
    def check(self, parsed: exp.Expression) -> Node | None:
        """The typed tree of a sub-expression."""

    @abstractmethod
    def unified(self, nodes: Sequence[Node | None], verb: str, suffix: str = "") -> list[Node] | None:
        """The nodes, all read as their common kind."""

    def problem(self, slug: str, message: str, allowed: str = "", nearest: str = "", hint: str = "") -> Node | None:
        """Note a problem; gives None, as a checked sub-expression that failed."""
        found = Problem(slug, message, self.where, allowed, nearest, hint)
        if found not in self.problems:
            self.problems.append(found)
        return None

    def node(self, op: str, kind: Kind, args: Sequence[Node | None], value: object = None) -> Node | None:
        """A node of checked arguments, or None where one of them failed."""
        good = tuple(arg for arg in args if arg is not None)
        return Node(op, kind, good, value) if len(good) == len(args) else None

    def choice(self, conditions: Sequence[Node | None], values: Sequence[Node | None]) -> Node | None:
        """A CASE: conditions with their values, and one value more, the default."""
        made = self.unified(values, "results of one CASE")
        if made is None:
            return None
        args: list[Node | None] = []
        for condition, value in zip(conditions, made, strict=False):
            args += (condition, value)
        return self.node("case", made[0].kind, [*args, made[-1]])

    def like(self, subject: exp.Expression, pattern: exp.Expression, escape: str, fold: bool) -> Node | None:
        """`subject LIKE pattern`; the pattern is a text constant."""
        name = "ILIKE" if fold else "LIKE"
        node = self._argument(self.check(subject), Kind.TEXT, f"the operand of {name}")
        if not isinstance(pattern, exp.Literal) or not pattern.is_string:
            self.problem("expression.pattern", f"{name} takes a text constant", "LIKE 'pattern'")
            return None
        text = str(pattern.this)
        if len(text) > MAX_PATTERN:
            self.problem("expression.pattern", f"a pattern of {len(text):,} characters", f"at most {MAX_PATTERN:,}")
            return None
        if escape and _dangling(text, escape):
            self.problem("expression.pattern", f"the pattern ends with its escape character {escape!r}")
            return None
        return self.node("like", Kind.BOOL, [node], (text, escape, fold))

    def call(self, name: str, arguments: Sequence[exp.Expression]) -> Node | None:
        """A call of a function of the table."""
        function = FUNCTIONS.get(name.lower())
        if function is None:
            near, hint = nearest_name(name.lower(), FUNCTIONS), _HINTS.get(name.lower(), "")
            self.problem(
                "expression.unknown_function", f"no function {name!r}", nearest="" if hint else near, hint=hint
            )
            return None
        if not function.accepts(len(arguments)):
            self.problem("expression.arguments", f"{name} with {len(arguments)} arguments", function.signature)
            return None
        nodes = [self.check(argument) for argument in arguments]
        if any(node is None for node in nodes):
            return None
        return self._typed(function, [node for node in nodes if node is not None])

    def _typed(self, function: Function, nodes: list[Node]) -> Node | None:
        parameters = list(function.parameters)
        parameters += [parameters[-1]] * (len(nodes) - len(parameters))
        if function.op == "case":
            condition = self._argument(nodes[0], Kind.BOOL, "the condition of if")
            return self.choice([condition], nodes[1:])
        if parameters[0] in ("number", "ordered", "any"):
            return self._of_one_kind(function, nodes)
        args: list[Node | None] = []
        constants: list[object] = []
        for i, (node, parameter) in enumerate(zip(nodes, parameters, strict=False), 1):
            what = f"argument {i} of {function.name}"
            if isinstance(parameter, Kind):
                args.append(self._argument(node, parameter, what))
                continue
            kind = Kind.TEXT if parameter == "constant text" else Kind.INT
            if node.op != "literal" or node.kind is not kind:
                self.problem("expression.arguments", f"{what} is not a {parameter}", function.signature)
                return None
            constants.append(node.value)
        if not self._constants_fit(function, constants):
            return None
        result = function.result
        assert result is not None
        return self.node(function.op, result, args, tuple(constants) if constants else None)

    def _of_one_kind(self, function: Function, nodes: list[Node]) -> Node | None:
        made = self.unified(nodes, f"arguments of one {function.name}")
        if made is None:
            return None
        numeric = function.parameters[0] != "any"
        if numeric and all(is_untyped(node) for node in nodes):
            made = [null(Kind.INT) for _ in made]
        kind = made[0].kind
        allowed = {"number": (Kind.INT, Kind.FLOAT), "ordered": (Kind.INT, Kind.FLOAT, Kind.TIME)}
        fitting = allowed.get(str(function.parameters[0]), tuple(Kind))
        if kind not in fitting:
            names = ", ".join(k.name for k in fitting)
            self.problem("expression.type", f"{function.name} of {kind.name}", names)
            return None
        if function.op in _WHOLE and kind is Kind.INT:
            return made[0]
        return Node(function.op, kind, tuple(made))

    def _argument(self, node: Node | None, kind: Kind, what: str) -> Node | None:
        if node is None:
            return None
        got = converted(node, kind)
        if got is None:
            self.problem("expression.type", f"{what} is {node.kind.name}", kind.name)
        return got

    def _constants_fit(self, function: Function, constants: list[object]) -> bool:
        if function.op == "substr":
            start, count = constants[0], constants[1] if len(constants) > 1 else 0
            if not (isinstance(start, int) and isinstance(count, int) and start >= 1 and 0 <= count < INT_MAX - start):
                self.problem("expression.arguments", "substr starts at 1 or later, and its length is not negative")
                return False
        if function.op == "regexp_matches":
            pattern = str(constants[0])
            if len(pattern) > MAX_PATTERN:
                self.problem(
                    "expression.pattern", f"a pattern of {len(pattern):,} characters", f"at most {MAX_PATTERN:,}"
                )
                return False
            try:
                pc.match_substring_regex(pa.array([""], pa.string()), pattern)
            except pa.ArrowInvalid as error:
                self.problem("expression.pattern", f"not an RE2 pattern: {str(error)[:120]}")
                return False
        return True


def _dangling(pattern: str, escape: str) -> bool:
    """Whether a pattern ends in an escape character that escapes nothing."""
    i = 0
    while i < len(pattern):
        if pattern[i] == escape:
            if i + 1 == len(pattern):
                return True
            i += 1
        i += 1
    return False
