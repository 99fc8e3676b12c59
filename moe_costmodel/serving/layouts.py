"""Divisions of a model over GPUs that an engine can run."""

from __future__ import annotations

import math
from collections.abc import Iterator

from moe_costmodel._checks import count, invalid, one_of
from moe_costmodel.models.shape import ModelShape
from moe_costmodel.silicon.layout import Layout, heads_divide
from moe_costmodel.silicon.tables.reader import BACKENDS

__all__ = ["check_layout", "legal_layouts"]

_NEAREST = 3
_RULES = {
    "vllm": "experts are divided by ep alone or by moe tp alone",
    "trtllm": "tp or dp is 1",
    "sglang": "",
}


def legal_layouts(
    shape: ModelShape, n_gpus: int, backend: str, *, redundant_experts: int = 0
) -> list[Layout]:
    """Return the layouts of one instance of a model that an engine can run on up to `n_gpus` GPUs.

    The GPUs of an instance divide `n_gpus`. Heads divide over tensor parallelism, the width of an
    expert over the tensor parallelism of experts, and experts with their copies over expert
    parallelism. A dense model has no data parallelism within an instance, since that would be
    another instance. vLLM divides the experts by expert parallelism alone or by tensor parallelism
    alone. TensorRT-LLM makes attention data-parallel over all GPUs of a stage, or over none.

    Parameters
    ----------
    shape : ModelShape
        The model.
    n_gpus : int
        GPUs of all instances.
    backend : {"trtllm", "sglang", "vllm"}
        Engine.
    redundant_experts : int
        Slots of an MoE layer beyond one per expert.

    Returns
    -------
    list of Layout
        In ascending order of GPUs.

    Raises
    ------
    ValueError
        If a number is out of range, or the engine is unknown.

    Examples
    --------
    >>> from moe_costmodel import ModelShape, legal_layouts
    >>> mixtral = {
    ...     "model_type": "mixtral", "hidden_size": 4096, "intermediate_size": 14336,
    ...     "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    ...     "num_local_experts": 8, "num_experts_per_tok": 2, "vocab_size": 32000,
    ... }
    >>> for layout in legal_layouts(ModelShape.from_config(mixtral), 2, "vllm"):
    ...     print(layout)
    tp 1, dp 1, moe tp 1, ep 1, pp 1
    tp 1, dp 2, moe tp 1, ep 2, pp 1
    tp 1, dp 2, moe tp 2, ep 1, pp 1
    tp 2, dp 1, moe tp 1, ep 2, pp 1
    tp 2, dp 1, moe tp 2, ep 1, pp 1
    tp 1, dp 1, moe tp 1, ep 1, pp 2
    """  # fmt: skip
    owner = "legal_layouts"
    count(owner, "n_gpus", n_gpus)
    count(owner, "redundant_experts", redundant_experts, 0)
    one_of(owner, "backend", backend, BACKENDS)
    found = [
        layout
        for n in _divisors(n_gpus)
        for pp in _divisors(n)
        if pp <= shape.n_layers
        for layout in _of_stage(shape, n // pp, pp, redundant_experts)
        if _engine_runs(layout, backend)
    ]
    return sorted(found, key=lambda v: (v.n_gpus, v.pp, v.tp, v.moe_tp))


def check_layout(shape: ModelShape, layout: Layout, backend: str, owner: str) -> None:
    """Raise unless an engine can run a layout, with redundant experts where ranks need them.

    The error names the nearest legal layouts of as many GPUs. Replicas of a dense model may share a
    scheduler, as if they were data-parallel.
    """
    experts = shape.experts
    if experts is None and layout.dp > 1:
        layout = Layout(tp=layout.tp, moe_tp=layout.tp, pp=layout.pp)
    n = layout.n_gpus
    legal: list[Layout] = []
    for ep in _divisors(n):
        copies = -experts.n_experts % ep if experts else 0
        found = legal_layouts(shape, n, backend, redundant_experts=copies)
        legal += [v for v in found if v.n_gpus == n and (v.moe_ep == ep or experts is None)]
    if layout in legal:
        return

    def distance(other: Layout) -> float:
        names = ("tp", "dp", "moe_ep", "pp")
        return sum(abs(math.log(getattr(other, v) / getattr(layout, v))) for v in names)

    nearest = sorted(dict.fromkeys(legal), key=distance)[:_NEAREST]
    listed = "; ".join(map(str, nearest)) or f"none on {n} GPUs: take another number of GPUs"
    rule = _RULES[backend] and f", {_RULES[backend]}"
    expected = (
        f"one that {backend} can run: tp divides the heads, moe tp the width of an expert{rule}, "
        f"and pp is at most the number of layers. The nearest are {listed}"
    )
    raise invalid(owner, "layout", f"({layout})", expected)


def _divisors(n: int) -> list[int]:
    return [i for i in range(1, n + 1) if n % i == 0]


def _of_stage(shape: ModelShape, width: int, pp: int, redundant: int) -> Iterator[Layout]:
    """Yield the layouts of a stage of `width` GPUs."""
    experts = shape.experts
    for tp in _divisors(width):
        if not all(heads_divide(shape, tp)):
            continue
        if experts is None:
            if tp == width:
                yield Layout(tp=tp, moe_tp=tp, pp=pp)
            continue
        for ep in _divisors(width):
            whole = experts.d_ffn % (width // ep) == 0
            # Copies serve expert parallelism only.
            spread = (experts.n_experts + redundant) % ep == 0 and (ep > 1 or not redundant)
            if whole and spread:
                yield Layout(tp=tp, dp=width // tp, moe_tp=width // ep, moe_ep=ep, pp=pp)


def _engine_runs(layout: Layout, backend: str) -> bool:
    if backend == "vllm":
        return layout.moe_tp == 1 or layout.moe_ep == 1
    if backend == "trtllm":
        return layout.dp == 1 or layout.tp == 1
    return True
