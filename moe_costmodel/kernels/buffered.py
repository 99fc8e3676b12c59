"""Buffered experts: a bounded set of experts in fast memory, the others in slow memory.

The slow memory of a GPU is CPU memory; that of a CPU is a mapped file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from moe_costmodel._checks import invalid
from moe_costmodel.kernels.dynamic import combine, sort_by_expert
from moe_costmodel.kernels.experts import Experts, check_layer, check_no_gradient
from moe_costmodel.kernels.replacement import Access, Replacement

__all__ = ["BufferStatistics", "BufferedExperts"]


@dataclass
class BufferStatistics:
    """Counts of a buffer since its start.

    Attributes
    ----------
    steps : int
        Calls of the layer.
    hits, misses : int
        Needed experts that were resident, and needed experts that had to be copied.
    bytes_copied : int
        Bytes from slow to fast memory.

    Examples
    --------
    >>> from moe_costmodel.kernels import BufferStatistics
    >>> BufferStatistics(steps=2, hits=3, misses=1)
    BufferStatistics(steps=2, hits=3, misses=1, bytes_copied=0)
    """

    steps: int = 0
    hits: int = 0
    misses: int = 0
    bytes_copied: int = 0


class BufferedExperts:
    """An MoE layer whose experts are copied into fast memory when a step needs them.

    A call computes the layer by dynamic gating, without gradients. The experts that a step needs
    run in ascending order of their ids. On a GPU, the next expert is copied on a separate stream
    while the current expert computes.

    Parameters
    ----------
    slow : Experts
        All experts, in CPU memory (pinned here if `device` is a GPU) or mapped from a file with
        :meth:`Experts.map_file`.
    capacity : int
        Number of experts that fast memory holds, at least 1.
    policy : str
        Eviction policy: "paper", "fifo", "lru", "lfu" or "inactive-lfu"; see
        :data:`moe_costmodel.POLICIES`.
    device : device
        Device that runs the experts.
    fast : Experts, optional
        Memory on `device` whose first experts are the slots, so that buffers that never run
        together can share it; by default it is allocated.

    Attributes
    ----------
    statistics : BufferStatistics
        Hits, misses and bytes since the start.

    Raises
    ------
    ValueError
        If the capacity is below 1, the policy is unknown or "min", which needs the future, or
        `fast` holds fewer experts than the buffer.

    Examples
    --------
    >>> import torch
    >>> from moe_costmodel.kernels import BufferedExperts, Experts
    >>> layer = BufferedExperts(Experts.random(n_experts=4, d_model=8, d_ffn=16), capacity=2)
    >>> ids, weights = torch.tensor([[0], [3]]), torch.ones(2, 1)
    >>> layer(torch.ones(2, 8), ids, weights).shape
    torch.Size([2, 8])
    >>> layer.statistics.misses
    2
    """

    def __init__(
        self,
        slow: Experts,
        capacity: int,
        *,
        policy: str = "paper",
        device: torch.device | str = "cpu",
        fast: Experts | None = None,
    ) -> None:
        device = torch.device(device)
        self.replacement = Replacement(capacity, policy)
        self.statistics = BufferStatistics()
        slots = min(capacity, slow.n_experts)
        if fast is None:
            fast = replace(
                slow,
                up=slow.up.new_empty(slots, *slow.up.shape[1:], device=device),
                down=slow.down.new_empty(slots, *slow.down.shape[1:], device=device),
            )
        elif fast.n_experts < slots:
            raise invalid(
                "BufferedExperts", "fast", f"{fast.n_experts} experts", f"of at least {slots}"
            )
        self.fast = replace(fast, up=fast.up[:slots], down=fast.down[:slots])
        self._copy_stream: torch.cuda.Stream | None = None
        self._copied: dict[int, torch.cuda.Event] = {}
        self._last_use: dict[int, torch.cuda.Event] = {}
        if device.type == "cuda":
            slow = slow.pinned()
            self._copy_stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self.slow = slow

    def reset(self) -> None:
        """Empty the buffer, and set its counts to 0."""
        self.replacement = Replacement(self.replacement.capacity, self.replacement.policy)
        self.statistics = BufferStatistics()

    def __call__(self, x: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
        """Return the layer's output [S, d_model]; parameters as for any kernel."""
        check_layer(x, ids, weights, self.slow, dtype=self.fast.up.dtype)
        check_no_gradient("BufferedExperts", x, weights, self.slow)
        order, counts = sort_by_expert(ids, weights, self.slow.n_experts)
        sizes = counts.tolist()
        plan = self.plan(sizes)
        loaded = self.fetch(plan)
        tokens = x.index_select(0, order // ids.shape[1])
        return combine(self.run(plan, loaded, tokens, sizes), order, weights)

    def plan(self, sizes: list[int]) -> list[Access]:
        """Return the slots of a step's experts; expert e gets ``sizes[e]`` tokens."""
        plan = self.replacement.step([expert for expert, size in enumerate(sizes) if size])
        missed = sum(access[2] for access in plan)
        self.statistics.steps += 1
        self.statistics.misses += missed
        self.statistics.hits += len(plan) - missed
        self.statistics.bytes_copied += missed * self.slow.expert_bytes
        return plan

    def fetch(self, plan: list[Access]) -> set[int]:
        """Copy the missing experts whose slots are free before the step runs; return them.

        If another expert of the step uses a slot first, :meth:`run` copies the missing expert.
        """
        touched: set[int] = set()
        loaded = set()
        for expert, slot, missed in plan:
            if missed and slot not in touched:
                self._copy(expert, slot)
                loaded.add(expert)
            touched.add(slot)
        return loaded

    def run(self, plan: list[Access], loaded: set[int], tokens: Tensor, sizes: list[int]) -> Tensor:
        """Return the outputs of the plan's experts for tokens sorted by expert, [n, d_model]."""
        out = torch.empty_like(tokens)
        end = 0
        stream = self._copy_stream
        for expert, slot, missed in plan:
            if missed and expert not in loaded:
                self._copy(expert, slot)
            if stream is not None and missed:
                torch.cuda.current_stream(tokens.device).wait_event(self._copied[slot])
            start, end = end, end + sizes[expert]
            hidden = self.fast.inner(F.linear(tokens[start:end], self.fast.up[slot]))
            torch.mm(hidden, self.fast.down[slot].t(), out=out[start:end])
            if stream is not None:
                event = torch.cuda.Event()  # type: ignore[no-untyped-call]
                event.record(torch.cuda.current_stream(tokens.device))
                self._last_use[slot] = event
        return out

    def _copy(self, expert: int, slot: int) -> None:
        """Copy an expert into a slot; on a GPU, on the copy stream after the slot's last use."""
        if self._copy_stream is None:
            self._load(expert, slot)
            return
        with torch.cuda.stream(self._copy_stream):
            if slot in self._last_use:
                self._copy_stream.wait_event(self._last_use[slot])
            self._load(expert, slot)
            event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            event.record(self._copy_stream)
            self._copied[slot] = event

    def _load(self, expert: int, slot: int) -> None:
        self.fast.up[slot].copy_(self.slow.up[expert], non_blocking=True)
        self.fast.down[slot].copy_(self.slow.down[expert], non_blocking=True)
