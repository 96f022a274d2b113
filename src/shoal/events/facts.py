"""Facts: slowly changing, keyed knowledge that sources send beside events (an account's tier, a file's hash).

A fact says: from `time` on, `name` of the subject is `value`. The writer journals facts in the order of the stream and
joins them to events as of their place. Here live the table's schema and the names that are known; the state is held by
`enrich.facts`.
"""

from __future__ import annotations

import pyarrow as pa

FACTS_VERSION = 1

FACT_SCHEMA: pa.Schema = pa.schema(
    [
        pa.field("subject_type", pa.string()),  # account, link, file
        pa.field("subject", pa.string()),
        pa.field("name", pa.string()),  # one of FACT_NAMES[subject_type]
        pa.field("value", pa.string()),  # a text as it is; a bool as true/false; a time as integer microseconds
        pa.field("time", pa.int64()),  # microseconds UTC from which it holds
        pa.field("offset", pa.int64()),  # place in the partition, as events have it: gives the order among events
    ]
)

FACT_NAMES: dict[str, tuple[str, ...]] = {
    "account": ("created", "tier", "org", "verified"),
    "link": ("owner", "created"),
    "file": ("owner", "sha256"),
}
"""Subject type → the fact names it may have."""

TIME_FACTS = frozenset({"created"})
BOOL_FACTS = frozenset({"verified"})
