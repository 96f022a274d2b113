"""Connected components in SQL, for graphs that one machine does not hold: large star and small star in turn.

Kiveris et al., "Connected components in MapReduce and beyond" (SoCC 2014): every node points its larger neighbours at
its smallest (large star), then its smaller ones (small star), until every node points at the smallest of its
component. Rounds grow with the logarithm of the longest path; each reads the edges a few times. On one machine the
union-find of `structure` is some hundred times faster; this is the way beyond it.
"""

from __future__ import annotations

from string import Template

import pyarrow as pa

from shoal.coordination.coaction.engines import Engine
from shoal.errors import Permanent

ROUNDS = 100

_BOTH = Template("SELECT u, v FROM edges$n UNION ALL SELECT v, u FROM edges$n")
_CLEAN = Template("SELECT DISTINCT GREATEST(u, v) AS u, LEAST(u, v) AS v FROM $given WHERE u <> v")
_LARGE = Template("""
SELECT DISTINCT b.v AS u, m.least AS v
FROM both$n AS b JOIN (SELECT u, LEAST(u, MIN(v)) AS least FROM both$n GROUP BY u) AS m ON b.u = m.u WHERE b.v > b.u
""")
_SMALL = Template("""
SELECT DISTINCT w.v AS u, m.least AS v
FROM (SELECT u, v FROM large$n UNION ALL SELECT u, u FROM large$n) AS w
JOIN (SELECT u, MIN(v) AS least FROM large$n GROUP BY u) AS m ON w.u = m.u WHERE w.v <> m.least
""")
_NEW = Template(
    "SELECT COUNT(*) AS rows FROM (SELECT u, v FROM edges$after EXCEPT SELECT u, v FROM edges$n) AS new_ones"
)
_LOST = Template("SELECT COUNT(*) AS rows FROM (SELECT u, v FROM edges$n EXCEPT SELECT u, v FROM edges$after) AS gone")
_LABELS = Template("SELECT u AS node, v AS component FROM edges$n UNION SELECT v, v FROM edges$n")


def components(engine: Engine, edges: str, rounds: int = ROUNDS) -> pa.Table:
    """`node`, `component` (the smallest node of it), int64, sorted by node, of all nodes that have an edge to another.

    `edges`: the name of a table with int64 columns `u`, `v` that the engine knows; direction, loops and repetitions
    do not matter. Raises `Permanent` when `rounds` were not enough.
    """
    if not edges.isidentifier() or not edges.isascii():
        raise ValueError(f"not a name of a table: {edges!r}")
    engine.keep("edges0", _CLEAN.substitute(given=edges))
    for n in range(rounds):
        engine.keep(f"both{n}", _BOTH.substitute(n=n))
        engine.keep(f"large{n}", _LARGE.substitute(n=n))
        engine.keep(f"edges{n + 1}", _SMALL.substitute(n=n))
        changed = [engine.read(one.substitute(n=n, after=n + 1)).column(0)[0].as_py() for one in (_NEW, _LOST)]
        for name in (f"both{n}", f"large{n}", f"edges{n}"):
            engine.forget(name)
        if not any(changed):
            answer = engine.read(_LABELS.substitute(n=n + 1)).sort_by("node")
            engine.forget(f"edges{n + 1}")
            return answer
    engine.forget(f"edges{rounds}")
    raise Permanent(f"components did not settle in {rounds} rounds")
