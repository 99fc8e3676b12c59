"""The design of a 3D network-on-chip manycore as a pymoo problem."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pymoo.core.problem import Problem

from .design import Design
from .features import FeaturePlan, features_batch
from .moves import neighbours_batch
from .objectives import OBJECTIVES, evaluate_batch
from .operators import NoCCrossover, NoCMutation, NoCSampling, draw_seeds
from .platform import Platform
from .rules import broken_rule
from .traffic import RELEASED_SCALE, check_traffic, load_traffic, synthetic_traffic

__all__ = ["NoC3D"]

MODELS = ("published", "released")


class NoC3D(Problem):
    """Place the PEs and the planar links of a 3D manycore chip, all objectives minimised.

    A row of X holds integers: the PE id on each tile (``n_tiles`` of them), then the indices of the
    planar links (``n_planar_links``) in ``platform.candidates``, the ascending list of tile pairs
    that a link may join. The order of the links does not matter; ascending is canonical.

    Parameters
    ----------
    traffic : float array-like [n_tiles, n_tiles]
        What PE i sends to PE j, each direction a flow of its own. The diagonal never enters the
        network.
    platform : Platform, optional
        By default the 4 x 4 x 4 chip of the paper.
    objectives : {3, 4, 5} or sequence of str
        3 is mean and deviation of the link load and latency; 4 adds energy, 5 thermal. Or any of
        these names.
    model : {"published", "released"}
        The formulas of the paper, or those of its released code, quirks included: see
        ``problems.noc.objectives``.

    Attributes
    ----------
    objective_names : tuple of str
    feature_names : tuple of str
        The columns of ``features``.
    ref_point : float array [n_obj]
        Objectives of the mesh under the model, the reference of the hypervolumes in [2]_.
    version : str
        Changes when an evaluation would.

    Raises
    ------
    ValueError
        A parameter is wrong; the message says what was expected and what came.

    References
    ----------
    See ``problems.noc.platform``.

    Examples
    --------
    >>> from problems.noc import NoC3D
    >>> problem = NoC3D.example("bfs", objectives=3)
    >>> problem.n_var, problem.n_obj
    (160, 3)
    """

    def __init__(
        self,
        traffic: ArrayLike,
        *,
        platform: Platform | None = None,
        objectives: int | Sequence[str] = 5,
        model: str = "published",
    ) -> None:
        platform = Platform.paper_4x4x4() if platform is None else platform
        if not isinstance(platform, Platform):
            raise ValueError(
                f"The 'platform' parameter of NoC3D must be a Platform. Got {platform!r} instead."
            )
        if model not in MODELS:
            raise ValueError(
                f"The 'model' parameter of NoC3D must be one of {MODELS}. Got {model!r} instead."
            )
        self.platform = platform
        self.model = model
        self.objective_names = _objective_names(objectives)
        self.traffic = check_traffic(traffic, platform.n_tiles)
        self.traffic.flags.writeable = False
        self._columns = [OBJECTIVES.index(name) for name in self.objective_names]
        self._pairs = self._latency_pairs()
        tables = platform.tables
        n, planar = platform.n_tiles, platform.n_planar_links
        super().__init__(
            n_var=n + planar,
            n_obj=len(self.objective_names),
            xl=np.zeros(n + planar),
            xu=np.repeat((n - 1.0, tables.n_candidates - 1.0), (n, planar)),
            vtype=int,
        )
        self._plan, self.feature_names = FeaturePlan.of(platform, self.traffic)
        self.version = f"noc-{model}-1"
        self.ref_point: NDArray[np.float64] = self.objectives(self.mesh_row()[None])[0]

    @classmethod
    def from_traffic(
        cls,
        path: str | Path,
        *,
        objectives: int | Sequence[str] = 5,
        model: str = "published",
        platform: Platform | None = None,
        scale: float = RELEASED_SCALE,
    ) -> NoC3D:
        """Make the problem from a traffic file; see ``load_traffic`` and ``NoC3D``."""
        platform = Platform.paper_4x4x4() if platform is None else platform
        traffic = load_traffic(path, n=platform.n_tiles, scale=scale)
        return cls(traffic, platform=platform, objectives=objectives, model=model)

    @classmethod
    def example(
        cls,
        application: str = "bfs",
        *,
        objectives: int | Sequence[str] = 5,
        model: str = "published",
        platform: Platform | None = None,
        seed: int = 0,
    ) -> NoC3D:
        """Make the problem with synthetic traffic; see ``synthetic_traffic`` and ``NoC3D``."""
        platform = Platform.paper_4x4x4() if platform is None else platform
        traffic = synthetic_traffic(application, platform, np.random.default_rng(seed))
        return cls(traffic, platform=platform, objectives=objectives, model=model)

    def _latency_pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Return the flows (i, j) that count for latency and the weight of each path delay."""
        core, cache = self.platform.core_type, self.platform.cache_type
        cores, caches = self.platform.pes_of(core), self.platform.pes_of(cache)
        if "latency" in self.objective_names and not (cores and caches):
            raise ValueError(
                f"The 'latency' objective of NoC3D must have PEs of types {core!r} and {cache!r} "
                f"on the platform. Got {[t.name for t in self.platform.pe_types]} instead."
            )
        n = self.platform.n_tiles
        is_core, is_cache = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
        is_core[list(cores)] = True
        is_cache[list(caches)] = True
        if self.model == "released":
            either = is_core | is_cache
            counts = either[:, None] & either[None, :]
            share = 1.0
        else:
            counts = (is_core[:, None] & is_cache[None, :]) | (is_cache[:, None] & is_core[None, :])
            share = 1.0 / max(len(cores) * len(caches), 1)
        i, j = np.nonzero(counts & (self.traffic > 0) & ~np.eye(n, dtype=bool))
        return i, j, self.traffic[i, j] * share

    def objectives(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return the objectives of designs, [n, n_obj].

        Parameters
        ----------
        X : int array-like [n, n_var]

        Raises
        ------
        ValueError
            A row breaks a rule; the message names row and rule.
        """
        X = self._rows(X)
        F = np.empty((len(X), len(OBJECTIVES)))
        status = np.empty(len(X), dtype=np.int64)
        evaluate_batch(
            X,
            self.platform.tables,
            self.traffic,
            *self._pairs,
            self.model == "released",
            F,
            status,
        )
        if status.any():
            self.check(X)
        return F[:, self._columns]

    def _evaluate(self, x: Any, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        out["F"] = self.objectives(x)

    def check(self, X: ArrayLike) -> None:
        """Raise a ValueError that names the first row of X that breaks a rule, and the rule."""
        n = self.platform.n_tiles
        candidates = self.platform.candidates
        for i, row in enumerate(self._rows(X)):
            outside = np.flatnonzero((row[n:] < 0) | (row[n:] >= len(candidates)))
            if outside.size:
                k = int(outside[0])
                raise ValueError(
                    f"Row {i} of X breaks a rule: links must be indices from 0 to "
                    f"{len(candidates) - 1} in platform.candidates. Got {row[n + k]} in column "
                    f"{n + k} instead."
                )
            broken = broken_rule(self.platform, row[:n], candidates[row[n:]])
            if broken:
                raise ValueError(
                    f"Row {i} of X breaks a rule: {broken} instead. (Do all operators come from "
                    "problem.operators()?)"
                )

    def _rows(self, X: ArrayLike) -> NDArray[np.int64]:
        X = np.asarray(X)
        if X.ndim == 1:
            X = X[None]
        if X.ndim != 2 or X.shape[1] != self.n_var:
            raise ValueError(
                f"X must have {self.n_var} columns: {self.platform.n_tiles} PE ids, then "
                f"{self.platform.n_planar_links} links. Got shape {X.shape} instead."
            )
        rows = np.ascontiguousarray(X, dtype=np.int64)
        if X.dtype.kind not in "iu" and not np.array_equal(rows, X):
            i, j = np.argwhere(rows != X)[0].tolist()
            raise ValueError(
                f"Row {i} of X must hold integers. Got {X[i, j]} in column {j} instead. (Do all "
                "operators come from problem.operators()?)"
            )
        return rows

    def operators(self) -> dict[str, Any]:
        """Return fresh sampling, crossover and mutation, as ``NSGA2(**problem.operators())``."""
        return {
            "sampling": NoCSampling(),
            "crossover": NoCCrossover(),
            "mutation": NoCMutation(),
        }

    def neighbours(
        self, x: ArrayLike, k: int, random_state: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return k different designs one move away from x, [k, n_var].

        A move swaps two PEs of different type or moves one planar link, with equal chances.
        """
        return self.neighbours_many(self._rows(x), k, random_state)[0]

    def neighbours_many(
        self, X: ArrayLike, k: int, random_state: np.random.Generator
    ) -> NDArray[np.int64]:
        """Return k different neighbours of each row, [n, k, n_var]; the rows must be legal."""
        X = self._rows(X)
        out = np.empty((len(X), k, self.n_var), dtype=np.int64)
        neighbours_batch(X, self.platform.tables, draw_seeds(random_state, len(X)), out)
        return out

    def features(self, X: ArrayLike) -> NDArray[np.float64]:
        """Return a few dozen numbers about each legal design for learned models, [n, d].

        ``feature_names`` says what the columns are; they take a fraction of an evaluation.
        """
        X = self._rows(X)
        out = np.empty((len(X), self._plan.n_features))
        features_batch(X, self.platform.tables, self._plan, out)
        return out

    def canonical(self, X: ArrayLike) -> NDArray[np.int64]:
        """Return X with the links of each row ascending: one row per design, same shape."""
        rows = self._rows(X).copy()
        rows[:, self.platform.n_tiles :].sort(axis=1)
        return rows.reshape(np.shape(X))

    def mesh_row(self) -> NDArray[np.int64]:
        """Return the mesh as a row of X, [n_var]."""
        return np.concatenate(self.platform.mesh)

    def decode(self, x: ArrayLike) -> Design:
        """Return the Design of one row; ValueError names the rule that it breaks."""
        self.check(x)
        row = self._rows(x)[0]
        n = self.platform.n_tiles
        return Design(row[:n], self.platform.candidates[row[n:]], self.platform)

    def encode(self, design: Design) -> NDArray[np.int64]:
        """Return a Design of this platform as a canonical row, [n_var]."""
        if design.platform != self.platform:
            raise ValueError(
                "The 'design' parameter of encode must be of the problem's platform. "
                f"Got a {design!r} of another platform instead."
            )
        n = self.platform.n_tiles
        codes = self.platform.candidates @ np.array([n, 1])
        links = np.searchsorted(codes, design.links @ np.array([n, 1]))
        return np.concatenate((design.placement, links))


def _objective_names(objectives: int | Sequence[str]) -> tuple[str, ...]:
    if isinstance(objectives, (int, np.integer)) and objectives in (3, 4, 5):
        return OBJECTIVES[:objectives]
    ok = isinstance(objectives, (list, tuple)) and len(objectives) > 0
    ok = ok and len(set(objectives)) == len(objectives)  # type: ignore[arg-type]
    if not ok or any(name not in OBJECTIVES for name in objectives):  # type: ignore[union-attr]
        raise ValueError(
            "The 'objectives' parameter of NoC3D must be 3, 4, 5 or a sequence of different names "
            f"from {OBJECTIVES}. Got {objectives!r} instead."
        )
    return tuple(objectives)  # type: ignore[arg-type]
