"""Cases of the four problems of Mixture-of-Experts deployment."""

from __future__ import annotations

from typing import Any

import numpy as np

from moe_costmodel import GateRule, RoutingTrace
from moela import MOELA
from problems import ExpertBuffering, ExpertPlacement, GatingThresholds, MoEDeployment

from .running import example_costs, parts_of, sampled, solve, values


def windows() -> list[RoutingTrace]:
    """Return two windows of traffic."""
    return [RoutingTrace.example("code"), RoutingTrace.example("prose")]


def rules_of(rules: Any) -> list[Any]:
    """Return thresholds as numbers and texts."""
    return [None if r is None else [r.kind, r.value, r.k_min] for r in rules]


def gating() -> dict[str, Any]:
    problem = GatingThresholds.example()
    timed = GatingThresholds(
        windows(),
        rule="top-p",
        objectives=("compute", "latency", "p99_latency", "quality_loss"),
        latency=example_costs()["latency"],
        shape=example_costs()["shape"],
        batch_size=8,
        aggregate="worst",
    )
    X = sampled(timed, 10).get("X")
    plan = problem.decode(problem.starts()[3])
    return parts_of(problem) | {
        "timed": values(timed, X),
        "fixed k": [problem.fixed_k_front(), timed.fixed_k_front()],
        "rules": problem.objectives_of([GateRule("top-p", 0.7)] * problem.n_var),
        "decoded": [rules_of(plan.rules), list(plan.objectives.values())],
        "run": solve(problem, MOELA(), 300),
    }


def buffering() -> dict[str, Any]:
    problem = ExpertBuffering.example()
    wide = ExpertBuffering.example("prose", batch_size=8, n_devices=2)
    X = sampled(problem, 5).get("X")
    plan = problem.decode(X[0])
    return parts_of(problem) | {
        "two devices": parts_of(wide, 6),
        "capacities": [problem.capacities(X), problem.polished(X), problem.marginal("lru")],
        "equal": problem.equal_capacity(4),
        "decoded": [plan.capacities, plan.policy, list(plan.objectives.values())],
        "run": solve(problem, MOELA(), 300),
    }


def placement() -> dict[str, Any]:
    problem = ExpertPlacement.example()
    copied = ExpertPlacement(
        windows(),
        batch_size=8,
        n_devices=4,
        n_nodes=2,
        replicas=4,
        aggregate="worst",
    )
    decoded = problem.decode(sampled(problem, 2).get("X")[1])
    return parts_of(problem) | {
        "replicas": parts_of(copied, 6),
        "decoded": [decoded.physical_to_logical, decoded.n_devices, problem.encode(decoded)],
        "run": solve(problem, MOELA(), 300),
        "run with replicas": solve(copied, MOELA(), 200),
    }


def deployment() -> dict[str, Any]:
    problem = MoEDeployment.example()
    parts = parts_of(problem, 8)
    X = parts["sampling"]
    plan = problem.decode(X[0])
    today = problem.today()
    return parts | {
        "intervals": problem.intervals(X[:3]),
        "decided": [list(problem.decided(x)) for x in X],
        "today": [] if today is None else today,
        "limits": list(problem.limits.values()),
        "plan": [
            plan.batch_size,
            plan.policy,
            plan.capacities,
            plan.placement.physical_to_logical,
            rules_of(plan.gates),
            [[p.value, p.low, p.high, p.worst] for p in plan.objectives.values()],
        ],
        "run": solve(problem, MOELA(), 300),
    }


def other_deployments() -> dict[str, Any]:
    """Return deployments with limits, nodes, replicas, and fewer decisions."""
    problem = MoEDeployment(
        windows(),
        **example_costs(),
        objectives=("step_p99_s", "memory_bytes", "avg_max_load", "cross_node_bytes"),
        slo_s=0.05,
        max_quality_loss=0.3,
        replicas=4,
        aggregate="worst",
    )
    gates = MoEDeployment.example("prose", decide=("gates", "batch"), memory_budget=np.inf)
    return {
        "nodes": parts_of(problem, 6),
        "gates and batch": parts_of(gates, 6),
        "run": solve(problem, MOELA(), 150),
    }


CASES = {
    "moe gating": gating,
    "moe buffering": buffering,
    "moe placement": placement,
    "moe deployment": deployment,
    "moe other deployments": other_deployments,
}
