"""Types of weights by part, as the quantization fields of a config.json tell them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase

from moe_costmodel.models.fields import ConfigFields
from moela.files.guard import brief, invalid_file

__all__ = ["weight_types"]

# Parts whose matrices a quantization may cover, and names that their modules have.
_MODULES: dict[str, tuple[str, ...]] = {
    "head": ("lm_head",),
    "attention": ("self_attn.o_proj", "self_attn.q_proj", "self_attn.q_b_proj"),
    "dense": ("mlp.down_proj",),
    "experts": ("mlp.experts.0.down_proj", "block_sparse_moe.experts.0.w2"),
    "shared": ("mlp.shared_experts.down_proj", "mlp.shared_expert.down_proj"),
}
_FLOATS = {"bfloat16", "float16", "float32"}
_ROOTS = ("", "model.", "language_model.", "language_model.model.", "model.language_model.")


def weight_types(fields: ConfigFields, quantization: object) -> dict[str, str]:
    """Return the type of the weights of each part."""
    plain = str(fields.get("torch_dtype", "dtype") or "bfloat16").removeprefix("torch.")
    plain = plain if plain in _FLOATS else "bfloat16"
    parts = ("embedding", "head", "attention", "dense", "experts", "shared", "router", "norms")
    types = dict.fromkeys(parts, plain)
    if quantization is None:
        return types
    if not isinstance(quantization, Mapping):
        expected = "a JSON object with quant_method (or quant_algo)"
        place = fields.place("quantization_config")
        raise invalid_file(fields.source, brief(quantization), expected, place)
    dtype = _type_of(fields, quantization)
    left_out = _left_out(quantization)
    n_layers = fields.whole("num_hidden_layers")
    layers = sorted({n_layers // 2, n_layers - 1})
    for part, modules in _MODULES.items():
        # By habit the head stays as it is, whether a list of exceptions says so or not.
        if part != "head" and not _excepted(left_out, modules, layers):
            types[part] = dtype
    return types


def _type_of(fields: ConfigFields, quantization: Mapping[str, object]) -> str:
    """Return the type that a quantization gives to weights."""
    method = str(quantization.get("quant_method") or "").lower()
    name = str(quantization.get("quant_algo") or "").upper()
    if name in ("NVFP4", "FP8", "W4A8_AWQ", "MIXED_PRECISION", "FP8_PB_WO"):
        return {"FP8": "fp8", "FP8_PB_WO": "fp8_block", "W4A8_AWQ": "w4afp8"}.get(name, "nvfp4")
    if method == "fp8":
        return "fp8_block" if quantization.get("weight_block_size") else "fp8"
    if method == "mxfp4":
        return "w4a16_mxfp4"
    if method in ("gptq", "awq"):
        return "int8_wo" if quantization.get("bits") == 8 else "int4_wo"
    groups = quantization.get("config_groups")
    first = next(iter(groups.values()), None) if isinstance(groups, Mapping) else None
    weights = first.get("weights") if isinstance(first, Mapping) else None
    if isinstance(weights, Mapping):
        bits, kind = weights.get("num_bits"), weights.get("type")
        if (bits, kind) == (4, "float"):
            return "nvfp4" if weights.get("group_size") == 16 else "w4a8_mxfp4_mxfp8"
        if (bits, kind) == (4, "int"):
            return "int4_wo"
        if bits == 8:
            blocks = weights.get("strategy") == "block"
            return "int8_wo" if kind == "int" else "fp8_block" if blocks else "fp8"
    expected = (
        "one of the methods fp8, mxfp4, gptq, awq, modelopt (NVFP4, FP8) and compressed-tensors "
        "of 4 or 8 bits"
    )
    got = method or name or "none"
    raise invalid_file(fields.source, got, expected, fields.place("quantization_config"))


def _left_out(quantization: Mapping[str, object]) -> list[str]:
    """Return the patterns of modules that stay as they are."""
    for name in ("modules_to_not_convert", "ignore", "exclude_modules", "ignored_layers"):
        value = quantization.get(name)
        if isinstance(value, list):
            return [str(item) for item in value]
    return []


def _excepted(patterns: list[str], modules: tuple[str, ...], layers: list[int]) -> bool:
    """Tell whether a part's modules are among the exceptions in all of some layers."""
    return bool(patterns) and all(
        any(
            _matches(pattern, f"{root}layers.{layer}.{module}")
            for pattern in patterns
            for root in _ROOTS
            for module in modules
        )
        for layer in layers
    )


def _matches(pattern: str, name: str) -> bool:
    if pattern.startswith("re:"):
        # Patterns of a stranger's file: only a plain alphabet with `.*`, which cannot take long.
        words = re.sub(r"\.\*", "*", pattern[3:]).replace("\\.", ".").strip("^$")
        return fnmatchcase(name, words) or fnmatchcase(name, f"*{words}")
    return name == pattern or any(fnmatchcase(name, form) for form in (pattern, f"{pattern}.*"))
