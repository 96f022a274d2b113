"""The policy engine: rule matches in, decisions out, in seq order. Hot path.

Owns two states, both keyed by subject and advanced in `seq` order, so that results do not depend on how the journal was
cut: the evidence (which rule families matched a subject for a threat within the window) and the leases (until when an
action on a subject is not planned again). Work is proportional to the rows that matched. It reads no clock: time is
`as_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from shoal.errors import InvalidInput
from shoal.events.identity import Identity
from shoal.expressions.frame import Frame, Layout
from shoal.policy import policy_kernel as kernel
from shoal.policy.checks import policy_problems
from shoal.policy.decisions import Decisions, Hits, Outbox
from shoal.policy.definitions import ACTIONS, Policy
from shoal.policy.state import Names, StateTable, read_state, write_state
from shoal.rules.rules import SUBJECT_KINDS, Matches, RuleSet, unpack_bits

Int64s = npt.NDArray[np.int64]
Pause = Callable[[int, int, Int64s], None]
"""Called with the rows (from, to) walked since the last pause, and their hits [k, 5]: row, threat, kind, subject,
tier."""
HIT_FIELDS, OUT_FIELDS = 12, 6
_FIRST = (np.zeros((0, 0), np.int8), np.zeros(0, np.int64), np.zeros((0, 4), np.int64))
"""A first decision: nothing was said of the rows before."""
_ON_UNKNOWN = {"ignore": kernel.IGNORE, "match": kernel.MATCH, "defer": kernel.DEFER}


class Stamped(Protocol):
    """What the policy reads of `features.engine.Stamps`."""

    seq: npt.NDArray[np.int64]
    as_of: npt.NDArray[np.int64]


class PolicyEngine:
    """A policy compiled for one rule set and layout.

    `lists` are the named lists of the allow entries. Raises `InvalidInput` where the policy does not fit the rules.
    """

    threats: tuple[str, ...]
    kinds: tuple[str, ...]
    actions: tuple[str, ...]
    text_columns: frozenset[str]
    """Columns whose texts the frame must carry."""

    def __init__(
        self,
        policy: Policy,
        rules: RuleSet,
        layout: Layout,
        identity: Identity,
        lists: Mapping[str, Any] | None = None,
    ) -> None:
        self.policy, self.rules, self.layout, self.identity = policy, rules, layout, identity
        self.lists = dict(lists or {})
        columns = dict(zip(layout.names, layout.kinds, strict=True))
        problems = policy_problems(policy, rules.rules, columns, self.lists)
        if problems:
            raise InvalidInput(problems)
        self.threats = tuple(policy.threats)
        self.kinds = ("event", *sorted(set(SUBJECT_KINDS.values()) - {"event"}))
        self.actions = tuple(ACTIONS)
        self._words = (len(rules.rules) + 63) // 64
        self._window_us = policy.evidence_s * 1_000_000
        self._as_of = 0
        self._compile_rules()
        self._compile_steps()
        self._compile_plan()
        self._compile_allow()
        self._evidence, self._leases = StateTable(), StateTable()
        subjects = {rule.subject for rule in rules.rules} | {
            action.on for threat in policy.threats.values() for action in threat.actions if action.on
        }
        allowed = {entry.column for entry in policy.allow}
        self.text_columns = (frozenset(subjects - {"event"}) | allowed | rules.text_columns) & frozenset(layout.names)

    def _compile_rules(self) -> None:
        rules = self.rules.rules
        groups: dict[tuple[str, str], int] = {}
        families: dict[str, dict[str, int]] = {threat: {} for threat in self.threats}
        group_of, bits = [], []
        for rule in rules:
            group_of.append(groups.setdefault((rule.threat, rule.subject), len(groups)))
            known = families[rule.threat]
            bits.append(1 << known.setdefault(rule.family or rule.id, len(known)))
        self._names = Names(
            self.threats, self.kinds, self.actions, {threat: tuple(known) for threat, known in families.items()}
        )
        self._on_unknown = np.array([_ON_UNKNOWN[rule.on_unknown] for rule in rules], dtype=np.int64)
        self._rules = (
            self._on_unknown,
            np.array(group_of, dtype=np.int64),
            np.array(bits, dtype=np.int64),
            np.array([int(rule.severity) for rule in rules], dtype=np.int64),
            np.array([rule.confirmed for rule in rules], dtype=np.int64),
        )
        listed = list(groups)
        count = len(listed)
        self._group_columns = [self.layout.index.get(subject, -1) for _, subject in listed]
        self._groups = (
            np.array([self.threats.index(threat) for threat, _ in listed], dtype=np.int64),
            np.array([self.kinds.index(SUBJECT_KINDS[subject]) for _, subject in listed], dtype=np.int64),
            np.array(self._group_columns, dtype=np.int64),
            *(np.zeros(count, dtype=np.int64) for _ in range(7)),
        )

    def _compile_steps(self) -> None:
        start, tier, severity, rules = [0], [], [], []
        for threat in self.policy.threats.values():
            for step in threat.steps:
                tier.append(int(step.tier))
                severity.append(int(step.severity))
                rules.append(step.rules)
            start.append(len(tier))
        self._steps = tuple(np.array(part, dtype=np.int64) for part in (start, tier, severity, rules))

    def _compile_plan(self) -> None:
        start, lines, fits = [0], [], []
        for threat in self.policy.threats.values():
            for planned in threat.actions:
                column = self.layout.index.get(planned.on, -1) if planned.on else -1
                kind = self.kinds.index(SUBJECT_KINDS[planned.on]) if planned.on else -1
                number = self.actions.index(planned.action)
                lines.append((number, int(planned.from_tier), planned.lease_s * 1_000_000, column, kind))
                spec = ACTIONS[planned.action]
                secured = threat.role != "victim" or spec.secures or planned.action == "watch"
                fits.append([k in spec.kinds and (secured or k != "account") for k in self.kinds])
            start.append(len(lines))
        columns = np.array(lines, dtype=np.int64).reshape(-1, 5).T
        self._plan = (
            np.array(start, dtype=np.int64),
            *(np.ascontiguousarray(column) for column in columns),
            np.array(fits, dtype=np.bool_).reshape(-1, len(self.kinds)),
        )

    def _compile_allow(self) -> None:
        entries = self.policy.allow
        shape = (len(entries), len(self.threats)), (len(entries), len(self.actions))
        self._allow_threats, self._allow_actions = np.zeros(shape[0], np.bool_), np.zeros(shape[1], np.bool_)
        for e, entry in enumerate(entries):
            self._allow_threats[e] = [not entry.threats or name in entry.threats for name in self.threats]
            self._allow_actions[e] = [not entry.actions or name in entry.actions for name in self.actions]
        self._allow_whole = np.array([not entry.actions for entry in entries], dtype=np.bool_)

    def _allowed_rows(self, frame: Frame, rows: Int64s, as_of: Int64s) -> npt.NDArray[np.bool_]:
        """[E, m]: whether an allow entry holds for a flagged row."""
        found = np.zeros((len(self.policy.allow), len(rows)), dtype=np.bool_)
        for e, entry in enumerate(self.policy.allow):
            texts = frame.texts.get(entry.column)
            if texts is not None and len(rows):
                found[e] = np.asarray(self.lists[entry.list].contains(texts.take(rows))) & (as_of[rows] < entry.expires)
        return found

    def decide(
        self, frame: Frame, matches: Matches, stamps: Stamped, pauses: Sequence[tuple[int, Pause]] = ()
    ) -> Decisions:
        """Decide a batch; rows must be in seq order and follow those of earlier calls.

        `matches` is int8 [R, n] of `RuleSet.match`. `pauses`: before that row (ascending; n: behind the last) the walk
        stops and the callable gets the hits since the last pause, so that it may decide earlier rows `again`. Cost:
        about 50 ns a row, 1 to 3 µs a matched one.
        """
        matches, seq, as_of = _plain(matches), _plain(stamps.seq), _plain(stamps.as_of)
        matched, unknown, provisional, rows = self.bits(matches)
        if len(seq):
            self._as_of = max(self._as_of, int(as_of[-1]))
        if not pauses:
            return self._decisions(
                frame, matched, unknown, provisional, seq, as_of, self._walk(frame, matches, rows, seq, as_of)
            )
        walked, start = [], 0
        for stop, pause in (*pauses, (len(seq), None)):
            chosen = rows[(rows >= start) & (rows < stop)]
            walked.append(self._walk(frame, matches, chosen, seq, as_of))
            if pause is not None:
                pause(start, stop, walked[-1][0][:, [0, 1, 2, 3, 4]])
            start = stop
        before = np.concatenate(([0], np.cumsum([len(lines) for lines, _, _ in walked])))
        for shift, (_, _, entries) in zip(before.tolist(), walked, strict=False):
            entries[:, 0] += shift
        lines, words, entries = (np.concatenate(parts) for parts in zip(*walked, strict=True))
        return self._decisions(frame, matched, unknown, provisional, seq, as_of, (lines, words, entries))

    def bits(self, matches: Matches) -> tuple[Int64s, Int64s, npt.NDArray[np.bool_], Int64s]:
        """(matched [n, W], unknown [n, W], provisional [n], the rows that are walked) of `matches`."""
        n = matches.shape[1]
        matched = np.zeros((n, self._words), dtype=np.int64)
        unknown = np.zeros((n, self._words), dtype=np.int64)
        flagged = np.zeros(n, dtype=np.uint8)
        kernel.pack_matches(_plain(matches), self._on_unknown, matched, unknown, flagged)
        rows = np.flatnonzero(flagged).astype(np.int64)
        provisional = np.zeros(n, dtype=np.bool_)
        if len(rows):
            deferred = matches[self._on_unknown == kernel.DEFER][:, rows] == 2
            provisional[rows] = deferred.any(axis=0)
        return matched, unknown, provisional, rows

    def again(
        self, frame: Frame, matches: Matches, seq: Int64s, as_of: int, told: Matches, old: Sequence[Int64s]
    ) -> Decisions:
        """Decide rows of the past once more, at the journal's time `as_of`.

        `told` int8 [R, n]: 1 where a rule matched already; `old`: of each row the hits (threat, kind, subject, tier) of
        its last decision. Evidence and leases are those of now. What was told is not remembered again, and of the
        actions only those above the tier of then are planned, where no lease runs.
        """
        matches, seq = _plain(matches), _plain(seq)
        now = np.full(len(seq), as_of, dtype=np.int64)
        matched, unknown, provisional, rows = self.bits(matches)
        counts = [len(old[row]) for row in rows.tolist()]
        starts = np.concatenate(([0], np.cumsum(counts, dtype=np.int64))).astype(np.int64)
        none = np.zeros((0, 4), dtype=np.int64)
        lines = np.ascontiguousarray(np.concatenate([none, *(old[row] for row in rows.tolist())]), dtype=np.int64)
        before = (np.ascontiguousarray(told, dtype=np.int8), starts, lines)
        walked = self._walk(frame, matches, rows, seq, now, before)
        return self._decisions(frame, matched, unknown, provisional, seq, now, walked)

    def _decisions(
        self,
        frame: Frame,
        matched: Int64s,
        unknown: Int64s,
        provisional: npt.NDArray[np.bool_],
        seq: Int64s,
        as_of: Int64s,
        walked: tuple[Int64s, Int64s, Int64s],
    ) -> Decisions:
        lines, words, entries = walked
        tier, enforced = np.zeros(len(seq), dtype=np.int8), np.zeros(len(seq), dtype=np.int8)
        np.maximum.at(tier, lines[:, 0], lines[:, 4].astype(np.int8))
        np.maximum.at(enforced, lines[:, 0], lines[:, 11].astype(np.int8))
        hits = self._hits(frame, seq, as_of, lines, words, entries)
        outbox = self._outbox(frame, hits, entries)
        return Decisions(tier, enforced, matched.view(np.uint64), unknown.view(np.uint64), provisional, hits, outbox)

    def _walk(
        self,
        frame: Frame,
        matches: Matches,
        rows: Int64s,
        seq: Int64s,
        as_of: Int64s,
        before: tuple[Matches, Int64s, Int64s] | None = None,
    ) -> tuple[Int64s, Int64s, Int64s]:
        """Run the kernel over the flagged rows: hit lines, their rule words, outbox lines."""
        hits_room = int(np.count_nonzero(matches[:, rows])) if len(rows) else 0
        per_threat = np.diff(self._plan[0])
        out_room = hits_room * int(per_threat.max(initial=0))
        lines = np.zeros((hits_room, HIT_FIELDS), dtype=np.int64)
        words = np.zeros((hits_room, self._words), dtype=np.int64)
        entries = np.zeros((out_room, OUT_FIELDS), dtype=np.int64)
        if not hits_room:
            return lines, words, entries
        first = int(as_of[rows[0]])
        epoch = first // self._window_us
        self._evidence.reserve(hits_room, lambda cells: cells[:, 0] >= epoch - 1)
        self._leases.reserve(out_room, lambda cells: cells[:, 0] > first)
        allow = (
            self._allowed_rows(frame, rows, as_of),
            self._allow_threats,
            self._allow_actions,
            self._allow_whole,
        )
        count_hits, count_out = kernel.decide_rows(
            matches,
            rows,
            seq,
            as_of,
            frame.values,
            frame.valid,
            self._rules,
            self._groups,
            self._steps,
            self._plan,
            allow,
            (*self._evidence.arrays, self._window_us),
            self._leases.arrays,
            before or _FIRST,
            (lines, words),
            entries,
        )
        return lines[:count_hits], words[:count_hits], entries[:count_out]

    def _texts(self, frame: Frame, kinds: Int64s, columns: Int64s, ids: Int64s, rows: Int64s) -> tuple[str, ...]:
        """The texts of subjects, taken while the frame is there."""
        found = np.empty(len(rows), dtype=object)
        is_event = kinds == kernel.EVENT_KIND
        for column in np.unique(columns[~is_event]).tolist():
            mine = np.flatnonzero(~is_event & (columns == column))
            texts = frame.texts.get(self.layout.names[column])
            found[mine] = texts.take(rows[mine]).to_pylist() if texts is not None else None
        event_ids = frame.texts.get("event_id")
        if is_event.any():
            mine = np.flatnonzero(is_event)
            found[mine] = event_ids.take(rows[mine]).to_pylist() if event_ids is not None else None
        return tuple(
            text if text is not None else (f"seq:{i}" if kind == kernel.EVENT_KIND else f"id:{i & (2**64 - 1):016x}")
            for text, kind, i in zip(found.tolist(), kinds.tolist(), ids.tolist(), strict=True)
        )

    def _hits(self, frame: Frame, seq: Int64s, as_of: Int64s, lines: Int64s, words: Int64s, entries: Int64s) -> Hits:
        rows = lines[:, 0]
        shown = (lines[:, 7] == 1) & (lines[:, 4] > 0)
        shown[entries[:, 0]] = True
        bits = words.view(np.uint64)
        reasons = self._reasons(frame, rows, bits, np.flatnonzero(shown))
        return Hits(
            row=rows,
            seq=seq[rows],
            as_of=as_of[rows],
            threat=lines[:, 1],
            kind=lines[:, 2],
            subject=lines[:, 3],
            text=self._texts(frame, lines[:, 2], lines[:, 10], lines[:, 3], rows),
            tier=lines[:, 4].astype(np.int8),
            severity=lines[:, 5].astype(np.int8),
            families=lines[:, 6],
            fresh=lines[:, 7] == 1,
            provisional=lines[:, 8] == 1,
            suppressed=lines[:, 9],
            rules=bits,
            reasons=reasons,
        )

    def _reasons(
        self, frame: Frame, rows: Int64s, bits: npt.NDArray[np.uint64], shown: npt.NDArray[np.intp]
    ) -> dict[int, tuple[str, ...]]:
        """The reasons of the hits that are shown, rendered a rule at a time; in the order of the rules."""
        found: dict[int, list[str]] = {hit: [] for hit in shown.tolist()}
        if not found:
            return {}
        fired = unpack_bits(bits[shown], len(self.rules.rules))
        for rule in np.flatnonzero(fired.any(axis=1)).tolist():
            mine = shown[fired[rule]]
            for hit, text in zip(mine.tolist(), self.rules.render_rows(rule, frame, rows[mine]), strict=True):
                found[hit].append(text)
        return {hit: tuple(texts) for hit, texts in found.items()}

    def _outbox(self, frame: Frame, hits: Hits, entries: Int64s) -> Outbox:
        hit = entries[:, 0]
        text = np.array(hits.text, dtype=object)[hit]
        elsewhere = np.flatnonzero(entries[:, 5] >= 0)
        if len(elsewhere):
            part = entries[elsewhere]
            text[elsewhere] = self._texts(frame, part[:, 2], part[:, 5], part[:, 3], hits.row[part[:, 0]])
        return Outbox(
            hit=hit,
            seq=hits.seq[hit],
            as_of=hits.as_of[hit],
            action=entries[:, 1],
            kind=entries[:, 2],
            subject=entries[:, 3],
            text=tuple(text.tolist()),
            until=entries[:, 4],
        )

    def snapshot(self) -> bytes:
        """The state, with format name and version; equal states give equal bytes."""
        epoch = self._as_of // self._window_us
        evidence = self._evidence.rows(lambda cells: cells[:, 0] >= epoch - 1)
        leases = self._leases.rows(lambda cells: cells[:, 0] > self._as_of)
        return write_state(self._as_of, self._window_us, self._names, evidence, leases)

    def restore(self, data: bytes) -> None:
        """Take over a state; raises `Corrupt` or `Unsupported`."""
        as_of, evidence, leases = read_state(data, self._names, self._window_us)
        self._as_of = as_of
        for table, (keys, cells) in ((self._evidence, evidence), (self._leases, leases)):
            table.allocate(1024)
            table.reserve(len(keys), lambda cells: np.ones(len(cells), dtype=np.bool_))
            table.fill(keys, cells)

    def warm(self) -> None:
        """Compile the kernels (or load them from the cache) on an empty batch."""
        none = np.zeros(0, dtype=np.int64)
        matches = np.zeros((len(self.rules.rules), 0), dtype=np.int8)
        kernel.pack_matches(
            matches,
            self._on_unknown,
            np.zeros((0, self._words), np.int64),
            np.zeros((0, self._words), np.int64),
            np.zeros(0, np.uint8),
        )
        frame = Frame.empty(self.layout, 1)
        allow = (
            np.zeros((len(self.policy.allow), 0), np.bool_),
            self._allow_threats,
            self._allow_actions,
            self._allow_whole,
        )
        table = StateTable()
        kernel.decide_rows(
            matches, none, none, none, frame.values, frame.valid, self._rules, self._groups, self._steps, self._plan,
            allow, (*table.arrays, self._window_us), table.arrays, _FIRST,
            (np.zeros((0, HIT_FIELDS), np.int64), np.zeros((0, self._words), np.int64)),
            np.zeros((0, OUT_FIELDS), np.int64),
        )  # fmt: skip
        table.fill(np.zeros((0, 2), np.int64), np.zeros((0, 3), np.int64))


def _plain(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array as the kernels were compiled for: contiguous and writable (Arrow's are read-only)."""
    return np.require(array, requirements=["C", "W"])


def rule_indices(words: npt.NDArray[np.uint64]) -> Sequence[int]:
    """Indices of the bits set in one row of packed words."""
    found = []
    for place, word in enumerate(words.tolist()):
        while word:
            low = word & -word
            found.append(64 * place + low.bit_length() - 1)
            word ^= low
    return found
