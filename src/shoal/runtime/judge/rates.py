"""The rates of a deployment's service, read from its journal: counted by hour and segment, and watched.

Measures are named groups of event types; who does the same thing twice within an hour counts once where the measure
says so. Reads the journal and writes nothing; a watch goes through its weeks again each time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from shoal.detectors.anomaly.rates import RateAlarm, Settings, count_buckets, watch_rates
from shoal.errors import InvalidInput, Problem, Where, nearest_name
from shoal.events.schema import BY_NAME, Kind
from shoal.runtime.columns import one_chunk
from shoal.runtime.home import Home
from shoal.storage.frames import EventFrame
from shoal.storage.journal import Journal

SEGMENTS = ("country", "network_kind", "asn", "client")


@dataclass(frozen=True)
class Measure:
    """What is counted: events of `types`; `once`: everybody counts once an hour."""

    types: tuple[str, ...]
    once: bool = False


MEASURES: Mapping[str, Measure] = {
    "logins": Measure(("login.succeeded",)),
    "failures": Measure(("login.failed",)),
    "sign-ups": Measure(("account.created",)),
    "downloads": Measure(("file.downloaded", "link.downloaded"), once=True),
}
"""What is watched where nothing else is asked for."""


def watch(
    home: Home,
    *,
    measures: Mapping[str, Measure] = MEASURES,
    segments: Sequence[str] = SEGMENTS,
    settings: Settings | None = None,
    least: int = 200,
    moved: Callable[[int, int], None] = lambda _done, _total: None,
) -> dict[str, list[RateAlarm]]:
    """Alarms of each measure over the whole journal. `least`: values of a segment with fewer events count together.

    Raises `InvalidInput` (`rates.segment`, `rates.empty`) for a column that is none, and a journal without such
    events."""
    problems = [
        Problem("rates.segment", f"no column {name!r} to count by", Where("--by"), nearest=nearest_name(name, BY_NAME))
        for name in segments
        if name not in BY_NAME or BY_NAME[name].kind not in (Kind.TEXT, Kind.INT, Kind.BOOL)
    ]
    if problems:
        raise InvalidInput(problems)
    parts = {name: _Part() for name in measures}
    journal = Journal.open(home.journal, identity=home.identity, read_only=True)
    try:
        for frame in journal.read():
            if isinstance(frame, EventFrame):
                for name, measure in measures.items():
                    parts[name].add(frame.table, measure, segments)
                moved(frame.last_seq + 1, journal.next_seq)
    finally:
        journal.close()
    if not any(part.times for part in parts.values()):
        types = ", ".join(kind for measure in measures.values() for kind in measure.types)
        raise InvalidInput(Problem("rates.empty", "the journal has no event of these types", allowed=types))
    return {name: part.alarms(home, measures[name], segments, settings, least) for name, part in parts.items()}


class _Part:
    """The events of one measure, column by column."""

    def __init__(self) -> None:
        self.times: list[npt.NDArray[np.int64]] = []
        self.who: list[pa.Array] = []
        self.columns: dict[str, list[pa.Array]] = {}

    def add(self, table: pa.Table, measure: Measure, segments: Sequence[str]) -> None:
        """Keep the rows of a frame that the measure counts."""
        chosen = pc.is_in(one_chunk(table, "type"), value_set=pa.array(measure.types))
        some = table.filter(chosen)
        if not some.num_rows:
            return
        self.times.append(np.asarray(one_chunk(some, "as_of")))
        self.who.append(pc.coalesce(*(_texts(some, name) for name in ("actor", "account", "ip"))))
        for name in segments:
            self.columns.setdefault(name, []).append(_texts(some, name))

    def alarms(
        self, home: Home, measure: Measure, segments: Sequence[str], settings: Settings | None, least: int
    ) -> list[RateAlarm]:
        """Count and watch."""
        if not self.times:
            return []
        settings = settings or Settings()
        columns = {name: pa.concat_arrays(self.columns[name]).to_pylist() for name in segments}
        who = home.identity.ids_of(pa.concat_arrays(self.who)) if measure.once else None
        times = np.concatenate(self.times)
        return watch_rates(count_buckets(times, columns, settings.bucket_s, least, who), settings)


def _texts(table: pa.Table, name: str) -> pa.Array:
    if name not in table.column_names:
        return pa.nulls(table.num_rows, pa.string())
    return one_chunk(table, name).cast(pa.string())
