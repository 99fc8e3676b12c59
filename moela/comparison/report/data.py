"""The points of a report as JSON data, with their designs, and the designs to look at first."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from moela._arrays import Floats
from moela.quality.front import Front
from moela.quality.indicators import extent
from moela.quality.runs import isolated
from moela.quality.table import Row

if TYPE_CHECKING:
    from moela.comparison import Comparison
    from moela.plots import Look

# Maximum number of points shown per algorithm, and of points decoded per problem.
MAX_POINTS, MAX_DECODED = 400, 600
_MAX_TEXT, _MAX_BRIEF = 20_000, 200
_SYMBOLS = {
    "o": "circle", "s": "square", "^": "triangle-up", "D": "diamond", "v": "triangle-down",
    "P": "cross", "X": "x", "*": "star",
}  # fmt: skip
# Plotly has fewer symbols in three dimensions.
_SOLID = {"circle", "square", "diamond", "cross", "x"}


def problem_data(comparison: Comparison, problem: str) -> dict[str, Any]:
    """Return the points of a problem as JSON data, and the choices among them.

    Its keys are ``names, ideal, span, algorithms`` (with their look), ``points``: ``a`` (number of
    the algorithm), ``f``, ``x`` and ``brief`` (the design, whole and shortened), ``decoded``; and
    ``choices``: rows with ``why`` and ``point``.
    """
    scale = comparison.scales[problem]
    algorithms = comparison.algorithms_on(problem)
    pooled = comparison.front(problem)
    choices = _choices(pooled, scale.own(scale.ref_point))
    wanted: dict[tuple[str, bytes], list[str]] = {}
    assert pooled.labels is not None
    for why, i in choices:
        wanted.setdefault((pooled.labels[i], pooled.F[i].tobytes()), []).append(why)
    points: list[Row] = []
    rows: list[Row] = []
    budget = MAX_DECODED
    for number, algorithm in enumerate(algorithms):
        front = comparison.front(problem, algorithm)
        keys = [(algorithm, f.tobytes()) for f in front.F]
        for i in _shown(front.F, [key in wanted for key in keys]):
            point = _point(front, i, number, decode=budget > 0)
            budget -= point["decoded"] is not None
            for why in wanted.get(keys[i], ()):
                row = {"why": why, "algorithm": algorithm, "point": len(points)}
                rows.append(row | {"f": front.values[i].tolist()})
            points.append(point)
    order = [why for why, _ in choices]
    rows.sort(key=lambda row: order.index(row["why"]))
    return {
        "names": scale.goals,
        "ideal": scale.own(scale.ideal),
        # Negative for maximized objectives, so that 0 is the best on this scale, too.
        "span": scale.own(scale.span),
        "algorithms": [_look(a, comparison.styles[a]) for a in algorithms],
        "points": points,
        "choices": rows,
    }


def _look(name: str, look: Look) -> dict[str, str]:
    symbol = _SYMBOLS[look.marker]
    solid = symbol if symbol in _SOLID else "diamond" if symbol.endswith("up") else "cross"
    return {"name": name, "color": look.color, "symbol": symbol, "solid": solid}


def _shown(F: Floats, forced: list[bool]) -> list[int]:
    if len(F) <= MAX_POINTS:
        return list(range(len(F)))
    chosen = set(isolated(F / extent(F), MAX_POINTS).tolist())
    return sorted(chosen | {i for i, needed in enumerate(forced) if needed})


def _choices(front: Front, ref_point: list[float]) -> list[tuple[str, int]]:
    """Return points of a front to look at first, each with the reason."""
    knees = front.knees(3).tolist()
    out = [("knee" if len(knees) == 1 else f"knee {k + 1}", i) for k, i in enumerate(knees)]
    equal = np.ones(len(front.names))
    out.append(("equal pseudo-weights", front.by_weights(equal)))
    contributions = front.contributions(ref_point)
    if contributions.max() > 0:
        out.append(("largest hypervolume contribution", int(contributions.argmax())))
    out += [(f"best {name}", int(front.F[:, j].argmin())) for j, name in enumerate(front.names)]
    return out


def _point(front: Front, i: int, algorithm: int, *, decode: bool) -> Row:
    point: Row = {"a": algorithm, "f": front.values[i].tolist(), "x": None, "decoded": None}
    if front.X is None:
        return point
    named = front.names_variables
    x = point["x"] = design_text(front.variables(i) if named else front.X[i])
    short = x if len(x) <= _MAX_BRIEF else f"{x[:_MAX_BRIEF]} …"
    point["brief"] = textwrap.wrap(short.replace("\n", ", ") if named else f"x = {short}", 60)
    if decode and not named and hasattr(front.problem, "decode"):
        try:
            point["decoded"] = str(front.decode(i))[:_MAX_TEXT]
        except Exception as error:  # a report is useful without decoded designs
            point["decoded"] = f"decode failed: {type(error).__name__}: {error}"
    return point


def design_text(x: ArrayLike | Mapping[str, object]) -> str:
    """Return a design as text: a dict with a line per entry, an array in brackets."""
    if isinstance(x, Mapping):
        return "\n".join(f"{name} = {_value(value)}" for name, value in x.items())[:_MAX_TEXT]
    return f"[{', '.join(_value(v) for v in np.atleast_1d(x).tolist())}]"[:_MAX_TEXT]


def _value(value: object) -> str:
    if isinstance(value, float) and math.isfinite(value) and value != int(value):
        return f"{value:.6g}"
    return str(value)
