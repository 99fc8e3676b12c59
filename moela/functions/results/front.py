"""The front of a run as its user sees it, and ways to choose a design from it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from pymoo.core.individual import Individual
from pymoo.core.population import Population

from moela._arrays import Floats, equal
from moela._spelling import spelled
from moela.functions.model.outputs import in_order, number_of_each
from moela.functions.model.view import ProblemView
from moela.notebook import html
from moela.quality.explain import Explanation, OwnWords, Role, explain
from moela.quality.front import Front
from moela.quality.table import Row, Table, telling, text
from moela.quality.words import harmless, number, of_kind

if TYPE_CHECKING:
    from pandas import DataFrame

# Columns of tables of everything evaluated that are neither variables nor outputs, the last three.
RUN_COLUMNS = ("feasible", "status", "error")


@dataclass(frozen=True)
class Candidate:
    """A design of a front, with its objectives and other outputs.

    Attributes
    ----------
    index : int
        Position on the front.
    design : dict
        Its variables.
    objectives : dict of float
        With their own sign.
    others : dict
        Constraints and all other outputs.
    feasible : bool
    """

    index: int
    design: Row
    objectives: dict[str, float]
    others: Row
    feasible: bool = True

    def __repr__(self) -> str:
        kept = telling([self.design])
        values = [f"{name} {text(value)}" for name, value in self.shown(kept).items()]
        hidden = len(self.design) - len(kept)
        more = f" and {hidden} more variables" if hidden else ""
        note = "" if self.feasible else " (violates constraints)"
        return harmless(f"Candidate {self.index}: {', '.join(values)}{more}{note}")

    def row(self) -> Row:
        """Return variables, objectives, and other outputs in one dictionary."""
        return self.design | self._outputs()

    def shown(self, variables: Sequence[str]) -> Row:
        """Return a row to read: objectives, these of the variables, and other outputs."""
        outputs = list(self._outputs().items())
        m = len(self.objectives)
        kept = {name: self.design.get(name) for name in variables}
        return dict(outputs[:m]) | kept | dict(outputs[m:])

    def _outputs(self) -> Row:
        """Return objectives and other outputs under names that no variable has."""
        return {
            f"{name} (output)" if name in self.design else name: value
            for name, value in (self.objectives | self.others).items()
        }


class DesignFront:
    """Designs of which none is better than another in every objective, best first in the first one.

    Parameters
    ----------
    view : ProblemView
    individuals : sequence of Individual
        Evaluated, mutually non-dominated. If no design is feasible, those of least violation.
    feasible : bool

    Attributes
    ----------
    F : float array, [n, n_obj]
        Objectives with their own sign.
    names : tuple of str
        Of the objectives.
    designs : list of dict
    feasible : bool
        False if no design is feasible. The front then holds the designs of least violation: all
        non-dominated ones of the very least, and more, up to five, if these are fewer.
    """

    def __init__(
        self, view: ProblemView, individuals: Sequence[Individual], feasible: bool
    ) -> None:
        self._view = view
        self._individuals = list(individuals)
        self.names, self.feasible = view.names, feasible
        self._minimized: Floats = np.array([ind.F for ind in individuals], dtype=float).reshape(
            -1, len(view.names)
        )
        self.F = self._minimized * view.signs
        self.designs = [view.design(ind.X) for ind in individuals]

    def __len__(self) -> int:
        return len(self.designs)

    def __iter__(self) -> Iterator[Candidate]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, i: int) -> Candidate:
        i = self._index(i)
        individual = self._individuals[i]
        view = self._view
        return Candidate(
            i,
            self.designs[i],
            view.objectives(individual),
            view.others(individual),
            bool(individual.CV is None or individual.CV[0] <= 0),
        )

    def __repr__(self) -> str:
        goals = ", ".join(
            f"{name} ({sense})" for name, sense in zip(self.names, self._view.senses(), strict=True)
        )
        kind = "designs" if self.feasible else "infeasible designs"
        return harmless(f"DesignFront({len(self)} {kind}; {goals})")

    def _repr_html_(self) -> str:
        shown, hidden = self.shown()
        more = html.paragraph(f"and {hidden} more variables") if hidden else ""
        return html.paragraph(repr(self)) + shown._repr_html_() + more

    @property
    def population(self) -> Population:
        """The front as pymoo's individuals; all objectives minimized."""
        return Population.create(*self._individuals)

    def decode(self, i: int) -> Row:
        """Return the design at position i as a dictionary of its variables."""
        return self.designs[self._index(i)]

    def table(self) -> Table:
        """Return a table with a row per design: variables, objectives, constraints, others."""
        return Table(aligned([candidate.row() for candidate in self], self._view.variables))

    def shown(self, most: int | None = None) -> tuple[Table, int]:
        """Return a table of the first designs to read, and how many variables it leaves out.

        Columns: objectives, variables, constraints, others. Of many variables only some are shown.
        """
        candidates = list(self)[:most]
        kept = telling([candidate.design for candidate in candidates])
        hidden = len({name for candidate in candidates for name in candidate.design}) - len(kept)
        return Table(aligned([candidate.shown(kept) for candidate in candidates])), hidden

    def to_frame(self) -> DataFrame:
        """Return a pandas DataFrame with a row per design.

        Raises
        ------
        ImportError
            If pandas isn't installed (it comes with ``pip install 'moela[report]'``).
        """
        return self.table().to_frame()

    def knee(self) -> Candidate:
        """Return the design at which the front bulges most toward the ideal.

        Beyond it, a small gain in one objective costs much in another. A front that bulges nowhere,
        such as a straight or concave one, has no knee; then it is the balanced design, whose
        pseudo-weights are closest to equal. With one objective, it is the best design, and if none
        is feasible, the one that violates the constraints least.

        References
        ----------
        Das 1999, "On characterizing the 'knee' of the Pareto curve based on normal-boundary
        intersection".
        """
        return self[self.marked()[0]]

    def marked(self) -> tuple[int, Role]:
        """Return the position of the design that `knee` returns, and why it is that one."""
        self._need_designs()
        if not self.feasible:
            return 0, Role.LEAST_VIOLATING
        if len(self) == 1:
            return 0, Role.BALANCED
        points, positions = self._points()
        i, role = points.marked()
        return positions[i], role

    def by_weights(self, weights: Mapping[str, float] | Sequence[float]) -> Candidate:
        """Return the design whose compromise is closest to some weights of the objectives.

        Parameters
        ----------
        weights : dict by name, or sequence in the order of the objectives
            At least 0; scaled to sum to 1. Objectives that a dictionary leaves out have weight 0.
        """
        self._need_designs()
        values = self._vector("weights", weights, 0.0)
        return self[self._chosen(lambda front: front.by_weights(values))]

    def by_reference(self, point: Mapping[str, float] | Sequence[float]) -> Candidate:
        """Return the design that best achieves desired values of the objectives.

        Parameters
        ----------
        point : dict by name, or sequence in the order of the objectives
            Desired values, with the objectives' own sign.
        """
        self._need_designs()
        values = self._vector("point", point, None) * self._view.signs
        return self[self._chosen(lambda front: front.by_reference(values))]

    def explain(self, which: int | Candidate = 0) -> Explanation:
        """Return in words what a design gives up for what, and what sets it apart.

        Parameters
        ----------
        which : int or Candidate
            Position on the front, or what `knee`, `by_weights` or `by_reference` returned.

        Raises
        ------
        ValueError
            The front does not hold the candidate.
        """
        i = self._found(which) if isinstance(which, Candidate) else self._index(which)
        others = self[i].others
        notes = [
            constraint.standing(float(others[constraint.name]))
            for constraint in self._view.constraints
        ]
        words = OwnWords.of(self._view.problem, [ind.X for ind in self._individuals])
        return explain(
            i, self.F, self._view.signs, self.names, self.designs,
            marked=self.marked(), notes=notes, words=words,
        )  # fmt: skip

    def _found(self, candidate: Candidate) -> int:
        """Return the position of a candidate, which may come from another result."""
        same = [
            i for i, own in enumerate(self)
            if own.objectives == candidate.objectives and equal(own.design, candidate.design)
        ]  # fmt: skip
        if not same:
            raise ValueError(
                "The 'which' parameter of explain must be a design on this front. Got "
                f"{candidate!r} instead; explain it by the result that it comes from."
            )
        return candidate.index if candidate.index in same else same[0]

    def _chosen(self, choose: Callable[[Front], int]) -> int:
        """Return the position of the point that a function chooses."""
        if len(self) == 1 or len(self.names) == 1:
            return 0
        points, positions = self._points()
        return positions[choose(points)]

    def _points(self) -> tuple[Front, list[int]]:
        """Return the non-dominated designs, which infeasible ones may not all be, and positions."""
        points = Front(self._minimized, np.arange(len(self)), names=self.names)
        return points, np.asarray(points.X).tolist()

    def _index(self, i: object) -> int:
        if isinstance(i, bool) or not isinstance(i, int | np.integer):
            raise TypeError(
                f"A position on the front must be an integer. Got {of_kind(i)} instead."
            )
        if not -len(self) <= i < len(self):
            raise IndexError(
                f"A position on the front must be from 0 to {len(self) - 1}. Got {i} instead."
            )
        return int(i) % len(self)

    def _vector(self, parameter: str, given: object, default: float | None) -> Floats:
        n, names = len(self.names), self.names
        form = number_of_each(names)
        ordered = given
        if isinstance(given, Mapping):
            ordered = in_order(parameter, given, names, default)
        try:
            values = np.asarray(ordered, dtype=float)
        except (TypeError, ValueError):
            values = np.empty(0)
        if values.shape != (n,) or not np.isfinite(values).all():
            raise ValueError(
                f"The '{parameter}' parameter must hold {form}. Got {of_kind(given)} instead."
            )
        return values

    def _need_designs(self) -> None:
        if len(self) == 0:
            raise ValueError(
                "There is no design to choose from: no evaluation succeeded. The result's "
                ".failures say why."
            )


def aligned(rows: Sequence[Row], first: Sequence[str] = ()) -> list[Row]:
    """Return rows with the same columns, of which some come first; what a row lacks is None.

    >>> aligned([{"a": 1}, {"x": 2, "a": 3}], ["x", "y"])
    [{'x': None, 'y': None, 'a': 1}, {'x': 2, 'y': None, 'a': 3}]
    """
    columns = dict.fromkeys([*first, *(name for row in rows for name in row)])
    return [{name: row.get(name) for name in columns} for row in rows]


def run_columns(taken: Collection[str]) -> dict[str, str]:
    """Return the columns about the run with names that no variable and no output has.

    >>> run_columns(["x", "error"])
    {'feasible': 'feasible', 'status': 'status', 'error': 'error (run)'}
    """
    return {name: f"{name} (run)" if name in taken else name for name in RUN_COLUMNS}


def summary(values: Mapping[str, object]) -> str:
    """Return values by name on one line, numbers with six digits."""
    return ", ".join(
        f"{name}={number(value) if isinstance(value, float) else spelled(value)}"
        for name, value in values.items()
    )
