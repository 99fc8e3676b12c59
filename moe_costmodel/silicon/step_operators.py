"""The operators of one step of a model on GPUs, one after another, with their times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace

from moe_costmodel.models.attention import Attention
from moe_costmodel.models.shape import Block, ExpertShape, ModelShape
from moe_costmodel.silicon.layout import Layout
from moe_costmodel.silicon.operators.attention import AttentionTimes
from moe_costmodel.silicon.operators.compressed import (
    CompressedTimes,
    HyperTimes,
    local_products,
)
from moe_costmodel.silicon.operators.exchange import Exchanges
from moe_costmodel.silicon.operators.experts import ExpertTimes
from moe_costmodel.silicon.operators.products import Products
from moe_costmodel.silicon.step_time import Chunk
from moe_costmodel.silicon.tables.gpu import Gpu
from moe_costmodel.silicon.tables.reader import OperatorTime, Tables

# Types that stand for others in products.
_PRODUCT_TYPES = {
    "int8_wo_g64": "int8_wo", "int8_wo_g128": "int8_wo", "w4afp8": "fp8",
}  # fmt: skip
# Passes over the tokens' values of a layer that no table has: two norms, with residuals, each
# reading and writing twice.
_PASSES = 8
_SMALL_KERNEL = 2e-6  # seconds of a kernel that has next to nothing to do, in a CUDA graph


class OperatorTimes:
    """Times of all kinds of operators on one GPU.

    Attributes
    ----------
    gpu : Gpu
    products, attention, compressed, hyper, experts, exchanges
        Times of each kind, read from the tables when they are first used.
    """

    def __init__(self, tables: Tables) -> None:
        self.gpu: Gpu = tables.gpu
        self.products = Products(tables)
        self.attention = AttentionTimes(tables)
        self.compressed = CompressedTimes(tables)
        self.hyper = HyperTimes(tables)
        self.experts = ExpertTimes(tables)
        self.exchanges = Exchanges(tables)


@dataclass
class StepOperators:
    """Operators of one step.

    Parameters
    ----------
    times : OperatorTimes
        Kernels of the GPU.
    shape, layout : ModelShape, Layout
        The model, and its division over GPUs.
    n, context : float
        Running sequences of each data-parallel rank, and the tokens that each has.
    chunks : tuple of Chunk
        New tokens of prompts on each rank.
    kv_dtype : str
        Type of the cache.
    tokens, all_tokens : float
        Tokens of this rank, and of all data-parallel ranks together.
    """

    times: OperatorTimes
    shape: ModelShape
    layout: Layout
    n: float
    context: float
    chunks: tuple[Chunk, ...]
    kv_dtype: str
    tokens: float
    all_tokens: float

    def each(self) -> Iterator[OperatorTime]:
        """Yield all operators, with seconds over all layers."""
        for block in self.shape.blocks:
            for operator in self._layer(block):
                yield operator.times(block.n_layers)
        samples = self.n + sum(chunk.last for chunk in self.chunks)
        vocabulary = self.shape.vocabulary / self.layout.tp
        if samples:
            yield self._product(samples, vocabulary, self.shape.d_model, "head", "head")
        if self.layout.pp > 1:
            data = self.tokens * self.shape.d_model * 2.0
            gpu = self.times.gpu
            within = self.layout.n_gpus <= gpu.n_per_node
            rate = gpu.node_bandwidth if within else gpu.network_bandwidth
            seconds = (self.layout.pp - 1) * (1e-5 + data / rate)
            yield OperatorTime("exchange stages", seconds, "bound", "data sheet", 1.0)

    def _product(self, m: float, n: float, k: float, part: str, operator: str) -> OperatorTime:
        dtype = self.shape.dtypes[part]
        dtype = _PRODUCT_TYPES.get(dtype, dtype)
        return self.times.products.time(m, n, k, dtype, operator)

    def _layer(self, block: Block) -> Iterator[OperatorTime]:
        yield from self._attention(block.attention)
        if self.shape.residual_blocks:
            yield self._residuals()
        yield self._passes(2 if block.experts is not None or block.d_ffn else 1)
        if self.shape.streams > 1:
            for part in ("pre", "post"):
                yield self.times.hyper.time(
                    part, self.shape.d_model, self.shape.streams, self.tokens
                )
        if block.experts is not None:
            yield from self._moe(block.experts)
        elif block.d_ffn:
            width, d = block.d_ffn / self.layout.tp, self.shape.d_model
            yield self._product(self.tokens, (1 + block.gated) * width, d, "dense", "dense")
            yield self._product(self.tokens, d, width, "dense", "dense")
            yield from self._sum()

    def _passes(self, norms: int) -> OperatorTime:
        gpu = self.times.gpu
        # Hyper-connections read and write the residuals.
        passes = _PASSES / 2 if self.shape.streams == 1 else _PASSES / 4
        seconds = passes * norms * self.tokens * self.shape.d_model * 2.0 / gpu.bandwidth
        return OperatorTime("norms", seconds + norms * _SMALL_KERNEL, "bound", "data sheet")

    def _residuals(self) -> OperatorTime:
        """Return the bound of attention residuals before both parts of a layer.

        Each reads the sums of half of the blocks on average, and that of its own; it writes one.
        """
        gpu = self.times.gpu
        vectors = 2 * ((self.shape.residual_blocks + 1) / 2 + 2)
        seconds = vectors * self.tokens * self.shape.d_model * 2.0 / gpu.bandwidth
        return OperatorTime("residuals", seconds + 2 * _SMALL_KERNEL, "bound", "data sheet")

    def _sum(self, width: int = 0) -> Iterator[OperatorTime]:
        if self.layout.tp == 1:
            return
        values = self.tokens * (width or self.shape.d_model)
        time = self.times.exchanges.all_reduce(values, self.layout.tp)
        yield OperatorTime("exchange sum", time.seconds, time.kernel, time.source, time.outside)

    # --------------------------------------------------------------------------------- attention

    def _attention(self, shape: Attention) -> Iterator[OperatorTime]:
        tp, d = self.layout.tp, self.shape.d_model
        heads = max(1, -(-shape.n_heads // tp))
        kv_heads = max(1, -(-shape.n_kv_heads // tp))
        if shape.kind == "mla":
            yield from self._latent(shape, heads)
        elif shape.kind == "compressed":
            yield from self._compressed(shape)
        else:
            products = shape.products(d)
            yield self._product(self.tokens, products[0][1] / tp, d, "attention", "projections")
            if shape.index_heads:  # each GPU of a group scores all tokens with its heads
                index = max(1, -(-shape.index_heads // tp))
                width = (index + 1) * shape.index_dim
                yield self._product(self.tokens, width, d, "attention", "indexer")
                yield self._scores(shape, index)
            if shape.kind == "kda":  # gates of low rank
                for rank, outer in products[1:-1]:
                    yield self._product(self.tokens, outer / tp, rank, "attention", "projections")
            if shape.kind == "mamba1":  # of the time steps, and of what enters and leaves the state
                (width, small), (rank, outer) = products[1:3]
                yield self._product(self.tokens, small, width / tp, "attention", "projections")
                yield from self._sum(small)
                yield self._product(self.tokens, outer / tp, rank, "attention", "projections")
            yield from self._mix(shape, heads, kv_heads)
            inner = products[-1 if shape.has_state else 1][0] / tp
            yield self._product(self.tokens, d, inner, "attention", "projections")
        yield from self._sum()

    def _mix(self, shape: Attention, heads: int, kv_heads: int) -> Iterator[OperatorTime]:
        """Yield the attention itself: of running sequences, and of chunks."""
        times, kv = self.times.attention, self.kv_dtype
        if self.n:
            yield times.decode(shape, heads, kv_heads, self.n, self.context, kv)
        whole: dict[int, int] = {}
        for chunk in self.chunks:
            if chunk.prefix:
                yield times.chunk(shape, heads, kv_heads, chunk.length, chunk.prefix, kv)
            else:
                whole[chunk.length] = whole.get(chunk.length, 0) + 1
        for length, number in whole.items():
            yield times.prefill(shape, heads, kv_heads, number, length, kv)

    def _compressed(self, shape: Attention) -> Iterator[OperatorTime]:
        """Yield compressed attention: modules with their products if they were measured."""
        times, kv, tp = self.times.compressed, self.kv_dtype, self.layout.tp
        dtype, d = self.shape.dtypes["attention"], self.shape.d_model
        dtype = _PRODUCT_TYPES.get(dtype, dtype)
        numbers = Counter((float(chunk.length), float(chunk.prefix)) for chunk in self.chunks)
        parts = [(float(number), *sizes, True) for sizes, number in numbers.items()]
        if self.n:
            parts.insert(0, (self.n, 1.0, max(self.context - 1, 1.0), False))
        modules = [
            times.module(shape, d, tp, n, new, before, dtype, kv, prefill=prefill)
            for n, new, before, prefill in parts
        ]
        if None in modules:
            for inner, outer in local_products(shape, d, tp):
                yield self._product(self.tokens, outer, inner, "attention", "projections")
            for n, new, before, _ in parts:
                yield times.core(shape, tp, n, new, before, kv)
            return
        # The weights are read once for all parts.
        saved = 0.0
        for module in modules:
            if module is not None:
                yield replace(module, seconds=module.seconds - min(saved, module.seconds / 2))
                saved = times.read_seconds(shape, d, tp, dtype)

    def _latent(self, shape: Attention, heads: int) -> Iterator[OperatorTime]:
        d, t = self.shape.d_model, self.tokens
        latent = shape.kv_rank + shape.rope_dim
        queries = heads * (shape.head_dim + shape.rope_dim)
        name = "projections"
        if shape.q_rank:
            yield self._product(t, shape.q_rank + latent, d, "attention", name)
            yield self._product(t, queries, shape.q_rank, "attention", name)
        else:
            yield self._product(t, queries + latent, d, "attention", name)
        if self.n:
            # Each head is multiplied with its part of the latent, before and after attention.
            for inner, outer in (
                (shape.head_dim, shape.kv_rank),
                (shape.kv_rank, shape.v_head_dim),
            ):
                time = self._product(self.n, outer, inner, "attention", "latent products")
                gpu = self.times.gpu
                bound = 2.0 * heads * inner * outer / gpu.bandwidth
                bound += heads * 2.0 * self.n * inner * outer / gpu.operations["bf16"]
                seconds = max(time.seconds, bound)
                yield OperatorTime(time.operator, seconds, time.kernel, time.source, time.outside)
        prompts = sum(chunk.length for chunk in self.chunks)
        if prompts:
            width = heads * (shape.head_dim + shape.v_head_dim)
            yield self._product(prompts, width, shape.kv_rank, "attention", name)
        if shape.index_heads:
            inner = shape.index_heads * shape.index_dim
            yield self._product(t, inner, shape.q_rank or d, "attention", "indexer")
            yield self._product(t, shape.index_dim + shape.index_heads, d, "attention", "indexer")
            yield self._scores(shape, shape.index_heads)
        if shape.gated:
            yield self._product(t, heads * shape.v_head_dim, d, "attention", name)
        yield from self._mix(shape, heads, heads)
        yield self._product(t, d, heads * shape.v_head_dim, "attention", name)

    def _scores(self, shape: Attention, heads: int) -> OperatorTime:
        """Return the time of the indexer's scores of all earlier tokens (no table has it alone)."""
        gpu, width = self.times.gpu, float(shape.index_dim)
        data = self.n * self.context * width / shape.index_pool  # keys of one byte
        pairs = self.n * self.context / shape.index_pool
        for chunk in self.chunks:
            pairs += chunk.length * (chunk.prefix + chunk.length / 2) / shape.index_pool
            data += (chunk.prefix + chunk.length) * width / shape.index_pool
        operations = 2.0 * pairs * heads * width
        seconds = max(operations / gpu.operations["fp8"], (data + 4.0 * pairs) / gpu.bandwidth)
        return OperatorTime("indexer", seconds + 4 * _SMALL_KERNEL, "bound", "data sheet")

    # ----------------------------------------------------------------------------------- experts

    def _moe(self, experts: ExpertShape) -> Iterator[OperatorTime]:
        layout, d, total = self.layout, self.shape.d_model, self.all_tokens
        yield self.times.products.time(self.tokens, experts.n_experts, d, "bfloat16", "router")
        yield OperatorTime("router", 3 * _SMALL_KERNEL, "bound", "none")
        if experts.latent:
            for n, k in ((experts.latent, d), (d, experts.latent)):
                yield self._product(self.tokens, n, k, "router", "latent projections")
        if experts.d_shared:
            width = experts.d_shared / layout.tp
            matrices = 1 + experts.gated
            yield self._product(self.tokens, matrices * width, d, "shared", "shared experts")
            yield self._product(self.tokens, d, width, "shared", "shared experts")
        yield self.times.experts.time(
            experts, experts.width(d), total, tp=layout.moe_tp, ep=layout.moe_ep,
            dtype=self.shape.dtypes["experts"],
        )  # fmt: skip
        if layout.dp == 1:
            yield from self._sum()
            return
        n = layout.tp * layout.dp
        for name in ("all_gather", "reduce_scatter"):
            time = self.times.exchanges.nccl(name, total * experts.width(d), n)
            operator = "exchange experts"
            yield OperatorTime(operator, time.seconds, time.kernel, time.source, time.outside)
