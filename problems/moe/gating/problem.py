"""Gating thresholds of each layer as a pymoo problem: compute or latency against quality."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel import GateRule, LatencyModel, LayerShape, RoutingTrace, keep_choices
from moe_costmodel.gating.rules import rule_of_each_layer
from moe_costmodel.traces.trace import Mode
from problems._arrays import Floats, Ints
from problems._checks import check_choice, check_int, check_names, require, setting_error
from problems.moe.base import AGGREGATES, aggregated, as_windows
from problems.moe.gating.levels import GateLevels, chosen_rules
from problems.moe.gating.measured_quality import MeasuredLoss
from problems.moe.ordinal import OrdinalProblem

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor
    from torch.nn import Module

__all__ = ["GatePlan", "GatingThresholds"]

EVALUATION = 1
"""Version of the evaluation: increased whenever a design gets other objectives than before."""

OBJECTIVES = {
    "compute": "mean experts per token and layer",
    "latency": "mean time of the MoE layers of a step (s)",
    "p99_latency": "99th percentile of the time of the MoE layers of a step (s)",
    "quality_loss": "fraction of gate mass dropped, or measured loss (nats per token)",
}


@dataclass(frozen=True)
class GatePlan:
    """Gating thresholds of all layers with their predicted objectives.

    Attributes
    ----------
    rules : tuple of GateRule
        One per layer.
    objectives : dict of str to float
    quality_kind : str
        How "quality_loss" was determined.

    Examples
    --------
    >>> from problems.moe import GatingThresholds
    >>> problem = GatingThresholds.example()
    >>> plan = problem.decode(problem.xl)
    >>> len(plan.rules), list(plan.objectives)
    (6, ['compute', 'quality_loss'])
    """

    rules: tuple[GateRule, ...]
    objectives: dict[str, float]
    quality_kind: str

    def __str__(self) -> str:
        lines = [f"{name} {value:.6g}" for name, value in self.objectives.items()]
        layers = [f"layer {i}: {rule}" for i, rule in enumerate(self.rules)]
        return "\n".join([*lines, f"quality_loss is {self.quality_kind}", *layers])


class GatingThresholds(OrdinalProblem):
    """Choose a gating threshold for the router of each layer; all objectives are minimized.

    A threshold drops experts that a token hardly needs. A row of X holds one level per layer, from
    the rule that keeps the fewest experts to the rule that keeps the most; the rule of a level is
    ``levels.rules[layer][level]``.

    Parameters
    ----------
    trace : RoutingTrace or sequence of RoutingTrace
        Recorded routing with the weights of the choices. Several traces are windows or domains of
        the traffic.
    rule : {"top-p", "skip", "top-k", "any"}
        Kind of rule that the levels are made of. "any" mixes all three and so includes every fixed
        k per layer, but a serving engine may support one kind only.
    rules : sequence of GateRule, optional
        Rules to choose from, instead of those of `rule`.
    objectives : sequence of str
        Of "compute" (mean experts per token and layer), "latency" and "p99_latency" (seconds of
        the MoE layers of a step), and "quality_loss". The percentile is interpolated between two
        steps, whereas ``MoEDeployment`` takes the step that 99 % do not exceed.
    model : Module, optional
        Model whose loss under thresholds is measured. "compute" is then counted in the model, too,
        because experts dropped in one layer change the routing of the next. Without a model,
        "quality_loss" is the fraction of gate mass that is dropped.
    batches : iterable of Tensor (batch, length), int64, optional
        Text on which the loss of `model` is measured.
    latency : LatencyModel, optional
        Required for "latency" and "p99_latency".
    shape : LayerShape, optional
        Sizes of an MoE layer; required for "latency" and "p99_latency".
    batch_size : int
        Sequences decoded together (decode) or tokens of a step (prefill), for `latency`.
    mode : {"prefill", "decode"}
    aggregate : {"mean", "worst"}
        How the values of several windows become one.

    Attributes
    ----------
    levels : GateLevels
    quality_kind : str
        "measured loss" or "gate mass lost".

    Raises
    ------
    ValueError
        If a parameter is out of range, or an objective needs a parameter that is missing.

    References
    ----------
    The rules: ``moe_costmodel.gating.rules``.

    Examples
    --------
    >>> from problems.moe import GatingThresholds
    >>> problem = GatingThresholds.example()
    >>> problem.n_var, problem.n_obj, problem.quality_kind
    (6, 2, 'gate mass lost')
    """

    def __init__(
        self,
        trace: RoutingTrace | Sequence[RoutingTrace],
        *,
        rule: str = "any",
        rules: Sequence[GateRule] | None = None,
        objectives: Sequence[str] = ("compute", "quality_loss"),
        model: Module | None = None,
        batches: Iterable[Tensor] | None = None,
        latency: LatencyModel | None = None,
        shape: LayerShape | None = None,
        batch_size: int = 16,
        mode: str = "decode",
        aggregate: str = "mean",
    ) -> None:
        owner = "GatingThresholds"
        self.windows = as_windows(trace, owner)
        self.objective_names = names = check_names(owner, "objectives", objectives, OBJECTIVES)
        self.aggregate = check_choice(owner, "aggregate", aggregate, AGGREGATES)
        n_layers, self.k = self.windows[0].n_layers, self.windows[0].k
        for window in self.windows:
            expected = f"of one model, {self.k} choices a token (see {window.source!r})"
            require(owner, "trace", window.k, window.k == self.k, expected)
        batch_size = check_int(owner, "batch_size", batch_size, 1)
        mode = check_choice(owner, "mode", mode, get_args(Mode))
        self.levels = GateLevels.of(self.windows, chosen_rules(rules, rule, self.k, owner))
        self._loss: MeasuredLoss | None = None
        self.quality_kind = "gate mass lost"
        if model is not None:
            self._loss = MeasuredLoss(model, [] if batches is None else batches)
            self.quality_kind = "measured loss"
            if self._loss.n_layers != n_layers:
                expected = f"of the trace's {n_layers} MoE layers"
                raise setting_error(owner, "model", expected, self._loss.n_layers)
        self._seconds: list[Floats] = []
        self._timing: tuple[LatencyModel, LayerShape, int, str] | None = None
        if {"latency", "p99_latency"} & set(names):
            self._timing = self._checked_timing(latency, shape, batch_size, mode)
            self._seconds = self._step_seconds(self.levels)
        super().__init__(np.zeros(n_layers), np.full(n_layers, self.levels.n_levels - 1))
        self.nominal = np.zeros(self.n_var, dtype=bool)
        self.feature_names = (
            *(f"experts {i}" for i in range(self.n_var)),
            *(f"mass lost {i}" for i in range(self.n_var)),
        )
        self._set_version(
            "gates", EVALUATION, self.levels.rules, self.levels.experts, self.levels.lost, names,
            aggregate, self.quality_kind, *self._seconds,
            # The loss without thresholds identifies model and text.
            None if self._loss is None else self._loss.measured([None] * n_layers),
        )  # fmt: skip
        # Dropping all that can be dropped has the largest loss, dropping nothing the largest cost.
        ends = self._objectives(self._rows(np.stack((self.xl, self.xu))))
        self.ref_point = ends.max(axis=0) * 1.05 + 1e-9
        self.ref_point_source = "the worse of dropping all that can be dropped and nothing, + 5 %"

    @classmethod
    def example(
        cls, domain: str = "code", *, measured: bool = False, n_excerpts: int = 4, **settings: Any
    ) -> GatingThresholds:
        """Return the problem of the packaged example model.

        Parameters
        ----------
        domain : {"code", "prose"}
        measured : bool
            Measure the loss of the model (needs torch and safetensors; tens of milliseconds per
            design) instead of the gate mass that is dropped.
        n_excerpts : int
            Number of texts, unseen in training, to measure the loss on.
        **settings
            Parameters of the constructor.
        """
        if measured:
            from moe_costmodel.example import load_model
            from moe_costmodel.example.record import excerpts

            settings |= {"model": load_model(), "batches": excerpts(domain, n=n_excerpts)}
        return cls(RoutingTrace.example(domain), **settings)  # type: ignore[arg-type]

    # ------------------------------------------------------------------------------- evaluation

    def _checked_timing(
        self, latency: LatencyModel | None, shape: LayerShape | None, batch_size: int, mode: str
    ) -> tuple[LatencyModel, LayerShape, int, str]:
        owner, n_experts = "GatingThresholds", self.windows[0].n_experts
        if not isinstance(latency, LatencyModel):
            raise setting_error(owner, "latency", "a LatencyModel if time is an objective", latency)
        if not isinstance(shape, LayerShape):
            raise setting_error(owner, "shape", "a LayerShape if time is an objective", shape)
        sizes = shape.n_experts, shape.n_local, shape.k
        if sizes != (n_experts, n_experts, self.k):
            expected = f"of {n_experts} experts, all local, {self.k} for each token"
            raise setting_error(owner, "shape", expected, sizes)
        return latency, shape, batch_size, mode

    def _step_seconds(self, levels: GateLevels) -> list[Floats]:
        """Return the seconds of each layer and level, [n_layers, n_levels, n_steps] by window."""
        assert self._timing is not None
        latency, shape, batch_size, mode = self._timing
        table = latency.table(shape)
        out = []
        for window in self.windows:
            seconds = []
            for v in range(levels.n_levels):
                keep = keep_choices(window, [rules[v] for rules in levels.rules])
                loads = window.loads(batch_size, mode, keep=keep)  # type: ignore[arg-type]
                seconds.append(table.seconds(loads).T)
            out.append(np.stack(seconds, axis=1))
        return out

    def _evaluate(self, x: ArrayLike, out: dict[str, Floats], *args: object, **kw: object) -> None:
        out["F"] = self._objectives(self._rows(x))

    def _objectives(self, rows: Ints) -> Floats:
        return self._values(self.levels, self._seconds, rows)

    def _values(self, levels: GateLevels, seconds: list[Floats], rows: Ints) -> Floats:
        layers = np.arange(self.n_var)
        values: dict[str, Floats] = {}
        if self._loss is None:
            for name, table in (("quality_loss", levels.lost), ("compute", levels.experts)):
                mean = table[:, layers, rows].mean(axis=2)
                values[name] = aggregated(mean, self.aggregate)
        else:
            pairs = [self._loss.measured(levels.picked(row)) for row in rows]
            values["quality_loss"], values["compute"] = np.array(pairs).reshape(-1, 2).T
        if seconds:
            steps = [[window[layers, row].sum(axis=0) for row in rows] for window in seconds]
            mean = np.array([[step.mean() for step in window] for window in steps])
            tail = np.array([[np.quantile(step, 0.99) for step in window] for window in steps])
            values["latency"] = aggregated(mean, self.aggregate)
            values["p99_latency"] = aggregated(tail, self.aggregate)
        return np.stack([values[name] for name in self.objective_names], axis=1)

    def fixed_k_front(self) -> Floats:
        """Return the objectives of keeping the 1, 2, ... k heaviest experts everywhere, [k, n_obj].

        Thresholds are worth using only if they beat this baseline; `plot` draws it beside a front.
        """
        return np.concatenate(
            [self.objectives_of([GateRule("top-k", k)] * self.n_var) for k in range(1, self.k + 1)]
        )

    def plot(self, F: ArrayLike, path: str | Path | None = None) -> Figure:
        """Draw a front [n, n_obj] and the curve of fixed k; save the Figure if `path` is given."""
        from problems.moe.gating.pictures import plot_gates

        return plot_gates(self, F, path)

    def objectives_of(self, rules: GateRule | Sequence[GateRule | None]) -> Floats:
        """Return the objectives [1, n_obj] of any rules, also of other levels.

        Rules are one for all layers or one per layer; None drops nothing.

        Raises
        ------
        ValueError
            If the number or kind of the rules is wrong.
        """
        levels = GateLevels.fixed(
            self.windows, rule_of_each_layer(rules, self.n_var, "objectives_of")
        )
        seconds = self._step_seconds(levels) if self._seconds else []
        return self._values(levels, seconds, np.zeros((1, self.n_var), dtype=np.int64))

    # ----------------------------------------------------------------------- used by the search

    def starts(self) -> Ints:
        """Return designs sorted by mean experts: each rule in all layers, and ``levels.path``."""
        uniform = np.repeat(np.arange(self.levels.n_levels)[:, None], self.n_var, axis=1)
        rows = np.unique(np.concatenate((uniform, self.levels.path())), axis=0)
        experts = self.levels.at(rows)[0].sum(axis=1)
        return rows[experts.argsort(kind="stable")]

    def features(self, X: ArrayLike) -> Floats:
        """Return mean experts and gate mass lost of each layer, [n, 2 n_var]."""
        return np.concatenate(self.levels.at(self._rows(X)), axis=1)

    def decode(self, x: ArrayLike) -> GatePlan:
        """Return the rules of one design with their objectives."""
        row = self._row(x)
        objectives = self._by_name(self._objectives(row)[0])
        return GatePlan(self.levels.picked(row[0]), objectives, self.quality_kind)
