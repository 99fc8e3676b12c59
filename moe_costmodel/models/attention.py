"""Attention: the mixing of tokens in one layer, its parameters and its cache."""

from __future__ import annotations

from dataclasses import dataclass

from moe_costmodel._checks import count, invalid, one_of
from moe_costmodel.shapes import DTYPE_BYTES

__all__ = ["ATTENTION_KINDS", "STATE_TYPES", "Attention"]

_WITH_STATE = ("linear", "kda", "mamba", "mamba1", "lightning", "conv")
STATE_TYPES = ("float32", "bfloat16", "float16")
ATTENTION_KINDS = ("gqa", "mla", "compressed", *_WITH_STATE)


@dataclass(frozen=True, kw_only=True)
class Attention:
    """Sizes of the attention of one layer.

    Parameters
    ----------
    kind : {"gqa", "mla", "compressed", "linear", "kda", "mamba", "mamba1", "lightning", "conv"}
        Grouped-query attention (multi-head and multi-query included), multi-head latent attention
        (DeepSeek-V2, arXiv 2405.04434), compressed attention (DeepSeek-V4), or a layer whose state
        does not grow with the context: a gated delta net (arXiv 2412.06464), Kimi delta attention
        (arXiv 2510.26692), Mamba-2 (arXiv 2405.21060), Mamba-1 (arXiv 2312.00752) with norms as in
        Jamba, lightning attention (arXiv 2501.08313), or the gated short convolution of LFM2.
        Compressed attention keeps a window of tokens and one entry for each `compression` earlier
        ones; an entry is the key and the value of all heads.
    n_heads, n_kv_heads : int
        Heads of queries, and of keys and values; of a gated delta net and of Kimi delta attention
        heads of values and of keys; of Mamba-2 heads and groups; of Mamba-1 and of a short
        convolution channels, twice.
    head_dim, v_head_dim : int
        Width of a key and of a value; of latent attention without the rotated part; of Mamba-2 and
        Mamba-1 the size of a head's state, and the width of a head (1 of a channel).
    q_rank, kv_rank, rope_dim : int
        Latent attention: ranks of queries (0 if they have none) and of keys and values, and the
        width of the rotated part. Mamba-1: `q_rank` is the rank of the time steps.
    window : int
        Tokens that a query looks back on; 0 if it sees all.
    index_heads, index_dim, index_topk : int
        Sparse attention with an indexer (DeepSeek-V3.2, MiniMax-M3): its heads, their width, and
        the tokens that each query keeps. 0 without an indexer.
    index_pool : int
        Tokens whose keys latent attention with an indexer pools to one (GLM-5.3-Flash).
    gated : bool
        Whether the output is multiplied by a gate with a product of its own, which is as wide as
        the queries, or as the output of latent attention. That of Kimi delta attention has a
        product of low rank otherwise.
    extra : int
        Further parameters: biases, sinks, norms of queries and keys.
    conv_kernel : int
        Width of the convolution of a gated delta net, of Kimi delta attention, of Mamba, or of a
        short convolution.
    compression : int
        Compressed attention: tokens of an entry; 0 if a layer has the window alone. With an
        indexer, entries overlap: two series of products make them, and of two series its keys.
    output_groups, output_rank : int
        Compressed attention: groups of heads that the output product first maps to as many vectors
        of this rank.
    state_dtype : str
        Type in which engines keep the state of linear attention or of Mamba, unless they are told
        otherwise. The last tokens of a convolution are kept in 16 bits.
    keys_as_values : bool
        Whether the values are made from the projected keys, without a product of their own. Both
        are cached.

    Raises
    ------
    ValueError
        If a size is not a positive integer, or the kind unknown.

    Examples
    --------
    >>> from moe_costmodel import Attention
    >>> attention = Attention(n_heads=32, n_kv_heads=8, head_dim=128)
    >>> attention.parameters(4096), attention.cache_values
    (41943040, 2048)
    """

    kind: str = "gqa"
    n_heads: int
    n_kv_heads: int
    head_dim: int
    v_head_dim: int = 0
    q_rank: int = 0
    kv_rank: int = 0
    rope_dim: int = 0
    window: int = 0
    index_heads: int = 0
    index_dim: int = 0
    index_topk: int = 0
    index_pool: int = 1
    gated: bool = False
    extra: int = 0
    conv_kernel: int = 0
    keys_as_values: bool = False
    compression: int = 0
    output_groups: int = 0
    output_rank: int = 0
    state_dtype: str = "float32"

    def __post_init__(self) -> None:
        one_of("Attention", "kind", self.kind, ATTENTION_KINDS)
        one_of("Attention", "state_dtype", self.state_dtype, STATE_TYPES)
        for name in ("n_heads", "n_kv_heads", "head_dim"):
            count("Attention", name, getattr(self, name))
        if count("Attention", "v_head_dim", self.v_head_dim, 0) == 0:
            object.__setattr__(self, "v_head_dim", self.head_dim)
        for name in ("q_rank", "rope_dim", "window", "extra", "conv_kernel"):
            count("Attention", name, getattr(self, name), 0)
        for name in ("index_heads", "index_dim", "index_topk"):
            count("Attention", name, getattr(self, name), 0)
        count("Attention", "index_pool", self.index_pool)
        count("Attention", "kv_rank", self.kv_rank, int(self.kind == "mla"))
        compressed = self.kind == "compressed"
        count("Attention", "compression", self.compression, 0)
        for name in ("output_groups", "output_rank"):
            count("Attention", name, getattr(self, name), int(compressed))
        if compressed and self.n_heads % self.output_groups:
            expected = f"a divisor of n_heads = {self.n_heads}"
            raise invalid("Attention", "output_groups", self.output_groups, expected)

    @property
    def query_width(self) -> int:
        """Width of all queries of a token."""
        return self.n_heads * (self.head_dim + self.rope_dim)

    @property
    def output_width(self) -> int:
        """Width of the heads' outputs of a token, before the last product."""
        return self.n_heads * self.v_head_dim

    @property
    def cache_values(self) -> float:
        """Values that each further token of context adds to the cache of this layer.

        A window counts as if it grew, except beside compressed entries.
        """
        if self.has_state:
            return 0
        if self.kind == "mla":
            return self.kv_rank + self.rope_dim + self.index_dim / self.index_pool
        if self.kind == "compressed":
            return (self.head_dim + self.index_dim) / max(self.compression, 1)
        return self.n_kv_heads * (self.head_dim + self.v_head_dim) + self.index_dim

    def cached_values(self, context: int) -> float:
        """Return the values in the cache of a sequence of `context` tokens, without states."""
        kept = min(context, self.window or context)
        if self.kind == "mla":
            pooled = context // self.index_pool * self.index_dim
            return kept * (self.kv_rank + self.rope_dim) + pooled
        if self.kind != "compressed":
            return kept * self.cache_values
        entries = context // self.compression if self.compression else 0
        return kept * self.head_dim + entries * (self.head_dim + self.index_dim)

    @property
    def has_state(self) -> bool:
        """Whether a sequence has a state of fixed size instead of a cache of its tokens."""
        return self.kind in _WITH_STATE

    @property
    def state_values(self) -> int:
        """Values of a sequence that do not grow with its context.

        They are the state of linear attention or of Mamba with the last tokens of its convolution,
        or what compressed attention keeps of the tokens that its next entries are made from.
        """
        if self.kind == "compressed":
            tokens = self.compression * self._series
            return 2 * tokens * self._series * (self.head_dim + self.index_dim)
        if not self.has_state:
            return 0
        state = 0 if self.kind == "conv" else self.n_heads * self.head_dim * self.v_head_dim
        return state + self._conv_width * self._conv_tokens

    @property
    def state_bytes(self) -> float:
        """Bytes of :attr:`state_values`, in :attr:`state_dtype` and in 16 bits.

        What compressed attention keeps is float32.
        """
        return self.divided_state_bytes(1)

    def divided_state_bytes(self, tp: int) -> float:
        """Return the bytes of :attr:`state_values` on one of `tp` GPUs that divide the heads.

        Groups of Mamba-2 are copied to the GPUs whose heads need them, as vLLM and SGLang do. What
        compressed attention keeps is copied.
        """
        if not self.has_state:
            return 4.0 * self.state_values
        convolved = (self._conv_width - self._grouped_width) / tp
        convolved += self._grouped_width * self.group_share(tp)
        found = 2.0 * convolved * self._conv_tokens
        if self.kind == "conv":
            return found
        state = self.n_heads * self.head_dim * self.v_head_dim / tp
        return found + state * DTYPE_BYTES[self.state_dtype]

    def group_share(self, tp: int) -> float:
        """Return the share of the heads of keys, or of Mamba-2's groups, on one of `tp` GPUs."""
        return max(1, -(-self.n_kv_heads // tp)) / self.n_kv_heads

    @property
    def _conv_tokens(self) -> int:
        return max(self.conv_kernel - 1, 0)

    @property
    def _grouped_width(self) -> int:
        """Channels of the convolution that belong to heads of keys, or to groups of Mamba-2."""
        if self.kind not in ("mamba", "linear", "kda"):
            return 0
        return 2 * self.n_kv_heads * self.head_dim

    def shared_weights(self, d_model: int) -> tuple[int, int]:
        """Return the weights that tensor parallelism divides by groups, and those it copies.

        Engines divide the products of keys and values, and of Mamba-2's inputs and outputs, by
        heads of keys or by groups. The products down to latents and those of an indexer of latent
        attention are on each GPU.

        Parameters
        ----------
        d_model : int
            Width of the tokens.
        """
        if self.kind == "mla":
            index = self.index_heads * self.index_dim * (self.q_rank or d_model)
            keys = self.index_dim * (1 + (self.index_pool > 1)) + self.index_heads
            index += d_model * keys if self.index_heads else 0
            return 0, d_model * (self.q_rank + self.kv_rank + self.rope_dim) + index
        if self.has_state:
            return self._grouped_width * (d_model + self.conv_kernel), 0
        if self.kind == "compressed":
            return 0, 0
        width = self.head_dim + (0 if self.keys_as_values else self.v_head_dim)
        return d_model * self.n_kv_heads * width, 0

    @property
    def _series(self) -> int:
        """Series of products from which the compressed entries are made: two if they overlap."""
        return 2 if self.index_heads else 1

    @property
    def _conv_width(self) -> int:
        if self.kind in ("mamba1", "conv"):
            return self.output_width
        return 2 * self.n_kv_heads * self.head_dim + self.output_width

    def parameters(self, d_model: int) -> int:
        """Return the number of weights of one layer for tokens of width `d_model`."""
        return sum(rows * columns for rows, columns in self.products(d_model)) + self.extra

    def products(self, d_model: int) -> list[tuple[int, int]]:
        """Return the inner and outer width of each dense product, (inputs, outputs).

        Those that latent attention multiplies each head with (from the latent to keys and values)
        are among them as one product.
        """
        if self.kind == "linear":
            inputs = self._conv_width + self.output_width + 2 * self.n_heads
            return [(d_model, inputs), (self.output_width, d_model)]
        if self.kind == "kda":
            rank, width = self.head_dim, self.output_width
            inputs = self._conv_width + self.n_heads + rank + (width if self.gated else rank)
            gates = [(rank, width)] * (1 if self.gated else 2)  # of forgetting, and of the output
            return [(d_model, inputs), *gates, (width, d_model)]
        if self.kind == "mamba":
            inputs = self._conv_width + self.output_width + self.n_heads
            return [(d_model, inputs), (self.output_width, d_model)]
        if self.kind == "conv":
            return [(d_model, 3 * self.output_width), (self.output_width, d_model)]
        if self.kind == "lightning":  # queries, keys, values, and the gate of the output
            inputs = 2 * self.query_width + 2 * self.output_width
            return [(d_model, inputs), (self.output_width, d_model)]
        if self.kind == "mamba1":
            rank, width = self.q_rank, self.output_width
            steps = [(width, rank + 2 * self.head_dim), (rank, width)]
            return [(d_model, 2 * width), *steps, (width, d_model)]
        if self.kind == "compressed":
            return self._compressed_products(d_model)
        if self.kind == "mla":
            queries = [(d_model, self.query_width)]
            if self.q_rank:
                queries = [(d_model, self.q_rank), (self.q_rank, self.query_width)]
            index: list[tuple[int, int]] = []
            if self.index_heads:
                inner = self.index_heads * self.index_dim
                index = [(self.q_rank or d_model, inner), (d_model, self.index_dim)]
                index += [(d_model, self.index_heads)]
                index += [(d_model, self.index_dim)] * (self.index_pool > 1)  # a gate
            latent = [(d_model, self.kv_rank + self.rope_dim)]
            expand = [(self.kv_rank, self.n_heads * (self.head_dim + self.v_head_dim))]
            output = [(d_model, self.output_width)] if self.gated else []
            output += [(self.output_width, d_model)]
            return [*queries, *latent, *expand, *index, *output]
        heads = self.n_heads * (2 if self.gated else 1) + self.n_kv_heads
        inputs = heads * self.head_dim
        inputs += 0 if self.keys_as_values else self.n_kv_heads * self.v_head_dim
        indexer = (self.index_heads + 1) * self.index_dim
        found = [(d_model, inputs), (self.output_width, d_model)]
        return [*found, (d_model, indexer)] if indexer else found

    def _compressed_products(self, d_model: int) -> list[tuple[int, int]]:
        """Return the products of compressed attention; that of a group of heads counts once."""
        latent = self.output_groups * self.output_rank
        heads = [(d_model, self.q_rank), (self.q_rank, self.query_width), (d_model, self.head_dim)]
        output = [(self.output_width // self.output_groups, latent), (latent, d_model)]
        if not self.compression:
            return [*heads, *output]
        compressor = [(d_model, 2 * self._series * self.head_dim)]
        if not self.index_heads:
            return [*heads, *compressor, *output]
        queries = [(self.q_rank, self.index_heads * self.index_dim), (d_model, self.index_heads)]
        index = [*queries, (d_model, 2 * self._series * self.index_dim)]
        return [*heads, *compressor, *index, *output]
