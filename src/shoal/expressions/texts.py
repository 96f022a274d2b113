"""The text operations, on Arrow arrays: LIKE, search, case, parts of URLs. Hot path for packs that use them.

Each is a pure function of the row's texts. All patterns run in linear time (RE2, or a plain search). `CHARACTERS` maps
each operation of the tree to what computes it; arguments are Arrow arrays or scalars of `string`, constants come first.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

Texts = Any  # a pyarrow Array or Scalar of strings: pyarrow has no types
WHITE = " \t\n\r"
URL_SCHEME = r"^\s*([A-Za-z][A-Za-z0-9+.\-]*):"
URL_HOST = r"^\s*[A-Za-z][A-Za-z0-9+.\-]*:[/\\]{2}(?:[^/?#\\]*@)?(\[[^\]/?#\\@]*\]|[^/?#\\:@]+)"
URL_PATH = r"^\s*[A-Za-z][A-Za-z0-9+.\-]*:[/\\]{2}[^/?#\\]*([^?#]*)"
FILE_EXTENSION = r"[^/\\]\.([^./\\]+)$"
_INTEGER = re.compile(r"[+-]?[0-9]{1,40}")
_DECIMAL = re.compile(r"[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,5})?")
_PLAIN = re.compile(r"[A-Za-z0-9]|[^\x00-\x7f]")
INT_RANGE = range(-(2**63), 2**63)


def like_parts(pattern: str, escape: str) -> list[str | None]:
    """A LIKE pattern as plain texts with None for `%` and the empty text for `_`."""
    parts: list[str | None] = []
    characters = iter(pattern)
    for character in characters:
        if escape and character == escape:
            character = next(characters)
        elif character == "%":
            if not parts or parts[-1] is not None:
                parts.append(None)
            continue
        elif character == "_":
            parts.append("")
            continue
        if parts and parts[-1]:
            parts[-1] += character
        else:
            parts.append(character)
    return parts


def quoted(text: str) -> str:
    """A text as an RE2 pattern that matches just it."""
    return "".join(c if _PLAIN.fullmatch(c) else "\\" + c for c in text)


def like(constants: tuple[str, str, bool], texts: Texts) -> Any:
    """LIKE, or ILIKE (both sides in lower case); whole texts, `_` is one character."""
    pattern, escape, fold = constants
    if fold:
        texts = pc.utf8_lower(texts)
        pattern, escape = pc.utf8_lower(pa.scalar(pattern)).as_py(), pc.utf8_lower(pa.scalar(escape)).as_py()
    parts = like_parts(pattern, escape)
    match parts:
        case []:
            return pc.equal(texts, "")
        case [None]:
            return pc.greater_equal(pc.binary_length(texts), 0)
        case [str(only)] if only:
            return pc.equal(texts, only)
        case [str(head), None] if head:
            return pc.starts_with(texts, head)
        case [None, str(tail)] if tail:
            return pc.ends_with(texts, tail)
        case [None, str(middle), None] if middle:
            return pc.match_substring(texts, middle)
    body = "".join(".*" if part is None else quoted(part) if part else "." for part in parts)
    return pc.match_substring_regex(texts, rf"(?s)\A{body}\z")


def _strpos(constants: tuple[str], texts: Texts) -> Any:
    """The place of the constant in characters, from 1; 0 where it is not."""
    if isinstance(texts, pa.Scalar):
        found = None if texts.as_py() is None else texts.as_py().find(constants[0]) + 1
        return pa.scalar(found, pa.int64())
    if pc.all(pc.string_is_ascii(texts)).as_py() in (True, None):
        return pc.add(pc.cast(pc.find_substring(texts, constants[0]), pa.int64()), 1)
    return pa.array([None if t is None else t.find(constants[0]) + 1 for t in texts.to_pylist()], pa.int64())


def _substr(constants: tuple[int, ...], texts: Texts) -> Any:
    start = constants[0] - 1
    if start >= 2**31:
        return pc.utf8_slice_codeunits(texts, 0, 0)
    stop = None if len(constants) == 1 else min(start + constants[1], 2**31)
    return pc.utf8_slice_codeunits(texts, start, stop)


def _part(pattern: str, lower: bool) -> Callable[[object, Texts], Any]:
    named = pattern.replace("(", "(?P<part>", 1) if "(?:" not in pattern else pattern.replace("(\\[", "(?P<part>\\[", 1)

    def part(_: object, texts: Texts) -> Any:
        found = pc.struct_field(pc.extract_regex(texts, named), [0])
        return pc.utf8_lower(found) if lower else found

    return part


def _each(texts: Texts, convert: Callable[[str], object], kind: pa.DataType) -> Any:
    if isinstance(texts, pa.Scalar):
        return pa.scalar(None if texts.as_py() is None else convert(texts.as_py()), kind)
    return pa.array([None if text is None else convert(text) for text in texts.to_pylist()], kind)


def _integer(text: str) -> int | None:
    text = text.strip(WHITE)
    return int(text) if _INTEGER.fullmatch(text) and int(text) in INT_RANGE else None


def _decimal(text: str) -> float | None:
    text = text.strip(WHITE)
    number = float(text) if _DECIMAL.fullmatch(text) else None
    return number if number is not None and abs(number) != float("inf") else None


CHARACTERS: dict[str, Callable[..., Any]] = {
    "like": like,
    "starts_with": lambda constants, texts: pc.starts_with(texts, constants[0]),
    "ends_with": lambda constants, texts: pc.ends_with(texts, constants[0]),
    "contains": lambda constants, texts: pc.match_substring(texts, constants[0]),
    "strpos": _strpos,
    "regexp_matches": lambda constants, texts: pc.match_substring_regex(texts, constants[0]),
    "length": lambda _, texts: pc.cast(pc.utf8_length(texts), pa.int64()),
    "lower": lambda _, texts: pc.utf8_lower(texts),
    "upper": lambda _, texts: pc.utf8_upper(texts),
    "trim": lambda _, texts: pc.utf8_trim(texts, WHITE),
    "substr": _substr,
    "concat": lambda _, *texts: pc.binary_join_element_wise(*texts, "", null_handling="emit_null"),
    "url_scheme": _part(URL_SCHEME, True),
    "url_host": _part(URL_HOST, True),
    "url_path": _part(URL_PATH, False),
    "file_extension": _part(FILE_EXTENSION, True),
    "parse_int": lambda _, texts: _each(texts, _integer, pa.int64()),
    "parse_float": lambda _, texts: _each(texts, _decimal, pa.float64()),
    "to_text": lambda _, numbers: pc.cast(numbers, pa.string()),
    "lt": lambda _, a, b: pc.less(a, b),
    "le": lambda _, a, b: pc.less_equal(a, b),
    "between": lambda _, x, low, high: pc.and_kleene(pc.less_equal(low, x), pc.less_equal(x, high)),
    "coalesce": lambda _, *texts: pc.coalesce(*texts),
    "nullif": lambda _, a, b: pc.if_else(pc.fill_null(pc.equal(a, b), False), pa.scalar(None, pa.string()), a),
}
