# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""Queues of nodes that a key's row owns: the monotonic deque of min and max, and lists of buckets. Hot path.

A node lives in the one pool of 32-byte nodes; the row holds the numbers of the first and the last (-1: none). A node's
key is a time, or the number of a bucket. Expiry is lazy: whoever looks at a queue first drops what is not after
`limit`, so nothing depends on when the sweep comes by. (Monotonic deque: Tangwongsan, Hirzel and Schneider, DEBS 2017.)
"""

from __future__ import annotations

from numba import njit

from shoal.features.descriptor import (
    FREE,
    LIVE,
    N_KEY_AT,
    N_NEXT,
    N_PREV,
    N_SUM_AT,
    N_VALUE_AT,
    NODE_BYTES,
    NODES,
    ROWS,
    USED,
)
from shoal.features.kernel.access_kernel import as_float, get, load32, load64, put, store32, store64


@njit(cache=True, nogil=True)
def node_at(d, node):
    """The address of a node."""
    return get(d, get(d, NODES) + ROWS) + node * NODE_BYTES


@njit(cache=True, nogil=True)
def _take_node(d):
    pool = get(d, NODES)
    node = get(d, pool + FREE)
    if node >= 0:
        put(d, pool + FREE, load64(node_at(d, node)))
    else:
        node = get(d, pool + USED)
        put(d, pool + USED, node + 1)
    put(d, pool + LIVE, get(d, pool + LIVE) + 1)
    return node


@njit(cache=True, nogil=True)
def _give_node(d, node):
    pool = get(d, NODES)
    store64(node_at(d, node), get(d, pool + FREE))
    put(d, pool + FREE, node)
    put(d, pool + LIVE, get(d, pool + LIVE) - 1)


@njit(cache=True, nogil=True)
def push(d, ends, key, value):
    """Append a node to the queue whose ends stand at address `ends`."""
    node = _take_node(d)
    at = node_at(d, node)
    last = load32(ends + 4)
    store64(at + N_KEY_AT, key)
    store64(at + N_VALUE_AT, value)
    store64(at + N_SUM_AT, 0)
    store32(at + N_NEXT, -1)
    store32(at + N_PREV, last)
    if last >= 0:
        store32(node_at(d, last) + N_NEXT, node)
    else:
        store32(ends, node)
    store32(ends + 4, node)
    return at


@njit(cache=True, nogil=True)
def pop_first(d, ends):
    """Drop the first node of a queue that is not empty."""
    node = load32(ends)
    following = load32(node_at(d, node) + N_NEXT)
    store32(ends, following)
    if following >= 0:
        store32(node_at(d, following) + N_PREV, -1)
    else:
        store32(ends + 4, -1)
    _give_node(d, node)


@njit(cache=True, nogil=True)
def _pop_last(d, ends):
    node = load32(ends + 4)
    before = load32(node_at(d, node) + N_PREV)
    store32(ends + 4, before)
    if before >= 0:
        store32(node_at(d, before) + N_NEXT, -1)
    else:
        store32(ends, -1)
    _give_node(d, node)


@njit(cache=True, nogil=True)
def drop_until(d, ends, limit):
    """Drop the nodes whose key is not after `limit`."""
    while load32(ends) >= 0 and load64(node_at(d, load32(ends)) + N_KEY_AT) <= limit:
        pop_first(d, ends)


@njit(cache=True, nogil=True)
def beats(value, other, is_float, is_max):
    """Whether `value` is at least as extreme as `other`."""
    if is_float:
        return as_float(value) >= as_float(other) if is_max else as_float(value) <= as_float(other)
    return value >= other if is_max else value <= other


@njit(cache=True, nogil=True)
def deque_add(d, ends, key, value, flags):
    """Add a value to a monotonic deque; `flags`: bit 0 double, bit 1 max. One node for equal keys at most."""
    is_float, is_max = flags & 1, flags & 2
    while load32(ends + 4) >= 0 and beats(value, load64(node_at(d, load32(ends + 4)) + N_VALUE_AT), is_float, is_max):
        _pop_last(d, ends)
    last = load32(ends + 4)
    if last >= 0 and load64(node_at(d, last) + N_KEY_AT) == key:
        return
    push(d, ends, key, value)


@njit(cache=True, nogil=True)
def bucket_add(d, ends, bucket, amount):
    """Count one event of `amount` in its bucket; the row's totals stand behind the ends."""
    last = load32(ends + 4)
    if last >= 0 and load64(node_at(d, last) + N_KEY_AT) == bucket:
        at = node_at(d, last)
    else:
        at = push(d, ends, bucket, 0)
    store64(at + N_VALUE_AT, load64(at + N_VALUE_AT) + 1)
    store64(at + N_SUM_AT, load64(at + N_SUM_AT) + amount)
    store64(ends + 8, load64(ends + 8) + 1)
    store64(ends + 16, load64(ends + 16) + amount)


@njit(cache=True, nogil=True)
def bucket_drop(d, ends, limit):
    """Take buckets that are not after `limit` out of the row's totals."""
    while load32(ends) >= 0:
        at = node_at(d, load32(ends))
        if load64(at + N_KEY_AT) > limit:
            return
        store64(ends + 8, load64(ends + 8) - load64(at + N_VALUE_AT))
        store64(ends + 16, load64(ends + 16) - load64(at + N_SUM_AT))
        pop_first(d, ends)
