"""Step times of a deployment for the simulation of requests, from kernels measured on a machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from moe_costmodel.deployment.model import DeploymentModel
from moe_costmodel.plans.decision import Decision
from moe_costmodel.serving.scheduler import RankLoad

__all__ = ["DeployedSteps"]


class DeployedSteps:
    """Step times of a deployment, for :func:`moe_costmodel.simulate`.

    The time of MoE layers is the mean over steps of as many tokens as all ranks compute, between
    powers of 2 interpolated in logarithms. The time of everything else is that of the rank with
    most of it; prompts take what ``prefill`` of :class:`moe_costmodel.RestOfModel` says, if it
    was measured.

    Parameters
    ----------
    model : DeploymentModel
        Latency model, traffic, and the rest of the model.
    decision : Decision
        Placement, gates and buffers, such as those of a plan; its batch size does not count.

    Examples
    --------
    >>> from moe_costmodel import DeployedSteps, DeploymentModel, RankLoad, RoutingTrace
    >>> from moe_costmodel.example import measured
    >>> model = DeploymentModel(
    ...     RoutingTrace.example("code"),
    ...     measured.example_hardware(1),
    ...     measured.example_latency(),
    ...     shape=measured.example_shape(),
    ...     rest=measured.example_rest(),
    ... )
    >>> timer = DeployedSteps(model, model.decision())
    >>> timer([RankLoad(4, 100.0)]) < timer([RankLoad(16, 100.0)])
    True
    """

    def __init__(self, model: DeploymentModel, decision: Decision) -> None:
        self.model, self.decision = model, decision
        self._layers: dict[int, float] = {}
        self._reasons: dict[str, None] = {}
        self._met: dict[str, tuple[float, float, float, float]] = {}

    @property
    def outside(self) -> list[str]:
        """Reasons why steps so far were extrapolated."""
        reasons = dict(self._reasons)
        for mode, (fewest, most, shortest, longest) in self._met.items():
            for tokens, context in ((fewest, shortest), (most, longest)):
                found = self.model.rest.outside(tokens, context, mode=mode)
                reasons |= dict.fromkeys(found)
        return list(reasons)

    def __call__(self, loads: Sequence[RankLoad]) -> float:
        """Return the seconds of a step of all ranks."""
        total = sum(load.tokens for load in loads)
        return self._experts(total) + max(self._rest(load) for load in loads if load.tokens)

    def _experts(self, tokens: int) -> float:
        low = 1 << (tokens.bit_length() - 1)
        if low == tokens:
            return self._measured(low)
        ends = np.log([self._measured(low), self._measured(2 * low)])
        return float(np.exp(np.interp(np.log2(tokens / low), [0.0, 1.0], ends)))

    def _measured(self, tokens: int) -> float:
        if tokens not in self._layers:
            plain = Decision(
                placement=self.decision.placement, batch_size=tokens, gates=self.decision.gates,
                capacities=self.decision.capacities, policy=self.decision.policy,
            )  # fmt: skip
            evaluation = self.model.evaluate(plain)
            self._layers[tokens] = float(evaluation.moe_seconds.mean())
            reasons = self.model.latency.outside(
                replace(self.model.shape, n_local=plain.slots_per_device), tokens
            )
            self._reasons |= dict.fromkeys([*reasons, *evaluation.notes])
        return self._layers[tokens]

    def _rest(self, load: RankLoad) -> float:
        rest, seconds = self.model.rest, 0.0
        if load.n_decode:
            seconds += float(rest.seconds(load.n_decode, load.context))
            self._note(load.n_decode, load.context, "decode")
        for chunk in load.chunks:
            context = chunk.prefix + (chunk.length + 1) / 2
            seconds += float(rest.seconds(chunk.length, context, mode="prefill"))
            self._note(chunk.length, context, "prefill")
        # A step of several parts has the work that is done once only once.
        parts = len(load.chunks) + (load.n_decode > 0)
        return seconds - (parts - 1) * min(rest.per_step, seconds / parts)

    def _note(self, tokens: int, context: float, mode: str) -> None:
        """Keep the fewest and most tokens of a step, and the shortest and longest context."""
        fewest, most, shortest, longest = self._met.get(mode, (np.inf, 0.0, np.inf, 0.0))
        self._met[mode] = (
            min(fewest, tokens), max(most, tokens), min(shortest, context), max(longest, context)
        )  # fmt: skip
