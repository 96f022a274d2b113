"""The contract of stream sources: one suite, run on every implementation."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from stream_cases import MAKERS, Case

from shoal.adapters.source import ENDED, RawBatch, StreamSource


@pytest.fixture(params=sorted(MAKERS))
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Case]:
    made = MAKERS[request.param](tmp_path)
    yield made
    made.close()


def read(source: StreamSource, polls: int = 30) -> dict[str, list[tuple[int, bytes]]]:
    """What some polls give: partition → (offset, record)."""
    found: dict[str, list[tuple[int, bytes]]] = defaultdict(list)
    for _ in range(polls):
        for batch in source.poll(0).batches:
            check(batch)
            found[batch.partition] += zip(batch.offsets.tolist(), batch.data.split(b"\n")[:-1], strict=True)
    return found


def check(batch: RawBatch) -> None:
    assert batch.data.endswith(b"\n")
    assert batch.data.count(b"\n") == len(batch.offsets) > 0
    assert batch.offsets.dtype == np.int64
    assert (np.diff(batch.offsets) > 0).all()
    assert batch.next_offset > batch.offsets[-1]


def records(found: dict[str, list[tuple[int, bytes]]]) -> list[list[bytes]]:
    return sorted([record for _, record in rows] for rows in found.values())


def lines(prefix: str, numbers: Iterable[int]) -> list[bytes]:
    return [f'{{"{prefix}": {k}}}'.encode() for k in numbers]


def test_every_record_comes_once_in_the_order_of_its_partition(case: Case) -> None:
    case.append("a", lines("a", range(40)))
    case.append("b", lines("b", range(3)))
    source = case.open()
    assert records(read(source)) == [lines("a", range(40)), lines("b", range(3))]
    assert read(source, 3) == {}
    case.append("b", lines("b", range(3, 9)))
    assert records(read(source)) == [lines("b", range(3, 9))]
    assert len(source.partitions()) == 2
    source.close()
    source.close()


def test_it_goes_on_at_any_offset_it_gave(case: Case) -> None:
    case.append("a", lines("a", range(20)))
    case.append("b", lines("b", range(2)))
    source = case.open()
    whole = read(source)
    source.close()
    (name,) = [name for name, rows in whole.items() if len(rows) == 20]
    (other,) = whole.keys() - {name}
    behind = whole[other][-1][0] + len(whole[other][-1][1]) + 1 if name.startswith("a#") else ENDED
    for place in (0, 1, 7, 19):
        again = case.open()
        again.seek({name: whole[name][place][0], other: behind})
        assert read(again) == {name: whole[name][place:]}
        again.close()


def test_it_goes_on_behind_what_it_gave(case: Case) -> None:
    case.append("a", lines("a", range(12)))
    source = case.open()
    batch = source.poll(0).batches[0]
    source.commit({batch.partition: batch.next_offset})
    source.close()
    again = case.open()
    again.seek({batch.partition: batch.next_offset})
    assert records(read(again)) in ([lines("a", range(len(batch.offsets), 12))], [])
    case.append("a", lines("a", range(12, 14)))
    assert records(read(again))[-1][-2:] == lines("a", range(12, 14))


def test_the_name_stays(case: Case) -> None:
    first, second = case.open(), case.open()
    assert first.name == second.name
    assert first.format == "native"


def test_blank_lines_are_no_records(case: Case) -> None:
    case.append("a", [b"", b"  ", *lines("a", range(1)), b"\t", *lines("a", range(1, 2))])
    case.append("b", [b" "])
    assert records(read(case.open())) == [lines("a", range(2))]
