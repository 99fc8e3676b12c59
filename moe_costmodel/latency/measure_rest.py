"""Timing of a model without its experts: the time of a step beside its MoE layers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from moe_costmodel._checks import count, invalid
from moe_costmodel.latency.step import RestOfModel
from moe_costmodel.measure.timing import time_call
from moe_costmodel.traces.families import find_routers

__all__ = ["decode_step", "measure_rest", "without_experts"]


def _nothing(x: torch.Tensor, *_: object, **__: object) -> torch.Tensor:
    return torch.zeros_like(x)


@contextmanager
def without_experts(model: Any) -> Iterator[None]:
    """Replace the experts of a model by functions that return zeros, inside the context.

    Parameters
    ----------
    model : Module
        The packaged example model, or one of Hugging Face whose experts are beside its routers.

    Raises
    ------
    ValueError
        If the model belongs to no known family.
    """
    if type(model).__name__ == "ExampleModel":
        held = [(block.mlp, "compute") for block in model.model.layers]
    else:
        parents = [model.get_submodule(name.rpartition(".")[0]) for name in find_routers(model)[1]]
        if not all(hasattr(parent, "experts") for parent in parents):
            raise invalid(
                "without_experts",
                "model",
                type(model).__name__,
                "one whose experts are beside its routers",
            )
        held = [(parent.experts, "forward") for parent in parents]
    before = [vars(module).get(name) for module, name in held]
    for module, name in held:
        vars(module)[name] = _nothing
    try:
        yield
    finally:
        for (module, name), value in zip(held, before, strict=True):
            if value is None:
                del vars(module)[name]
            else:
                vars(module)[name] = value


def measure_rest(
    model: Any,
    *,
    batch_sizes: Sequence[int] = (1, 4, 16),
    contexts: Sequence[int] = (16, 128, 512),
    min_seconds: float = 0.1,
    clock: str = "wall",
    threads: int = 1,
    **options: Any,
) -> RestOfModel:
    """Time decode steps of a model without its experts, and fit the rest of the model to them.

    The rest is attention with its KV cache, dense layers and shared experts, routers, norms,
    embeddings, and the head.

    Parameters
    ----------
    model : Module
        The packaged example model, or a causal language model of Hugging Face whose experts are
        beside its routers.
    batch_sizes, contexts : sequence of int
        Sequences that are decoded together, and tokens in the cache of each.
    min_seconds, clock, threads
        As for :func:`moe_costmodel.measure.timing.time_call`, for each point.
    **options
        Passed to every call of the model.

    Returns
    -------
    RestOfModel
        For :class:`moe_costmodel.StepModel`.

    Raises
    ------
    ValueError
        If a size is not positive, or the model belongs to no known family.
    """
    for name, sizes in (("batch_sizes", batch_sizes), ("contexts", contexts)):
        for size in sizes:
            count("measure_rest", name, size)
    device = next(model.parameters()).device
    points = [(size, context) for size in batch_sizes for context in contexts]
    with without_experts(model), torch.no_grad():
        seconds = []
        for size, context in points:
            step = decode_step(model, size, context, **options)
            repeats = time_call(
                step, device=device.type, min_seconds=min_seconds, clock=clock, threads=threads
            )
            seconds.append(float(torch.tensor(repeats, dtype=torch.float64).median()))
    return RestOfModel.from_times([size for size, _ in points], [c for _, c in points], seconds)


def decode_step(model: Any, batch_size: int, context: int, **options: Any) -> Callable[[], object]:
    """Fill a cache, and return a call that decodes one token of every sequence on top of it.

    Parameters
    ----------
    model, **options
        As for :func:`measure_rest`.
    batch_size, context : int
        Sequences, and tokens in the cache of each.
    """
    device = next(model.parameters()).device
    vocabulary = int(model.config.vocab_size)
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(vocabulary, (batch_size, context + 1), generator=generator).to(device)
    before, last = tokens[:, :-1], tokens[:, -1:]
    if type(model).__name__ == "ExampleModel":
        filled: list[torch.Tensor] = []
        model(before, cache=filled, **options)
        return lambda: model(last, cache=list(filled), **options)
    # transformers 5 renamed the parameter in one of its minor versions.
    known = inspect.signature(type(model).forward).parameters
    name = "cache" if "cache" in known else "past_key_values"
    cache = model(before, use_cache=True, **options)[name]

    def call() -> None:
        model(last, **{name: cache}, use_cache=True, **options)
        cache.crop(-1)

    return call
