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
from moe_costmodel.traces.families import (
    Family,
    RouterOutput,
    Routing,
    count_experts,
    find_routers,
)
from moe_costmodel.traces.trace import RoutingTrace

__all__ = ["Batch", "edit_routing", "record"]

Batch: TypeAlias = Tensor | Mapping[str, Tensor]


def record(
    model: Module,
    batches: Iterable[Batch],
    *,
    part: str | None = None,
    source: str | None = None,
) -> RoutingTrace:
    """Run a model on batches and return the choices of its routers.

    Parameters
    ----------
    model : Module
        A Hugging Face MoE model of one of :data:`moe_costmodel.FAMILIES`, a model whose routers
        return the same (logits, weights, indices), or the packaged example model.
    batches : iterable
        Each a Tensor of token ids [batch, length], or a mapping of the model's arguments
        (``input_ids``, ``attention_mask``, ``decoder_input_ids``, ...). Every row is a sequence.
        Padding that an attention mask marks is left out.
    part : {"encoder", "decoder"}, optional
        Half of an encoder-decoder model to record; required for such a model.
    source : str, optional
        Name of the trace; by default the model's class.

    Returns
    -------
    RoutingTrace
        With weights, as the model used them. A choice that the model's own capacity dropped
        (Switch, NLLB-MoE) is kept with weight 0, since the router asked for it.

    Raises
    ------
    ValueError
        If the model is of no known family, or there is no batch.

    Notes
    -----
    transformers 5.24 sends every token of NLLB-MoE to experts 0 and 1. While such a model is
    recorded or edited, its experts are computed as its routers ask.
    """
    source = source or type(model).__name__
    if type(model).__name__ == "ExampleModel":
        return _record_example(model, batches, source)
    family, routers = find_routers(model, part=part)
    collected: dict[str, list[Routing]] = {name: [] for name in routers}

    def watch(name: str, ids: Tensor, weights: Tensor) -> None:
        collected[name].append((ids.cpu(), weights.float().cpu()))

    masks: list[Tensor] = []
    lengths: list[int] = []
    device = next(model.parameters()).device
    for batch in batches:
        arguments = dict(batch) if isinstance(batch, Mapping) else {"input_ids": batch}
        arguments = {
            name: value.to(device) if isinstance(value, Tensor) else value
            for name, value in arguments.items()
        }
        mask = _token_mask(arguments, part)
        masks.append(mask.flatten())
        lengths += [n for n in mask.sum(dim=1).tolist() if n]
        # The hooks stay for this call only, because `batches` may run the model to generate text.
        with _hooks(model, family, routers, watch), torch.no_grad():
            model(**arguments)
    return _assemble(
        list(collected.values()),
        masks,
        lengths,
        n_experts=count_experts(routers),
        layers=_layer_numbers(list(routers)),
        source=source,
    )


@contextmanager
def edit_routing(
    model: Module, rule: Callable[[int, Tensor, Tensor], Routing], *, part: str | None = None
) -> Iterator[None]:
    """Change the choices of a model's routers while the context lasts.

    Parameters
    ----------
    model : Module
        A Hugging Face model, as for :func:`record`.
    rule : callable
        ``rule(layer, ids [S, k], weights [S, k]) -> (ids, weights)``; the first layer is 0. A
        weight of 0 takes an expert out of the sum, though the model may still compute it.
    part : {"encoder", "decoder"}, optional
        As for :func:`record`.

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


def _record_example(model: Module, batches: Iterable[Tensor], source: str) -> RoutingTrace:
    collected: list[list[Routing]] = [[] for _ in range(model.config.num_hidden_layers)]

    def watch(layer: int, weights: Tensor, ids: Tensor) -> Routing:
        collected[layer].append((ids, weights))
        return weights, ids

    masks, lengths = [], []
    with torch.no_grad():
        for batch in batches:
            masks.append(torch.ones(batch.numel(), dtype=torch.bool))
            lengths += [batch.shape[1]] * batch.shape[0]
            model(batch, gate=watch)
    return _assemble(
        collected,
        masks,
        lengths,
        n_experts=model.config.num_local_experts,
        layers=list(range(len(collected))),
        source=source,
    )


def _assemble(
    collected: list[list[Routing]],
    masks: list[Tensor],
    lengths: list[int],
    *,
    n_experts: int,
    layers: list[int],
    source: str,
) -> RoutingTrace:
    if not lengths:
        raise invalid("record", "batches", "none", "at least one batch with a token")
    mask = torch.cat(masks).cpu()
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
    """Return the number of each router's block in the model, read from the router's name."""
    numbers = [re.findall(r"(?:layers|block|h)\.(\d+)\.", name) for name in names]
    if all(numbers):
        return [int(first) for first, *_ in numbers]
    return list(range(len(names)))
