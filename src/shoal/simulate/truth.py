"""Ground truth: which subjects were abused or abusive, when, and which events belong to which attack.

Two tables, kept apart from the events. `TRUTH_LABELS` has the columns of `events.labels.LABEL_SCHEMA` (subject_type,
subject, kind, start, end, source, confidence, known_at, retracted) and one more, `attack`: the id of the adversary's
instance in the scenario; `file_sha256` is a subject type of its own here. `TRUTH_EVENTS` names each event that is not
ordinary life: those of attacks, and the hard negatives of honest people. Honest negatives are labels whose kind
begins with `benign`.

The detectors must never read these; the demo and the evaluation do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

TRUTH_LABELS = pa.schema(
    [
        ("subject_type", pa.string()),  # account, link, ip, file_sha256, app
        ("subject", pa.string()),
        ("kind", pa.string()),  # one of KINDS or BENIGN_KINDS
        ("start", pa.int64()),  # µs UTC, inclusive
        ("end", pa.int64()),  # µs UTC, exclusive; null = open
        ("source", pa.string()),  # 'simulator'
        ("confidence", pa.float64()),
        ("known_at", pa.int64()),  # µs UTC: when a label of this kind would be known to the service
        ("retracted", pa.bool_()),
        ("attack", pa.string()),  # the adversary's id in the scenario; null for benign kinds
    ]
)
"""Labels of subjects over intervals."""

TRUTH_EVENTS = pa.schema(
    [
        ("event_id", pa.string()),
        ("time", pa.int64()),
        ("attack", pa.string()),  # the adversary's id; null for honest hard negatives
        ("kind", pa.string()),  # what abuse, or which benign kind
        ("harmful", pa.bool_()),  # false: honest people, and a victim's own recovery after an attack
    ]
)
"""One row for each event that is not ordinary life; every other event is honest."""

KINDS = (
    "account_takeover",
    "credential_stuffing",
    "password_spraying",
    "fake_accounts",
    "phishing",
    "malware",
    "destruction",
    "mfa_fatigue",
    "session_theft",
    "account_recovery",
    "app_consent",
    "insider_exfiltration",
    "referral_abuse",
    "quota_abuse",
    "invite_spam",
    "report_brigading",
    "reupload",
    "lateral_movement",
    "operation",
)
"""Kinds of abuse. Subjects: account_takeover, fake_accounts, destruction, mfa_fatigue, session_theft, account_recovery,
insider_exfiltration, referral_abuse, quota_abuse, invite_spam, report_brigading → account; credential_stuffing,
password_spraying → ip; phishing → link and account (the owner); malware, reupload, operation → link, account and
file_sha256; app_consent, lateral_movement → app and account (the victims)."""

BENIGN_KINDS = (
    "benign_bulk_download",
    "benign_bulk_delete",
    "benign_travel",
    "benign_new_device",
    "benign_office_move",
    "benign_viral_link",
    "benign_false_report",
    "benign_signup_wave",
    "benign_renumbering",
    "benign_shared_device",
    "benign_migration",
    "benign_referral",
    "benign_backup_client",
    "benign_app_launch",
    "benign_niche_app",
    "benign_incident",
    "benign_repeated_challenge",
    "benign_right_report",
    "benign_family",
    "benign_couple",
    "benign_company_card",
    "benign_campus",
    "benign_class",
    "benign_reseller",
    "benign_following",
    "benign_team",
    "benign_onboarding",
)
"""Honest behaviour that a careless rule takes for abuse."""

GROUP_KINDS = (
    "operation",
    "benign_household",
    "benign_family",
    "benign_couple",
    "benign_office",
    "benign_company_card",
    "benign_carrier",
    "benign_campus",
    "benign_class",
    "benign_reseller",
    "benign_following",
    "benign_team",
    "benign_onboarding",
)
"""Kinds of groups: cells of operations, and honest people who share an address, a card or an interest."""

TRUTH_GROUPS = pa.schema(
    [
        ("account", pa.string()),
        ("kind", pa.string()),  # one of GROUP_KINDS
        ("group", pa.string()),  # unique in the world, all kinds together
        ("attack", pa.string()),  # the operation's id; null for benign kinds
        ("role", pa.string()),  # fresh, aged, hijacked; teacher, reseller, channel, lead; member
    ]
)
"""One row for each account and group that it is in; an account may be in several. A group of an operation is a cell:
`ID#0`, `ID#1`, …; an operation that is not cut has the one cell `ID#0`."""

ALL_KINDS = (*KINDS, *BENIGN_KINDS, "recovery")
"""What the code in the column `mark` means; `recovery`: the owner of a hijacked account takes it back."""
MARK = {kind: code for code, kind in enumerate(ALL_KINDS)}


@dataclass
class LabelBook:
    """Collects labels while the world is planned and lived; codes, not texts."""

    rows: list[tuple[str, int, str, int, int | None, int, str | None]] = field(default_factory=list)

    def add(
        self, subject_type: str, subject: int, kind: str, start: int, end: int | None, known_at: int, attack: str | None
    ) -> None:
        """One label; `subject` is a code of its type, times are µs."""
        self.rows.append((subject_type, int(subject), kind, int(start), end, int(known_at), attack))

    def table(self, texts: Callable[[str, list[int]], list[str]]) -> pa.Table:
        """`TRUTH_LABELS`, by start; `texts` gives the texts of codes of a subject type."""
        arranged = sorted(self.rows, key=lambda row: (row[3], row[0], row[1], row[2]))
        names: dict[tuple[str, int], str] = {}
        for subject_type in sorted({row[0] for row in arranged}):
            codes = sorted({row[1] for row in arranged if row[0] == subject_type})
            names.update(zip(((subject_type, code) for code in codes), texts(subject_type, codes), strict=True))
        columns: dict[str, list[Any]] = {
            "subject_type": [row[0] for row in arranged],
            "subject": [names[row[0], row[1]] for row in arranged],
            "kind": [row[2] for row in arranged],
            "start": [row[3] for row in arranged],
            "end": [None if row[4] is None else int(row[4]) for row in arranged],
            "source": ["simulator"] * len(arranged),
            "confidence": [1.0] * len(arranged),
            "known_at": [row[5] for row in arranged],
            "retracted": [False] * len(arranged),
            "attack": [row[6] for row in arranged],
        }
        return pa.table(columns, schema=TRUTH_LABELS)
