"""ModelShape: the sizes of a whole model, its parameters by part, and its cache."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from moe_costmodel._checks import count, invalid, one_of, require
from moe_costmodel.models.attention import Attention
from moe_costmodel.shapes import DTYPE_BYTES, LayerShape

__all__ = ["PARTS", "Block", "ExpertShape", "ModelShape"]

PARTS = ("embedding", "head", "attention", "dense", "experts", "shared", "router", "norms")


@dataclass(frozen=True, kw_only=True)
class ExpertShape:
    """Sizes of the experts of one MoE layer.

    Parameters
    ----------
    n_experts, k, d_ffn : int
        Routed experts, experts per token, and inner width of one expert.
    d_shared : int
        Inner width of all shared experts together; 0 without.
    gated : bool
        Whether experts have a gate (three matrices instead of two).
    biases : int
        Biases of one routed expert.
    router_extra, shared_extra : int
        Parameters of the router, and of the shared experts, besides their matrices.
    latent : int
        Width of the tokens in the routed experts if it is not that of the model (latent experts);
        0 if it is. The two products down to it and up again count as part of the router.

    Raises
    ------
    ValueError
        If a size is not a positive integer, or k is above n_experts.

    Examples
    --------
    >>> from moe_costmodel import ExpertShape
    >>> ExpertShape(n_experts=8, k=2, d_ffn=14336).parameters(4096)
    176160768
    """

    n_experts: int
    k: int
    d_ffn: int
    d_shared: int = 0
    gated: bool = True
    biases: int = 0
    router_extra: int = 0
    shared_extra: int = 0
    latent: int = 0

    def __post_init__(self) -> None:
        for name in ("n_experts", "k", "d_ffn"):
            count("ExpertShape", name, getattr(self, name))
        for name in ("d_shared", "biases", "router_extra", "shared_extra", "latent"):
            count("ExpertShape", name, getattr(self, name), 0)
        if self.k > self.n_experts:
            raise invalid("ExpertShape", "k", self.k, f"at most n_experts = {self.n_experts}")

    def parameters(self, d_model: int) -> int:
        """Return the number of weights of one routed expert."""
        return (3 if self.gated else 2) * self.width(d_model) * self.d_ffn + self.biases

    def width(self, d_model: int) -> int:
        """Return the width of the tokens in the routed experts."""
        return self.latent or d_model

    def router_parameters(self, d_model: int) -> int:
        """Return the number of weights of the router, with the products of latent experts."""
        return (self.n_experts + 2 * self.latent) * d_model + self.router_extra

    def shared_parameters(self, d_model: int) -> int:
        """Return the number of weights of all shared experts of a layer."""
        return (3 if self.gated else 2) * d_model * self.d_shared + self.shared_extra


@dataclass(frozen=True, kw_only=True)
class Block:
    """Equal layers of a model.

    Parameters
    ----------
    n_layers : int
        How many such layers the model has.
    attention : Attention
        Attention of each.
    d_ffn : int
        Inner width of the dense feed-forward part; 0 if the layer has experts instead, or no
        feed-forward part at all.
    experts : ExpertShape, optional
        Its experts.
    gated : bool
        Whether the dense feed-forward part has a gate (three matrices instead of two).
    ffn_extra, norms : int
        Biases of the dense feed-forward part, and parameters of the norms, of each layer.

    Raises
    ------
    ValueError
        If a size is not a positive integer.

    Examples
    --------
    >>> from moe_costmodel import Attention, Block
    >>> attention = Attention(n_heads=32, n_kv_heads=8, head_dim=128)
    >>> Block(n_layers=32, attention=attention, d_ffn=14336).n_layers
    32
    """

    n_layers: int
    attention: Attention
    d_ffn: int = 0
    experts: ExpertShape | None = None
    ffn_extra: int = 0
    norms: int = 0
    gated: bool = True

    def __post_init__(self) -> None:
        count("Block", "n_layers", self.n_layers)
        count("Block", "d_ffn", self.d_ffn, 0)
        for name in ("ffn_extra", "norms"):
            count("Block", name, getattr(self, name), 0)


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """Sizes of a language model: layers, attention, experts, parameters, and cache.

    Parameters
    ----------
    name : str
        Name of the architecture.
    d_model, vocabulary : int
        Width of the tokens, and number of different tokens.
    blocks : tuple of Block
        Groups of equal layers. The order of groups does not matter.
    tied : bool
        Whether the last product uses the embedding's weights.
    dtypes : dict of str to str
        Type of the weights of each part in :data:`PARTS`, such as "bfloat16" (the default), "fp8"
        or "nvfp4".
    next_token_layers : int
        Layers that predict further tokens (multi-token prediction). They are not counted elsewhere.
    max_context : int
        Longest context, which the config's scaling of positions has extended; 0 if unknown.
    extra : int
        Biases of the last norm and of the head, and what collapses the streams after the last
        layer; they are counted among the norms.
    streams : int
        Vectors in which a token travels between layers: more than 1 with hyper-connections (arXiv
        2409.19606), whose weights count among the norms.
    residual_blocks : int
        Blocks of layers whose sums later layers weigh by attention (attention residuals); 0
        without.
    single_parts : bool
        Whether engines count a mixer and the feed-forward part after it as two layers
        (Nemotron-3); here they are one.

    Raises
    ------
    ValueError
        If a size is not a positive integer, or a part or type unknown.

    Examples
    --------
    >>> from moe_costmodel import ModelShape
    >>> mixtral = {
    ...     "model_type": "mixtral", "hidden_size": 4096, "intermediate_size": 14336,
    ...     "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    ...     "num_local_experts": 8, "num_experts_per_tok": 2, "vocab_size": 32000,
    ... }
    >>> shape = ModelShape.from_config(mixtral)
    >>> f"{shape.n_parameters / 1e9:.1f} B, {shape.n_active / 1e9:.1f} B active"
    '46.7 B, 12.9 B active'
    >>> shape.kv_bytes_per_token()
    131072.0
    """  # fmt: skip

    name: str
    d_model: int
    vocabulary: int
    blocks: tuple[Block, ...]
    tied: bool = False
    dtypes: Mapping[str, str] = field(default_factory=dict)
    next_token_layers: int = 0
    max_context: int = 0
    extra: int = 0
    streams: int = 1
    residual_blocks: int = 0
    single_parts: bool = False

    def __post_init__(self) -> None:
        owner = "ModelShape"
        for name in ("d_model", "vocabulary", "streams"):
            count(owner, name, getattr(self, name))
        for name in ("next_token_layers", "max_context", "extra", "residual_blocks"):
            count(owner, name, getattr(self, name), 0)
        held = isinstance(self.blocks, tuple) and bool(self.blocks)
        require(owner, "blocks", self.blocks, held, "a tuple of at least one Block")
        for part, dtype in self.dtypes.items():
            one_of(owner, "dtypes", part, PARTS)
            one_of(owner, f"dtypes[{part!r}]", dtype, DTYPE_BYTES)
        full = dict.fromkeys(PARTS, "bfloat16") | dict(self.dtypes)
        object.__setattr__(self, "dtypes", full)

    @classmethod
    def from_config(cls, config: str | Path | Mapping[str, object]) -> ModelShape:
        """Read the config.json of a Hugging Face model.

        Parameters
        ----------
        config : str, Path or mapping
            The file, a folder that holds it, or its content. A file ``hf_quant_config.json``
            beside it (TensorRT Model Optimizer) is read, too.

        Returns
        -------
        ModelShape

        Raises
        ------
        FileNotFoundError
            If the file does not exist.
        ValueError
            If the architecture is unknown (the message names the nearest known one), a field is
            missing, or a value is out of range.
        """
        from moe_costmodel.models.config import read_config

        return read_config(config)

    # ------------------------------------------------------------------------------------ layers

    @property
    def n_layers(self) -> int:
        """Number of layers."""
        return sum(block.n_layers for block in self.blocks)

    @property
    def n_moe_layers(self) -> int:
        """Number of layers with experts."""
        return sum(block.n_layers for block in self.blocks if block.experts)

    @property
    def n_dense_layers(self) -> int:
        """Number of layers without experts."""
        return self.n_layers - self.n_moe_layers

    @property
    def experts(self) -> ExpertShape | None:
        """Sizes of the experts, those of the group with most layers; None of a dense model."""
        with_experts = [block for block in self.blocks if block.experts]
        return max(with_experts, key=lambda block: block.n_layers).experts if with_experts else None

    def layer_shape(self, *, n_devices: int = 1) -> LayerShape:
        """Return the sizes of an MoE layer whose experts are spread over devices.

        Parameters
        ----------
        n_devices : int
            Devices of expert parallelism; the number of experts on one is rounded up.

        Returns
        -------
        LayerShape

        Raises
        ------
        ValueError
            If the model has no experts, or `n_devices` is not a positive integer.
        """
        experts = self.experts
        count("ModelShape.layer_shape", "n_devices", n_devices)
        if experts is None:
            raise ValueError(
                f"The model {self.name!r} has no experts; it is dense. Give a model with experts."
            )
        return LayerShape(
            n_experts=experts.n_experts,
            k=experts.k,
            d_model=experts.width(self.d_model),
            d_ffn=experts.d_ffn,
            n_local=-(-experts.n_experts // n_devices),
            gated=experts.gated,
            dtype=self.dtypes["experts"],
        )

    def beyond_context(self, tokens: int) -> str:
        """Return a sentence about requests that exceed the longest context, empty if they do not.

        Parameters
        ----------
        tokens : int
            Tokens of the longest prompt and its answer.
        """
        if not 0 < self.max_context < tokens:
            return ""
        return (
            f"The longest request has {tokens:,} tokens, but the config of {self.name} allows "
            f"{self.max_context:,} (max_position_embeddings and its scaling): engines refuse such "
            "requests unless they are given a scaling of positions (rope_scaling)."
        )

    # -------------------------------------------------------------------------------- parameters

    def parameters(self) -> dict[str, int]:
        """Return the number of parameters by part."""
        return self._counted(active=False)

    def active_parameters(self) -> dict[str, int]:
        """Return the parameters that take part in the computation of one token, by part.

        A token uses one row of the embedding, which counts in full. Published numbers of several
        models are lower: those of gpt-oss and DeepSeek-V2-Lite agree without the embedding, that of
        GLM-4.5-Air without embedding and head.
        """
        return self._counted(active=True)

    def _counted(self, *, active: bool) -> dict[str, int]:
        found = dict.fromkeys(PARTS, 0)
        found["embedding"] = self.vocabulary * self.d_model
        found["head"] = 0 if self.tied else self.vocabulary * self.d_model
        found["norms"] = self.d_model + self.extra
        for block in self.blocks:
            n, experts = block.n_layers, block.experts
            found["attention"] += n * block.attention.parameters(self.d_model)
            found["norms"] += n * block.norms
            if experts is None:
                matrices = 3 if block.gated else 2
                found["dense"] += n * (matrices * self.d_model * block.d_ffn + block.ffn_extra)
                continue
            used = experts.k if active else experts.n_experts
            found["experts"] += n * used * experts.parameters(self.d_model)
            found["shared"] += n * experts.shared_parameters(self.d_model)
            found["router"] += n * experts.router_parameters(self.d_model)
        return found

    @property
    def n_parameters(self) -> int:
        """Number of parameters."""
        return sum(self.parameters().values())

    @property
    def n_active(self) -> int:
        """Number of parameters that take part in the computation of one token."""
        return sum(self.active_parameters().values())

    def weight_bytes(self) -> dict[str, float]:
        """Return the bytes of the weights by part, in the types of :attr:`dtypes`."""
        return {part: n * DTYPE_BYTES[self.dtypes[part]] for part, n in self.parameters().items()}

    # ------------------------------------------------------------------------------------- cache

    def kv_bytes_per_token(self, dtype: str = "bfloat16") -> float:
        """Return the bytes that a further token of context adds to the cache of all layers.

        Parameters
        ----------
        dtype : str
            Type of the cache.

        Returns
        -------
        float
            Layers with a window of attention are counted, although their cache stops growing once
            the window is full; a window beside compressed entries is not. See :meth:`kv_bytes`.
        """
        one_of("ModelShape.kv_bytes_per_token", "dtype", dtype, DTYPE_BYTES)
        values = sum(block.n_layers * block.attention.cache_values for block in self.blocks)
        return values * DTYPE_BYTES[dtype]

    def kv_bytes(self, context: int, dtype: str = "bfloat16") -> float:
        """Return the bytes of the cache of one sequence.

        Parameters
        ----------
        context : int
            Tokens of the sequence.
        dtype : str
            Type of the cache. States have a type of their own; see :attr:`Attention.state_bytes`.

        Returns
        -------
        float
        """
        count("ModelShape.kv_bytes", "context", context, 0)
        one_of("ModelShape.kv_bytes", "dtype", dtype, DTYPE_BYTES)
        total = 0.0
        for block in self.blocks:
            values = block.attention.cached_values(context) * DTYPE_BYTES[dtype]
            total += block.n_layers * (values + block.attention.state_bytes)
        return total

    def with_state(self, dtype: str) -> ModelShape:
        """Return the model with another type of the states of linear attention and of Mamba.

        Parameters
        ----------
        dtype : {"float32", "bfloat16", "float16"}
            Their type.
        """
        blocks = tuple(
            replace(block, attention=replace(block.attention, state_dtype=dtype))
            for block in self.blocks
        )
        return replace(self, blocks=blocks)

    def __str__(self) -> str:
        experts, words = self.experts, f"{self.n_layers} layers"
        if experts is not None:
            alone = sum(b.n_layers for b in self.blocks if not b.experts and not b.d_ffn)
            dense = f"{self.n_dense_layers - alone} dense layers"
            words = f"{self.n_moe_layers} MoE and {dense}, "
            words += f"{alone} without feed-forward part, " if alone else ""
            words += f"{experts.n_experts} experts, {experts.k} a token"
        return (
            f"{self.name}: {words}; {self.n_parameters / 1e9:.4g} B parameters, "
            f"{self.n_active / 1e9:.4g} B active; {self.kv_bytes_per_token() / 1024:.4g} KiB of "
            "cache a token"
        )
