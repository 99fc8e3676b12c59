"""Steps of a model of this process, and its MoE layers, which can be replaced."""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from moe_costmodel._checks import invalid
from moe_costmodel.traces.families import find_routers, takes_choices
from moe_costmodel.traces.trace import Mode

__all__ = [
    "Layer",
    "Prefixes",
    "StepCall",
    "decode_sizes",
    "decode_step",
    "is_example",
    "layers_of",
    "prefill_step",
    "replaced_layers",
    "with_sizes_between",
]

Layer = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Output of a layer for tokens [S, d_model], expert ids [S, k] and weights [S, k]."""

Cache: TypeAlias = Any
"""A KV cache, of the kind that the model has."""

_GAP = 2.5  # largest ratio of two lengths of prompts without one between them


@dataclass(frozen=True)
class StepCall:
    """A step of a model: how to begin it, and what it computes.

    ``begin()`` allocates what the step needs, such as a KV cache, and returns a function that runs
    the step. The memory is free again once that function is dropped, so steps of many sizes need
    no more memory than the largest of them.
    """

    mode: Mode
    tokens: int
    context: float  # mean number of tokens that each token attends to
    begin: Callable[[], Callable[[], object]]


class Prefixes:
    """KV caches of one sequence, from which the caches of decode steps are copied.

    All sequences of a step begin with the same tokens: their values do not change how long
    attention takes, and computing them once costs neither the time nor the memory of a batch.

    Parameters
    ----------
    model : Module
    options : mapping
        Passed to every call of the model.
    """

    def __init__(self, model: nn.Module, options: Mapping[str, object]) -> None:
        self._model, self._options, self._made = model, options, dict[int, Cache]()
        # transformers 5 renamed the parameter in one of its minor versions.
        known = inspect.signature(type(model).forward).parameters
        self.name = "cache" if "cache" in known else "past_key_values"

    def compute(self, context: int) -> None:
        """Compute the cache of a context, if it is not known yet."""
        if context not in self._made:
            self._made[context] = self._computed(context)

    def repeated(self, batch_size: int, context: int) -> Cache:
        """Return a new cache of `batch_size` sequences of `context` tokens that was computed."""
        made, rows = self._made[context], torch.zeros(batch_size, dtype=torch.int64)
        if is_example(self._model):
            return [tuple(part.index_select(0, rows.to(part.device)) for part in kv) for kv in made]
        cache = copy.deepcopy(made)
        if batch_size > 1:
            cache.reorder_cache(rows)
        if _is_croppable(cache) and cache.get_seq_length() > context:
            cache.crop(-1)
        return cache

    def _computed(self, context: int) -> Cache:
        """Compute a cache, with a token more than `context` if it can be taken out again.

        A step that adds a token to a copy then asks for memory of the same sizes as the copy itself
        left free. Otherwise free memory between other memory adds up to half of the cache.
        """
        tokens = _random_tokens(self._model, 1, context + 1)
        if is_example(self._model):
            filled: list[tuple[Tensor, Tensor]] = []
            self._model(tokens[:, :context], cache=filled, **self._options)
            return filled
        made = self._model(tokens, use_cache=True, **self._options)[self.name]
        if hasattr(made, "activate_past_recording"):
            # Otherwise the newest token of a sliding window could not be taken out again.
            made.activate_past_recording()
        if any(getattr(made, "is_sliding", ())):
            made = self._model(tokens[:, :context], use_cache=True, **self._options)[self.name]
            made.activate_past_recording()
        elif not _is_croppable(made):
            made = self._model(tokens[:, :context], use_cache=True, **self._options)[self.name]
        return made


def _is_croppable(cache: Cache) -> bool:
    """Tell whether tokens can be taken out of a cache; the state of a recurrence keeps them."""
    return bool(getattr(cache, "is_croppable", True))


def prefill_step(model: nn.Module, n_tokens: int, **options: object) -> StepCall:
    """Return a step that computes a prompt of `n_tokens` from an empty cache."""
    tokens = _random_tokens(model, 1, n_tokens)
    if not is_example(model):
        options = {"use_cache": True} | options
    return StepCall(
        "prefill", n_tokens, (n_tokens + 1) / 2, lambda: lambda: model(tokens, **options)
    )


def decode_step(
    model: nn.Module,
    batch_size: int,
    context: int,
    *,
    prefixes: Prefixes | None = None,
    **options: object,
) -> StepCall:
    """Return a step that decodes a token of `batch_size` sequences, each with `context` cached.

    Steps with the same `prefixes` compute the cache of a context only once.
    """
    made = prefixes or Prefixes(model, options)
    made.compute(context)
    last = _random_tokens(model, batch_size, 1)

    def begin() -> Callable[[], object]:
        cache = made.repeated(batch_size, context)
        if is_example(model):
            return lambda: model(last, cache=list(cache), **options)

        def call() -> None:
            model(last, **{made.name: cache}, use_cache=True, **options)
            # The state of a recurrent layer cannot be taken back, and does not grow.
            if _is_croppable(cache):
                cache.crop(-1)

        return call

    return StepCall("decode", batch_size, context, begin)


def with_sizes_between(sizes: Sequence[int]) -> list[int]:
    """Return sizes in ascending order, with others between those more than `_GAP` apart.

    The time of attention in one pass over a prompt bends where its matrix leaves the processor's
    caches, so sizes far apart say little about those between them.
    """
    ordered = sorted(set(sizes))
    found = ordered[:1]
    for low, high in pairwise(ordered):
        n_parts = math.ceil(math.log(high / low) / math.log(_GAP))
        found += [round(low * (high / low) ** (i / n_parts)) for i in range(1, n_parts)] + [high]
    return sorted(set(found))


def decode_sizes(batch_sizes: Sequence[int], contexts: Sequence[int]) -> list[tuple[int, int]]:
    """Return pairs of a batch size and a context; large caches of both sizes are left out."""
    if not batch_sizes or not contexts:
        return []
    middle = contexts[len(contexts) // 2]
    pairs = [(size, middle) for size in batch_sizes]
    pairs += [(batch_sizes[-1], contexts[0])]
    pairs += [(batch_sizes[i], contexts[-1]) for i in (0, len(batch_sizes) // 2)]
    return list(dict.fromkeys(pairs))


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
    held = [parent.experts for parent in parents]
    if (other := next((module for module in held if not takes_choices(module)), None)) is not None:
        expected = "one whose experts are called with tokens, ids and weights"
        got = f"{type(model).__name__} with {type(other).__name__}"
        raise invalid("measure_rest", "model", got, expected)
    return held


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
