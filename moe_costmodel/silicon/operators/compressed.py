"""Times of compressed attention and of hyper-connections (DeepSeek-V4)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

import numpy as np

from moe_costmodel._arrays import Floats
from moe_costmodel.models.attention import Attention
from moe_costmodel.shapes import DTYPE_BYTES, OPERAND_BYTES
from moe_costmodel.silicon.tables.gpu import Gpu
from moe_costmodel.silicon.tables.reader import OperatorTime, Tables
from moe_costmodel.silicon.tables.slices import Bound, Slice, bound_at, cut

__all__ = ["CompressedTimes", "HyperTimes", "local_products"]

_START = 2e-6  # seconds that the smallest kernel takes
_NUMBERS = ("batch_size", "isl", "step", "tp_size", "latency")
_TEXTS = ("model", "gemm_type", "kernel_source")
# Sizes of the measured models: tokens, heads, ranks of queries and outputs, groups, width of an
# entry, window, and the indexer's heads, width and choice.
_MEASURED = {
    (4096, 64, 1024, 1024, 8, 512, 128, 64, 128, 512): "sgl-project/DeepSeek-V4-Flash-FP8",
    (7168, 128, 1536, 1024, 16, 512, 128, 64, 128, 1024): "sgl-project/DeepSeek-V4-Pro-FP8",
}
_TABLES = {4: "csa", 128: "hca"}  # by the tokens of an entry
_ALL = 2.0**60  # more entries than any context has
_SITES = 2  # hyper-connections of a layer, which the tables measure together


def local_products(shape: Attention, d_model: int, tp: int) -> list[tuple[float, float]]:
    """Return the inner and outer widths of the products on one GPU of a tensor-parallel group.

    Queries of heads, and both products of their outputs, are divided.
    """
    latent, queries, *copied, heads, output = shape.products(d_model)
    return [
        latent,
        (queries[0], queries[1] / tp),
        *copied,
        (heads[0], heads[1] / tp),
        (output[0] / tp, output[1]),
    ]


class CompressedTimes:
    """Compressed attention of one GPU and engine, with its products."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._slice = cache(self._build)

    def core(
        self, shape: Attention, tp: int, n: float, new: float, before: float, kv_dtype: str
    ) -> OperatorTime:
        """Return the bound of the attention of `n` sequences, without products.

        Each has `new` tokens, and `before` earlier ones.
        """
        bound = _core_bound(self._tables.gpu, shape, tp, kv_dtype)
        seconds = bound_at(bound, batch_size=n, isl=new, step=before)
        phase = "decode" if new == 1 else "prefill"
        return OperatorTime(f"compressed {phase}", seconds, "bound", "none", float("inf"))

    def module(
        self, shape: Attention, d_model: int, tp: int, n: float, new: float, before: float,
        dtype: str, kv_dtype: str, *, prefill: bool,
    ) -> OperatorTime | None:  # fmt: skip
        """Return the measured time of a layer's attention with its products, None if not measured.

        No table has a layer with a window alone. Its time is that of a layer with entries of 128
        tokens, less the difference of their bounds.
        """
        name = f"compressed {'prefill' if prefill else 'decode'}"
        found = self._slice(shape, d_model, tp, dtype, kv_dtype, prefill)
        if found is None:
            return None
        point = {"batch_size": n, "step": before} | ({"isl": new} if prefill else {})
        time = found.time(name, **point)
        gpu = self._tables.gpu
        if not shape.compression:
            alone, measured = (
                bound_at(_module_bound(gpu, each, d_model, tp, dtype, kv_dtype), **point)
                for each in (shape, _entries(shape))
            )
            kernel = f"{time.kernel}, of the window"
            time = replace(time, seconds=time.seconds - measured + alone, kernel=kernel)
        # A benchmark repeats a layer, so small weights and a small cache stay in the GPU's own.
        least = self.read_seconds(shape, d_model, tp, dtype)
        least += gpu.read_seconds(n * _read(shape, before, new) * DTYPE_BYTES.get(kv_dtype, 2.0))
        return replace(time, seconds=max(time.seconds, least))

    def read_seconds(self, shape: Attention, d_model: int, tp: int, dtype: str) -> float:
        """Return the seconds of reading the weights of the products."""
        weights = sum(k * m for k, m in local_products(shape, d_model, tp))
        return self._tables.gpu.read_seconds(weights * DTYPE_BYTES.get(dtype, 2.0))

    def _build(
        self, shape: Attention, d_model: int, tp: int, dtype: str, kv_dtype: str, prefill: bool
    ) -> Slice | None:
        with_entries = shape if shape.compression else _entries(shape)
        model, table = _measured(with_entries, d_model), _TABLES.get(with_entries.compression)
        if model is None or table is None:
            return None
        phase = "context" if prefill else "generation"
        rows = self._tables.read(
            "sparse_attention", f"dsv4_{table}_{phase}_module", _NUMBERS, _TEXTS
        )
        plain = OPERAND_BYTES.get(dtype, 2.0) >= 2.0
        types = ("bfloat16", "fp8_block") if plain else ("fp8_block", "bfloat16")
        wanted = [{"model": model, "tp_size": tp, "gemm_type": name} for name in types]
        axes = ("isl", "step", "batch_size") if prefill else ("step", "batch_size")
        bound = _module_bound(self._tables.gpu, with_entries, d_model, tp, dtype, kv_dtype)
        return cut(rows, wanted, axes, bound)


class HyperTimes:
    """Hyper-connections of one GPU and engine."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._slice = cache(self._build)

    def time(self, part: str, d_model: int, streams: int, tokens: float) -> OperatorTime:
        """Return the time before ("pre") or after ("post") both parts of a layer."""
        point = {"hidden_size": float(d_model), "num_tokens": tokens}
        found = self._slice(part, streams)
        if found is None:
            seconds = bound_at(_mixing_bound(self._tables.gpu, part, streams), **point)
            return OperatorTime("hyper-connections", seconds, "bound", "none", float("inf"))
        return found.time("hyper-connections", **point)

    def _build(self, part: str, streams: int) -> Slice | None:
        numbers = ("num_tokens", "num_sites", "hidden_size", "hc_mult", "latency")
        rows = self._tables.read("mhc", "mhc_module", numbers, ("op_name", "kernel_source"))
        wanted = [{"op_name": part, "hc_mult": streams, "num_sites": _SITES}]
        bound = _mixing_bound(self._tables.gpu, part, streams)
        return cut(rows, wanted, ("hidden_size", "num_tokens"), bound)


def _mixing_bound(gpu: Gpu, part: str, streams: int) -> Bound:
    """Return the time of reading all streams and writing one ("pre"), or all again ("post")."""
    passes = streams + 1 if part == "pre" else 2 * streams + 1

    def bound(point: Mapping[str, Floats]) -> Floats:
        data = 2.0 * passes * point["num_tokens"] * point["hidden_size"]
        found: Floats = _SITES * (_START + data / gpu.bandwidth)
        return found

    return bound


def _entries(shape: Attention) -> Attention:
    """Return the attention of a layer whose entries have 128 tokens."""
    return replace(shape, compression=128, index_heads=0, index_dim=0, index_topk=0)


def _measured(shape: Attention, d_model: int) -> str | None:
    sizes = (
        d_model, shape.n_heads, shape.q_rank, shape.output_rank, shape.output_groups,
        shape.head_dim, shape.window,
    )  # fmt: skip
    index = (shape.index_heads, shape.index_dim, shape.index_topk)
    for known, name in _MEASURED.items():
        if sizes == known[:7] and index in (known[7:], (0, 0, 0)):
            return name
    return None


def _read(shape: Attention, before: float, new: float) -> float:
    """Return the values of the cache that a sequence's attention reads at least once."""
    context = before + new
    entries = context / shape.compression if shape.compression else 0.0
    index = entries * shape.index_dim
    kept = min(entries, shape.index_topk * new) if shape.index_topk else entries
    return (min(context, shape.window + new - 1) + kept) * shape.head_dim + index


def _pairs(before: Floats, new: Floats, tokens: float, most: float) -> Floats:
    """Return the entries of `tokens` tokens that new tokens see, at most `most` each."""

    def until(x: Floats) -> Floats:
        full = np.minimum(x, most * tokens)
        found: Floats = full * full / (2 * tokens) + np.maximum(x - full, 0.0) * most
        return found

    return until(before + new) - until(before)


def _core_bound(gpu: Gpu, shape: Attention, tp: int, kv_dtype: str) -> Bound:
    heads, width = max(1.0, shape.n_heads / tp), DTYPE_BYTES.get(kv_dtype, 2.0)

    def bound(point: Mapping[str, Floats]) -> Floats:
        n, before = point["batch_size"], point["step"]
        new = point.get("isl", np.asarray(1.0))
        pairs = _pairs(before, new, 1.0, float(shape.window))
        read = np.minimum(before + new, shape.window + new - 1) * shape.head_dim
        index: Floats = np.asarray(0.0)
        if shape.compression:
            most = float(shape.index_topk) or _ALL
            entries = (before + new) / shape.compression
            pairs = pairs + _pairs(before, new, shape.compression, most)
            read = read + np.minimum(entries, most * new) * shape.head_dim
            if shape.index_heads:
                scored = n * _pairs(before, new, shape.compression, _ALL)
                operations = 2.0 * scored * shape.index_heads * shape.index_dim
                data = n * entries * shape.index_dim + 4.0 * scored  # keys of one byte
                index = _START + np.maximum(
                    operations / gpu.operations["fp8"], data / gpu.bandwidth
                )
        operations = 4.0 * n * heads * shape.head_dim * pairs
        data = n * read * width
        found: Floats = _START + index
        return found + np.maximum(operations / gpu.operations["bf16"], data / gpu.bandwidth)

    return bound


def _module_bound(
    gpu: Gpu, shape: Attention, d_model: int, tp: int, dtype: str, kv_dtype: str
) -> Bound:
    core, products = _core_bound(gpu, shape, tp, kv_dtype), local_products(shape, d_model, tp)

    def bound(point: Mapping[str, Floats]) -> Floats:
        tokens = point["batch_size"] * point.get("isl", np.asarray(1.0))
        found = core(point)
        for k, n in products:
            found = found + gpu.product_bounds(tokens, np.asarray(n), np.asarray(k), dtype)
        return found

    return bound
