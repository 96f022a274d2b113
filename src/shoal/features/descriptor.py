"""The neutral descriptor: which word of the one int64 array means what. Hot path (constants only).

All that a kernel needs stands in this array: a header, then tables whose places the header gives. `plan.py` writes the
tables, `state.py` the addresses, the kernels the counters. Another kernel (C, another language) could drive the same
state from it. Words that are addresses are written anew when state is restored; the others are part of a snapshot.
"""

from __future__ import annotations

DESCRIPTOR_VERSION = 2

NONE = -(2**63)
"""No moment yet; the mark of a free row."""
FAR = 2**63 - 1

# Header: clock and log
NOW, BASE, HEAD, PIECES, PIECE_MASK, LOG_LIMIT, REC_BYTES, COND_INLINE = range(8)
# Header: tables, each a count and the word at which it begins
N_SPACE, O_SPACE, N_KEY, N_INPUT, O_INPUT, N_COND, O_COND, N_VALUE, O_VALUE, N_WINDOW, O_WINDOW = range(8, 19)
N_WUP, O_WUP, N_LUP, O_LUP, N_PRE, O_PRE, N_POST, O_POST, COND_WORDS, O_EVENT_CONDS = range(19, 29)
# Header: pools, limits, batch
NODES, NODES_PER_EVENT, SKETCHES, SKETCHES_PER_EVENT, PAIR_CAP, LIFE_US, SEED, SKETCH_WINDOWS = range(29, 37)
A_AS_OF, A_TIME, A_FLAGS, A_SHOAL, OUT_VALUES, OUT_VALUES_STEP, OUT_VALID, OUT_VALID_STEP = range(37, 45)
OUT_PARTIAL, OUT_PARTIAL_STEP, NEED, LOG_CONDS, O_LOG_CONDS, CLAMPED_COUNT, DROPPED_PAIRS, GENERATION = range(45, 53)
LOG_BITS, HEADER = 53, 64

TILE = 64
"""Events whose keys are looked up ahead, so that memory is asked for before it is needed."""
TIME_BITS = 51
INLINE_CONDS = 13

# A space: a slab of rows and its hash table. Pools (nodes, sketches) use the slab alone.
(ROWS, TABLE, BITS, CAP, USED, FREE, LIVE, ROW_BYTES, TEMPLATE, SWEEP, KIND, S_IDS, S_SLOTS) = range(13)
# of a key space
(K_PARTS, K_COUNT, K_KEEP, K_LIFE, K_WORD, K_GEN, K_LISTS, K_NLISTS, K_WMASK, K_LMASK, K_GMASK) = range(13, 24)
# of a pair space
(P_KEY, P_INPUT, P_COND, P_WORD, P_WINDOWS, P_NWINDOWS, P_SKETCH, P_PAIRS, P_COUNT, P_MOMENT, P_READ) = range(13, 24)
(P_BUCKET, P_SPAN, P_HEAD, P_DISTINCT, P_GEN, P_FLOAT) = range(24, 30)
# of any space: live rows behind the last sweep
SWEPT = 30
# of any space: live rows when the tile was looked ahead; unchanged, no event of the tile has made a row
S_LIVE = 31
SPACE_WORDS = 32
KEY_SPACE, WINDOW_PAIRS, LIFE_PAIRS, BUCKET_PAIRS, POOL = range(5)
ROW_ID, ROW_MARK, ROW_CELLS = 0, 8, 16

# An input: addresses of its values and of its valid bytes
INPUT_WORDS = 2
# A condition: inputs of `where` and of two values that must not be null (-1: none), and whether shoal's events count
C_WHERE, C_NOT_NULL, C_NOT_NULL_2, C_SHOAL, COND_TABLE_WORDS = range(5)
# A fixed-point value: input, whether it is a double, factor (double bits), largest, condition, log offset, log bytes,
# the value of the event at hand, whether it was clamped
V_INPUT, V_FLOAT, V_FACTOR, V_LARGEST, V_COND, V_WORD, V_BYTES, V_NOW, V_CLAMPED, VALUE_WORDS = range(10)
# A window of the log: length in µs, tail position, its expiry operations
W_SPAN, W_TAIL, W_OPS, W_NOPS, WINDOW_WORDS = range(5)
# A window of a pair space: window number, cell of the count in the key's row, cell of the share in the pair's row
PW_WINDOW, PW_CELL, PW_SHARE, PW_WORDS = range(4)
# A list that a key's row owns: its kind and its cells, to give back when the row goes
LIST_DEQUE, LIST_BUCKET_PAIRS, LIST_SKETCH = range(3)
LIST_WORDS = 3

# Operations: code, space, condition, cell, then as each needs
OP_CODE, OP_SPACE, OP_COND, OP_CELL, OP_A, OP_B, OP_C, OP_D, OP_E, OP_WORDS = range(10)
(U_COUNT32, U_SUM, U_DECAY, U_DEQUE, U_BUCKET, U_PAIR_WINDOW, U_PAIR_BUCKET, U_COUNT64, U_LAST, U_MOMENT, U_FIRST,
 U_SPEED, U_EXTREME, U_PAIR_LIFE) = range(14)  # fmt: skip
E_COUNT, E_SUM, E_PAIR = range(3)
# Reads: code, space, output, cell, then as each needs; cover: as_of from which the history is known; since; born input
(R_CODE, R_SPACE, R_OUT, R_CELL, R_A, R_B, R_C, R_D, R_E, R_COVER, R_SINCE, R_BORN, R_VALUE, READ_WORDS) = range(14)
(X_COUNT32, X_COUNT64, X_SUM, X_MEAN32, X_MEAN64, X_LAST, X_GAP, X_AGE, X_SEEN, X_SHARE_LIFE, X_SHARE_WINDOW, X_SPEED,
 X_DECAY, X_DEQUE, X_EXTREME, X_DISTINCT, X_DISTINCT_LIFE, X_DISTINCT_BUCKET, X_BCOUNT, X_BSUM,
 X_BMEAN) = range(21)  # fmt: skip
HALF_OLDEST = 1
"""In R_E of a read of buckets: the oldest bucket of the window counts by half."""

NODE_BYTES = 32
N_KEY_AT, N_VALUE_AT, N_SUM_AT, N_NEXT, N_PREV = 0, 8, 16, 24, 28

SKETCH_BITS = 10
SKETCH_REGISTERS = 1 << SKETCH_BITS
SKETCH_RANKS = 22
SKETCH_NEWEST = SKETCH_REGISTERS * SKETCH_RANKS * 8
SKETCH_HIST = (SKETCH_RANKS + 2) * 4
SKETCH_WINDOW_BYTES = SKETCH_REGISTERS + SKETCH_HIST
SKETCH_ERROR = 1.04 / SKETCH_REGISTERS**0.5
"""Standard error of a sketched distinct count (Ertl, arXiv:1702.01284, table of m = 1024): 3.25 %."""
DECAY_STEP = 32
"""Landmarks of decayed counters stand at multiples of this many half-lives."""
DECAY_COVER = 20
"""Half-lives after which what came before the start weighs under a millionth."""
