"""Demand of a Mixture-of-Experts model on a chip: roles of PEs, sizes of messages, recorded steps.

**Model.** Attention is data-parallel: each token lives on one attention PE, with its sequence in
decoding. In each MoE layer the token goes to the PEs of its experts (dispatch), and a result comes
back from each (combine). A token that has several experts on one PE is sent once, and their results
come back as one sum, as in DeepEP. An expert on the token's own PE costs no traffic. Besides, the
attention PEs read the caches of their sequences from memory and write those of new tokens, and
experts that are not resident are fetched from memory in every step that needs them.

**Units.** Traffic is in flits per cycle. Layers and steps overlap (several batches are under way at
once), so the network sees the mixture of a step's layers, spread over ``step_cycles`` cycles. By
default these are the fewest in which the ports of the expert PEs take experts' messages at a mean
of 0.15 of what they can (if every choice was a visit, in the busier direction), and those of the
memory PEs send at no more than that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moe_costmodel import RoutingTrace
from moe_costmodel.shapes import OPERAND_BYTES
from moe_costmodel.traces.steps import decode_slots
from problems._arrays import Bools, Floats, Ints
from problems._checks import check_choice, check_int, check_real, require, setting_error
from problems.noc.chip.platform import Platform

__all__ = ["DEFAULT_LOAD", "MODES", "Activations", "Demand", "Recorded", "Roles"]

MODES = ("decode", "prefill")

DEFAULT_LOAD = 0.15
"""Share of the ports of expert PEs that experts' messages take; sets ``step_cycles`` by default."""


@dataclass(frozen=True, kw_only=True)
class Activations:
    """Sizes of the messages of one MoE layer.

    Parameters
    ----------
    d_model : int
        Width of a token.
    dispatch_dtype, combine_dtype : str
        Types of the values on the way to the experts and back, of
        ``moe_costmodel.shapes.OPERAND_BYTES``.
    cache_values : int
        Values that a token adds to the cache of a layer; see ``moe_costmodel.Attention``. With 0,
        the caches cause no traffic.
    cache_dtype : str
    expert_bytes : float
        Bytes of an expert that is fetched from memory in each step that needs it; with 0, all
        experts are resident.
    once_per_tile : bool
        Whether a token goes once to a PE with several of its experts, or once for each.

    Raises
    ------
    ValueError
        A size is negative, or a type is unknown.

    Examples
    --------
    >>> from problems.moe_on_chip import Activations
    >>> Activations(d_model=2048).flits(flit_width=128)
    (128, 256)
    """

    d_model: int
    dispatch_dtype: str = "fp8"
    combine_dtype: str = "bfloat16"
    cache_values: int = 0
    cache_dtype: str = "bfloat16"
    expert_bytes: float = 0.0
    once_per_tile: bool = True

    def __post_init__(self) -> None:
        owner = "Activations"
        check_int(owner, "d_model", self.d_model, 1, 2**31)
        for name in ("dispatch_dtype", "combine_dtype", "cache_dtype"):
            check_choice(owner, name, getattr(self, name), tuple(OPERAND_BYTES))
        check_int(owner, "cache_values", self.cache_values, 0, 2**31)
        check_real(owner, "expert_bytes", self.expert_bytes, 0.0)
        holds = isinstance(self.once_per_tile, bool)
        require(owner, "once_per_tile", self.once_per_tile, holds, "True or False")

    def flits(self, flit_width: int) -> tuple[int, int]:
        """Return the flits of a token on its way to an expert and back, for flits of some bits."""
        to, back = (
            math.ceil(8 * self.d_model * OPERAND_BYTES[dtype] / flit_width)
            for dtype in (self.dispatch_dtype, self.combine_dtype)
        )
        return to, back

    @property
    def cache_bytes(self) -> float:
        """Bytes that a token adds to the cache of a layer."""
        return self.cache_values * OPERAND_BYTES[self.cache_dtype]


@dataclass(frozen=True, kw_only=True)
class Roles:
    """Types of PEs that hold tokens, experts, and memory; a type may have several roles.

    Parameters
    ----------
    attention : str
        Type of the PEs that hold the tokens.
    experts : str
        Type of the PEs that hold experts.
    memory : str
        Type of the PEs that serve memory.

    Examples
    --------
    >>> from problems.moe_on_chip import Roles
    >>> from problems.noc import Platform
    >>> Roles(attention="CPU").pes(Platform.paper_4x4x4(), "attention").tolist()
    [0, 1, 2, 3, 4, 5, 6, 7]
    """

    attention: str = "GPU"
    experts: str = "GPU"
    memory: str = "LLC"

    def pes(self, platform: Platform, role: str) -> Ints:
        """Return the ids of the PEs of a role; a ValueError lists the platform's types."""
        pes = np.array(platform.pes_of(getattr(self, role)), dtype=np.int64)
        if not len(pes):
            types = ", ".join(kind.name for kind in platform.pe_types)
            raise setting_error(
                "Roles", role, f"a type of the platform ({types})", getattr(self, role)
            )
        return pes


@dataclass(frozen=True, eq=False)
class Recorded:
    """The recorded steps of one trace on the PEs of a chip.

    Attributes
    ----------
    ids : int array [n_layers, n_tokens, k]
        Experts of each token.
    step, source : int array [n_tokens]
        Step of each token, and the PE on which it lives.
    memory : float array [n_steps, n_pes, n_pes]
        Flits of all layers' caches between attention and memory PEs.
    active : bool array [n_layers, n_steps, n_experts]
        Experts that have a token in the step.
    """

    ids: Ints
    step: Ints
    source: Ints
    memory: Floats
    active: Bools

    @property
    def n_steps(self) -> int:
        """Number of steps."""
        return len(self.memory)


@dataclass(frozen=True, kw_only=True)
class Demand:
    """Settings that turn a trace into steps of a chip.

    Attributes
    ----------
    platform : Platform
    activations : Activations
    roles : Roles
    batch_size : int
        Sequences decoded together (decode), or tokens of a step (prefill).
    mode : {"decode", "prefill"}
    max_steps : int or None
        Steps that count, evenly spaced over the trace; all if None.
    """

    platform: Platform
    activations: Activations
    roles: Roles
    batch_size: int
    mode: str
    max_steps: int | None

    @classmethod
    def checked(
        cls,
        owner: str,
        platform: object,
        activations: object,
        roles: object,
        batch_size: object,
        mode: object,
        max_steps: object,
    ) -> Demand:
        """Return the settings, or raise a ValueError that names the first that is wrong."""
        require(owner, "platform", platform, isinstance(platform, Platform), "a Platform")
        assert isinstance(platform, Platform)
        expected = "an Activations, such as Activations(d_model=2048)"
        require(owner, "activations", activations, isinstance(activations, Activations), expected)
        assert isinstance(activations, Activations)
        require(owner, "roles", roles, isinstance(roles, Roles), "a Roles")
        assert isinstance(roles, Roles)
        for role in ("attention", "experts"):
            roles.pes(platform, role)
        if activations.cache_values or activations.expert_bytes:
            roles.pes(platform, "memory")
        return cls(
            platform=platform,
            activations=activations,
            roles=roles,
            batch_size=check_int(owner, "batch_size", batch_size, 1),
            mode=check_choice(owner, "mode", mode, MODES),
            max_steps=None if max_steps is None else check_int(owner, "max_steps", max_steps, 1),
        )

    def record(self, trace: RoutingTrace) -> Recorded:
        """Return the steps of a trace; a ValueError tells that no step is full."""
        step = trace.steps(self.batch_size, self.mode)  # type: ignore[arg-type]
        kept = np.flatnonzero(step >= 0)
        attention = self.roles.pes(self.platform, "attention")
        if self.mode == "decode":
            _, slot = decode_slots(trace.sequence_lengths, self.batch_size)
        else:
            slot = np.arange(trace.n_tokens) % self.batch_size
        source = attention[slot * len(attention) // self.batch_size]
        if self.max_steps is not None and (n := int(step.max()) + 1) > self.max_steps:
            chosen = np.linspace(0, n - 1, self.max_steps).round().astype(np.int64)
            number = np.full(n, -1)
            number[chosen] = np.arange(self.max_steps)
            step = np.where(step >= 0, number[step], -1)
            kept = np.flatnonzero(step >= 0)
        n_steps = int(step.max()) + 1
        ids = np.ascontiguousarray(trace.topk_ids[kept].transpose(1, 0, 2), dtype=np.int64)
        active = np.zeros((trace.n_layers, n_steps, trace.n_experts), dtype=np.bool_)
        if self.activations.expert_bytes:
            active[np.arange(trace.n_layers)[:, None, None], step[kept][None, :, None], ids] = True
        memory = self._caches(trace, step, source, kept, n_steps) * trace.n_layers
        return Recorded(ids, step[kept].astype(np.int64), source[kept], memory, active)

    def _caches(
        self, trace: RoutingTrace, step: Ints, source: Ints, kept: Ints, n_steps: int
    ) -> Floats:
        """Return flits between attention and memory PEs for the caches of one layer.

        Each PE reads the context of a sequence once a step, up to the last of its tokens there.
        """
        n = self.platform.n_tiles
        out = np.zeros((n_steps, n, n))
        if not self.activations.cache_values:
            return out
        flits = 8.0 * self.activations.cache_bytes / self.platform.flit_width
        lengths = trace.sequence_lengths
        sequence = np.repeat(np.arange(len(lengths)), lengths)
        context = np.arange(trace.n_tokens) - np.repeat(np.cumsum(lengths) - lengths, lengths) + 1
        key = (step * n + source) * len(lengths) + sequence
        _, group = np.unique(key[kept], return_inverse=True)
        longest = np.zeros(int(group.max()) + 1)
        np.maximum.at(longest, group, context[kept])
        first = np.full(len(longest), -1)
        first[group[::-1]] = kept[::-1]
        read = np.zeros((n_steps, n))
        np.add.at(read, (step[first], source[first]), longest * flits)
        written = np.zeros((n_steps, n))
        np.add.at(written, (step[kept], source[kept]), flits)
        memory = self.roles.pes(self.platform, "memory")
        out[:, memory, :] += read[:, None, :] / len(memory)
        out[:, :, memory] += written[:, :, None] / len(memory)
        out[:, np.arange(n), np.arange(n)] = 0.0
        return out

    def step_cycles(self, windows: Sequence[Recorded], load: float = DEFAULT_LOAD) -> float:
        """Return the fewest cycles of a step with at most a mean load of expert and memory PEs.

        Every choice of a token counts as a visit, and the longer message of a visit. Of memory
        PEs, what they send counts.
        """
        platform, sizes = self.platform, self.activations
        choices = float(np.mean([w.ids.size / w.n_steps for w in windows]))
        flits = choices * max(sizes.flits(platform.flit_width))
        cycles = flits / len(self.roles.pes(platform, "experts"))
        if sizes.cache_values or sizes.expert_bytes:
            memory = self.roles.pes(platform, "memory")
            fetched = 8.0 * sizes.expert_bytes / platform.flit_width
            sent = [
                (w.memory[:, memory].sum() + w.active.sum() * fetched) / w.n_steps for w in windows
            ]
            cycles = max(cycles, float(np.mean(sent)) / len(memory))
        return cycles / (load * platform.link_capacity)
