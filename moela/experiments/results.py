"""The results of an experiment: hypervolumes, evaluations to a target, tables, and files."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import moocore
import numpy as np
from numpy.typing import ArrayLike

from moela._arrays import Floats
from moela._checks import count, require
from moela.experiments.files import Run
from moela.notebook import html
from moela.quality.indicators import beyond
from moela.quality.runs import vector
from moela.quality.statistics import quartiles
from moela.quality.table import Row, Table
from moela.quality.words import amount

if TYPE_CHECKING:
    from pandas import DataFrame

RefPoint = str | ArrayLike | Mapping[str, ArrayLike]


class ExperimentResults:
    """Runs of algorithms on problems over seeds.

    Everything evaluated is scored, not only the designs that an algorithm returns, so a small
    population is no disadvantage. Hypervolumes are those of feasible designs that are better than
    the reference point in every objective. `moela.compare` compares algorithms.

    Parameters
    ----------
    runs : iterable of Run
        No two with the same problem, algorithm, seed and budget.
    failures : dict of str to str, optional
        Tracebacks of runs that failed.

    Attributes
    ----------
    runs : tuple of Run
    failures : dict

    Examples
    --------
    >>> from pymoo.algorithms.moo.nsga2 import NSGA2
    >>> from pymoo.problems import get_problem
    >>> from moela import run_experiment
    >>> problems, algorithms = {"ZDT1": get_problem("zdt1")}, {"NSGA-II": lambda _: NSGA2(20)}
    >>> results = run_experiment(problems, algorithms, seeds=2, budget=100, progress=False)
    >>> results.select(algorithm="NSGA-II").seeds
    [1, 2]
    >>> results.values("ZDT1", "NSGA-II", ref_point=[2.0, 10.0]).shape
    (2,)
    """

    def __init__(self, runs: Iterable[Run], failures: Mapping[str, str] | None = None) -> None:
        self.runs = tuple(runs)
        self.failures = dict(failures or {})
        twice = next((k for k, n in Counter(run.key for run in self.runs).items() if n > 1), None)
        if twice is not None:
            paths = [str(run.path) for run in self.runs if run.key == twice and run.path]
            where = f" ({', '.join(paths[:2])})" if paths else ""
            raise ValueError(
                f"The runs of ExperimentResults must be different. Got {twice} twice{where} "
                "instead."
            )

    def __len__(self) -> int:
        return len(self.runs)

    def __add__(self, other: ExperimentResults) -> ExperimentResults:
        return ExperimentResults((*self.runs, *other.runs), self.failures | other.failures)

    def __repr__(self) -> str:
        parts = {"run": self.runs, "algorithm": self.algorithms, "problem": self.problems,
                 "seed": self.seeds}  # fmt: skip
        sizes = ", ".join(amount(len(found), noun) for noun, found in parts.items())
        return f"ExperimentResults({sizes})"

    def _repr_html_(self) -> str:
        return html.paragraph(repr(self)) + self.table(None)._repr_html_()

    @property
    def problems(self) -> list[str]:
        """Names of the problems, in the order of the runs."""
        return list(dict.fromkeys(run.problem for run in self.runs))

    @property
    def algorithms(self) -> list[str]:
        """Names of the algorithms, in the order of the runs."""
        return list(dict.fromkeys(run.algorithm for run in self.runs))

    @property
    def seeds(self) -> list[int]:
        """Seeds, ascending."""
        return sorted({run.seed for run in self.runs})

    def select(
        self,
        *,
        problem: str | Sequence[str] | None = None,
        algorithm: str | Sequence[str] | None = None,
        budget: int | None = None,
    ) -> ExperimentResults:
        """Return the runs of these problems, algorithms and budget; each must have a run."""
        for name, given, own in (
            ("problem", problem, self.problems),
            ("algorithm", algorithm, self.algorithms),
            ("budget", budget, sorted({run.budget for run in self.runs})),
        ):
            wanted = [given] if isinstance(given, str | int | np.integer) else given or ()
            unknown = [value for value in wanted if value not in own]  # type: ignore[operator]
            known = f"of {', '.join(map(str, own))}"
            require("select", name, unknown, not unknown, known)

        def fits(value: str, wanted: str | Sequence[str] | None) -> bool:
            return wanted is None or value in ([wanted] if isinstance(wanted, str) else wanted)

        return ExperimentResults(
            run
            for run in self.runs
            if fits(run.problem, problem)
            and fits(run.algorithm, algorithm)
            and budget in (None, run.budget)
        )

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write every run into a folder as an npz file, and return the folder."""
        path = Path(folder)
        path.mkdir(parents=True, exist_ok=True)
        for run in self.runs:
            run.save(path)
        return path

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> ExperimentResults:
        """Read the runs in a folder that `save` or `run_experiment(store=...)` wrote.

        A ValueError says that the folder holds no run, or a damaged file, which the message names.
        """
        files = sorted(Path(folder).glob("*.npz"))
        if not files:
            raise ValueError(
                f"{folder}: expected a folder with runs (*.npz). Got none; check the path."
            )
        runs = [Run.load(path) for path in files]
        runs.sort(key=lambda run: (run.problem, run.algorithm, run.budget, run.seed))
        return cls(runs)

    def ref_point(self, problem: str, ref_point: RefPoint = "problem") -> Floats:
        """Return the reference point [M] for a problem.

        Parameters
        ----------
        problem : str
        ref_point : "problem", "pooled", array [M], or dict of these by problem
            "problem" is the problem's own, "pooled" is the nadir of the pooled front of all runs
            plus a tenth of its extent.
        """
        given: ArrayLike | None = (
            ref_point.get(problem, "problem") if isinstance(ref_point, Mapping) else ref_point
        )
        run = self._runs_of(problem)[0]
        if isinstance(given, str):
            allowed = '"problem", "pooled", or a point'
            require("hypervolume", "ref_point", given, given in ("problem", "pooled"), allowed)
            if given == "pooled":
                return beyond(self.pooled_front(problem))
            given = run.ref_point
        if given is None:
            raise ValueError(
                f"The problem {problem!r} has no ref_point of its own. Pass "
                f'ref_point={{"{problem}": [...]}} or ref_point="pooled".'
            )
        n_obj = run.front_F.shape[1]
        expected = f"{n_obj} finite numbers for {problem!r}"
        return vector("hypervolume", "ref_point", given, n_obj, expected)

    def pooled_front(self, problem: str) -> Floats:
        """Return the non-dominated feasible objectives [k, M] of all runs on a problem."""
        fronts = np.concatenate([run.front_F for run in self._runs_of(problem)])
        if len(fronts) == 0:
            raise ValueError(
                f"No run on {problem!r} found a feasible design, so there is no front. Raise the "
                "budget, or relax the constraints."
            )
        return np.asarray(moocore.filter_dominated(fronts))

    def values(
        self, problem: str, algorithm: str, at: int | None = None, ref_point: RefPoint = "problem"
    ) -> Floats:
        """Return the hypervolume of each seed [n_seeds] after `at` evaluations, or at the end."""
        at = None if at is None else count("values", "at", at)
        point = self.ref_point(problem, ref_point)
        runs = self._runs_of(problem, algorithm)
        counts = [run.n_eval if at is None else at for run in runs]
        volumes = [run.hypervolumes([n], point)[0] for run, n in zip(runs, counts, strict=True)]
        return np.array(volumes)

    def hypervolume(
        self, at: int | Sequence[int] | None = None, ref_point: RefPoint = "problem"
    ) -> Table:
        """Return medians and quartiles over the seeds of the hypervolume of everything evaluated.

        Parameters
        ----------
        at : int or sequence of int, optional
            Numbers of evaluations; numbers beyond a run's budget are left out. Default: the budget.
        ref_point
            See `ref_point`.

        Returns
        -------
        Table
            ``problem, algorithm, evaluations, n_seeds, median, q1, q3``, in units of the
            objectives. Values are approximate for fronts of more than 10,000 points
            in 5 objectives, 500 in 6, 150 in 7, and 70 in 8.
        """
        wanted = None
        if at is not None:
            several = at if isinstance(at, Iterable) else [at]
            wanted = sorted({count("hypervolume", "at", n) for n in several})
            require("hypervolume", "at", at, len(wanted) > 0, "at least one number")
        rows: list[Row] = []
        for problem, algorithm, budget, runs in self._groups():
            point = self.ref_point(problem, ref_point)
            checkpoints = [budget] if wanted is None else [n for n in wanted if n <= budget]
            values = np.array([run.hypervolumes(checkpoints, point) for run in runs])
            names: Row = {"problem": problem, "algorithm": algorithm}
            for n, column in zip(checkpoints, values.T, strict=True):
                rows.append(names | {"evaluations": n, "n_seeds": len(runs)} | quartiles(column))
        return Table(rows)

    def evaluations_to(
        self, target: float | Mapping[str, float], ref_point: RefPoint = "problem"
    ) -> Table:
        """Return the evaluations after which runs reach a hypervolume, by problem and algorithm.

        Parameters
        ----------
        target : float or dict of float by problem
            Hypervolume to reach; problems that are not in the dict are left out.
        ref_point
            See `ref_point`.

        Returns
        -------
        Table
            ``problem, algorithm, target, n_seeds, reached`` (number of runs that did), and
            ``median, q1, q3`` of the evaluations, infinity for a run that did not.
        """
        goals = target if isinstance(target, Mapping) else {"": target}
        for goal in goals.values():
            number = isinstance(goal, int | float | np.number) and not isinstance(goal, bool)
            fits = bool(number and not np.isnan(goal))
            require("evaluations_to", "target", goal, fits, "a number that is not NaN")
        unknown = sorted(map(str, set(goals) - {"", *self.problems}))
        expected = f"by problem, of {', '.join(self.problems)}"
        require("evaluations_to", "target", unknown, not unknown, expected)
        rows = []
        for problem, algorithm, _, runs in self._groups():
            if isinstance(target, Mapping) and problem not in target:
                continue
            goal = float(target[problem] if isinstance(target, Mapping) else target)
            point = self.ref_point(problem, ref_point)
            needed = np.array([run.evaluations_to(goal, point) for run in runs])
            row: Row = {"problem": problem, "algorithm": algorithm, "target": goal}
            row |= {"n_seeds": len(runs), "reached": int(np.isfinite(needed).sum())}
            rows.append(row | quartiles(needed))
        return Table(rows)

    def table(self, ref_point: RefPoint | None = "problem") -> Table:
        """Return a table with one row per run: problem, algorithm, seed, times, and hypervolume.

        Columns: ``problem, algorithm, seed, budget, n_eval, front_size, seconds`` (wall),
        ``overhead_us`` (CPU microseconds per evaluation outside the problem), and ``hypervolume``
        (omitted if `ref_point` is None).
        """
        rows = []
        for run in self.runs:
            row: Row = {
                **vars(run.key),
                "n_eval": run.n_eval,
                "front_size": len(run.front_F),
                "seconds": run.seconds["wall"],
                "overhead_us": 1e6 * run.overhead,
            }
            if ref_point is not None:
                point = self.ref_point(run.problem, ref_point)
                row["hypervolume"] = float(run.hypervolumes([run.n_eval], point)[0])
            rows.append(row)
        return Table(rows)

    def to_frame(self, ref_point: RefPoint | None = "problem") -> DataFrame:
        """Return `table` as a pandas DataFrame, one row per run."""
        return self.table(ref_point).to_frame()

    def _runs_of(self, problem: str, algorithm: str | None = None) -> tuple[Run, ...]:
        runs = tuple(
            run
            for run in self.runs
            if run.problem == problem and algorithm in (None, run.algorithm)
        )
        if not runs:
            raise ValueError(
                f"No run of {'any algorithm' if algorithm is None else algorithm} on {problem!r}. "
                f"There are the algorithms {', '.join(self.algorithms)} on "
                f"{', '.join(self.problems)}."
            )
        return runs

    def _groups(self) -> list[tuple[str, str, int, list[Run]]]:
        """Return runs by problem, algorithm and budget, in the order of these."""
        groups: dict[tuple[int, int, int], list[Run]] = {}
        problems, algorithms = self.problems, self.algorithms
        for run in self.runs:
            order = problems.index(run.problem), algorithms.index(run.algorithm), run.budget
            groups.setdefault(order, []).append(run)
        return [
            (runs[0].problem, runs[0].algorithm, runs[0].budget, runs)
            for _, runs in sorted(groups.items())
        ]
