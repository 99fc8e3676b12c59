"""GLM-5.3-Flash and Mistral-Small-4: sizes and caches from configs of their fields."""

import importlib

import pytest

from moe_costmodel import Chunk, Layout, ModelShape, SiliconModel
from tests.moe_costmodel.silicon.tables import write_tables

GLM = {
    "model_type": "glm5_next", "vocab_size": 50, "hidden_size": 48, "intermediate_size": 80,
    "moe_intermediate_size": 20, "num_hidden_layers": 8, "num_attention_heads": 4,
    "num_key_value_heads": 4, "n_shared_experts": 1, "n_routed_experts": 6,
    "num_experts_per_tok": 2, "kv_lora_rank": 16, "q_lora_rank": 14, "qk_rope_head_dim": 0,
    "v_head_dim": 10, "qk_nope_head_dim": 10, "index_topk": 32, "index_head_dim": 8,
    "index_n_heads": 2, "index_kpool": 16, "hc_mult": 3,
    "linear_attn_config": {"head_dim": 8, "num_heads": 4, "short_conv_kernel_size": 4},
}  # fmt: skip
MISTRAL = {
    "model_type": "mistral4", "vocab_size": 131072, "hidden_size": 4096, "num_hidden_layers": 36,
    "moe_intermediate_size": 2048, "intermediate_size": 12288, "num_attention_heads": 32,
    "n_shared_experts": 1, "n_routed_experts": 128, "num_experts_per_tok": 4,
    "kv_lora_rank": 256, "q_lora_rank": 1024, "qk_rope_head_dim": 64, "qk_nope_head_dim": 64,
    "v_head_dim": 128, "first_k_dense_replace": 0,
}  # fmt: skip


def test_counts_of_mistral_small_4():
    shape = ModelShape.from_config({"model_type": "mistral3", "text_config": MISTRAL})
    assert shape.n_parameters == 118_972_826_624  # as in transformers 5.24
    assert shape.kv_bytes_per_token() == 2 * 36 * (256 + 64)


@pytest.mark.parametrize(
    "changes", [{}, {"index_topk_freq": 3}, {"hc_mult": 4, "index_kpool": 8, "v_head_dim": 6}]
)
def test_counts_are_those_of_transformers(changes):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    if not hasattr(transformers, "Glm5NextTextConfig"):
        pytest.skip("a later transformers has this class")
    config = {k: v for k, v in (GLM | changes).items() if k != "model_type"}
    made = transformers.Glm5NextTextConfig(**config, pad_token_id=None)
    module = importlib.import_module(type(made).__module__.replace("configuration_", "modeling_"))
    with torch.device("meta"):
        model = module.Glm5NextTextModel(made)
    expected = sum(p.numel() for p in model.parameters()) + 50 * 48  # without a head
    expected += sum(b.numel() for n, b in model.named_buffers() if n.endswith("bias"))
    assert ModelShape.from_config(GLM | changes).n_parameters == expected
    assert ModelShape.from_config(made.to_dict()).n_parameters == expected


def test_the_indexer_caches_a_key_for_16_tokens():
    shape = ModelShape.from_config(GLM)
    assert (shape.n_moe_layers, shape.streams) == (5, 3)
    assert {b.attention.kind for b in shape.blocks} == {"kda", "mla"}
    state = 4 * (4 * 8 * 8) + 2 * 3 * (3 * 4 * 8)  # float32, and 16 bits of tokens
    for context in (0, 15, 16, 100):
        cache = 2 * (context * 16 + context // 16 * 8)
        assert shape.kv_bytes(context) == 2 * cache + 6 * state
    assert shape.kv_bytes_per_token() == 2 * 2 * (16 + 8 / 16)
    # A layer that reuses the choice of another has no indexer.
    words = ["full"] * 7 + ["shared"]
    shape = ModelShape.from_config(GLM | {"indexer_types": words})
    assert shape.kv_bytes_per_token() == 2 * (2 * 16 + 8 / 16)


def test_pooled_keys_are_scored_in_less_time(tmp_path):
    pytest.importorskip("pyarrow")
    pytest.importorskip("yaml")
    model = SiliconModel("toy", "sglang", root=write_tables(tmp_path))

    def scores(pool):
        shape = ModelShape.from_config(GLM | {"index_kpool": pool})
        steps = (
            model.decode(shape, Layout(), 4096, 65536),
            model.prefill(shape, Layout(), [Chunk(65536)]),
        )
        # The products of the indexer take less.
        return [max(o.seconds for o in s.operators if o.operator == "indexer") for s in steps]

    for one, pooled in zip(scores(1), scores(16), strict=True):
        start = 2 * 4 * 2e-6  # kernels of two layers
        assert one - start == pytest.approx(16 * (pooled - start), rel=0.01)
