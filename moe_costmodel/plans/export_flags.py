"""Exports as flags: engines that take one number for all layers get the best single one.

Every candidate number is evaluated, by :meth:`moe_costmodel.DeploymentModel.evaluate` or another
function, and the export notes what the single number costs compared with the plan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import numpy as np

from moe_costmodel._checks import invalid, several_of
from moe_costmodel.gating.rules import RULES, GateRule
from moe_costmodel.objectives import quantity
from moe_costmodel.plans.engines.export import NOT_EXPORTED, Export, refusal
from moe_costmodel.plans.engines.one_machine import blocks_on_cpu
from moe_costmodel.plans.export_files import lru_notes
from moe_costmodel.plans.ungated import plan_notes

if TYPE_CHECKING:
    from moe_costmodel.plans.plan import Plan

__all__ = ["Costs", "best_single_capacity", "best_single_rule", "to_ktransformers", "to_llamacpp"]


class Costs(Protocol):
    """Objectives of a candidate, by name: "step_mean_s", "memory_bytes" and "quality_loss"."""

    def __getitem__(self, name: str, /) -> float: ...


Evaluate = Callable[["Plan"], Costs]


def best_single_capacity(
    plan: Plan, evaluate: Evaluate | None = None, *, owner: str = "best_single_capacity"
) -> tuple[Plan, list[str]]:
    """Return the plan with one capacity for all layers and devices, and what that costs.

    Among the capacities that need no more memory than the plan, the one with the shortest mean
    step is chosen, the largest if several are equal; if all need more memory, the smallest. Errors
    name the `owner`.

    Raises
    ------
    ValueError
        If `evaluate` is needed and missing.
    """
    if (plan.capacities == plan.capacities.flat[0]).all():
        return plan, []
    candidates = [
        replace(plan, capacities=np.full_like(plan.capacities, capacity))
        for capacity in range(1, plan.slots_per_device + 1)
    ]
    costs = _given(evaluate, owner, "capacity for all layers, and the plan's layers differ")
    chosen, price = _fastest(plan, candidates, "memory_bytes", costs)
    return chosen, [
        f"one capacity for all layers: {chosen.capacities.flat[0]} of {plan.slots_per_device} "
        f"experts instead of {plan.capacities.min()} to {plan.capacities.max()}, chosen among all "
        f"that need no more memory; {price}"
    ]


def best_single_rule(
    plan: Plan,
    kinds: Iterable[str] = ("skip",),
    evaluate: Evaluate | None = None,
    *,
    owner: str = "best_single_rule",
) -> tuple[Plan, list[str]]:
    """Return the plan with one gating rule for all layers, and what that costs.

    Among the rules that lose no more quality than the plan, the one with the shortest mean step
    is chosen. Candidates are a grid of thresholds, and those of the plan. Errors name the `owner`.

    Raises
    ------
    ValueError
        If `evaluate` is needed and missing, or a kind is unknown.
    """
    kinds = several_of(owner, "kinds", kinds, RULES)
    own_rules = {rule for rule in plan.gates if rule is not None}
    if len(set(plan.gates)) == 1 and all(rule.kind in kinds for rule in own_rules):
        return plan, []
    rules: list[GateRule | None] = [None]
    for kind in kinds:
        rules += _grid(kind, plan.shape.k, own_rules)
    candidates = [replace(plan, gates=(rule,) * plan.n_layers) for rule in rules]
    one = f"rule of kind {' or '.join(kinds)} for all layers, and the plan has others"
    costs = _given(evaluate, owner, one)
    chosen, price = _fastest(plan, candidates, "quality_loss", costs)
    rule = chosen.gates[0]
    return chosen, [
        f"one threshold for all layers: {'none' if rule is None else rule} instead of "
        f"{len(set(plan.gates))} different ones, chosen among those that lose no more "
        f"({plan.quality_kind}); {price}"
    ]


def _given(evaluate: Evaluate | None, owner: str, one: str) -> Evaluate:
    """Return the costs of candidates, or raise the error that says why they are needed."""
    if evaluate is None:
        needed = f"given to choose the fastest, since the engine takes one {one}"
        raise invalid(owner, "evaluate", None, f"{needed}: pass a DeploymentModel's evaluate")
    return evaluate


def _fastest(
    plan: Plan, candidates: list[Plan], limited: str, evaluate: Evaluate
) -> tuple[Plan, str]:
    """Return the fastest candidate that is no worse than the plan in one objective, and its price.

    If none is, the first candidate counts; of equally fast ones, that of the largest capacity.
    """
    own = evaluate(plan)
    tried = [(candidate, evaluate(candidate)) for candidate in candidates]
    # Equal up to rounding: about the last digits of bytes, and of a loss near 1.
    limit = own[limited] * (1 + 1e-9) if limited == "memory_bytes" else own[limited] + 1e-12
    fitting = [item for item in tried if item[1][limited] <= limit]
    chosen, costs = min(
        fitting or tried[:1], key=lambda item: (item[1]["step_mean_s"], -item[0].capacities.flat[0])
    )
    return chosen, _price(own, costs)


def _grid(kind: str, k: int, own: set[GateRule]) -> list[GateRule]:
    """Return the thresholds of a kind to try: those of the plan, and a grid for each `k_min`."""
    rules = {rule: None for rule in own if rule.kind == kind}
    values = {
        "top-k": [float(n) for n in range(1, k + 1)],
        "skip": [round(0.02 * i, 2) for i in range(1, 51)],
        "top-p": [round(1 - 0.02 * i, 2) for i in range(45)],
    }[kind]
    for k_min in sorted({rule.k_min for rule in rules} or {1}):
        rules |= {GateRule(kind, value, k_min): None for value in values}  # type: ignore[arg-type]
    return list(rules)


def _price(own: Costs, costs: Costs) -> str:
    step, before = costs["step_mean_s"], own["step_mean_s"]
    memory, lost = costs["memory_bytes"], costs["quality_loss"]
    times = quantity(step, "s"), quantity(before, "s")
    sizes = quantity(memory, "bytes"), quantity(own["memory_bytes"], "bytes")
    losses = f"{lost:.4g}", f"{own['quality_loss']:.4g}"
    parts = ["the mean step is the same", "the same memory"]
    if times[0] != times[1]:
        change = f"{step / before - 1:+.1%}"
        parts[0] = f"the mean step is {times[0]} instead of {times[1]} ({change})"
    if sizes[0] != sizes[1]:
        parts[1] = f"memory {sizes[0]} instead of {sizes[1]}"
    if losses[0] != losses[1]:
        parts.append(f"quality lost {losses[0]} instead of {losses[1]}")
    return ", ".join(parts)


def to_ktransformers(plan: Plan, *, evaluate: Evaluate | None = None) -> Export:
    """Return KTransformers' flag: how many experts of each layer are kept on the GPU.

    Parameters
    ----------
    plan : Plan
        On one device.
    evaluate : callable, optional
        ``evaluate(plan)[objective]``, such as a DeploymentModel's `evaluate`; needed if the
        plan's layers differ.

    Raises
    ------
    ValueError
        If the plan has several devices, or `evaluate` is needed and missing.
    """
    _require_one_device(
        plan,
        "KTransformers",
        "on one device, since --kt-num-gpu-experts counts one GPU's experts",
        "export to SGLang",
    )
    single, notes = best_single_capacity(plan, evaluate, owner="Plan.to_ktransformers")
    capacity = int(single.capacities.flat[0])
    if plan.offload is None or not plan.offload.in_place:
        notes.append(
            "KTransformers computes the experts that are not on the GPU on the CPU and does not "
            f"copy them in; the plan's times are those of copying (policy '{plan.policy}')"
        )
    elif not plan.offload.is_static:
        notes.append(f"KTransformers uploads nothing; the plan's rule is: {plan.offload}")
    if plan.has_thresholds:
        notes += [NOT_EXPORTED, *plan_notes(single, evaluate)]
    return Export("KTransformers", ("--kt-num-gpu-experts", str(capacity)), tuple(notes))


def _require_one_device(plan: Plan, engine: str, expected: str, remedy: str) -> None:
    if plan.n_devices > 1:
        raise refusal(
            engine, expected, f"{plan.n_devices} devices", f"plan for one device, or {remedy}"
        )


def to_llamacpp(plan: Plan, *, evaluate: Evaluate | None = None) -> Export:
    """Return flags of llama.cpp: ``-ser Kmin,t`` (a fork's) and layers of experts on the CPU.

    Up to llama-cpp-python 0.3.36, a layer's experts are either all on the GPU or all on the CPU, so
    a plan that buffers keeps as many whole layers as its memory holds (``--n-cpu-moe``); newer ones
    have ``--moe-cache-mib``, see ``engine_command``. A plan with a rule for
    misses becomes ``--moe-expert-cache`` (an open proposal, pull request 27861: misses are computed
    on the CPU, and the cache of each layer is least recently used). Parameters and errors are those
    of :func:`to_ktransformers`.
    """
    _require_one_device(
        plan,
        "llama.cpp",
        "on one device: it has one GPU's cache, and splits layers among several",
        "export to SGLang, vLLM or TensorRT-LLM",
    )
    flags: list[str] = []
    notes: list[str] = []
    if plan.has_thresholds:
        single, notes = best_single_rule(plan, ("skip",), evaluate, owner="Plan.to_llamacpp")
        rule = single.gates[0]
        if rule is not None:
            flags += ["-ser", f"{rule.k_min},{rule.value:g}"]
            notes.append("-ser is a flag of the fork ik_llama.cpp; the main line has none")
    if plan.is_buffered and plan.offload is not None:
        single, more = best_single_capacity(plan, evaluate, owner="Plan.to_llamacpp")
        flags += ["--n-cpu-moe", str(blocks_on_cpu(plan.layers, plan.n_layers))]
        flags += ["--moe-expert-cache", str(int(single.capacities.flat[0]))]
        notes += more
        notes.append(
            "--moe-expert-cache is an open proposal (pull request 27861), which no release has; "
            "its --moe-expert-cache-inserts caps the uploads of a layer in a step"
        )
        notes += lru_notes("llama.cpp", plan, copies=False)
    elif plan.is_buffered:
        whole = int(plan.capacities.sum()) // plan.slots_per_device
        flags += ["--n-cpu-moe", str(blocks_on_cpu(plan.layers, plan.n_layers - whole))]
        notes.append(
            f"llama.cpp keeps whole layers: {whole} of {plan.n_layers} on the GPU in the plan's "
            "memory, the others computed on the CPU; the plan's times are those of copying "
            f"single experts in (policy '{plan.policy}')"
        )
    return Export("llama.cpp", tuple(flags), tuple(notes))
