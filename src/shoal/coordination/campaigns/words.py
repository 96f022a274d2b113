"""Evidence in words: sentences with counts and times that an analyst can check, the strongest first.

Made from what the members share and from the shares of the sources; knows no texts of accounts or entities, which stand
as ids, and nothing of how the campaign was found beyond its arrays. Holds no state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from shoal.coordination.campaigns.fuse import Fused
from shoal.coordination.campaigns.groups import Groups
from shoal.coordination.campaigns.shared import SharedOf

Ints = npt.NDArray[np.int64]

MINUTE_US, HOUR_US, DAY_US = 60_000_000, 3_600_000_000, 86_400_000_000
WITHIN = 0.75
"""Creation times are told by the shortest stretch that holds this share of the members."""
TELL_WITHIN_US = 3 * DAY_US
TOLD = 0.05
"""Sources with less of the evidence than this are not told."""

FINDERS: Mapping[str, tuple[str, str]] = {
    "coaction": ("acted on the same objects at the same times as another member", "objects"),
    "signup": ("signed up by the same pattern as another member", "rare traits"),
    "content": ("hold the same content as another member", "items"),
}
"""What sources say that are no relations: what members did, and what the support of a pair counts."""


def moment(time_us: int) -> str:
    """A time as a person reads it, to the minute.

    >>> moment(0)
    '1970-01-01 00:00 UTC'
    """
    return datetime.fromtimestamp(time_us / 1e6, UTC).strftime("%Y-%m-%d %H:%M UTC")


def stretch(span_us: int) -> str:
    """A length of time in its largest fitting unit.

    >>> stretch(90 * 60_000_000)
    '90 minutes'
    """
    if span_us < MINUTE_US:
        return "a minute"
    for unit, name, until in ((MINUTE_US, "minutes", 120), (HOUR_US, "hours", 72), (DAY_US, "days", 1_000_000)):
        count = -(-span_us // unit)
        if count <= until:
            return f"{count} {name if count != 1 else name[:-1]}"
    return "ages"


def relation_words(one: SharedOf, rows: Ints, members: int, size: int) -> str:
    """What the shared entities of one relation say: `rows` are those of one campaign, `members` those who have any."""
    told = one.relation.words or f"share {one.relation.id}"
    alone = int((one.outside[rows] == 0).sum())
    count = len(rows)
    text = f"{members} of {size} {told} as another member"
    if count == 1:
        outside = int(one.outside[rows[0]])
        return f"{text}; nobody else has it" if not outside else f"{text}; so do {_others(outside)} outside"
    if alone == count:
        return f"{text}: {count} in all, which nobody else has"
    top = rows[np.lexsort((one.outside[rows], -one.inside[rows]))[0]]
    outside = int(one.outside[top])
    most = f"the most shared is with {int(one.inside[top])} members and " + (
        f"{_others(outside)} outside" if outside else "nobody outside"
    )
    return f"{text}: {count} in all, {alone if alone else 'none'} of which nobody else has; {most}"


def _others(count: int) -> str:
    return "1 account" if count == 1 else f"{count} accounts"


def finder_words(source: str, members: int, size: int, support: float) -> str:
    """What a source says that is no relation of the graph."""
    told, things = FINDERS.get(source, (f"are tied to another member by {source}", "things"))
    return f"{members} of {size} {told}; half of these pairs on {support:.0f} {things} or more"


def creation_words(created: Ints, first: Ints) -> list[str]:
    """When the accounts were made, and how old they were at their first tie; nothing where it is not telling."""
    known = created >= 0
    made = np.sort(created[known])
    out = []
    if len(made) >= 3:
        need = max(int(np.ceil(WITHIN * len(made))), 2)
        spans = made[need - 1 :] - made[: len(made) - need + 1]
        at = int(np.argmin(spans))
        if spans[at] <= TELL_WITHIN_US:
            begin, end = int(made[at]), int(made[at + need - 1])
            out.append(
                f"{need} of {len(created)} accounts were created within {stretch(end - begin)}, "
                f"from {moment(begin)} to {moment(end)}"
            )
        age = int(np.median(np.maximum(first[known] - created[known], 0)))
        if age <= 7 * DAY_US:
            out.append(f"half of the accounts were younger than {stretch(max(age, MINUTE_US))} at their first tie")
        elif age >= 60 * DAY_US:
            out.append(f"half of the accounts were older than {stretch(age)} at their first tie")
    return out


def joint_words(share: float) -> list[str]:
    """How much of what members act upon is theirs alone together; nothing under a fifth."""
    return (
        [f"{share:.0%} of what they act upon, the popular counted less, they act upon together"] if share >= 0.2 else []
    )


class Tellers:
    """Rows of what is shared, and pairs, by campaign: built once for all campaigns of a run."""

    def __init__(self, fused: Fused, groups: Groups, relations: Sequence[SharedOf]) -> None:
        self._fused, self._groups = fused, groups
        self._relations = {one.relation.id: one for one in relations}
        order = np.argsort(groups.pair_group, kind="stable")
        self._pair = groups.pair[order]
        self._pair_start = np.searchsorted(groups.pair_group[order], np.arange(groups.count + 1))
        self._row_start = np.searchsorted(fused.row_pair, np.arange(fused.size + 1))

    def rows(self, relation: str, group: int) -> Ints:
        """Rows of a relation that belong to a campaign."""
        one = self._relations[relation]
        return np.arange(np.searchsorted(one.group, group), np.searchsorted(one.group, group, "right"))

    def members(self, relation: str, group: int) -> int:
        """Members of a campaign that share something of a relation."""
        one = self._relations[relation]
        rows = self.rows(relation, group)
        if not len(rows):
            return 0
        held = one.tie_member[(one.tie_row >= rows[0]) & (one.tie_row <= rows[-1])]
        return len(np.unique(held))

    def tell(self, group: int, size: int, share: npt.NDArray[np.float64]) -> list[str]:
        """Sentences of the sources, by their share of the evidence."""
        out = []
        for place in np.argsort(-share, kind="stable").tolist():
            if share[place] < TOLD:
                break
            source = self._fused.sources[place]
            if source in self._relations and len(rows := self.rows(source, group)):
                out.append(relation_words(self._relations[source], rows, self.members(source, group), size))
            else:
                out.append(self._finder(group, size, place, source))
        return out

    def _finder(self, group: int, size: int, place: int, source: str) -> str:
        pairs = self._pair[self._pair_start[group] : self._pair_start[group + 1]]
        start, end = self._row_start[pairs], self._row_start[pairs + 1]
        row = np.concatenate([np.arange(a, b) for a, b in zip(start, end, strict=True)] or [np.zeros(0, np.int64)])
        row = row[(self._fused.row_source[row] == place) & (self._fused.row_llr[row] > 0)]
        pair = self._fused.row_pair[row]
        held = np.unique(np.concatenate([self._fused.left[pair], self._fused.right[pair]]))
        return finder_words(source, len(held), size, float(np.median(self._fused.row_support[row])))
