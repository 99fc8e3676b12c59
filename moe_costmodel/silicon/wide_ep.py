"""Steps under wide expert parallelism: data-parallel attention, DeepEP, two-batch overlap."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from moe_costmodel._checks import check_number, count, require
from moe_costmodel.models.shape import ModelShape
from moe_costmodel.silicon.operators.wide import EXCHANGE_PROCESSORS, WideTables, sizes_in_words
from moe_costmodel.silicon.step import SiliconModel
from moe_costmodel.silicon.step_time import StepTime
from moe_costmodel.silicon.tables.reader import OperatorTime

__all__ = ["two_batch_seconds", "wide_ep_step"]

# Mean over largest load of a device, of a placement with copies that was made on other traffic
# than it serves: DeepSeek-V3's published loads, EPLB, 32 devices (tests/benchmarks/moe_parts).
BALANCEDNESS = 0.8


@dataclass(frozen=True)
class _Parts:
    """Operators of one MoE layer for one batch of tokens."""

    attention: list[OperatorTime]
    dispatch: OperatorTime
    experts: list[OperatorTime]
    combine: OperatorTime


def wide_ep_step(
    model: SiliconModel,
    shape: ModelShape,
    *,
    n_devices: int,
    n_sequences: int,
    length: int,
    prefill: bool,
    two_batches: bool = True,
    balancedness: float = BALANCEDNESS,
) -> StepTime:
    """Compose a step of a model with latent attention whose experts span all devices.

    Attention and dense parts are data-parallel: each device has its own sequences. Tokens go to
    their experts and back by DeepEP, with its kernels of low latency in decoding. With
    `two_batches`, the sequences of a device are halved, and one half computes while the other's
    tokens travel.

    Parameters
    ----------
    model : SiliconModel
        GPU and engine; the tables are those of SGLang, except under TensorRT-LLM.
    shape : ModelShape
        The model.
    n_devices : int
        Devices of expert parallelism. The tables hold powers of two and up to 8 nodes; other
        numbers are interpolated or extrapolated, and flagged.
    n_sequences : int
        Sequences on each device.
    length : int
        Tokens of context of each (decode), or tokens of each prompt (prefill).
    prefill : bool
        Whether the step computes whole prompts.
    two_batches : bool
        Whether exchanges overlap with the computation of another half of the sequences.
    balancedness : float
        Mean over largest load of a device. The busiest device computes and exchanges
        ``1 / balancedness`` times the mean.

    Returns
    -------
    StepTime
        Of the busiest device. `hidden` is what overlaps.

    Raises
    ------
    ValueError
        If the model has no experts, or other attention than plain latent attention (without an
        indexer or a gate), if the GPU has no tables of wide expert parallelism for its sizes (the
        message says which are missing), or if a number is out of range.

    Examples
    --------
    >>> from moe_costmodel import ModelShape, SiliconModel, wide_ep_step
    >>> shape = ModelShape.from_config("config.json")  # doctest: +SKIP
    >>> step = wide_ep_step(
    ...     SiliconModel("h100_sxm", "sglang"), shape, n_devices=72, n_sequences=256, length=2000,
    ...     prefill=False,
    ... )  # doctest: +SKIP
    """
    owner = "wide_ep_step"
    for name, value in (("n_devices", n_devices), ("n_sequences", n_sequences), ("length", length)):
        count(owner, name, value)
    check_number(owner, "balancedness", balancedness)
    require(owner, "balancedness", balancedness, 0 < balancedness <= 1, "above 0, at most 1")
    run = _WideRun(model, shape, WideTables(model.tables), n_devices, length, prefill, balancedness)
    halves = 2 if two_batches and n_sequences > 1 else 1
    parts = run.layer(n_sequences / halves)
    n_layers = shape.n_moe_layers
    operators = [
        operator.times(halves * n_layers)
        for operator in (*parts.attention, parts.dispatch, *parts.experts, parts.combine)
    ]
    hidden = 0.0
    if halves == 2:
        # Kernels of high throughput take processors away from the computation beside them.
        slower = 1 / (1 - EXCHANGE_PROCESSORS / model.tables.gpu.n_processors) if prefill else 1.0
        computed = [
            sum(o.seconds for o in part) * slower for part in (parts.attention, parts.experts)
        ]
        whole = two_batch_seconds(
            computed[0], parts.dispatch.seconds, computed[1], parts.combine.seconds, n_layers
        )
        hidden = sum(operator.seconds for operator in operators) - whole
    return StepTime((*operators, *run.rest(n_sequences)), hidden)


def two_batch_seconds(
    attention: float, dispatch: float, experts: float, combine: float, n_layers: int
) -> float:
    """Return the time of layers that two batches go through in turn.

    One device computes one batch at a time, and one network carries one exchange at a time. A
    batch's experts wait for its dispatch, and its next layer for its combine.

    Parameters
    ----------
    attention, dispatch, experts, combine : float
        Seconds of each part for one batch.
    n_layers : int
        Layers.

    Returns
    -------
    float

    Examples
    --------
    >>> from moe_costmodel.silicon.wide_ep import two_batch_seconds
    >>> two_batch_seconds(1.0, 1.0, 1.0, 1.0, 100)
    401.0
    """
    computing = network = 0.0
    ready = [0.0, 0.0]
    for _ in range(n_layers):
        for work, travel in ((attention, dispatch), (experts, combine)):
            for batch in (0, 1):
                computing = max(computing, ready[batch]) + work
                network = max(network, computing) + travel
                ready[batch] = network
    return max(computing, *ready)


@dataclass
class _WideRun:
    """Operators of one step under wide expert parallelism."""

    model: SiliconModel
    shape: ModelShape
    tables: WideTables
    n_devices: int
    length: int
    prefill: bool
    balancedness: float

    def layer(self, n: float) -> _Parts:
        """Return the parts of an MoE layer for `n` sequences on each device."""
        shape, experts = self.shape, self.shape.experts
        if experts is None:
            raise ValueError(
                f"The model {shape.name!r} has no experts; it is dense. Give a model with experts."
            )
        if why := self._other_attention():
            raise self._no_attention(why)
        d, skew = shape.d_model, 1 / self.balancedness
        tokens = n * self.length if self.prefill else n
        nodes = max(1.0, self.n_devices / self.model.tables.gpu.n_per_node)
        found = [
            self.tables.exchange(
                experts, d, tokens, nodes=nodes, phase=phase, fast=not self.prefill
            )
            for phase in ("dispatch", "combine")
        ]
        mixed = self.tables.experts(
            experts, d, tokens * self.n_devices, ep=self.n_devices, n_slots=experts.n_experts,
            prefill=self.prefill, distribution="uniform",
        )  # fmt: skip
        if mixed is None or found[0] is None or found[1] is None:
            parts = {"experts": mixed, "dispatch": found[0], "combine": found[1]}
            raise ValueError(self._missing([part for part, time in parts.items() if time is None]))
        shared = self.model.times.products
        router = shared.time(tokens, experts.n_experts, d, "bfloat16", "router")
        around = [mixed.times(skew), router, self._passes(tokens)]
        for m, k in ((2 * experts.d_shared, d), (d, experts.d_shared)):
            if experts.d_shared:
                around.append(shared.time(tokens, m, k, shape.dtypes["shared"], "shared experts"))
        return _Parts(
            [self._attention(n), self._passes(tokens)],
            found[0].times(skew),
            around,
            found[1].times(skew),
        )

    def rest(self, n: float) -> Iterator[OperatorTime]:
        """Yield operators outside MoE layers: dense layers and the head."""
        shape, products = self.shape, self.model.times.products
        tokens = n * self.length if self.prefill else n
        for block in shape.blocks:
            if block.experts is None:
                yield self._attention(n).times(block.n_layers)
                for m, k in ((2 * block.d_ffn, shape.d_model), (shape.d_model, block.d_ffn)):
                    time = products.time(tokens, m, k, shape.dtypes["dense"], "dense")
                    yield time.times(block.n_layers)
        yield products.time(n, shape.vocabulary, shape.d_model, shape.dtypes["head"], "head")

    def _missing(self, parts: list[str]) -> str:
        """Return the message on parts of an MoE layer that no table has."""
        shape, experts = self.shape, self.shape.experts
        assert experts is not None
        sizes = sizes_in_words(experts.n_experts, experts.d_ffn, experts.k, shape.d_model)
        held = self.tables.measured_experts(prefill=self.prefill)
        return (
            f"The GPU {self.model.gpu!r} has no tables of wide expert parallelism for "
            f"{shape.name!r}: rows of {', '.join(parts)} are missing for {sizes}. The table of "
            f"experts holds {'; '.join(held) or 'nothing'}. Those of DeepSeek-V3 on h100_sxm and "
            "h200_sxm are complete."
        )

    def _other_attention(self) -> str:
        """Return why the attention is not plain latent attention; empty if it is."""
        attention = self.shape.blocks[0].attention
        if any(block.attention != attention for block in self.shape.blocks):
            return "its layers differ in their attention"
        if attention.kind != "mla":
            return f"it has attention of the kind {attention.kind!r}"
        return "it has an indexer or a gate" if attention.index_heads or attention.gated else ""

    def _no_attention(self, why: str) -> ValueError:
        return ValueError(
            f"No table has the attention of {self.shape.name!r} for wide expert parallelism on "
            f"{self.model.gpu!r}: {why}. Those of plain latent attention (DeepSeek-V3) are known."
        )

    def _attention(self, n: float) -> OperatorTime:
        found = self.tables.attention(
            self.shape.blocks[0].attention, self.shape.d_model, n, self.length,
            prefill=self.prefill,
        )  # fmt: skip
        if found is None:
            raise self._no_attention("the tables of this GPU lack it")
        return found

    def _passes(self, tokens: float) -> OperatorTime:
        """Return the time of a norm, and of the quantization of its result."""
        gpu = self.model.tables.gpu
        seconds = 4 * tokens * self.shape.d_model * 2.0 / gpu.bandwidth + 2 * 2e-6
        return OperatorTime("norms", seconds, "bound", "data sheet")
