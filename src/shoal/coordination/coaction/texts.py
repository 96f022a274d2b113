"""The SQL of co-action: fixed templates that DuckDB and Spark both read as they are.

Only whole numbers of checked settings and the names below are put into them; nothing that comes from outside. What
would differ between the engines is not used: cells are known by their start (`time - time % w`, no integer division),
rows are chosen by `EXISTS` (no semi joins), sums that must not depend on order are of whole numbers, and a pair is one
number. The only difference left is how a result is kept (`engines`).

An action falls into the cell of its object and time; two cells that touch are a bucket, so each cell is in two
buckets that overlap by half, and two actions at most a window apart are never cut. Tables of one window have its
number behind their names: `presence` (object, account, cell: first and last action), `cells`, `live` (cells with
company that are not too popular), `placed` (presence in live cells), `deep` (cells that a shorter window must look
at: too popular ones and their neighbours, and those where an account acted more than twice), `pending` (their actions).
"""

from __future__ import annotations

from collections.abc import Sequence
from string import Template

SHIFT = 1 << 32  # of the two numbers that are packed into one
UNIT = 1 << 20  # whole parts of logarithms and weights
SAMPLE = 16  # of so many objects, one is looked at for how near meetings are

ACTIVE = Template("SELECT account FROM events GROUP BY account HAVING COUNT(*) >= $least")

KEPT = Template("SELECT account, object, time FROM events WHERE account IN (SELECT account FROM active)")

PRESENCE = Template("""
SELECT object, account, cell, MIN(time) AS first_at, MAX(time) AS last_at, COUNT(*) AS actions
FROM (SELECT object, account, time, time - time % $window AS cell FROM $pending) AS placed_at
GROUP BY object, account, cell
""")

CELLS = Template("""
SELECT object, cell, COUNT(*) AS accounts, MAX(actions) AS most FROM presence$level GROUP BY object, cell
""")

LIVE = Template("""
SELECT object, cell, CAST(accounts + around - 2 AS BIGINT) AS company2
FROM (SELECT object, cell, accounts, SUM(CASE WHEN accounts <= $cap THEN accounts ELSE 0 END)
        OVER (PARTITION BY object ORDER BY cell RANGE BETWEEN $window PRECEDING AND $window FOLLOWING) AS around
      FROM cells$level) AS with_neighbours
WHERE accounts <= $cap AND around > 1
""")

PLACED = Template("""
SELECT p.object, p.account, p.cell, p.first_at, p.last_at, l.company2
FROM presence$level AS p JOIN live$level AS l ON p.object = l.object AND p.cell = l.cell
""")

DEEP = Template("""
SELECT object, cell FROM cells$level WHERE accounts > $cap OR most > 2
UNION SELECT object, cell + $window FROM cells$level WHERE accounts > $cap
UNION SELECT object, cell - $window FROM cells$level WHERE accounts > $cap
""")

PENDING = Template("""
SELECT e.account, e.object, e.time FROM $pending AS e
WHERE EXISTS (SELECT 1 FROM deep$level AS d WHERE d.object = e.object AND d.cell = e.time - e.time % $window)
""")

SAME = Template("""
SELECT l.account * $shift + r.account AS pair, l.object,
  LEAST(ABS(l.first_at - r.first_at), ABS(l.last_at - r.last_at),
        ABS(l.first_at - r.last_at), ABS(l.last_at - r.first_at)) AS apart,
  $level * $shift + GREATEST(l.company2, r.company2) AS place
FROM $placed$level AS l JOIN $placed$level AS r ON l.object = r.object AND l.cell = r.cell AND l.account < r.account
""")

NEXT = Template("""
SELECT LEAST(l.account, r.account) * $shift + GREATEST(l.account, r.account) AS pair, l.object,
  r.first_at - l.last_at AS apart,
  $level * $shift + GREATEST(l.company2, r.company2) AS place
FROM $placed$level AS l JOIN $placed$level AS r
  ON l.object = r.object AND r.cell = l.cell + $window AND l.account <> r.account AND r.first_at - l.last_at <= $window
""")

CANDIDATES = Template("SELECT pair FROM ($meetings) AS met GROUP BY pair HAVING COUNT(*) >= $least")

MEMBERS = Template("""
SELECT CAST((pair - pair % $shift) / $shift AS BIGINT) AS account FROM candidates
UNION SELECT pair % $shift FROM candidates
""")

CHOSEN = Template("SELECT p.* FROM placed$level AS p WHERE p.account IN (SELECT account FROM members)")

MEETINGS = Template("""
SELECT pair, object, MIN(apart) AS apart, MAX(place) % $shift AS company2
FROM ($meetings) AS met WHERE pair IN (SELECT pair FROM candidates) GROUP BY pair, object
""")

PAIRS = Template("""
SELECT CAST((pair - pair % $shift) / $shift AS BIGINT) AS a, pair % $shift AS b,
  CAST(SUM(CAST(ROUND($unit / LOG2(1 + GREATEST(company2, 2) / 2.0)) AS BIGINT)) AS BIGINT) AS weight, $counts
FROM met GROUP BY pair HAVING COUNT(*) >= $least
""")

COUNTS = Template("""
  COUNT(*) FILTER (WHERE apart <= $window) AS shared$level,
  CAST(COALESCE(SUM(CAST(ROUND($unit * LN(GREATEST(company2, 1) / 2.0)) AS BIGINT))
    FILTER (WHERE apart <= $window), 0) AS BIGINT) AS logs$level""")

ACCOUNTS = Template("""
SELECT account, CAST(SUM(slots) AS BIGINT) AS slots, $sums
FROM (SELECT account, 1 AS slots, $none FROM presence$longest $companies) AS told
WHERE account IN (SELECT account FROM $who) GROUP BY account
""")

WHOLE = Template("""
SELECT (SELECT COUNT(*) FROM active) AS accounts, (SELECT COUNT(*) FROM presence$longest) AS slots
""")

OBJECTS = Template("""
SELECT account, COUNT(*) AS objects FROM
  (SELECT DISTINCT account, object FROM presence$longest WHERE account IN (SELECT account FROM members)) AS own
GROUP BY account
""")

NEAR = Template("""
SELECT $counts FROM ($meetings) AS met
""")

ROOM = Template("SELECT CAST(COALESCE(SUM(company2), 0) AS BIGINT) AS company2 FROM $placed$level")

SAMPLED = Template("SELECT p.* FROM placed$level AS p WHERE p.object % $every = 0")

CAPPED = Template("""
SELECT COUNT(*) AS cells, CAST(COALESCE(SUM(accounts), 0) AS BIGINT) AS presences FROM cells$level WHERE accounts > $cap
""")


def text(template: Template, **values: int | str) -> str:
    """A template with its numbers and names; a name is a word of this module, a longer text one made here."""
    return template.substitute({"shift": SHIFT, "unit": UNIT, **values})


def meetings(windows: Sequence[int], placed: str, level: int | None = None) -> str:
    """All meetings of a table of placed actions (of all windows, or of one)."""
    levels = range(len(windows)) if level is None else (level,)
    parts = [text(one, level=i, window=windows[i], placed=placed) for i in levels for one in (SAME, NEXT)]
    return " UNION ALL ".join(parts)


def pairs(windows: Sequence[int], least: int) -> str:
    """Pairs with their shared objects by window."""
    counts = ",".join(text(COUNTS, level=i, window=window) for i, window in enumerate(windows))
    return text(PAIRS, counts=counts, least=least)


def near(windows: Sequence[int], placed: str, level: int) -> str:
    """How many meetings of a window are within each."""
    counts = ", ".join(f"COUNT(*) FILTER (WHERE apart <= {int(window)}) AS near{i}" for i, window in enumerate(windows))
    return text(NEAR, counts=counts, meetings=meetings(windows, placed, level))


def accounts(levels: int, who: str) -> str:
    """Places of the accounts of a table (objects by cells of the longest window), and their company in each window."""
    sums = ", ".join(f"CAST(SUM(company{i}) AS BIGINT) AS company{i}" for i in range(levels))
    none = ", ".join(f"0 AS company{i}" for i in range(levels))
    companies = ""
    for level in range(levels):
        row = ", ".join("company2" if i == level else "0" for i in range(levels))
        companies += f" UNION ALL SELECT account, 0, {row} FROM placed{level}"  # noqa: S608 - numbers of this loop
    return text(ACCOUNTS, sums=sums, none=none, longest=levels - 1, companies=companies, who=who)
