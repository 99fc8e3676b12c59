"""Types of weights by part, as the quantization fields of a config.json tell them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from moe_costmodel.models.fields import ConfigFields
from moe_costmodel.models.patterns import NAMES_AND_PATTERNS, matcher_of
from moela.files.guard import brief, invalid_file

__all__ = ["weight_types"]

# Parts whose matrices a quantization may cover, and names that their modules have.
_MODULES: dict[str, tuple[str, ...]] = {
    "head": ("lm_head",),
    "attention": (
        "self_attn.o_proj", "self_attn.q_proj", "self_attn.q_b_proj", "mixer.in_proj",
        "mixer.q_proj", "linear_attn.out_proj", "attn.wq_b", "mamba.in_proj",
        "self_attn.out_proj", "conv.in_proj",
    ),
    "dense": ("mlp.down_proj", "shared_mlp.input_linear", "feed_forward.w2",
        "feed_forward.down_proj",
    ),
    "experts": (
        "mlp.experts.0.down_proj", "block_sparse_moe.experts.0.w2",
        "mixer.experts.0.down_proj", "ffn.experts.0.w2", "block_sparse_moe.input_linear",
        "feed_forward.experts.0.w2", "feed_forward.experts.0.down_proj",
    ),
    "shared": (
        "mlp.shared_experts.down_proj", "mlp.shared_expert.down_proj",
        "mixer.shared_experts.down_proj", "block_sparse_moe.shared_experts.down_proj",
        "ffn.shared_experts.w2", "shared_mlp.input_linear",
    ),
}  # fmt: skip
# Kinds of layers that hold a part, among them those of Nemotron-H, which hold one part each.
_WITH_EXPERTS = ("sparse", "hashed", "moe")
_KINDS = {
    "attention": ("mamba", "dense", "sparse", "hashed"), "dense": ("dense", "mlp"),
    "experts": _WITH_EXPERTS, "shared": _WITH_EXPERTS,
}  # fmt: skip
# Types of files, by the names that torch has for them.
_FLOATS = {
    **{name: name for name in ("bfloat16", "float16", "float32", "float64")},
    "float8_e4m3fn": "fp8", "float8_e5m2": "fp8",
}  # fmt: skip
_OF_ALL = ("Linear", "torch.nn.Linear", "torch.nn.modules.linear.Linear")  # classes of modules
_EXCEPTIONS = ("modules_to_not_convert", "ignore", "exclude_modules", "ignored_layers")
_MIXED = "MIXED_PRECISION"
_ALGORITHMS = {
    "NVFP4": "nvfp4", "FP8": "fp8", "FP8_PB_WO": "fp8_block", "W4A8_AWQ": "w4afp8",
}  # fmt: skip
# Those of single modules. The blocks of MXFP8 are narrower than those of "fp8_block".
_OF_MODULES = _ALGORITHMS | {"W4A16_NVFP4": "w4a16_nvfp4", "MXFP8": "fp8_block"}
_METHODS = (
    "one of the methods fp8, mxfp4, gptq and awq of 4 or 8 bits, modelopt (NVFP4, FP8, "
    f"{_MIXED}) and compressed-tensors of 4 or 8 bits"
)
_ROOTS = (
    "", "model.", "language_model.", "language_model.model.", "model.language_model.",
    "thinker.model.", "backbone.",
)  # fmt: skip


# Matchers of the modules that a rule is for (None: of all others), and their type (None: as it is).
Rule: TypeAlias = tuple[list[Callable[[str], bool]] | None, str | None]


def weight_types(
    fields: ConfigFields, quantization: object, kinds: Sequence[str]
) -> dict[str, str]:
    """Return the type of the weights of each part; `kinds` tells what each layer holds.

    A ValueError names the file and the field if a type or a quantization is unknown, or if it is
    not certain which modules it covers.
    """
    plain = _plain(fields)
    parts = ("embedding", "head", "attention", "dense", "experts", "shared", "router", "norms")
    types = dict.fromkeys(parts, plain)
    if quantization is None:
        return types
    if not isinstance(quantization, Mapping):
        expected = "a JSON object with quant_method (or quant_algo)"
        place = fields.place("quantization_config")
        raise invalid_file(fields.source, brief(quantization), expected, place)
    mixed = str(quantization.get("quant_algo")).upper() == _MIXED
    rules = [
        *(_listed if mixed else _exceptions)(fields, quantization),
        *_of_experts(fields, quantization),
        *_rules(fields, quantization),
    ]
    parallel = fields.flag("enable_moe_block")  # Gemma-4: a dense part beside the experts
    modules_of = _MODULES | ({"experts": ("experts.0.down_proj",)} if parallel else {})
    for part, modules in modules_of.items():
        layers = _layers_of(part, kinds)
        # By habit the head stays as it is, whether a list of exceptions says so or not.
        if part != "head":
            covered = (dtype for which, dtype in rules if _covers(which, modules, layers))
            types[part] = next(covered, None) or plain
    if parallel or fields.get("zero_expert_num") is not None:  # it counts as shared
        types["shared"] = types["dense"]
    return types


def _layers_of(part: str, kinds: Sequence[str]) -> list[int]:
    """Return the numbers of two layers that stand for all that have a part."""
    held = _KINDS.get(part, kinds)
    numbers = [i for i, kind in enumerate(kinds) if kind in held] or list(range(len(kinds)))
    return sorted({numbers[len(numbers) // 2], numbers[-1]})


def _plain(fields: ConfigFields) -> str:
    """Return the type of the parts that no quantization covers."""
    names = ("torch_dtype", "dtype")
    given = str(fields.get(*names) or "bfloat16").removeprefix("torch.")
    if given == "auto":  # the type of the file, which the config does not tell
        return "bfloat16"
    if given not in _FLOATS:
        expected = f"one of {', '.join(_FLOATS)}"
        raise invalid_file(fields.source, brief(given), expected, fields.named(*names))
    return _FLOATS[given]


def _covers(
    matchers: list[Callable[[str], bool]] | None, modules: tuple[str, ...], layers: list[int]
) -> bool:
    """Tell whether matchers are for a part's modules in all of some layers."""
    return matchers is None or all(
        any(
            matches(f"{root}layers.{layer}.{module}")
            for matches in matchers
            for root in _ROOTS
            for module in modules
        )
        for layer in layers
    )


def _rules(fields: ConfigFields, quantization: Mapping[str, object]) -> list[Rule]:
    """Return the rules of a quantization, of which the first one that is for a module counts."""
    method = str(quantization.get("quant_method") or "").lower()
    name = str(quantization.get("quant_algo") or "").upper()
    if name in _ALGORITHMS:
        return [(None, _ALGORITHMS[name])]
    if name == _MIXED and method != "fp8":
        return [(None, None)]
    if method == "fp8":
        return [(None, "fp8_block" if quantization.get("weight_block_size") else "fp8")]
    if method == "mxfp4":
        return [(None, "w4a16_mxfp4")]
    if method == "awq":
        bits = quantization.get("bits", quantization.get("w_bit", 4))
        size = quantization.get("group_size", quantization.get("q_group_size"))
        return [(None, _by_bits(fields, bits, size))]
    if method == "gptq":
        return _of_gptq(fields, quantization)
    groups = quantization.get("config_groups")
    if isinstance(groups, Mapping) and groups:
        return _of_groups(fields, groups)
    raise _unknown(fields, f"{method} {name}".strip() or "none")


def _listed(fields: ConfigFields, quantization: Mapping[str, object]) -> list[Rule]:
    """Return the rules of a quantization that lists each module with its type."""
    name, expected = "quantized_layers", "a JSON object of modules, each with its quant_algo"
    modules = quantization.get(name)
    if not isinstance(modules, Mapping) or not modules:
        raise _wrong(fields, name, modules, expected)
    names: dict[str, set[str]] = {}
    for module, how in modules.items():
        algorithm = how.get("quant_algo") if isinstance(how, Mapping) else None
        dtype = _OF_MODULES.get(str(algorithm).upper())
        if dtype is None:
            known = f"one of {', '.join(_OF_MODULES)}"
            raise _wrong(fields, f"{name}.{module}.quant_algo", algorithm, known)
        names.setdefault(dtype, set()).add(str(module))
    return [([_within(held)], dtype) for dtype, held in names.items()]


def _within(names: set[str]) -> Callable[[str], bool]:
    """Return a function that tells whether a module is one of some, or lies in one of them."""

    def matches(name: str) -> bool:
        pieces = name.split(".")
        return any(".".join(pieces[:end]) in names for end in range(1, len(pieces) + 1))

    return matches


def _of_experts(fields: ConfigFields, quantization: Mapping[str, object]) -> list[Rule]:
    """Return the rule for experts of a type of their own (DeepSeek-V4)."""
    name = "expert_dtype"
    given = quantization.get(name, fields.get(name))
    if given not in (None, "fp4", "fp8"):
        raise invalid_file(fields.source, brief(given), "fp4 or fp8", fields.place(name))
    if given != "fp4":
        return []
    return [([lambda module: ".experts." in module], "w4a8_mxfp4_mxfp8")]


def _of_gptq(fields: ConfigFields, quantization: Mapping[str, object]) -> list[Rule]:
    """Return the rules of GPTQ, whose `dynamic` has patterns with other bits or without any."""
    size = quantization.get("group_size")
    dtype = _by_bits(fields, quantization.get("bits"), size)
    rules: list[Rule] = []
    dynamic = quantization.get("dynamic") or {}
    if not isinstance(dynamic, Mapping):
        raise _wrong(fields, "dynamic", dynamic, "a JSON object of patterns")
    for text, changes in dynamic.items():
        text = str(text)
        pattern = text.removeprefix("-:").removeprefix("+:")
        matchers = _matchers(fields, "dynamic", [f"re:{pattern}"])
        if text.startswith("-:"):
            rules.append((matchers, None))
        elif isinstance(changes, Mapping):
            bits = changes.get("bits", quantization["bits"])
            rules.append((matchers, _by_bits(fields, bits, changes.get("group_size", size))))
        else:
            raise _wrong(fields, "dynamic", changes, "a JSON object for each pattern")
    blocks = quantization.get("modules_in_block_to_quantize")
    if not blocks:
        return [*rules, (None, dtype)]
    name, expected = "modules_in_block_to_quantize", "a list of names, or of lists of names"
    if not isinstance(blocks, list):
        raise _wrong(fields, name, blocks, expected)
    names = [text for block in blocks for text in (block if isinstance(block, list) else [block])]
    return [*rules, (_matchers(fields, name, names), dtype)]


def _of_groups(fields: ConfigFields, groups: Mapping[str, object]) -> list[Rule]:
    """Return the rules of the groups of compressed-tensors; names count before classes."""
    named: list[Rule] = []
    of_all: dict[str, None] = {}
    for place, group in groups.items():
        weights = group.get("weights") if isinstance(group, Mapping) else None
        narrow = isinstance(group, Mapping) and group.get("input_activations", {}) is not None
        dtype = _of_group(fields, weights if isinstance(weights, Mapping) else {}, narrow=narrow)
        targets = group.get("targets") if isinstance(group, Mapping) else None
        targets = targets or (_OF_ALL[0] if len(groups) == 1 else None)
        texts = targets if isinstance(targets, list) else [targets]
        if any(text in _OF_ALL for text in texts):
            of_all[dtype] = None
        names = [text for text in texts if text not in _OF_ALL]
        for text in names:
            if not isinstance(text, str) or (text.isidentifier() and text[:1].isupper()):
                expected = f"{_OF_ALL[0]}, or {NAMES_AND_PATTERNS}"
                raise _wrong(fields, f"config_groups.{place}.targets", text, expected)
        if names:
            named.append((_matchers(fields, f"config_groups.{place}.targets", names), dtype))
    if len(of_all) > 1:
        got, expected = " and ".join(of_all), "of one type for all modules that no target names"
        raise _wrong(fields, "config_groups", got, expected)
    return [*named, *((None, dtype) for dtype in of_all)]


def _of_group(fields: ConfigFields, weights: Mapping[str, object], *, narrow: bool) -> str:
    """Return the type that a group of compressed-tensors gives to weights.

    `narrow` tells whether what they are multiplied with may be quantized, too.
    """
    bits, kind = weights.get("num_bits"), weights.get("type", "int")
    if (bits, kind) == (4, "float"):
        if weights.get("group_size") == 16:
            return "nvfp4"
        return "w4a8_mxfp4_mxfp8" if narrow else "w4a16_mxfp4"
    if bits in (4, 8) and kind == "int":
        return _by_bits(fields, bits, weights.get("group_size"))
    if (bits, kind) == (8, "float"):
        return "fp8_block" if weights.get("strategy") == "block" else "fp8"
    raise _unknown(fields, "compressed-tensors with weights of " + brief(dict(weights)))


def _by_bits(fields: ConfigFields, bits: object, group_size: object) -> str:
    """Return the type of integer weights of which a group shares one scale."""
    if isinstance(bits, bool) or not isinstance(bits, int) or bits not in (4, 8):
        raise _wrong(fields, "bits", bits, "4 or 8")
    known = (64, 128) if bits == 8 else (32, 64, 128)
    group = f"_g{group_size}" if group_size in known else ""
    return f"int{bits}_wo{group}"


def _exceptions(fields: ConfigFields, quantization: Mapping[str, object]) -> list[Rule]:
    """Return the rules for modules that stay as they are."""
    rules: list[Rule] = []
    for name in _EXCEPTIONS:
        value = quantization.get(name)
        if value is not None:
            if not isinstance(value, list):
                raise _wrong(fields, name, value, "a list of names and patterns")
            rules.append((_matchers(fields, name, value), None))
    return rules


def _matchers(
    fields: ConfigFields, name: str, patterns: Iterable[object]
) -> list[Callable[[str], bool]]:
    """Return the matchers of a field's patterns."""
    found = []
    for pattern in patterns:
        try:
            found.append(matcher_of(pattern if isinstance(pattern, str) else ""))
        except ValueError:
            raise _wrong(fields, name, pattern, NAMES_AND_PATTERNS) from None
    return found


def _unknown(fields: ConfigFields, got: str) -> ValueError:
    return invalid_file(fields.source, got, _METHODS, fields.place("quantization_config"))


def _wrong(fields: ConfigFields, name: str, value: object, expected: str) -> ValueError:
    place = fields.place(f"quantization_config.{name}")
    return invalid_file(fields.source, brief(value), expected, place)
