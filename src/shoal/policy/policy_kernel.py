# mypy: disallow-untyped-decorators=False, allow-untyped-defs, allow-untyped-calls
"""The policy's kernels: rule matches to hits, evidence and leases. Hot path.

State lives in two open-addressing tables (linear probing, power-of-two capacity) owned by `policy.PolicyEngine`:
`keys` int64 [C, 2], `cells` int64 [C, 3], `used` uint8 [C]. The caller grows a table before a batch, so that no insert
can fail inside. A lease cell is (until, 0, 0); an evidence cell is (epoch, mask now, mask of the epoch before), where
epoch = as_of // evidence window: a match is remembered for at least one window and less than two.
An expired cell behaves as if it were absent, so that dropping it never changes a decision.
"""

from __future__ import annotations

from numba import njit

IGNORE, MATCH, DEFER = 0, 1, 2
EVENT_KIND = 0


@njit(cache=True, nogil=True)
def pack_matches(matches, on_unknown, matched, unknown, flagged):
    """Fill the packed bits [n, W] and mark the rows on which a rule matched, or is unknown and counts."""
    rules, rows = matches.shape
    for r in range(rules):
        word = r >> 6
        bit = 1 << (r & 63)
        counts = on_unknown[r] != 0
        for i in range(rows):
            m = matches[r, i]
            if m == 1:
                matched[i, word] |= bit
                flagged[i] = 1
            elif m == 2:
                unknown[i, word] |= bit
                if counts:
                    flagged[i] = 1


@njit(cache=True, nogil=True)
def _slot(keys, used, a, b):
    """The place of key (a, b), or of the empty cell where it belongs."""
    mask = len(used) - 1
    h = (b ^ (a * -7046029254386353131)) * -4417276706812531889
    i = (h ^ (h >> 29)) & mask
    while used[i] and (keys[i, 0] != a or keys[i, 1] != b):
        i = (i + 1) & mask
    return i


@njit(cache=True, nogil=True)
def insert(keys, cells, used, new_keys, new_cells):
    """Insert cells whose keys are not in the table yet (growing, restoring)."""
    for j in range(len(new_keys)):
        i = _slot(keys, used, new_keys[j, 0], new_keys[j, 1])
        used[i] = 1
        keys[i, 0] = new_keys[j, 0]
        keys[i, 1] = new_keys[j, 1]
        for c in range(3):
            cells[i, c] = new_cells[j, c]


@njit(cache=True, nogil=True)
def _popcount(word):
    count = 0
    while word:
        word &= word - 1
        count += 1
    return count


@njit(cache=True, nogil=True)
def _remember(keys, cells, used, count, a, b, epoch, mask):
    """Add `mask` to the evidence of (a, b); returns what was remembered before this row."""
    i = _slot(keys, used, a, b)
    if not used[i]:
        used[i] = 1
        count[0] += 1
        keys[i, 0] = a
        keys[i, 1] = b
        cells[i, 0] = epoch
        cells[i, 1] = mask
        cells[i, 2] = 0
        return 0
    if cells[i, 0] != epoch:
        cells[i, 2] = cells[i, 1] if cells[i, 0] == epoch - 1 else 0
        cells[i, 1] = 0
        cells[i, 0] = epoch
    before = cells[i, 1] | cells[i, 2]
    cells[i, 1] |= mask
    return before


@njit(cache=True, nogil=True)
def _lease(keys, cells, used, count, a, b, now, until):
    """Take the lease of (a, b) unless it still runs; returns whether it was taken."""
    i = _slot(keys, used, a, b)
    if used[i]:
        if now < cells[i, 0]:
            return False
    else:
        used[i] = 1
        count[0] += 1
        keys[i, 0] = a
        keys[i, 1] = b
    cells[i, 0] = until
    return True


@njit(cache=True, nogil=True)
def _gather(
    matches,
    row,
    told,
    on_unknown,
    rule_group,
    rule_bit,
    rule_severity,
    rule_confirmed,
    g_mask,
    g_severity,
    g_flags,
    g_told,
):
    """Per group of this row: family mask, strongest severity, flags (1 matched, 2 confirmed, 4 deferred), and the mask
    of families that an earlier decision on this row has told already."""
    g_mask[:] = 0
    g_told[:] = 0
    g_severity[:] = 0
    g_flags[:] = 0
    for r in range(matches.shape[0]):
        m = matches[r, row]
        if m == 0:
            continue
        g = rule_group[r]
        if m == 2 and on_unknown[r] == DEFER:
            g_flags[g] |= 4
        elif m == 1 or on_unknown[r] == MATCH:
            g_flags[g] |= 1
            g_mask[g] |= rule_bit[r]
            if told.shape[0] and told[r, row]:
                g_told[g] |= rule_bit[r]
            g_severity[g] = max(g_severity[g], rule_severity[r])
            if rule_confirmed[r]:
                g_flags[g] |= 2


@njit(cache=True, nogil=True)
def _subjects(row, seq, values, valid, group_kind, group_column, g_kind, g_id):
    """Who each group is about on this row; a null subject falls back to the event."""
    for g in range(len(group_kind)):
        column = group_column[g]
        if column >= 0 and valid[column, row]:
            g_kind[g] = group_kind[g]
            g_id[g] = values[column, row]
        else:
            g_kind[g] = EVENT_KIND
            g_id[g] = seq


@njit(cache=True, nogil=True)
def _merge(group_threat, g_kind, g_id, g_mask, g_severity, g_flags, g_told, g_home):
    """Groups of one threat that name the same subject on this row become one; `g_home` says which."""
    for g in range(len(group_threat)):
        g_home[g] = g
        if g_flags[g] == 0:
            continue
        for h in range(g):
            same = group_threat[h] == group_threat[g] and g_kind[h] == g_kind[g] and g_id[h] == g_id[g]
            if same and g_home[h] == h and g_flags[h] != 0:
                g_home[g] = h
                g_mask[h] |= g_mask[g]
                g_told[h] |= g_told[g]
                g_severity[h] = max(g_severity[h], g_severity[g])
                g_flags[h] |= g_flags[g]
                break


@njit(cache=True, nogil=True)
def _tier(threat, severity, families, step_start, step_tier, step_severity, step_rules):
    tier = 0
    for s in range(step_start[threat], step_start[threat + 1]):
        if severity >= step_severity[s] and families >= step_rules[s]:
            tier = max(tier, step_tier[s])
    return tier


@njit(cache=True, nogil=True)
def _hit_rules(matches, row, on_unknown, rule_group, g_home, home, words):
    """The packed bits of the rules that make up one hit."""
    for r in range(matches.shape[0]):
        m = matches[r, row]
        if (m == 1 or (m == 2 and on_unknown[r] == MATCH)) and g_home[rule_group[r]] == home:
            words[r >> 6] |= 1 << (r & 63)


@njit(cache=True, nogil=True)
def _tier_before(old_start, old, m, threat, kind, subject):
    """The tier that an earlier decision on this row gave (threat, kind, subject); -1 on a first decision."""
    if len(old_start) == 0:
        return -1
    for k in range(old_start[m], old_start[m + 1]):
        if old[k, 0] == threat and old[k, 1] == kind and old[k, 2] == subject:
            return old[k, 3]
    return 0


@njit(cache=True, nogil=True)
def decide_rows(
    matches, rows, seq, as_of, values, valid, rules, groups, steps, plan, allow, evidence, leases, before_now, hits, out
):
    """Walk the flagged rows in seq order; returns the numbers of hits and outbox lines written.

    rules: on_unknown, group, family bit, severity, confirmed (arrays [R]). groups: threat, kind, layout row (arrays
    [G]). steps: start [T + 1], tier, severity, rules. plan: start [T + 1], action, from tier, lease µs, layout row
    (-1 the subject), kind, fits [P, K]. allow: rows [E, m], threats [E, T], actions [E, A], whole [E]. evidence and
    leases: keys, cells, used, count [1], and for evidence the window in µs. before_now: what an earlier decision on the
    rows said, where they are decided again: told int8 [R, n] (rules that matched then; [0, 0] on a first decision),
    starts [m + 1] (or none) and lines [k, 4] of its hits (threat, kind, subject, tier): what was told is no new
    evidence, and only actions above the tier of then are planned. hits, out: int64 matrices [H, 10] and [A, 6], and
    the hits' rule words [H, W].
    """
    on_unknown, rule_group, rule_bit, rule_severity, rule_confirmed = rules
    group_threat, group_kind, group_column, g_mask, g_severity, g_flags, g_kind, g_id, g_home, g_told = groups
    told, old_start, old = before_now
    e_keys, e_cells, e_used, e_count, window = evidence
    hit_lines, hit_words = hits
    count_hits = 0
    count_out = 0
    for m in range(len(rows)):
        row = rows[m]
        _gather(
            matches,
            row,
            told,
            on_unknown,
            rule_group,
            rule_bit,
            rule_severity,
            rule_confirmed,
            g_mask,
            g_severity,
            g_flags,
            g_told,
        )
        _subjects(row, seq[row], values, valid, group_kind, group_column, g_kind, g_id)
        _merge(group_threat, g_kind, g_id, g_mask, g_severity, g_flags, g_told, g_home)
        for g in range(len(group_threat)):
            if g_home[g] != g or g_flags[g] & 1 == 0:
                continue
            threat = group_threat[g]
            before = 0
            if g_kind[g] != EVENT_KIND:
                key = (threat << 8) | g_kind[g]
                new = g_mask[g] & ~g_told[g]
                before = _remember(e_keys, e_cells, e_used, e_count, key, g_id[g], as_of[row] // window, new)
            families = _popcount(before | g_mask[g])
            tier = _tier(threat, g_severity[g], families, steps[0], steps[1], steps[2], steps[3])
            line = hit_lines[count_hits]
            line[0] = row
            line[1] = threat
            line[2] = g_kind[g]
            line[3] = g_id[g]
            line[4] = tier
            line[5] = g_severity[g]
            line[6] = families
            line[7] = 1 if g_mask[g] & ~g_told[g] & ~before else 0
            line[8] = 1 if g_flags[g] & 4 else 0
            line[9] = -1
            line[10] = group_column[g]
            line[11] = tier
            _hit_rules(matches, row, on_unknown, rule_group, g_home, g, hit_words[count_hits])
            confirmed = g_flags[g] & 2 != 0
            floor = _tier_before(old_start, old, m, threat, g_kind[g], g_id[g])
            count_out = _plan(
                count_hits, m, line, confirmed, floor, as_of[row], values, valid, plan, allow, leases, out, count_out
            )
            count_hits += 1
    return count_hits, count_out


@njit(cache=True, nogil=True)
def _plan(hit, m, line, confirmed, floor, now, values, valid, plan, allow, leases, out, count_out):
    """Plan the actions of one hit: from above the tier `floor`, allowed, fitting its subject, without a running
    lease."""
    start, action, from_tier, lease_us, column, kind, fits = plan
    allow_rows, allow_threats, allow_actions, allow_whole = allow
    keys, cells, used, count = leases
    row, threat, tier = line[0], line[1], line[4]
    if not confirmed:
        for e in range(len(allow_whole)):
            if allow_rows[e, m] and allow_threats[e, threat]:
                if line[9] < 0:
                    line[9] = e
                if allow_whole[e]:
                    line[11] = 0
    for p in range(start[threat], start[threat + 1]):
        if tier < from_tier[p] or from_tier[p] <= floor:
            continue
        on_kind, on_id = line[2], line[3]
        if column[p] >= 0:
            if not valid[column[p], row]:
                continue
            on_kind, on_id = kind[p], values[column[p], row]
        if not fits[p, on_kind]:
            continue
        if line[9] >= 0 and _suppressed(allow_rows, allow_threats, allow_actions, m, threat, action[p]):
            continue
        if on_kind != EVENT_KIND:
            key = (action[p] << 8) | on_kind
            if not _lease(keys, cells, used, count, key, on_id, now, now + lease_us[p]):
                continue
        entry = out[count_out]
        entry[0] = hit
        entry[1] = action[p]
        entry[2] = on_kind
        entry[3] = on_id
        entry[4] = now + lease_us[p]
        entry[5] = column[p]
        count_out += 1
    return count_out


@njit(cache=True, nogil=True)
def _suppressed(allow_rows, allow_threats, allow_actions, m, threat, action):
    for e in range(len(allow_rows)):
        if allow_rows[e, m] and allow_threats[e, threat] and allow_actions[e, action]:
            return True
    return False
