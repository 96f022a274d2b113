"""The checker: from sqlglot's tree to the typed tree, with every problem found on the way.

Every node type stands on the allow-list `_FORMS` with the fields it may carry; all else is refused by name. A sub-tree
with a problem yields None and is not reported twice. One `Checker` serves one expression.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from sqlglot import exp

from shoal.errors import Where, nearest_name
from shoal.events.schema import Kind
from shoal.expressions.calls import CallChecker
from shoal.expressions.kinds import INT_MAX, INT_MIN, common_kind, converted, is_untyped, time_of, untyped_null
from shoal.expressions.tree import MAX_DEPTH, Node, Scope, literal, null

Found = Node | None
_COMPARED: dict[type[exp.Expression], tuple[str, bool]] = {
    exp.EQ: ("eq", False),
    exp.NEQ: ("ne", False),
    exp.LT: ("lt", False),
    exp.LTE: ("le", False),
    exp.GT: ("lt", True),
    exp.GTE: ("le", True),
    exp.NullSafeNEQ: ("distinct", False),
    exp.NullSafeEQ: ("distinct", False),
}
_ARITHMETIC: dict[type[exp.Expression], str] = {
    exp.Add: "add", exp.Sub: "sub", exp.Mul: "mul", exp.Div: "div", exp.IntDiv: "idiv", exp.Mod: "mod",
}  # fmt: skip
_SIGN = {"add": "+", "sub": "-", "mul": "*", "div": "/", "idiv": "//", "mod": "%"}
_CASTS = {
    "INT": Kind.INT, "BIGINT": Kind.INT, "DOUBLE": Kind.FLOAT, "FLOAT": Kind.FLOAT, "TEXT": Kind.TEXT,
    "VARCHAR": Kind.TEXT, "BOOLEAN": Kind.BOOL, "TIMESTAMP": Kind.TIME, "TIMESTAMPTZ": Kind.TIME,
}  # fmt: skip
_CAST_OPS = {
    (Kind.INT, Kind.FLOAT): "to_float", (Kind.BOOL, Kind.FLOAT): "to_float", (Kind.FLOAT, Kind.INT): "to_int",
    (Kind.BOOL, Kind.INT): "to_int", (Kind.INT, Kind.BOOL): "to_bool", (Kind.TEXT, Kind.INT): "parse_int",
    (Kind.TEXT, Kind.FLOAT): "parse_float", (Kind.INT, Kind.TEXT): "to_text", (Kind.BOOL, Kind.TEXT): "to_text",
}  # fmt: skip
_UNIT_SECONDS = {
    "MICROSECOND": 1e-6, "MILLISECOND": 1e-3, "SECOND": 1.0, "MINUTE": 60.0, "HOUR": 3600.0, "DAY": 86400.0,
    "WEEK": 604800.0,
}  # fmt: skip


class Checker(CallChecker):
    """Checks one expression; `problems` holds what was found."""

    def __init__(self, scope: Scope, where: Where) -> None:
        super().__init__(scope, where)
        self._depth = 0

    def check(self, parsed: exp.Expression) -> Found:
        """The typed tree of `parsed`, or None where `problems` says why not."""
        if self._depth >= MAX_DEPTH:
            return self.problem("expression.too_deep", "the expression is nested too deeply", f"at most {MAX_DEPTH}")
        form = _FORMS.get(type(parsed))
        if form is None:
            return self.problem("expression.node", f"{_words(parsed)} is not part of the language")
        handler, fields = form
        extra = [key for key, value in parsed.args.items() if value and key not in fields]
        if extra:
            return self.problem("expression.node", f"{_words(parsed)} is not part of the language ({', '.join(extra)})")
        self._depth += 1
        try:
            return handler(self, parsed)
        finally:
            self._depth -= 1

    def wanted(self, parsed: exp.Expression, kind: Kind, what: str) -> Found:
        """A sub-expression that must be of a kind."""
        node = self.check(parsed)
        if node is None:
            return None
        got = converted(node, kind)
        if got is None:
            return self.problem("expression.type", f"{what} is {node.kind.name}", kind.name)
        return got

    # leaves

    def _paren(self, parsed: exp.Expression) -> Found:
        return self.check(parsed.this)

    def _literal(self, parsed: exp.Expression) -> Found:
        text = str(parsed.this)
        if parsed.args.get("is_string"):
            return literal(text, Kind.TEXT)
        return self._number(text)

    def _number(self, text: str) -> Found:
        if text.isdecimal() and text.isascii():
            if len(text) <= 19 and int(text) <= INT_MAX:
                return literal(int(text), Kind.INT)
            return self.problem("expression.number", f"{text[:40]} is too large for an INT", "-2^63 to 2^63 - 1")
        try:
            number = float(text)
        except ValueError:
            return self.problem("expression.number", f"{text[:40]!r} is not a number")
        if not math.isfinite(number):
            return self.problem("expression.number", f"{text[:40]} is too large for a FLOAT")
        return literal(number, Kind.FLOAT)

    def _boolean(self, parsed: exp.Expression) -> Found:
        return literal(bool(parsed.this), Kind.BOOL)

    def _null(self, _: exp.Expression) -> Found:
        return untyped_null()

    def _column(self, parsed: exp.Expression) -> Found:
        parts = [parsed.args.get(key) for key in ("catalog", "db", "table", "this")]
        name = ".".join(part.name for part in parts if part is not None)
        kind = self.scope.columns.get(name)
        if kind is None:
            near = nearest_name(name, self.scope.columns)
            hint = ""
            if name.upper() in _CASTS or name.lower() in ("now", "current_timestamp", "current_date"):
                hint = "there is no clock: compare event times"
            return self.problem("expression.unknown_column", f"no column {name!r}", nearest=near, hint=hint)
        return Node("column", kind, (), name)

    # logic

    def _chain(self, parsed: exp.Expression) -> list[exp.Expression]:
        """The operands of a chain `a AND b AND c`, which sqlglot nests to the left (without recursion)."""
        form, found, waiting = type(parsed), [], [parsed]
        while waiting:
            node = waiting.pop()
            if type(node) is form:
                waiting.extend((node.expression, node.this))
            else:
                found.append(node)
        return found

    def _logic(self, parsed: exp.Expression) -> Found:
        op = "and" if isinstance(parsed, exp.And) else "or"
        args = [self.wanted(part, Kind.BOOL, f"an operand of {op.upper()}") for part in self._chain(parsed)]
        return self.node(op, Kind.BOOL, args)

    def _not(self, parsed: exp.Expression) -> Found:
        return self.node("not", Kind.BOOL, [self.wanted(parsed.this, Kind.BOOL, "the operand of NOT")])

    def _is(self, parsed: exp.Expression) -> Found:
        if isinstance(parsed.expression, exp.Null):
            return self.node("is_null", Kind.BOOL, [self.check(parsed.this)])
        if isinstance(parsed.expression, exp.Boolean):
            op = "is_true" if parsed.expression.this else "is_false"
            return self.node(op, Kind.BOOL, [self.wanted(parsed.this, Kind.BOOL, "the operand of IS TRUE or FALSE")])
        return self.problem("expression.node", "IS takes NULL, TRUE or FALSE", hint="or IS [NOT] DISTINCT FROM")

    def _compare(self, parsed: exp.Expression) -> Found:
        if type(parsed.this) in _COMPARED or type(parsed.expression) in _COMPARED:
            return self.problem("expression.chained", "comparisons cannot be chained", hint="write a < b AND b < c")
        op, swapped = _COMPARED[type(parsed)]
        pair = self.unified([self.check(parsed.this), self.check(parsed.expression)], "compared")
        if pair is None:
            return None
        if op in ("lt", "le") and pair[0].kind is Kind.BOOL and not all(map(is_untyped, pair)):
            return self.problem("expression.type", "BOOL has no order", "INT, FLOAT, TEXT, TIME")
        made = Node(op, Kind.BOOL, (pair[1], pair[0]) if swapped else tuple(pair))
        return Node("not", Kind.BOOL, (made,)) if isinstance(parsed, exp.NullSafeEQ) else made

    def _between(self, parsed: exp.Expression) -> Found:
        parts = [parsed.this, parsed.args["low"], parsed.args["high"]]
        args = self.unified([self.check(part) for part in parts], "compared")
        if args is None:
            return None
        if args[0].kind is Kind.BOOL:
            return self.problem("expression.type", "BOOL has no order", "INT, FLOAT, TEXT, TIME")
        return Node("between", Kind.BOOL, tuple(args))

    def _in(self, parsed: exp.Expression) -> Found:
        field = parsed.args.get("field")
        if field is not None:
            return self._in_list(parsed.this, field)
        members = parsed.expressions
        if not members:
            return self.problem("expression.arguments", "IN has no values")
        args = self.unified([self.check(part) for part in (parsed.this, *members)], "compared")
        if args is None:
            return None
        subject, values = args[0], args[1:]
        if subject.kind is Kind.BOOL or any(value.op not in ("literal", "null") for value in values):
            equal = tuple(Node("eq", Kind.BOOL, (subject, value)) for value in values)
            return equal[0] if len(equal) == 1 else Node("or", Kind.BOOL, equal)
        constants = tuple(value.value for value in values if value.op == "literal")
        return Node("in", Kind.BOOL, (subject,), (constants, len(constants) < len(values)))

    def _in_list(self, subject: exp.Expression, field: exp.Expression) -> Found:
        node = self.wanted(subject, Kind.TEXT, "what is looked up in a list")
        name = field.expressions[0] if isinstance(field, exp.Anonymous) and len(field.expressions) == 1 else None
        if str(field.this).lower() != "list" or not isinstance(name, exp.Literal) or not name.is_string:
            return self.problem("expression.node", "IN takes values in brackets or list('name')")
        if name.this not in self.scope.lists:
            near = nearest_name(name.this, self.scope.lists)
            return self.problem("expression.unknown_list", f"no list {name.this!r}", nearest=near)
        return self.node("in_list", Kind.BOOL, [node], name.this)

    # numbers

    def _arithmetic(self, parsed: exp.Expression) -> Found:
        op = _ARITHMETIC[type(parsed)]
        left, right = self.check(parsed.this), self.check(parsed.expression)
        if left is None or right is None:
            return None
        if Kind.TIME in (left.kind, right.kind):
            return self._time_arithmetic(op, left, right)
        if is_untyped(left) and is_untyped(right):
            left = right = null(Kind.INT)
        pair = self.unified([left, right], "calculated with", f" with {_SIGN[op]}")
        if pair is None:
            return None
        if pair[0].kind not in (Kind.INT, Kind.FLOAT):
            hint = "texts are joined with ||" if pair[0].kind is Kind.TEXT and op == "add" else ""
            return self.problem("expression.type", f"{_SIGN[op]} of {pair[0].kind.name}", "INT, FLOAT", hint=hint)
        if op == "div":
            return self.node(op, Kind.FLOAT, [converted(node, Kind.FLOAT) for node in pair])
        return Node(op, pair[0].kind, tuple(pair))

    def _time_arithmetic(self, op: str, left: Node, right: Node) -> Found:
        if op == "sub" and left.kind is Kind.TIME:
            other = converted(right, Kind.TIME)
            if other is not None and not is_untyped(right):
                return Node("time_sub", Kind.FLOAT, (left, other))
        elif op == "sub" and right.kind is Kind.TIME and (first := converted(left, Kind.TIME)) is not None:
            return Node("time_sub", Kind.FLOAT, (first, right))
        if op == "add" and right.kind is Kind.TIME:
            left, right = right, left
        seconds = converted(right, Kind.FLOAT)
        if op not in ("add", "sub") or seconds is None or left.kind is not Kind.TIME:
            return self.problem(
                "expression.type", f"{left.kind.name} {_SIGN[op]} {right.kind.name}", "TIME - TIME, TIME ± seconds"
            )
        if op == "sub":
            seconds = Node("neg", Kind.FLOAT, (seconds,))
        return Node("time_add", Kind.TIME, (left, seconds))

    def _negative(self, parsed: exp.Expression) -> Found:
        inner = parsed.this
        if isinstance(inner, exp.Literal) and not inner.is_string and str(inner.this) == str(-INT_MIN):
            return literal(INT_MIN, Kind.INT)
        node = self.check(inner)
        if node is None:
            return None
        if is_untyped(node):
            return null(Kind.INT)
        if node.kind not in (Kind.INT, Kind.FLOAT):
            return self.problem("expression.type", f"- of {node.kind.name}", "INT, FLOAT")
        if node.op == "literal" and isinstance(node.value, int | float):
            return literal(-node.value, node.kind) if node.value != INT_MIN else null(Kind.INT)
        return Node("neg", node.kind, (node,))

    def _interval(self, parsed: exp.Expression) -> Found:
        unit = parsed.args.get("unit")
        seconds = _UNIT_SECONDS.get(str(unit.this).upper().rstrip("S")) if isinstance(unit, exp.Var) else None
        if seconds is None:
            return self.problem(
                "expression.interval", "an interval of an unknown unit", "second, minute, hour, day, week"
            )
        try:
            number = float(parsed.this.this) if isinstance(parsed.this, exp.Literal) else math.nan
        except ValueError:
            number = math.nan
        if not math.isfinite(number * seconds):
            return self.problem("expression.interval", "an interval needs a number", "INTERVAL '30' MINUTE")
        return literal(number * seconds, Kind.FLOAT)

    def _cast(self, parsed: exp.Expression) -> Found:
        target = parsed.args["to"]
        kind = _CASTS.get(target.this.name) if isinstance(target, exp.DataType) else None
        if kind is None or target.expressions or target.args.get("nested"):
            return self.problem(
                "expression.cast", f"no CAST to {target.sql()[:60]}", "INT, DOUBLE, TEXT, BOOLEAN, TIMESTAMP"
            )
        node = self.check(parsed.this)
        if node is None:
            return None
        given = converted(node, kind)
        if given is not None:
            return given
        if kind is Kind.TIME and node.op == "literal" and node.kind is Kind.TEXT and time_of(str(node.value)) is None:
            return self.problem("expression.time", f"{str(node.value)[:60]!r} is not an ISO 8601 time")
        op = _CAST_OPS.get((node.kind, kind))
        if op is None:
            return self.problem("expression.cast", f"no CAST from {node.kind.name} to {kind.name}")
        return Node(op, kind, (node,))

    # choices and texts

    def _case(self, parsed: exp.Expression) -> Found:
        branches = parsed.args["ifs"]
        default = parsed.args.get("default")
        subject = self.check(parsed.this) if parsed.this else None
        conditions: list[Found] = []
        for branch in branches:
            if not parsed.this:
                conditions.append(self.wanted(branch.this, Kind.BOOL, "a condition of CASE"))
            else:
                pair = self.unified([subject, self.check(branch.this)], "compared")
                conditions.append(None if pair is None else Node("eq", Kind.BOOL, tuple(pair)))
        values = [self.check(branch.args["true"]) for branch in branches]
        values.append(self.check(default) if default is not None else untyped_null())
        return self.choice(conditions, values)

    def _like(self, parsed: exp.Expression) -> Found:
        escape, fold = "", False
        outer = parsed
        if isinstance(parsed, exp.Escape):
            outer = parsed.this
            escape = str(parsed.expression.this) if isinstance(parsed.expression, exp.Literal) else ""
            if not isinstance(outer, exp.Like | exp.ILike) or len(escape) != 1:
                return self.problem("expression.pattern", "ESCAPE takes one character", "LIKE 'pattern' ESCAPE '!'")
        fold = isinstance(outer, exp.ILike)
        made = self.like(outer.this, outer.expression, escape, fold)
        return Node("not", Kind.BOOL, (made,)) if made is not None and outer.args.get("negate") else made

    def _join(self, parsed: exp.Expression) -> Found:
        args = [self.wanted(part, Kind.TEXT, "an operand of ||") for part in self._chain(parsed)]
        return self.node("concat", Kind.TEXT, args)

    def _call(self, parsed: exp.Expression) -> Found:
        return self.call(str(parsed.this), parsed.expressions)

    def _extract(self, parsed: exp.Expression) -> Found:
        return self.call({"DOW": "dayofweek"}.get(parsed.name.upper(), parsed.name), [parsed.expression])

    # shared

    def unified(self, nodes: Sequence[Found], verb: str, suffix: str = "") -> list[Node] | None:
        """The nodes, all read as their common kind."""
        good = [node for node in nodes if node is not None]
        if len(good) < len(nodes):
            return None
        kind = common_kind(good)
        if kind is None:
            for node in good:
                if any(other.kind is Kind.TIME for other in good) and node.op == "literal" and node.kind is Kind.TEXT:
                    self.problem("expression.time", f"{str(node.value)[:60]!r} is not an ISO 8601 time")
                    return None
            names = " and ".join(dict.fromkeys(node.kind.name for node in good if not is_untyped(node)))
            self.problem("expression.type", f"{names} cannot be {verb}{suffix}", hint="CAST converts")
            return None
        return [node for node in (converted(node, kind) for node in good) if node is not None]


def _words(parsed: object) -> str:
    """What to call a node that is refused."""
    name = type(parsed).__name__
    try:
        text = parsed.sql() if isinstance(parsed, exp.Expression) else str(parsed)
    except Exception:  # a tree that sqlglot itself cannot write: its type's name must do
        return name
    return f"{name} ({text[:60]!r})"


_PAIR = frozenset({"this", "expression", "typed", "safe"})
_FORMS: dict[type[exp.Expression], tuple[Callable[[Checker, exp.Expression], Found], frozenset[str]]] = {
    exp.Paren: (Checker._paren, frozenset({"this"})),
    exp.Literal: (Checker._literal, frozenset({"this", "is_string"})),
    exp.Boolean: (Checker._boolean, frozenset({"this"})),
    exp.Null: (Checker._null, frozenset()),
    exp.Column: (Checker._column, frozenset({"this", "table", "db", "catalog"})),
    exp.And: (Checker._logic, _PAIR),
    exp.Or: (Checker._logic, _PAIR),
    exp.Not: (Checker._not, frozenset({"this"})),
    exp.Is: (Checker._is, _PAIR),
    exp.Between: (Checker._between, frozenset({"this", "low", "high"})),
    exp.In: (Checker._in, frozenset({"this", "expressions", "field"})),
    exp.Neg: (Checker._negative, frozenset({"this"})),
    exp.Interval: (Checker._interval, frozenset({"this", "unit"})),
    exp.Cast: (Checker._cast, frozenset({"this", "to", "_type"})),
    exp.TryCast: (Checker._cast, frozenset({"this", "to", "_type", "safe", "requires_string"})),
    exp.Case: (Checker._case, frozenset({"this", "ifs", "default"})),
    exp.Like: (Checker._like, _PAIR | {"negate"}),
    exp.ILike: (Checker._like, _PAIR | {"negate"}),
    exp.Escape: (Checker._like, _PAIR),
    exp.DPipe: (Checker._join, _PAIR),
    exp.Anonymous: (Checker._call, frozenset({"this", "expressions"})),
    exp.Extract: (Checker._extract, _PAIR),
    **dict.fromkeys(_COMPARED, (Checker._compare, _PAIR)),
    **dict.fromkeys(_ARITHMETIC, (Checker._arithmetic, _PAIR)),
}
