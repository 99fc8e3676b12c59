"""Everything that a run has evaluated: successes, failures, and all of it as a table."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from pymoo.core.individual import Individual

from moela._arrays import Bools, Floats, Ints
from moela.evaluation.runners.outcome import OK, SKIPPED
from moela.functions.model.function_problem import why
from moela.functions.model.view import ProblemView
from moela.functions.results.best import best_rows
from moela.functions.results.front import RUN_COLUMNS, Candidate, aligned, run_columns
from moela.quality.table import Row, Table


class Evaluations:
    """The evaluated designs of a run, in order.

    Parameters
    ----------
    view : ProblemView
    individuals : sequence of Individual
        Each with a result or a failure.
    """

    def __init__(self, view: ProblemView, individuals: Sequence[Individual]) -> None:
        self.view, self.individuals = view, individuals

    @cached_property
    def succeeded(self) -> Bools:
        """Whether the evaluation of each design succeeded, [n]."""
        return np.array([ind.data.get("status", OK) == OK for ind in self.individuals], dtype=bool)

    @cached_property
    def violations(self) -> Floats:
        """How much each design violates the constraints, [n]."""
        return np.array(
            [0.0 if ind.CV is None else float(ind.CV[0]) for ind in self.individuals], dtype=float
        )

    @cached_property
    def best(self) -> Ints:
        """The rows of the front."""
        good = np.flatnonzero(self.succeeded)
        return good[best_rows(self.objectives(good), self.violations[good])]

    @property
    def feasible(self) -> bool:
        """Whether some design satisfies all constraints."""
        good = self.succeeded
        return bool(good.any()) and bool((self.violations[good] <= 0).any())

    def objectives(self, rows: Ints) -> Floats:
        """Return the minimized objectives of some designs, [len(rows), n_obj]."""
        F = np.array([self.individuals[i].F for i in rows], dtype=float)
        return F.reshape(-1, len(self.view.names))

    def failures(self) -> list[Row]:
        """Return the failed evaluations: `n`, `status`, the exception as `error`, the `design`."""
        found: list[Row] = []
        for n, individual in enumerate(self.individuals):
            if not self.succeeded[n]:
                found.append(
                    {
                        "n": n,
                        "status": str(individual.data.get("status")),
                        "error": reason_of(individual),
                        "design": self.view.design(individual.X),
                    }
                )
        return found

    def table(self) -> Table:
        """Return variables, outputs, and the columns about the run, a row for each design."""
        rows: list[Row] = []
        own: list[Row] = []
        for n, individual in enumerate(self.individuals):
            row: Row = {}
            design = self.view.design(individual.X)
            if self.succeeded[n]:
                objectives = self.view.objectives(individual)
                others = self.view.others(individual)
                row = Candidate(n, design, objectives, others).row()
            else:
                row = dict(design)
            rows.append(row)
            feasible = bool(self.succeeded[n]) and bool(self.violations[n] <= 0)
            status = str(individual.data.get("status", OK))
            error = "" if self.succeeded[n] else reason_of(individual)
            own.append(dict(zip(RUN_COLUMNS, (feasible, status, error), strict=True)))
        rows = aligned(rows, self.view.variables)
        names = run_columns(rows[0] if rows else ())
        for row, more in zip(rows, own, strict=True):
            row |= {names[name]: value for name, value in more.items()}
        return Table(rows)


def evaluated(population: Sequence[Individual]) -> list[Individual]:
    """Return the individuals of a batch that were evaluated, not skipped beyond the budget."""
    return [ind for ind in population if ind.data.get("status", OK) != SKIPPED]


def reason_of(individual: Individual) -> str:
    """Return why an evaluation failed, on one line and without the design."""
    data = individual.data
    return why(str(data.get("error") or ""), str(data.get("status")))
