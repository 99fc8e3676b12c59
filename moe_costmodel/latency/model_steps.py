"""Steps of a model of this process, and its MoE layers, which can be replaced."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from moe_costmodel._checks import invalid
from moe_costmodel.traces.families import find_routers
from moe_costmodel.traces.trace import Mode

__all__ = [
    "Layer",
    "StepCall",
    "decode_step",
    "is_example",
    "layers_of",
    "prefill_step",
    "replaced_layers",
]

Layer = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Output of a layer for tokens [S, d_model], expert ids [S, k] and weights [S, k]."""


@dataclass(frozen=True)
class StepCall:
    """A step of a model: its call, and what it computes."""

    mode: Mode
    tokens: int
    context: float  # mean number of tokens that each token attends to
    call: Callable[[], object]


def prefill_step(model: nn.Module, n_tokens: int, **options: object) -> StepCall:
    """Return a step that computes a prompt of `n_tokens` from an empty cache."""
    tokens = _random_tokens(model, 1, n_tokens)
    if not is_example(model):
        options = {"use_cache": True} | options
    return StepCall("prefill", n_tokens, (n_tokens + 1) / 2, lambda: model(tokens, **options))


def decode_step(model: nn.Module, batch_size: int, context: int, **options: object) -> StepCall:
    """Return a step that decodes a token of `batch_size` sequences, each with `context` cached."""
    tokens = _random_tokens(model, batch_size, context + 1)
    before, last = tokens[:, :-1], tokens[:, -1:]
    if is_example(model):
        filled: list[Tensor] = []
        model(before, cache=filled, **options)
        return StepCall(
            "decode", batch_size, context, lambda: model(last, cache=list(filled), **options)
        )
    # transformers 5 renamed the parameter in one of its minor versions.
    known = inspect.signature(type(model).forward).parameters
    name = "cache" if "cache" in known else "past_key_values"
    cache = model(before, use_cache=True, **options)[name]

    def call() -> None:
        model(last, **{name: cache}, use_cache=True, **options)
        cache.crop(-1)

    return StepCall("decode", batch_size, context, call)


def _random_tokens(model: nn.Module, *shape: int) -> Tensor:
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(0)
    return torch.randint(int(model.config.vocab_size), shape, generator=generator).to(device)


def is_example(model: nn.Module) -> bool:
    """Return whether a model is the packaged example, whose layers have other names."""
    return type(model).__name__ == "ExampleModel"


def layers_of(model: nn.Module) -> list[nn.Module]:
    """Return the modules whose function computes the experts, in the model's order.

    That function is ``compute`` in the example model and ``forward`` in others. A model of no known
    family, or with its experts elsewhere than beside its routers, is a ValueError.
    """
    if is_example(model):
        return [block.mlp for block in model.model.layers]
    parents = [model.get_submodule(name.rpartition(".")[0]) for name in find_routers(model)[1]]
    if not all(hasattr(parent, "experts") for parent in parents):
        expected = "one whose experts are beside its routers"
        raise invalid("measure_rest", "model", type(model).__name__, expected)
    return [parent.experts for parent in parents]


@contextmanager
def replaced_layers(model: nn.Module, make: Callable[[int, Layer], Layer]) -> Iterator[None]:
    """Replace the layers of a model by ``make(layer, the model's own)``, inside the context."""
    swapped = is_example(model)
    name = "compute" if swapped else "forward"
    held = layers_of(model)
    before = [vars(module).get(name) for module in held]
    for i, module in enumerate(held):
        own = getattr(module, name)
        if swapped:
            layer = make(i, _swapped(own))
            vars(module)[name] = _swapped(layer)
        else:
            vars(module)[name] = _named(make(i, own))
    try:
        yield
    finally:
        for module, value in zip(held, before, strict=True):
            if value is None:
                del vars(module)[name]
            else:
                vars(module)[name] = value


def _swapped(layer: Callable[..., Tensor]) -> Layer:
    """Return a function whose second and third arguments are swapped, as the example's are."""
    return lambda x, second, third: layer(x, third, second)


def _named(layer: Layer) -> Callable[..., Tensor]:
    def forward(hidden_states: Tensor, top_k_index: Tensor, top_k_weights: Tensor) -> Tensor:
        return layer(hidden_states, top_k_index, top_k_weights)

    return forward
