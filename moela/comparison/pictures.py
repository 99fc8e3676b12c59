"""The pictures of a comparison, drawn by moela.plots."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from moela._arrays import Floats
from moela._checks import require
from moela.comparison.numbers import Numbers
from moela.comparison.scale import LARGER_IS_BETTER, TITLES
from moela.comparison.summary import capital

if TYPE_CHECKING:
    from moela.plots import Look

_MAX_DIFFERENCES = 3
_DPI = 130


class Pictures(Numbers):
    """The part of `Comparison` that draws: matplotlib Figures, saved where a `path` is given."""

    @cached_property
    def styles(self) -> dict[str, Look]:
        """How each algorithm looks in every picture."""
        from moela.plots import looks

        return looks(self.algorithms)

    @property
    def colors(self) -> dict[str, str]:
        """The color of each algorithm in every picture."""
        return {name: look.color for name, look in self.styles.items()}

    def plot_fronts(
        self,
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

    def plot_attainment(self, problem: str | None = None, path: str | Path | None = None) -> Any:
        """Draw how far the runs of each algorithm get, for two or three objectives."""
        from moela import plots

        name = self.only_problem(problem)
        runs = {a: r for a, r in self._runs(name).items() if any(len(F) for F in r)}
        names = self.scales[name].names
        return plots.plot_attainment(runs, names, styles=self.styles, title=name, path=path)

    def plot_attainment_difference(
        self,
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

    def plot_convergence(self, problem: str | None = None, path: str | Path | None = None) -> Any:
        """Draw the hypervolume over evaluations: medians, and bands between the quartiles."""
        from moela import plots

        name = self.only_problem(problem)
        table = self.convergence().where(problem=name)
        return plots.plot_convergence(table, styles=self.styles, title=name, path=path)

    def plot_values(
        self,
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

    def plot_ranks(self, indicator: str | None = None, path: str | Path | None = None) -> Any:
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

    def plot_profile(self, indicator: str | None = None, path: str | Path | None = None) -> Any:
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

    def pictures(self, problem: str) -> dict[str, tuple[str, Callable[[], Any]]]:
        """Return the pictures that there can be of a problem: by name, a caption and what draws it.

        Parameters
        ----------
        problem : str
        """
        n_obj = len(self.scales[problem].names)
        out: dict[str, tuple[str, Callable[[], Any]]] = {
            "fronts": (
                "The front of each algorithm, all of its runs together.",
                lambda: self.plot_fronts(problem),
            )
        }
        if n_obj > 2:
            out["parallel"] = (
                "The same across all objectives, a line a design.",
                lambda: self.plot_fronts(problem, "parallel"),
            )
        if n_obj <= 3:
            out["attainment"] = (
                "What half of the runs attain; bands from what any run does to what all do."
                if n_obj == 2
                else "What half of the runs attain of the third objective, given the first two.",
                lambda: self.plot_attainment(problem),
            )
        if n_obj == 2:
            for k, (a, b) in enumerate(self._to_differ(problem), 1):
                out[f"difference-{k}"] = (
                    f"Where runs of {a} or of {b} get more often.",
                    partial(self.plot_attainment_difference, a, b, problem),
                )
        out["values"] = (
            f"{capital(axis_title(self.indicators[0]))}: each run, with median and quartiles.",
            lambda: self.plot_values(problem),
        )
        if self.has_history:
            out["convergence"] = (
                "Hypervolume over evaluations: medians, and bands between the quartiles.",
                lambda: self.plot_convergence(problem),
            )
        return out

    def pictures_together(self) -> dict[str, tuple[str, Callable[[], Any]]]:
        """Return the pictures that there can be of all problems together, as `pictures` does."""
        out: dict[str, tuple[str, Callable[[], Any]]] = {}
        if len(self.algorithms) < 2:
            return out
        if self.ranks().ranking is not None:
            out["ranks"] = (
                "Mean ranks, 1 is best; bars join those that aren't told apart.",
                self.plot_ranks,
            )
        if any(
            len(group) == len(self.algorithms)
            for group in self._samples(self.indicators[0]).values()
        ):
            out["profile"] = (
                "On which share of the instances an algorithm is within a factor of the best one.",
                self.plot_profile,
            )
        return out

    def save_pictures(self, folder: str | Path) -> list[Path]:
        """Write every picture there can be into a folder as PNG files, and return their paths."""
        out = Path(folder).expanduser()
        out.mkdir(parents=True, exist_ok=True)
        paths = []
        for number, problem in enumerate(self.problems, 1):
            for name, (_, draw) in self.pictures(problem).items():
                paths.append(out / f"{number}-{file_name(problem)}-{name}.png")
                draw().savefig(paths[-1], dpi=_DPI)
        for name, (_, draw) in self.pictures_together().items():
            paths.append(out / f"{name}.png")
            draw().savefig(paths[-1], dpi=_DPI)
        return paths

    def _to_differ(self, problem: str) -> list[tuple[str, str]]:
        """Return pairs to draw differences of: the baseline, or the best, with a few others."""
        rows = self.summary().where(problem=problem).rows
        found = {o.algorithm for o in self.outcomes if o.problem == problem and len(o.F)}
        names = [row["algorithm"] for row in rows if row["algorithm"] in found]
        best = [row["algorithm"] for row in rows if row["best"] and row["algorithm"] in found]
        first = self.baseline if self.baseline in names else next(iter(best), None)
        if first is None:
            return []
        return [(first, name) for name in names if name != first][:_MAX_DIFFERENCES]

    def ratios(self, indicator: str | None = None) -> dict[str, Floats]:
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
                    s.values[np.argsort(np.array(s.seeds, dtype=float))]
                    if by_seed
                    else s.values[:n]
                    for s in group.values()
                ]
            )
            for name, ratio in zip(group, _ratios(table, LARGER_IS_BETTER[measure]), strict=True):
                parts[name].append(ratio)
        if not parts[self.algorithms[0]]:
            raise ValueError("There is no problem on which every algorithm has a run.")
        return {name: np.concatenate(ratios) for name, ratios in parts.items()}

    def _fronts(self, problem: str) -> dict[str, Floats]:
        return {a: self.front(problem, a).F for a in self._runs(problem)}

    def _runs(self, problem: str) -> dict[str, list[Floats]]:
        found = [(o.algorithm, o.F) for o in self.outcomes if o.problem == problem]
        return {a: runs for a in self.algorithms if (runs := [F for name, F in found if name == a])}


def axis_title(indicator: str) -> str:
    """Return an indicator as an axis is called: with the direction that is better."""
    if indicator == "hypervolume":
        return "hypervolume (share), up is better"
    return f"{TITLES[indicator]}, down is better"


def file_name(name: str) -> str:
    """Return a name as part of a file's: letters, digits and a few signs, no path."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "_", name).strip(".")[:60] or "problem"


def _ratios(values: Floats, larger_is_better: bool) -> Floats:
    """Return values [k, n] over the best of their column, at least 1."""
    best = values.max(axis=0) if larger_is_better else values.min(axis=0)
    own, reference = (best, values) if larger_is_better else (values, best)
    own, reference = np.broadcast_arrays(own, reference)
    out = np.full(values.shape, np.inf)
    np.divide(own, reference, out=out, where=(reference > 0) & np.isfinite(reference))
    return np.where(values == best, 1.0, out)
