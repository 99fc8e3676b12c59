"""Quality indicators of fronts of minimized objectives: hypervolume, IGD+, epsilon, and R2."""

from __future__ import annotations

from functools import lru_cache
from math import gamma

import moocore
import numpy as np
from numpy.typing import ArrayLike

from moela._arrays import Floats, unmasked
from moela._checks import count, require
from moela.compilation.jit import cached_njit
from moela.quality.magnitude import common_exponent, divided, exponents, multiplied

# Largest fronts, by number of objectives, whose hypervolume moocore computes exactly in at most a
# second, or faster than its approximation; measured by tests/benchmarks/compare_speed.py.
EXACT_UP_TO = {2: 1_000_000, 3: 200_000, 4: 50_000, 5: 10_000, 6: 500, 7: 150, 8: 70, 9: 50, 10: 35}
# The same limits for the contributions of all points.
EXACT_CONTRIBUTIONS_UP_TO = {
    2: 1_000_000, 3: 200_000, 4: 1_000, 5: 400, 6: 150, 7: 60, 8: 50, 9: 25, 10: 20,
}  # fmt: skip
_EXACT_BEYOND = 12
# Objectives whose volumes moocore computes.
_MOST_WITH_VOLUME = 31
N_DIRECTIONS = 4096


def is_exact(n_points: int, n_obj: int) -> bool:
    """Tell whether `hypervolume` is exact for a front of this size."""
    return n_points <= EXACT_UP_TO.get(n_obj, _EXACT_BEYOND)


def hypervolume(F: ArrayLike, ref_point: ArrayLike, *, exact: bool | None = None) -> float:
    """Return the volume that a front dominates, up to a reference point.

    Points of F [n, M] that aren't better than the reference point [M] in every objective add
    nothing, nor do failures, which are NaN. The value is exact or approximate as asked for, by
    default by `is_exact`. An approximate value averages 262,144 directions of a deterministic
    low-discrepancy sequence; its relative error was below 0.0004 on fronts of up to 6 objectives
    and below 0.003 on those of up to 12.

    Objectives may be of any size, also of different ones: they are scaled by powers of two.

    Raises
    ------
    ValueError
        The volume is too large or too small for a float, or there are more than 31 objectives.

    References
    ----------
    Exact: Fonseca, Paquete and Lopez-Ibanez 2006, "An improved dimension-sweep algorithm for the
    hypervolume indicator". Approximate: Deng and Zhang 2019, "Approximating hypervolume and
    hypervolume contributions using polar coordinate". moocore implements both.
    """
    points = _table("hypervolume", F, least=1)
    _check_volume("hypervolume", points.shape[1])
    reference = _point("hypervolume", "ref_point", ref_point, points)
    inside = points[(points < reference).all(axis=1)]
    if len(inside) == 0:
        return 0.0
    by = exponents(len(reference), inside, reference)
    inside, reference = divided(inside, by), divided(reference, by)
    exact = is_exact(*inside.shape) if exact is None else exact
    if exact:
        volume = moocore.hypervolume(inside, ref=reference)
    else:
        # Directions are spread evenly only if the objectives have similar extents.
        extents = np.frexp(reference - inside.min(axis=0))[1]
        room, by = divided(reference - inside, extents), by + extents
        volume = moocore.hv_approx(-room, ref=np.zeros(len(reference)))
    return float(multiplied("hypervolume", np.array([volume]), int(by.sum()))[0])


def contributions(F: ArrayLike, ref_point: ArrayLike, *, exact: bool | None = None) -> Floats:
    """Return the volume that each point dominates and no other point does, up to a reference point.

    The points F [n, M] are mutually non-dominated; those that aren't better than the reference
    point [M] in every objective contribute 0. Values [n] are exact by default if that takes a few
    seconds at most, by `EXACT_CONTRIBUTIONS_UP_TO`. An approximate value averages 4,096 directions
    from the point, the same for every point. Half of these values were within 0.03 of the exact
    ones in up to 8 objectives, and within 0.06 in 10.

    Raises
    ------
    ValueError
        A volume is too large or too small for a float, or there are more than 31 objectives.

    References
    ----------
    Exact: moocore. Approximate: Shang, Ishibuchi and Ni 2020, "R2-based hypervolume contribution
    approximation".
    """
    points = _table("contributions", F)
    _check_volume("contributions", points.shape[1])
    reference, n_obj = _point("contributions", "ref_point", ref_point, points), points.shape[1]
    out = np.zeros(len(points))
    inside = np.flatnonzero((points < reference).all(axis=1))
    if len(inside) == 0:
        return out
    by = exponents(n_obj, points[inside], reference)
    points, reference = divided(points[inside], by), divided(reference, by)
    few = len(inside) <= EXACT_CONTRIBUTIONS_UP_TO.get(n_obj, _EXACT_BEYOND)
    if few if exact is None else exact:
        volumes = moocore.hv_contributions(points, ref=reference)
    else:
        volumes = _approximate_contributions(points, reference)
    out[inside] = multiplied("contributions", volumes, int(by.sum()))
    return out


def _check_volume(owner: str, n_obj: int) -> None:
    if n_obj > _MOST_WITH_VOLUME:
        raise ValueError(
            f"The volumes of {owner} need at most {_MOST_WITH_VOLUME} objectives. Got {n_obj} "
            'instead; use other indicators, such as indicators=["igd_plus", "epsilon", "r2"].'
        )


def _approximate_contributions(points: Floats, reference: Floats) -> Floats:
    n_obj = len(reference)
    scale = reference - points.min(axis=0)
    rays = 1.0 / sphere_directions(n_obj, N_DIRECTIONS)
    Z = np.ascontiguousarray((reference - points) / scale)
    # The directions cover one of the 2^M orthants of a ball.
    unit = np.pi ** (n_obj / 2) / gamma(n_obj / 2 + 1) / 2.0**n_obj
    return np.asarray(_alone(Z, rays) * unit * np.prod(scale))


@cached_njit()
def _alone(room: Floats, rays: Floats) -> Floats:
    """Return the mean over rays of the M-th power of the length that a point dominates alone, [n].

    `room` [n, M] are distances to the reference point, `rays` [K, M] reciprocals of directions.
    """
    n, n_obj = room.shape
    out = np.zeros(n)
    for i in range(n):
        for k in range(len(rays)):
            alone = np.inf
            for j in range(n_obj):
                alone = min(alone, room[i, j] * rays[k, j])
            for other in range(n):
                if other == i:
                    continue
                # Beyond this length, the other point dominates the ray, too.
                taken = 0.0
                for j in range(n_obj):
                    taken = max(taken, (room[i, j] - room[other, j]) * rays[k, j])
                    if taken >= alone:
                        break
                alone = min(alone, taken)
            out[i] += alone**n_obj
    return out / len(rays)


def igd_plus(F: ArrayLike, reference: ArrayLike) -> float:
    """Return the mean distance from points of a reference front [r, M] to what F [n, M] dominates.

    Infinite for an empty front; a ValueError if the reference front is empty or the distance is too
    large for a float. Ishibuchi, Masuda, Tanigaki and Nojima 2015, "Modified distance calculation
    in generational distance and inverted generational distance".
    """
    points = _without_nan("igd_plus", F)
    targets = _reference("igd_plus", reference, points)
    by = common_exponent(points.shape[1], points, targets)
    points, targets = divided(points, by), divided(targets, by)
    distance = moocore.igd_plus(points, ref=targets) if len(points) else np.inf
    return float(multiplied("igd_plus", np.array([distance]), by)[0])


def epsilon(F: ArrayLike, reference: ArrayLike) -> float:
    """Return the distance that F [n, M] must be moved to weakly dominate a reference front [r, M].

    Infinite for an empty front; a ValueError if the reference front is empty or the distance is too
    large for a float. Additive epsilon of Zitzler, Thiele, Laumanns, Fonseca and Grunert da Fonseca
    2003, "Performance assessment of multiobjective optimizers".
    """
    points = _without_nan("epsilon", F)
    targets = _reference("epsilon", reference, points)
    by = common_exponent(points.shape[1], points, targets)
    points, targets = divided(points, by), divided(targets, by)
    distance = moocore.epsilon_additive(points, ref=targets) if len(points) else np.inf
    return float(multiplied("epsilon", np.array([distance]), by)[0])


def r2(F: ArrayLike, ideal: ArrayLike, *, n_directions: int | None = None) -> float:
    """Return the expected weighted Chebyshev distance of a front to an ideal point.

    R2 is the expectation, over weight vectors w uniform on the simplex, of
    min over points of max over objectives of w_i (f_i - ideal_i), infinite for an empty front.
    Points with an infinite objective add nothing. The ideal [M] is at least as good as every point
    of F [n, M] in every objective. By default the value is exact for two objectives, and for more
    it averages 4096 quasi-random weight vectors, the same for every front, which was within 0.4 %
    for 3 to 10 objectives.

    Raises
    ------
    ValueError
        A point is better than the ideal in some objective, or R2 is too large for a float.

    References
    ----------
    Hansen and Jaszkiewicz 1998, "Evaluating the quality of approximations to the non-dominated
    set"; exact for two objectives: Schäpermeier and Kerschke 2025, "Exact R2" (moocore).
    """
    points = _without_nan("r2", F)
    origin, n_obj = _point("r2", "ideal", ideal, points), points.shape[1]
    if n_directions is not None:
        n_directions = count("r2", "n_directions", n_directions)
    require("r2", "ideal", ideal, bool(np.isfinite(origin).all()), "finite")
    low = points.min(axis=0, initial=np.inf)
    fits = bool((origin <= low).all())
    require("r2", "ideal", ideal, fits, f"at most the least value of each objective, {low}")
    points = points[np.isfinite(points).all(axis=1)]
    if len(points) == 0:
        return float("inf")
    by = common_exponent(n_obj, points, origin)
    points, origin = divided(points, by), divided(origin, by)
    if n_directions is None and n_obj == 2:
        value = float(moocore.r2_exact(points, ref=origin))
    else:
        value = _averaged_r2(points, origin, N_DIRECTIONS if n_directions is None else n_directions)
    return float(multiplied("r2", np.array([value]), by)[0])


def _averaged_r2(points: Floats, origin: Floats, n_directions: int) -> float:
    n_obj = len(origin)
    weights = simplex(n_obj, n_directions)
    distance = points - origin
    best = np.full(len(weights), np.inf)
    # In blocks, so that the temporaries stay in the processor's cache.
    for start in range(0, len(points), 64):
        block = distance[start : start + 64]
        worst = weights[:, :1] * block[:, 0]
        for j in range(1, n_obj):
            np.maximum(worst, weights[:, j : j + 1] * block[:, j], out=worst)
        np.minimum(best, worst.min(axis=1), out=best)
    return float(best.mean())


def extent(F: ArrayLike) -> Floats:
    """Return the positive extent [M] of a front F [n >= 1, M], to scale objectives by.

    If all points are equal in an objective, to one part in 10^12, the result is their magnitude, or
    1 if that is 0.

    Raises
    ------
    ValueError
        An extent is too large for a float.
    """
    points = _table("extent", F)
    low, high = points.min(axis=0), points.max(axis=0)
    with np.errstate(over="ignore"):
        length = high - low
    fits = bool(np.isfinite(length).all())
    require("extent", "F", f"{low} to {high}", fits, "numbers whose differences are floats")
    size = np.maximum(np.abs(low), np.abs(high))
    with np.errstate(under="ignore"):
        flat = length <= 1e-12 * size
    return np.where(flat, np.where(size > 0, size, 1.0), length)


def beyond(F: ArrayLike) -> Floats:
    """Return a reference point [M] for a front [n, M]: its nadir plus a tenth of its extent."""
    nadir, length = np.max(_table("beyond", F), axis=0), extent(F)
    with np.errstate(over="ignore", under="ignore"):
        point = np.asarray(nadir + 0.1 * length)
    fits = bool(np.isfinite(point).all())
    require("beyond", "F", f"up to {nadir}", fits, "numbers below the largest float by a tenth")
    return point


@lru_cache(maxsize=8)
def simplex(n_obj: int, n: int) -> Floats:
    """Return n quasi-random weight vectors [n, n_obj], uniform on the simplex.

    The gaps between the sorted coordinates of a point that is uniform in the cube are uniform on
    the simplex.
    """
    cube = _even(n_obj - 1, n)
    edges = np.concatenate([np.zeros((n, 1)), np.sort(cube, axis=1), np.ones((n, 1))], axis=1)
    weights: Floats = np.diff(edges, axis=1)
    weights.flags.writeable = False
    return weights


@lru_cache(maxsize=8)
def sphere_directions(n_obj: int, n: int) -> Floats:
    """Return n quasi-random unit vectors [n, n_obj], uniform on the non-negative orthant."""
    from scipy.special import ndtri

    normal = ndtri(0.5 + 0.5 * np.clip(_even(n_obj, n), 1e-9, 1 - 1e-9))
    directions: Floats = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    directions.flags.writeable = False
    return directions


def _even(n_dim: int, n: int) -> Floats:
    """Return n points [n, n_dim] that fill the unit cube evenly.

    The points are additive recurrences with powers of the root of x^(d + 1) = x + 1, about as even
    as a lattice for any n, and deterministic.
    """
    root = 2.0
    for _ in range(64):
        root = (1.0 + root) ** (1.0 / (n_dim + 1))
    steps = root ** -np.arange(1.0, n_dim + 1)
    return np.asarray((0.5 + np.arange(1, n + 1)[:, None] * steps) % 1.0)


def _table(owner: str, F: ArrayLike, least: int = 2, name: str = "F") -> Floats:
    points = np.asarray(unmasked(F), dtype=float)
    fits = points.ndim == 2 and points.shape[1] >= least
    require(owner, name, points.shape, fits, f"of shape [n, M] with M at least {least}")
    return points


def _without_nan(owner: str, F: ArrayLike, name: str = "F") -> Floats:
    """Return points [n, M], of which none is a failure, for which distances would mean nothing."""
    points = _table(owner, F, name=name)
    require(owner, name, "a NaN", not np.isnan(points).any(), "without NaN; leave out failures")
    return points


def _reference(owner: str, reference: ArrayLike, points: Floats) -> Floats:
    """Return a reference front [r >= 1, M] with the objectives of other points [n, M]."""
    targets, n_obj = _without_nan(owner, reference, "reference"), points.shape[1]
    fits = len(targets) > 0 and targets.shape[1] == n_obj
    require(owner, "reference", targets.shape, fits, f"of shape [r, {n_obj}] with r at least 1")
    return targets


def _point(owner: str, name: str, given: ArrayLike, points: Floats) -> Floats:
    """Return a parameter as a point [M] with the objectives of other points [n, M]."""
    point, n_obj = np.asarray(unmasked(given), dtype=float), points.shape[1]
    fits = point.shape == (n_obj,) and not np.isnan(point).any()
    require(owner, name, given, bool(fits), f"{n_obj} numbers, none of them NaN")
    return point
