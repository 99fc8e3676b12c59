"""Recording or editing the routing of a running model through hooks on its routers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module

from moe_costmodel._checks import invalid
from moe_costmodel.traces.families import Family, RouterOutput, Routing, count_experts, find_routers
from moe_costmodel.traces.trace import RoutingTrace
from moela.heartbeat.working import long_work

__all__ = ["Batch", "edit_routing", "layer_numbers", "record"]

Batch: TypeAlias = Tensor | Mapping[str, Tensor]


@long_work("recording a routing trace")
def record(
    model: Module, batches: Iterable[Batch], *, part: str | None = None, source: str | None = None
) -> RoutingTrace:
    """Run a model on batches and return the choices of its routers.

    Parameters
    ----------
    model : Module
        A Hugging Face MoE model of one of :data:`moe_costmodel.FAMILIES`, or a model whose routers
        return the same (logits, weights, indices), such as the packaged example model.
    batches : iterable
        Each a Tensor of token ids [batch, length], or a mapping of the model's arguments
        (``input_ids``, ``attention_mask``, ``decoder_input_ids``, ...). Every row is a sequence.
        Padding that an attention mask marks is left out.
    part : {"encoder", "decoder"}, optional
        Half of an encoder-decoder model to record; required for such a model.
    source : str, optional
        Name of the trace; by default the model's class.

    Notes
    -----
    The weights are those that the model used. A choice that the model's own capacity dropped
    (Switch, NLLB-MoE) is kept with weight 0, since the router asked for it.

    transformers 5.24 sends every token of NLLB-MoE to experts 0 and 1. While such a model is
    recorded or edited, its experts are computed as its routers ask.
    """
    family, routers = find_routers(model, part=part)
    collected: dict[str, list[Routing]] = {name: [] for name in routers}

    def watch(name: str, ids: Tensor, weights: Tensor) -> None:
        collected[name].append((ids.cpu(), weights.float().cpu()))

    masks: list[Tensor] = []
    device = next(model.parameters()).device
    for batch in batches:
        arguments = dict(batch) if isinstance(batch, Mapping) else {"input_ids": batch}
        arguments = {
            name: value.to(device) if isinstance(value, Tensor) else value
            for name, value in arguments.items()
        }
        masks.append(_token_mask(arguments, part).cpu())
        # The hooks stay for this call only, because `batches` may run the model to generate text.
        with _hooks(model, family, routers, watch), torch.no_grad():
            model(**arguments)
    lengths = [n for mask in masks for n in mask.sum(dim=1).tolist() if n]
    if not lengths:
        raise invalid("record", "batches", "none", "at least one batch with a token")
    is_token = torch.cat([mask.flatten() for mask in masks])

    def of_tokens(which: int) -> Tensor:
        """Return the ids (0) or weights (1) of all batches, (tokens, layers, k)."""
        layers = [torch.cat([routing[which] for routing in parts]) for parts in collected.values()]
        return torch.stack(layers, dim=1)[is_token]

    n_experts = count_experts(routers)
    return RoutingTrace(
        of_tokens(0).numpy().astype(np.min_scalar_type(n_experts - 1)),
        of_tokens(1).numpy(),
        n_experts=n_experts,
        sequence_lengths=lengths,
        layers=layer_numbers(list(routers)),
        source=source or type(model).__name__,
    )


@contextmanager
def edit_routing(
    model: Module, rule: Callable[[int, Tensor, Tensor], Routing], *, part: str | None = None
) -> Iterator[None]:
    """Change the choices of a model's routers while the context lasts.

    Parameters
    ----------
    model : Module
        As for :meth:`RoutingTrace.record`.
    rule : callable
        ``rule(layer, ids [S, k], weights [S, k]) -> (ids, weights)``; the first layer is 0. A
        weight of 0 takes an expert out of the sum, though the model may still compute it.
    part : {"encoder", "decoder"}, optional
        Half of an encoder-decoder model to edit; required for such a model.

    Yields
    ------
    None

    Raises
    ------
    ValueError
        If the model is of no known family.

    Examples
    --------
    >>> from moe_costmodel import edit_routing
    >>> def keep_first(layer, ids, weights):
    ...     weights = weights.clone()
    ...     weights[:, 1:] = 0
    ...     return ids, weights
    >>> with edit_routing(model, keep_first):  # doctest: +SKIP
    ...     model(tokens)
    """
    family, routers = find_routers(model, part=part)
    number = {name: i for i, name in enumerate(routers)}

    def edit(name: str, ids: Tensor, weights: Tensor) -> Routing:
        return rule(number[name], ids, weights)

    with _hooks(model, family, routers, edit):
        yield


@contextmanager
def _hooks(
    model: Module,
    family: Family,
    routers: dict[str, Module],
    act: Callable[[str, Tensor, Tensor], Routing | None],
) -> Iterator[None]:
    """Call `act` on every router's choices; if it returns others, they replace the choices."""

    def hook_of(name: str) -> Callable[[Module, object, RouterOutput], RouterOutput | None]:
        def hook(module: Module, inputs: object, output: RouterOutput) -> RouterOutput | None:
            try:
                ids, weights = family.read(output)
            except ValueError as error:
                kind = type(module).__name__
                raise invalid("record", "model", f"{kind}: {error}", "of a known family") from None
            changed = act(name, ids, weights)
            return None if changed is None else family.write(output, *changed)

        return hook

    handles = [router.register_forward_hook(hook_of(name)) for name, router in routers.items()]
    handles += [
        module.register_forward_hook(family.fix)
        for module in model.modules()
        if family.fix is not None and type(module).__name__ == family.experts
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _token_mask(arguments: Mapping[str, Tensor], part: str | None) -> Tensor:
    """Return the positions of a batch that are tokens, (batch, length), bool."""
    prefix = "decoder_" if part == "decoder" else ""
    ids = arguments.get(f"{prefix}input_ids")
    if ids is None:
        raise invalid("record", "batches", list(arguments), f"of mappings with {prefix}input_ids")
    mask = arguments.get(f"{prefix}attention_mask")
    return torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.bool()


def layer_numbers(names: list[str]) -> list[int]:
    """Return the number of each router's block in the model, read from the router's name.

    If names have no numbers, or their numbers do not ascend, routers are numbered from 0.
    """
    numbers = [re.findall(r"(?:layers|block|h)\.(\d+)\.", name) for name in names]
    if all(numbers):
        found = [int(first) for first, *_ in numbers]
        if found == sorted(set(found)):
            return found
    return list(range(len(names)))
