"""Cases of the cost model without torch: traces, rules, buffers, placements, deployments."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import moe_costmodel as moe
from moe_costmodel.example import example_measurements

from .running import example_costs

RULES = (
    moe.GateRule("top-p", 0.5),
    moe.GateRule("top-p", 0.9, k_min=2),
    moe.GateRule("top-p", 1.0),
    moe.GateRule("skip", 0.3),
    moe.GateRule("skip", 1.0, k_min=2),
    moe.GateRule("top-k", 2),
    moe.GateRule.keep_all(),
)


@cache
def trace(domain: str = "code") -> moe.RoutingTrace:
    return moe.RoutingTrace.example(domain)  # type: ignore[arg-type]


@cache
def loads() -> Any:
    return trace().loads(8)


def traces() -> dict[str, Any]:
    """Return statistics of the packaged traces, and of a trace that was written and read."""
    code, prose = trace(), trace("prose")
    first, second = code.split(0.3)
    with tempfile.TemporaryDirectory() as folder:
        back = moe.RoutingTrace.load(code.save(Path(folder) / "trace.npz"))
    described = [code.describe(), code.describe(64, "prefill"), prose.describe(4)]
    counted = moe.RoutingTrace.from_counts(loads())
    return {
        "read": [back.topk_ids, back.topk_weights, back.sequence_lengths],
        "loads": [code.loads(8), code.loads(50, "prefill"), prose.loads(4, drop_last=False)],
        "steps": [code.steps(8), code.batches(100, "prefill")[:3]],
        "shares": [code.shares(), code.drift(prose), first.drift(second), first.loads(2)],
        "described": [
            [
                d.inactive, d.hottest_over_mean, d.waste_factor, d.persistence,
                d.chance_persistence, d.mean_load, d.n_steps,
            ]
            for d in described
        ],
        "counts": [counted.loads(), counted.shares()],
        "waste": moe.static_waste(32, 4, 1.25),
    }  # fmt: skip


def weights() -> Any:
    """Return weights of choices, some of which are ties or zeros."""
    rng = np.random.default_rng(2)
    W = rng.dirichlet(np.ones(8) / 2, size=300)
    return np.concatenate((W, np.round(W, 1), np.full((2, 8), 0.125), np.zeros((1, 8))))


def gate_rules() -> dict[str, Any]:
    """Return the choices that rules keep, of given weights and of a trace."""
    W, code = weights().astype(np.float32), trace()
    mixed = [RULES[i % len(RULES)] for i in range(code.n_layers)]
    parts: dict[str, Any] = {"masks": [moe.keep_mask(W, rule) for rule in RULES]}
    parts["masks of float64"] = [moe.keep_mask(weights(), rule) for rule in RULES]
    parts["choices"] = [moe.keep_choices(code, RULES[0]), moe.keep_choices(code, mixed)]
    masses = [moe.gate_mass(code, rules) for rules in (*RULES, mixed)]
    parts["mass"] = [[g.experts, g.mass, g.fixed_k_mass, g.equal_k_mass] for g in masses]
    parts["loads"] = code.loads(8, keep=moe.keep_choices(code, mixed))
    return parts


def buffers() -> dict[str, Any]:
    """Return the misses of every policy at every capacity, in total and by step."""
    n_devices = 2
    device_of = np.arange(trace().n_experts) * n_devices // trace().n_experts
    curves = moe.miss_curves(loads(), device_of, n_devices)
    steps = moe.miss_curves(loads(), device_of, n_devices, capacities=[2, 8], per_step=True)
    streams = moe.expert_streams(loads(), device_of, n_devices)
    stream, five = streams[0][1], np.full((trace().n_layers, n_devices), 5)
    return {
        "curves": [[c.capacities, c.misses, c.accesses, c.rate()] for c in curves.values()],
        "per step": [c.per_step for c in steps.values()],
        "streams": [[s.ids, s.bounds, s.n_experts] for layer in streams for s in layer],
        "events": [stream.events([1, 4, 9], policy) for policy in moe.POLICIES],
        "replay": [moe.replay(streams, five, policy) for policy in moe.POLICIES],
    }


def placements() -> dict[str, Any]:
    """Return the placements of all heuristics, and measures of them."""
    code, n = trace(), 4
    best = moe.optimal_placement(loads()[:12, 0, :8], 2)
    made = {
        "contiguous": moe.contiguous(code.n_layers, code.n_experts, n),
        "greedy": moe.greedy(loads(), n),
        "anti-correlation": moe.anti_correlation(loads(), n),
        "anti-correlation 2": moe.anti_correlation(loads(), n, weight=0.1),
        "packed": moe.replicate_and_pack(loads(), n),
        "replicated": moe.replicate_and_pack(loads(), n, n_replicas=8),
        "in groups": moe.replicate_and_pack(loads(), n, n_replicas=4, n_groups=4, n_nodes=2),
        "swapped": moe.swap_search(loads(), n, random_state=1),
        "swapped again": moe.swap_search(
            loads()[:20], n, start=moe.contiguous(code.n_layers, code.n_experts, n), random_state=2
        ),
    }
    parts: dict[str, Any] = {
        "optimal": [best.placement.physical_to_logical, best.value, best.bound, best.gap]
    }
    for name, placement in made.items():
        parts[name] = [
            placement.physical_to_logical,
            placement.copies,
            placement.on_device(),
            placement.device_loads(loads()),
            moe.max_load(placement, loads()),
            moe.avg_max_load(placement, loads()),
            moe.balancedness(placement, loads()),
            moe.migration_bytes(made["contiguous"], placement, 100.0),
            moe.cross_node_traffic(code, placement, 2),
        ]
    moved = moe.Placement.from_devices(made["greedy"].device_of(), n)
    return parts | {"from devices": moved.physical_to_logical}


def latency() -> dict[str, Any]:
    """Return the times that every method predicts from the packaged measurements."""
    measured = example_measurements()
    shape = example_costs()["shape"]
    far = moe.LayerShape(n_experts=64, k=8, d_model=1024, d_ffn=512, gated=True)
    counts, misses = loads()[:6, 0], np.array([0, 1, 2, 3, 0, 5])
    parts: dict[str, Any] = {}
    for method in ("linear", "smooth", "trees", "blend"):
        model = moe.LatencyModel.fit(measured, method=method, n_estimators=8)
        predictions = [
            model.predict(shape, counts),
            model.predict(shape, counts, misses=misses, overlapped=1e-5, coverage=0.5),
            model.predict(far, np.tile(counts, 2)),
        ]
        table, report = model.table(shape), model.report
        parts[method] = [
            [[p.seconds, p.low, p.high, len(p.outside)] for p in predictions],
            [report.median, report.log_ratios, report.wide_log_ratios, report.worst_inside],
            [[s.n, s.median, s.p90] for s in report.shapes],
            [table.active, table.rows, table.log_seconds],
        ]
    return parts


def steps() -> dict[str, Any]:
    """Return the time and memory of whole steps."""
    costs = example_costs()
    memory = costs.pop("memory")
    shape, hardware, rest = costs["shape"], costs["hardware"], costs["rest"]
    model = moe.StepModel(**costs)
    counts = np.broadcast_to(loads()[:5], (5, *loads().shape[1:]))
    cost = moe.BufferCost.of_link(hardware.link("slow_to_fast"))
    kept = np.array([4, 16, 32, 1, 8, 8])
    return {
        "step": [
            model.exchange_seconds(counts),
            model.layer_seconds(counts),
            model.seconds(counts, tokens=8, context=100.0),
        ],
        "rest": [
            rest.per_step,
            rest.per_token,
            rest.per_token_context,
            rest.seconds([1, 9], [5, 7]),
        ],
        "memory": [
            memory.weight_bytes,
            memory.expert_bytes(kept),
            memory.kv_bytes([1, 8], 512),
            memory.activation_bytes([1, 64]),
            memory.activation_bytes([64], gating="static", capacity_factor=1.25),
        ],
        "copies": [cost.copy_seconds(shape, [0, 1, 7])],
        "shape": [shape.parameters, shape.expert_bytes],
    }


def deployment_of(domains: tuple[str, ...], **settings: Any) -> moe.DeploymentModel:
    """Return a model of the packaged example on four devices of two nodes."""
    return moe.DeploymentModel(
        [trace(domain) for domain in domains],
        **example_costs(),
        **settings,
    )


def deployments() -> dict[str, Any]:
    """Return the evaluations of a few decisions, on one window and on two."""
    choices: dict[str, dict[str, Any]] = {
        "nothing": {},
        "gates": {"gates": moe.GateRule("top-p", 0.7)},
        "mixed gates": {"gates": [None, *RULES[:5]]},
        "buffers": {"capacities": 5, "policy": "lru"},
        "uneven": {"capacities": np.arange(24).reshape(6, 4) % 8 + 1, "policy": "paper"},
        "placed": {"placement": moe.greedy(loads(), 4), "capacities": 6, "policy": "lfu"},
        "replicated": {"placement": moe.replicate_and_pack(loads(), 4, n_replicas=8)},
    }
    parts: dict[str, Any] = {}
    for name, model in (
        ("decode", deployment_of(("code", "prose"))),
        ("prefill", deployment_of(("code",), mode="prefill", context=64.0)),
    ):
        size = 8 if name == "decode" else 50
        for kind, choice in choices.items():
            evaluation = model.evaluate(model.decision(**choice, batch_size=size))
            parts[f"{name} {kind}"] = [
                [evaluation.values[key] for key in moe.OBJECTIVES],
                [evaluation.worst(key) for key in moe.OBJECTIVES],
                [[p.value, p.low, p.high] for p in map(evaluation.predicted, moe.OBJECTIVES)],
                evaluation.step_seconds,
                evaluation.moe_seconds,
                evaluation.waiting_seconds,
            ]
        parts[name] = [
            model.quality_loss(RULES[0]),
            model.mean_experts(RULES[0]),
            model.exchange_seconds([[3, 1, 2, 5], [0, 0, 9, 1]]),
            model.n_steps(size),
            model.max_batch_size,
        ]
    model = deployment_of(("code",))
    plan = model.plan(model.decision(**choices["gates"], batch_size=8))
    check = model.check(plan, trace("prose"))
    return parts | {
        "plan": [[p.value, p.low, p.high, p.worst] for p in plan.objectives.values()],
        "check": [check.drift, [[c.old.value, c.new, c.ratio] for c in check.objectives]],
    }


CASES = {
    "cost traces": traces,
    "cost gate rules": gate_rules,
    "cost buffers": buffers,
    "cost placements": placements,
    "cost latency": latency,
    "cost steps": steps,
    "cost deployments": deployments,
}
