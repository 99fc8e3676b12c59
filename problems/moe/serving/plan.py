"""Serving designs as plans."""

from __future__ import annotations

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

__all__ = ["plan_of"]

_TIMES = {"tokens_per_s_per_user", "tokens_per_s_per_gpu", "ttft", "tpot_mean", "tpot_p99",
          "cost_per_million_tokens"}  # fmt: skip
# Composed over measured times of silicon_sample.csv, between the 5th and the 95th percentile
# (tests/benchmarks/plan_speed.py --interval).
_ERROR = {"ttft": 2.2, "": 1.5}


def plan_of(row: Ints, columns: Columns, evaluator: Evaluator, served: Served) -> ServingPlan:
    """Return a canonical row as a plan."""
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
        gates=_gates(row, columns, evaluator), kv_dtype=evaluator.curves.kv_dtype,
        objectives=_predicted(served), kernels=kernels,
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


def _predicted(served: Served) -> dict[str, Predicted]:
    found = {}
    for name in SERVING_OBJECTIVES:
        value = served.values.get(name, float("nan"))
        if np.isfinite(value):
            error = _ERROR.get(name, _ERROR[""]) if name in _TIMES else 1.0
            found[name] = Predicted(value, value / error, value * error)
    return found


def _notes(evaluator: Evaluator) -> tuple[str, ...]:
    notes = ["Times to the first token leave out queueing and the host's work."]
    if evaluator.loads is None and evaluator.shape.experts is not None:
        notes.append(
            "No loads were given: the experts are as busy as in the benchmarks behind the tables "
            "(a power law), in the engine's own placement."
        )
    return tuple(notes)
