"""Steady states of one instance of a model, composed of its steps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from moe_costmodel._arrays import Floats
from moe_costmodel.serving.curves import CurveTable, StepCurve
from moe_costmodel.shapes import DTYPE_BYTES
from moe_costmodel.silicon.layout import Layout
from moe_costmodel.silicon.memory import gpu_memory, most_of_stage, state_type
from moe_costmodel.silicon.step_time import Chunk, StepTime

__all__ = ["Instance", "InstanceTimes"]


@dataclass(frozen=True)
class InstanceTimes:
    """Times of an instance in its steady state.

    Attributes
    ----------
    ttft : float
        Seconds to the first token of a prompt that does not queue; if prompts limit how many
        sequences run, with the wait for that. NaN of an instance that computes no prompts.
    tpot_mean, tpot_p99 : float
        Mean seconds per token after the first, and their 99th percentile; NaN of an instance that
        computes no answers, infinite if no step has room for prompts. All steps with prompts are
        treated as equal, so `tpot_p99` ignores that a step may compute more prompts than the mean.
    requests_per_s : float
        Requests that the instance completes per second.
    """

    ttft: float
    tpot_mean: float
    tpot_p99: float
    requests_per_s: float


class _Schedule(NamedTuple):
    """Steps of one group of sequences."""

    running: float  # sequences that decode in a step with prompts
    tokens: float  # of prompts in such a step
    steps: float  # until the first token of a prompt
    share: float  # of steps with prompts among those in which a running sequence gains a token


@dataclass(frozen=True)
class Instance:
    """Steady state of an instance of a model.

    A step computes a token of each running sequence of a data-parallel rank and, in a mixed one,
    new tokens of prompts, as far as `max_num_batched_tokens` allows; the end of a prompt and the
    begin of the next share a step. All ranks take each step together, each with as much work. When
    a sequence ends, the next request takes its place.

    With pipeline stages, the sequences of a rank form as many groups, which go through the stages
    one behind the other. Stages count as equally busy.

    Attributes
    ----------
    curves : CurveTable
        Steps of the model on its GPU.
    input_tokens, output_tokens : int
        Tokens of each prompt and answer.
    role : str
        "mixed", "prefill", or "decode".
    layout : Layout
    sequences : int
        Requests in flight on one data-parallel rank; of prefill, prompts of one step.
    max_num_batched_tokens : int
        Most tokens of a step on one data-parallel rank.
    redundant_experts : int
        Slots of an MoE layer beyond one per expert.
    """

    curves: CurveTable
    input_tokens: int
    output_tokens: int
    role: str
    layout: Layout
    sequences: int
    max_num_batched_tokens: int
    redundant_experts: int = 0

    # ---------------------------------------------------------------------------------- schedule

    @cached_property
    def group(self) -> float:
        """Sequences of a rank that take a step together."""
        if self.role == "prefill":
            return float(self.sequences)
        return max(self.sequences / self.layout.pp, 1.0)

    @cached_property
    def groups(self) -> float:
        """Groups of a rank that are under way at the same time."""
        return float(self.layout.pp) if self.role == "prefill" else self.sequences / self.group

    @cached_property
    def _schedule(self) -> _Schedule:
        inputs, most, n = self.input_tokens, float(self.max_num_batched_tokens), self.group
        decoding = 0.0 if self.role == "prefill" else self.output_tokens - 1.0
        # A sequence needs at least one step for its prompt, and does not decode then.
        room = most - n * decoding / (decoding + 1)
        alone = np.ceil(inputs / room) if room > 0 else np.inf
        if n * alone <= decoding + alone:
            share = (n - 1) * alone / decoding if decoding else 1.0
            return _Schedule(n - 1, inputs / alone, alone, share)
        # All steps compute prompts: those of all sequences, or as many as the tokens allow.
        prompts = min(n / (decoding + alone), most / (inputs + decoding))
        waiting = n / prompts - decoding
        return _Schedule(prompts * decoding, prompts * inputs, waiting, 1.0)

    # ------------------------------------------------------------------------------------- steps

    @cached_property
    def _parts(self) -> dict[str, tuple[float, float, tuple[Chunk, ...]]]:
        """Running sequences, context and chunks of each step."""
        context = self.input_tokens + self.output_tokens / 2
        found: dict[str, tuple[float, float, tuple[Chunk, ...]]] = {}
        if self.role != "prefill":
            found["decode"] = (self.group, context, ())
        if self.role != "decode":
            now = self._schedule
            whole, part = divmod(max(1, round(now.tokens)), self.input_tokens)
            chunks = [Chunk(self.input_tokens)] * whole
            if part:
                # Its tokens attend to as many earlier ones as those of a whole prompt on average.
                chunks.append(Chunk(part, round((self.input_tokens - part) / 2)))
            found["prompts"] = (now.running, context, tuple(chunks))
        return found

    @cached_property
    def steps(self) -> dict[str, StepCurve]:
        """Steps by name: "decode", and "prompts" for one with tokens of prompts."""
        return {name: self.curves.curve(self.layout, *part) for name, part in self._parts.items()}

    def operators(self) -> dict[str, StepTime]:
        """Return the same steps by operator, under the loads of the tables' benchmarks."""
        return {
            name: self.curves.operators(self.layout, *part) for name, part in self._parts.items()
        }

    def times(self, seconds: dict[str, Floats]) -> InstanceTimes:
        """Return the times of the steady state.

        Parameters
        ----------
        seconds : dict of str to ndarray of shape (n_steps,)
            Seconds of sampled steps, by the names of :attr:`steps`.
        """
        more, now = self.output_tokens - 1, self._schedule
        ranks = self.layout.dp * self.groups
        if self.role == "prefill":
            slow = float(seconds["prompts"].mean())
            steps = np.ceil(self.input_tokens / self.max_num_batched_tokens)
            rate = ranks * now.tokens / self.input_tokens / slow
            return InstanceTimes(steps * slow, np.nan, np.nan, rate)
        decode = seconds["decode"]
        mean = float(decode.mean())
        if self.role == "decode":
            rate = self.layout.dp * self.sequences / (mean * max(more, 1))
            return InstanceTimes(np.nan, mean, _percentile(decode, None, 0.0), rate)
        if not np.isfinite(now.steps):  # no step has room for tokens of prompts
            return InstanceTimes(np.inf, np.inf, np.inf, 0.0)
        mixed = seconds["prompts"]
        slow = float(mixed.mean())
        tpot = now.share * slow + (1 - now.share) * mean
        first = now.steps * slow
        rate = ranks * self.group / (first + more * tpot)  # Little's law
        return InstanceTimes(first, tpot, _percentile(decode, mixed, now.share), rate)

    # ------------------------------------------------------------------------------------ memory

    @cached_property
    def memory_bytes(self) -> float:
        """Weights and cache of the fullest GPU, with whole answers in the cache."""
        context = self.input_tokens
        context += 0 if self.role == "prefill" else self.output_tokens
        sequences = self.sequences * (self.layout.pp if self.role == "prefill" else 1)
        curves = self.curves
        found = gpu_memory(
            curves.shape, self.layout, sequences, context, kv_dtype=curves.kv_dtype,
            state_dtype=state_type(curves.shape, curves.model.backend),
        )  # fmt: skip
        experts = self.curves.shape.experts
        if experts is None or not self.redundant_experts:
            return found.total
        width = DTYPE_BYTES[self.curves.shape.dtypes["experts"]]
        shape, layout = self.curves.shape, self.layout
        copies = self.redundant_experts / layout.moe_ep / layout.moe_tp
        copies *= most_of_stage(shape.n_moe_layers, shape.n_layers, layout.pp)
        return found.total + copies * experts.parameters(shape.d_model) * width


def _percentile(decode: Floats, mixed: Floats | None, share: float) -> float:
    """Return the 99th percentile of steps, of which a share are mixed."""
    if mixed is None or share <= 0:
        return float(np.quantile(decode, 0.99, method="inverted_cdf"))
    if share >= 1:
        return float(np.quantile(mixed, 0.99, method="inverted_cdf"))
    values = np.concatenate((decode, mixed))
    weights = np.repeat([(1 - share) / len(decode), share / len(mixed)], [len(decode), len(mixed)])
    return float(np.quantile(values, 0.99, method="inverted_cdf", weights=weights))
