"""Attention and other mixers of a layer, read from a config.json."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from moe_costmodel.models.attention import STATE_TYPES, Attention
from moe_costmodel.models.families import Architecture
from moe_costmodel.models.fields import ConfigFields
from moela.files.guard import brief, invalid_file

__all__ = ["CHUNKED", "REUSED", "attention_of"]

CHUNKED = "chunked_attention"  # of Llama-4
REUSED = "reused choice"  # sparse attention to the tokens that an earlier layer's indexer chose


def attention_of(architecture: Architecture, fields: ConfigFields, kind: str) -> Attention:
    """Return the attention of the layers of one kind."""
    if kind in _WITH_STATE:
        name = kind
        if kind == "linear_attention" and architecture.kimi_delta:
            name = "kimi_delta"
        return replace(_WITH_STATE[name](fields), state_dtype=_state_type(fields))
    if architecture.attention == "compressed":
        return _compressed(fields, kind)
    if architecture.attention == "mla":
        found = _latent(fields, has_indexer=kind != REUSED)
        sinks = found.n_heads * architecture.sinks
        gated = found.gated or architecture.gated_output
        return replace(found, gated=gated, extra=found.extra + sinks)
    fields = _heads_of(architecture, fields, kind)
    d_model, heads = fields.whole("hidden_size"), fields.whole("num_attention_heads")
    head_dim = fields.whole("head_dim", default=max(1, d_model // heads))
    kv_heads = _divisor(fields, "num_key_value_heads", "num_attention_heads", default=heads)
    given = fields.flag("attention_bias")
    qkv = given if architecture.qkv_bias is None else architecture.qkv_bias
    output = given if architecture.output_bias is None else architecture.output_bias
    if architecture.bias_field and not fields.flag(architecture.bias_field, True):
        qkv = output = False
    queries = heads * (2 if architecture.gated_output else 1)
    extra = (queries + 2 * kv_heads) * head_dim * qkv + d_model * output
    extra += heads * (architecture.sinks or _has_sinks(architecture, fields, kind))
    per_head = architecture.heads == "step" and fields.flag("use_head_wise_attn_gate", True)
    if per_head or architecture.heads == "laguna":
        extra += d_model * heads  # a gate of each head
    norm = architecture.qk_norm
    if norm == "head" or (norm == "optional" and fields.flag("use_qk_norm")):
        extra += 2 * head_dim
    elif norm == "all" and fields.flag("use_qk_norm", True):
        extra += (heads + kv_heads) * head_dim
    window = 0
    if kind == "sliding_attention" or (architecture.windowed and _same_window(fields)):
        window = _window(fields, "sliding_window", needed=kind == "sliding_attention")
    elif kind == CHUNKED:
        # The most tokens that a query sees; it sees half as many on average.
        window = _window(fields, "attention_chunk_size", needed=True)
    found = Attention(
        n_heads=heads,
        n_kv_heads=kv_heads,
        head_dim=head_dim,
        v_head_dim=fields.whole("v_head_dim", default=0) if architecture.heads == "mimo" else 0,
        window=window,
        keys_as_values=architecture.heads == "gemma4" and _is_reused(fields, kind),
        gated=architecture.gated_output,
        extra=extra,
    )
    return _with_index(found, fields) if kind == "minimax_m3_sparse" else found


def _divisor(fields: ConfigFields, name: str, of: str, default: int | None = None) -> int:
    """Return the number of heads of keys, which the heads of another field share evenly."""
    heads, n = fields.whole(of), fields.whole(name, default=default)
    if heads % n:
        raise invalid_file(fields.source, n, f"a divisor of {of} = {heads}", fields.place(name))
    return n


def _window(fields: ConfigFields, name: str, *, needed: bool) -> int:
    """Return the tokens that a query looks back on, 0 if the field is null: all of them."""
    if needed and name not in fields.content:
        expected = "present, since the config has layers of attention with a window"
        raise invalid_file(fields.source, "no such field", expected, fields.place(name))
    return fields.whole(name, default=0, low=0)


def _same_window(fields: ConfigFields) -> bool:
    """Tell whether one window of attention holds for all layers."""
    alternating = fields.content.get("model_type") == "gpt_oss"
    return fields.content.get("layer_types") is None and not alternating


def _latent(fields: ConfigFields, *, has_indexer: bool) -> Attention:
    heads = fields.whole("num_attention_heads")
    q_rank = fields.whole("q_lora_rank", default=0, low=0)
    kv_rank = fields.whole("kv_lora_rank")
    index_heads = fields.whole("index_n_heads", default=0, low=0) if has_indexer else 0
    index_dim = fields.whole("index_head_dim", default=0, low=0) if has_indexer else 0
    pool = fields.whole("index_kpool", default=1) if index_heads else 1
    rope = fields.whole("qk_rope_head_dim", low=0)
    extra = q_rank + kv_rank + 2 * index_dim  # norms of the latents, and of the indexer's keys
    extra += pool * index_dim * (pool > 1)  # biases of the tokens that are pooled
    if fields.flag("attention_bias"):
        extra += q_rank + kv_rank + rope + fields.whole("hidden_size")
    return Attention(
        kind="mla",
        n_heads=heads,
        n_kv_heads=heads,
        head_dim=fields.whole("qk_nope_head_dim"),
        v_head_dim=fields.whole("v_head_dim"),
        q_rank=q_rank,
        kv_rank=kv_rank,
        rope_dim=rope,
        index_heads=index_heads,
        index_dim=index_dim,
        index_topk=fields.whole("index_topk", default=0, low=0),
        index_pool=pool,
        gated=fields.flag("mla_use_output_gate"),
        extra=extra,
    )


def _compressed(fields: ConfigFields, kind: str) -> Attention:
    """Return the attention of DeepSeek-V4: a window, and perhaps compressed entries before it."""
    heads, width = fields.whole("num_attention_heads"), fields.whole("head_dim")
    q_rank = fields.whole("q_lora_rank")
    found = Attention(
        kind="compressed",
        n_heads=heads,
        n_kv_heads=1,
        head_dim=width,
        q_rank=q_rank,
        window=fields.whole("sliding_window"),
        output_groups=_divisor(fields, "o_groups", "num_attention_heads"),
        output_rank=fields.whole("o_lora_rank"),
        extra=heads + q_rank + width,  # sinks, and norms of the queries' latent and of the keys
    )
    if kind == "sliding_attention":
        return found
    # A compressor has a norm, and a bias for each token of an entry.
    if kind == "heavily_compressed_attention":
        rate = fields.whole("compress_rate_hca", default=128)
        return replace(found, compression=rate, extra=found.extra + (rate + 1) * width)
    rate = fields.whole("compress_rate_csa", default=4)
    index = fields.whole("index_head_dim")
    return replace(
        found,
        compression=rate,
        index_heads=fields.whole("index_n_heads"),
        index_dim=index,
        index_topk=fields.whole("index_topk"),
        extra=found.extra + (2 * rate + 1) * (width + index),
    )


def _delta_net(fields: ConfigFields) -> Attention:
    heads = fields.whole("linear_num_value_heads")
    keys = _divisor(fields, "linear_num_key_heads", "linear_num_value_heads")
    key_dim = fields.whole("linear_key_head_dim")
    value_dim = fields.whole("linear_value_head_dim")
    kernel = fields.whole("linear_conv_kernel_dim", default=4)
    convolved = 2 * keys * key_dim + heads * value_dim
    return Attention(
        kind="linear",
        n_heads=heads,
        n_kv_heads=keys,
        head_dim=key_dim,
        v_head_dim=value_dim,
        conv_kernel=kernel,
        extra=convolved * kernel + 2 * heads + value_dim,
    )


def _kimi_delta(fields: ConfigFields) -> Attention:
    """Return Kimi delta attention, whose gate forgets each channel of a key by itself."""
    heads, width = fields.whole("linear_num_heads"), fields.whole("linear_head_dim")
    kernel = fields.whole("linear_conv_kernel_dim", default=4)
    inner = heads * width
    return Attention(
        kind="kda",
        n_heads=heads,
        n_kv_heads=heads,
        head_dim=width,
        conv_kernel=kernel,
        gated=fields.flag("linear_full_rank_gate"),
        extra=3 * inner * kernel + inner + heads + width,
    )


def _mamba(fields: ConfigFields) -> Attention:
    heads, head_dim = fields.whole("mamba_num_heads"), fields.whole("mamba_head_dim")
    groups = _divisor(fields, "n_groups", "mamba_num_heads", default=8)
    state, kernel = fields.whole("ssm_state_size"), fields.whole("conv_kernel", default=4)
    inner = heads * head_dim
    convolved = inner + 2 * groups * state
    extra = convolved * (kernel + fields.flag("use_conv_bias", True)) + 3 * heads + inner
    if fields.flag("mamba_proj_bias"):
        extra += convolved + inner + heads + fields.whole("hidden_size")
    return Attention(
        kind="mamba",
        n_heads=heads,
        n_kv_heads=groups,
        head_dim=state,
        v_head_dim=head_dim,
        conv_kernel=kernel,
        extra=extra,
    )


def _short_convolution(fields: ConfigFields) -> Attention:
    """Return the convolution of LFM2, whose input and output are multiplied by gates."""
    width, kernel = fields.whole("hidden_size"), fields.whole("conv_L_cache", default=3)
    biases = (1 + 3 + 1) * width * fields.flag("conv_bias")  # of the convolution and its products
    return Attention(
        kind="conv",
        n_heads=width,
        n_kv_heads=width,
        head_dim=1,
        conv_kernel=kernel,
        extra=kernel * width + biases,
    )


def _selective_scan(fields: ConfigFields) -> Attention:
    """Return the Mamba-1 of Jamba, with norms of time steps, inputs and outputs."""
    d_model = fields.whole("hidden_size")
    width = fields.whole("mamba_expand", default=2) * d_model
    state = fields.whole("mamba_d_state", default=16)
    kernel = fields.whole("mamba_d_conv", default=4)
    given = fields.get("mamba_dt_rank")
    rank = -(-d_model // 16) if given in (None, "auto") else fields.whole("mamba_dt_rank")
    extra = width * (kernel + fields.flag("mamba_conv_bias", True))
    extra += width * (state + 2) + rank + 2 * state  # decay, skip, bias of time steps, and norms
    if fields.flag("mamba_proj_bias"):
        extra += 2 * width + d_model
    return Attention(
        kind="mamba1",
        n_heads=width,
        n_kv_heads=width,
        head_dim=state,
        v_head_dim=1,
        q_rank=rank,
        conv_kernel=kernel,
        extra=extra,
    )


def _lightning(fields: ConfigFields) -> Attention:
    """Return the lightning attention of MiniMax-Text-01, with a norm of all heads' outputs."""
    heads = fields.whole("num_attention_heads")
    width = fields.whole("head_dim", default=max(1, fields.whole("hidden_size") // heads))
    return Attention(
        kind="lightning", n_heads=heads, n_kv_heads=heads, head_dim=width, extra=heads * width
    )


def _heads_of(architecture: Architecture, fields: ConfigFields, kind: str) -> ConfigFields:
    """Return the fields of an architecture, with the heads that one kind of attention has."""
    names = ("num_attention_heads", "num_key_value_heads", "head_dim", "v_head_dim")
    other: dict[str, object] = {}
    if architecture.heads in ("mimo", "step") and kind == "sliding_attention":
        other = {name: fields.get(f"swa_{name}", name) for name in names}
        if architecture.heads == "mimo" and fields.get("swa_num_key_value_heads") is None:
            # transformers writes no field for them: they are twice as many.
            other["num_key_value_heads"] = 2 * fields.whole("num_key_value_heads")
    elif architecture.heads == "laguna":
        other = {"num_attention_heads": _heads_of_kind(fields, kind)}
    elif architecture.heads == "gemma4":
        for name in ("hidden_size_per_layer_input", "num_kv_shared_layers"):
            if n := fields.whole(name, default=0, low=0):
                expected = "0: layers that share a cache or have inputs of their own are not read"
                raise invalid_file(fields.source, n, expected, fields.place(name))
        if kind == "full_attention":
            other = {"head_dim": fields.get("global_head_dim", "head_dim")}
            if _is_reused(fields, kind):
                name = "num_key_value_heads"
                other[name] = fields.get("num_global_key_value_heads", name)
    return replace(fields, content={**fields.content, **other})


def _heads_of_kind(fields: ConfigFields, kind: str) -> int:
    """Return the heads of Laguna's layers of one kind, which its config lists by layer."""
    if fields.get("gating") not in (True, "per-head"):
        expected = "true or 'per-head': other gates of attention are not read"
        raise invalid_file(
            fields.source, brief(fields.get("gating")), expected, fields.place("gating")
        )
    name = "num_attention_heads_per_layer"
    listed, kinds = fields.wholes(name), fields.content.get("layer_types")
    if not listed or not isinstance(kinds, list):
        return fields.whole("num_attention_heads")
    heads = {n for n, other in zip(listed, kinds, strict=False) if other == kind}
    if len(heads) != 1 or 0 in heads or len(listed) < len(kinds):
        expected = "a list of one positive number for all layers of a kind"
        raise invalid_file(fields.source, brief(listed), expected, fields.place(name))
    return heads.pop()


def _is_reused(fields: ConfigFields, kind: str) -> bool:
    """Tell whether keys of Gemma-4 are the values, too."""
    return kind == "full_attention" and fields.flag("attention_k_eq_v")


def _has_sinks(architecture: Architecture, fields: ConfigFields, kind: str) -> bool:
    """Tell whether each head of MiMo-V2 has a sink."""
    if architecture.heads != "mimo":
        return False
    sliding = kind == "sliding_attention"
    return fields.flag(f"add_{'swa' if sliding else 'full'}_attention_sink_bias", sliding)


def _with_index(attention: Attention, fields: ConfigFields) -> Attention:
    """Return the attention of MiniMax-M3's sparse layers, whose indexer chooses blocks of keys."""
    width = fields.whole("index_head_dim")
    kept = fields.whole("index_topk_blocks") * fields.whole("index_block_size")
    return replace(
        attention,
        index_heads=fields.whole("index_n_heads"),
        index_dim=width,
        index_topk=kept,
        extra=attention.extra + 2 * width,
    )


def _state_type(fields: ConfigFields) -> str:
    """Return the type of states that a config names, as SGLang reads it; float32 by default."""
    names = ("mamba_ssm_dtype", "mamba_ssm_cache_dtype")
    found = fields.get(*names)
    if found in (None, "auto"):
        return "float32"
    if found not in STATE_TYPES:
        expected = f"one of {', '.join(STATE_TYPES)}"
        raise invalid_file(fields.source, brief(found), expected, fields.named(*names))
    return str(found)


# Mixers with a state of fixed size.
_WITH_STATE: dict[str, Callable[[ConfigFields], Attention]] = {
    "linear_attention": _delta_net,
    "kimi_delta": _kimi_delta,
    "mamba": _mamba,
    "mamba1": _selective_scan,
    "lightning": _lightning,
    "conv": _short_convolution,
}
