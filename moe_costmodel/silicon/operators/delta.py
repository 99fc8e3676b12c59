"""Times of Kimi delta attention: convolution and recurrence, without products."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np

from moe_costmodel._arrays import Floats
from moe_costmodel.models.attention import Attention
from moe_costmodel.silicon.tables.gpu import Gpu
from moe_costmodel.silicon.tables.reader import BACKENDS, OperatorTime, Tables
from moe_costmodel.silicon.tables.slices import Bound, Slice, bound_at, cut

__all__ = ["DeltaTimes"]

_START = 2e-6  # seconds that the smallest kernel takes
_NUMBERS = ("batch_size", "seq_len", "num_v_heads", "head_v_dim", "d_conv", "latency")
# Kernels of a step, by alternatives.
_KERNELS = {
    "context": [["causal_conv1d_fn_qkv3", "chunk_kda"], ["causal_conv1d_fn_qkv3", "flashkda_fwd"]],
    "generation": [
        ["kda_fused_decode"], ["fused_kda_decode"],
        ["causal_conv1d_update", "fused_recurrent_kda_packed_decode"],
    ],
}  # fmt: skip
# A kernel that another engine runs in less than this fraction was measured without a CUDA graph,
# and took as long as the host needs to start it.
_HOST_BOUND = 2.0


class DeltaTimes:
    """Kimi delta attention of one GPU and engine; heads are those of one device."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._slice = cache(self._build)

    def time(
        self, shape: Attention, phase: str, heads: int, n: float, length: float
    ) -> OperatorTime:
        """Return the time for `n` sequences of `length` new tokens.

        Of the engine's own kernels, the fastest of those that were measured nearest count.
        """
        operator = "kda prefill" if phase == "context" else "kda decode"
        point = {"batch_size": n, "num_v_heads": float(heads)}
        point |= {"seq_len": length} if phase == "context" else {}
        for backend in (self._tables.backend, *BACKENDS):
            chosen = (
                self._kernels(shape, backend, phase, names, point) for names in _KERNELS[phase]
            )
            measured = [_together(operator, parts) for parts in chosen if parts]
            if measured:
                best = min(measured, key=lambda time: (time.outside, time.seconds))
                # The state is read and written, and a benchmark keeps a small one in the cache.
                state = 8.0 * n * heads * shape.head_dim * shape.v_head_dim
                least = self._tables.gpu.read_seconds(state)
                return replace(best, seconds=max(best.seconds, least))
        seconds = bound_at(_bound(self._tables.gpu, shape), **point)
        return OperatorTime(operator, seconds, "bound", "none", float("inf"))

    def _kernels(
        self, shape: Attention, backend: str, phase: str, names: list[str],
        point: Mapping[str, float],
    ) -> list[OperatorTime]:  # fmt: skip
        """Return the times of some kernels of an engine, none if it lacks one."""
        sizes = (shape.v_head_dim, shape.conv_kernel)
        found = []
        for name in names:
            piece = self._slice(phase, name, backend, sizes)
            if piece is None:
                return []
            time = piece.time("kda", **point)
            for other in BACKENDS:
                piece = self._slice(phase, name, other, sizes) if other != backend else None
                if piece is not None:
                    stand_in = piece.time("kda", **point)
                    if stand_in.seconds * _HOST_BOUND < time.seconds:
                        time = stand_in
            found.append(time)
        return found

    def _build(self, phase: str, kernel: str, backend: str, sizes: tuple[int, int]) -> Slice | None:
        rows = self._tables.read("kda", "kda", _NUMBERS, ("phase", "kernel_source"), only=backend)
        width, conv = sizes
        wanted = [{"phase": phase, "kernel_source": kernel, "head_v_dim": width, "d_conv": conv}]
        axes: tuple[str, ...] = ("num_v_heads", "batch_size")
        if phase == "context":
            axes = ("num_v_heads", "seq_len", "batch_size")
        shape = Attention(kind="kda", n_heads=1, n_kv_heads=1, head_dim=width, conv_kernel=conv)
        return cut(rows, wanted, axes, _bound(self._tables.gpu, shape))


def _together(operator: str, parts: list[OperatorTime]) -> OperatorTime:
    """Return the time of some kernels, one after another."""
    return OperatorTime(
        operator,
        sum(part.seconds for part in parts),
        "+".join(part.kernel for part in parts),
        "/".join(dict.fromkeys(part.source for part in parts)),
        max(part.outside for part in parts),
    )


def _bound(gpu: Gpu, shape: Attention) -> Bound:
    """Return the bound of reading and writing states, and tokens of six vectors for each head."""
    width = shape.head_dim

    def bound(point: Mapping[str, Floats]) -> Floats:
        heads, n = point["num_v_heads"], point["batch_size"]
        length = point.get("seq_len", np.asarray(1.0))
        data = 8.0 * n * heads * width * shape.v_head_dim + 12.0 * n * length * heads * width
        operations = 6.0 * n * length * heads * width * shape.v_head_dim
        found: Floats = _START + np.maximum(
            data / gpu.bandwidth, operations / gpu.operations["bf16"]
        )
        return found

    return bound
