"""Hugging Face models of four families with random weights, that the benchmarks run whole."""

from __future__ import annotations

import json

import numpy as np
import torch

from moe_costmodel import Measurements, RoutingTrace

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


def build(name):
    """Return a model of a family; its routers are drawn wide enough that experts differ in load."""
    import transformers

    family, own = SETTINGS[name]
    torch.manual_seed(0)
    config = getattr(transformers, f"{family}Config")(**(_COMMON | own))
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


def trace_of(model, tokens):
    """Return the routing of some sequences."""
    return RoutingTrace.record(model, [tokens])


def keep(folder, name, measurements, rows):
    """Write measurements and the times of plans, so that they can be predicted again."""
    folder.mkdir(parents=True, exist_ok=True)
    measurements.save(folder / f"{name}.json")
    (folder / f"{name}_plans.json").write_text(json.dumps(rows), encoding="utf-8")


def kept(folder, name):
    """Return the measurements and the times of plans that `keep` wrote."""
    rows = json.loads((folder / f"{name}_plans.json").read_text(encoding="utf-8"))
    return Measurements.load(folder / f"{name}.json"), rows


def report_intervals(what, held):
    """Print how often intervals of 80 % held, given the cases of each model by name."""
    shares = {name: 100 * np.mean(inside) for name, inside in held.items()}
    together = 100 * np.mean([inside for own in held.values() for inside in own])
    print(f"bar: {what}, 80 % intervals hold in %, all models, {together:.0f}, 70 to 90")
    for name, share in shares.items():
        print(f"bar: {what}, 80 % intervals hold in %, {name}, {share:.0f}, 70 to 90")
