"""Families of MoE models in Hugging Face transformers, and how their routers answer."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from moe_costmodel._checks import invalid, one_of, require

__all__ = ["FAMILIES", "Family", "Routing", "count_experts", "find_routers"]

Routing = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Family:
    """How one family of models answers from its routers.

    Attributes
    ----------
    name : str
        What people call it.
    routers : tuple of str
        Class names of its routers in Hugging Face transformers.
    read : callable
        Turns a router's output into (ids [S, k], weights [S, k]).
    write : callable or None
        Puts other ids and weights into a router's output; None where the family's experts cannot
        be steered that way.
    experts : str, optional
        Class name of its experts, where transformers computes them wrongly.
    mend : callable, optional
        A forward hook for those experts that returns what they should.
    """

    name: str
    routers: tuple[str, ...]
    read: Callable[[Any], Routing]
    write: Callable[[Any, Tensor, Tensor], Any]
    experts: str | None = None
    mend: Callable[[Any, Any, Any], Tensor] | None = None


def _read_triple(output: Any) -> Routing:
    """(logits, weights, indices): most families of transformers 5."""
    if not isinstance(output, tuple) or len(output) != 3:
        raise ValueError(f"Its routers answer with {type(output).__name__}, not with a triple.")
    _, weights, ids = output
    if ids.ndim != 2 or ids.shape != weights.shape or ids.is_floating_point():
        raise ValueError(
            "Its routers must answer (logits, weights, indices), the last two of shape (S, k). "
            f"Got shapes {tuple(weights.shape)} and {tuple(ids.shape)} instead."
        )
    return ids, weights


def _write_triple(output: Any, ids: Tensor, weights: Tensor) -> Any:
    return output[0], weights.to(output[1].dtype), ids.to(output[2].dtype)


def _read_switch(output: Any) -> Routing:
    """(one-hot mask after capacity [B, S, E], probability [B, S, 1], logits [B, S, E])."""
    mask, probability, logits = output
    ids = logits.flatten(0, -2).argmax(dim=-1, keepdim=True)
    routed = mask.flatten(0, -2).gather(1, ids) > 0
    return ids, probability.reshape(-1, 1) * routed


def _write_switch(output: Any, ids: Tensor, weights: Tensor) -> Any:
    mask, probability, logits = output
    routed = torch.zeros_like(mask).flatten(0, -2)
    routed.scatter_(1, ids.long(), (weights > 0).to(mask.dtype))
    return routed.view_as(mask), weights.view_as(probability).to(probability.dtype), logits


def _read_nllb(output: Any) -> Routing:
    """(mask of first choices, combining weights after capacity [S, E], logits [S, E])."""
    _, combine, logits = output
    ids = logits.topk(2, dim=-1).indices
    return ids, combine.gather(1, ids)


def _write_nllb(output: Any, ids: Tensor, weights: Tensor) -> Any:
    mask, combine, logits = output
    changed = torch.zeros_like(combine).scatter_(1, ids.long(), weights.to(combine.dtype))
    return mask, changed, logits


def _mended_nllb(module: Any, inputs: tuple[Any, ...], output: Tensor) -> Tensor:
    """Return what NLLB-MoE's experts make of tokens: each of both choices, by its weight.

    transformers (5.24 at least) takes the router's one-hot mask for indices, so that experts 0 and
    1 compute every token, whatever the router chose; the routing of later layers would be that of
    a broken model.
    """
    tokens, _, combine = inputs
    out = torch.zeros_like(tokens)
    for expert in range(module.num_experts):
        rows = torch.where(combine[:, expert] > 0)[0]
        if len(rows):
            computed = module[f"expert_{expert}"](tokens[rows]) * combine[rows, expert, None]
            out.index_add_(0, rows, computed.to(out.dtype))
    return out * (1 - module.moe_token_dropout)


FAMILIES: tuple[Family, ...] = (
    Family("Mixtral", ("MixtralTopKRouter",), _read_triple, _write_triple),
    Family("OLMoE", ("OlmoeTopKRouter", "FlexOlmoTopKRouter"), _read_triple, _write_triple),
    Family(
        "Qwen-MoE",
        (
            "Qwen2MoeTopKRouter",
            "Qwen3MoeTopKRouter",
            "Qwen3NextTopKRouter",
            "Qwen3VLMoeTextTopKRouter",
            "Qwen3_5MoeTopKRouter",
        ),
        _read_triple,
        _write_triple,
    ),
    Family(
        "DeepSeek",
        (
            "DeepseekV2TopkRouter",
            "DeepseekV3TopkRouter",
            "DeepseekV32TopkRouter",
            "DeepseekV4TopKRouter",
            "DeepseekV4HashRouter",
        ),
        _read_triple,
        _write_triple,
    ),
    Family("Switch", ("SwitchTransformersTop1Router",), _read_switch, _write_switch),
    Family(
        "NLLB-MoE",
        ("NllbMoeTop2Router",),
        _read_nllb,
        _write_nllb,
        "NllbMoeExperts",
        _mended_nllb,
    ),
)
# Most other families of transformers 5 answer the same triple; their routers are told by name.
_ALIKE = Family("alike", (), _read_triple, _write_triple)
_ALIKE_NAMES = re.compile(r"(Top[kK]|TokenChoice)Router$")
_BY_ROUTER = {router: family for family in FAMILIES for router in family.routers}


def _family_of(module: Any) -> Family | None:
    name = type(module).__name__
    if name in _BY_ROUTER:
        return _BY_ROUTER[name]
    return _ALIKE if _ALIKE_NAMES.search(name) else None


def find_routers(model: Any, *, part: str | None = None) -> tuple[Family, dict[str, Any]]:
    """Find a model's routers.

    Parameters
    ----------
    model : Module
        A Hugging Face MoE model.
    part : {"encoder", "decoder"}, optional
        Which half of an encoder-decoder model; its halves see different tokens.

    Returns
    -------
    family : Family
    routers : dict of str to Module
        By name, in the model's order.

    Raises
    ------
    ValueError
        If the model has no router that is known here, or has two halves and `part` is not given.
    """
    if part is not None:
        one_of("record", "part", part, ("encoder", "decoder"))
    found = {name: module for name, module in model.named_modules() if _family_of(module)}
    if not found:
        raise invalid(
            "record",
            "model",
            f"{type(model).__name__}, which has none of their routers",
            f"of a known family ({', '.join(family.name for family in FAMILIES)}), or one with "
            "routers alike",
        )
    halves = {half for half in ("encoder", "decoder") for name in found if f"{half}." in name}
    if len(halves) == 2 and part is None:
        raise invalid("record", "part", None, "'encoder' or 'decoder' for such a model")
    if part is not None:
        found = {name: module for name, module in found.items() if f"{part}." in name}
        require("record", "part", part, bool(found), f"one that {type(model).__name__} has")
    families = {family for module in found.values() if (family := _family_of(module))}
    if len(families) > 1:
        names = sorted(family.name for family in families)
        raise invalid("record", "model", names, "of one family")
    return families.pop(), found


def count_experts(routers: dict[str, Any]) -> int:
    """Return the experts of a layer; the number that the router, or its configuration, states."""
    counts = []
    for router in routers.values():
        for owner in (router, getattr(router, "config", None)):
            for name in ("num_experts", "num_local_experts", "n_routed_experts"):
                value = getattr(owner, name, None)
                if isinstance(value, int):
                    counts.append(value)
    if not counts:
        kind = type(next(iter(routers.values()))).__name__
        raise invalid("record", "model", kind, "of routers that state num_experts")
    return max(counts)
