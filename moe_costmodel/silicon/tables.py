"""Tables of measured kernels by GPU, engine and version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from moe_costmodel._arrays import Array, Bools
from moe_costmodel.measure.parquet import read_columns
from moe_costmodel.silicon.gpu import Gpu
from moe_costmodel.silicon.package import version_key

__all__ = ["BACKENDS", "OperatorTime", "Table", "Tables"]

BACKENDS = ("trtllm", "sglang", "vllm")


@dataclass(frozen=True)
class OperatorTime:
    """Time of one operator of a step.

    Attributes
    ----------
    operator : str
        Its name, such as "moe" or "attention".
    seconds : float
        Time of one call.
    kernel : str
        Name of the kernel that was measured; "bound" if no table has it.
    source : str
        Engine and version of the table.
    outside : float
        Factor by which the call lies beyond what was measured; 1 within.
    """

    operator: str
    seconds: float
    kernel: str
    source: str
    outside: float = 1.0

    def times(self, factor: float) -> OperatorTime:
        """Return the same with its seconds multiplied."""
        return OperatorTime(
            self.operator, self.seconds * factor, self.kernel, self.source, self.outside
        )


@dataclass(frozen=True)
class Table:
    """Columns of one file; those of text hold words."""

    source: str
    columns: Mapping[str, Array]

    def where(self, **values: object) -> Bools:
        """Return which rows have the given values."""
        keep = np.ones(len(next(iter(self.columns.values()))), dtype=bool)
        for name, value in values.items():
            keep &= self.columns[name] == value
        return keep


class Tables:
    """All tables of one GPU, as an engine uses them.

    Its own come first, the newest version first; then those of the other engines, which stand in
    where it has none.
    """

    def __init__(self, gpu: Gpu, backend: str) -> None:
        self.gpu = gpu
        self.backend = backend

    def files(self, family: str, name: str, only: str = "") -> Iterator[tuple[str, Path]]:
        """Yield the label and path of each version of a table, the best first."""
        order = [self.backend, *(other for other in BACKENDS if other != self.backend), "nccl"]
        order = [only] if only else order
        for backend in order:
            folder = self.gpu.data / family / backend
            found = sorted(folder.glob(f"*/{name}_perf.parquet"), key=lambda p: p.parent.name)
            found.sort(key=lambda path: version_key(path.parent.name), reverse=True)
            for path in found:
                yield f"{backend} {path.parent.name}", path

    def read(
        self,
        family: str,
        name: str,
        numbers: Sequence[str],
        texts: Sequence[str] = (),
        *,
        only: str = "",
    ) -> Iterator[Table]:
        """Yield each version of a table, the best first; those that lack a column are skipped.

        `only` names an engine, to leave out those that could stand in.
        """
        for source, path in self.files(family, name, only):
            table = _table(path, tuple(numbers), tuple(texts), source)
            if table is not None:
                yield table


@cache
def _table(
    path: Path, numbers: tuple[str, ...], texts: tuple[str, ...], source: str
) -> Table | None:
    import pyarrow.parquet as pq

    from moela.files.guard import open_file

    with open_file(path) as file:
        names = set(pq.ParquetFile(file).schema_arrow.names)
    if not names.issuperset((*numbers, *texts)):
        return None
    values, words = read_columns(path, numbers, texts)
    columns: dict[str, Array] = dict(values)
    columns |= {name: np.array(text.values)[text.codes] for name, text in words.items()}
    for name in columns:
        if columns[name].dtype.kind in "iu":
            columns[name] = columns[name].astype(np.int64)
    return Table(source, columns)
