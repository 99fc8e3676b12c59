"""A config.json that leaves a size out is refused; the sizes are those of transformers' classes."""

import importlib
import pkgutil

import pytest

from moe_costmodel import ModelShape
from moe_costmodel.models.families import ALIASES, ARCHITECTURES

COMMON = {
    "hidden_size": 64, "vocab_size": 50, "num_hidden_layers": 2, "num_attention_heads": 8,
    "num_key_value_heads": 2, "intermediate_size": 96,
}  # fmt: skip
QWEN2 = COMMON | {
    "model_type": "qwen2_moe", "moe_intermediate_size": 24, "num_experts": 6,
    "num_experts_per_tok": 2, "shared_expert_intermediate_size": 48,
}  # fmt: skip
EXAONE = COMMON | {
    "model_type": "exaone_moe", "moe_intermediate_size": 24, "num_experts": 6, "head_dim": 8,
    "num_experts_per_tok": 2, "num_shared_experts": 1, "first_k_dense_replace": 1,
    "layer_types": ["sliding_attention", "full_attention"], "sliding_window": 16,
}  # fmt: skip
MIMO = COMMON | {
    "model_type": "mimo_v2_flash", "head_dim": 12, "v_head_dim": 8, "sliding_window": 16,
    "moe_intermediate_size": 24, "n_routed_experts": 6, "num_experts_per_tok": 2,
    "layer_types": ["full_attention", "sliding_attention"], "mlp_layer_types": ["dense", "sparse"],
}  # fmt: skip
NEMOTRON = {k: v for k, v in COMMON.items() if k != "num_hidden_layers"} | {
    "model_type": "nemotron_h", "hybrid_override_pattern": "M*E", "mamba_num_heads": 8,
    "mamba_head_dim": 4, "n_groups": 2, "ssm_state_size": 16, "moe_intermediate_size": 24,
    "n_routed_experts": 6, "num_experts_per_tok": 2, "n_shared_experts": 0, "head_dim": 8,
    "moe_shared_expert_intermediate_size": 24,
}  # fmt: skip


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (QWEN2, "shared_expert_intermediate_size"),
        (EXAONE, "first_k_dense_replace"),
        (EXAONE, "sliding_window"),
        (MIMO, "mlp_layer_types"),
        (NEMOTRON, "moe_intermediate_size"),
    ],
)
def test_a_missing_size_is_refused_by_its_name(config, name):
    assert ModelShape.from_config(config).n_parameters
    rest = {k: v for k, v in config.items() if k != name}
    with pytest.raises(ValueError, match=f"'{name}' must be present.*no such field"):
        ModelShape.from_config(rest)


def test_a_null_means_that_the_model_has_no_such_part():
    plain = ModelShape.from_config(QWEN2 | {"shared_expert_intermediate_size": None})
    assert plain.parameters()["shared"] == 0
    assert ModelShape.from_config(EXAONE | {"sliding_window": None}).kv_bytes_per_token() > 0


def test_heads_with_a_window_are_twice_as_many_if_the_file_does_not_say():
    shape = ModelShape.from_config(MIMO)
    assert sorted(block.attention.n_kv_heads for block in shape.blocks) == [2, 4]
    told = ModelShape.from_config(MIMO | {"swa_num_key_value_heads": 4})
    assert told == shape


def test_an_older_spelling_of_the_width_of_a_head_is_read():
    older = {k: v for k, v in NEMOTRON.items() if k != "head_dim"} | {"attention_head_dim": 8}
    assert ModelShape.from_config(older) == ModelShape.from_config(NEMOTRON)


@pytest.mark.parametrize("name", ["use_bias", "mlp_bias", "attention_bias", "mamba_proj_bias"])
def test_biases_that_are_not_counted_are_refused(name):
    with pytest.raises(ValueError, match=f"'{name}' must be false"):
        ModelShape.from_config(NEMOTRON | {name: True})


def _classes():
    """Return the configuration classes of transformers whose architecture is read."""
    models = importlib.import_module("transformers.models")
    known = set(ARCHITECTURES) | set(ALIASES)
    found = {}
    for module in pkgutil.iter_modules(models.__path__):
        if module.name not in known and f"{module.name}_text" not in known:
            continue
        path = f"transformers.models.{module.name}.configuration_{module.name}"
        content = vars(importlib.import_module(path))
        found |= {
            c.model_type: c for c in content.values() if getattr(c, "model_type", "") in known
        }
    return found


def test_no_field_is_replaced_by_another_number_than_that_of_transformers():
    pytest.importorskip("transformers")
    wrong = []
    for kind, made in _classes().items():
        config = made().to_dict()
        if {"text_config", "thinker_config"} & set(config):
            continue  # the part about language is one of the others
        try:
            whole = _sizes(config)
        except ValueError:
            continue  # their usual values leave a size open
        for name in config:
            # The one of Qwen3-VL's text part says something else than the one of the whole.
            if name in ("model_type", "tie_word_embeddings"):
                continue
            rest = {k: v for k, v in config.items() if k != name}
            try:
                found = _sizes(rest)
            except ValueError:
                continue
            if found != whole:
                wrong.append((kind, name, config[name]))
    assert not wrong


def _sizes(config):
    shape = ModelShape.from_config(config)
    return shape.n_parameters, shape.n_active, shape.kv_bytes(100_000)
