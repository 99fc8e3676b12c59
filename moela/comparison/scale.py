"""The common scale of the fronts of one problem, its reference point and reference front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import moocore
import numpy as np
from numpy.typing import ArrayLike

from moela._arrays import Floats
from moela._checks import require
from moela.quality import indicators
from moela.quality.runs import ComparedRun, clean, isolated, numbers, vector

# Maximum size of the reference front of IGD+ and epsilon; the most isolated points are kept.
REFERENCE_SIZE = 2_000
# Points on the common scale, penalties among them, stay within these powers of two, so that neither
# squares nor products overflow.
_FARTHEST, _FARTHEST_PRODUCT = 400, 900

# Direction of each indicator, and its name in sentences.
LARGER_IS_BETTER = {"hypervolume": True, "igd_plus": False, "epsilon": False, "r2": False}
TITLES = {"hypervolume": "hypervolume", "igd_plus": "IGD+", "epsilon": "epsilon", "r2": "R2"}


@dataclass(frozen=True)
class Scale:
    """The common scale of all fronts of a problem.

    Objectives are scaled so that the pooled front, the non-dominated points of all runs (and of a
    reference front, if given), spans 0 to 1 in each. An objective without extent is divided by its
    magnitude, or by 1 if that is 0.

    Attributes
    ----------
    problem : str
    ideal, nadir : float arrays, [M]
        Least and largest objectives of the pooled front.
    span : float array, [M]
        Divisors of the objectives.
    ref_point : float array, [M]
        Reference point of the hypervolume, in units of the objectives.
    rule : str
        Origin of the reference point, in words.
    reference : float array, [r, M]
        The reference front of IGD+ and epsilon, in units of the objectives.
    pooled_size : int
        Number of points of the pooled front, of which `reference` may be a part.
    exact : bool
        Whether hypervolumes are exact, the same for every run of a problem.
    names : tuple of str
        Names of the objectives.
    signs : float array, [M]
        1 for each minimized objective, -1 for each that is known to be maximized and so negated.
    """

    problem: str
    ideal: Floats
    nadir: Floats
    span: Floats
    ref_point: Floats
    rule: str
    reference: Floats
    pooled_size: int
    exact: bool
    names: tuple[str, ...]
    signs: Floats

    @property
    def titles(self) -> list[str]:
        """The names for pictures, whose numbers are minimized."""
        pairs = zip(self.names, self.signs.tolist(), strict=True)
        return [f"{name} (negated)" if sign < 0 else name for name, sign in pairs]

    @property
    def goals(self) -> list[str]:
        """The names for texts and tables, whose numbers have the objectives' own sign."""
        pairs = zip(self.names, self.signs.tolist(), strict=True)
        return [f"{name} (max)" if sign < 0 else name for name, sign in pairs]

    def own(self, point: Floats) -> list[float]:
        """Return minimized numbers [M] with the objectives' own sign."""
        # 0 is added, since 0 times -1 is -0.
        return np.asarray(point * self.signs + 0.0).tolist()

    @property
    def box(self) -> float:
        """Volume between ideal and reference point, in the product of the objectives' units.

        NaN if that is too large or too small for a float.
        """
        sides = np.maximum(self.ref_point - self.ideal, 0.0)
        with np.errstate(over="ignore", under="ignore"):
            volume = float(np.prod(sides))
        known = np.isfinite(volume) and (volume > 0.0 or not (sides > 0.0).all())
        return volume if known else float("nan")

    def normalize(self, F: Floats) -> Floats:
        """Return points on the common scale: ideal 0, nadir 1."""
        farthest = 2.0 ** min(_FARTHEST, _FARTHEST_PRODUCT // len(self.span))
        with np.errstate(over="ignore", under="ignore"):
            return np.clip((F - self.ideal) / self.span, -farthest, farthest)

    @property
    def ref_point_on_scale(self) -> Floats:
        """The reference point on the common scale [M]."""
        return self.normalize(self.ref_point)

    def clipped(self, F: Floats) -> Floats:
        """Return points on the common scale for the hypervolume, clipped at the ideal."""
        return np.maximum(self.normalize(F), 0.0)

    def share(self, F: Floats) -> float:
        """Return the hypervolume as a share of the box between ideal and reference point."""
        ref_point = self.ref_point_on_scale
        box = float(np.prod(np.maximum(ref_point, 0.0)))
        if box == 0.0:
            return 0.0
        return indicators.hypervolume(self.clipped(F), ref_point, exact=self.exact) / box

    def measure(self, F: Floats, names: Sequence[str]) -> dict[str, float]:
        """Return indicators of a front [k, M] by name, on the common scale.

        Values are rounded to 12 significant digits, so that summation order can't decide a test.
        """
        Z, reference = self.normalize(F), self.normalize(self.reference)
        out = {}
        for name in names:
            if name == "hypervolume":
                out[name] = self.share(F)
            elif name == "r2":
                # The ideal of the common scale is 0.
                out[name] = indicators.r2(self.clipped(F), np.zeros(len(self.ideal)))
            else:
                out[name] = getattr(indicators, name)(Z, reference)
        return {name: float(f"{value:.12g}") for name, value in out.items()}


def make_scale(
    problem: str,
    runs: Sequence[ComparedRun],
    *,
    ref_point: ArrayLike | Mapping[str, float] | None,
    reference_front: ArrayLike | None,
) -> tuple[Scale | None, list[str]]:
    """Return the scale of a problem, if any run has a feasible point, and caveats on it.

    Without a `ref_point`, the problem's own is used if all runs name the same one and some front
    has a point that is better in every objective; else the pooled one. Both that are given have
    the user's signs.
    """
    n_obj, caveats = runs[0].F.shape[1], []
    parts = [run.F for run in runs]
    signs = np.array(next((run.signs for run in runs if run.signs is not None), np.ones(n_obj)))
    names = next((o.names for o in runs if o.names and len(o.names) == n_obj), None)
    names = names or tuple(f"f{j + 1}" for j in range(n_obj))
    if reference_front is not None:
        owner = f"the reference front of {problem!r}"
        given = numbers(owner, reference_front)
        fits = given.shape[1] == n_obj
        known, _, _ = clean(owner, given * signs if fits else given)
        fits = known.shape[1] == n_obj and len(known) > 0
        some = f"of {n_obj} objectives, with at least one finite point"
        require("compare", "reference_front", known.shape, fits, some)
        parts.append(known)
    points = np.concatenate(parts)
    if len(points) == 0:
        return None, [f"No run on {problem} has a feasible point, so there is nothing to compare."]
    pooled = np.asarray(moocore.filter_dominated(points))
    ideal, nadir = pooled.min(axis=0), pooled.max(axis=0)
    span = indicators.extent(pooled)
    if ref_point is not None and not isinstance(ref_point, str):
        point, rule = _given_point(problem, ref_point, names, signs), "as given"
    else:
        point, rule, more = _reference_point(problem, runs, ref_point, pooled)
        caveats += more
    if not (pooled < point).all(axis=1).any():
        caveats.append(
            f"On {problem} no point of any run is better than the reference point in every "
            "objective, so all hypervolumes are 0."
        )
    largest = max(int((o.F < point).all(axis=1).sum()) for o in runs)
    exact = indicators.is_exact(largest, n_obj)
    if not exact:
        caveats.append(
            f"The hypervolumes on {problem} are approximate (262,144 directions; relative error "
            f"to about 0.003), since a front has {largest} points in {n_obj} objectives."
        )
    reference = pooled
    if len(pooled) > REFERENCE_SIZE:
        reference = pooled[isolated((pooled - ideal) / span, REFERENCE_SIZE)]
        caveats.append(
            f"IGD+ and epsilon on {problem} are taken against {REFERENCE_SIZE} of the "
            f"{len(pooled)} points of the pooled front, chosen to be far from each other."
        )
    size = len(pooled)
    scale = Scale(problem, ideal, nadir, span, point, rule, reference, size, exact, names, signs)
    return scale, caveats


def _given_point(
    problem: str,
    given: ArrayLike | Mapping[str, float],
    names: tuple[str, ...],
    signs: Floats,
) -> Floats:
    """Return a point in the user's signs, also by name of the objective, as minimized numbers."""
    n_obj = len(names)
    if isinstance(given, Mapping):
        fits = given.keys() == set(names)
        expected = f"a number for each of {', '.join(names)} on {problem!r}"
        require("compare", "ref_point", given, fits, expected)
        given = [given[name] for name in names]
    expected = f"{n_obj} finite numbers for {problem!r}"
    # 0 is added, since 0 times -1 is -0.
    return np.asarray(signs * vector("compare", "ref_point", given, n_obj, expected) + 0.0)


def _reference_point(
    problem: str, runs: Sequence[ComparedRun], given: str | None, pooled: Floats
) -> tuple[Floats, str, list[str]]:
    n_obj = pooled.shape[1]
    allowed = given is None or given in ("problem", "pooled")
    require("compare", "ref_point", given, allowed, '"problem", "pooled", or a point')
    own = [o.ref_point for o in runs if o.ref_point is not None]
    agreed = bool(own) and all(p.shape == (n_obj,) and np.array_equal(p, own[0]) for p in own)
    if given == "problem" and not agreed:
        raise ValueError(
            f"The runs on {problem!r} name {'different reference points' if own else 'none'} of "
            'the problem\'s own. Pass ref_point=[...] or ref_point="pooled".'
        )
    caveats: list[str] = []
    if agreed and given != "pooled":
        if given == "problem" or (pooled < own[0]).all(axis=1).any():
            return own[0], "the problem's own", caveats
        caveats.append(
            f"On {problem} no point is better than the problem's own reference point in every "
            "objective; that of the pooled front is used instead."
        )
    elif own and given is None and not agreed:
        caveats.append(
            f"The runs on {problem} name different reference points; that of the pooled front is "
            "used instead."
        )
    rule = "the nadir of the pooled front plus a tenth of its extent"
    return indicators.beyond(pooled), rule, caveats
