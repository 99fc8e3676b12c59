"""Importances: which variables the objectives of evaluated designs depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from moela._arrays import Bools, Floats, Ints
from moela._checks import count, require
from moela._spelling import spelled
from moela.explanation.columns import NO_OPTIONS, Column, columns_of
from moela.explanation.forest import DesignForest, Measured, fitted, measure, trusted
from moela.explanation.slices import Slice, slice_of
from moela.heartbeat.working import long_work
from moela.notebook import html
from moela.quality.table import Row, Table
from moela.quality.words import harmless, nearest

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Different designs, below which nothing can be held out, and above which some are drawn.
LEAST_DESIGNS, MOST_DESIGNS = 30, 2000
# Values beyond a jump that is this many times as large as the range and the magnitude of all better
# ones are penalties: a forest would see nothing but them. A smaller jump may be an effect of a
# variable. Heavy tails have no such jump, and what lies beyond it is at most ten times as far.
_JUMP, _FARTHEST = 50.0, 10.0
_LEAST_SHARE = 0.25  # of designs that are no penalties
_ROUGH = 0.7  # R2 below which only large differences between importances count
_SLICED = 4  # variables of a picture of slices
_SHOWN_ROWS = 20  # variables of a text


class Importances:
    """How much each variable matters to each objective, among the designs that were evaluated.

    A random forest predicts each objective from the variables. The importance of a variable is the
    R2 that it loses on designs held out of the fit, if the variable's values are shuffled among
    these. R2 itself says how far to trust that: below 0.3 the forest knows too little.

    Importances hold for the designs that the run has evaluated, most of them near the front, and
    not for all possible designs. Two variables that rose and fell together share their importance.

    Parameters
    ----------
    designs : sequence of dict
        Of the variables; those that do not exist in a design are missing from it.
    values : float array [n, n_outputs]
        Objectives with their own sign; rows that are not finite are left out.
    names : sequence of str
        Of the outputs.
    senses : sequence of float
        1 for an output that is minimized, -1 for a maximized one.
    title : str
        Name of the function or problem.
    log : sequence of str
        Variables to draw on a logarithmic scale.
    options : dict of sequence by variable
        The options of choices, in the order in which slices show them.
    front : bool array [n], optional
        Which designs are on the front.
    random_state : int

    Attributes
    ----------
    n_designs : int
        Different designs that were used.
    r2 : dict of float by output
        Coefficient of determination on held-out designs.
    importances : dict by output of dict of float by variable
    moved : dict of int by output
        Designs whose value is a penalty: worse than those of the others by a jump of 50 times their
        range and magnitude, such as 1e9 for a failed simulation. The worst of the others is used
        instead.

    Raises
    ------
    ValueError
        There are fewer than 30 different designs.

    Examples
    --------
    >>> import numpy as np
    >>> from moela.explanation.importances import Importances
    >>> x = np.random.default_rng(1).random((200, 2))
    >>> designs = [{"width": a, "color": b} for a, b in x]
    >>> found = Importances(designs, x[:, :1] ** 2, ["mass"])
    >>> found.r2["mass"] > 0.9, found.importances["mass"]["width"] > 1
    (True, True)
    """

    @long_work("measuring importances of variables")
    def __init__(
        self,
        designs: Sequence[Mapping[str, object]],
        values: Floats,
        names: Sequence[str],
        *,
        senses: Sequence[float] | None = None,
        title: str = "",
        log: Sequence[str] = (),
        options: Mapping[str, Sequence[object]] = NO_OPTIONS,
        front: Bools | None = None,
        random_state: int = 0,
    ) -> None:
        self.random_state = count("importances", "random_state", random_state, at_least=0)
        values = np.asarray(values, dtype=float).reshape(len(designs), -1)
        rows = _different(designs, values, self.random_state)
        self.names, self.title = tuple(names), title
        self.n_designs = len(rows)
        if self.n_designs < LEAST_DESIGNS:
            raise ValueError(
                f"Importances need at least {LEAST_DESIGNS} different designs that were evaluated "
                f"without failure. Got {self.n_designs}; evaluate more."
            )
        self._on_front = np.zeros(len(rows), bool) if front is None else front[rows]
        chosen = [designs[i] for i in rows]
        everything = columns_of(chosen, log, options)
        self.columns: list[Column] = [column for column in everything if column.varies]
        self.constant = tuple(column.name for column in everything if not column.varies)
        if not self.columns:
            raise ValueError(
                "Importances need a variable with different values. Got the same design each time."
            )
        signs = np.ones(len(names)) if senses is None else np.asarray(senses, dtype=float)
        self._values = np.stack(
            [
                _without_penalties(values[rows, k], float(signs[k]), self._on_front)
                for k in range(len(names))
            ],
            axis=1,
        )
        self._exact = values[rows]
        counts = (self._values != self._exact).sum(axis=0).tolist()
        self.moved: dict[str, int] = dict(zip(self.names, counts, strict=True))
        self.measured: dict[str, Measured] = {
            name: measure(self.columns, self._values[:, k], self.random_state)
            for k, name in enumerate(self.names)
        }
        self.r2 = {name: found.r2 for name, found in self.measured.items()}
        self.importances = {
            name: dict(zip(self.variables, found.shares.tolist(), strict=True))
            for name, found in self.measured.items()
        }

    @property
    def variables(self) -> tuple[str, ...]:
        """Names of the variables with different values."""
        return tuple(column.name for column in self.columns)

    def order(self) -> list[str]:
        """Return the variables, the most important first: by the mean over the outputs known.

        Outputs that the forest cannot predict do not count, unless there is no other.
        """
        known = [found for found in self.measured.values() if trusted(found.r2)]
        shares = np.mean([f.shares for f in known or self.measured.values()], axis=0)
        return [self.variables[j] for j in np.argsort(-shares, kind="stable")]

    def table(self) -> Table:
        """Return a row per variable with its importance for each output, the largest first."""
        rows: list[Row] = [
            {"variable": v} | {name: self.importances[name][v] for name in self.names}
            for v in self.order()
        ]
        return Table(rows, dict.fromkeys(self.names, ".3f"))

    def caveats(self) -> list[str]:
        """Return how far to trust the importances of each output, and which values were moved."""
        trust = [f"{name}: {_trust(r2)}" for name, r2 in self.r2.items()]
        return trust + [
            f"{name}: {n} of {self.n_designs:,} values are worse than the others by orders of "
            "magnitude. They are taken for penalties and count as the worst of the others."
            for name, n in self.moved.items()
            if n
        ]

    def plot(self, *, path: str | Path | None = None, title: str | None = None) -> Figure:
        """Draw the importances, a panel for each output with its R2.

        Parameters
        ----------
        path : str or Path, optional
            Where to save the picture.
        title : str, optional

        Returns
        -------
        matplotlib.figure.Figure
        """
        from moela.explanation.pictures import plot_importances

        return plot_importances(self, title=title, path=path)

    @long_work("drawing slices")
    def plot_slices(
        self,
        variables: Sequence[str] | None = None,
        *,
        path: str | Path | None = None,
        title: str | None = None,
    ) -> Figure:
        """Draw each output over single variables: the designs evaluated, and the forest's mean.

        Parameters
        ----------
        variables : sequence of str, optional
            By default the four most important ones that are no permutations.
        path : str or Path, optional
            Where to save the picture.
        title : str, optional

        Returns
        -------
        matplotlib.figure.Figure
        """
        from moela.explanation.pictures import plot_slices

        return plot_slices(self, self._sliced(variables), title=title, path=path)

    def slice(self, output: str, variable: str) -> Slice | None:
        """Return how an output changes with a variable; None for a permutation.

        Parameters
        ----------
        output, variable : str
        """
        self._known("output", output, self.names)
        self._known("variable", variable, self.variables)
        j = self.variables.index(variable)
        return slice_of(self._forests[output], self.columns, j, self.random_state)

    def points(self, output: str, variable: str) -> tuple[Floats, Floats, Bools]:
        """Return values of a variable and an output, and whether on the front, of each design."""
        column = self.columns[self.variables.index(variable)]
        at, known = self.names.index(output), column.exists
        return column.values[known], self._exact[known, at], self._on_front[known]

    def limits(self, output: str) -> tuple[float, float]:
        """Return the range of an output without penalties."""
        values = self._values[:, self.names.index(output)]
        margin = 0.05 * float(np.ptp(values)) or 1.0
        return float(values.min()) - margin, float(values.max()) + margin

    def __repr__(self) -> str:
        head, *notes = map(harmless, [self._head(), *self._notes()])
        table = self.table()
        more = len(table) - _SHOWN_ROWS
        shown = Table(table.rows[:_SHOWN_ROWS], table.formats) if more > 0 else table
        rest = [f"... and {more} variables that matter less: .table()"] if more > 0 else []
        return "\n".join([head, "", str(shown), *rest, "", *notes])

    def _repr_html_(self) -> str:
        notes = "".join(html.paragraph(note) for note in self._notes())
        picture = html.picture(self.plot(), f"importances of {self.title}")
        return html.paragraph(self._head()) + self.table()._repr_html_() + notes + picture

    @cached_property
    def _forests(self) -> dict[str, DesignForest]:
        return {
            name: fitted(self.columns, self._values[:, k], self.random_state)
            for k, name in enumerate(self.names)
        }

    def _head(self) -> str:
        of = f" of {self.title}" if self.title else ""
        return (
            f"Importances of variables{of}, from {self.n_designs:,} evaluated designs: the R2 that "
            "is lost on held-out designs if a variable is shuffled."
        )

    def _notes(self) -> list[str]:
        notes = self.caveats()
        if self.constant:
            notes.append(f"The same in all designs: {', '.join(self.constant)}.")
        return notes

    def _sliced(self, variables: Sequence[str] | None) -> list[str]:
        if variables is not None:
            require("plot_slices", "variables", variables, not isinstance(variables, str), "a list")
            for name in variables:
                self._known("variables", name, self.variables)
            require("plot_slices", "variables", variables, len(variables) > 0, "not empty")
            return list(variables)
        kinds = {column.name: column.kind for column in self.columns}
        found = [name for name in self.order() if kinds[name] != "order"][:_SLICED]
        if not found:
            raise ValueError(
                "There are no slices: every variable is a permutation. Use plot() instead."
            )
        return found

    def _known(self, parameter: str, name: str, known: Sequence[str]) -> None:
        if name not in known:
            raise ValueError(
                f"The '{parameter}' parameter must name one of {', '.join(known)}. Got {name!r} "
                f"instead.{nearest(name, known)}"
            )


def _trust(r2: float) -> str:
    value = f"R2 {r2:.2f} on held-out designs"
    if not trusted(r2):
        return f"{value}. The forest cannot predict it, so its importances mean nothing."
    if r2 < _ROUGH:
        return f"{value}. The forest predicts it roughly; trust only large differences."
    return f"{value}. The forest predicts it well."


def _different(designs: Sequence[Mapping[str, object]], values: Floats, random_state: int) -> Ints:
    """Return the rows of different designs with finite values, at most `MOST_DESIGNS` of them."""
    first: dict[str, int] = {}
    for i, design in enumerate(designs):
        if np.isfinite(values[i]).all():
            first.setdefault(spelled(sorted(design.items(), key=lambda item: item[0])), i)
    rows = np.fromiter(first.values(), dtype=np.intp)
    if len(rows) > MOST_DESIGNS:
        rng = np.random.default_rng(random_state)
        rows = np.sort(rng.choice(rows, MOST_DESIGNS, replace=False))
    return rows


def _without_penalties(values: Floats, sign: float, front: Bools) -> Floats:
    """Return values in which the worst of the others stands for penalties."""
    minimized = sign * values
    while True:  # since penalties may differ by orders of magnitude, too
        ordered = np.sort(minimized)
        worst = max([_worst(ordered), *minimized[front]])
        if worst >= ordered[-1]:
            return np.asarray(sign * minimized)
        minimized = np.minimum(minimized, worst)


def _worst(ordered: Floats) -> float:
    """Return the worst of ordered minimized values that is below a jump to penalties, if any is."""
    with np.errstate(over="ignore"):
        jumps, ranges = np.diff(ordered), ordered[:-1] - ordered[0]
        largest = np.maximum.accumulate(np.abs(ordered))[:-1]
        found = (ranges > 0) & (jumps > _JUMP * np.maximum(ranges, largest))
        found &= jumps >= (ordered[-1] - ordered[0]) / _FARTHEST
    found[: int(_LEAST_SHARE * len(ordered))] = False
    return float(ordered[found.argmax()] if found.any() else ordered[-1])
