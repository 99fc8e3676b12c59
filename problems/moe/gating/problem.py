"""Gating thresholds of each layer as a pymoo problem: compute or latency against quality."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from moe_costmodel import GateRule, LatencyModel, LayerShape, RoutingTrace, keep_choices
from moe_costmodel._checks import count, invalid
from problems._arrays import Floats, Ints
from problems.moe.base import as_windows, checked_names, combine
from problems.moe.gating.levels import GateLevels, default_rules
from problems.moe.ordinal import LadderProblem

__all__ = ["GatePlan", "GatingThresholds"]

EVALUATION = 1
"""Counts up whenever the same design would get other objectives than before."""

OBJECTIVES = {
    "compute": "mean experts a token and layer",
    "latency": "mean seconds of the MoE layers of a step",
    "p99_latency": "99th percentile of the seconds of the MoE layers of a step",
    "quality_loss": "gate mass lost (a share), or measured loss (nats a token)",
}


@dataclass(frozen=True)
class GatePlan:
    """Thresholds of the layers, as decided and as predicted.

    Attributes
    ----------
    rules : tuple of GateRule
        One a layer.
    objectives : dict of str to float
    quality_kind : str
        What "quality_loss" is.

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


class GatingThresholds(LadderProblem):
    """Pick a threshold for the router of each layer, all objectives minimized.

    A row of X holds a rung for each layer, from the rule that keeps the fewest experts to the one
    that keeps the most; ``levels.rules[layer][rung]`` is the rule.

    Parameters
    ----------
    trace : RoutingTrace or sequence of RoutingTrace
        With the weights of the choices; several are windows or domains of the traffic.
    rule : {"top-p", "skip", "top-k", "any"}
        What the ladder is made of. "any" mixes all three, and so has every fixed k of each layer
        among its designs; a serving engine may know only one kind.
    rules : sequence of GateRule, optional
        A ladder of your own instead.
    objectives : sequence of str
        Of "compute" (mean experts a token and layer), "latency", "p99_latency" (seconds of the MoE
        layers of a step), and "quality_loss".
    model : Module, optional
        Whose loss is measured. Without one, quality is the gate mass lost; ``quality_kind`` says
        which it is. "compute" is then counted in the model too, where dropping experts in one
        layer changes the routing of the next.
    batches : iterable of Tensor (batch, length), int64, optional
        Text to measure the loss on, for `model`.
    latency : LatencyModel, optional
        Wanted for the latencies.
    shape : LayerShape, optional
        An MoE layer, for `latency`.
    batch_size : int
        Tokens (prefill) or sequences (decode) of a step, for `latency`.
    mode : {"prefill", "decode"}
    over : {"mean", "worst"}
        How several windows become one.

    Attributes
    ----------
    levels : GateLevels
    quality_kind : str
        "measured loss" or "gate mass lost".

    Raises
    ------
    ValueError
        A parameter is wrong, or something that an objective needs is not there.

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
        model: Any = None,
        batches: Iterable[Any] | None = None,
        latency: LatencyModel | None = None,
        shape: LayerShape | None = None,
        batch_size: int = 16,
        mode: str = "decode",
        over: str = "mean",
    ) -> None:
        owner = "GatingThresholds"
        self.windows = as_windows(trace, owner)
        self.objective_names = names = checked_names(objectives, OBJECTIVES, owner)
        self.over = over
        first = self.windows[0]
        self.k = first.k
        self.levels = GateLevels.of(
            self.windows, default_rules(rule, self.k) if rules is None else tuple(rules)
        )
        self._measure: Any = None
        self.quality_kind = "gate mass lost"
        if model is not None:
            from moe_costmodel.gating.quality import LossMeter

            self._measure = LossMeter(model, [] if batches is None else batches)
            self.quality_kind = "measured loss"
            if self._measure.n_layers != first.n_layers:
                raise invalid(
                    owner,
                    "model",
                    self._measure.n_layers,
                    f"of the trace's {first.n_layers} MoE layers",
                )
        self._known: dict[tuple[GateRule, ...], tuple[float, float]] = {}
        self._seconds: list[Floats] = []
        self._timing: tuple[LatencyModel, LayerShape, int, str] | None = None
        if {"latency", "p99_latency"} & set(names):
            if latency is None or shape is None:
                raise invalid(
                    owner,
                    "latency",
                    f"{latency!r} and shape {shape!r}",
                    "a LatencyModel, with the 'shape' of a layer, for an objective of time",
                )
            if (shape.n_experts, shape.n_local) != (first.n_experts, first.n_experts):
                raise invalid(
                    owner,
                    "shape",
                    f"{shape.n_experts}, {shape.n_local} local",
                    f"of {first.n_experts} experts, all local",
                )
            size = count(owner, "batch_size", batch_size)
            self._timing = (latency, shape, size, mode)
            self._seconds = self._step_seconds(self.levels)
        super().__init__(
            n_var=first.n_layers,
            n_obj=len(names),
            xl=np.zeros(first.n_layers),
            xu=np.full(first.n_layers, self.levels.n_levels - 1.0),
            vtype=int,
        )
        self.named = np.zeros(self.n_var, dtype=bool)
        self.feature_names = (
            *(f"experts {i}" for i in range(self.n_var)),
            *(f"mass lost {i}" for i in range(self.n_var)),
        )
        self._set_identity(
            "gates", EVALUATION, self.levels.rules, self.levels.experts, self.levels.lost, names,
            over, self.quality_kind, *self._seconds,
            # The loss with everything kept stands for model and text.
            None if self._measure is None else self._measured((GateRule.keep_all(),) * self.n_var),
        )  # fmt: skip
        # The hardest rules lose most, and keeping all takes most: the two corners of the box.
        ends = self._objectives(self._rows(np.stack((self.xl, self.xu))))
        self.ref_point = ends.max(axis=0) * 1.05 + 1e-9
        self.ref_point_source = "the worse of dropping all that can be dropped and nothing, + 5 %"

    @classmethod
    def example(
        cls, domain: str = "code", *, measured: bool = False, n_excerpts: int = 4, **settings: Any
    ) -> GatingThresholds:
        """Make the problem of the packaged example model.

        Parameters
        ----------
        domain : {"code", "prose"}
        measured : bool
            Measure the loss on the model (needs torch and safetensors; tens of milliseconds for
            each design), instead of the gate mass lost.
        n_excerpts : int
            Pieces of unseen text to measure on.
        **settings
            Of the constructor.
        """
        trace = RoutingTrace.example(domain)  # type: ignore[arg-type]
        if measured:
            from moe_costmodel.example import load_model
            from moe_costmodel.example.record import excerpts

            settings |= {"model": load_model(), "batches": excerpts(domain, n=n_excerpts)}
        return cls(trace, **settings)

    # ------------------------------------------------------------------------------- evaluation

    def _step_seconds(self, levels: GateLevels) -> list[Floats]:
        """Return the seconds of each layer on each rung, [n_layers, n_levels, n_steps] a window."""
        assert self._timing is not None
        latency, shape, size, mode = self._timing
        table = latency.table(shape)
        out = []
        for window in self.windows:
            rungs = []
            for v in range(levels.n_levels):
                keep = keep_choices(window, [ladder[v] for ladder in levels.rules])
                rungs.append(table.seconds(window.loads(size, mode, keep=keep)).T)  # type: ignore[arg-type]
            out.append(np.stack(rungs, axis=1))
        return out

    def _evaluate(self, x: ArrayLike, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        out["F"] = self._objectives(self._rows(x))

    def _objectives(self, rows: Ints) -> Floats:
        return self._values(self.levels, self._seconds, rows)

    def _values(self, levels: GateLevels, seconds: list[Floats], rows: Ints) -> Floats:
        layers = np.arange(self.n_var)
        values: dict[str, Floats] = {}
        if self._measure is None:
            lost = levels.lost[:, layers, rows].mean(axis=2)
            values["quality_loss"] = combine(lost, self.over)
            values["compute"] = combine(levels.experts[:, layers, rows].mean(axis=2), self.over)
        else:
            pairs = [self._measured(_picked(levels, row)) for row in rows]
            values["quality_loss"], values["compute"] = np.array(pairs).reshape(-1, 2).T
        if seconds:
            steps = [[window[layers, row].sum(axis=0) for row in rows] for window in seconds]
            mean = np.array([[step.mean() for step in window] for window in steps])
            tail = np.array([[np.quantile(step, 0.99) for step in window] for window in steps])
            values["latency"] = combine(mean, self.over)
            values["p99_latency"] = combine(tail, self.over)
        return np.stack([values[name] for name in self.objective_names], axis=1)

    def _measured(self, rules: tuple[GateRule, ...]) -> tuple[float, float]:
        """Return the loss and the mean experts under rules; what was measured is kept."""
        if rules not in self._known:
            self._known[rules] = self._measure(rules)
        return self._known[rules]

    def fixed_k_front(self) -> Floats:
        """Return the objectives of keeping the 1, 2, ... k heaviest experts everywhere, [k, n_obj].

        The baseline that every threshold must beat; `plot` draws it beside a front.
        """
        return np.concatenate(
            [self.objectives_of([GateRule("top-k", k)] * self.n_var) for k in range(1, self.k + 1)]
        )

    def plot(self, F: ArrayLike, path: str | Path | None = None) -> Any:
        """Draw a front [n, n_obj] with the curve of a fixed k beside it; return the Figure."""
        from problems.moe.deployment.pictures import plot_gates

        return plot_gates(self, F, path)

    def objectives_of(self, rules: Sequence[GateRule]) -> Floats:
        """Return the objectives of any rules, one a layer, on the ladder or not, [1, n_obj].

        Raises
        ------
        ValueError
            If the number of rules is wrong.
        """
        if len(rules) != self.n_var:
            raise invalid("objectives_of", "rules", len(rules), f"{self.n_var}, one a layer")
        levels = GateLevels.fixed(self.windows, rules)
        seconds = self._step_seconds(levels) if self._seconds else []
        return self._values(levels, seconds, np.zeros((1, self.n_var), dtype=np.int64))

    # ------------------------------------------------------------------- what a search can use

    def starts(self) -> Ints:
        """Return every rung as the rule of all layers, and rungs by price; see ``levels.path``.

        Sorted by mean experts.
        """
        uniform = np.repeat(np.arange(self.levels.n_levels)[:, None], self.n_var, axis=1)
        rows = np.unique(np.concatenate((uniform, self.levels.path())), axis=0)
        experts = self.levels.experts.mean(axis=0)[np.arange(self.n_var), rows].sum(axis=1)
        return rows[experts.argsort(kind="stable")]

    def features(self, X: ArrayLike) -> Floats:
        """Return mean experts and gate mass lost, layer by layer, [n, 2 n_var]."""
        rows = self._rows(X)
        layers = np.arange(self.n_var)
        experts, lost = self.levels.experts.mean(axis=0), self.levels.lost.mean(axis=0)
        return np.concatenate((experts[layers, rows], lost[layers, rows]), axis=1)

    def decode(self, x: ArrayLike) -> GatePlan:
        """Return the rules of one row, with what they give."""
        row = self._rows(np.reshape(x, (1, -1)))
        F = self._objectives(row)[0]
        named = dict(zip(self.objective_names, F.tolist(), strict=True))
        return GatePlan(_picked(self.levels, row[0]), named, self.quality_kind)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_known": {}}


def _picked(levels: GateLevels, row: Ints) -> tuple[GateRule, ...]:
    return tuple(ladder[int(v)] for ladder, v in zip(levels.rules, row, strict=True))
