"""A mapped table as a format of files: framing, encoding, and the header checked before the first row.

`mapped_format` makes the `Format` that a `FileSource` reads with. Parquet is read by its own library, a batch at a
time; CSV in another encoding is made UTF-8 as it streams.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq

from shoal.errors import InvalidInput, Problem, Where, nearest_name
from shoal.events.decode import Decoded
from shoal.events.formats import Format
from shoal.events.formats.tabular.decoder import TableDecoder, header_of
from shoal.events.formats.tabular.plan import TablePlan

PARQUET = b"PAR1"
BATCH_ROWS = 16384
_LATIN = frozenset({"latin-1", "cp1252"})


@dataclass(frozen=True)
class MappedFormat(Format):
    """The format of tables that one mapping file describes."""

    plan: TablePlan | None = None

    def check_header(self, names: Sequence[str], file: str) -> None:
        """Refuse a table that lacks columns the mapping names (`mapping.column_absent`), all together."""
        assert self.plan is not None
        allowed = ", ".join(names[:40])
        problems = [
            Problem(
                "mapping.column_absent",
                f"the table has no column {name!r}",
                Where(file),
                allowed,
                nearest_name(name, names),
            )
            for name in self.plan.columns
            if name not in names
        ]
        if problems:
            raise InvalidInput(problems)

    def recode(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        """The chunks as UTF-8; raises `UnicodeError` where a stream of UTF-16 is damaged."""
        assert self.plan is not None
        if self.plan.encoding == "utf-8":
            yield from chunks
            return
        errors = "replace" if self.plan.encoding in _LATIN else "strict"
        decoder = codecs.getincrementaldecoder(self.plan.encoding)(errors)
        for chunk in chunks:
            yield decoder.decode(chunk).encode("utf-8")
        yield decoder.decode(b"", final=True).encode("utf-8")

    def check_csv(self, head: bytes, file: str) -> None:
        """Refuse CSV whose header row, in its first bytes, lacks columns."""
        assert self.plan is not None
        first = head.removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0]
        self.check_header(header_of(first, self.plan.delimiter), file)

    def read_parquet(self, path: str, source: str, partition: str) -> Iterator[Decoded]:
        """The events of a Parquet file; raises `pa.ArrowException` or `OSError` where it is damaged."""
        assert self.plan is not None
        decoder = TableDecoder(source, partition, plan=self.plan)
        with pq.ParquetFile(path) as table:
            self.check_header(table.schema_arrow.names, path)
            offset = 0
            for batch in table.iter_batches(batch_size=BATCH_ROWS, use_threads=False):
                decoded = decoder.decode_batch(batch, offset)
                offset += decoded.read
                yield decoded


def mapped_format(plan: TablePlan) -> MappedFormat:
    """The format of tables that a mapping describes; its name holds the mapping's digest."""
    return MappedFormat(
        name=f"table-{plan.digest}",
        title="CSV or Parquet by a mapping file",
        framing="csv",
        suffixes=(".csv", ".tsv", ".parquet"),
        decoder=partial(TableDecoder, plan=plan),
        sniff=lambda _: 0.0,
        plan=plan,
    )


DAMAGED: tuple[type[Exception], ...] = (pa.ArrowException, OSError, UnicodeError)
"""What reading a damaged table raises."""
