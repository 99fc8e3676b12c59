"""The result of `moela.minimize`: the front, everything evaluated, failures, and pictures."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pymoo.core.algorithm import Algorithm
from pymoo.core.individual import Individual
from pymoo.core.population import Population
from pymoo.core.problem import Problem

from moela._arrays import Floats
from moela.evaluation.storage.reader import EvaluationStore
from moela.functions.model.view import ProblemView
from moela.functions.results import other_names
from moela.functions.results.evaluations import Evaluations
from moela.functions.results.front import Candidate, DesignFront
from moela.functions.results.measured import with_results
from moela.functions.results.saving import save_table
from moela.functions.results.status import shown_front, status_of
from moela.provenance.signature import shown_name
from moela.quality.explain import Explanation
from moela.quality.table import Row, Table
from moela.quality.words import amount, harmless, of_kind

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame

    from moela.explanation.importances import Importances

# Rows of a table in a text.
_SHOWN_ROWS = 10
# The beginning of `ending` after Ctrl-C.
BY_INTERRUPT = "stopped by Ctrl-C"


class MinimizeResult:
    """The outcome of `moela.minimize`.

    Parameters
    ----------
    problem : Problem
    individuals : list of Individual
        Everything evaluated, in order. Those without a result yet are left out.
    algorithm : Algorithm, optional
    ending : str
        Why the run ended, in words.
    advice : str
        How to go on, in words.

    Raises
    ------
    ValueError
        No individual has a result, or one does not have all objectives and constraints.

    Attributes
    ----------
    problem : Problem
        The pymoo problem.
    algorithm : Algorithm or None
        The algorithm, as it was at the end.
    n_known : int
        Number of results that were given as `known`, failures included. They come first.

    Examples
    --------
    >>> import moela
    >>> result = moela.minimize(
    ...     lambda d: {"mass": d["x"], "sag": 1 / d["x"] + d["n"]},
    ...     variables={"x": (0.1, 2.0), "n": (1, 9)},
    ...     objectives=["mass", "sag"],
    ...     n_eval=100,
    ...     verbose=False,
    ... )
    >>> result.n_eval, result.feasible
    (100, True)
    """

    # Name of the algorithm, seed and source of a result that was read from a store.
    _made_by: tuple[str, int | None, str] | None = None
    n_known: int = 0

    def __init__(
        self,
        problem: Problem,
        individuals: Sequence[Individual],
        algorithm: Algorithm | None = None,
        *,
        ending: str = "",
        advice: str = "",
    ) -> None:
        self.problem, self.algorithm = problem, algorithm
        self._view = ProblemView(problem)
        self._individuals = with_results(problem, individuals)
        self._ending, self._advice = ending, advice

    @classmethod
    def from_store(
        cls, store: str | os.PathLike[str] | EvaluationStore, run: int | None = None
    ) -> MinimizeResult:
        """Return what a run in a store has evaluated, without its function.

        Parameters
        ----------
        store : str, Path or EvaluationStore
        run : int, optional
            Number of the run; default the one with the newest batch.

        Returns
        -------
        MinimizeResult
            Its problem knows variables and outputs, but cannot be evaluated.

        Raises
        ------
        StoreError
            The file does not exist, is no store, or has no run yet.
        ValueError
            The store does not hold the run.

        Examples
        --------
        >>> import moela
        >>> moela.MinimizeResult.from_store("run.db").importances()  # doctest: +SKIP
        """
        from moela.functions.results.stored import read_run

        if not isinstance(store, str | os.PathLike | EvaluationStore):
            raise TypeError(
                "The 'store' parameter of from_store must be the path of a file or an "
                f"EvaluationStore. Got {of_kind(store)} instead."
            )
        if isinstance(store, EvaluationStore):
            found, problem, individuals = read_run(store, run)
        else:
            with EvaluationStore(store) as opened:
                found, problem, individuals = read_run(opened, run)
        of = "" if found.budget is None else f"{found.n_eval:,} of "
        spent = amount(found.n_eval if found.budget is None else found.budget, "evaluation")
        ending = f"run {found.id}, {found.state} after {of}{spent}"
        result = cls(problem, individuals, ending=ending)
        path = store.path if isinstance(store, EvaluationStore) else store
        source = f"run {found.id} in {os.fspath(path)}"
        result._made_by = (shown_name(found.algorithm), found.seed, source)
        return result

    @property
    def n_eval(self) -> int:
        """Number of evaluated designs, failures included and known results not."""
        return len(self._individuals) - self.n_known

    @property
    def population(self) -> Population:
        """Everything known and evaluated, in order, as individuals; all objectives minimized."""
        return Population.create(*self._individuals)

    @property
    def ending(self) -> str:
        """Why the run ended, such as "done after 600 evaluations"."""
        return self._ending

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C has stopped the run."""
        return self._ending.startswith(BY_INTERRUPT)

    @property
    def signs(self) -> Floats:
        """1 for each minimized objective and -1 for each maximized one, [n_obj]."""
        return self._view.signs

    @property
    def feasible(self) -> bool:
        """Whether some design satisfies all constraints."""
        return self._evaluations.feasible

    @cached_property
    def front(self) -> DesignFront:
        """The best designs; if none is feasible, those of least violation, at least five.

        Each is a candidate with `index`, `design` (a dictionary of the variables), `objectives` (by
        name, with their own sign), `others` (constraints and other outputs) and `feasible`.
        """
        individuals = [self._individuals[i] for i in self._evaluations.best]
        return DesignFront(self._view, individuals, self.feasible)

    @property
    def designs(self) -> list[Row]:
        """The designs of the front, as dictionaries of the variables."""
        return self.front.designs

    @property
    def best(self) -> Candidate:
        """The best design of a run with one objective; else an error that names `knee`.

        Raises
        ------
        ValueError
            There are several objectives, or no evaluation succeeded.
        """
        if len(self._view.names) > 1:
            raise ValueError(
                f"There is no single best design for the objectives {', '.join(self._view.names)}. "
                "Use .knee(), .by_weights({...}), .by_reference({...}), or look at .front."
            )
        if len(self.front) == 0:
            raise ValueError("There is no best design: no evaluation succeeded. See .failures.")
        return self.front[0]

    @property
    def failures(self) -> list[Row]:
        """The failed evaluations: `n`, `status`, the exception as `error`, and the `design`."""
        return self._evaluations.failures()

    @property
    def status(self) -> str:
        """How the run ended, what it found, which evaluations failed and why, how to go on."""
        return status_of(self._evaluations, self.front, self._ending, self._advice)

    if not TYPE_CHECKING:  # type checkers would take every name for an attribute
        __getattr__ = other_names.refuse

    def __len__(self) -> int:
        return len(self.front)

    def __repr__(self) -> str:
        head, more = shown_front(self.front, _SHOWN_ROWS)
        lines = [harmless(f"{self._view.title}: {self.status}")]
        if len(head):
            lines += ["", str(head)]
        if more:
            lines.append(f"... and {more}: .to_frame() or .designs")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        from moela.functions.results.page import html_of

        return html_of(self, self._view.title)

    def table(self, *, all: bool = False) -> Table:
        """Return the front, or with `all` everything evaluated, as a table.

        Columns: variables, objectives, constraints, all other outputs; with `all` also
        ``feasible``, ``status`` and ``error``. These three are called ``feasible (run)`` and so on
        if a variable or an output has the name.
        """
        return self._evaluations.table() if all else self.front.table()

    def to_frame(self, *, all: bool = False) -> DataFrame:
        """Return the front, or with `all` everything evaluated, as a pandas DataFrame.

        Raises
        ------
        ImportError
            If pandas isn't installed (it comes with ``pip install 'moela[report]'``).
        """
        return self.table(all=all).to_frame()

    def save(self, path: str | Path, *, all: bool = False) -> Path:
        """Write the table as a ``.csv`` or ``.json`` file, and return its path.

        The file is written whole or not at all. In JSON, numbers that are not finite are null.

        Parameters
        ----------
        path : str or Path
        all : bool
            Whether to write everything evaluated instead of the front.
        """
        return save_table(self.table(all=all), path)

    def knee(self) -> Candidate:
        """Return the candidate at the knee of the front; if it has none, a balanced one."""
        return self.front.knee()

    def by_weights(self, weights: Mapping[str, float] | Sequence[float]) -> Candidate:
        """Return the compromise closest to weights, at least 0, by name or in order.

        Objectives that a dictionary leaves out have weight 0.
        """
        return self.front.by_weights(weights)

    def by_reference(self, point: Mapping[str, float] | Sequence[float]) -> Candidate:
        """Return the candidate that best achieves desired values, by name or in order.

        Values are those of the objectives, with their own sign.
        """
        return self.front.by_reference(point)

    def explain(self, which: int | Candidate = 0) -> Explanation:
        """Return in words what a candidate, or the one at a position, gives up for what."""
        return self.front.explain(which)

    def importances(self, *, random_state: int = 0) -> Importances:
        """Return which variables the objectives depend on, among the designs evaluated.

        Parameters
        ----------
        random_state : int
            Seed of the forests and of the designs held out.

        Returns
        -------
        Importances
            It prints as a table, and has `plot` and `plot_slices`.

        Raises
        ------
        ValueError
            There are fewer than 30 different designs without failure.
        """
        from moela.explanation.importances import Importances

        view, good = self._view, np.flatnonzero(self._evaluations.succeeded)
        individuals = [self._individuals[i] for i in good]
        chosen = {id(individual) for individual in self.front._individuals}
        return Importances(
            [view.design(individual.X) for individual in individuals],
            self._evaluations.objectives(good) * view.signs,
            view.names,
            senses=view.signs.tolist(),
            title=view.title,
            log=view.logarithmic(),
            options=view.options(),
            front=np.array([id(individual) in chosen for individual in individuals], dtype=bool),
            random_state=random_state,
        )

    def plot(
        self,
        *,
        path: str | Path | None = None,
        title: str | None = None,
        log: bool | Sequence[str] = False,
    ) -> Figure:
        """Draw the front among everything evaluated; with one objective, its best value over time.

        Parameters
        ----------
        path : str or Path, optional
            Where to save the picture.
        title : str, optional
        log : bool or sequence of str
            Objectives with a logarithmic axis: all, or those named. The front must be positive.

        Returns
        -------
        matplotlib.figure.Figure
        """
        from moela.functions.results.picture import plot_result

        view, known = self._view, self._evaluations
        ok = known.succeeded & (known.violations <= 0) if known.feasible else known.succeeded
        F = known.objectives(np.arange(len(self._individuals)))
        return plot_result(
            F * view.signs, ok, self.front.F, view.signs, view.names, chosen=known.best,
            marked=self.front.marked() if len(self.front) else None, log=log, title=title,
            path=path,
        )  # fmt: skip

    @cached_property
    def _evaluations(self) -> Evaluations:
        return Evaluations(self._view, self._individuals)
