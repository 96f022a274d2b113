# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Arrays as bare addresses inside the machine. Hot path.

An array that is handed from one compiled function to another is counted there and back (atomically) and takes some ten
words of the call; the machine does that for every instruction and tile, with ten arrays. So it takes the address of
each array once a run. Whoever calls owns the arrays and keeps them alive; nothing here checks a bound.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import intrinsic


def _address(_typing, array):
    def build(context, builder, signature, arguments):
        return context.make_array(signature.args[0])(context, builder, arguments[0]).data

    return types.CPointer(array.dtype)(array), build


def _as_floats(_typing, place):
    def build(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.float64)(place), build


address: Any = intrinsic(_address)
"""The address of an array's first element, to be indexed like a flat array of its type."""
as_floats: Any = intrinsic(_as_floats)
"""An address of int64, read as float64."""
