"""Serving designs as plans."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from moe_costmodel import (
    SERVING_OBJECTIVES,
    GateRule,
    Placement,
    Predicted,
    ServingPlan,
    ServingPool,
)
from problems._arrays import Ints
from problems.moe.serving.columns import Columns
from problems.moe.serving.evaluation import Evaluator, Served
from problems.moe.serving.setup import MINIMIZED

__all__ = ["INTERVALS", "plan_of"]

INTERVALS = {"tpot": (0.61, 1.61), "ttft": (1.0, 30.8)}
"""Measured over composed times, 5th and 95th percentile of 240 systems
(tests/benchmarks/plan_intervals.py). Measured times to the first token include queueing; their
percentiles are 1.5 and 30.8."""

_KINDS = {"ttft": "ttft", "tpot_mean": "tpot", "tpot_p99": "tpot",
          "cost_per_million_tokens": "tpot"}  # fmt: skip


def plan_of(
    row: Ints,
    columns: Columns,
    evaluator: Evaluator,
    served: Served,
    *,
    ungated: Served | None,
    limits: Mapping[str, float],
) -> ServingPlan:
    """Return a canonical row as a plan; `ungated` has the values without its rules, if any."""
    gates = _gates(row, columns, evaluator)
    objectives = _predicted(served, evaluator.mode)
    redundancy = int(row[columns.redundancy])
    pools: list[ServingPool] = []
    kernels: dict[str, str] = {}
    outside: dict[str, float] = {}
    methods = row[columns.placement]
    for i, at in enumerate(columns.pools):
        instance = evaluator.instance(i, row[at], redundancy)
        layout, copies = instance.layout, instance.redundant_experts
        placement = None
        if evaluator.library is not None and layout.moe_ep > 1 and (methods.any() or copies):
            slots = evaluator.library.slots(layout.moe_ep, copies)
            placement = Placement(slots[methods, np.arange(len(methods))], layout.moe_ep)
        pools.append(
            ServingPool(
                role=instance.role, layout=layout, replicas=served.replicas[i],
                concurrency=instance.sequences * layout.dp,
                max_num_batched_tokens=instance.max_num_batched_tokens,
                redundant_experts=copies, placement=placement,
            )
        )  # fmt: skip
        for step, time in instance.operators().items():
            for operator in time.operators:
                name = f"{instance.role} {step} {operator.operator}"
                if operator.seconds > 0:
                    kernels[name] = f"{operator.kernel}, {operator.source}"
                    outside[name] = max(outside.get(name, 1.0), operator.outside)
    return ServingPlan(
        shape=evaluator.shape, gpu=evaluator.gpu.name, backend=evaluator.curves.model.backend,
        n_gpus=evaluator.n_gpus, mode=evaluator.mode, input_tokens=evaluator.input_tokens,
        output_tokens=evaluator.output_tokens, pools=tuple(pools),
        gates=gates, kv_dtype=evaluator.curves.kv_dtype, objectives=objectives,
        ungated={} if ungated is None else {name: ungated.values[name] for name in objectives},
        limits=dict(limits), kernels=kernels,
        outside={name: factor for name, factor in outside.items() if factor > 1.0},
        notes=_notes(evaluator),
    )  # fmt: skip


def _gates(row: Ints, columns: Columns, evaluator: Evaluator) -> tuple[GateRule | None, ...]:
    levels = evaluator.levels
    if levels is None:
        return ()
    gates = row[columns.gates]
    return tuple(
        None if level == levels.n_levels - 1 else levels.rules[layer][level]
        for layer, level in enumerate(gates)
    )


def _predicted(served: Served, mode: str) -> dict[str, Predicted]:
    found = {}
    for name in SERVING_OBJECTIVES:
        value = served.values.get(name, float("nan"))
        if not np.isfinite(value):
            continue
        low, high = 1.0, 1.0
        if name in MINIMIZED:  # rates, which are reciprocals of times
            high, low = (1 / v for v in INTERVALS["ttft" if mode == "prefill" else "tpot"])
        elif name in _KINDS:
            low, high = INTERVALS[_KINDS[name]]
        found[name] = Predicted(value, low * value, high * value)
    return found


def _notes(evaluator: Evaluator) -> tuple[str, ...]:
    notes = []
    longest = evaluator.input_tokens + evaluator.output_tokens
    if beyond := evaluator.shape.beyond_context(longest):
        notes.append(beyond)
    if evaluator.mode != "decode":
        notes.append(
            "Times to the first token leave out queueing and the host's work, which their "
            "intervals hold."
        )
    if evaluator.loads is None and evaluator.shape.experts is not None:
        notes.append(
            "No loads were given: the experts are as busy as in the benchmarks behind the tables "
            "(a power law), in the engine's own placement."
        )
    if evaluator.loads is not None:
        notes.append(
            "Tokens of a step are drawn from the loads independently of each other, and so are the "
            "choices in different layers if the loads hold no tokens."
        )
    return tuple(notes)
