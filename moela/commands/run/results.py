"""The files that both `moela run` commands leave: front.csv and run.json."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from pymoo.core.result import Result

from moela._arrays import Floats, Ints
from moela.provenance.environment import provenance
from moela.quality.indicators import hypervolume

Values = Sequence[object]


class FinalFront:
    """The non-dominated designs of a search: objectives F [n, M] in ascending order, designs X."""

    def __init__(self, result: Result, names: Sequence[str], ref_point: Floats) -> None:
        F, X = np.atleast_2d(result.F), np.atleast_2d(result.X)
        order = np.lexsort(F.T[::-1])
        self.F: Floats = F[order]
        self.X: Ints = X[order].astype(int)
        self.names = list(names)
        self.ref_point = ref_point
        self._n_eval = int(result.algorithm.evaluator.n_eval)
        self._seconds = float(result.exec_time)

    def __len__(self) -> int:
        return len(self.F)

    def row(self, i: int) -> dict[str, object]:
        """Return row i for the record: its number and objectives."""
        return {"row": i, "objectives": dict(zip(self.names, self.F[i].tolist(), strict=True))}

    def write_table(self, path: Path, columns: Mapping[str, Values] | None = None) -> None:
        """Write objectives, further columns, and the variables ``x0, x1, ...`` as CSV."""
        more = columns or {}
        variables = [f"x{i}" for i in range(self.X.shape[1])]
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([*self.names, *more, *variables])
            for i, (f, x) in enumerate(zip(self.F.tolist(), self.X.tolist(), strict=True)):
                writer.writerow([*f, *(values[i] for values in more.values()), *x])

    def write_record(
        self,
        path: Path,
        *,
        command: str,
        settings: Mapping[str, object],
        problem: str,
        version: str | None,
        **more: object,
    ) -> None:
        """Write the settings, the outcome, versions and machine as JSON."""
        record = {
            "command": command,
            "settings": dict(settings),
            "problem": {"name": problem, "version": version, "objectives": self.names},
            "ref_point": dict(zip(self.names, self.ref_point.tolist(), strict=True)),
            "front_size": len(self),
            "n_eval": self._n_eval,
            "seconds": round(self._seconds, 3),
            "hypervolume": hypervolume(self.F, self.ref_point, exact=True),
            **more,
            **provenance(),
        }
        path.write_text(json.dumps(record, indent=2, default=str) + "\n", encoding="utf-8")
