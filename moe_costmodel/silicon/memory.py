"""Memory of one GPU under a layout: weights, and the cache of its sequences."""

from __future__ import annotations

from dataclasses import dataclass

from moe_costmodel._checks import check_fraction, check_number, count, one_of, require
from moe_costmodel.models.shape import Block, ModelShape
from moe_costmodel.shapes import DTYPE_BYTES
from moe_costmodel.silicon.layout import Layout

__all__ = ["GpuMemory", "gpu_memory"]


@dataclass(frozen=True)
class GpuMemory:
    """Bytes on one GPU.

    Parameters
    ----------
    weights : float
        Weights that it holds.
    per_sequence : float
        Cache of one sequence at the given context.
    cache : float
        Cache of all sequences of its data-parallel rank.

    Examples
    --------
    >>> from moe_costmodel import GpuMemory
    >>> GpuMemory(60e9, 1e9, 16e9).most_sequences(80e9, usable=0.9)
    12
    """

    weights: float
    per_sequence: float
    cache: float

    @property
    def total(self) -> float:
        """Weights and cache together."""
        return self.weights + self.cache

    def most_sequences(self, memory_bytes: float, *, usable: float = 0.9) -> int:
        """Return how many sequences of a data-parallel rank fit; 0 if the weights do not.

        Parameters
        ----------
        memory_bytes : float
            Memory of the GPU.
        usable : float
            Fraction of it that weights and cache may take; the rest holds activations and the
            engine's buffers.

        Returns
        -------
        int
        """
        owner = "GpuMemory.most_sequences"
        check_number(owner, "memory_bytes", memory_bytes)
        left = check_fraction(owner, "usable", usable) * memory_bytes - self.weights
        return max(0, int(left // self.per_sequence)) if self.per_sequence else 0


def gpu_memory(
    shape: ModelShape,
    layout: Layout,
    n_sequences: int,
    context: int,
    *,
    kv_dtype: str = "bfloat16",
) -> GpuMemory:
    """Return the memory of one GPU.

    Tensor parallelism divides attention, dense parts, embedding and head. Keys and values are
    divided by heads, so they are copied where there are fewer heads than GPUs. The cache of latent
    attention has no heads: each GPU of a tensor-parallel group holds all of it, and the products
    down to its latents are copied, too.

    Parameters
    ----------
    shape : ModelShape
        The model.
    layout : Layout
        Its division over GPUs.
    n_sequences : int
        Sequences of each data-parallel rank.
    context : int
        Tokens of each.
    kv_dtype : str
        Type of the cache.

    Returns
    -------
    GpuMemory

    Raises
    ------
    ValueError
        If a number is out of range, or the type unknown.

    Examples
    --------
    >>> from moe_costmodel import Layout, ModelShape, gpu_memory
    >>> shape = ModelShape.from_config("config.json")  # doctest: +SKIP
    >>> gpu_memory(shape, Layout(tp=8, moe_ep=8), 64, 4096).total  # doctest: +SKIP
    """
    owner = "gpu_memory"
    count(owner, "n_sequences", n_sequences, 0)
    count(owner, "context", context)
    one_of(owner, "kv_dtype", kv_dtype, DTYPE_BYTES)
    require(owner, "layout", layout, isinstance(layout, Layout), "a Layout")
    parts = shape.parameters()
    width = {part: DTYPE_BYTES[shape.dtypes[part]] for part in parts}
    spread = layout.moe_tp * layout.moe_ep
    divided = {"embedding": layout.tp, "head": layout.tp, "dense": layout.tp, "shared": layout.tp,
               "experts": spread, "router": 1, "norms": 1}  # fmt: skip
    weights = sum(parts[part] / n * width[part] for part, n in divided.items())
    cache = 0.0
    for block in shape.blocks:
        attention = _attention_weights(block, shape.d_model, layout.tp)
        weights += block.n_layers * attention * width["attention"]
        cache += block.n_layers * _cache(block, layout.tp, context, DTYPE_BYTES[kv_dtype])
    weights, cache = weights / layout.pp, cache / layout.pp
    return GpuMemory(weights, cache, n_sequences * cache)


def _attention_weights(block: Block, d_model: int, tp: int) -> float:
    """Return the weights of one layer's attention on one GPU."""
    attention = block.attention
    whole = attention.parameters(d_model)
    if attention.kind != "mla":
        return whole / tp
    copied = d_model * (attention.q_rank + attention.kv_rank + attention.rope_dim)
    return copied + (whole - copied) / tp


def _cache(block: Block, tp: int, context: int, width: float) -> float:
    """Return the bytes of one sequence's cache in one layer on one GPU."""
    attention = block.attention
    kept = min(context, attention.window or context)
    if attention.kind == "mla":
        return kept * attention.cache_values * width
    share = max(1, -(-attention.n_kv_heads // tp)) / attention.n_kv_heads
    state = 4.0 * attention.state_values / tp
    return kept * attention.cache_values * share * width + state
