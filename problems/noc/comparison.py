"""A design beside the networks that an architect would build without a search of the links.

These are the mesh, the mesh with its PEs placed for the traffic, and the folded torus and the
express mesh with PEs placed likewise; see ``problems.noc.baselines``. Each is evaluated on a
platform of its own: a torus has more links than the mesh, and an express mesh has as much wire as
the design that it is compared with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from moela.files.guard import brief
from moela.heartbeat.working import long_work
from moela.notebook import html
from problems._checks import check_int, check_names, check_random_state, require
from problems.noc.chip.files import JSONFile, check_fields
from problems.noc.design.design import Design
from problems.noc.evaluation.metrics import ALL_UNITS
from problems.noc.problem import NoC3D
from problems.noc.regular import Values, evaluation_on, named_objectives, regular_networks, wires

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["BaselineComparison", "compare_with_baselines", "wires"]

FORMAT = "moela-noc-baselines-1"
BASELINES = ("mesh", "placed mesh", "folded torus", "express mesh")
"""Names of the networks. The PEs of all but the first are placed by simulated annealing."""


@dataclass(frozen=True, eq=False)
class BaselineComparison(JSONFile):
    """A design and regular networks, with the values of some metrics.

    ``NoC3D.beside_baselines(x, names, random_state=rng, n_eval=2000)`` makes it. `names` are
    metrics, by default the objectives and the constraints. Each placement takes `n_eval`
    evaluations; more of them make stronger networks. ``reuse=found`` takes the networks of an
    earlier comparison on the same platform instead.

    Attributes
    ----------
    design : Design
    networks : dict from str to Design
        "mesh", "placed mesh", "folded torus", "express mesh": those that the platform allows, each
        on a platform with its own links. The PEs of all but "mesh" are placed by simulated
        annealing.
    values : dict from str to dict
        Metric -> "design" or network -> value. Several applications are aggregated as in the
        objectives, relative to the mesh.
    changes : dict from str to dict
        Metric -> network -> change of the design against that network in per cent, without the
        part that every design has alike, as in ``NoC3D.beside_mesh``; NaN where nothing else is
        left.
    loads : dict from str to list of float
        "design" or network -> flits per cycle of each link of ``all_links()``, both directions
        together, mean over applications.
    missing : dict from str to str
        Networks that the platform does not allow -> the reason.
    n_eval : int
        Evaluations of each placement.

    Examples
    --------
    >>> import numpy as np
    >>> from problems.noc import NoC3D
    >>> problem = NoC3D.example("bfs", objectives=("packet_latency", "energy"))
    >>> rng = np.random.default_rng(1)
    >>> found = problem.beside_baselines(problem.mesh_row(), random_state=rng, n_eval=50)
    >>> list(found.networks)
    ['mesh', 'placed mesh', 'folded torus', 'express mesh']
    >>> found.changes["energy"]["mesh"], found.changes["energy"]["placed mesh"] > 0
    (0.0, True)
    """

    design: Design
    networks: dict[str, Design]
    values: dict[str, dict[str, float]]
    changes: dict[str, dict[str, float]]
    loads: dict[str, list[float]]
    missing: dict[str, str]
    n_eval: int

    def summary(self) -> dict[str, object]:
        """Return the numbers as plain data: links, values, and changes in per cent; no designs."""
        return {
            "n_eval": self.n_eval,
            "planar_links": {name: len(d.planar_links) for name, d in self.networks.items()},
            "values": self.values,
            "change_in_percent": self.changes,
            "missing": self.missing,
        }

    def rows(self) -> list[dict[str, str]]:
        """Return the comparison as rows of text by column.

        The first rows hold links and wires, then comes one row for each metric. A cell of a network
        holds its value and, in brackets, the change of the design against it.
        """
        every = {"design": self.design} | self.networks
        rows = [
            {"": "planar links"} | {k: str(len(d.planar_links)) for k, d in every.items()},
        ]
        if "wire_length" not in self.values:
            rows.append({"": "wire_length"} | {k: f"{wires(d):.5g}" for k, d in every.items()})
        for metric, values in self.values.items():
            row = {"": metric, "design": f"{values['design']:.5g}"}
            for name in self.networks:
                change = self.changes[metric][name]
                row[name] = f"{values[name]:.5g}"
                row[name] += f" ({change:+.1f}%)" if math.isfinite(change) else ""
            rows.append(row)
        return rows

    def notes(self) -> list[str]:
        """Return sentences on how the networks were made, and on those that are missing."""
        placed = [name for name in self.networks if name != "mesh"]
        lines = ["In brackets: the design against the network, without what all designs share."]
        if placed and not self.design.platform.fixed_placement:
            lines.append(f"PEs placed by {self.n_eval} evaluations each: {', '.join(placed)}.")
        lines += [f"No {name}: {reason}." for name, reason in self.missing.items()]
        return lines

    def __str__(self) -> str:
        rows = self.rows()
        cells = [list(rows[0]), *(list(row.values()) for row in rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if k == 0 else cell.rjust(width)
                for k, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in cells
        ]
        return "\n".join(lines + self.notes())

    def _repr_html_(self) -> str:
        rows = self.rows()
        table = html.table(list(rows[0]), [list(row.values()) for row in rows])
        return table + html.paragraph(" ".join(self.notes()))

    def plot(self) -> Figure:
        """Draw the networks with their loads, and the changes of the design against each."""
        # Drawing is rare, and matplotlib takes long to import.
        from problems.noc.comparison_picture import draw_comparison

        return draw_comparison(self)

    def to_dict(self) -> dict[str, object]:
        """Return the comparison, with its designs, as plain JSON data."""
        changes = {
            metric: {k: v if math.isfinite(v) else None for k, v in row.items()}
            for metric, row in self.changes.items()
        }
        return {
            "format": FORMAT,
            "design": self.design.to_dict(),
            "networks": {name: design.to_dict() for name, design in self.networks.items()},
            "values": self.values,
            "changes": changes,
            "loads": self.loads,
            "missing": self.missing,
            "n_eval": self.n_eval,
        }

    @classmethod
    def from_dict(cls, data: object) -> BaselineComparison:
        """Make a comparison from the result of ``to_dict``; ValueError names the fault."""
        kind = "baseline comparison"
        values = check_fields(kind, data, {"format"})
        if (got := values["format"]) != FORMAT:
            raise ValueError(
                f"The 'format' of a {kind} must be {FORMAT!r}. Got {brief(got)} instead."
            )
        parts = ("design", "networks", "values", "changes", "loads", "missing", "n_eval")
        check_fields(kind, values, set(parts))
        found = _names(values["networks"], "networks", BASELINES)
        networks = {name: Design.from_dict(value) for name, value in found.items()}
        every = ("design", *networks)
        metrics = _names(values["values"], "values", tuple(ALL_UNITS))
        missing = _names(values["missing"], "missing", BASELINES)
        for name, reason in missing.items():
            fits = isinstance(reason, str) and name not in networks
            require(kind, f"missing[{name}]", reason, fits, "a text for a network that is missing")
        design = Design.from_dict(values["design"])
        grid = design.platform.grid
        for name, network in networks.items():
            same = network.platform.grid == grid
            expected = f"a design with the grid {grid} of 'design'"
            require(kind, f"networks[{name}]", network.platform.grid, same, expected)
        sizes = {name: d.platform.n_links for name, d in ({"design": design} | networks).items()}
        loads = _names(values["loads"], "loads", every, complete=True)
        for name, given in loads.items():
            listed = isinstance(given, list) and len(given) == sizes[name]
            fits = listed and all(_number(x) and x >= 0 for x in given)
            expected = f"a list of {sizes[name]} numbers of at least 0, one for each link"
            require(kind, f"loads[{name}]", given, fits, expected)
        changes = _names(values["changes"], "changes", tuple(metrics), complete=True)
        for part, table, names in (("values", metrics, every), ("changes", changes, every[1:])):
            for metric, row in table.items():
                owner = f"{part}[{metric}]"
                for name, value in _names(row, owner, names, complete=True).items():
                    fits = _number(value) or (value is None and part == "changes")
                    require(kind, f"{owner}[{name}]", value, fits, "a finite number")
        return cls(
            design,
            networks,
            {m: {k: float(row[k]) for k in every} for m, row in metrics.items()},
            {
                m: {k: math.nan if row[k] is None else float(row[k]) for k in networks}
                for m, row in changes.items()
            },
            {name: [float(x) for x in loads[name]] for name in every},
            missing,
            check_int(kind, "n_eval", values["n_eval"], 1),
        )


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _names(
    value: object, part: str, known: tuple[str, ...], complete: bool = False
) -> dict[str, Any]:
    """Return an object of a file by names that are known, all of them if it is ``complete``."""
    fits = isinstance(value, Mapping) and set(value) <= set(known)
    fits = fits and (not complete or len(value) == len(known))  # type: ignore[arg-type]
    expected = f"an object with {'all' if complete else 'some'} of {list(known)}"
    require("baseline comparison", part, value, fits, expected)
    return dict(value)  # type: ignore[call-overload, no-any-return]


@long_work("comparing a design with baselines")
def compare_with_baselines(
    problem: NoC3D,
    design: Design | ArrayLike,
    names: Sequence[str] | None = None,
    *,
    random_state: np.random.Generator | None = None,
    n_eval: int = 2000,
    reuse: BaselineComparison | None = None,
) -> BaselineComparison:
    """Compare a design with mesh, placed mesh, folded torus and express mesh.

    Simulated annealing places the PEs of the last three. It minimizes the geometric mean of the
    problem's objectives relative to the mesh, without the part that every design has alike.
    Constraints do not count there. The express mesh has as much planar wire as the design, but at
    least that of the mesh. Networks that the platform's ports, longest link, routing or technology
    do not allow are left out, and ``missing`` says why.

    Parameters
    ----------
    problem : NoC3D
    design : Design or int array-like [n_var]
    names : sequence of str, optional
        Names from ``problem.metric_names``; by default the objectives and the constraints.
    random_state : numpy Generator, optional
        Required unless ``reuse`` is given.
    n_eval : int
        Designs that each placement evaluates; stronger baselines take more.
    reuse : BaselineComparison, optional
        An earlier comparison on the same platform, whose networks are not made again.

    Returns
    -------
    BaselineComparison

    Raises
    ------
    ValueError
        A parameter is wrong.

    Examples
    --------
    >>> import numpy as np
    >>> from problems.noc import NoC3D
    >>> from problems.noc.comparison import compare_with_baselines
    >>> problem, rng = NoC3D.example("bfs", objectives=3), np.random.default_rng(1)
    >>> found = compare_with_baselines(problem, problem.mesh_row(), random_state=rng, n_eval=20)
    >>> {name: len(network.planar_links) for name, network in found.networks.items()}
    {'mesh': 96, 'placed mesh': 96, 'folded torus': 128, 'express mesh': 96}
    """
    owner = "beside_baselines"
    design = design if isinstance(design, Design) else problem.decode(np.asarray(design))
    problem.encode(design)  # refuses a design of another platform
    default = tuple(dict.fromkeys((*named_objectives(problem), *problem.constraints)))
    names = default if names is None else check_names(owner, "names", names, problem.metric_names)
    if reuse is not None:
        same = isinstance(reuse, BaselineComparison) and reuse.design.platform == problem.platform
        require(owner, "reuse", reuse, same, "a BaselineComparison on the platform of the problem")
        networks, missing, n_eval = reuse.networks, reuse.missing, reuse.n_eval
    else:
        rng = check_random_state(owner, random_state)
        n_eval = check_int(owner, "n_eval", n_eval, 1)
        networks, missing = regular_networks(problem, wires(design), rng, n_eval)
    values_of = Values(problem, names)
    values: dict[str, dict[str, float]] = {name: {} for name in names}
    changes: dict[str, dict[str, float]] = {name: {} for name in names}
    loads = {}
    for network, one in ({"design": design} | networks).items():
        own = evaluation_on(one.platform, problem)
        found = values_of(own, one.row()).tolist()
        for name, value, shared in zip(names, found, values_of.shared.tolist(), strict=True):
            values[name][network] = value
            if network != "design":
                ours, rest = values[name]["design"] - shared, value - shared
                changes[name][network] = 100.0 * (ours / rest - 1.0) if rest else math.nan
        result = own.run(one.row()[None], with_loads=True)
        assert result is not None, "A design keeps all rules."
        loads[network] = result[1][0].sum(axis=-1).mean(axis=0).tolist()
    return BaselineComparison(design, networks, values, changes, loads, missing, n_eval)
