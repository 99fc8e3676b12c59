"""Cost of misses and uploads, measured: of one layer's kernels, or of a model as it runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from moe_costmodel._arrays import Floats
from moe_costmodel._checks import check_number, count, invalid, require
from moe_costmodel.kernels.experts import Experts
from moe_costmodel.kernels.offloaded import OffloadedExperts
from moe_costmodel.latency.steps.model_steps import Layer, decode_step, replaced_layers
from moe_costmodel.latency.steps.model_timer import ModelTimer
from moe_costmodel.measure.jobs import draw_choices
from moe_costmodel.measure.measurements import Measurements
from moe_costmodel.measure.timing import check_budget, clock_for, clock_of, pinned_threads
from moe_costmodel.offloading.cost import MissCost
from moe_costmodel.offloading.policies import Admission
from moe_costmodel.shapes import LayerShape
from moe_costmodel.traces.trace import RoutingTrace
from moela.heartbeat.working import long_work

__all__ = ["MissTimer", "fit_miss_cost", "measure_misses"]

SlowMemory = Callable[[int, Experts], Experts]
STATIC = Admission(per_step=0)


class _Setting(NamedTuple):
    share: float  # of the experts that fit
    policy: str
    admission: Admission


SETTINGS = (
    _Setting(1.0, "lru", STATIC),
    *(_Setting(share, "lru", STATIC) for share in (0.2, 0.45, 0.7)),
    *(_Setting(share, "lru", Admission()) for share in (0.2, 0.45, 0.7)),
    _Setting(0.3, "lru", Admission(per_step=1)),
    _Setting(0.55, "lfu", Admission(after=2)),
)


def fit_miss_cost(
    measured: Measurements, shape: LayerShape, *, n_layers: int, base: float, batch_size: int = 1
) -> MissCost:
    """Return the cost of misses and uploads of a model from the measured kernels of a layer.

    Parameters
    ----------
    measured : Measurements
        With records of kind "offloaded" (:func:`moe_costmodel.measure_kernels`).
    shape : LayerShape
        The layer of the records.
    n_layers : int
        MoE layers of the model; each hides as much of its uploads as the measured one.
    base : float
        Seconds of a step of the model without misses.
    batch_size : int
        Tokens of a step, as measured.

    Returns
    -------
    MissCost

    Raises
    ------
    ValueError
        If there are fewer than four such records of the shape and batch size.

    Examples
    --------
    >>> from moe_costmodel import LayerShape, fit_miss_cost, measure_kernels
    >>> shape = LayerShape(n_experts=16, k=2, d_model=64, d_ffn=64)
    >>> found = measure_kernels(shapes=[shape], tokens=[1])  # doctest: +SKIP
    >>> fit_miss_cost(found, shape, n_layers=6, base=2e-3).base  # doctest: +SKIP
    0.002
    """
    owner = "fit_miss_cost"
    n_layers = count(owner, "n_layers", n_layers)
    base = check_number(owner, "base", base)
    require(owner, "base", base, base >= 0, "at least 0")
    records = [
        record
        for record in measured.records
        if record.kind == "offloaded"
        and record.shape == shape
        and record.at["tokens"] == batch_size
    ]
    if len(records) < 4:
        expected = f"at least four records of kind 'offloaded' of {shape} and {batch_size} tokens"
        raise invalid(owner, "measured", f"{len(records)} of them", expected)
    steps = np.array([len(record.at["counts"]) for record in records])
    rows = [
        np.array(values, dtype=np.float64) / steps
        for values in (
            [record.at["misses"] for record in records],
            [record.at["uploads"] for record in records],
            [record.seconds for record in records],
        )
    ]
    of_layer = MissCost.fit(*rows)
    return replace(of_layer, base=base, hidden=n_layers * of_layer.hidden)


@dataclass
class _Run:
    """Layers of one setting, and what their steps took."""

    layers: list[OffloadedExperts]
    misses: float = 0.0  # of a step
    uploads: float = 0.0
    seconds: list[float] = field(default_factory=list)


class MissTimer:
    """Times decode steps of a model with several numbers of slots and rules for misses, in turns.

    Parameters
    ----------
    model : Module
        The packaged example model, or a causal language model of Hugging Face whose experts are
        beside its routers.
    batch_size, context : int
        Sequences that are decoded together, and tokens in the cache of each.
    trace : RoutingTrace, optional
        Routing of the steps; by default it is drawn.
    slow : callable, optional
        ``slow(layer, experts)`` returns the experts as they lie in slow memory, as for
        :meth:`moe_costmodel.Plan.apply`.
    n_steps : int
        Steps of a run.
    clock : {"cpu", "wall"}
    random_state : Generator or int, optional
        Source of routing and order.
    options : mapping
        Passed to every call of the model.

    Attributes
    ----------
    fast : list of Experts
        Fast memory of each layer, which all settings share: where memory lies changes its speed by
        some percent.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        batch_size: int = 1,
        context: int = 64,
        trace: RoutingTrace | None = None,
        slow: SlowMemory | None = None,
        n_steps: int = 24,
        clock: str = "cpu",
        random_state: np.random.Generator | int | None = 0,
        options: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        self.model, self._random = model, np.random.default_rng(random_state)
        timer = ModelTimer(model, batch_sizes=[1], contexts=[1], prompts=(), clock=clock)
        device = next(model.parameters()).device.type
        self._now, experts, shape = clock_of(clock, device), timer.experts, timer.shape
        self._routing = self._steps(experts, shape, batch_size, trace, n_steps)
        uses = self._uses(shape.n_experts)
        held_in = [e if slow is None else slow(i, e) for i, e in enumerate(experts)]
        self.runs: list[_Run] = []
        self.fast = [replace(e, up=e.up.clone(), down=e.down.clone()) for e in experts]
        for share, policy, admission in SETTINGS:
            capacity = max(1, round(share * shape.n_experts))
            layers = [
                OffloadedExperts(
                    held_in[i], capacity, policy=policy, admission=admission, start=uses[i],
                    device=e.up.device, dtype=e.up.dtype, fast=self.fast[i],
                )
                for i, e in enumerate(experts)
            ]  # fmt: skip
            self.runs.append(_Run(layers))
        with torch.no_grad():
            step = decode_step(model, batch_size, context, prefixes=None, **options)
            self._call = step.begin()
        self._current: tuple[_Run, int] | None = None

    def _steps(
        self,
        experts: Sequence[Experts],
        shape: LayerShape,
        batch_size: int,
        trace: RoutingTrace | None,
        n_steps: int,
    ) -> list[list[tuple[Tensor, Tensor]]]:
        """Return ids and weights [batch_size, k] of each step and layer."""
        device = experts[0].up.device
        if trace is None:
            drawn = [
                [draw_choices(batch_size, shape, 0.6, self._random) for _ in experts]
                for _ in range(count("measure_misses", "n_steps", n_steps))
            ]
            return [
                [(torch.from_numpy(i).to(device), torch.from_numpy(w).to(device)) for i, w in row]
                for row in drawn
            ]
        sizes = trace.n_layers, trace.n_experts, trace.k
        expected = len(experts), shape.n_experts, shape.k
        if sizes != expected:
            of_model = "of the model's {} layers, {} experts and {} choices".format(*expected)
            raise invalid("measure_misses", "trace", sizes, of_model)
        rows = []
        for tokens in trace.batches(batch_size, "decode")[:n_steps]:
            ids = torch.from_numpy(np.asarray(trace.topk_ids[tokens], dtype=np.int64)).to(device)
            weights = torch.full(ids.shape, 1.0 / shape.k, device=device)
            rows.append([(ids[:, i], weights[:, i]) for i in range(len(experts))])
        return rows

    def _uses(self, n_experts: int) -> list[Floats]:
        """Return how often each expert is needed in the first half of the steps, by layer.

        A list that knew all steps would miss only experts that are not in the caches, either.
        """
        half = self._routing[: -(-len(self._routing) // 2)]
        ids = [torch.cat([row[i][0].reshape(-1) for row in half]) for i in range(len(half[0]))]
        return [np.bincount(i.cpu().numpy(), minlength=n_experts).astype(float) for i in ids]

    def turn(self, *, keep: bool = True) -> None:
        """Time every setting once, in random order; without `keep`, only to warm up."""

        def routed(layer: int, own: Layer) -> Layer:
            def run(x: Tensor, ids: Tensor, weights: Tensor) -> Tensor:
                assert self._current is not None
                of, number = self._current
                return of.layers[layer](x, *self._routing[number][layer])

            return run

        with torch.no_grad(), replaced_layers(self.model, routed):
            for i in self._random.permutation(len(self.runs)):
                self._time(self.runs[i], keep)

    def _time(self, run: _Run, keep: bool) -> None:
        for layer in run.layers:
            layer.reset()
        n = len(self._routing)
        started = self._now()
        for number in range(n):
            self._current = run, number
            self._call()
        took = (self._now() - started) / n
        run.misses = sum(layer.statistics.misses for layer in run.layers) / n
        run.uploads = sum(layer.statistics.uploads for layer in run.layers) / n
        if keep:
            run.seconds.append(took)

    def cost(self) -> MissCost:
        """Return the cost fitted to the median time of each setting."""
        rows = [(run.misses, run.uploads, float(np.median(run.seconds))) for run in self.runs]
        return MissCost.fit(*zip(*rows, strict=True))


@long_work("measuring misses")
def measure_misses(
    model: nn.Module,
    *,
    batch_size: int = 1,
    context: int = 64,
    trace: RoutingTrace | None = None,
    slow: SlowMemory | None = None,
    budget_s: float = 20.0,
    clock: str | None = None,
    threads: int = 1,
    random_state: np.random.Generator | int | None = 0,
    **options: object,
) -> MissCost:
    """Measure what misses and uploads cost in a model on this machine.

    Decode steps run with all experts resident, with static lists, and with uploads, for several
    numbers of slots, by the kernel that a plan is applied with
    (:class:`moe_costmodel.kernels.OffloadedExperts`). The cost is fitted to all of them.

    Parameters
    ----------
    model : Module
        The packaged example model, or a causal language model of Hugging Face whose experts are
        beside its routers. Its experts are allocated a second time, for fast memory.
    batch_size, context : int
        Sequences that are decoded together, and tokens in the cache of each.
    trace : RoutingTrace, optional
        Routing of the steps, recorded from this model; by default it is drawn.
    slow : callable, optional
        ``slow(layer, experts)`` returns the experts as they lie in slow memory, as for
        :meth:`moe_costmodel.Plan.apply`.
    budget_s : float
        Seconds to measure, preparation included; three turns are made in any case.
    clock : {"cpu", "wall"}, optional
        The time of this process, which other processes disturb less but in which an upload on a
        thread of its own hides behind nothing, or the elapsed time. By default "cpu" for one
        thread, else "wall".
    threads : int
        Threads of torch.
    random_state : Generator or int, optional
        Source of routing and order.
    **options
        Passed to every call of the model.

    Returns
    -------
    MissCost

    Raises
    ------
    ValueError
        If a parameter is out of range, the trace is of another model, or the model belongs to no
        known family.

    Examples
    --------
    >>> from moe_costmodel import measure_misses
    >>> from moe_costmodel.example import load_model
    >>> cost = measure_misses(load_model(), budget_s=1)  # doctest: +SKIP
    >>> cost.base > cost.per_miss  # doctest: +SKIP
    True
    """
    started, clock = time.perf_counter(), clock_for(clock, threads)
    budget_s = check_budget("measure_misses", budget_s)
    count("measure_misses", "batch_size", batch_size)
    count("measure_misses", "context", context)
    with pinned_threads(threads):
        timer = MissTimer(
            model, batch_size=batch_size, context=context, trace=trace, slow=slow, clock=clock,
            random_state=random_state, options=options,
        )  # fmt: skip
        timer.turn(keep=False)
        turns, a_turn = 0, 0.0
        while turns < 3 or time.perf_counter() + a_turn < started + budget_s:
            begun = time.perf_counter()
            timer.turn()
            turns, a_turn = turns + 1, time.perf_counter() - begun
    return timer.cost()
