"""Reading a config.json into a ModelShape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from os import PathLike
from pathlib import Path

from moe_costmodel._checks import InvalidParameter, invalid
from moe_costmodel.models.families import ALIASES, ARCHITECTURES, HYBRIDS, Architecture
from moe_costmodel.models.fields import ConfigFields
from moe_costmodel.models.layers import EXPERTS, WITH_EXPERTS, layers_of, sparse_layers
from moe_costmodel.models.mixers import attention_of
from moe_costmodel.models.needed import check_complete
from moe_costmodel.models.quantization import weight_types
from moe_costmodel.models.shape import Block, ExpertShape, ModelShape
from moe_costmodel.models.spellings import in_usual_words
from moela.files.fields import object_in
from moela.files.guard import brief, invalid_file
from moela.files.text import read_json

__all__ = ["moe_layer_numbers", "read_config"]

_CHOSEN = (
    "num_experts_per_tok", "experts_per_token", "moe_k", "moe_topk", "top_k_experts",
    "num_experts_per_token", "moe_top_k",
)  # fmt: skip
_SHARED = ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts")
_SHARED_WIDTHS = (
    "shared_expert_intermediate_size", "shared_intermediate_size", "share_expert_dim",
)  # fmt: skip


def read_config(config: str | Path | Mapping[str, object]) -> ModelShape:
    """Return the sizes of the model that a config.json describes."""
    fields, extra = _opened(config)
    name, architecture = _architecture(fields)
    quantization = fields.get("quantization_config") or extra
    fields = in_usual_words(name, fields)
    try:
        return _built(name, architecture, fields, quantization)
    except InvalidParameter as error:
        raise invalid_file(fields.source, error.got, error.expected, error.name) from error


def moe_layer_numbers(config: str | Path | Mapping[str, object]) -> tuple[int, ...]:
    """Return the numbers of the layers with experts within the model that a config.json describes.

    Parameters
    ----------
    config : str, Path or mapping
        As for :meth:`ModelShape.from_config`.

    Returns
    -------
    tuple of int

    Raises
    ------
    ValueError
        As for :meth:`ModelShape.from_config`.
    """
    fields, _ = _opened(config)
    name, architecture = _architecture(fields)
    fields = in_usual_words(name, fields)
    sparse = sparse_layers(architecture, fields)
    return tuple(i for i, with_experts in enumerate(sparse) if with_experts)


def _opened(config: str | Path | Mapping[str, object]) -> tuple[ConfigFields, object]:
    """Return the fields of a config, and what is known of its quantization beside them."""
    extra: object = None
    source: str | Path = "config"
    if isinstance(config, Mapping):
        content: Mapping[str, object] = config
    elif not isinstance(config, str | PathLike):
        expected = "the path of a config.json or of its folder, or its content as a mapping"
        raise invalid("ModelShape.from_config", "config", brief(config), expected)
    else:
        source = Path(config)
        if source.is_dir():
            source = source / "config.json"
        content = object_in(source, "", read_json(source))
        name = source.name.replace("config.json", "hf_quant_config.json")
        if name != source.name and (beside := source.with_name(name)).is_file():
            extra = object_in(beside, "", read_json(beside)).get("quantization")
    return _text_part(ConfigFields(content, source)), content.get("quantization_config") or extra


def _text_part(fields: ConfigFields) -> ConfigFields:
    """Return the part about language, of models that also read images."""
    thinker = fields.content.get("thinker_config")  # of models that also speak
    if thinker is not None:
        found = object_in(fields.source, "thinker_config", thinker)
        fields = ConfigFields(found, fields.source, "thinker_config.")
    inner = fields.content.get("text_config")
    if inner is None:
        return fields
    place = fields.place("text_config")
    found = object_in(fields.source, place, inner)
    if found.get("model_type") is None:
        found = {**found, "model_type": fields.content.get("model_type")}
    # transformers ties by the field outside, even if the one inside says something else.
    tied = fields.content.get("tie_word_embeddings")
    outside = {} if tied is None else {"tie_word_embeddings": tied}
    return ConfigFields({**found, **outside}, fields.source, f"{place}.")


def _architecture(fields: ConfigFields) -> tuple[str, Architecture]:
    """Return the name of the architecture, and the facts about it."""
    given = fields.content.get("model_type")
    name = ALIASES.get(str(given), str(given))
    if name == "kimi_linear" and fields.get("routed_expert_hidden_size"):
        name = "kimi_k3"
    if name in ARCHITECTURES:
        return name, ARCHITECTURES[name]
    known = sorted(ARCHITECTURES)
    close = get_close_matches(name, known, n=1, cutoff=0.0)[0]
    expected = f"a known architecture; the nearest one is '{close}', all are {', '.join(known)}"
    if name in HYBRIDS:
        expected = (
            f"a known architecture ({', '.join(known)}). Models with {HYBRIDS[name]} are not read: "
            "plan the MoE layers alone (a LayerShape, `moela run moe --shape`), or approximate the "
            "model by a ModelShape of your own; Attention(kind='linear') has a state of fixed size"
        )
    raise invalid_file(
        fields.source, given if given is not None else "none", expected, fields.place("model_type")
    )


def _built(
    name: str, architecture: Architecture, fields: ConfigFields, quantization: object
) -> ModelShape:
    d_model = fields.whole("hidden_size")
    check_complete(name, fields)
    layers, single = layers_of(architecture, fields)
    groups, parts = Counter(layers), [part for _, part in layers]
    attentions = {kind: attention_of(architecture, fields, kind) for kind in {k for k, _ in layers}}
    has_experts = any(part in WITH_EXPERTS for part in parts)
    experts = _experts(architecture, fields, d_model) if has_experts else None
    streams = fields.whole("hc_mult") if architecture.streams else 1
    # Attention residuals weigh the sums of blocks of layers, by a norm and a product each time.
    residual = fields.whole("attn_res_block_size", default=0, low=0)
    mlp_bias = fields.flag("mlp_bias")
    if mlp_bias and has_experts:
        expected = "false: biases of dense parts are read of models without experts only"
        raise invalid_file(fields.source, "true", expected, fields.place("mlp_bias"))
    blocks = []
    for (kind, part), number in groups.items():
        d_ffn = fields.whole(architecture.dense_width) if part == "dense" else 0
        biases = ((1 + architecture.gated) * d_ffn + d_model) * mlp_bias if d_ffn else 0
        blocks.append(
            Block(
                n_layers=number,
                attention=attentions[kind],
                d_ffn=d_ffn,
                experts=_of_part(part, experts),
                ffn_extra=biases,
                norms=_n_norms(architecture, part) * d_model
                + 2
                * (_mixing(architecture.streams, d_model, streams) + 2 * d_model * (residual > 0)),
                gated=architecture.gated,
            )
        )
    vocabulary = fields.whole("vocab_size")
    head_bias = vocabulary * fields.flag("lm_head_bias")
    return ModelShape(
        name=name,
        d_model=d_model,
        vocabulary=vocabulary,
        blocks=tuple(blocks),
        tied=fields.flag("tie_word_embeddings", architecture.tied),
        dtypes=weight_types(fields, quantization, single or parts[:: 1 + architecture.paired])
        | ({"norms": "float32"} if architecture.streams else {}),
        streams=streams,
        single_parts=architecture.single_parts,
        next_token_layers=fields.whole(
            "num_nextn_predict_layers", "mtp_num_hidden_layers", default=0, low=0
        ),
        max_context=_max_context(fields),
        extra=head_bias
        + d_model * (architecture.norm_biases + 2 * (residual > 0))
        + _collapse(d_model, streams) * architecture.collapsed,
        residual_blocks=-(-len(layers) // residual) if residual else 0,
    )


def _of_part(part: str, experts: ExpertShape | None) -> ExpertShape | None:
    """Return the experts of a layer; a table of tokens has no correction of scores."""
    if experts is None or part not in WITH_EXPERTS:
        return None
    return experts if part == "sparse" else replace(experts, router_extra=0)


def _mixing(kind: str, d_model: int, streams: int) -> int:
    """Return the parameters of a hyper-connection: products, biases and scales; none if alone."""
    if streams == 1:
        return 0
    if kind == "independent":  # streams are read and written, but not mixed
        return 2 * streams * (streams * d_model + 1) + 2
    return (2 + streams) * streams * (streams * d_model + 1) + 3


def _collapse(d_model: int, streams: int) -> int:
    """Return the parameters that collapse the streams after the last layer."""
    return streams * (streams * d_model + 1) + 1 if streams > 1 else 0


def _n_norms(architecture: Architecture, part: str) -> int:
    """Return how many vectors as wide as the tokens the norms of a layer have."""
    return 1 if part == "none" else architecture.norms[part in WITH_EXPERTS]


def _max_context(fields: ConfigFields) -> int:
    """Return the longest context, 0 if unknown, as engines derive it from a config.

    Some configs state the longest context after scaling, others the one before.
    """
    longest = fields.whole("max_position_embeddings", "model_max_length", default=0, low=0)
    scaling = fields.get("rope_scaling", "rope_parameters")
    if not isinstance(scaling, Mapping):
        return longest
    kind = scaling.get("rope_type", scaling.get("type"))
    factor, base = scaling.get("factor"), scaling.get("original_max_position_embeddings")
    if kind not in ("linear", "dynamic", "yarn") or not isinstance(factor, int | float):
        return longest
    if kind == "yarn" and isinstance(base, int) and 0 < base < 2**31:
        return max(longest, _scaled(base, factor))
    return _scaled(longest, factor)


def _scaled(context: int, factor: float) -> int:
    return int(min(context * max(1.0, factor), 2.0**31))


def _experts(architecture: Architecture, fields: ConfigFields, d_model: int) -> ExpertShape:
    n_experts = fields.whole(*EXPERTS)
    k = fields.same(*_CHOSEN)
    if k > n_experts:
        expected = f"at most {fields.named(*EXPERTS)} = {n_experts}"
        raise invalid_file(fields.source, k, expected, fields.named(*_CHOSEN))
    # Where layers may be dense, "intermediate_size" is their width, and not that of an expert.
    mixed = architecture.dense_first or architecture.sparse_step or architecture.single_parts
    mixed = mixed or architecture.interval in ("ernie", "step")
    mixed = (mixed and architecture.dense_width == "intermediate_size") or architecture.parallel
    d_ffn = fields.same("moe_intermediate_size", *(() if mixed else ("intermediate_size",)))
    d_shared = 0
    if architecture.shared == "number":
        d_shared = d_ffn * fields.whole(*_SHARED, default=0, low=0)
    elif architecture.shared == "width":
        d_shared = fields.whole(*_SHARED_WIDTHS, default=0, low=0)
    elif architecture.shared == "width by number":
        width = fields.whole("moe_shared_expert_intermediate_size", default=d_ffn)
        d_shared = width * fields.whole(*_SHARED, default=0, low=0)
    elif architecture.shared == "one":
        d_shared = d_ffn
    elif architecture.shared == "nemotron":
        d_shared = fields.whole("moe_shared_expert_intermediate_size")
        d_shared *= fields.whole(*_SHARED, default=1, low=0) > 0
    elif architecture.parallel:
        d_shared = fields.whole("intermediate_size")
    latent = fields.whole("moe_latent_size", "routed_expert_hidden_size", default=0, low=0)
    zero = fields.whole("zero_expert_num", default=0, low=0) if architecture.paired else 0
    has_bias = architecture.router_bias
    if architecture.router_field:
        has_bias = fields.flag(architecture.router_field)
    return ExpertShape(
        n_experts=n_experts,
        k=k,
        d_ffn=d_ffn,
        d_shared=d_shared,
        biases=(2 * d_ffn + d_model) if architecture.expert_biases else 0,
        gated=architecture.gated,
        # Gemma-4 scales the router's input, and what each expert returns.
        # LongCat's router also scores experts that return their input.
        router_extra=(n_experts + zero) * has_bias
        + zero * d_model
        + (d_model + n_experts) * (architecture.parallel and not architecture.paired)
        + latent * fields.flag("latent_moe_use_norm"),
        latent=latent,
        shared_extra=d_model if architecture.shared_gate and d_shared else 0,
    )
