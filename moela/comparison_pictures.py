"""The pictures of a comparison, drawn by moela.plots."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from moela.base import require
from moela.comparison_scale import LARGER_IS_BETTER, TITLES
from moela.outcomes import Floats

if TYPE_CHECKING:
    from moela.compare import Comparison
    from moela.plots import Look

Kind = str
KINDS = ("2d", "3d", "matrix", "parallel")


class Pictures:
    """What `Comparison` draws; each returns a matplotlib Figure and saves it to `path`, if given."""

    @cached_property
    def styles(self: Comparison) -> dict[str, Look]:  # type: ignore[misc]
        """How each algorithm looks in every picture."""
        from moela.plots import looks

        return looks(self.algorithms)

    @property
    def colours(self: Comparison) -> dict[str, str]:  # type: ignore[misc]
        """The colour of each algorithm in every picture."""
        return {name: look.colour for name, look in self.styles.items()}

    def plot_fronts(  # type: ignore[misc]
        self: Comparison,
        problem: str | None = None,
        kind: str | None = None,
        path: str | Path | None = None,
    ) -> Any:
        """Draw the front of each algorithm, all of its runs together.

        Parameters
        ----------
        problem : str, optional
            May be left out where there is one.
        kind : {"2d", "3d", "matrix", "parallel"}, optional
            Default: by the number of objectives, the matrix of all pairs for more than three.
        path : str or Path, optional
        """
        from moela import plots

        name = self.only_problem(problem)
        scale = self.scales[name]
        n_obj = len(scale.names)
        chosen = kind or {2: "2d", 3: "3d"}.get(n_obj, "matrix")
        allowed = ["matrix", "parallel", *{2: ["2d"], 3: ["3d"]}.get(n_obj, [])]
        one_of = f"one of {', '.join(allowed)} for {n_obj} objectives"
        require("plot_fronts", "kind", kind, chosen in allowed, one_of)
        fronts = {a: F for a, F in self._fronts(name).items() if len(F)}
        more: dict[str, Any] = {}
        if chosen == "parallel":
            more = {"ideal": scale.ideal, "nadir": scale.nadir}
        draw = getattr(plots, f"plot_{chosen}")
        return draw(fronts, scale.names, styles=self.styles, title=name, path=path, **more)

    def plot_attainment(  # type: ignore[misc]
        self: Comparison, problem: str | None = None, path: str | Path | None = None
    ) -> Any:
        """Draw how far the runs of each algorithm get, for two or three objectives."""
        from moela import plots

        name = self.only_problem(problem)
        runs = {a: r for a, r in self._runs(name).items() if any(len(F) for F in r)}
        names = self.scales[name].names
        return plots.plot_attainment(runs, names, styles=self.styles, title=name, path=path)

    def plot_attainment_difference(  # type: ignore[misc]
        self: Comparison,
        algorithm: str,
        rival: str,
        problem: str | None = None,
        path: str | Path | None = None,
    ) -> Any:
        """Draw where runs of one algorithm get more often than another's, for two objectives."""
        from moela import plots

        name = self.only_problem(problem)
        runs = self._runs(name)
        for parameter, given in (("algorithm", algorithm), ("rival", rival)):
            one_of = f"one of {', '.join(runs)}"
            require("plot_attainment_difference", parameter, given, given in runs, one_of)
        return plots.plot_attainment_difference(
            runs[algorithm], runs[rival], self.scales[name].names, labels=(algorithm, rival),
            styles=self.styles, title=name, path=path,
        )  # fmt: skip

    def plot_convergence(  # type: ignore[misc]
        self: Comparison, problem: str | None = None, path: str | Path | None = None
    ) -> Any:
        """Draw the hypervolume over evaluations: medians, and bands between the quartiles."""
        from moela import plots

        name = self.only_problem(problem)
        table = self.convergence().where(problem=name)
        return plots.plot_convergence(table, styles=self.styles, title=name, path=path)

    def plot_values(  # type: ignore[misc]
        self: Comparison,
        problem: str | None = None,
        indicator: str | None = None,
        path: str | Path | None = None,
    ) -> Any:
        """Draw an indicator of each run, algorithms side by side."""
        from moela import plots

        name, measure = self.only_problem(problem), self._indicator(indicator)
        values = {a: self.values(name, a, measure) for a in self._fronts(name)}
        return plots.plot_values(
            values, ylabel=axis_title(measure), styles=self.styles, title=name, path=path
        )

    def plot_ranks(  # type: ignore[misc]
        self: Comparison, indicator: str | None = None, path: str | Path | None = None
    ) -> Any:
        """Draw the critical difference diagram of mean ranks.

        Raises
        ------
        ValueError
            There are no blocks to rank within: one problem, and runs that can't be paired.
        """
        from moela import plots

        measure = self._indicator(indicator)
        overall = self.ranks(measure)
        if overall.ranking is None:
            raise ValueError(
                "Mean ranks need two algorithms, and several problems or runs of equal seeds. Got "
                f"{len(overall.algorithms)} algorithms, {len(self.problems)} problems and runs "
                "that can't be paired."
            )
        blocks = f"{overall.ranking.n_blocks} {overall.blocks}"
        title = f"mean ranks by {TITLES[measure]} over {blocks}"
        return plots.plot_ranks(
            overall.algorithms, overall.ranking, styles=self.styles, title=title, path=path
        )

    def plot_profile(  # type: ignore[misc]
        self: Comparison, indicator: str | None = None, path: str | Path | None = None
    ) -> Any:
        """Draw on which share of the instances each algorithm is within a factor of the best.

        See `ratios` for what the instances are.
        """
        from moela import plots

        measure = self._indicator(indicator)
        ratios = self.ratios(measure)
        label = f"{TITLES[measure]}: times the best"
        if LARGER_IS_BETTER[measure]:
            label = f"{TITLES[measure]}: best over own"
        return plots.plot_profile(ratios, xlabel=label, styles=self.styles, path=path)

    def ratios(self: Comparison, indicator: str | None = None) -> dict[str, Floats]:  # type: ignore[misc]
        """Return how many times worse than the best algorithm each one is, by instance.

        An instance is a problem and a run: the runs of equal seeds where all have the same ones,
        else the first run of each algorithm, the second, and so on. Problems that an algorithm
        has no run on are left out.

        Returns
        -------
        dict of float array [n_instances] by algorithm
            At least 1; infinity where a run found nothing and another did.
        """
        measure = self._indicator(indicator)
        parts: dict[str, list[Floats]] = {a: [] for a in self.algorithms}
        for group in self._samples(measure).values():
            if len(group) < len(self.algorithms):
                continue
            n = min(len(s.values) for s in group.values())
            seeds = {tuple(sorted(s.seeds)) if s.seeded else None for s in group.values()}  # type: ignore[type-var]
            by_seed = len(seeds) == 1 and None not in seeds
            table = np.array(
                [
                    s.values[np.argsort(np.array(s.seeds, dtype=float))] if by_seed else s.values[:n]
                    for s in group.values()
                ]
            )
            for name, ratio in zip(group, _ratios(table, LARGER_IS_BETTER[measure]), strict=True):
                parts[name].append(ratio)
        if not parts[self.algorithms[0]]:
            raise ValueError("There is no problem on which every algorithm has a run.")
        return {name: np.concatenate(ratios) for name, ratios in parts.items()}

    def _fronts(self: Comparison, problem: str) -> dict[str, Floats]:  # type: ignore[misc]
        return {a: self.front(problem, a).F for a in self._runs(problem)}

    def _runs(self: Comparison, problem: str) -> dict[str, list[Floats]]:  # type: ignore[misc]
        found = [(o.algorithm, o.F) for o in self.outcomes if o.problem == problem]
        return {
            a: runs for a in self.algorithms if (runs := [F for name, F in found if name == a])
        }


def axis_title(indicator: str) -> str:
    """Return an indicator as an axis is called: with the direction that is better."""
    if indicator == "hypervolume":
        return "hypervolume (share), up is better"
    return f"{TITLES[indicator]}, down is better"


def _ratios(values: Floats, larger_is_better: bool) -> Floats:
    """Return values [k, n] over the best of their column, at least 1."""
    best = values.max(axis=0) if larger_is_better else values.min(axis=0)
    own, reference = (best, values) if larger_is_better else (values, best)
    own, reference = np.broadcast_arrays(own, reference)
    out = np.full(values.shape, np.inf)
    np.divide(own, reference, out=out, where=(reference > 0) & np.isfinite(reference))
    return np.where(values == best, 1.0, out)
