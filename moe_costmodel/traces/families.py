"""Families of MoE models in Hugging Face transformers, and the outputs of their routers."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from moe_costmodel._checks import invalid, one_of, require

__all__ = [
    "FAMILIES",
    "Family",
    "RouterOutput",
    "Routing",
    "count_chosen",
    "count_experts",
    "find_routers",
    "takes_choices",
]

if TYPE_CHECKING:  # so that the public FAMILIES are there without torch, too
    from torch import Tensor
    from torch.nn import Module

Routing: TypeAlias = "tuple[Tensor, Tensor]"
RouterOutput: TypeAlias = "tuple[Tensor, Tensor, Tensor]"


def _read_triple(output: RouterOutput) -> Routing:
    """Read (logits, weights, indices), the first outputs of most routers of transformers 5."""
    if not isinstance(output, tuple) or len(output) < 3:
        raise ValueError(f"Its routers return {_kind_of(output)} instead of a triple.")
    _, weights, ids = output[:3]
    if ids.ndim != 2 or ids.shape != weights.shape or ids.is_floating_point():
        raise ValueError(
            "Its routers must return (logits, weights, indices), the last two of shape (S, k). "
            f"Got shapes {tuple(weights.shape)} and {tuple(ids.shape)} instead."
        )
    return ids, weights


def _write_triple(output: RouterOutput, ids: Tensor, weights: Tensor) -> RouterOutput:
    return output[0], weights.to(output[1].dtype), ids.to(output[2].dtype), *output[3:]


def _kind_of(output: object) -> str:
    kind = type(output).__name__
    return f"a tuple of {len(output)}" if isinstance(output, tuple) else kind


@dataclass(frozen=True)
class Family:
    """A family of models, and how to read and write (ids, weights) [S, k] in its routers' outputs.

    If transformers computes the experts incorrectly, `fix` is a forward hook of the class `experts`
    that returns the correct output. If choices are made outside of a router, `at_experts` is true:
    the modules of the experts stand for routers, and their arguments for the routers' outputs.
    """

    name: str
    routers: str  # pattern of the names of their classes
    read: Callable[[RouterOutput], Routing] = _read_triple
    write: Callable[[RouterOutput, Tensor, Tensor], RouterOutput] = _write_triple
    experts: str | None = None
    fix: Callable[[Module, RouterOutput, Tensor], Tensor] | None = None
    at_experts: bool = False


def _read_llama4(output: RouterOutput) -> Routing:
    """Read (scores [S, E], 0 for experts that are not chosen; logits [S, E])."""
    if not isinstance(output, tuple) or len(output) != 2:
        raise ValueError(f"Its routers return {_kind_of(output)} instead of scores and logits.")
    scores = output[0]
    weights, ids = scores.topk(int((scores > 0).sum(dim=-1).max()), dim=-1)
    return ids, weights


def _write_llama4(output: RouterOutput, ids: Tensor, weights: Tensor) -> RouterOutput:
    scores, *rest = output
    return scores.new_zeros(scores.shape).scatter_(1, ids.long(), weights.to(scores.dtype)), *rest


def _read_switch(output: RouterOutput) -> Routing:
    """Read (one-hot mask after capacity [B, S, E], probability [B, S, 1], logits [B, S, E])."""
    mask, probability, logits = output
    ids = logits.flatten(0, -2).argmax(dim=-1, keepdim=True)
    routed = mask.flatten(0, -2).gather(1, ids) > 0
    return ids, probability.reshape(-1, 1) * routed


def _write_switch(output: RouterOutput, ids: Tensor, weights: Tensor) -> RouterOutput:
    mask, probability, logits = output
    routed = mask.new_zeros(mask.shape).flatten(0, -2)
    routed.scatter_(1, ids.long(), (weights > 0).to(mask.dtype))
    return routed.view_as(mask), weights.view_as(probability).to(probability.dtype), logits


def _read_nllb(output: RouterOutput) -> Routing:
    """Read (mask of first choices, combining weights after capacity [S, E], logits [S, E])."""
    _, combine, logits = output
    ids = logits.topk(2, dim=-1).indices
    return ids, combine.gather(1, ids)


def _write_nllb(output: RouterOutput, ids: Tensor, weights: Tensor) -> RouterOutput:
    mask, combine, logits = output
    changed = combine.new_zeros(combine.shape).scatter_(1, ids.long(), weights.to(combine.dtype))
    return mask, changed, logits


def _nllb_experts(module: Module, inputs: RouterOutput, output: Tensor) -> Tensor:
    """Return the weighted sum of the two experts that NLLB-MoE's router chose for each token.

    transformers (at least 5.24) reads the router's one-hot mask as indices. Experts 0 and 1 then
    compute every token, and the routing of later layers would be that of a broken model.
    """
    tokens, _, combine = inputs
    out = tokens.new_zeros(tokens.shape)
    for expert in range(module.num_experts):
        rows = (combine[:, expert] > 0).nonzero()[:, 0]
        if len(rows):
            computed = module[f"expert_{expert}"](tokens[rows]) * combine[rows, expert, None]
            out.index_add_(0, rows, computed.to(out.dtype))
    return out * (1 - module.moe_token_dropout)


FAMILIES: tuple[Family, ...] = (
    Family("Mixtral", "MixtralTopKRouter"),
    Family("OLMoE", "(Olmoe|FlexOlmo)TopKRouter"),
    Family("Qwen-MoE", "Qwen(2Moe|3Moe|3Next|3VLMoeText|3_5Moe)TopKRouter"),
    Family("DeepSeek", "Deepseek(V2Topk|V3Topk|V32Topk|V4TopK|V4Hash)Router"),
    Family("Llama-4", "Llama4Router", _read_llama4, _write_llama4),
    Family("Switch", "SwitchTransformersTop1Router", _read_switch, _write_switch),
    Family(
        "NLLB-MoE", "NllbMoeTop2Router", _read_nllb, _write_nllb, "NllbMoeExperts", _nllb_experts
    ),
)
# Most other families of transformers 5 return the same triple; names of classes tell their routers.
_ALIKE = Family("alike", ".*(Top[kK]|TokenChoice)Router")
# In the rest, whatever makes the choices hands them to the experts under the same names.
_AT_EXPERTS = Family("alike", ".*Experts", at_experts=True)
_GIVEN = {"top_k_index", "top_k_weights"}
_OF_IMAGES = re.compile(r"(^|\.)(vision|visual|image)")
# Fields of a config with the experts of a token.
_CHOSEN = ("num_experts_per_tok", "moe_topk", "moe_top_k", "moe_k", "top_k_experts")


def takes_choices(module: Module) -> bool:
    """Return whether a module's class takes tokens, ids and weights, as most experts do."""
    given = inspect.signature(type(module).forward).parameters.values()
    return len(given) >= 4 or any(one.kind is one.VAR_POSITIONAL for one in given)


def _is_given_choices(module: Module) -> bool:
    if not re.fullmatch(_AT_EXPERTS.routers, type(module).__name__):
        return False
    return set(inspect.signature(type(module).forward).parameters) >= _GIVEN


def _family_of(module: Module) -> Family | None:
    name, known = type(module).__name__, (*FAMILIES, _ALIKE)
    return next((family for family in known if re.fullmatch(family.routers, name)), None)


def find_routers(model: Module, *, part: str | None = None) -> tuple[Family, dict[str, Module]]:
    """Return the family of a model, and its routers by name, in the model's order.

    The encoder and the decoder of a model see different tokens, so that `part` names one of them.
    Routers of images are left out, unless there are no others. If a model has no routers that are
    known, the modules of its experts stand for them, if these are given choices as usual.
    """
    if part is not None:
        one_of("record", "part", part, ("encoder", "decoder"))
    named = list(model.named_modules())
    routers = {name: module for name, module in named if _family_of(module)}
    routers = routers or {name: module for name, module in named if _is_given_choices(module)}
    of_text = {name: module for name, module in routers.items() if not _OF_IMAGES.search(name)}
    routers = of_text or routers
    if not routers:
        got = f"{type(model).__name__}, which has none of their routers"
        known = ", ".join(family.name for family in FAMILIES)
        expected = f"of a known family ({known}), or one with routers alike"
        raise invalid("record", "model", got, expected)
    halves = {half for half in ("encoder", "decoder") for name in routers if f"{half}." in name}
    if len(halves) == 2 and part is None:
        raise invalid("record", "part", None, "'encoder' or 'decoder' for such a model")
    if part is not None:
        routers = {name: module for name, module in routers.items() if f"{part}." in name}
        require("record", "part", part, bool(routers), f"a half of {type(model).__name__}")
    families = {_family_of(module) or _AT_EXPERTS for module in routers.values()}
    if len(families) > 1:
        names = sorted(family.name for family in families)
        raise invalid("record", "model", names, "of one family")
    return families.pop(), routers


def count_experts(routers: dict[str, Module]) -> int:
    """Return the number of experts of a layer, as stated by a router or its configuration."""
    names = ("num_experts", "num_local_experts", "n_routed_experts")
    owners = [owner for r in routers.values() for owner in (r, getattr(r, "config", None))]
    stated = [getattr(owner, name, None) for owner in owners for name in names]
    counts = [value for value in stated if isinstance(value, int)]
    if not counts:
        kind = type(next(iter(routers.values()))).__name__
        raise invalid("record", "model", kind, "of routers that state num_experts")
    return max(counts)


def count_chosen(model: Module, name: str) -> int:
    """Return the number of experts that a router chooses for a token, given the router's name.

    It is stated by the router, by the layer that holds it or a part of it, or by one of their
    configurations.
    """
    parent = model.get_submodule(name.rpartition(".")[0])
    owners = [model.get_submodule(name), parent, *parent.children()]
    configs = [config for owner in owners if (config := getattr(owner, "config", None)) is not None]
    stated = [getattr(owner, "top_k", None) for owner in owners]
    stated += [getattr(config, field, None) for config in configs for field in _CHOSEN]
    found = next((value for value in stated if isinstance(value, int)), None)
    if found is None:
        kind = type(owners[0]).__name__
        raise invalid("record", "model", kind, "of routers that state top_k")
    return found
