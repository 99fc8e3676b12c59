"""The layers of a model: the mixer and the feed-forward part of each, as a config.json tells."""

from __future__ import annotations

from dataclasses import replace

from moe_costmodel.models.families import Architecture
from moe_costmodel.models.fields import ConfigFields
from moe_costmodel.models.mixers import CHUNKED, REUSED
from moe_costmodel.models.spellings import FEED_FORWARD
from moela.files.guard import invalid_file

__all__ = ["EXPERTS", "WITH_EXPERTS", "layers_of", "sparse_layers"]

EXPERTS = ("n_routed_experts", "num_experts", "num_local_experts", "moe_num_experts")
WITH_EXPERTS = ("sparse", "hashed")
_ATTENTIONS = ("full_attention", "sliding_attention", "linear_attention", "attention")
_HASHED = {"hash_moe": "hashed", "moe": "sparse"}  # feed-forward parts of DeepSeek-V4
_INDEXED = ("indexed_attention", "deepseek_sparse_attention")
# Far above any model; a damaged file would make one Python object a layer.
_MOST_LAYERS = 10_000


def layers_of(
    architecture: Architecture, fields: ConfigFields
) -> tuple[list[tuple[str, str]], list[str]]:
    """Return the mixer and the feed-forward part of each layer.

    The second list holds mixers and feed-forward parts one by one if each is a layer, else nothing.
    """
    if architecture.single_parts:
        single = _blocks_of(fields)
        return _pairs(single), single
    n_layers = _n_layers(fields)
    if architecture.paired:
        return [("full_attention", "sparse"), ("full_attention", "dense")] * n_layers, []
    known = (*_ATTENTIONS, *(_INDEXED if architecture.attention == "mla" else ()))
    known += (CHUNKED,) if architecture.interval == "llama4" else ()
    known += architecture.kinds
    kinds = fields.words("layer_types", n_layers, known) or _default_kinds(fields, n_layers)
    kinds = _with_indexers(fields, list(kinds)) if architecture.attention == "mla" else kinds
    return list(zip(kinds, _parts(architecture, fields, n_layers), strict=True)), []


def sparse_layers(architecture: Architecture, fields: ConfigFields) -> list[bool]:
    """Tell of each layer whether it has experts."""
    return _sparse_layers(architecture, fields, _n_layers(fields))


def _n_layers(fields: ConfigFields) -> int:
    n_layers = fields.whole("num_hidden_layers")
    if n_layers > _MOST_LAYERS:
        expected = f"at most {_MOST_LAYERS:,}"
        raise invalid_file(fields.source, n_layers, expected, fields.place("num_hidden_layers"))
    return n_layers


def _blocks_of(fields: ConfigFields) -> list[str]:
    known = ("mamba", "full_attention", *FEED_FORWARD)
    return fields.words("layers_block_type", fields.whole("num_hidden_layers"), known) or []


def _pairs(kinds: list[str]) -> list[tuple[str, str]]:
    """Return the mixers of Nemotron-H, each with the feed-forward part of the layer after it."""
    after = [*kinds[1:], ""]
    return [
        (kind, FEED_FORWARD.get(following, "none"))
        for kind, following in zip(kinds, after, strict=True)
        if kind not in FEED_FORWARD
    ]


def _default_kinds(fields: ConfigFields, n_layers: int) -> list[str]:
    """Return the kinds of attention of all layers if the config does not list them."""
    if fields.get("o_lora_rank"):  # DeepSeek-V4
        return [
            "compressed_sparse_attention" if i > 2 and i % 2 else "heavily_compressed_attention"
            for i in range(n_layers)
        ]
    every = fields.whole("global_attn_every_n_layers", default=0, low=0)  # AFMoE
    if every:
        return [
            "sliding_attention" if (i + 1) % every else "full_attention" for i in range(n_layers)
        ]
    if fields.get("index_kpool"):  # GLM-5.3-Flash
        return ["linear_attention" if (i + 1) % 4 else "indexed_attention" for i in range(n_layers)]
    if fields.get("linear_num_value_heads"):  # Qwen3-Next and Qwen3.5
        every = fields.whole("full_attention_interval", default=4)
        return [
            "full_attention" if (i + 1) % every == 0 else "linear_attention"
            for i in range(n_layers)
        ]
    if fields.content.get("model_type") == "llama4_text":
        return _llama4_kinds(fields, n_layers)
    if fields.content.get("model_type") == "gpt_oss":
        return ["full_attention" if i % 2 else "sliding_attention" for i in range(n_layers)]
    return ["full_attention"] * n_layers


def _with_indexers(fields: ConfigFields, kinds: list[str]) -> list[str]:
    """Return the kinds of attention, those of layers that reuse another layer's choice renamed."""
    if not fields.get("index_topk"):
        return kinds
    n_layers = len(kinds)
    known = ("full", "shared")
    listed = fields.words("indexer_types", n_layers, known)
    pattern = fields.get("index_topk_pattern")
    if listed is None and pattern is not None:
        letters = {"F": "full", "S": "shared"}
        if isinstance(pattern, str):
            pattern = [letters.get(letter, letter) for letter in pattern]
        content = {"index_topk_pattern": pattern}
        listed = replace(fields, content=content).words("index_topk_pattern", n_layers, known)
    if listed is None:
        every = fields.whole("index_topk_freq", default=1)
        first = fields.whole("index_skip_topk_offset", default=2, low=0) - 1
        listed = ["shared" if max(i - first, 0) % every else "full" for i in range(n_layers)]
    return [
        REUSED if word == "shared" and kind != "linear_attention" else kind
        for kind, word in zip(kinds, listed, strict=True)
    ]


def _llama4_kinds(fields: ConfigFields, n_layers: int) -> list[str]:
    """Return the kinds of attention: layers that rotate positions see chunks of the context."""
    rotated = fields.wholes("no_rope_layers")  # 1 for layers that rotate, in spite of its name
    if not rotated:
        every = fields.whole("no_rope_layer_interval", default=4)
        rotated = [(i + 1) % every for i in range(n_layers)]
    if len(rotated) < n_layers:
        expected = f"a list of {n_layers} integers"
        raise invalid_file(fields.source, rotated, expected, fields.place("no_rope_layers"))
    return [CHUNKED if one else "full_attention" for one in rotated[:n_layers]]


def _at_intervals(architecture: Architecture, fields: ConfigFields, n_layers: int) -> list[bool]:
    """Tell of each layer whether it has experts, in architectures that have them at intervals."""
    if architecture.interval == "llama4":
        listed = fields.wholes("moe_layers")
        step = fields.whole("interleave_moe_layer_step", default=1)
        return [i in listed if listed else (i + 1) % step == 0 for i in range(n_layers)]
    if architecture.interval == "step":
        numbers = set(fields.wholes("moe_layers"))
        first = fields.whole("first_k_dense_replace", default=3, low=0)
        return [i in numbers if numbers else i >= first for i in range(n_layers)]
    first = fields.whole("moe_layer_start_index", default=1, low=0)
    last = fields.get("moe_layer_end_index")
    if last is None or last == -1:
        last = n_layers - 1
    else:
        last = fields.whole("moe_layer_end_index", low=0)
    step = fields.whole("moe_layer_interval", default=1)
    return [first <= i <= last and (i + 1) % step == 0 for i in range(n_layers)]


def _parts(architecture: Architecture, fields: ConfigFields, n_layers: int) -> list[str]:
    """Return the feed-forward part of each layer."""
    if not architecture.hashed:
        sparse = _sparse_layers(architecture, fields, n_layers)
        return ["sparse" if with_experts else "dense" for with_experts in sparse]
    listed = fields.words("mlp_layer_types", n_layers, tuple(_HASHED))
    if listed is not None:
        return [_HASHED[word] for word in listed]
    first = fields.whole("num_hash_layers", default=3, low=0)
    return ["hashed" if i < first else "sparse" for i in range(n_layers)]


def _sparse_layers(architecture: Architecture, fields: ConfigFields, n_layers: int) -> list[bool]:
    """Tell of each layer whether it has experts."""
    if architecture.hashed:
        return [True] * n_layers
    if architecture.single_parts:
        return [FEED_FORWARD.get(kind) == "sparse" for kind in _blocks_of(fields)]
    if architecture.paired:
        return [True] * n_layers
    if architecture.parallel and not fields.flag("enable_moe_block"):
        return [False] * n_layers
    # In Qwen's architectures, 0 experts stand for a dense model.
    least = int(architecture.experts and not architecture.sparse_step)
    if not fields.whole(*EXPERTS, default=None if architecture.experts else 0, low=least):
        return [False] * n_layers
    listed = fields.words("mlp_layer_types", n_layers, ("dense", "sparse"))
    if listed is not None:
        return [word == "sparse" for word in listed]
    if architecture.interval:
        return _at_intervals(architecture, fields, n_layers)
    if architecture.dense_first:
        name = "first_k_dense_replace"
        first = fields.whole(name, default=0, low=0)
        if first > n_layers:
            expected = f"at most num_hidden_layers = {n_layers}"
            raise invalid_file(fields.source, first, expected, fields.place(name))
        step = fields.whole("moe_layer_freq", default=1)
        return [i >= first and i % step == 0 for i in range(n_layers)]
    if architecture.sparse_step:
        dense = fields.wholes("mlp_only_layers")
        for at, number in enumerate(dense):
            if number >= n_layers:
                expected = f"the number of a layer, from 0 to {n_layers - 1}"
                place = fields.place(f"mlp_only_layers[{at}]")
                raise invalid_file(fields.source, number, expected, place)
        step = fields.whole("decoder_sparse_step", default=1)
        return [i not in dense and (i + 1) % step == 0 for i in range(n_layers)]
    return [True] * n_layers
