"""What every algorithm here asks of its arrays, told with all mistakes together.

Nodes are codes 0 … n - 1; edges are two arrays of codes of one length, with weights beside them or none. Codes out of
range are looked for by the kernels, which read them anyway, and worded here. No state.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from shoal.errors import InvalidInput, Problem, Where

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Codes = npt.NDArray[np.integer]
MAX_NODES = 2**31 - 2
"""Codes are kept in 32 bits inside, at half the memory."""


def refuse(problems: Sequence[Problem]) -> None:
    """Raise all problems together, where there are any."""
    if problems:
        raise InvalidInput(list(problems))


def node_problems(n: object, name: str = "n") -> list[Problem]:
    """What is wrong with a number of nodes."""
    if isinstance(n, (int, np.integer)) and not isinstance(n, bool) and 0 <= int(n) <= MAX_NODES:
        return []
    return [Problem("structure.nodes", f"{n!r} is no number of nodes", Where(path=name), f"0 to {MAX_NODES:,}")]


def number_problems(value: object, name: str, low: float, high: float, *, whole: bool = False) -> list[Problem]:
    """What is wrong with a setting that must be a number in [low, high]."""
    kinds = (int, np.integer) if whole else (int, float, np.integer, np.floating)
    if isinstance(value, kinds) and not isinstance(value, bool) and low <= float(value) <= high:
        return []
    word = "a whole number" if whole else "a number"
    return [Problem("structure.setting", f"{value!r} is not allowed", Where(path=name),
                    f"{word} from {low:,.10g} to {high:,.10g}")]  # fmt: skip


def code_array(given: object, name: str, problems: list[Problem]) -> Codes:
    """One array of codes, int32 or int64, contiguous; an empty one where it is refused."""
    array = np.asarray(given)
    if array.size == 0 and array.ndim == 1:
        return np.zeros(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        what = f"{array.dtype} of shape {array.shape}"
        problems.append(Problem("structure.codes", f"codes are {what}", Where(path=name), "integers in one row"))
        return np.zeros(0, np.int64)
    if array.dtype not in (np.dtype(np.int32), np.dtype(np.int64)):
        if array.dtype == np.dtype(np.uint64):
            array = np.minimum(array, np.uint64(2**62))  # so that it stays out of range
        array = array.astype(np.int64)
    return np.ascontiguousarray(array)


def edge_arrays(left: object, right: object, names: tuple[str, str], problems: list[Problem]) -> tuple[Codes, Codes]:
    """Both ends of edges, of one length and one type."""
    before = len(problems)
    one, other = code_array(left, names[0], problems), code_array(right, names[1], problems)
    if len(problems) == before and len(one) != len(other):
        message = f"{len(one):,} codes in {names[0]} and {len(other):,} in {names[1]}"
        problems.append(Problem("structure.lengths", message, Where(path=names[1]), "as many of both"))
    if one.dtype != other.dtype:
        one, other = one.astype(np.int64), other.astype(np.int64)
    return one, other


def float_array(
    given: object, name: str, count: int, problems: list[Problem], *, high: float = float(np.finfo(np.float64).max)
) -> Floats:
    """`count` numbers in [0, high]; None stands for ones."""
    if given is None:
        return np.ones(count)
    array = np.asarray(given)
    if array.ndim != 1 or array.dtype.kind not in "iufb":
        what = f"{array.dtype} of shape {array.shape}"
        problems.append(Problem("structure.numbers", f"they are {what}", Where(path=name), "numbers in one row"))
        return np.ones(count)
    if len(array) != count:
        problems.append(Problem("structure.lengths", f"{len(array):,} of them", Where(path=name), f"{count:,}"))
        return np.ones(count)
    out = np.ascontiguousarray(array, np.float64)
    wrong = ~((out >= 0.0) & (out <= high))
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        message = f"{int(wrong.sum()):,} out of range, the first at {at:,}: {out[at]:g}"
        allowed = "0 or more, finite" if high > 1e300 else f"0 to {high:g}"
        problems.append(Problem("structure.range", message, Where(path=name), allowed))
    return out


def code_problem(n: int, codes: Codes, name: str) -> list[Problem]:
    """Codes that are none of 0 … n - 1."""
    wrong = (codes < 0) | (codes >= n)
    if not wrong.any():
        return []
    at = int(np.flatnonzero(wrong)[0])
    message = f"{int(wrong.sum()):,} codes out of range, the first at {at:,}: {int(codes[at])}"
    allowed = f"0 to {n - 1:,}" if n else "none: there are no nodes"
    return [Problem("structure.code_range", message, Where(path=name), allowed)]
