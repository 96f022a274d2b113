# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
# ruff: noqa: ARG001 - an intrinsic's signature is Numba's
"""Raw memory for the feature kernels: typed loads and stores at 64-bit addresses, prefetch, mixing. Hot path.

All integers are int64 in registers, whatever their width in memory, so that no kernel is compiled twice.

The kernels see all state through one int64 array of addresses, lengths and counters (the descriptor, `plan.py`), so
that one compiled kernel drives any set of features and another kernel could drive the same state. Nothing here checks
bounds: `state.py` sizes every slab before a kernel runs, and `tests/features` runs the kernels against slow twins.
The mixer is the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types, uint64
from numba.extending import intrinsic as _intrinsic

intrinsic: Any = _intrinsic
"""Untyped: what it makes is called with one argument less than its definition has."""


def _pointer(builder, address, kind):
    return builder.inttoptr(address, kind.as_pointer())


def _load(bits, signed):
    def typed(typingctx, address):
        def generate(context, builder, signature, args):
            word = builder.load(_pointer(builder, args[0], ir.IntType(bits)), align=min(bits // 8, 4))
            if bits == 64:
                return word
            return (builder.sext if signed else builder.zext)(word, ir.IntType(64))

        return types.int64(types.int64), generate

    return typed


def _store(bits):
    def typed(typingctx, address, value):
        def generate(context, builder, signature, args):
            word = args[1] if bits == 64 else builder.trunc(args[1], ir.IntType(bits))
            builder.store(word, _pointer(builder, args[0], ir.IntType(bits)), align=min(bits // 8, 4))
            return context.get_dummy_value()

        return types.void(types.int64, types.int64), generate

    return typed


load64 = intrinsic(_load(64, True))
load32 = intrinsic(_load(32, True))
load8 = intrinsic(_load(8, False))
store64 = intrinsic(_store(64))
store32 = intrinsic(_store(32))
store8 = intrinsic(_store(8))


@intrinsic
def loadf(typingctx, address):
    """The double at an address."""

    def generate(context, builder, signature, args):
        return builder.load(_pointer(builder, args[0], ir.DoubleType()), align=4)

    return types.float64(types.int64), generate


@intrinsic
def storef(typingctx, address, value):
    """Put a double at an address."""

    def generate(context, builder, signature, args):
        builder.store(args[1], _pointer(builder, args[0], ir.DoubleType()), align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.float64), generate


@intrinsic
def prefetch(typingctx, address):
    """Ask for the cache line at an address, for reading and writing; never faults."""

    def generate(context, builder, signature, args):
        word = ir.IntType(32)
        pointer = builder.inttoptr(args[0], ir.IntType(8).as_pointer())
        kind = ir.FunctionType(ir.VoidType(), [pointer.type, word, word, word])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], kind)
        builder.call(function, [pointer, word(0), word(3), word(1)])
        return context.get_dummy_value()

    return types.void(types.int64), generate


@intrinsic
def as_int(typingctx, value):
    """The bits of a double as an int64."""

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], ir.IntType(64))

    return types.int64(types.float64), generate


@intrinsic
def as_float(typingctx, value):
    """The double whose bits an int64 holds."""

    def generate(context, builder, signature, args):
        return builder.bitcast(args[0], ir.DoubleType())

    return types.float64(types.int64), generate


@njit(cache=True, nogil=True)
def mix(a, b):
    """One well-mixed int64 of two; `b` stirred into `a`."""
    z = uint64(a) * uint64(0x9E3779B97F4A7C15) + uint64(b)
    z = (z ^ (z >> uint64(30))) * uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> uint64(27))) * uint64(0x94D049BB133111EB)
    return np.int64(z ^ (z >> uint64(31)))


@njit(cache=True, nogil=True)
def copy_words(source, target, words):
    """Copy 8-byte words from one address to another."""
    for k in range(words):
        store64(target + 8 * k, load64(source + 8 * k))


@intrinsic
def get(typingctx, d, field):
    """Word `field` of the descriptor at address `d`."""

    def generate(context, builder, signature, args):
        word = ir.IntType(64)
        place = builder.add(args[0], builder.shl(args[1], word(3)))
        return builder.load(_pointer(builder, place, word), align=8)

    return types.int64(types.int64, types.int64), generate


@intrinsic
def put(typingctx, d, field, value):
    """Set word `field` of the descriptor at address `d`."""

    def generate(context, builder, signature, args):
        word = ir.IntType(64)
        place = builder.add(args[0], builder.shl(args[1], word(3)))
        builder.store(args[2], _pointer(builder, place, word), align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), generate
