"""How findings are shown: a table, a readable summary, NDJSON, or OCSF Detection Findings."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import orjson
from rich.table import Table
from rich.text import Text

from shoal.cli.show import TIER_STYLES, moment, out, span
from shoal.events.writers import ocsf_detection_finding
from shoal.policy.definitions import Tier
from shoal.rules.rules import Severity

if TYPE_CHECKING:
    from shoal.policy.findings import Ranked
    from shoal.runtime.commit import Totals

_OCSF_SEVERITY = {"info": "informational"}


def as_dict(rank: int, ranked: Ranked) -> dict[str, Any]:
    """One ranked subject as plain data, for NDJSON."""
    return {
        "rank": rank,
        "subject_type": ranked.kind,
        "subject": ranked.subject,
        "score": round(ranked.score, 3),
        "severity": Severity(ranked.severity).name.lower(),
        "tier": Tier(ranked.tier).name.lower(),
        "tactics": list(ranked.stages),
        "first": moment(ranked.first),
        "last": moment(ranked.last),
        "decisions": ranked.count,
        "findings": [
            {
                "threat": finding.threat,
                "role": finding.role,
                "tier": Tier(finding.tier).name.lower(),
                "decisions": finding.count,
                "actions": finding.actions,
                "rules": [
                    {
                        "id": rule.rule,
                        "title": rule.title,
                        "severity": Severity(rule.severity).name.lower(),
                        "technique": list(rule.technique),
                        "reason": rule.reason,
                        "matches": rule.count,
                        "first": moment(rule.first),
                        "first_seq": rule.first_seq,
                        "peak_seq": rule.peak_seq,
                    }
                    for rule in finding.rules.values()
                ],
            }
            for finding in ranked.findings
        ],
    }


def as_ocsf(ranked: Ranked) -> list[dict[str, Any]]:
    """The OCSF Detection Findings of one ranked subject, one a threat."""
    records = []
    for finding in ranked.findings:
        severity = Severity(finding.severity).name.lower()
        rules = list(finding.rules.values())
        records.append(
            ocsf_detection_finding(
                {
                    "id": f"{ranked.kind}:{ranked.subject}:{finding.threat}:{finding.first}",
                    "time": finding.last,
                    "title": rules[0].title,
                    "description": " ".join(finding.reasons),
                    "severity": _OCSF_SEVERITY.get(severity, severity),
                    "threat": finding.threat,
                    "tier": Tier(finding.tier).name.lower(),
                    "subject_type": ranked.kind,
                    "subject": ranked.subject,
                    "rules": [
                        {"id": r.rule, "title": r.title, "technique": r.technique[0] if r.technique else None}
                        for r in rules
                    ],
                    "evidence": [{"reason": r.reason, "matches": r.count, "first_seq": r.first_seq} for r in rules],
                    "actions": list(finding.actions),
                }
            )
        )
    return records


def print_findings(ranked: Sequence[Ranked], total: int, *, output: str) -> None:
    """Print ranked findings in the wanted form; `total`: how many subjects there are in all."""
    if output in ("ndjson", "ocsf"):
        for rank, entry in enumerate(ranked, start=1):
            for record in [as_dict(rank, entry)] if output == "ndjson" else as_ocsf(entry):
                sys.stdout.buffer.write(orjson.dumps(record) + b"\n")
        sys.stdout.buffer.flush()
        return
    if not ranked:
        out.print("no findings: no rule brought a subject to `watch`")
        return
    if output == "table":
        _print_table(ranked)
    else:
        _print_summary(ranked)
    if total > len(ranked):
        out.print(f"… and {total - len(ranked):,} further subjects (--top shows more)")


def _print_table(ranked: Sequence[Ranked]) -> None:
    table = Table(box=None, header_style="bold", padding=(0, 1))
    table.add_column("#")
    table.add_column("tier")
    table.add_column("subject", overflow="fold")
    table.add_column("what and why", ratio=1)
    for rank, entry in enumerate(ranked, start=1):
        tier = Tier(entry.tier).name.lower()
        why = Text()
        for k, rule in enumerate(entry.rules[:4]):
            why.append(("\n" if k else "") + rule.title, style="bold")
            why.append(f"  {rule.reason}")
        if len(entry.rules) > 4:
            why.append(f"\n… and {len(entry.rules) - 4} more rules")
        actions = list(dict.fromkeys(name for finding in entry.findings for name in finding.actions))
        if actions:
            why.append("\n→ " + ", ".join(actions), style="dim")
        subject = Text(f"{entry.kind} ", style="dim")
        subject.append(entry.subject, style="bold")
        subject.append(f"\n{moment(entry.first)}, {span((entry.last - entry.first) / 1e6)}", style="dim")
        table.add_row(str(rank), Text(tier, style=TIER_STYLES[tier]), subject, why)
    out.print(table)


def _print_summary(ranked: Sequence[Ranked]) -> None:
    for rank, entry in enumerate(ranked, start=1):
        tier, severity = Tier(entry.tier).name.lower(), Severity(entry.severity).name.lower()
        out.print(f"{rank}. {entry.kind} {entry.subject}", markup=False, style="bold")
        chain = " → ".join(entry.stages)
        lasting = f", over {span((entry.last - entry.first) / 1e6)}" if entry.last > entry.first else ""
        out.print(f"   {tier} ({severity}), from {moment(entry.first)}{lasting}" + (f"; {chain}" if chain else ""))
        for finding in entry.findings:
            out.print(
                f"   {finding.threat.replace('_', ' ')} ({finding.role}), {finding.count:,} decisions", markup=False
            )
            for rule in sorted(finding.rules.values(), key=lambda r: r.first):
                technique = f" [{', '.join(rule.technique)}]" if rule.technique else ""
                out.print(f"     {moment(rule.first)}  {rule.reason or rule.title}{technique}", markup=False)
            if finding.actions:
                planned = ", ".join(f"{name} ×{n}" if n > 1 else name for name, n in finding.actions.items())
                out.print(f"     planned: {planned}", markup=False)


def print_totals(totals: Totals, seconds: float) -> None:
    """What went through in this process: the ledger's counts in one line, decisions by tier in another, provisional
    ones in a third."""
    counts = totals.counts
    names = (
        "read",
        "decided",
        "duplicate",
        "dead_lettered",
        "conflict",
        "facts",
        "labels",
        "late",
        "behind",
        "clamped",
    )
    told = ", ".join(
        f"{name.replace('_', ' ')} {counts[name]:,}" for name in names if counts[name] or name in names[:4]
    )
    rate = f" in {span(seconds)} ({counts['read'] / seconds:,.0f}/s)" if seconds > 0 and counts["read"] else ""
    out.print(f"records: {told}{rate}")
    tiers = ", ".join(f"{Tier(tier).name.lower()} {count:,}" for tier, count in sorted(totals.tiers.items()))
    out.print(f"decisions: {tiers or 'none'}; actions planned: {totals.actions:,}")
    if any(counts[name] for name in ("deferred", "revised", "closed")) or totals.open:
        out.print(
            f"provisional: {counts['deferred']:,}; revised {counts['revised']:,} times, settled {counts['settled']:,}, "
            f"closed without {counts['closed']:,}; open now {totals.open:,}"
        )
