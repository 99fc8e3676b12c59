"""Expected growth of the hypervolume, along rays from the reference point."""

from __future__ import annotations

from copy import copy

import numpy as np
from scipy.special import log_ndtr, ndtr
from scipy.stats import norm, qmc

from moela._arrays import Bools, Floats
from moela.bayesian.gaussian_process import GaussianProcess
from moela.bayesian.outputs import Output

# Nodes of the integral over the length of a ray, and the deviations from the mean where it ends.
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(4)
_DEVIATIONS = 4.0
# Pairs of a design and a ray that are integrated at a time, so that temporaries stay small.
_BLOCK = 20_000


def directions(n: int, n_obj: int, random_state: np.random.Generator) -> Floats:
    """Spread n unit vectors over the positive orthant of the sphere, [n, M]."""
    points = qmc.Sobol(n_obj, rng=random_state).random_base2(int(np.ceil(np.log2(n))))[:n]
    normals = np.abs(norm.ppf(np.clip(points, 1e-9, 1.0 - 1e-9)))
    rays = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(np.maximum(rays, 1e-3))


# Scaled objectives count as at most this far away.
_FARTHEST = 1e9


class ExpectedImprovement:
    """Expected growth of the hypervolume by a design, as an average over rays.

    The hypervolume is proportional to the mean of V_k ** M, with V_k the largest distance along ray
    k from the reference point that a design dominates (Deng and Zhang 2019, "Approximating
    hypervolume and hypervolume contributions using polar coordinate", IEEE TEVC 23(5)). So its
    expected growth is the sum of the expected improvements of one Chebyshev function for each ray,
    which is exact for any number of objectives (cf. Emmerich, Giannakoglou, Naujoks 2006,
    "Single- and multiobjective evolutionary optimization assisted by Gaussian random field
    metamodels", IEEE TEVC 10(4)). It is multiplied by the probability that all constraints hold
    (Gardner et al. 2014, "Bayesian optimization with inequality constraints", ICML).

    Parameters
    ----------
    processes : list of GaussianProcess, length M
        Of the objectives.
    outputs : list of Output, length M
        Their transformations.
    limits : list of tuple (GaussianProcess, float)
        Processes of constraint values, and the values that they must not exceed.
    ideal, nadir : array [M]
        Objectives are scaled to 0 and 1 there.
    ref : array [M]
        Reference point, scaled.
    rays : array [K, M]
    """

    def __init__(
        self,
        processes: list[GaussianProcess],
        outputs: list[Output],
        limits: list[tuple[GaussianProcess, float]],
        ideal: Floats,
        nadir: Floats,
        ref: Floats,
        rays: Floats,
    ) -> None:
        self.processes, self.outputs, self.limits = processes, outputs, limits
        self.ideal, self.span, self.ref, self.rays = ideal, nadir - ideal, ref, rays
        self.reach: Floats = np.zeros(len(rays))
        self.any_feasible = False

    @property
    def volume(self) -> float:
        """Hypervolume of the known designs, up to a factor."""
        return float((self.reach ** len(self.outputs)).mean())

    def copy(self) -> ExpectedImprovement:
        """Return a copy to which other designs can be added."""
        return copy(self)

    def rescaled(self, ref: Floats, ideal: Floats, nadir: Floats) -> ExpectedImprovement:
        """Return the same function for another scale and reference point, all [M].

        No design is known to it.
        """
        rest = self.processes, self.outputs, self.limits
        return ExpectedImprovement(*rest, ideal, nadir, ref, self.rays)

    def include(self, F: Floats) -> None:
        """Let feasible designs F [n, M] count as known."""
        if len(F):
            self.any_feasible = True
            self.reach = np.maximum(self.reach, self._reach(self.scaled(F)))

    def scaled(self, F: Floats) -> Floats:
        """Return objectives F [n, M], 0 at the ideal and 1 at the nadir, within a billion of it."""
        with np.errstate(over="ignore"):
            return np.asarray(np.clip((F - self.ideal) / self.span, -_FARTHEST, _FARTHEST))

    def _reach(self, Z: Floats) -> Floats:
        """Return the largest distance along each ray that some row of Z [n, M] dominates, [K]."""
        return np.asarray(self._lengths(Z).max(axis=0))

    def _lengths(self, Z: Floats) -> Floats:
        return np.asarray(((self.ref - Z)[:, None] / self.rays).min(axis=2))

    def predict(self, X: Floats) -> tuple[Floats, Floats]:
        """Return the mean and deviation of transformed objectives of rows X [b, d], both [b, M]."""
        parts = [process.predict(X) for process in self.processes]
        return np.stack([p[0] for p in parts], axis=1), np.stack([p[1] for p in parts], axis=1)

    def objectives(self, mean: Floats) -> Floats:
        """Return the objectives of transformed values [b, M], not far better than any known."""
        columns = [out.back(mean[:, j]) for j, out in enumerate(self.outputs)]
        return np.maximum(np.stack(columns, axis=1), self.ideal - self.span)

    def score(self, X: Floats) -> Floats:
        """Return the logarithm of the expected growth by designs with features X [b, d], [b].

        Where the growth is too small to be computed, the score falls with the distance to it.
        """
        score = np.zeros(len(X))
        for process, limit in self.limits:
            mean, deviation = process.predict(X)
            score += log_ndtr((limit - mean) / deviation)
        if not self.any_feasible and self.limits:
            return score
        mean, deviation = self.predict(X)
        best = (self.objectives(mean - _DEVIATIONS * deviation) - self.ideal) / self.span
        most = self._lengths(best)
        active = most > self.reach
        improvement = self._improvement(mean, deviation, most, active)
        with np.errstate(divide="ignore"):
            logarithm = np.log(improvement)
        gap = (most - self.reach).max(axis=1)
        return np.asarray(
            score + np.where(improvement > 1e-30, logarithm, -70.0 + np.minimum(gap, 0.0))
        )

    def _improvement(self, mean: Floats, deviation: Floats, most: Floats, active: Bools) -> Floats:
        design, ray = np.nonzero(active)
        n_obj, total = len(self.outputs), np.zeros(len(mean))
        for begin in range(0, len(design), _BLOCK):
            i, k = design[begin : begin + _BLOCK], ray[begin : begin + _BLOCK]
            low = self.reach[k]
            half = 0.5 * (most[i, k] - low)
            t = low[:, None] + half[:, None] * (1.0 + _NODES)  # [pairs, nodes]
            density = n_obj * t ** (n_obj - 1)
            for j, out in enumerate(self.outputs):
                z = self.ref[j] - t * self.rays[k, j, None]
                value = out(z * self.span[j] + self.ideal[j])
                density *= ndtr((value - mean[i, j, None]) / deviation[i, j, None])
            total += np.bincount(i, (density @ _WEIGHTS) * half, minlength=len(mean))
        return np.asarray(total / len(self.rays))
