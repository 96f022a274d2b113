"""Labels: what is known to be abuse or benign, about whom, for which interval, and since when it is known.

A label covers the half-open interval [start, end): events of a hijacked account before its takeover are benign. It
joins a training set by `known_at`, never by when the abuse happened. A retraction is a label with `retracted` true.
Here lives the table's schema; the journal keeps the labels, `learn` reads them.
"""

from __future__ import annotations

import pyarrow as pa

LABELS_VERSION = 1

LABEL_SCHEMA: pa.Schema = pa.schema(
    [
        pa.field("subject_type", pa.string()),  # one of LABEL_SUBJECTS
        pa.field("subject", pa.string()),
        pa.field(
            "kind", pa.string()
        ),  # benign, or a kind of abuse: account_takeover, fake_account, phishing, malware …
        pa.field("start", pa.int64()),  # microseconds UTC; null = open
        pa.field("end", pa.int64()),  # microseconds UTC, exclusive; null = open
        pa.field("source", pa.string()),  # who says so
        pa.field("confidence", pa.float64()),  # in [0, 1]; null = unknown
        pa.field("known_at", pa.int64()),  # microseconds UTC
        pa.field("retracted", pa.bool_()),
        pa.field("offset", pa.int64()),  # place in the partition
    ]
)

LABEL_SUBJECTS: tuple[str, ...] = (
    "account", "link", "file", "session", "device", "ip", "url", "domain", "event", "campaign",
)  # fmt: skip
"""What a label may be about."""
LABEL_COLUMNS: tuple[str, ...] = (*LABEL_SUBJECTS, "file_sha256", "app")
"""What a label from a file may be about: the same, and two columns that name a thing by themselves."""
