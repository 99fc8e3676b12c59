"""DeepSeek-V4: compressed attention, hyper-connections, and experts chosen by a table of tokens.

The counts of the released models are those of transformers 5.24, with the corrections of scores,
which are buffers there.
"""

import pytest

from moe_costmodel import Layout, ModelShape, gpu_memory, legal_layouts
from moe_costmodel.models.config import moe_layer_numbers
from tests.moe_costmodel.models.built import built

COMMON = {
    "model_type": "deepseek_v4", "vocab_size": 129280, "head_dim": 512, "o_lora_rank": 1024,
    "index_n_heads": 64, "index_head_dim": 128, "sliding_window": 128, "hc_mult": 4,
    "num_experts_per_tok": 6, "num_hash_layers": 3, "n_shared_experts": 1,
    "num_nextn_predict_layers": 1, "tie_word_embeddings": False,
}  # fmt: skip
FLASH = COMMON | {
    "hidden_size": 4096, "num_hidden_layers": 43, "num_attention_heads": 64, "q_lora_rank": 1024,
    "o_groups": 8, "n_routed_experts": 256, "moe_intermediate_size": 2048, "index_topk": 512,
    "compress_ratios": [0, 0, *([4, 128] * 20), 4, 0],
}  # fmt: skip
PRO = COMMON | {
    "hidden_size": 7168, "num_hidden_layers": 61, "num_attention_heads": 128, "q_lora_rank": 1536,
    "o_groups": 16, "n_routed_experts": 384, "moe_intermediate_size": 3072, "index_topk": 1024,
    "compress_ratios": [128, *([128, 4] * 30), 0],
}  # fmt: skip
SMALL = COMMON | {
    "vocab_size": 50, "hidden_size": 64, "head_dim": 16, "num_hidden_layers": 5,
    "num_attention_heads": 8, "q_lora_rank": 24, "o_groups": 4, "o_lora_rank": 12,
    "index_n_heads": 2, "index_head_dim": 8, "index_topk": 4, "sliding_window": 6,
    "n_routed_experts": 6, "num_experts_per_tok": 2, "moe_intermediate_size": 20, "hc_mult": 3,
    "num_hash_layers": 1,
}  # fmt: skip
FP8 = {"quant_method": "fp8", "weight_block_size": [128, 128]}


@pytest.mark.parametrize(
    ("config", "total", "active"),
    [(FLASH, 284_332_240_471, 13_270_101_591), (PRO, 1_572_997_201_763, 48_852_402_019)],
)
def test_counts_of_the_released_models(config, total, active):
    shape = ModelShape.from_config(config)
    assert shape.n_parameters == total
    # DeepSeek states 13 and 49 billion active parameters, without the embedding.
    assert shape.n_active - shape.parameters()["embedding"] == active
    assert shape.n_moe_layers == shape.n_layers
    assert moe_layer_numbers(config) == tuple(range(shape.n_layers))
    assert shape.next_token_layers == 1
    assert shape.layer_shape(n_devices=8).n_local == config["n_routed_experts"] // 8


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"compress_ratios": [0, 4, 128, 4, 4, 0]},
        {"layer_types": ["sliding_attention", *["compressed_sparse_attention"] * 4]},
        {"compress_rates": {"compressed_sparse_attention": 2, "heavily_compressed_attention": 8}},
        {"compress_rate_csa": 8, "mlp_layer_types": ["moe", "hash_moe", "moe", "moe", "hash_moe"]},
    ],
)
def test_counts_are_those_of_transformers(changes):
    config = SMALL | changes
    assert ModelShape.from_config(config).n_parameters == built(config)[0]


def test_the_cache_has_a_window_entries_and_states():
    shape = ModelShape.from_config(SMALL | {"compress_ratios": [0, 4, 128, 4, 128]})
    # Entries overlap beside an indexer: eight tokens of two series, each with a key and a score.
    states = 2 * (2 * 8 * 2 * (16 + 8)) + 2 * (2 * 128 * 16)
    for context in (0, 3, 6, 7, 131, 1000):
        window = 5 * min(context, 6) * 16
        entries = 2 * (context // 4) * (16 + 8) + 2 * (context // 128) * 16
        assert shape.kv_bytes(context) == 2 * (window + entries) + 4 * states
        assert shape.kv_bytes(context, "fp8") == window + entries + 4 * states
    # Without entries, a window counts as if it grew.
    assert shape.kv_bytes_per_token() == 2 * (16 + 2 * (16 + 8) / 4 + 2 * 16 / 128)
    # Each GPU holds all of it.
    memory = gpu_memory(shape, Layout(tp=4, moe_ep=4), 3, 1000)
    assert memory.cache == 3 * shape.kv_bytes(1000)
    flash = ModelShape.from_config(FLASH)
    # A sixth of what DeepSeek-V3 caches (68.6 KiB a token), and less.
    assert flash.kv_bytes(1_000_000) / 1e6 == pytest.approx(6897.8, abs=0.1)


def test_tensor_parallelism_divides_queries_and_outputs_of_heads():
    shape = ModelShape.from_config(SMALL)
    whole = gpu_memory(shape, Layout(), 0, 1).weights
    half = gpu_memory(shape, Layout(tp=2, moe_ep=2), 0, 1).weights
    attention = 24 * 8 * 16 + (8 * 16 // 4) * 48 + 48 * 64 + 8  # queries, both outputs, sinks
    parts = shape.parameters()
    divided = parts["embedding"] + parts["head"] + parts["experts"] + parts["shared"]
    assert whole - half == divided + 5 * attention
    # Groups of the output are not divided.
    tensor = {layout.tp for layout in legal_layouts(shape, 8, "sglang")}
    assert tensor == {1, 2, 4}


@pytest.mark.parametrize(
    ("changes", "experts", "attention"),
    [
        ({}, "bfloat16", "bfloat16"),
        ({"quantization_config": FP8}, "fp8_block", "fp8_block"),
        ({"quantization_config": FP8, "expert_dtype": "fp4"}, "w4a8_mxfp4_mxfp8", "fp8_block"),
        ({"quantization_config": FP8 | {"expert_dtype": "fp4"}}, "w4a8_mxfp4_mxfp8", "fp8_block"),
        ({"quantization_config": FP8, "expert_dtype": "fp8"}, "fp8_block", "fp8_block"),
    ],
)
def test_experts_have_a_type_of_their_own(changes, experts, attention):
    types = ModelShape.from_config(SMALL | changes).dtypes
    assert (types["experts"], types["attention"]) == (experts, attention)
    assert (types["router"], types["norms"]) == ("bfloat16", "float32")


def test_the_experts_of_an_nvfp4_file_are_listed():
    listed = {f"layers.{i}.ffn.experts": {"quant_algo": "NVFP4"} for i in range(5)}
    mixed = {
        "quant_algo": "MIXED_PRECISION", "quantized_layers": listed,
        "ignore": ["*.attn.*", "*.ffn.shared_experts.*", "head"],
    }  # fmt: skip
    config = SMALL | {"expert_dtype": "fp4", "quantization_config": FP8 | mixed}
    types = ModelShape.from_config(config).dtypes
    assert (types["experts"], types["shared"], types["attention"]) == ("nvfp4", *["fp8_block"] * 2)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"compress_ratios": [0, 4, 128, 4, 8]}, r"compress_ratios\[4\]'.*0, 4 or 128"),
        ({"layer_types": ["full_attention"] * 4 + ["window"]}, "one of .*compressed_sparse"),
        ({"mlp_layer_types": ["dense"] * 5}, "one of hash_moe, moe"),
        ({"o_groups": 3}, "o_groups'.*a divisor of num_attention_heads = 8"),
        ({"compress_rates": {"compressed_sparse_attention": 0}}, "compress_rates.compressed_sp"),
        ({"expert_dtype": "int4", "quantization_config": FP8}, "expert_dtype'.*fp4 or fp8"),
    ],
)
def test_damaged_fields_are_named(changes, words):
    with pytest.raises(ValueError, match=words):
        ModelShape.from_config(SMALL | changes)
