"""The design of a 3D network-on-chip manycore as a pymoo problem."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from pymoo.core.problem import Problem

from .design import Design
from .features import FeaturePlan, features_batch
from .kernel import evaluate_batch, first_illegal
from .moves import neighbours_batch
from .objectives import MODELS, OBJECTIVES, check_objectives, latency_flows
from .operators import NoCCrossover, NoCMutation, NoCSampling, draw_seeds
from .platform import Platform
from .platform_checks import integer
from .rules import broken_rule, whole_numbers
from .tables import Floats, Ints
from .traffic import RELEASED_SCALE, check_traffic, load_traffic, synthetic_traffic

__all__ = ["NoC3D"]

EVALUATION = 1
"""Counts up whenever the same design would get other objectives than before."""


class NoC3D(Problem):
    """Place the PEs and the planar links of a 3D manycore chip, all objectives minimised.

    A row of X holds integers: the PE id on each tile (``n_tiles`` of them), then the indices of the
    planar links (``n_planar_links``) in ``platform.candidates``, the ascending list of tile pairs
    that a link may join. The order of the links does not matter; ascending is canonical.

    Parameters
    ----------
    traffic : float array-like [n_tiles, n_tiles]
        What PE i sends to PE j, each direction a flow of its own, in any unit; energy comes per
        that unit. The diagonal never enters the network.
    platform : Platform, optional
        By default the 4 x 4 x 4 chip of the paper.
    objectives : {3, 4, 5} or sequence of str
        3 is mean and deviation of the link load and latency; 4 adds energy, 5 thermal. Or any of
        these names ("mean", "deviation", "latency", "energy", "thermal"), in any order.
    model : {"published", "released"}
        The formulas of the paper, or those of its released code, quirks included: see
        ``problems.noc.objectives``.

    Attributes
    ----------
    objective_names : tuple of str
    feature_names : tuple of str
        The columns of ``features``.
    ref_point : float array [n_obj]
        Objectives of the mesh under the model, the reference of the hypervolumes in the MOELA
        paper.
    version : str
        Changes when an evaluation would: it stands for the model, the code of the evaluation, the
        platform, the traffic and the objectives.

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
        self.objective_names = check_objectives(objectives)
        self._traffic = check_traffic(traffic, platform.n_tiles)
        self._columns = [OBJECTIVES.index(name) for name in self.objective_names]
        none = np.empty(0, dtype=np.int64)
        self._flows: tuple[Ints, Ints, Floats] = (none, none, np.empty(0))
        if "latency" in self.objective_names:
            self._flows = latency_flows(self._traffic, platform, model)
        self._plan, self.feature_names = FeaturePlan.of(platform, self._traffic)
        n, planar = platform.n_tiles, platform.n_planar_links
        super().__init__(
            n_var=n + planar,
            n_obj=len(self.objective_names),
            xl=np.zeros(n + planar),
            xu=np.repeat((n - 1.0, len(platform.candidates) - 1.0), (n, planar)),
            vtype=int,
        )
        self.version = self._digest()
        self.ref_point: Floats = self._objectives(self.mesh_row()[None])[0]

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

    @property
    def traffic(self) -> Floats:
        """What PE i sends to PE j, float [n_tiles, n_tiles]; read-only."""
        view = self._traffic.view()
        view.flags.writeable = False
        return view

    def _digest(self) -> str:
        digest = hashlib.sha256(json.dumps(self.platform.to_dict(), sort_keys=True).encode())
        digest.update(self._traffic.tobytes())
        digest.update(repr(self.objective_names).encode())
        return f"noc-{EVALUATION}-{self.model}-{digest.hexdigest()[:16]}"

    def _evaluate(self, x: ArrayLike, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        out["F"] = self._objectives(self._rows(x))

    def _objectives(self, rows: Ints, *, loads: Floats | None = None) -> Floats:
        F = np.full((len(rows), len(OBJECTIVES)), np.nan)
        status = np.empty(len(rows), dtype=np.int64)
        loads = np.empty((0, 0)) if loads is None else loads
        # A worker process may have been handed a read-only map of the traffic.
        traffic = np.require(self._traffic, requirements=["C", "W", "E"])
        tables, released = self.platform.tables, self.model == "released"
        evaluate_batch(rows, tables, traffic, *self._flows, released, F, loads, status)
        if status.any():
            self.check(rows)
        return F[:, self._columns]

    def link_loads(self, X: ArrayLike) -> Floats:
        """Return the traffic that crosses each link in both directions, [n, n_links] or [n_links].

        Planar links come in the order of the row, then the vertical ones in the platform's order.
        """
        rows = self._rows(X)
        loads = np.empty((len(rows), self.platform.n_links))
        self._objectives(rows, loads=loads)
        return loads if np.ndim(X) == 2 else loads[0]

    def check(self, X: ArrayLike) -> None:
        """Check rows of X, [n, n_var] or [n_var].

        Raises
        ------
        ValueError
            A row breaks a rule; the message names the first such row, the rule and the place.
        """
        n = self.platform.n_tiles
        candidates = self.platform.candidates
        for i, row in enumerate(self._rows(X)):
            outside = np.flatnonzero((row[n:] < 0) | (row[n:] >= len(candidates)))
            if outside.size:
                column = n + int(outside[0])
                broken: str | None = (
                    f"links must be indices from 0 to {len(candidates) - 1} in "
                    f"platform.candidates. Got {row[column]} in column {column}"
                )
            else:
                broken = broken_rule(self.platform, row[:n], candidates[row[n:]])
            if broken:
                raise ValueError(
                    f"Row {i} of X breaks a rule: {broken} instead. (Operators that keep the rules "
                    "come from problem.operators().)"
                )

    def legal_rows(self, X: ArrayLike) -> Ints:
        """Return X as int64 rows [n, n_var] that compiled code can take.

        Raises
        ------
        ValueError
            A row breaks a rule. Connectedness, which does no harm there, is left to ``check``.
        """
        rows = self._rows(X)
        if first_illegal(rows, self.platform.tables) >= 0:
            self.check(rows)
        return rows

    def _rows(self, X: ArrayLike) -> Ints:
        # Compiled code takes one kind of array; whole_numbers copies all others into it.
        plain = type(X) is np.ndarray and X.dtype == np.int64 and X.flags.carray
        rows: Ints = X if plain else whole_numbers(X, "X")  # type: ignore[assignment]
        rows = rows[None] if rows.ndim == 1 else rows
        if rows.ndim != 2 or rows.shape[1] != self.n_var:
            raise ValueError(
                f"X must have {self.n_var} columns: {self.platform.n_tiles} PE ids, then "
                f"{self.platform.n_planar_links} links. Got shape {np.shape(X)} instead."
            )
        return rows

    def operators(self) -> dict[str, Any]:
        """Return fresh sampling, crossover and mutation, as ``NSGA2(**problem.operators())``."""
        return {
            "sampling": NoCSampling(),
            "crossover": NoCCrossover(),
            "mutation": NoCMutation(),
        }

    def neighbours(self, x: ArrayLike, k: int, random_state: np.random.Generator) -> Ints:
        """Return k different designs one move away from x, [k, n_var].

        A move swaps two PEs of different type or moves one planar link, with equal chances. Only
        where a platform leaves fewer than k moves do some repeat.
        """
        return self.neighbours_many(np.reshape(x, (1, -1)), k, random_state)[0]

    def neighbours_many(self, X: ArrayLike, k: int, random_state: np.random.Generator) -> Ints:
        """Return k different neighbours of each row of X, [n, k, n_var].

        Those of a row depend on the row and its place in X only, not on the other rows.
        """
        rows = self.legal_rows(X)
        k = integer(k, "k", "neighbours", 0)
        out = np.empty((len(rows), k, self.n_var), dtype=np.int64)
        neighbours_batch(rows, self.platform.tables, draw_seeds(random_state, len(rows)), out)
        return out

    def features(self, X: ArrayLike) -> Floats:
        """Return a few dozen numbers about each design for learned models, [n, n_features].

        ``feature_names`` says what the columns are; they take a fraction of an evaluation.
        """
        rows = self.legal_rows(X)
        out = np.empty((len(rows), self._plan.n_features))
        features_batch(rows, self.platform.tables, self._plan, out)
        return out

    def canonical(self, X: ArrayLike) -> Ints:
        """Return X with the links of each row ascending: one row per design, same shape."""
        rows = self._rows(X).copy()
        rows[:, self.platform.n_tiles :].sort(axis=1)
        return rows.reshape(np.shape(X))

    def mesh_row(self) -> Ints:
        """Return the mesh as a row of X, [n_var]."""
        return np.concatenate(self.platform.mesh)

    def decode(self, x: ArrayLike) -> Design:
        """Return the Design of one row; ValueError names the rule that it breaks."""
        row = self._rows(np.reshape(x, -1))
        self.check(row)
        placement, links = np.split(row[0], [self.platform.n_tiles])
        return Design(placement, self.platform.candidates[links], self.platform)

    def encode(self, design: Design) -> Ints:
        """Return a Design of this platform as a canonical row, [n_var]."""
        if not isinstance(design, Design) or design.platform != self.platform:
            raise ValueError(
                "The 'design' parameter of encode must be a Design of the problem's platform. "
                f"Got {design!r} instead."
            )
        code = np.array([self.platform.n_tiles, 1])
        links = np.searchsorted(self.platform.candidates @ code, design.links @ code)
        return np.concatenate((design.placement, links))
