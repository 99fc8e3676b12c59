"""Types of weights by part, as tools for quantization write them into a config.json."""

import json
import re

import numpy as np
import pytest

from moe_costmodel import ModelShape
from moe_costmodel.models.patterns import matcher_of
from moe_costmodel.shapes import DTYPE_BYTES
from tests.moe_costmodel.models.test_config import DEEPSEEK_V3, MIXTRAL, QWEN3_30B


def groups(**weights):
    return {
        "quant_method": "compressed-tensors",
        "config_groups": {"group_0": {"weights": weights}},
    }


def types(quantization, config=DEEPSEEK_V3, **fields):
    return ModelShape.from_config(config | {"quantization_config": quantization} | fields).dtypes


@pytest.mark.parametrize(
    ("quantization", "expected", "bits"),
    [
        ({"quant_algo": "NVFP4"}, "nvfp4", 4),
        ({"quant_algo": "FP8"}, "fp8", 8),
        ({"quant_algo": "FP8_PB_WO"}, "fp8_block", 8),
        ({"quant_algo": "W4A8_AWQ"}, "w4afp8", 4),
        ({"quant_method": "fp8"}, "fp8", 8),
        ({"quant_method": "fp8", "weight_block_size": [128, 128]}, "fp8_block", 8),
        ({"quant_method": "mxfp4"}, "w4a16_mxfp4", 4),
        ({"quant_method": "gptq", "bits": 4}, "int4_wo", 4),
        (groups(num_bits=4, type="float", group_size=16), "nvfp4", 4),
        (groups(num_bits=4, type="float", group_size=32), "w4a8_mxfp4_mxfp8", 4),
        (groups(num_bits=4, type="int", group_size=128), "int4_wo_g128", 4),
        ({"quant_method": "gptq", "bits": 4, "group_size": 128}, "int4_wo_g128", 4),
        ({"quant_method": "awq", "bits": 4, "group_size": 64}, "int4_wo_g64", 4),
        ({"quant_method": "awq", "w_bit": 4, "q_group_size": 32}, "int4_wo_g32", 4),
        (groups(num_bits=4, type="int", group_size=32), "int4_wo_g32", 4),
        (groups(num_bits=8, type="int", group_size=32), "int8_wo", 8),
        (groups(num_bits=8, type="float", strategy="block"), "fp8_block", 8),
    ],
)
def test_methods_have_types_of_their_bits(quantization, expected, bits):
    found = types(quantization)
    assert {found[part] for part in ("attention", "dense", "experts", "shared")} == {expected}
    # Embedding, head, router and norms stay as they are.
    assert {found[part] for part in ("embedding", "head", "router", "norms")} == {"bfloat16"}
    # Scales of groups come on top: half a bit at most.
    assert bits / 8 <= DTYPE_BYTES[expected] <= (bits + 0.6) / 8


@pytest.mark.parametrize(("bits", "size"), [(4, 64), (4, 128), (8, 64), (8, 128)])
def test_groups_hold_a_scale_and_a_zero(bits, size):
    config = MIXTRAL | {"quantization_config": {"quant_method": "gptq", "bits": bits,
                                             "group_size": size}}  # fmt: skip
    shape = ModelShape.from_config(config)
    # A scale of 16 bits and a zero of `bits` for each group.
    expected = shape.parameters()["experts"] * (bits + (16 + bits) / size) / 8
    assert shape.weight_bytes()["experts"] == pytest.approx(expected)


def test_kimi_k2_takes_the_bytes_of_its_files():
    # Kimi-K2-Thinking: groups of 32 share a scale of 16 bits; its files have 594 GB.
    sizes = {
        "model_type": "kimi_k2", "num_attention_heads": 64, "n_routed_experts": 384,
        "first_k_dense_replace": 1, "vocab_size": 163840, "num_nextn_predict_layers": 0,
    }  # fmt: skip
    quantization = groups(num_bits=4, type="int", group_size=32) | {
        "ignore": [
            "lm_head", "re:.*self_attn.*", "re:.*shared_experts.*",
            r"re:.*mlp\.(gate|up|gate_up|down)_proj.*",
        ]
    }  # fmt: skip
    shape = ModelShape.from_config(DEEPSEEK_V3 | sizes | {"quantization_config": quantization})
    assert sum(shape.weight_bytes().values()) == pytest.approx(594e9, rel=0.002)


def test_modelopt_lists_modules_of_several_types():
    listed = {f"model.layers.{i}.self_attn.o_proj": {"quant_algo": "FP8"} for i in range(61)}
    listed |= {f"model.layers.{i}.mlp.experts": {"quant_algo": "W4A16_NVFP4"} for i in range(61)}
    found = types({"quant_method": "modelopt", "quant_algo": "MIXED_PRECISION",
                   "quantized_layers": listed})  # fmt: skip
    assert (found["attention"], found["experts"], found["head"]) == (
        "fp8",
        "w4a16_nvfp4",
        "bfloat16",
    )
    # A part counts as quantized if its modules are listed in all layers.
    del listed["model.layers.60.self_attn.o_proj"]
    found = types({"quant_algo": "MIXED_PRECISION", "quantized_layers": listed})
    assert (found["attention"], found["experts"]) == ("bfloat16", "w4a16_nvfp4")


def test_dense_parts_are_those_of_the_layers_that_have_them():
    names = [f"model.layers.{i}.mlp.down_proj" for i in range(3)]
    found = types({"quant_method": "fp8", "modules_to_not_convert": names})
    assert (found["dense"], found["experts"], found["attention"]) == ("bfloat16", "fp8", "fp8")
    listed = {name: {"quant_algo": "NVFP4"} for name in names}
    found = types({"quant_algo": "MIXED_PRECISION", "quantized_layers": listed})
    assert (found["dense"], found["experts"]) == ("nvfp4", "bfloat16")


@pytest.mark.parametrize(
    ("listed", "words"),
    [
        (None, "quantized_layers' must be a JSON object"),
        (
            {"a": {"quant_algo": "INT3"}},
            r"quantized_layers.a.quant_algo' must be one of NVFP4.*INT3",
        ),
        ({"a": "FP8"}, r"quantized_layers.a.quant_algo' must be one of"),
    ],
)
def test_damaged_lists_of_modelopt_are_named(listed, words):
    with pytest.raises(ValueError, match=words):
        types({"quant_algo": "MIXED_PRECISION", "quantized_layers": listed})


@pytest.mark.parametrize(
    "quantization",
    [
        {"quant_method": "magic"},
        {"quant_method": "modelopt", "quant_algo": "W4A4"},
        groups(num_bits=8, type="complex"),
        groups(),
        {"quant_method": "compressed-tensors", "config_groups": {"group_0": None}},
    ],
)
def test_unknown_methods_are_refused(quantization):
    with pytest.raises(ValueError, match="'quantization_config' must be one of the methods fp8"):
        types(quantization)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("float16", "float16"),
        ("float8_e4m3fn", "fp8"),
        (None, "bfloat16"),
    ],
)
def test_without_a_quantization_all_parts_have_the_type_of_the_file(name, expected):
    found = types(None, torch_dtype=name)
    assert set(found.values()) == {expected}
    found = types({"quant_method": "fp8"}, torch_dtype=name)
    assert (found["head"], found["experts"]) == (expected, "fp8")


@pytest.mark.parametrize("field", ["torch_dtype", "dtype"])
def test_a_type_of_no_certain_size_is_named(field):
    with pytest.raises(ValueError, match=f"'{field}' must be one of bfloat16, .*Got 'int8'"):
        types(None, **{field: "int8"})


@pytest.mark.parametrize("field", ["modules_to_not_convert", "ignore", "exclude_modules"])
@pytest.mark.parametrize(
    ("patterns", "plain"),
    [
        (["model.layers.*.self_attn"], {"attention"}),
        (["re:.*self_attn.*", "re:.*shared_experts.*", "lm_head"], {"attention", "shared"}),
        ([r"re:^model\.layers\..*\.mlp\.down_proj$"], {"dense"}),
        (["*mlp.experts*"], {"experts"}),
        # An exception of one layer is not one of the part.
        (["model.layers.60.self_attn.*"], set()),
        ([f"model.layers.{i}.self_attn.o_proj" for i in range(61)], {"attention"}),
        (["lm_head", "model.embed_tokens"], set()),
    ],
)
def test_exceptions_stay_as_they_are(field, patterns, plain):
    found = types({"quant_method": "fp8", field: patterns})
    parts = {part for part in ("attention", "dense", "experts", "shared")
             if found[part] == "bfloat16"}  # fmt: skip
    assert parts == plain


QUANTIZED = ("attention", "dense", "experts", "shared")


@pytest.mark.parametrize(
    ("quantization", "plain"),
    [
        ({"quant_method": "awq", "modules_to_not_convert": ["self_attn"]}, {"attention"}),
        ({"quant_method": "awq", "modules_to_not_convert": ["mlp.experts"]}, {"experts"}),
        ({"quant_method": "fp8", "modules_to_not_convert": ["experts"]}, {"experts", "shared"}),
        ({"quant_method": "fp8", "ignored_layers": [], "ignore": ["self_attn"]}, {"attention"}),
        # Of 61 layers, two are looked at, and "6" is not the beginning of 60.
        ({"quant_method": "awq", "modules_to_not_convert": ["layers.3", "layers.6"]}, set()),
        ({"quant_method": "awq", "modules_to_not_convert": ["gate", "lm_head"]}, set()),
    ],
)
def test_plain_names_are_parts_of_the_names_of_modules(quantization, plain):
    found = types(quantization)
    assert {part for part in QUANTIZED if found[part] == "bfloat16"} == plain


@pytest.mark.parametrize(
    ("pattern", "plain"),
    [
        (r"re:.*mlp\.(gate|up|gate_up|down)_proj.*", {"dense"}),  # Kimi-K2-Thinking
        ("re:.*self_attn", {"attention"}),  # a pattern need not reach the end
        ("re:self_attn.*", set()),  # but must begin at the beginning
        (".*self_attn.*", {"attention"}),
        (r"re:model\.layers\.\d+\.(?:self_attn|mlp\.down_proj)", {"attention", "dense"}),
        (r"re:^model.layers.[0-9]+.mlp.shared_experts?.down_proj$", {"shared"}),
        (r"re:.*\.o_proj|.*\.down_proj$", {"attention", "dense", "experts", "shared"}),
        (r"re:.*self(_attn)?\.", {"attention"}),
        ("re:" + ".*" * 40 + "Z", set()),  # exponential by backtracking
    ],
)
def test_regular_expressions_match_the_beginning_of_names(pattern, plain):
    found = types({"quant_method": "fp8", "ignore": [pattern]})
    assert {part for part in QUANTIZED if found[part] == "bfloat16"} == plain


@pytest.mark.parametrize(
    "pattern",
    [
        "re:(a*)*b", "re:(?!.*experts).*", "re:((a|b)|c)", "re:a{2,9}", r"re:(a)\1", "re:(a",
        "re:a)", "re:*a", "re:[9-0]", "re:[^a]", "re:" + "a" * 2000, "", 7,
    ],
)  # fmt: skip
def test_patterns_that_may_mean_something_else_are_refused(pattern):
    message = r"quantization_config\.ignore' must be a name of a module.*list the modules by name"
    with pytest.raises(ValueError, match=message):
        types({"quant_method": "fp8", "ignore": [pattern]})


def test_patterns_that_are_read_match_what_python_does():
    pieces = [
        "a",
        "b",
        ".",
        ".*",
        "a*",
        "b+",
        "a?",
        "[ab]",
        "(a|bb|)",
        "(b)?",
        r"\.",
        "^",
        "$",
        "|",
    ]
    names = ["", "a", "b", "ab", "ba", "aab", "abb", "b.a", "a.bb"]
    random = np.random.default_rng(0)
    for _ in range(500):
        pattern = "".join(random.choice(pieces, random.integers(1, 5)))
        matches = matcher_of(f"re:{pattern}")
        for name in names:
            assert matches(name) == (re.match(pattern, name) is not None), (pattern, name)


@pytest.mark.parametrize("method", ["gptq", "awq"])
@pytest.mark.parametrize("bits", [2, 3, "8", True, None, 4.0])
def test_other_numbers_of_bits_are_refused(method, bits):
    with pytest.raises(ValueError, match=r"quantization_config\.bits' must be 4 or 8"):
        types({"quant_method": method, "bits": bits})


def test_the_patterns_of_gptq_have_types_of_their_own():
    dynamic = {
        r"-:.*self_attn.*": {},
        r"+:.*shared_experts.*": {"bits": 8},
        r".*mlp\.down_proj.*": {"group_size": 64},
    }
    found = types({"quant_method": "gptq", "bits": 4, "dynamic": dynamic})
    assert [found[part] for part in QUANTIZED] == ["bfloat16", "int4_wo_g64", "int4_wo", "int8_wo"]
    blocks = [["mlp.experts"], ["mlp.down_proj"]]
    some = {"quant_method": "gptq", "bits": 8, "modules_in_block_to_quantize": blocks}
    found = types(some)
    assert [found[part] for part in QUANTIZED] == ["bfloat16", "int8_wo", "int8_wo", "bfloat16"]


def test_groups_of_compressed_tensors_count_by_target():
    int4 = {"weights": {"num_bits": 4, "type": "int"}}
    fp8 = {"weights": {"num_bits": 8, "type": "float"}}
    config = {"quant_method": "compressed-tensors", "ignore": ["shared_experts"]}
    two = {"a": fp8 | {"targets": ["Linear"]}, "b": int4 | {"targets": ["re:.*mlp.experts.*"]}}
    found = types(config | {"config_groups": two})
    assert [found[part] for part in QUANTIZED] == ["fp8", "fp8", "int4_wo", "bfloat16"]
    alone = {"a": int4 | {"targets": ["re:.*mlp.experts.*"]}}
    found = types(config | {"config_groups": alone})
    assert [found[part] for part in QUANTIZED] == ["bfloat16", "bfloat16", "int4_wo", "bfloat16"]


@pytest.mark.parametrize("targets", [["Linear"], None, ["FusedMoE"], [3]])
def test_groups_without_a_target_that_is_certain_are_refused(targets):
    int4 = {"weights": {"num_bits": 4, "type": "int"}, "targets": targets}
    fp8 = {"weights": {"num_bits": 8, "type": "float"}, "targets": ["Linear"]}
    with pytest.raises(ValueError, match=r"quantization_config\.config_groups"):
        types({"quant_method": "compressed-tensors", "config_groups": {"a": fp8, "b": int4}})


def test_bytes_shrink_by_the_quantized_parts():
    plain = ModelShape.from_config(QWEN3_30B)
    narrow = ModelShape.from_config(
        QWEN3_30B | {"quantization_config": {"quant_method": "fp8", "ignore": ["*self_attn*"]}}
    )
    before, after = plain.weight_bytes(), narrow.weight_bytes()
    assert after["experts"] == before["experts"] / 2
    assert after["attention"] == before["attention"]
    assert plain.n_parameters == narrow.n_parameters


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings' must be true or false"),
        ({"layer_types": ["full_attention"]}, "layer_types' must be a list of 48 texts"),
        ({"mlp_only_layers": 3}, "mlp_only_layers' must be a list of integers"),
        ({"mlp_only_layers": [0, 48]}, r"mlp_only_layers\[1\]' must be .* from 0 to 47"),
        ({"num_experts": None}, r"n_routed_experts' must be present \(or num_experts, num_local_"),
        ({"num_experts_per_tok": None}, r"num_experts_per_tok' must be present \(or experts_per_"),
        ({"num_hidden_layers": 10_001}, "num_hidden_layers' must be at most 10,000"),
    ],
)
def test_fields_of_another_kind_are_named(tmp_path, fields, message):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(QWEN3_30B | fields))
    with pytest.raises(ValueError, match=message) as error:
        ModelShape.from_config(path)
    assert str(path) in str(error.value)
