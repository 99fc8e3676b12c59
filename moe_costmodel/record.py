"""Recording, or editing, the routing of a model while it runs, by hooks on its routers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from moe_costmodel._checks import check_choice, complain
from moe_costmodel.trace import RoutingTrace

__all__ = ["FAMILIES", "Family", "edit_routing", "find_routers", "record"]

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
    n_experts : callable
        Number of experts of a router module.
    """

    name: str
    routers: tuple[str, ...]
    read: Callable[[Any], Routing]
    write: Callable[[Any, Tensor, Tensor], Any] | None
    n_experts: Callable[[Any], int] = lambda router: int(router.num_experts)


def _read_triple(output: Any) -> Routing:
    """(logits, weights, indices): most families of transformers 5."""
    _, weights, ids = output
    return ids, weights


def _write_triple(output: Any, ids: Tensor, weights: Tensor) -> Any:
    return output[0], weights.to(output[1].dtype), ids.to(output[2].dtype)


def _read_switch(output: Any) -> Routing:
    """(one-hot mask after capacity [B, S, E], probability [B, S, 1], logits [B, S, E])."""
    mask, probability, logits = output
    ids = logits.flatten(0, -2).argmax(dim=-1, keepdim=True)
    routed = mask.flatten(0, -2).gather(1, ids) > 0
    return ids, probability.reshape(-1, 1) * routed


def _read_nllb(output: Any) -> Routing:
    """(mask of first choices, combining weights after capacity [S, E], logits [S, E])."""
    _, combine, logits = output
    ids = logits.topk(2, dim=-1).indices
    return ids, combine.gather(1, ids)


FAMILIES: tuple[Family, ...] = (
    Family("Mixtral", ("MixtralTopKRouter",), _read_triple, _write_triple),
    Family("OLMoE", ("OlmoeTopKRouter",), _read_triple, _write_triple),
    Family("Qwen-MoE", ("Qwen2MoeTopKRouter", "Qwen3MoeTopKRouter"), _read_triple, _write_triple),
    Family(
        "DeepSeek", ("DeepseekV2TopkRouter", "DeepseekV3TopkRouter"), _read_triple, _write_triple
    ),
    Family("Switch", ("SwitchTransformersTop1Router",), _read_switch, None),
    Family("NLLB-MoE", ("NllbMoeTop2Router",), _read_nllb, None),
)
_BY_ROUTER = {router: family for family in FAMILIES for router in family.routers}


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
        check_choice(part, ("encoder", "decoder"), "part", "record")
    found = {
        name: module
        for name, module in model.named_modules()
        if type(module).__name__ in _BY_ROUTER
    }
    if not found:
        raise complain(
            "model",
            "record",
            f"of a known family ({', '.join(family.name for family in FAMILIES)})",
            f"{type(model).__name__}, which has none of their routers",
        )
    halves = {half for half in ("encoder", "decoder") for name in found if f"{half}." in name}
    if len(halves) == 2 and part is None:
        raise complain("part", "record", "'encoder' or 'decoder' for such a model", None)
    if part is not None:
        found = {name: module for name, module in found.items() if f"{part}." in name}
        if not found:
            raise complain("part", "record", f"one that {type(model).__name__} has", repr(part))
    families = {_BY_ROUTER[type(module).__name__].name for module in found.values()}
    if len(families) > 1:
        raise complain("model", "record", "of one family", sorted(families))
    return _BY_ROUTER[type(next(iter(found.values()))).__name__], found


def record(
    model: Any,
    batches: Iterable[Any],
    *,
    part: str | None = None,
    source: str | None = None,
) -> RoutingTrace:
    """Run a model on batches and return what its routers chose.

    Parameters
    ----------
    model : Module
        A Hugging Face MoE model of one of :data:`FAMILIES`, or the packaged example model.
    batches : iterable
        Each a Tensor of token ids [batch, length], or a mapping of the model's arguments
        (``input_ids``, ``attention_mask``, ``decoder_input_ids``, ...). Every row is a sequence;
        where an attention mask marks padding, the padding is left out.
    part : {"encoder", "decoder"}, optional
        Which half of an encoder-decoder model to record; required there.
    source : str, optional
        Name of the trace; by default the model's class.

    Returns
    -------
    RoutingTrace
        With weights, as the model used them. A choice that the model's own capacity dropped
        (Switch, NLLB-MoE) is kept, with weight 0: it is what the router asked for.

    Raises
    ------
    ValueError
        If the model is of no known family, or there is no batch.
    """
    source = source or type(model).__name__
    if type(model).__name__ == "ExampleModel":
        return _record_example(model, batches, source)
    family, routers = find_routers(model, part=part)
    collected: dict[str, list[Routing]] = {name: [] for name in routers}

    def watch(name: str, ids: Tensor, weights: Tensor) -> None:
        collected[name].append((ids.cpu(), weights.float().cpu()))

    kept: list[Tensor] = []
    lengths: list[int] = []
    device = next(model.parameters()).device
    with _hooks(family, routers, watch), torch.no_grad():
        for batch in batches:
            arguments = dict(batch) if hasattr(batch, "keys") else {"input_ids": batch}
            arguments = {
                name: value.to(device) if isinstance(value, Tensor) else value
                for name, value in arguments.items()
            }
            mask = _token_mask(arguments, part)
            kept.append(mask.flatten())
            lengths += [n for n in mask.sum(dim=1).tolist() if n]
            model(**arguments)
    return _assemble(
        list(collected.values()),
        kept,
        lengths,
        n_experts=max(family.n_experts(router) for router in routers.values()),
        layers=_layer_numbers(list(routers)),
        source=source,
    )


@contextmanager
def edit_routing(
    model: Any, rule: Callable[[int, Tensor, Tensor], Routing], *, part: str | None = None
) -> Iterator[None]:
    """Change what a model's routers choose, while the context lasts.

    Parameters
    ----------
    model : Module
        A Hugging Face model of a family whose experts can be steered (not Switch or NLLB-MoE).
    rule : callable
        ``rule(layer, ids [S, k], weights [S, k]) -> (ids, weights)``; layers count from 0. A
        weight of 0 takes an expert out of the sum (though the model may still compute it).
    part : {"encoder", "decoder"}, optional
        As for :func:`record`.

    Raises
    ------
    ValueError
        If the model is of no such family.
    """
    family, routers = find_routers(model, part=part)
    if family.write is None:
        able = [other.name for other in FAMILIES if other.write is not None]
        raise complain("model", "edit_routing", f"of a family among {able}", family.name)
    number = {name: i for i, name in enumerate(routers)}

    def edit(name: str, ids: Tensor, weights: Tensor) -> Routing:
        return rule(number[name], ids, weights)

    with _hooks(family, routers, edit):
        yield


@contextmanager
def _hooks(
    family: Family, routers: dict[str, Any], act: Callable[[str, Tensor, Tensor], Routing | None]
) -> Iterator[None]:
    """Call `act` on every router's answer; put what it returns in the answer's place."""

    def hook_of(name: str) -> Callable[[Any, Any, Any], Any]:
        def hook(module: Any, inputs: Any, output: Any) -> Any:
            ids, weights = family.read(output)
            changed = act(name, ids, weights)
            if changed is None or family.write is None:
                return None
            return family.write(output, *changed)

        return hook

    handles = [router.register_forward_hook(hook_of(name)) for name, router in routers.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _token_mask(arguments: dict[str, Any], part: str | None) -> Tensor:
    """Return which positions of a batch are tokens, (batch, length), bool."""
    prefix = "decoder_" if part == "decoder" else ""
    ids = arguments.get(f"{prefix}input_ids")
    if ids is None:
        raise complain("batches", "record", f"of mappings with {prefix}input_ids", list(arguments))
    mask = arguments.get(f"{prefix}attention_mask")
    return torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.bool()


def _record_example(model: Any, batches: Iterable[Any], source: str) -> RoutingTrace:
    collected: list[list[Routing]] = [[] for _ in range(model.config.num_hidden_layers)]

    def watch(layer: int, weights: Tensor, ids: Tensor) -> Routing:
        collected[layer].append((ids, weights))
        return weights, ids

    kept, lengths = [], []
    with torch.no_grad():
        for batch in batches:
            kept.append(torch.ones(batch.numel(), dtype=torch.bool))
            lengths += [batch.shape[1]] * batch.shape[0]
            model(batch, gate=watch)
    return _assemble(
        collected,
        kept,
        lengths,
        n_experts=model.config.num_local_experts,
        layers=list(range(len(collected))),
        source=source,
    )


def _assemble(
    collected: list[list[Routing]],
    kept: list[Tensor],
    lengths: list[int],
    *,
    n_experts: int,
    layers: list[int],
    source: str,
) -> RoutingTrace:
    if not lengths:
        raise complain("batches", "record", "at least one batch with a token", "none")
    mask = torch.cat(kept).cpu()
    ids = torch.stack([torch.cat([i for i, _ in layer]) for layer in collected], dim=1)[mask]
    weights = torch.stack([torch.cat([w for _, w in layer]) for layer in collected], dim=1)[mask]
    return RoutingTrace(
        ids.numpy().astype(np.min_scalar_type(n_experts - 1)),
        weights.float().numpy(),
        n_experts=n_experts,
        sequence_lengths=lengths,
        layers=layers,
        source=source,
    )


def _layer_numbers(names: list[str]) -> list[int]:
    """Return each router's block in its model, as its name says."""
    numbers = [re.findall(r"(?:layers|block|h)\.(\d+)\.", name) for name in names]
    if all(numbers):
        return [int(found[0]) for found in numbers]
    return list(range(len(names)))
