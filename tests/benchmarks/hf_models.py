"""Hugging Face models of four families with random weights, that the benchmarks run whole."""

from __future__ import annotations

import copy
import inspect

import numpy as np
import torch

from moe_costmodel import RoutingTrace
from moe_costmodel.latency.steps.model_steps import is_example

VOCABULARY = 2000
_COMMON = {
    "vocab_size": VOCABULARY, "hidden_size": 256, "num_attention_heads": 8,
    "num_key_value_heads": 4, "max_position_embeddings": 4096, "bos_token_id": None,
    "eos_token_id": None, "pad_token_id": None,
}  # fmt: skip
_DEEPSEEK = {
    "num_hidden_layers": 7, "first_k_dense_replace": 1, "intermediate_size": 512,
    "n_routed_experts": 64, "num_experts_per_tok": 6, "n_shared_experts": 2,
    "moe_intermediate_size": 96, "kv_lora_rank": 64, "q_lora_rank": None, "qk_rope_head_dim": 16,
    "qk_nope_head_dim": 32, "v_head_dim": 32, "n_group": 1, "topk_group": 1,
    "num_key_value_heads": 8,
}  # fmt: skip
SETTINGS = {
    "olmoe": (
        "Olmoe",
        {"num_hidden_layers": 8, "intermediate_size": 128, "num_experts": 64,
         "num_experts_per_tok": 8},
    ),
    "mixtral": (
        "Mixtral",
        {"num_hidden_layers": 6, "intermediate_size": 896, "num_local_experts": 8,
         "num_experts_per_tok": 2},
    ),
    "qwen3": (
        "Qwen3Moe",
        {"num_hidden_layers": 6, "intermediate_size": 512, "num_experts": 128,
         "num_experts_per_tok": 8, "moe_intermediate_size": 96, "head_dim": 32},
    ),
    "deepseek": ("DeepseekV2", _DEEPSEEK),
}  # fmt: skip


def build(name, **sizes):
    """Return a model of a family; its routers are drawn wide enough that experts differ in load."""
    import transformers

    family, own = SETTINGS[name]
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**(_COMMON | own | sizes))
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval().requires_grad_(False)
    for key, parameter in model.named_parameters():
        if key.endswith("mlp.gate.weight"):
            parameter.normal_(0.0, 0.12)
    return model


def tokens_of(n, length, seed=0):
    """Return random tokens, (n, length), with the skewed popularity of words."""
    random = np.random.default_rng(seed)
    popularity = 1 / np.arange(1, VOCABULARY + 1)
    drawn = random.choice(VOCABULARY, size=(n, length), p=popularity / popularity.sum())
    return torch.from_numpy(drawn)


def trace_of(model, tokens, part=slice(None)):
    """Return the routing of a part of each of some sequences."""
    whole = RoutingTrace.record(model, [tokens])
    place = np.arange(whole.n_tokens).reshape(len(tokens), -1)[:, part]
    return RoutingTrace(
        whole.topk_ids[place.ravel()], whole.topk_weights[place.ravel()],
        n_experts=whole.n_experts, sequence_lengths=[place.shape[1]] * len(tokens),
        layers=whole.layers, source=whole.source,
    )  # fmt: skip


def decoding(model, tokens, context):
    """Fill a cache with the first tokens of sequences; return what begins to decode after them.

    Each call of it returns a function that decodes the next token, given its place.
    """
    # transformers 5 renamed the parameter in one of its minor versions.
    known = inspect.signature(type(model).forward).parameters
    name = "cache" if "cache" in known else "past_key_values"
    filled, options = [], {}
    if not is_example(model):
        from transformers import DynamicCache

        filled, options = DynamicCache(config=model.config), {"use_cache": True}
    model(tokens[:, :context], **{name: filled}, **options)

    def begin():
        cache = copy.deepcopy(filled)
        return lambda t: model(tokens[:, t : t + 1], **{name: cache}, **options)

    return begin
