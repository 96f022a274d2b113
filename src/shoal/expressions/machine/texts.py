"""The text operations, on Arrow arrays: LIKE, search, case, parts of URLs. Hot path for packs that use them.

Each is a pure function of the row's texts. Patterns run in time linear in the text (RE2, or the search of
`text_kernel`). `CHARACTERS` maps each operation of the tree to what computes it; arguments are Arrow arrays or scalars
of `string`, constants come first.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoal.expressions.machine import text_kernel

Texts = Any  # a pyarrow Array or Scalar of strings: pyarrow has no types
WHITE = " \t\n\r"
URL_SCHEME = r"^\s*([A-Za-z][A-Za-z0-9+.\-]*):"
URL_HOST = r"^\s*[A-Za-z][A-Za-z0-9+.\-]*:[/\\]{2}(?:[^/?#\\]*@)?(\[[^\]/?#\\@]*\]|[^/?#\\:@]+)"
URL_PATH = r"^\s*[A-Za-z][A-Za-z0-9+.\-]*:[/\\]{2}[^/?#\\]*([^?#]*)"
FILE_EXTENSION = r"[^/\\]\.([^./\\]+)$"
_INTEGER = re.compile(r"[+-]?[0-9]{1,40}")
_DECIMAL = re.compile(r"[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,5})?")
SEARCHES = {"starts_with": ("", "%"), "ends_with": ("%", ""), "contains": ("%", "%")}
INT_RANGE = range(-(2**63), 2**63)
_NO_BYTES = np.zeros(0, dtype=np.uint8)


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


def buffers_of(texts: pa.Array) -> tuple[Any, Any]:
    """The bytes and the offsets of a string array, as NumPy sees them."""
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(data, dtype=np.uint8) if data is not None and data.size else _NO_BYTES, ends


@lru_cache(maxsize=1_024)
def _pattern(pattern: str, escape: str, fold: bool) -> tuple[Any, Any]:
    """A LIKE pattern for the kernel; ASCII letters in lower case where `fold`."""
    want, wanted = bytearray(), bytearray()
    for part in like_parts(pattern, escape):
        if not part:
            want.append(text_kernel.WANT_RUN if part is None else text_kernel.WANT_CHARACTER)
            wanted.append(0)
            continue
        encoded = (part.lower() if fold else part).encode()
        wanted += encoded
        want += bytes(len(encoded))
    return np.frombuffer(bytes(want), dtype=np.uint8), np.frombuffer(bytes(wanted), dtype=np.uint8)


def matches(
    op: str, constants: tuple[Any, ...], texts: pa.Array, rows: npt.NDArray[np.int64] | None = None
) -> npt.NDArray[np.uint8]:
    """What LIKE, ILIKE or a plain search finds: [n] uint8, 1 where it matches (look at the null mask first).

    With `rows`, in those rows of the texts alone.
    """
    if op == "like":
        pattern, escape, fold = constants
    else:
        before, after = SEARCHES[op]
        plain = "".join("!" + c if c in "%_!" else c for c in constants[0])
        pattern, escape, fold = before + plain + after, "!", False
    found = np.zeros(len(texts) if rows is None else len(rows), dtype=np.uint8)
    if len(texts) == texts.null_count:
        return found
    if not (fold and not pattern.isascii()):
        data, offsets = buffers_of(texts)
        want, wanted = _pattern(pattern, escape, fold)
        if rows is None:
            if text_kernel.match_rows(data, offsets, want, wanted, fold, found):
                return found
        elif text_kernel.match_chosen(data, offsets, rows, want, wanted, fold, found):
            return found
    pattern, escape = pc.utf8_lower(pa.array([pattern, escape])).to_pylist()
    chosen = texts if rows is None else texts.take(pa.array(rows))
    return matches("like", (pattern, escape, False), pc.utf8_lower(chosen))


def _match(op: str) -> Callable[[tuple[Any, ...], Texts], Any]:
    """`matches`, as Arrow sees it."""

    def match(constants: tuple[Any, ...], texts: Texts) -> Any:
        if isinstance(texts, pa.Scalar):
            return match(constants, pa.array([texts.as_py()], pa.string()))[0]
        mask = np.asarray(texts.is_null()) if texts.null_count else None
        return pa.array(matches(op, constants, texts).view(np.bool_), mask=mask)

    return match


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


def _part(part: int, lower: bool) -> Callable[[object, Texts], Any]:
    """What computes a part of each text (see the patterns above), in lower case where `lower`."""

    def compute(_: object, texts: Texts) -> Any:
        if isinstance(texts, pa.Scalar):
            return compute(_, pa.array([texts.as_py()], pa.string()))[0]
        size = len(texts)
        if size == texts.null_count:
            return pa.nulls(size, pa.string())
        data, offsets = buffers_of(texts)
        valid = np.asarray(texts.is_valid()).astype(np.uint8)
        out, ends = np.empty(int(offsets[-1]) - int(offsets[0]), np.uint8), np.empty(size + 1, np.int32)
        other = text_kernel.part_rows(part, lower, data, offsets, valid, out, ends)
        mask = pa.py_buffer(np.packbits(valid, bitorder="little"))
        made = pa.StringArray.from_buffers(size, pa.py_buffer(ends), pa.py_buffer(out[: ends[-1]]), mask)
        return pc.utf8_lower(made) if other else made

    return compute


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
    **{op: _match(op) for op in ("like", *SEARCHES)},
    "strpos": _strpos,
    "regexp_matches": lambda constants, texts: pc.match_substring_regex(texts, constants[0]),
    "length": lambda _, texts: pc.cast(pc.utf8_length(texts), pa.int64()),
    "lower": lambda _, texts: pc.utf8_lower(texts),
    "upper": lambda _, texts: pc.utf8_upper(texts),
    "trim": lambda _, texts: pc.utf8_trim(texts, WHITE),
    "substr": _substr,
    "concat": lambda _, *texts: pc.binary_join_element_wise(*texts, "", null_handling="emit_null"),
    "url_scheme": _part(text_kernel.SCHEME, True),
    "url_host": _part(text_kernel.HOST, True),
    "url_path": _part(text_kernel.PATH, False),
    "file_extension": _part(text_kernel.EXTENSION, True),
    "parse_int": lambda _, texts: _each(texts, _integer, pa.int64()),
    "parse_float": lambda _, texts: _each(texts, _decimal, pa.float64()),
    "to_text": lambda _, numbers: pc.cast(numbers, pa.string()),
    "lt": lambda _, a, b: pc.less(a, b),
    "le": lambda _, a, b: pc.less_equal(a, b),
    "between": lambda _, x, low, high: pc.and_kleene(pc.less_equal(low, x), pc.less_equal(x, high)),
    "coalesce": lambda _, *texts: pc.coalesce(*texts),
    "nullif": lambda _, a, b: pc.if_else(pc.fill_null(pc.equal(a, b), False), pa.scalar(None, pa.string()), a),
}
