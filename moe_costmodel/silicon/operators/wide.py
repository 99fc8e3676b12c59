"""Tables of wide expert parallelism: experts with slots, DeepEP's exchanges, attention modules."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np

from moe_costmodel._arrays import Array, Floats
from moe_costmodel.models.attention import Attention
from moe_costmodel.models.shape import ExpertShape
from moe_costmodel.shapes import DTYPE_BYTES
from moe_costmodel.silicon.operators.experts import active_experts
from moe_costmodel.silicon.tables.gpu import Gpu
from moe_costmodel.silicon.tables.reader import OperatorTime, Table, Tables
from moe_costmodel.silicon.tables.slices import Bound, Slice, cut

__all__ = ["EXCHANGE_PROCESSORS", "WideTables", "sizes_in_words"]

_SIZES = ("hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size", "moe_ep_size")
EXCHANGE_PROCESSORS = 20
"""DeepEP's default number of processors for exchanges with high throughput."""


class WideTables:
    """Kernels of wide expert parallelism of one GPU.

    Rows are kept apart by everything that changes their work: the number of slots (experts and
    copies), whether EPLB placed them (``_eplb``), and the distribution of loads. The coordinate is
    the tokens of all devices.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._cut_experts = cache(self._build_experts)
        self._cut_exchange = cache(self._build_exchange)
        self._cut_attention = cache(self._build_attention)

    def experts(
        self,
        experts: ExpertShape,
        d_model: int,
        tokens: float,
        *,
        ep: int,
        n_slots: int,
        prefill: bool,
        distribution: str,
    ) -> OperatorTime | None:
        """Return the time of the busiest device's experts, None if no table has them.

        The distribution "uniform" is that of an even load; TensorRT-LLM's tables have
        "power_law_1.01_eplb" and others, with their slots.
        """
        found = self._cut_experts(experts, d_model, n_slots, prefill, distribution)
        return (
            None if found is None else found.time("wide experts", moe_ep_size=ep, num_tokens=tokens)
        )

    def measured_experts(self, *, prefill: bool) -> list[str]:
        """Return the sizes of the layers of experts that the tables hold, in words."""
        phase = "context" if prefill else "generation"
        engine = "trtllm" if self._tables.backend == "trtllm" else "sglang"
        name = "wideep_moe" if engine == "trtllm" else f"wideep_{phase}_moe"
        numbers, texts = (*_SIZES, "num_tokens", "latency"), ("moe_dtype", "distribution")
        found = set()
        for table in self._tables.read("moe", name, numbers, texts, only=engine):
            columns = (table.columns[c] for c in ("num_experts", "inter_size", "topk", _SIZES[0]))
            found |= {tuple(map(int, row)) for row in zip(*columns, strict=True)}
        return [sizes_in_words(*sizes) for sizes in sorted(found)]

    def exchange(
        self,
        experts: ExpertShape,
        d_model: int,
        tokens: float,
        *,
        nodes: float,
        phase: str,
        fast: bool,
    ) -> OperatorTime | None:
        """Return the time of DeepEP's dispatch or combine.

        Tokens are those of one device; `fast` stands for the kernels of low latency.
        """
        found = self._cut_exchange(experts, d_model, phase, fast)
        if found is None:
            return None
        return found.time(f"exchange {phase}", node_num=nodes, num_token=tokens)

    def attention(
        self, shape: Attention, d_model: int, n: float, length: float, *, prefill: bool
    ) -> OperatorTime | None:
        """Return the time of a whole module of latent attention on one device."""
        found = self._cut_attention(shape, d_model, prefill)
        if found is None:
            return None
        point = {"batch_size": n, "num_heads": float(shape.n_heads), "isl": length}
        return found.time("attention module", **point)

    # ------------------------------------------------------------------------------------ tables

    def _build_experts(
        self, experts: ExpertShape, d_model: int, n_slots: int, prefill: bool, distribution: str
    ) -> Slice | None:
        numbers = (*_SIZES, "num_tokens", "latency")
        texts = ("moe_dtype", "distribution", "kernel_source")
        sizes: dict[str, object] = {
            "hidden_size": d_model, "inter_size": experts.d_ffn, "topk": experts.k,
            "num_experts": experts.n_experts, "distribution": distribution,
        }  # fmt: skip
        phase = "context" if prefill else "generation"
        bound = _experts_bound(self._tables.gpu, experts, d_model)
        if self._tables.backend == "trtllm":
            rows = self._tables.read(
                "moe", "wideep_moe", (*numbers, "num_slots"), texts, only="trtllm"
            )
            wanted: list[Mapping[str, object]] = [{**sizes, "num_slots": n_slots}]
        else:
            rows = self._tables.read("moe", f"wideep_{phase}_moe", numbers, texts, only="sglang")
            wanted = [sizes]
        return cut(rows, wanted, ("moe_ep_size", "num_tokens"), bound)

    def _build_exchange(
        self, experts: ExpertShape, d_model: int, phase: str, fast: bool
    ) -> Slice | None:
        kind = "ll" if fast else "normal"
        column = f"{phase}_avg_t_us" if fast else f"{phase}_transmit_us"
        numbers = ["node_num", "hidden_size", "num_token", "num_topk", "num_experts", column]
        numbers += [] if fast else [f"{phase}_sms"]
        tables = self._tables.read(
            "comm", f"wideep_deepep_{kind}", numbers, ("kernel_source",), only="sglang"
        )
        renamed = [_in_ms(table, column) for table in tables]
        # Those of several nodes say more than the newest.
        renamed.sort(key=lambda table: -int(table.columns["node_num"].max()))
        wanted: dict[str, object] = {
            "hidden_size": d_model, "num_topk": experts.k, "num_experts": experts.n_experts,
        }  # fmt: skip
        if not fast:
            wanted[f"{phase}_sms"] = EXCHANGE_PROCESSORS
        # A token goes once to each device that has one of its experts, in fp8, and comes back in
        # two bytes.
        width = 1.0 if phase == "dispatch" else 2.0
        gpu = self._tables.gpu

        def bound(point: Mapping[str, Floats]) -> Floats:
            nodes = point["node_num"]
            data = point["num_token"] * experts.k * d_model * width
            away = data * (nodes - 1) / nodes
            return 1e-5 + data / gpu.node_bandwidth + away / gpu.network_bandwidth

        return cut(renamed, [wanted], ("node_num", "num_token"), bound)

    def _build_attention(self, shape: Attention, d_model: int, prefill: bool) -> Slice | None:
        phase = "context" if prefill else "generation"
        numbers = ("batch_size", "isl", "num_heads", "latency")
        tables = list(
            self._tables.read(
                "mla", f"wideep_{phase}_mla", numbers, ("kernel_source",), only="sglang"
            )
        )
        bound = _module_bound(self._tables.gpu, shape, d_model, prefill)
        # Versions complete each other: the newest lacks long contexts of large batches.
        pieces = {name: np.concatenate([t.columns[name] for t in tables]) for name in
                  (*numbers, "kernel_source")} if tables else {}  # fmt: skip
        merged = [Table("/".join(t.source for t in tables), pieces)] if tables else []
        return cut(merged, [{"num_heads": shape.n_heads}, {}], ("num_heads", "isl", "batch_size"),
                   bound)  # fmt: skip


def sizes_in_words(n_experts: int, d_ffn: int, k: int, d_model: int) -> str:
    """Return the sizes of a layer of experts in words."""
    return f"{n_experts} experts of width {d_ffn}, {k} a token, tokens of {d_model} values"


def _in_ms(table: Table, column: str) -> Table:
    columns: dict[str, Array] = dict(table.columns)
    columns["latency"] = columns.pop(column) / 1e3
    return Table(table.source, columns)


def _experts_bound(gpu: Gpu, experts: ExpertShape, d_model: int) -> Bound:
    weights = 3.0 * d_model * experts.d_ffn

    def bound(point: Mapping[str, Floats]) -> Floats:
        ep, tokens = point["moe_ep_size"], point["num_tokens"]
        active = active_experts(tokens, experts.k, experts.n_experts, experts.n_experts / ep)
        rows = tokens * experts.k / ep
        data = active * weights * DTYPE_BYTES["fp8"] + rows * d_model * 3.0
        return 5e-6 + np.maximum(2.0 * rows * weights / gpu.operations["fp8"], data / gpu.bandwidth)

    return bound


def _module_bound(gpu: Gpu, shape: Attention, d_model: int, prefill: bool) -> Bound:
    weights = float(shape.parameters(d_model))
    keys, values = shape.head_dim + shape.rope_dim, shape.v_head_dim

    def bound(point: Mapping[str, Floats]) -> Floats:
        n, length, h = point["batch_size"], point["isl"], point["num_heads"]
        if prefill:
            inner = 2.0 * n * h * length * length / 2 * (keys + values)
            products = 2.0 * n * length * weights
            return 1e-5 + inner / gpu.operations["bf16"] + products / gpu.operations["fp8"]
        inner = 2.0 * n * h * length * (2 * shape.kv_rank + shape.rope_dim)
        data = weights + n * length * (shape.kv_rank + shape.rope_dim)
        work = inner / gpu.operations["bf16"] + 2.0 * n * weights / gpu.operations["fp8"]
        return 1e-5 + np.maximum(work, data / gpu.bandwidth)

    return bound
