"""Where what stands in the arrays of the segment signal: shared by the signal, its kernels and its snapshot.

A segment is one row of `cells` (float64), `times` (int64) and `registers` (uint8); the last row is the segment of all
logins. Options are two vectors, one of floats and one of integers. Constants only: changing one of them changes the
state, so the version of the signal must be raised with it.
"""

from __future__ import annotations

WAYS = 8
"""Words or rows in a bucket."""
REGISTERS = 128
"""Registers of one sketch; a row holds one of accounts and one of networks."""
NONE = -(2**62)
"""A time that is not set."""
DAY_US = 86_400_000_000
COMPONENTS = 4
"""Alternatives that the evidence is a mixture of."""

# Counts: strangers' attempts, failures, failures of strangers (which are both); learned, and waiting to be learned.
BASE, PENDING, COUNTS = 0, 3, 3
TESTS = 3
"""Evidence of three tests, `COMPONENTS` cells each."""
PROOF = 6
(
    ONSET_PROOF, FAILURES, SUCCESSES, OWN_FAILURES, TRIES, NAMELESS, ACCOUNTS, NETWORKS,
) = range(PROOF + TESTS * COMPONENTS, PROOF + TESTS * COMPONENTS + 8)  # fmt: skip
RECENT_FAILURES, RECENT_SUCCESSES, RECENT_OWN = range(NETWORKS + 1, NETWORKS + 4)
CELLS = RECENT_OWN + 1

AT_SEEN, SETTLED, TESTED, STARTED, OPENED = range(5)
TIMES = 5

# Options, floats.
HALF_LIFE_DAYS, SLACK, MEMORY_US, QUIET_US, ALPHA, HIT_RATE = range(6)
# Options, integers.
RETRY_MIN, KNOWN_MIN, ABSORB_US, MIN_ACCOUNTS, HOURS, ACCOUNT, NETWORK, ADDRESS = range(8)

# Figures of the whole service: trials (decayed sum, decayed number of days), trials of today, today; what was pushed
# out (pairs, segments of more than 20 trials); campaigns opened.
SUM, DAYS, TODAY, DAY, LOST_PAIRS, LOST_SEGMENTS, CAMPAIGNS = range(7)
FIGURES = 7
FIRST_MONTH = 100_000.0
"""Trials a month that are supposed before the first day is over."""
LEAST_MONTH = 1_000.0

(
    IN_CAMPAIGN, PROBABILITY, LOG_E, EXCESS, FAILED, EXPECTED, DISTINCT_ACCOUNTS, DISTINCT_NETWORKS, TRIES_EACH,
    NAMELESS_SHARE, AGE, LEADING, KNOWN, SPRAYING,
) = range(14)  # fmt: skip
OUTPUTS = 14
NEVER = -30.0
"""The logarithm of evidence where there is none."""
