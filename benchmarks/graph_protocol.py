"""What the graph benchmarks share: figures per split with their interval, predictions to dump, and splits."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass
class Board:
    """Figures of several scorers, one per split."""

    title: str
    names: tuple[str, ...]
    values: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """One split's figure."""
        self.values.setdefault(name, []).append(value)

    def mean(self, name: str) -> float:
        """Over splits."""
        return float(np.mean(self.values[name]))

    def spread(self, name: str) -> float:
        """Standard deviation over splits."""
        return float(np.std(self.values[name]))

    def show(self) -> None:
        """Print mean, deviation, a 95 % bootstrap interval of the mean, and each split. Splits overlap: the interval
        is of these splits, not of new data."""
        print(f"\n## {self.title}: {len(self.values[self.names[0]])} splits\n")
        print(f"{'':20}{'mean':>7} {'sd':>6}  {'95 % of mean':15}  splits")
        for name in self.names:
            values = np.array(self.values[name])
            draws = values[np.random.default_rng(7).integers(0, len(values), (2000, len(values)))].mean(axis=1)
            low, high = np.quantile(draws, (0.025, 0.975))
            each = " ".join(f"{one:.3f}" for one in values)
            print(f"{name:20}{values.mean():7.4f} {values.std():6.4f}  {low:.4f}-{high:.4f}    {each}")


@dataclass
class Dump:
    """Predictions by task, written to `graph.TASK.parquet` where a folder was given."""

    folder: Path | None
    tables: dict[str, list[pa.Table]] = field(default_factory=dict)

    def add(self, task: str, ids: Ints, split: int, y: Ints, scores: dict[str, Floats]) -> None:
        """Predictions of one split; the first scorer is ours (`score`)."""
        if self.folder is not None:
            first = next(iter(scores))
            columns = {"score" if name == first else name: one for name, one in scores.items()}
            head = {"id": ids, "split": np.full(len(ids), split), "label": y}
            self.tables.setdefault(task, []).append(pa.table(head | columns))

    def write(self) -> None:
        """All tasks."""
        if self.folder is not None:
            self.folder.mkdir(parents=True, exist_ok=True)
            for task, tables in self.tables.items():
                pq.write_table(pa.concat_tables(tables), self.folder / f"graph.{task}.parquet")
