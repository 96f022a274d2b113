# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Slabs and their open-addressing tables: find, insert, remove, rebuild. Hot path.

A table's entry is one word: the upper 32 bits of the id and the row's number plus one; the upper bits of the id are
also its home, so that neither growth nor removal (backward shift, Knuth 6.4 algorithm R) reads a row. A row keeps its
number for life; its first word is its id, its second a mark, `NONE` where the row is free (then the first word is the
next free row). Who calls makes sure of room beforehand (`state.py`), so nothing here allocates or fails.
"""

from __future__ import annotations

from numba import njit

from shoal.features.descriptor import (
    BITS,
    FREE,
    LIVE,
    NONE,
    ROW_BYTES,
    ROW_MARK,
    ROWS,
    TABLE,
    TEMPLATE,
    USED,
)
from shoal.features.kernel.access_kernel import copy_words, get, load64, put, store64

_LOW = 0xFFFFFFFF


@njit(cache=True, nogil=True)
def row_of(d, space, slot):
    """The address of a row."""
    return get(d, space + ROWS) + slot * get(d, space + ROW_BYTES)


@njit(cache=True, nogil=True)
def home_of(d, space, ident):
    """The address of the table's entry at which an id is looked for first."""
    return get(d, space + TABLE) + 8 * (((ident >> 32) & _LOW) >> (32 - get(d, space + BITS)))


@njit(cache=True, nogil=True)
def find(d, space, ident):
    """The row of an id, or -1."""
    bits = get(d, space + BITS)
    table = get(d, space + TABLE)
    mask = (1 << bits) - 1
    high = (ident >> 32) & _LOW
    place = high >> (32 - bits)
    while True:
        entry = load64(table + 8 * place)
        if entry == 0:
            return -1
        if ((entry >> 32) & _LOW) == high:
            slot = (entry & _LOW) - 1
            if load64(row_of(d, space, slot)) == ident:
                return slot
        place = (place + 1) & mask


@njit(cache=True, nogil=True)
def guess(d, space, ident):
    """The row that the table alone gives for an id, or -1: who calls compares the row's id, once it is at hand."""
    bits = get(d, space + BITS)
    table = get(d, space + TABLE)
    mask = (1 << bits) - 1
    high = (ident >> 32) & _LOW
    place = high >> (32 - bits)
    while True:
        entry = load64(table + 8 * place)
        if entry == 0:
            return -1
        if ((entry >> 32) & _LOW) == high:
            return (entry & _LOW) - 1
        place = (place + 1) & mask


@njit(cache=True, nogil=True)
def _enter(table, bits, ident, slot):
    mask = (1 << bits) - 1
    high = (ident >> 32) & _LOW
    place = high >> (32 - bits)
    while load64(table + 8 * place) != 0:
        place = (place + 1) & mask
    store64(table + 8 * place, (high << 32) | (slot + 1))


@njit(cache=True, nogil=True)
def take(d, space):
    """A free row, filled from the space's template; its id and mark are the caller's to set."""
    slot = get(d, space + FREE)
    if slot >= 0:
        row = row_of(d, space, slot)
        put(d, space + FREE, load64(row))
    else:
        slot = get(d, space + USED)
        put(d, space + USED, slot + 1)
        row = row_of(d, space, slot)
    put(d, space + LIVE, get(d, space + LIVE) + 1)
    copy_words(get(d, space + TEMPLATE), row, get(d, space + ROW_BYTES) >> 3)
    return slot


@njit(cache=True, nogil=True)
def give(d, space, slot):
    """Hand a row back."""
    row = row_of(d, space, slot)
    store64(row, get(d, space + FREE))
    store64(row + ROW_MARK, NONE)
    put(d, space + FREE, slot)
    put(d, space + LIVE, get(d, space + LIVE) - 1)


@njit(cache=True, nogil=True)
def insert(d, space, ident, mark):
    """A new row for an id that is not in the table."""
    slot = take(d, space)
    row = row_of(d, space, slot)
    store64(row, ident)
    store64(row + ROW_MARK, mark)
    _enter(get(d, space + TABLE), get(d, space + BITS), ident, slot)
    return slot


@njit(cache=True, nogil=True)
def remove(d, space, slot):
    """Take a row's entry out of the table, closing the gap, and hand the row back."""
    ident = load64(row_of(d, space, slot))
    bits = get(d, space + BITS)
    table = get(d, space + TABLE)
    mask = (1 << bits) - 1
    place = ((ident >> 32) & _LOW) >> (32 - bits)
    while (load64(table + 8 * place) & _LOW) - 1 != slot:
        place = (place + 1) & mask
    ahead = place
    while True:
        ahead = (ahead + 1) & mask
        entry = load64(table + 8 * ahead)
        if entry == 0:
            break
        home = ((entry >> 32) & _LOW) >> (32 - bits)
        if ((ahead - home) & mask) >= ((ahead - place) & mask):
            store64(table + 8 * place, entry)
            place = ahead
    store64(table + 8 * place, 0)
    give(d, space, slot)


@njit(cache=True, nogil=True)
def enter_all(source, source_bits, table, bits):
    """Enter all entries of a table into a larger (zeroed) one. Both are in the order of the ids: no row is read."""
    mask = (1 << bits) - 1
    for k in range(1 << source_bits):
        entry = load64(source + 8 * k)
        if entry != 0:
            place = ((entry >> 32) & _LOW) >> (32 - bits)
            while load64(table + 8 * place) != 0:
                place = (place + 1) & mask
            store64(table + 8 * place, entry)


@njit(cache=True, nogil=True)
def rebuild(d, space):
    """Enter all live rows into the (zeroed) table."""
    table = get(d, space + TABLE)
    bits = get(d, space + BITS)
    for slot in range(get(d, space + USED)):
        row = row_of(d, space, slot)
        if load64(row + ROW_MARK) != NONE:
            _enter(table, bits, load64(row), slot)
