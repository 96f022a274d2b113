"""The plainest policy: one row after the other, dicts, no bits, no tables. The slow twin of `policy.PolicyEngine`."""

from shoal.policy.definitions import ACTIONS
from shoal.rules.rules import SUBJECT_KINDS


class PlainPolicy:
    """Decides rows given as dicts; `render` is left to the engine."""

    def __init__(self, policy, rules, lists):
        self.policy, self.rules, self.lists = policy, rules, lists
        self.evidence, self.leases = {}, {}
        self.window = policy.evidence_s * 1_000_000

    def decide(self, row, verdicts, seq, as_of):
        """Hits of one row, in the order in which the rules first name their threat and subject."""
        found = {}
        groups = list(dict.fromkeys((rule.threat, rule.subject) for rule in self.rules))
        pairs = sorted(
            zip(self.rules, verdicts, strict=True), key=lambda pair: groups.index((pair[0].threat, pair[0].subject))
        )
        for rule, verdict in pairs:
            if verdict == 0 or (verdict == 2 and rule.on_unknown == "ignore"):
                continue
            value = row.get(rule.subject)
            subject = ("event", seq) if value is None else (SUBJECT_KINDS[rule.subject], value)
            hit = found.setdefault((rule.threat, *subject), {"rules": [], "deferred": False})
            if verdict == 2 and rule.on_unknown == "defer":
                hit["deferred"] = True
            else:
                hit["rules"].append(rule)
        return [self._hit(key, hit, row, as_of) for key, hit in found.items() if hit["rules"]]

    def _hit(self, key, hit, row, as_of):
        threat = self.policy.threats[key[0]]
        now = {rule.family or rule.id for rule in hit["rules"]}
        before = self._remember(key, now, as_of) if key[1] != "event" else set()
        families = before | now
        severity = max(rule.severity for rule in hit["rules"])
        tier = max((s.tier for s in threat.steps if severity >= s.severity and len(families) >= s.rules), default=0)
        entries = []
        if not any(rule.confirmed for rule in hit["rules"]):
            entries = [
                e
                for e in self.policy.allow
                if row.get(e.column) in self.lists[e.list]
                and as_of < e.expires
                and (not e.threats or key[0] in e.threats)
            ]
        suppressed = {a for e in entries for a in (e.actions or ACTIONS)}
        return {
            "key": key,
            "rules": sorted(rule.id for rule in hit["rules"]),
            "tier": int(tier),
            "enforced": 0 if any(not e.actions for e in entries) else int(tier),
            "families": len(families),
            "fresh": bool(now - before),
            "provisional": hit["deferred"],
            "actions": self._actions(key, threat, tier, row, as_of, suppressed),
        }

    def _remember(self, key, now, as_of):
        """Families of this epoch and the one before; an epoch is one window long."""
        epoch = as_of // self.window
        seen = self.evidence.setdefault(key, {})
        before = {family for family, at in seen.items() if any(e in (epoch, epoch - 1) for e in at)}
        for family in now:
            seen.setdefault(family, set()).add(epoch)
        return before

    def _actions(self, key, threat, tier, row, as_of, suppressed):
        done = []
        for planned in threat.actions:
            if tier < planned.from_tier or planned.action in suppressed:
                continue
            kind, value = key[1:]
            if planned.on:
                kind, value = SUBJECT_KINDS[planned.on], row.get(planned.on)
                if value is None:
                    continue
            spec = ACTIONS[planned.action]
            contained = threat.role == "victim" and not spec.secures and planned.action != "watch"
            if kind not in spec.kinds or (contained and kind == "account"):
                continue
            lease = (planned.action, kind, value)
            if kind != "event" and as_of < self.leases.get(lease, -1):
                continue
            self.leases[lease] = as_of + planned.lease_s * 1_000_000
            done.append((planned.action, kind, value))
        return done
