"""Times of attention: grouped-query, latent, sparse, linear, and Mamba-2."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np

from moe_costmodel._arrays import Floats
from moe_costmodel.models.attention import Attention
from moe_costmodel.shapes import DTYPE_BYTES
from moe_costmodel.silicon.operators.delta import DeltaTimes
from moe_costmodel.silicon.tables.gpu import Gpu
from moe_costmodel.silicon.tables.reader import OperatorTime, Tables
from moe_costmodel.silicon.tables.slices import Bound, Slice, bound_at, cut

__all__ = ["AttentionTimes"]

_START = 2e-6  # seconds that the smallest kernel takes
_COMMON = ("batch_size", "isl", "num_heads", "latency", "step")
_CACHES = {"fp8": ("fp8", "bfloat16"), "bfloat16": ("bfloat16", "fp8")}


class AttentionTimes:
    """Attention of one GPU and engine; heads are those of one device."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._slice = cache(self._build)
        self._delta_slices = cache(self._build_delta)
        self._kimi = DeltaTimes(tables)

    def prefill(
        self, shape: Attention, heads: int, kv_heads: int, n: float, length: float, kv_dtype: str
    ) -> OperatorTime:
        """Return the time of the attention of `n` new sequences of `length` tokens each."""
        operator = f"{shape.kind} prefill"
        if shape.has_state:
            return self._delta(shape, "context", heads, n, length)
        found = self._slice(shape, "context", heads, kv_heads, kv_dtype)
        if found is None:
            bound = _prefill_bound(self._tables.gpu, shape, heads, kv_heads)
            seconds = bound_at(bound, batch_size=n, isl=length)
            return OperatorTime(operator, seconds, "bound", "none", float("inf"))
        time = found.time(operator, batch_size=n, isl=length, num_heads=heads)
        if shape.kind == "gqa" and 0 < shape.index_topk < length:
            # The table has all pairs of tokens; a sparse kernel computes those that are kept.
            point = {"batch_size": n, "isl": length}
            sparse, dense = (
                float(bound_at(_prefill_bound(self._tables.gpu, each, heads, kv_heads), **point))
                for each in (shape, replace(shape, index_topk=0))
            )
            kernel = f"{time.kernel}, of kept tokens"
            time = replace(time, seconds=time.seconds * sparse / dense, kernel=kernel)
        return time

    def chunk(
        self,
        shape: Attention,
        heads: int,
        kv_heads: int,
        length: float,
        prefix: float,
        kv_dtype: str,
    ) -> OperatorTime:
        """Return the time of a chunk of one prompt: that of the whole less that of its prefix."""
        whole = self.prefill(shape, heads, kv_heads, 1, prefix + length, kv_dtype)
        if prefix <= 0 or shape.has_state:
            if shape.has_state:
                return self.prefill(shape, heads, kv_heads, 1, length, kv_dtype)
            return whole
        before = self.prefill(shape, heads, kv_heads, 1, prefix, kv_dtype)
        alone = self.prefill(shape, heads, kv_heads, 1, length, kv_dtype)
        seconds = max(whole.seconds - before.seconds, alone.seconds)
        return OperatorTime(whole.operator, seconds, whole.kernel, whole.source, whole.outside)

    def decode(
        self, shape: Attention, heads: int, kv_heads: int, n: float, context: float, kv_dtype: str
    ) -> OperatorTime:
        """Return the time of the attention of one new token of `n` sequences."""
        operator = f"{shape.kind} decode"
        if shape.has_state:
            return self._delta(shape, "generation", heads, n, 1)
        found = self._slice(shape, "generation", heads, kv_heads, kv_dtype)
        kept = min(context, shape.window or shape.index_topk or context)
        if shape.index_topk:
            context = kept
        if found is None:
            bound = _decode_bound(self._tables.gpu, shape, heads, kv_heads, kv_dtype)
            seconds = bound_at(bound, batch_size=n, step=kept)
            return OperatorTime(operator, seconds, "bound", "none", float("inf"))
        # Tables of windows hold the whole context as coordinate.
        time = found.time(operator, batch_size=n, step=context, num_heads=heads)
        # A benchmark repeats a step, so a small cache stays in the GPU's own; a model's does not.
        data = n * kept * _cache_values(shape, kv_heads) * DTYPE_BYTES.get(kv_dtype, 2.0)
        least = self._tables.gpu.read_seconds(data)
        return replace(time, seconds=max(time.seconds, least))

    # ------------------------------------------------------------------------------------ tables

    def _build(
        self, shape: Attention, phase: str, heads: int, kv_heads: int, kv_dtype: str
    ) -> Slice | None:
        gpu, prefill = self._tables.gpu, phase == "context"
        bound: Bound = (
            _prefill_bound(gpu, shape, heads, kv_heads)
            if prefill
            else _decode_bound(gpu, shape, heads, kv_heads, kv_dtype)
        )
        last = "isl" if prefill else "step"
        caches = _CACHES.get(kv_dtype, ("bfloat16",))
        if shape.kind == "mla":
            rows = self._tables.read(
                "mla", f"{phase}_mla", _COMMON, ("kv_cache_dtype", "kernel_source")
            )
            wanted: list[dict[str, object]] = [{"kv_cache_dtype": name} for name in caches]
            return cut(rows, wanted, ("num_heads", last, "batch_size"), bound)
        numbers = (*_COMMON, "num_key_value_heads", "head_dim", "window_size")
        rows = self._tables.read(
            "attention", f"{phase}_attention", numbers, ("kv_cache_dtype", "kernel_source")
        )
        window = {shape.window, 0}
        wanted = [
            {"kv_cache_dtype": name, "head_dim": width, "window_size": size, **heads_of}
            for size in sorted(window, reverse=True)
            for heads_of in ({"num_key_value_heads": kv_heads}, {"num_key_value_heads": 1}, {})
            for name in caches
            for width in (shape.head_dim, 128)
        ]
        return cut(rows, wanted, ("num_heads", last, "batch_size"), bound)

    def _delta(
        self, shape: Attention, phase: str, heads: int, n: float, length: float
    ) -> OperatorTime:
        if shape.kind == "kda":
            return self._kimi.time(shape, phase, heads, n, length)
        slices = self._delta_slices(phase) if shape.kind == "linear" else []
        operator = "delta" if shape.kind == "linear" else shape.kind
        operator += " prefill" if phase == "context" else " decode"
        if not slices:
            seconds = _START + _state_traffic(shape, heads, n, length) / self._tables.gpu.bandwidth
            return OperatorTime(operator, seconds, "bound", "none", float("inf"))
        point = {"batch_size": n, "num_v_heads": float(heads)}
        point |= {"seq_len": length} if phase == "context" else {}
        parts = [piece.time(operator, **point) for piece in slices]
        return OperatorTime(
            operator,
            sum(part.seconds for part in parts),
            "+".join(part.kernel for part in parts),
            parts[0].source,
            max(part.outside for part in parts),
        )

    def _build_delta(self, phase: str) -> list[Slice]:
        numbers = ("batch_size", "seq_len", "num_k_heads", "head_k_dim", "num_v_heads", "latency")
        rows = list(
            self._tables.read("linear_attention", "gdn", numbers, ("phase", "kernel_source"))
        )
        axes: tuple[str, ...] = ("num_v_heads", "batch_size")
        if phase == "context":
            axes = ("num_v_heads", "seq_len", "batch_size")
        found = []
        for table in rows[:1]:
            for kernel in sorted(set(table.columns["kernel_source"][table.where(phase=phase)])):
                piece = cut([table], [{"phase": phase, "kernel_source": kernel}], axes, _tokens)
                if piece is not None:
                    found.append(piece)
        return found


def _state_traffic(shape: Attention, heads: int, n: float, length: float) -> float:
    """Return the bytes that a recurrence without a table moves at least."""
    if shape.kind == "conv":  # four vectors in 16 bits, and the last tokens before and after
        return n * heads * (8.0 * length + 4.0 * max(shape.conv_kernel - 1, 0))
    state = shape.head_dim * shape.v_head_dim * heads * n * 8.0
    if shape.kind == "mamba1":  # a scan keeps the state; it reads three vectors and writes one
        return state + 8.0 * n * heads * length
    return state * max(length / 64, 1.0)


def _tokens(point: Mapping[str, Floats]) -> Floats:
    """Return a bound that grows with tokens and heads."""
    return 1e-6 + 1e-12 * point["batch_size"] * point.get("seq_len", 1.0) * point["num_v_heads"]


def _prefill_bound(gpu: Gpu, shape: Attention, heads: int, kv_heads: int) -> Bound:
    keys, values = shape.head_dim + shape.rope_dim, shape.v_head_dim

    def bound(point: Mapping[str, Floats]) -> Floats:
        n, length, h = (
            point["batch_size"],
            point["isl"],
            point.get("num_heads", np.asarray(heads, dtype=np.float64)),
        )
        seen = length * (length + 1) / 2
        if shape.window or shape.index_topk:
            seen = np.minimum(seen, length * (shape.window or shape.index_topk))
        operations = 2.0 * n * h * seen * (keys + values)
        data = 2.0 * n * length * (h * (keys + values) + kv_heads * (keys + values))
        return _START + np.maximum(operations / gpu.operations["bf16"], data / gpu.bandwidth)

    return bound


def _cache_values(shape: Attention, kv_heads: int) -> int:
    """Return the values of the cache that a device reads for each token of the context."""
    if shape.kind == "mla":
        return shape.kv_rank + shape.rope_dim
    return kv_heads * (shape.head_dim + shape.v_head_dim)


def _decode_bound(gpu: Gpu, shape: Attention, heads: int, kv_heads: int, kv_dtype: str) -> Bound:
    width = DTYPE_BYTES.get(kv_dtype, 2.0)
    latent, values = shape.kind == "mla", _cache_values(shape, kv_heads)

    def bound(point: Mapping[str, Floats]) -> Floats:
        n, context = point["batch_size"], point["step"]
        h = point.get("num_heads", np.asarray(heads, dtype=np.float64))
        kept = np.minimum(context, shape.window) if shape.window else context
        each = 2 * shape.kv_rank + shape.rope_dim if latent else shape.head_dim + shape.v_head_dim
        operations = 2.0 * n * h * kept * each
        data = n * kept * values * width
        return _START + np.maximum(operations / gpu.operations["bf16"], data / gpu.bandwidth)

    return bound
