"""The plainest merge: every moment, sort all that is held and look from the front what may go."""


class PlainMerge:
    """Records are (time, event_id, partition, offset); times in µs."""

    def __init__(self, wait, max_rows):
        self.wait, self.max_rows = wait, max_rows
        self.held, self.seen, self.idle, self.ended, self.early = [], {}, set(), set(), 0

    def know(self, names):
        for name in names:
            self.seen.setdefault(name, [])

    def add(self, name, records, now):
        self.know([name])
        self.idle.discard(name)
        for time, event_id, offset in records:
            self.seen[name].append(time)
            self.held.append((time, event_id, name, offset, now))

    def shown(self, name):
        """Up to when the partition is known to be whole: its largest time, less how far it ever went back."""
        times = self.seen[name]
        if not times:
            return -(2**62)
        back = max(max(times[: k + 1]) - times[k] for k in range(len(times)))
        return max(times) - back

    def release(self, now):
        order = sorted(self.held, key=lambda r: r[:4])
        mark = min((self.shown(n) for n in self.seen if n not in self.idle | self.ended), default=2**62)
        go = 0
        for k, record in enumerate(order, start=1):
            if record[0] < mark or record[4] + self.wait <= now:
                go = k
        over = len(order) - self.max_rows
        self.early += max(0, over - go)
        out = order[: max(go, over)]
        self.held = [r for r in self.held if r not in out]
        return [(r[2], r[3]) for r in out]
