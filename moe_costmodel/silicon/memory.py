"""Memory of one GPU under a layout: weights, and the cache of its sequences."""

from __future__ import annotations

from dataclasses import dataclass, replace

from moe_costmodel._checks import check_fraction, check_number, count, one_of
from moe_costmodel.models.attention import STATE_TYPES
from moe_costmodel.models.shape import Block, ModelShape
from moe_costmodel.shapes import DTYPE_BYTES
from moe_costmodel.silicon.layout import Layout, check_sizes

__all__ = ["GpuMemory", "gpu_memory", "most_of_stage", "state_type"]

# vLLM 0.34 keeps states in the type of the model, 16 bits, unless the class of the model says
# otherwise: float32 for Nemotron-3 and Kimi delta attention, the config's type for Qwen3.5.
_IN_MODEL_TYPE = ("granitemoehybrid", "jamba", "minimax", "qwen3_next")


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
    state_dtype: str | None = None,
) -> GpuMemory:
    """Return the memory of the fullest GPU.

    With pipeline stages, that is a GPU of a stage with as many layers as any, and with the
    embedding or the head.

    Tensor parallelism divides attention, dense parts, embedding and head. Keys and values are
    divided by heads, and inputs and outputs of Mamba-2 by groups, so both, with their products,
    are copied where there are fewer of them than GPUs. The cache of latent
    attention and that of compressed attention have no heads: each GPU of a tensor-parallel group
    holds all of it, and the products down to its latents or entries and those of an indexer are
    copied, too.

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
    state_dtype : str, optional
        Type of the states of linear attention and of Mamba, as told to the engine (vLLM:
        ``--mamba-ssm-cache-dtype``, SGLang: ``--mamba-ssm-dtype``). By default it is the one that
        the model's config names, else float32.

    Returns
    -------
    GpuMemory

    Raises
    ------
    ValueError
        If a number is out of range, the type unknown, or the layout does not divide the model.

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
    if state_dtype is not None:
        one_of(owner, "state_dtype", state_dtype, STATE_TYPES)
        shape = shape.with_state(state_dtype)
    check_sizes(shape, layout, owner)
    spread = layout.moe_tp * layout.moe_ep
    divided = {"dense": layout.tp, "shared": layout.tp, "experts": spread, "router": 1, "norms": 1}
    width = {part: DTYPE_BYTES[dtype] for part, dtype in shape.dtypes.items()}
    ends = shape.parameters()
    layers, caches = [], []
    for block in shape.blocks:
        parts = replace(shape, blocks=(replace(block, n_layers=1),)).parameters()
        parts["norms"] -= shape.d_model  # the last norm of the model
        held = sum(parts[part] / n * width[part] for part, n in divided.items())
        held += _attention_weights(block, shape.d_model, layout.tp) * width["attention"]
        layers.append((held, block.n_layers))
        held = _cache(block, layout.tp, context, DTYPE_BYTES[kv_dtype])
        caches.append((held, block.n_layers))
    first, last = (ends[part] / layout.tp * width[part] for part in ("embedding", "head"))
    weights = first + last if layout.pp == 1 else max(first, last)
    weights += shape.d_model * width["norms"] + _of_stage(layers, layout.pp)
    cache = _of_stage(caches, layout.pp)
    return GpuMemory(weights, cache, n_sequences * cache)


def state_type(shape: ModelShape, backend: str) -> str | None:
    """Return the type of states that an engine takes by default; None for the config's, or float32.

    Parameters
    ----------
    shape : ModelShape
        The model.
    backend : str
        The engine.
    """
    return "bfloat16" if backend == "vllm" and shape.name in _IN_MODEL_TYPE else None


def most_of_stage(number: int, n_layers: int, pp: int) -> int:
    """Return how many of `number` equal layers the fullest pipeline stage holds.

    Equal layers lie evenly among the `n_layers` of the model. A few that come first, such as dense
    ones, leave a later stage without them.
    """
    stage = -(-n_layers // pp)
    return -(-stage * number // n_layers)


def _of_stage(groups: list[tuple[float, int]], pp: int) -> float:
    """Return the most bytes of a pipeline stage, from those of a layer and numbers of layers."""
    n_layers = sum(number for _, number in groups)
    left, total = -(-n_layers // pp), 0.0
    for held, number in sorted(groups, reverse=True):
        taken = min(left, most_of_stage(number, n_layers, pp))
        total += taken * held
        left -= taken
    return total


def _attention_weights(block: Block, d_model: int, tp: int) -> float:
    """Return the weights of one layer's attention on one GPU."""
    attention = block.attention
    whole = attention.parameters(d_model)
    if attention.kind == "compressed":
        # Only the heads' queries, their outputs, and their sinks are divided.
        rank = attention.output_groups * attention.output_rank
        divided = attention.q_rank * attention.query_width + rank * d_model + attention.n_heads
        divided += rank * attention.output_width // attention.output_groups
        return whole - divided + divided / tp
    grouped, copied = attention.shared_weights(d_model)
    rest = (whole - grouped - copied) / tp
    return rest + grouped * attention.group_share(tp) + copied


def _cache(block: Block, tp: int, context: int, width: float) -> float:
    """Return the bytes of one sequence's cache in one layer on one GPU."""
    attention = block.attention
    if attention.kind == "compressed":
        return attention.cached_values(context) * width + attention.state_bytes
    if attention.kind == "mla":
        return attention.cached_values(context) * width
    if attention.has_state:
        return attention.divided_state_bytes(tp)
    kept = min(context, attention.window or context)
    divided = attention.cache_values - attention.index_dim  # each GPU has the keys of an indexer
    return kept * (divided * attention.group_share(tp) + attention.index_dim) * width
