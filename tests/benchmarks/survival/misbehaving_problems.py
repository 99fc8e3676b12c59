"""Problems that misbehave in the ways of `misbehaving_kinds`; workers import them."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import numpy as np
from pymoo.core.problem import ElementwiseProblem, Problem

from tests.benchmarks.survival.misbehaving_kinds import KINDS, values


class Misbehaving(ElementwiseProblem):
    """Misbehaves in a way of `KINDS` where x[3] is 1."""

    def __init__(self, how: str, folder: str):
        super().__init__(n_var=4, n_obj=2, xl=0.0, xu=1.0)
        self.how = how
        self._folder = folder
        self._shared = None
        self._begun: dict[int, int] = {}

    @property
    def begun(self) -> dict[int, int]:
        """The number of evaluations that each thread has begun."""
        return self._begun

    def _evaluate(self, x, out, *args, **kwargs):
        thread = threading.get_ident()
        self._begun[thread] = self._begun.get(thread, 0) + 1
        with (Path(self._folder) / "begun").open("ab") as file:
            file.write(b".")
        time.sleep(0.002)
        row = values(x)
        if self.how == "the same array each time":
            self._shared = np.zeros(2) if self._shared is None else self._shared
            self._shared[:] = row
            row = self._shared
        out["F"] = row
        if x[3] == 1.0:
            KINDS[self.how][0](x, out, self)

    def lock_file(self, x, out):
        return _Once(Path(self._folder) / bytes(out["F"]).hex())

    def elsewhere(self):
        """Return whether this is not the process of the run, whose folder must stay."""
        return os.environ.get("MISBEHAVING_PID") != str(os.getpid())


class Together(Problem):
    """The same, vectorized: one row of a chunk misbehaves."""

    def __init__(self, how: str, folder: str):
        super().__init__(n_var=4, n_obj=2, xl=0.0, xu=1.0)
        self.how = how
        self._alone = Misbehaving(how, folder)
        self._folder = folder

    def _evaluate(self, X, out, *args, **kwargs):
        with (Path(self._folder) / "begun").open("ab") as file:
            file.write(b"." * len(X))
        out["F"] = np.array([values(x) for x in X])
        bad = np.flatnonzero(X[:, 3] == 1.0)
        if len(bad):
            row: dict[str, object] = {"F": out["F"][bad[0]].copy()}
            KINDS[self.how][0](X[bad[0]], row, self._alone)
            out["F"][bad[0]] = row["F"]


class _Once:
    """Context that tells whether it is entered for the first time under this name."""

    def __init__(self, path: Path):
        self._path = path

    def __enter__(self) -> bool:
        first = not self._path.exists()
        self._path.touch()
        return first

    def __exit__(self, *exception: object) -> None:
        return
