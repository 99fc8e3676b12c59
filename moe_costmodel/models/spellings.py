"""Older and nested spellings of fields of a config.json, rewritten to the usual ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from moe_costmodel.models.fields import ConfigFields
from moe_costmodel.models.hybrids import HYBRID_FIELDS
from moela.files.fields import object_in
from moela.files.guard import brief, invalid_file

__all__ = ["FEED_FORWARD", "in_usual_words"]

FEED_FORWARD = {"moe": "sparse", "mlp": "dense"}  # layers of Nemotron-H that are no mixers
_BLOCKS = {
    **dict.fromkeys(("M", "mamba", "linear_attention"), "mamba"),
    **dict.fromkeys(("*", "attention", "full_attention"), "full_attention"),
    **dict.fromkeys(("E", "moe"), "moe"), **dict.fromkeys(("-", "mlp"), "mlp"),
}  # fmt: skip
_LINEAR = {
    "linear_num_heads": "num_heads", "linear_head_dim": "head_dim",
    "linear_conv_kernel_dim": "short_conv_kernel_size",
    "linear_full_rank_gate": "use_full_rank_gate",
}  # fmt: skip
_STEP = {
    "num_key_value_heads": "num_attention_groups", "share_expert_dim": "share_expert_dims",
    "swa_num_attention_heads": "num_sliding_attention_heads",
}  # fmt: skip
_COMPRESSED = {
    0: "sliding_attention", 4: "compressed_sparse_attention", 128: "heavily_compressed_attention",
}  # fmt: skip
_INDEX = {
    "index_n_heads": "sparse_num_index_heads", "index_head_dim": "sparse_index_dim",
    "index_block_size": "sparse_block_size", "index_topk_blocks": "sparse_topk_blocks",
}  # fmt: skip


def in_usual_words(name: str, fields: ConfigFields) -> ConfigFields:
    """Return the fields of an architecture, with those that it alone spells otherwise rewritten.

    A ValueError names the field whose value is wrong.
    """
    found = dict(fields.content)
    if name == "nemotron_h":
        listed = _blocks(fields)
        found |= {"layers_block_type": listed, "num_hidden_layers": len(listed)}
        if found.get("head_dim") is None and found.get("attention_head_dim") is not None:
            found["head_dim"] = found["attention_head_dim"]
    elif name in HYBRID_FIELDS:
        found |= HYBRID_FIELDS[name](fields)
    elif name == "deepseek_v4":
        found = _compressions(fields) | {k: v for k, v in found.items() if v is not None}
    elif name == "afmoe":
        usual = {"num_dense_layers": 1, "global_attn_every_n_layers": 4}
        found = usual | {k: v for k, v in found.items() if v is not None}
        found["first_k_dense_replace"] = found["num_dense_layers"]
    elif name == "hy_v3":
        found = {"first_k_dense_replace": 1} | {k: v for k, v in found.items() if v is not None}
    elif name == "step3p5":
        found |= _step(fields)
    elif name in ("kimi_linear", "kimi_k3"):
        found |= _linear_layers(fields)
    elif name == "glm5_next":
        usual = {"first_k_dense_replace": 3, "index_kpool": 16}
        found = usual | {k: v for k, v in found.items() if v is not None} | _linear_layers(fields)
    elif name in ("mimo_v2_flash", "minimax_m3"):
        if found.get("mlp_layer_types") is None and isinstance(found.get("moe_layer_freq"), list):
            found["mlp_layer_types"] = _chosen(fields, "moe_layer_freq", ("dense", "sparse"))
        kinds = ("full_attention", "sliding_attention")
        if name == "minimax_m3":
            inner = fields.get("sparse_attention_config") or {}
            place = fields.place("sparse_attention_config")
            sparse = object_in(fields.source, place, inner)
            nested = replace(fields, content=sparse, prefix=f"{place}.")
            found |= {new: sparse[old] for new, old in _INDEX.items() if old in sparse}
            kinds = ("full_attention", "minimax_m3_sparse")
            if found.get("layer_types") is None and "sparse_attention_freq" in sparse:
                found["layer_types"] = _chosen(nested, "sparse_attention_freq", kinds)
        elif found.get("layer_types") is None:
            found["layer_types"] = _chosen(fields, "hybrid_layer_pattern", kinds)
    return replace(fields, content=found)


def _chosen(fields: ConfigFields, name: str, words: tuple[str, str]) -> list[str]:
    """Return the words for a list of 0 and 1, one for each layer."""
    n_layers = fields.content.get("num_hidden_layers")
    numbers = fields.wholes(name)
    if not numbers or set(numbers) - {0, 1}:
        got = brief(numbers) if numbers else "no such field"
        expected = f"a list of 0 and 1 for the {brief(n_layers)} layers"
        raise invalid_file(fields.source, got, expected, fields.place(name))
    return [words[number] for number in numbers]


def _step(fields: ConfigFields) -> dict[str, object]:
    """Return the heads and the layers with experts of Step-3.5 and 3.7, by their usual names."""
    found = {new: fields.get(old) for new, old in _STEP.items() if fields.get(old) is not None}
    inner = fields.get("attention_other_setting")  # of layers with a window
    if inner is not None:
        place = fields.place("attention_other_setting")
        other = object_in(fields.source, place, inner)
        for name, old in (*_STEP.items(), ("num_attention_heads", "num_attention_heads")):
            if other.get(old) is not None and name.startswith("num_"):
                found[f"swa_{name}"] = other[old]
    layers = fields.get("moe_layers_enum")
    if isinstance(layers, str):
        numbers = [text.strip() for text in layers.split(",") if text.strip()]
        if not all(text.isascii() and text.isdigit() and len(text) < 9 for text in numbers):
            expected = "numbers of layers with commas between them"
            place = fields.place("moe_layers_enum")
            raise invalid_file(fields.source, brief(layers), expected, place)
        layers = [int(text) for text in numbers]
    return found if layers is None else found | {"moe_layers": layers}


def _linear_layers(fields: ConfigFields) -> dict[str, object]:
    """Return the kinds of Kimi-Linear's layers, and the sizes of those with delta attention."""
    inner = fields.get("linear_attn_config")
    if inner is None:
        return {}
    place = fields.place("linear_attn_config")
    linear = object_in(fields.source, place, inner)
    nested = replace(fields, content=linear, prefix=f"{place}.")
    found: dict[str, object] = {new: linear[old] for new, old in _LINEAR.items() if old in linear}
    names = {"full_attn_layers": "full_attention", "kda_layers": "linear_attention"}
    if not set(names) & set(linear):
        return found
    numbers = {name: nested.wholes(name) for name in names}
    n_layers = fields.whole("num_hidden_layers")
    listed = sorted(number for some in numbers.values() for number in some)
    if len(listed) != n_layers or listed != list(range(1, n_layers + 1)):
        got = brief(numbers)
        expected = f"two lists, {' and '.join(names)}, that hold each of 1 to {n_layers} once"
        raise invalid_file(fields.source, got, expected, place)
    kinds = {number: kind for name, kind in names.items() for number in numbers[name]}
    return found | {"layer_types": [kinds[number] for number in listed]}


def _compressions(fields: ConfigFields) -> dict[str, object]:
    """Return the kinds of attention of DeepSeek-V4's layers, and the tokens of an entry of each."""
    found: dict[str, object] = {}
    inner = fields.get("compress_rates")
    if inner is not None:
        place = fields.place("compress_rates")
        rates = object_in(fields.source, place, inner)
        nested = replace(fields, content=rates, prefix=f"{place}.")
        for kind, name in ((4, "compress_rate_csa"), (128, "compress_rate_hca")):
            found[name] = nested.whole(_COMPRESSED[kind], default=kind)
    ratios = fields.wholes("compress_ratios")  # those of layers for further tokens come last
    for i, ratio in enumerate(ratios):
        if ratio not in _COMPRESSED:
            place = fields.place(f"compress_ratios[{i}]")
            raise invalid_file(fields.source, ratio, "0, 4 or 128", place)
    if ratios:
        found["layer_types"] = [_COMPRESSED[ratio] for ratio in ratios]
    return found


def _blocks(fields: ConfigFields) -> list[str]:
    """Return the kind of each layer of Nemotron-H: a mixer or a feed-forward part."""
    name = "layers_block_type"
    value = fields.get(name)
    if value is None:
        value = fields.get("layer_types")
    if value is None:
        name, value = "hybrid_override_pattern", fields.get("hybrid_override_pattern")
    expected = f"a list of layers, each one of {', '.join(_BLOCKS)}"
    if not isinstance(value, Sequence) or not value or isinstance(value, Mapping):
        got = "no such field" if value is None else brief(value)
        raise invalid_file(fields.source, got, expected, fields.place(name))
    found: list[str] = []
    for i, word in enumerate(value):
        if not isinstance(word, str) or word not in _BLOCKS:
            raise invalid_file(fields.source, brief(word), expected, fields.place(f"{name}[{i}]"))
        kind = _BLOCKS[word]
        if kind in FEED_FORWARD and (not found or found[-1] in FEED_FORWARD):
            after = "a layer of Mamba or attention before each feed-forward layer"
            raise invalid_file(fields.source, brief(word), after, fields.place(f"{name}[{i}]"))
        found.append(kind)
    return found
