"""Cache-aware gating of each layer as a pymoo problem: misses of an expert cache against loss."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel import CacheAwareGating, loss_with_cache
from problems._arrays import Floats, Ints
from problems._checks import check_int, setting_error
from problems.moe.ordinal import OrdinalProblem

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

__all__ = ["CacheAwareRouting", "RoutingPlan"]

EVALUATION = 1
"""Version of the evaluation: increased whenever a design gets other objectives than before."""

TOLERANCES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.825, 0.85, 0.875, 0.9)
"""Tolerances to choose from by default."""


@dataclass(frozen=True)
class RoutingPlan:
    """Cache-aware gating of all layers with its measured objectives.

    Attributes
    ----------
    gatings : tuple of CacheAwareGating
        One per layer, for :func:`moe_costmodel.loss_with_cache`.
    objectives : dict of str to float

    Examples
    --------
    >>> from problems.moe import CacheAwareRouting
    >>> problem = CacheAwareRouting.example(n_excerpts=1)
    >>> plan = problem.decode(problem.xl)
    >>> plan.gatings[0]
    CacheAwareGating(tolerance=0.0, keep=1)
    """

    gatings: tuple[CacheAwareGating, ...]
    objectives: dict[str, float]


class CacheAwareRouting(OrdinalProblem):
    """Let routers prefer resident experts, in each layer as far as its quality allows.

    An expert that a router chose gives way to a resident one whose probability is at most a factor
    lower. Each layer has a tolerance of its own, since layers differ in what a replaced expert
    costs. Loss and misses are measured by running the model, so an evaluation takes as long as the
    text does; use ``Evaluator(n_jobs=...)`` and a store.

    A row of X holds the index of each layer's tolerance, then the number of first choices kept.

    Parameters
    ----------
    model : Module
        A causal language model; see :func:`moe_costmodel.loss_with_cache`.
    batches : iterable of Tensor of shape (1, length), int64
        Text, which no other decision should have been fitted to.
    slots : int
        Experts of each layer that fit. The cache evicts the least recently used expert.
    tolerances : sequence of float
        To choose from, ascending, from 0 to below 1.
    most_kept : int
        Largest number of first choices that are never replaced.

    Attributes
    ----------
    objective_names : tuple of str
        "misses", experts that a token misses in all layers together, and "extra_loss", nats per
        token above the loss without a preference. Both are minimized.

    Raises
    ------
    ValueError
        If a parameter is out of range.

    References
    ----------
    Skliar et al., "Mixture of Cache-Conditional Experts for Efficient Mobile Device Inference",
    arXiv 2412.00099, with one strength of preference for all layers.

    Examples
    --------
    >>> from problems.moe import CacheAwareRouting
    >>> problem = CacheAwareRouting.example(n_excerpts=1)
    >>> problem.n_var, problem.objective_names
    (7, ('misses', 'extra_loss'))
    """

    def __init__(
        self,
        model: Module,
        batches: Iterable[Tensor],
        *,
        slots: int,
        tolerances: Sequence[float] = TOLERANCES,
        most_kept: int = 2,
    ) -> None:
        owner = "CacheAwareRouting"
        from moe_costmodel.traces.families import find_routers

        self.objective_names = ("misses", "extra_loss")
        self._model, self._batches = model, list(batches)
        self.slots = check_int(owner, "slots", slots, 1)
        self.most_kept = check_int(owner, "most_kept", most_kept, 1)
        self.tolerances = tuple(float(value) for value in tolerances)
        steps = np.diff(self.tolerances)
        good = len(self.tolerances) > 1 and bool((steps > 0).all())
        if not (good and self.tolerances[0] >= 0.0 and self.tolerances[-1] < 1.0):
            expected = "ascending numbers from 0 to below 1, two or more"
            raise setting_error(owner, "tolerances", expected, self.tolerances)
        n_layers = len(find_routers(model)[1])
        low = np.append(np.zeros(n_layers), 1)
        high = np.append(np.full(n_layers, len(self.tolerances) - 1), self.most_kept)
        self.nominal = np.zeros(n_layers + 1, dtype=bool)
        self.feature_names = (*(f"tolerance {i}" for i in range(n_layers)), "first choices kept")
        super().__init__(low, high)
        plain = loss_with_cache(model, self._batches, CacheAwareGating(0.0), self.slots)
        self.full_loss = plain.loss
        # The loss and misses without a preference identify model, text and slots.
        self._set_version(
            "cache-aware", EVALUATION, self.tolerances, self.most_kept, plain.loss, plain.misses
        )
        # No preference misses the most, the strongest one loses the most.
        rows = np.stack([low, high]).astype(np.int64)
        rows[1, -1] = 1
        self.ref_point = self._objectives(rows).max(axis=0) * 1.05 + 1e-9
        self.ref_point_source = "the worse of no preference and the strongest one, + 5 %"

    @classmethod
    def example(
        cls, domain: str = "code", *, slots: int = 16, n_excerpts: int = 8
    ) -> CacheAwareRouting:
        """Return the problem of the packaged model (needs torch and safetensors).

        Parameters
        ----------
        domain : {"code", "prose"}
        slots : int
            Of the 32 experts of a layer.
        n_excerpts : int
            Number of texts, unseen in training.
        """
        from moe_costmodel.example import load_model
        from moe_costmodel.example.record import excerpts

        return cls(load_model(), excerpts(domain, n=n_excerpts), slots=slots)  # type: ignore[arg-type]

    def _gatings(self, row: Ints) -> tuple[CacheAwareGating, ...]:
        keep = int(row[-1])
        return tuple(CacheAwareGating(self.tolerances[level], keep) for level in row[:-1])

    def _objectives(self, rows: Ints) -> Floats:
        found = [
            loss_with_cache(self._model, self._batches, self._gatings(row), self.slots)
            for row in rows
        ]
        return np.array([(one.misses, one.loss - self.full_loss) for one in found])

    def _evaluate(self, x: ArrayLike, out: dict[str, Floats], *args: object, **kw: object) -> None:
        out["F"] = self._objectives(self._rows(x))

    def starts(self) -> Ints:
        """Return designs with the same tolerance in all layers, for each number of kept choices."""
        levels, kept = len(self.tolerances), self.most_kept
        rows = np.repeat(np.tile(np.arange(levels), kept)[:, None], self.n_var, axis=1)
        rows[:, -1] = np.repeat(np.arange(1, kept + 1), levels)
        return rows.astype(np.int64)

    def features(self, X: ArrayLike) -> Floats:
        """Return the tolerances of the layers and the number of kept choices, [n, n_var]."""
        rows = self._rows(X)
        values = np.asarray(self.tolerances)[rows[:, :-1]]
        return np.column_stack([values, rows[:, -1]])

    def decode(self, x: ArrayLike) -> RoutingPlan:
        """Return the gatings of one design with their objectives."""
        row = self._row(x)
        return RoutingPlan(self._gatings(row[0]), self._by_name(self._objectives(row)[0]))
