"""How campaigns look in a terminal."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from shoal.cli.show import moment, out
from shoal.reports.campaign import CampaignPage, Row

MOST_THINGS, MOST_DOUBTS = 12, 5


def print_campaign(page: CampaignPage, members: int) -> None:
    """A campaign: evidence, what is shared, members, doubts."""
    out.print(f"[bold]{page.id}[/bold]: {len(page.members):,} accounts that act as one; {page.score:.0%} likely to be "
              f"abusive ({page.low:.0%} to {page.high:.0%})", soft_wrap=True)  # fmt: skip
    out.print(f"{moment(page.first_us)} to {moment(page.last_us)}", markup=False)
    if page.merged_from:
        out.print(f"grown together from {', '.join(page.merged_from)}", markup=False)
    for line in (*page.evidence, *page.templates):
        out.print(f"  - {line}", markup=False, soft_wrap=True)
    things = _table("what they share", "link", "members", "others")
    for thing in page.things[:MOST_THINGS]:
        things.add_row(escape(f"{thing.relation} {thing.name}"), "hard" if thing.hard else "soft",
                       f"{thing.members:,}", f"{thing.outside:,}")  # fmt: skip
    out.print()
    out.print(things)
    if len(page.things) > MOST_THINGS:
        out.print(f"  and {len(page.things) - MOST_THINGS} more", markup=False)
    if members:
        rows = _table("account", "belongs with", "signed up", "decided so far")
        for row in page.members[:members]:
            made = moment(row.created_us) if row.created_us is not None else "not seen"
            rows.add_row(escape(row.name), f"{row.belief:.0%}" + (" (hard)" if row.hard else ""), made, row.tier or "-")
        out.print()
        out.print(rows)
        if len(page.members) > members:
            out.print(f"  and {len(page.members) - members} more (--members)", markup=False)
    _doubts(page)


def _doubts(page: CampaignPage) -> None:
    out.print(f"\nexpected innocents: {page.expected_innocents:.1f} of {len(page.members):,}", markup=False)
    for line in page.separates:
        out.print(f"  - {line}", markup=False, soft_wrap=True)
    for one in page.doubts[:MOST_DOUBTS]:
        why = f": {one.why}" if one.why else ""
        out.print(f"  {one.name} ({one.belief:.0%}){why}", markup=False, soft_wrap=True)


def print_account(page: CampaignPage, row: Row, account: str) -> None:
    """Why an account is in a campaign."""
    held = "a hard link" if row.hard else "soft links"
    out.print(f"{account} belongs to campaign {page.id} with {row.belief:.0%}, held by {held}; the campaign of "
              f"{len(page.members):,} accounts is {page.score:.0%} likely to be abusive", markup=False,
              soft_wrap=True)  # fmt: skip
    for at in row.things:
        thing = page.things[at]
        words = thing.words or f"share a {thing.relation}"
        out.print(f"  - {thing.name}: {thing.members - 1:,} other members and {thing.outside:,} others {words}",
                  markup=False, soft_wrap=True)  # fmt: skip
    if not row.things:
        out.print(
            "  - it shares nothing by name; it acts or signed up as the others do (see the campaign)", markup=False
        )
    for one in page.doubts:
        if one.name == account:
            out.print(f"  what speaks for it: {one.why or 'nothing in particular'}", markup=False, soft_wrap=True)


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for at, name in enumerate(names):
        table.add_column(name, overflow="fold", justify="left" if at == 0 or name == "signed up" else "right")
    return table
