"""Timing of a model as it runs: every MoE layer where it stands, and the rest of the step.

A layer takes longer inside a model than alone: attention, norms and routers evict its weights and
its code from the caches. So the layers are timed in the model, with drawn routing, and the rest is
what is left of the step.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import cycle
from typing import Any

import numpy as np
import torch
from torch import Tensor

from moe_costmodel._arrays import Floats
from moe_costmodel._checks import count, invalid
from moe_costmodel.gating.rules import GateRule, apply_rule, keep_mask
from moe_costmodel.kernels.buffered import BufferedExperts
from moe_costmodel.kernels.dynamic import dynamic_gating
from moe_costmodel.kernels.experts import Experts
from moe_costmodel.measure.jobs import RUN, draw_choices, share_buffers
from moe_costmodel.measure.measurements import At, Record
from moe_costmodel.measure.timing import clock_of
from moe_costmodel.shapes import LayerShape
from moe_costmodel.traces.families import find_routers

__all__ = ["ModelTimer", "StepCall", "decode_step", "layers_of", "prefill_step"]

Layer = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Output of a layer for tokens [S, d_model], expert ids [S, k] and weights [S, k]."""

_RULES = (
    None, None, GateRule("top-p", 0.8), GateRule("top-p", 0.5), GateRule("top-k", 1), None,
)  # fmt: skip
_SKEWS = (0.0, 1.2, 0.6, 1.2, 0.6, 0.6)
_PREFILL_DRAWS = (0, 2, 3)
_CAPACITIES = (0.25, 0.5, 0.75, 0.875)  # shares of the experts that a buffer holds


@dataclass(frozen=True)
class StepCall:
    """A step of a model: its call, and what it computes."""

    mode: str  # "decode" or "prefill"
    tokens: int
    context: float  # mean number of tokens that each token attends to
    call: Callable[[], object]


def prefill_step(model: Any, n_tokens: int, **options: Any) -> StepCall:
    """Return a step that computes a prompt of `n_tokens` from an empty cache."""
    tokens = _random_tokens(model, 1, n_tokens)
    if not _is_example(model):
        options = {"use_cache": True} | options
    return StepCall(
        "prefill", n_tokens, (n_tokens + 1) / 2, lambda: model(tokens, **options)
    )


def decode_step(model: Any, batch_size: int, context: int, **options: Any) -> StepCall:
    """Return a step that decodes a token of `batch_size` sequences, each with `context` cached."""
    tokens = _random_tokens(model, batch_size, context + 1)
    before, last = tokens[:, :-1], tokens[:, -1:]
    if _is_example(model):
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


def _random_tokens(model: Any, *shape: int) -> Tensor:
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(0)
    return torch.randint(int(model.config.vocab_size), shape, generator=generator).to(device)


def _is_example(model: Any) -> bool:
    return type(model).__name__ == "ExampleModel"


def layers_of(model: Any) -> list[Any]:
    """Return the modules whose function computes the experts, in the model's order.

    That function is ``compute`` in the example model and ``forward`` in others. A model of no known
    family, or with its experts elsewhere than beside its routers, is a ValueError.
    """
    if _is_example(model):
        return [block.mlp for block in model.model.layers]
    parents = [model.get_submodule(name.rpartition(".")[0]) for name in find_routers(model)[1]]
    if not all(hasattr(parent, "experts") for parent in parents):
        expected = "one whose experts are beside its routers"
        raise invalid("measure_rest", "model", type(model).__name__, expected)
    return [parent.experts for parent in parents]


@contextmanager
def replaced_layers(model: Any, make: Callable[[int, Layer], Layer]) -> Iterator[None]:
    """Replace the layers of a model by ``make(layer, the model's own)``, inside the context."""
    is_example = _is_example(model)
    name = "compute" if is_example else "forward"
    held = layers_of(model)
    before = [vars(module).get(name) for module in held]
    for i, module in enumerate(held):
        own = getattr(module, name)
        if is_example:
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


@dataclass
class _Draw:
    """Routing of one layer in one step."""

    ids: Tensor
    weights: Tensor
    rule: GateRule | None
    counts: list[int]  # tokens of each expert under the rule


@dataclass
class _Point:
    """Steps that are timed together: each layer's draws, and the times of all repeats."""

    step: StepCall
    draws: list[list[_Draw]]  # by step and layer
    buffers: list[BufferedExperts] | None = None
    seconds: list[Floats] = field(default_factory=list)  # a repeat: layers, rules and the rest
    misses: list[int] = field(default_factory=list)


class ModelTimer:
    """Times the layers and the rest of a model in steps of several sizes, in turns.

    Parameters
    ----------
    model : Module
        The packaged example model, or a causal language model of Hugging Face whose experts are
        beside its routers. It is used as it is, so that only its largest KV caches and a buffer of
        7/8 of its experts (if there are `policies`) are needed beside it.
    batch_sizes, contexts : sequence of int
        Sequences that are decoded together, and tokens in the cache of each; none to leave decode
        out. All batch sizes are timed at the middle context, the largest one at the shortest, and
        the smallest and the middle one at the longest.
    prompts : sequence of int
        Lengths of prompts; none to leave prefill out.
    policies : sequence of str
        Eviction policies of buffers; none to leave buffers out.
    routing : bool
        Whether layers run with drawn routing, by dynamic gating, as plans run them. If not, the
        model computes its layers itself, and only the rest is measured.
    clock : {"wall", "cpu"}
        As for :func:`moe_costmodel.measure.timing.time_call`.
    random_state : Generator or int, optional
        Source of routing and order.
    **options
        Passed to every call of the model.
    """

    def __init__(
        self,
        model: Any,
        *,
        batch_sizes: Sequence[int] = (1, 2, 4, 8, 16, 32),
        contexts: Sequence[int] = (16, 128, 512),
        prompts: Sequence[int] = (64, 256, 1024),
        policies: Sequence[str] = (),
        routing: bool = True,
        clock: str = "cpu",
        random_state: np.random.Generator | int | None = 0,
        **options: Any,
    ) -> None:
        sizes = {"batch_sizes": batch_sizes, "contexts": contexts, "prompts": prompts}
        for name, values in sizes.items():
            for size in values:
                count("measure_rest", name, size)
        if not (batch_sizes and contexts) and not prompts:
            raise invalid("measure_rest", "batch_sizes", "nothing to time", "not empty")
        self.model, self.routing, self.clock = model, routing, clock
        self._random = np.random.default_rng(random_state)
        self._now = clock_of(clock, next(model.parameters()).device.type)
        layers_of(model)
        self.experts = self._experts() if routing else []
        with torch.no_grad():
            self._points = list(self._steps(batch_sizes, contexts, prompts, policies, options))
        self._current: tuple[_Point, int, Floats] | None = None

    def _experts(self) -> list[Experts]:
        if _is_example(self.model):
            held = [block.mlp.experts for block in self.model.model.layers]
            return [
                Experts(m.gate_up_proj.detach(), m.down_proj.detach(), "silu", True) for m in held
            ]
        return [Experts.from_module(module) for module in layers_of(self.model)]

    @property
    def shape(self) -> LayerShape:
        """Sizes of an MoE layer."""
        first = self.experts[0]
        return LayerShape(
            n_experts=first.n_experts,
            k=self._k,
            d_model=first.d_model,
            d_ffn=first.d_ffn,
            gated=first.gated,
            dtype=str(first.up.dtype).removeprefix("torch."),
        )

    @property
    def _k(self) -> int:
        if _is_example(self.model):
            return int(self.model.model.layers[0].mlp.k)
        return int(next(iter(find_routers(self.model)[1].values())).top_k)

    def _steps(
        self,
        batch_sizes: Sequence[int],
        contexts: Sequence[int],
        prompts: Sequence[int],
        policies: Sequence[str],
        options: dict[str, Any],
    ) -> Iterator[_Point]:
        """Yield the points; each size of a step has several draws of the routing."""
        for batch_size, context in _pairs(sorted(batch_sizes), sorted(contexts)):
            step = decode_step(self.model, batch_size, context, **options)
            middle = context == sorted(contexts)[len(contexts) // 2]
            for draw in range(len(_RULES) if middle and self.routing else 1):
                yield _Point(step, [self._draws(step.tokens, draw)])
            if policies and middle and self.routing:
                yield from self._buffered(step, policies)
        for n in prompts:
            step = prefill_step(self.model, n, **options)
            for draw in _PREFILL_DRAWS if self.routing else (0,):
                yield _Point(step, [self._draws(n, draw)])

    def _draws(self, n_tokens: int, number: int) -> list[_Draw]:
        return [self._draw(n_tokens, _SKEWS[number], _RULES[number]) for _ in self.experts]

    def _draw(self, n_tokens: int, skew: float, rule: GateRule | None) -> _Draw:
        shape, device = self.shape, self.experts[0].up.device
        ids, weights = draw_choices(n_tokens, shape, skew, self._random)
        kept = np.ones(ids.shape, bool) if rule is None else keep_mask(weights, rule)
        counts = np.bincount(ids[kept], minlength=shape.n_experts)
        return _Draw(
            torch.from_numpy(ids).to(device),
            torch.from_numpy(weights).to(device),
            rule,
            counts.tolist(),
        )

    def _buffered(self, step: StepCall, policies: Sequence[str]) -> Iterator[_Point]:
        """Yield runs of several steps through buffers of two capacities."""
        n = self.shape.n_experts
        for share in self._random.choice(_CAPACITIES, 2, replace=False):
            capacity, policy = max(1, int(share * n)), next(self._policies(policies))
            buffers = [
                BufferedExperts(e, capacity, policy=policy, device=e.up.device)
                for e in self.experts
            ]
            share_buffers(buffers, self._fast(n))
            draws = [self._draws(step.tokens, int(self._random.integers(6))) for _ in range(RUN)]
            yield _Point(step, draws, buffers)

    def _policies(self, policies: Sequence[str]) -> Iterator[str]:
        if not hasattr(self, "_policy"):
            self._policy = cycle(policies)
        return self._policy

    def _fast(self, n_experts: int) -> list[Experts]:
        """Return fast memory for the largest buffer of each layer, which all buffers share."""
        if not hasattr(self, "_shared"):
            most = max(1, int(max(_CAPACITIES) * n_experts))
            self._shared = [
                replace(
                    e,
                    up=e.up.new_zeros(most, *e.up.shape[1:]),
                    down=e.down.new_zeros(most, *e.down.shape[1:]),
                )
                for e in self.experts
            ]
        return self._shared

    def turn(self, *, keep: bool = True) -> None:
        """Time every point once, in random order; without `keep`, only to warm up."""
        make = self._drawn if self.routing else self._own
        with torch.no_grad(), replaced_layers(self.model, make):
            for i in self._random.permutation(len(self._points)):
                self._time(self._points[i], keep)

    def _time(self, point: _Point, keep: bool) -> None:
        n_layers = len(layers_of(self.model))
        took = np.zeros((3, max(1, n_layers)))
        for buffer in point.buffers or ():
            buffer.reset()
        for number in range(len(point.draws)):
            self._current = point, number, took
            started = self._now()
            point.step.call()
            took[2, 0] += self._now() - started
        took[2, 0] -= took[:2].sum()
        if point.buffers is not None:
            point.misses = [buffer.statistics.misses for buffer in point.buffers]
        if keep:
            point.seconds.append(took)

    def _own(self, layer: int, own: Layer) -> Layer:
        """Time a layer as the model computes it."""

        def timed(x: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
            assert self._current is not None
            started = self._now()
            out = own(x, ids, weights)
            self._current[2][0, layer] += self._now() - started
            return out

        return timed

    def _drawn(self, layer: int, own: Layer) -> Layer:
        """Time a layer with the current point's routing, as an applied plan computes it."""

        def timed(x: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
            assert self._current is not None
            point, number, took = self._current
            draw = point.draws[number][layer]
            weights = draw.weights
            if draw.rule is not None:
                started = self._now()
                weights = apply_rule(weights, draw.rule)
                took[1, layer] += self._now() - started
            started = self._now()
            with torch.no_grad():
                if point.buffers is None:
                    out = dynamic_gating(x, draw.ids, weights, self.experts[layer])
                else:
                    out = point.buffers[layer](x, draw.ids, weights)
            took[0, layer] += self._now() - started
            return out

        return timed

    def run(self, end: float, *, at_least: int) -> list[str]:
        """Warm up, and time turns until ``time.perf_counter()`` says `end`; return notes.

        If `at_least` turns would not fit, evenly spread points are left out; two of each mode stay.
        """
        begun, n_points = time.perf_counter(), len(self._points)
        self.turn(keep=False)
        now = time.perf_counter()
        a_turn, room = now - begun, max(end - now, 0.0)
        if room < at_least * a_turn:
            share = room / (at_least * a_turn)
            self._points = [
                own[i]
                for mode in ("decode", "prefill")
                if (own := [p for p in self._points if p.step.mode == mode])
                for i in _spread(len(own), share)
            ]
            a_turn *= len(self._points) / n_points
        turns = 0
        while turns < 1 or time.perf_counter() + a_turn < end:
            begun = time.perf_counter()
            self.turn()
            turns += 1
            a_turn = time.perf_counter() - begun
        left_out = n_points - len(self._points)
        notes = [f"{turns} turns of {len(self._points)} kinds of step"]
        if left_out:
            notes.append(f"the budget left {left_out} of {n_points} kinds of step out")
        return notes

    def rest(self) -> list[tuple[StepCall, float]]:
        """Return every step, and the median seconds of the rest of it."""
        return [
            (p.step, float(np.median([took[2, 0] for took in p.seconds])) / len(p.draws))
            for p in self._points
        ]

    def records(self) -> Iterator[Record]:
        """Yield the layers of all points: kinds "layer", "rule" and "buffered"."""
        shape = self.shape
        for point in self._points:
            seconds = np.stack(point.seconds)  # (repeats, 3, layers)
            tokens = point.step.tokens
            for layer in range(len(self.experts)):
                draws = [step[layer] for step in point.draws]
                at: At = {"tokens": tokens, "counts": draws[0].counts}
                if point.buffers is None:
                    yield Record("layer", at, seconds[:, 0, layer].tolist(), shape)
                else:
                    at |= {
                        "counts": [draw.counts for draw in draws],
                        "capacity": point.buffers[layer].replacement.capacity,
                        "misses": point.misses[layer],
                    }
                    yield Record("buffered", at, seconds[:, 0, layer].tolist(), shape)
                n_ruled = sum(draw.rule is not None for draw in draws)
                if n_ruled:
                    took = (seconds[:, 1, layer] / n_ruled).tolist()
                    yield Record("rule", {"tokens": tokens}, took, shape)


def _spread(n: int, share: float) -> list[int]:
    """Return evenly spread positions among `n`, a share of them and at least both ends."""
    kept = min(n, max(2, round(share * n)))
    return np.unique(np.linspace(0, n - 1, kept).round().astype(int)).tolist()


def _pairs(batch_sizes: Sequence[int], contexts: Sequence[int]) -> list[tuple[int, int]]:
    """Return pairs of a batch size and a context; large caches of both sizes are left out."""
    if not batch_sizes or not contexts:
        return []
    middle = contexts[len(contexts) // 2]
    pairs = [(size, middle) for size in batch_sizes]
    pairs += [(batch_sizes[-1], contexts[0])]
    pairs += [(batch_sizes[i], contexts[-1]) for i in (0, len(batch_sizes) // 2)]
    return list(dict.fromkeys(pairs))
