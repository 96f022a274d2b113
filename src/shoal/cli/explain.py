"""`shoal explain`: one decision as it was, with everything behind it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from shoal.runtime.review.explain import Explanation
    from shoal.storage.store import DecisionRow


def explain(
    subject: str = typer.Argument(..., metavar="EVENT_ID|SUBJECT", help="An event's id, or a subject."),
    home: Path = typer.Option(Path("shoal-data"), "--out", "-o", help="The deployment's folder."),
    every: bool = typer.Option(False, "--all", help="Also rules that did not match and features that are null."),
) -> None:
    """Show a decision as it was: features, rules, facts, lists, versions, and the events behind each count."""
    from shoal.cli.show import out, progress_bars
    from shoal.errors import InvalidInput, Problem
    from shoal.runtime.home import open_home
    from shoal.runtime.keep.history import cut_in_words
    from shoal.runtime.review.explain import decisions_of, decisions_on, explain_event, find_event, strongest
    from shoal.storage.journal import Journal

    opened = open_home(home, create=False)
    journal = Journal.open(opened.journal, identity=opened.identity, read_only=True)
    with progress_bars() as progress:
        progress.stage("looking it up")
        seq = find_event(journal, subject)
        first, cut = journal.first_seq, cut_in_words(journal)
        journal.close()
        rows = decisions_of(opened, subject)
        if seq is None and first:
            rows += decisions_on(opened, subject)
        if seq is None and not rows:
            gone = f"events before {cut} are gone; " if first else ""
            raise InvalidInput(
                Problem(
                    "explain.unknown",
                    f"no event has the id {subject!r}, and no decision above allow is about it",
                    hint=gone + "names are compared exactly; `shoal run` lists subjects",
                )
            )
        progress.stage("replaying up to it")
        kept = [row for row in rows if row.seq >= first]
        explanation = None
        if seq is not None or kept:
            chosen = seq if seq is not None else strongest(kept).seq
            explanation = explain_event(opened, chosen, progress.moved)
    if seq is None:
        _print_history(subject, rows)
        if len(kept) < len(rows):
            out.print(
                f"{len(rows) - len(kept):,} of their events lie before {cut}: what was decided is kept, features and "
                "rules of it are not",
                markup=False,
            )
    if explanation is not None:
        if seq is None:
            out.print("\nThe strongest of them:" if len(kept) == len(rows) else "\nThe strongest that is kept:")
        _print_event(explanation)
        _print_revisions(explanation)
        _print_rules(explanation, every)
        _print_features(explanation, every)
    out.print()


def _print_history(subject: str, rows: list[DecisionRow]) -> None:
    from shoal.cli.show import moment, out
    from shoal.policy.definitions import Tier

    out.print(f"[bold]{len(rows):,} decisions above allow[/bold] are about {subject!r}; those with new reasons:")
    shown = [row for row in rows if row.reasons != "[]"] or rows[:1]
    for row in shown[:25]:
        reasons = "; ".join(json.loads(row.reasons)) or ", ".join(json.loads(row.rules))
        actions = json.loads(row.actions)
        out.print(
            f"  {moment(row.as_of)}  {Tier(row.tier).name.lower():9} {row.threat:18} {reasons}"
            + (f"  → {', '.join(actions)}" if actions else ""),
            markup=False,
        )
    if len(shown) > 25:
        out.print(f"  … and {len(shown) - 25:,} more")


def _print_event(explanation: Explanation) -> None:
    from shoal.cli.show import moment, out

    event = dict(explanation.event)
    time, as_of = moment(event.pop("time")), moment(event.pop("as_of"))
    out.print(f"[bold]{event.get('type')}[/bold] at {time}, evaluated as of {as_of}")
    out.print(f"  decision   {explanation.tier}" + _enforced(explanation), markup=False)
    for one in explanation.differences:
        out.print(
            f"  differs    {one.what}: stored {one.stored}, decided again {one.replayed}", markup=False, style="red"
        )
    out.print(f"  record     seq {explanation.seq}, flags: {', '.join(explanation.flags) or 'none'}", markup=False)
    out.print(f"  pack       {explanation.pack}", markup=False)
    if explanation.enrichment:
        out.print(f"  enriched   {explanation.enrichment}", markup=False)
    if explanation.lists:
        out.print("  lists      " + ", ".join(f"{k} {v}" for k, v in explanation.lists.items()), markup=False)
    for name, value in event.items():
        out.print(f"  {name:18} {moment(value) if name == 'received' else _cut(value)}", markup=False)
    if explanation.facts:
        out.print("facts joined as of the event:")
        for name, value in explanation.facts.items():
            told = moment(value) if name.endswith("_created") else value
            out.print(f"  {name:18} {told}", markup=False)


def _print_revisions(explanation: Explanation) -> None:
    from shoal.cli.show import moment, out

    if not explanation.deferred:
        return
    out.print(f"deferred at first: {', '.join(explanation.deferred)}", markup=False)
    for one in explanation.revisions:
        known = ", ".join(f"{name} = {_cut(value, 80)}" for name, value in one.known.items()) or "erased"
        still = ", provisional still" if one.provisional else ""
        out.print(
            f"  revision {one.revision} at {moment(one.as_of)}, by record {one.cause_seq}: "
            f"{one.tier_before} → {one.tier}{still}",
            markup=False,
        )
        out.print(f"      became known: {known}", markup=False)
        for rule, before, after in one.rules:
            out.print(f"      {rule}: {before} → {after}", markup=False)
    if explanation.waiting is not None:
        out.print(f"  open: waits for {', '.join(explanation.waiting)}", markup=False)
    elif not explanation.revisions or explanation.revisions[-1].provisional:
        out.print("  closed: it is not revised any more", markup=False)


def _enforced(explanation: Explanation) -> str:
    return "" if explanation.enforced == explanation.tier else f" (an allow-list left {explanation.enforced})"


def _cut(value: Any, limit: int = 300) -> str:
    text = str(value)
    return text if len(text) <= limit else f"{text[:limit]}… ({len(text):,} characters)"


def _print_rules(explanation: Explanation, every: bool) -> None:
    from shoal.cli.show import out

    out.print("rules:")
    for state in explanation.rules:
        if state.state == "matched":
            out.print(f"  matched  {state.id}: {state.reason or state.title}", markup=False, style="yellow")
        elif state.state == "unknown" or every:
            out.print(f"  {state.state:8} {state.id}: {' '.join(state.condition.split())}", markup=False)
    rest = sum(state.state == "not" for state in explanation.rules)
    if not every:
        out.print(f"  {rest} did not match (--all shows them)")


def _print_features(explanation: Explanation, every: bool) -> None:
    from shoal.cli.show import moment, out

    out.print("features:")
    for name, value in explanation.features.items():
        if value is None and not every:
            continue
        counted = explanation.counted.get(name)
        note = " (partial: a lower bound)" if name in explanation.partial else ""
        shown = f"{value:.6g}" if isinstance(value, float) else value
        out.print(f"  {name:40} {shown}{note}", markup=False)
        if counted:
            kept = f" that are kept (its window reaches behind {explanation.cut})" if counted.cut else ""
            out.print(f"      {counted.total:,} events{kept} are behind it; the last:", markup=False)
            for seq, time, kind, event_id in counted.last:
                out.print(f"      {moment(time)}  {kind}  {event_id}  (seq {seq})", markup=False)
