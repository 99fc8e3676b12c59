"""SiliconModel: the time of a whole step, composed of measured kernels."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from moe_costmodel._checks import check_number, count, invalid, one_of, require
from moe_costmodel.models.attention import Attention
from moe_costmodel.models.shape import Block, ExpertShape, ModelShape
from moe_costmodel.silicon.layout import Layout, check_sizes
from moe_costmodel.silicon.operators.attention import AttentionTimes
from moe_costmodel.silicon.operators.exchange import Exchanges
from moe_costmodel.silicon.operators.experts import ExpertTimes
from moe_costmodel.silicon.operators.products import Products
from moe_costmodel.silicon.operators.skew import benchmark_load
from moe_costmodel.silicon.tables.package import gpu_named
from moe_costmodel.silicon.tables.reader import BACKENDS, OperatorTime, Tables

__all__ = ["Chunk", "SiliconModel", "StepTime"]

# Types in which products are computed if weights alone are narrower.
_PRODUCT_TYPES = {"int4_wo": "bfloat16", "w4a16_mxfp4": "bfloat16", "w4afp8": "fp8"}
# Passes over the tokens' values of a layer that no table has: two norms, with residuals, each
# reading and writing twice.
_PASSES = 8
_SMALL_KERNEL = 2e-6  # seconds of a kernel that has next to nothing to do, in a CUDA graph


@dataclass(frozen=True)
class Chunk:
    """New tokens of one prompt that a step computes.

    Parameters
    ----------
    length : int
        Tokens.
    prefix : int
        Tokens of the prompt that earlier steps have computed.
    last : bool
        Whether the prompt ends with this chunk, so that its first token is sampled.

    Examples
    --------
    >>> from moe_costmodel import Chunk
    >>> Chunk(512, prefix=1536)
    Chunk(length=512, prefix=1536, last=True)
    """

    length: int
    prefix: int = 0
    last: bool = True

    def __post_init__(self) -> None:
        count("Chunk", "length", self.length)
        count("Chunk", "prefix", self.prefix, 0)


@dataclass(frozen=True)
class StepTime:
    """Time of a step, by operator.

    Attributes
    ----------
    operators : tuple of OperatorTime
        Operators with their seconds over all layers.
    hidden : float
        Seconds of exchanges that overlap with computation.

    Examples
    --------
    >>> from moe_costmodel.silicon.step import StepTime
    >>> StepTime(()).seconds
    0.0
    """

    operators: tuple[OperatorTime, ...]
    hidden: float = 0.0

    @property
    def seconds(self) -> float:
        """Time of the step."""
        return sum(operator.seconds for operator in self.operators) - self.hidden

    @property
    def outside(self) -> float:
        """Largest extrapolation among operators that take 5 % of the step or more."""
        total = sum(operator.seconds for operator in self.operators)
        large = [o.outside for o in self.operators if o.seconds >= 0.05 * total]
        return max(large, default=1.0)

    def by_part(self) -> dict[str, float]:
        """Return seconds by operator, the largest first."""
        parts: dict[str, float] = {}
        for operator in self.operators:
            parts[operator.operator] = parts.get(operator.operator, 0.0) + operator.seconds
        return dict(sorted(parts.items(), key=lambda item: -item[1]))

    def __str__(self) -> str:
        lines = [f"{self.seconds * 1e3:.3g} ms"]
        for o in sorted(self.operators, key=lambda o: -o.seconds):
            if o.seconds > 0:
                note = "" if o.outside <= 1.001 else f", extrapolated by {o.outside:.3g}"
                lines.append(
                    f"  {o.operator}: {o.seconds * 1e3:.3g} ms ({o.kernel}, {o.source}{note})"
                )
        return "\n".join(lines)


@dataclass
class SiliconModel:
    """Step times of models on a GPU, composed of kernels measured on it.

    The tables are those of aiconfigurator-core (``pip install 'moela[silicon]'``), which is not
    imported.

    Parameters
    ----------
    gpu : str
        Name of the GPU, such as ``"h200_sxm"``.
    backend : {"trtllm", "sglang", "vllm"}
        Engine whose kernels are used; those of another stand in where it has none.
    root : str or Path, optional
        Folder of the tables; by default that of the installed package.

    Raises
    ------
    ModuleNotFoundError
        If the package is not installed and no folder is given.
    ValueError
        If the GPU has no tables (the message names the nearest that has), or the engine is unknown.

    Examples
    --------
    >>> from moe_costmodel import Layout, ModelShape, SiliconModel
    >>> model = SiliconModel("h200_sxm", "sglang")  # doctest: +SKIP
    >>> shape = ModelShape.from_config("config.json")  # doctest: +SKIP
    >>> step = model.decode(shape, Layout(tp=8, moe_tp=8), 32, 2048)  # doctest: +SKIP
    """

    gpu: str
    backend: str
    root: str | Path | None = None
    tables: Tables = field(init=False, repr=False)

    def __post_init__(self) -> None:
        one_of("SiliconModel", "backend", self.backend, BACKENDS)
        self.tables = Tables(gpu_named(self.gpu, self.root), self.backend)
        self._products = Products(self.tables)
        self._attention = AttentionTimes(self.tables)
        self._experts = ExpertTimes(self.tables)
        self._exchanges = Exchanges(self.tables)

    def __reduce__(self) -> tuple[type[SiliconModel], tuple[str, str, str | Path | None]]:
        return type(self), (self.gpu, self.backend, self.root)

    def __deepcopy__(self, memo: object) -> SiliconModel:
        return self  # nothing of it changes but what it has read

    # ------------------------------------------------------------------------------------- steps

    def decode(
        self,
        shape: ModelShape,
        layout: Layout,
        n_sequences: float,
        context: float,
        *,
        kv_dtype: str = "bfloat16",
    ) -> StepTime:
        """Return the time of one token of each of `n_sequences` sequences on a data-parallel rank.

        Parameters
        ----------
        shape : ModelShape
            The model.
        layout : Layout
            Its division over GPUs.
        n_sequences : float
            Sequences on each data-parallel rank.
        context : float
            Tokens that each of them has already.
        kv_dtype : str
            Type of the cache.

        Returns
        -------
        StepTime
        """
        return self.step(shape, layout, n_sequences, context, (), kv_dtype=kv_dtype)

    def prefill(
        self,
        shape: ModelShape,
        layout: Layout,
        chunks: Sequence[Chunk],
        *,
        kv_dtype: str = "bfloat16",
    ) -> StepTime:
        """Return the time of a step that computes new tokens of prompts on each rank.

        Parameters
        ----------
        shape, layout : ModelShape, Layout
            The model, and its division over GPUs.
        chunks : sequence of Chunk
            New tokens by prompt, of one data-parallel rank; all have as many.
        kv_dtype : str
            Type of the cache.

        Returns
        -------
        StepTime
        """
        return self.step(shape, layout, 0, 1, chunks, kv_dtype=kv_dtype)

    def step(
        self,
        shape: ModelShape,
        layout: Layout,
        n_sequences: float,
        context: float,
        chunks: Sequence[Chunk],
        *,
        kv_dtype: str = "bfloat16",
        overlap: float = 0.0,
        all_tokens: float | None = None,
    ) -> StepTime:
        """Return the time of a mixed step: tokens of running sequences, and chunks of prompts.

        Parameters
        ----------
        shape, layout : ModelShape, Layout
            The model, and its division over GPUs.
        n_sequences, context : float
            Running sequences of each data-parallel rank, and the tokens that each has.
        chunks : sequence of Chunk
            New tokens of prompts on each rank.
        kv_dtype : str
            Type of the cache.
        overlap : float
            Share of the exchanges that computation hides, from 0 to 1 (two-batch overlap).
        all_tokens : float, optional
            Tokens of all data-parallel ranks together, which the experts compute; by default all
            ranks have as many as this one.

        Returns
        -------
        StepTime

        Raises
        ------
        ValueError
            If the step has no tokens, a number is out of range, or the layout does not fit.
        """
        owner = "SiliconModel.step"
        check_sizes(shape, layout, owner)
        check_number(owner, "n_sequences", n_sequences)
        check_number(owner, "context", context)
        require(owner, "overlap", overlap, 0 <= overlap <= 1, "a number from 0 to 1")
        tokens = float(n_sequences) + sum(chunk.length for chunk in chunks)
        if tokens <= 0 or n_sequences < 0:
            raise invalid(owner, "n_sequences", n_sequences, "positive if there are no chunks")
        if all_tokens is None:
            all_tokens = tokens * layout.dp
        elif check_number(owner, "all_tokens", all_tokens) < tokens:
            raise invalid(owner, "all_tokens", all_tokens, f"at least this rank's {tokens:g}")
        run = _Run(self, shape, layout, float(n_sequences), max(float(context), 1.0), tuple(chunks),
                   kv_dtype, tokens, float(all_tokens))  # fmt: skip
        operators = tuple(run.operators())
        exchanged = sum(o.seconds for o in operators if o.operator.startswith("exchange"))
        return StepTime(operators, overlap * exchanged)

    def experts(
        self, shape: ModelShape, layout: Layout, tokens: float
    ) -> tuple[OperatorTime, float]:
        """Return the time of the experts of one MoE layer, and the load of the busiest rank.

        Parameters
        ----------
        shape, layout : ModelShape, Layout
            A model with experts, and its division over GPUs.
        tokens : float
            Tokens of all data-parallel ranks.

        Returns
        -------
        OperatorTime
            Of the busiest rank of expert parallelism.
        float
            Choices of that rank, over the mean of all ranks, in the benchmark behind the table.
        """
        owner, experts = "SiliconModel.experts", shape.experts
        check_sizes(shape, layout, owner)
        if experts is None:
            raise invalid(owner, "shape", shape.name, "a model with experts")
        where = {"tp": layout.moe_tp, "ep": layout.moe_ep}
        dtype = shape.dtypes["experts"]
        name = self._experts.distribution(experts, shape.d_model, **where, dtype=dtype)
        load = benchmark_load(name, experts, layout.moe_ep, tokens)
        return self._experts.time(experts, shape.d_model, tokens, **where, dtype=dtype), load


@dataclass
class _Run:
    """Operators of one step."""

    model: SiliconModel
    shape: ModelShape
    layout: Layout
    n: float
    context: float
    chunks: tuple[Chunk, ...]
    kv_dtype: str
    tokens: float
    all_tokens: float

    def operators(self) -> Iterator[OperatorTime]:
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
            gpu = self.model.tables.gpu
            within = self.layout.n_gpus <= gpu.n_per_node
            rate = gpu.node_bandwidth if within else gpu.network_bandwidth
            seconds = (self.layout.pp - 1) * (1e-5 + data / rate)
            yield OperatorTime("exchange stages", seconds, "bound", "data sheet", 1.0)

    def _product(self, m: float, n: float, k: float, part: str, operator: str) -> OperatorTime:
        dtype = self.shape.dtypes[part]
        dtype = _PRODUCT_TYPES.get(dtype, dtype)
        return self.model._products.time(m, n, k, dtype, operator)

    def _layer(self, block: Block) -> Iterator[OperatorTime]:
        yield from self._attention(block.attention)
        yield self._passes()
        if block.experts is not None:
            yield from self._moe(block.experts)
        else:
            width, d = block.d_ffn / self.layout.tp, self.shape.d_model
            yield self._product(self.tokens, 2 * width, d, "dense", "dense")
            yield self._product(self.tokens, d, width, "dense", "dense")
            yield from self._sum()

    def _passes(self) -> OperatorTime:
        gpu = self.model.tables.gpu
        seconds = _PASSES * self.tokens * self.shape.d_model * 2.0 / gpu.bandwidth
        return OperatorTime("norms", seconds + 2 * _SMALL_KERNEL, "bound", "data sheet")

    def _sum(self) -> Iterator[OperatorTime]:
        if self.layout.tp == 1:
            return
        time = self.model._exchanges.all_reduce(self.tokens * self.shape.d_model, self.layout.tp)
        yield OperatorTime("exchange sum", time.seconds, time.kernel, time.source, time.outside)

    # --------------------------------------------------------------------------------- attention

    def _attention(self, shape: Attention) -> Iterator[OperatorTime]:
        tp, d = self.layout.tp, self.shape.d_model
        heads = max(1, -(-shape.n_heads // tp))
        kv_heads = max(1, -(-shape.n_kv_heads // tp))
        if shape.kind == "mla":
            yield from self._latent(shape, heads)
        else:
            products = shape.products(d)
            yield self._product(self.tokens, products[0][1] / tp, d, "attention", "projections")
            yield from self._mix(shape, heads, kv_heads)
            inner = products[1][0] / tp
            yield self._product(self.tokens, d, inner, "attention", "projections")
        yield from self._sum()

    def _mix(self, shape: Attention, heads: int, kv_heads: int) -> Iterator[OperatorTime]:
        """Yield the attention itself: of running sequences, and of chunks."""
        times, kv = self.model._attention, self.kv_dtype
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
                gpu = self.model.tables.gpu
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
            yield self._scores(shape)
        yield from self._mix(shape, heads, heads)
        yield self._product(t, d, heads * shape.v_head_dim, "attention", name)

    def _scores(self, shape: Attention) -> OperatorTime:
        """Return the time of the indexer's scores of all earlier tokens (no table has it alone)."""
        gpu, width = self.model.tables.gpu, float(shape.index_dim)
        data = self.n * self.context * width  # keys of one byte
        pairs = self.n * self.context
        for chunk in self.chunks:
            pairs += chunk.length * (chunk.prefix + chunk.length / 2)
            data += (chunk.prefix + chunk.length) * width
        operations = 2.0 * pairs * shape.index_heads * width
        seconds = max(operations / gpu.operations["fp8"], (data + 4.0 * pairs) / gpu.bandwidth)
        return OperatorTime("indexer", seconds + 4 * _SMALL_KERNEL, "bound", "data sheet")

    # ----------------------------------------------------------------------------------- experts

    def _moe(self, experts: ExpertShape) -> Iterator[OperatorTime]:
        layout, d, total = self.layout, self.shape.d_model, self.all_tokens
        yield self.model._products.time(self.tokens, experts.n_experts, d, "bfloat16", "router")
        yield OperatorTime("router", 3 * _SMALL_KERNEL, "bound", "none")
        if experts.d_shared:
            width = experts.d_shared / layout.tp
            yield self._product(self.tokens, 2 * width, d, "shared", "shared experts")
            yield self._product(self.tokens, d, width, "shared", "shared experts")
        yield self.model._experts.time(
            experts, d, total, tp=layout.moe_tp, ep=layout.moe_ep,
            dtype=self.shape.dtypes["experts"],
        )  # fmt: skip
        if layout.dp == 1:
            yield from self._sum()
            return
        n = layout.tp * layout.dp
        for name in ("all_gather", "reduce_scatter"):
            time = self.model._exchanges.nccl(name, total * d, n)
            operator = "exchange experts"
            yield OperatorTime(operator, time.seconds, time.kernel, time.source, time.outside)
