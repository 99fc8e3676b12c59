"""Fields of hybrids of attention and other mixers, rewritten to their usual spellings."""

from __future__ import annotations

from collections.abc import Callable

from moe_costmodel.models.fields import ConfigFields
from moela.files.guard import brief, invalid_file

__all__ = ["HYBRID_FIELDS"]

_MAMBA = {"linear_attention": "mamba", "full_attention": "attention"}


def _granite(fields: ConfigFields) -> dict[str, object]:
    """Return the layers of Granite-4, and the sizes of its Mamba-2."""
    n_layers = fields.whole("num_hidden_layers")
    listed = "layer_types" if fields.get("layer_types") is not None else "layers_block_type"
    kinds = fields.words(listed, n_layers, ("mamba", "attention", *_MAMBA)) or ["mamba"] * n_layers
    kinds = [_MAMBA.get(kind, kind) for kind in kinds]
    if "mamba" not in kinds:
        return {"layer_types": kinds}
    heads = fields.whole("mamba_n_heads")
    inner = fields.whole("mamba_expand", default=2) * fields.whole("hidden_size")
    given = fields.get("mamba_d_head")
    width = inner // heads if given in (None, "auto") else fields.whole("mamba_d_head")
    if heads * width != inner:
        expected = f"such that mamba_n_heads * mamba_d_head = mamba_expand * hidden_size = {inner}"
        raise invalid_file(fields.source, heads, expected, fields.place("mamba_n_heads"))
    groups = fields.whole("mamba_n_groups", default=1)
    if heads % groups:
        expected = f"a divisor of mamba_n_heads = {heads}"
        raise invalid_file(fields.source, groups, expected, fields.place("mamba_n_groups"))
    return {
        "layer_types": kinds,
        "mamba_num_heads": heads,
        "mamba_head_dim": width,
        "n_groups": groups,
        "ssm_state_size": fields.whole("mamba_d_state"),
        "conv_kernel": fields.whole("mamba_d_conv", default=4),
        "use_conv_bias": fields.flag("mamba_conv_bias", True),
    }


def _lfm2(fields: ConfigFields) -> dict[str, object]:
    """Return the layers of LFM2-MoE: short convolutions and attention, the first ones dense."""
    n_layers = fields.whole("num_hidden_layers")
    kinds = fields.words("layer_types", n_layers, ("conv", "full_attention"))
    if kinds is None:
        expected = f"a list of {n_layers} texts, conv or full_attention"
        raise invalid_file(fields.source, "no such field", expected, fields.place("layer_types"))
    # An earlier spelling counts before the usual one, as in transformers.
    name = "tie_embedding" if fields.get("tie_embedding") is not None else "tie_word_embeddings"
    return {
        "layer_types": kinds,
        "first_k_dense_replace": fields.whole("num_dense_layers", default=2, low=0),
        "use_expert_bias": fields.flag("use_expert_bias", True),
        "tie_word_embeddings": fields.flag(name, True),
    }


def _jamba(fields: ConfigFields) -> dict[str, object]:
    """Return the layers of Jamba, which has attention and experts at intervals."""
    n_layers = fields.whole("num_hidden_layers")
    attention = _at_interval(fields, "attn_layer", n_layers, 8, 4)
    experts = _at_interval(fields, "expert_layer", n_layers, 2, 1)
    several = fields.whole("num_experts", "num_local_experts") > 1  # one stands for a dense part
    return {
        "layer_types": ["full_attention" if one else "mamba1" for one in attention],
        "mlp_layer_types": ["sparse" if one and several else "dense" for one in experts],
    }


def _at_interval(
    fields: ConfigFields, name: str, n_layers: int, period: int, offset: int
) -> list[bool]:
    """Tell of each layer whether it is one of those at a period and an offset."""
    period = fields.whole(f"{name}_period", default=period)
    offset = fields.whole(f"{name}_offset", default=offset, low=0)
    if offset >= period:
        expected = f"below {name}_period = {period}"
        raise invalid_file(fields.source, offset, expected, fields.place(f"{name}_offset"))
    return [i % period == offset for i in range(n_layers)]


def _minimax(fields: ConfigFields) -> dict[str, object]:
    """Return the layers of MiniMax-Text-01 and MiniMax-M1: lightning attention or softmax."""
    n_layers = fields.whole("num_hidden_layers")
    if n := fields.whole("shared_intermediate_size", default=0, low=0):
        expected = "0, as in all released models of this architecture"
        place = fields.place("shared_intermediate_size")
        raise invalid_file(fields.source, n, expected, place)
    words = {"linear_attention": "lightning", "full_attention": "full_attention"}
    kinds = fields.words("layer_types", n_layers, tuple(words))
    numbers = fields.wholes("attn_type_list")  # of files with code of their own
    if kinds is None and not numbers:
        if fields.content.get("model_type") != "minimax":
            expected = f"a list of 0 (lightning attention) and 1 for the {n_layers} layers"
            place = fields.place("attn_type_list")
            raise invalid_file(fields.source, "no such field", expected, place)
        numbers = [(i + 1) % 2 for i in range(n_layers)]  # as in transformers
    if kinds is None:
        if len(numbers) < n_layers or set(numbers) - {0, 1}:
            expected = f"a list of 0 (lightning attention) and 1 for the {n_layers} layers"
            place = fields.place("attn_type_list")
            raise invalid_file(fields.source, brief(numbers), expected, place)
        kinds = [tuple(words)[number] for number in numbers[:n_layers]]
    return {"layer_types": [words[kind] for kind in kinds]}


def _cohere(fields: ConfigFields) -> dict[str, object]:
    """Return the layers of Command A with experts: some have a window, the first ones are dense."""
    n_layers = fields.whole("num_hidden_layers")
    first = min(fields.whole("first_k_dense_replace", default=0, low=0), n_layers)
    counts = range(first), range(n_layers - first)
    names = "prefix_dense_sliding_window_pattern", "sliding_window_pattern"
    kinds: list[str] = []
    for numbers, name, usual in zip(counts, names, (1, 4), strict=True):
        every = fields.whole(name, default=usual)
        kinds += ["sliding_attention" if (i + 1) % every else "full_attention" for i in numbers]
    found: dict[str, object] = {"first_k_dense_replace": first}
    if fields.get("prefix_dense_intermediate_size") is None:
        found["prefix_dense_intermediate_size"] = fields.whole("intermediate_size")
    return found if fields.get("layer_types") is not None else found | {"layer_types": kinds}


def _longcat(fields: ConfigFields) -> dict[str, object]:
    """Return the sizes of LongCat-Flash, whose layers count as two.

    Some experts return their input, and cost nothing. A token chooses among all; on average as many
    of its choices have weights as experts do (arXiv 2509.01322: 27 of 560 billion parameters).
    """
    kind = fields.get("zero_expert_type")
    if kind not in (None, "identity"):
        expected = "identity, as in all released models of this architecture"
        raise invalid_file(fields.source, brief(kind), expected, fields.place("zero_expert_type"))
    n, zero = fields.whole("n_routed_experts"), fields.whole("zero_expert_num", low=0)
    chosen = fields.whole("moe_topk")
    if chosen * n % (n + zero):
        expected = f"such that moe_topk * {n} / ({n} + zero_expert_num) is a whole number"
        raise invalid_file(fields.source, chosen, expected, fields.place("moe_topk"))
    return {
        "num_hidden_layers": fields.whole("num_layers", "num_hidden_layers"),
        "intermediate_size": fields.whole("ffn_hidden_size"),
        "moe_intermediate_size": fields.whole("expert_ffn_hidden_size"),
        "num_experts_per_tok": chosen * n // (n + zero),
    }


def _like_ling(fields: ConfigFields) -> dict[str, object]:
    """Return the fields that Sarvam-30B and Param2 share with Ling, as GLM-4.5 spells them."""
    biases = "attention_bias" if "attention_bias" in fields.content else "use_qkv_bias"
    return {"attention_bias": fields.flag(biases)}


# Fields to add or to replace, by architecture.
HYBRID_FIELDS: dict[str, Callable[[ConfigFields], dict[str, object]]] = {
    "cohere2_moe": _cohere,
    "granitemoehybrid": _granite,
    "jamba": _jamba,
    "lfm2_moe": _lfm2,
    "longcat_flash": _longcat,
    "minimax": _minimax,
    "param2moe": _like_ling,
    "sarvam_moe": _like_ling,
}
