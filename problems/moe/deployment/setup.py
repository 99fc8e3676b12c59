"""Parts that a joint deployment is set up from: names, limits, batch sizes and first placements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moe_costmodel import OBJECTIVES, DeploymentModel, LayerShape, Placement, RoutingTrace
from moe_costmodel.example.measured import example_shape
from problems._arrays import Ints
from problems._checks import ascending_ints, check_names, check_real, setting_error
from problems.moe.base import check_judged
from problems.moe.placement.checks import current_or_default, slots_of_layer
from problems.moe.placement.moves import Slots
from problems.moe.placement.pair_search import pairs_of_tokens, second_moments
from problems.moe.placement.starts import StartMaker

__all__ = [
    "PARTS",
    "SECONDS_PER_TOKEN",
    "Placed",
    "checked_batch_sizes",
    "checked_limits",
    "checked_parts",
    "decidable",
    "named_objectives",
    "placements",
    "shape_of",
]

OWNER = "MoEDeployment"
PARTS = ("gates", "buffers", "batch", "placement")
"""Parts of a deployment that can be decided. "buffers" are the capacities and the policy."""
SECONDS_PER_TOKEN = "seconds_per_token"
"""Objective that stands for "tokens_per_s": its reciprocal, because objectives are minimized."""

_LEAST_STEPS = 16
_MOST_DRAWN = 256


@dataclass(frozen=True, eq=False)
class Placed:
    """Placements that a search starts from.

    Attributes
    ----------
    rows : dict of str to int array [n_layers * n_slots]
        Placements by name; "spread" evens out the devices most.
    today : int array [n_layers * n_slots]
        Placement of deployments that do not decide it.
    slots : Slots
        Features and moves of placements.
    """

    rows: dict[str, Ints]
    today: Ints
    slots: Slots


def placements(
    model: DeploymentModel,
    *,
    batch_size: int,
    replicas: int,
    current: Placement | None,
    decided: bool,
) -> Placed:
    """Return the placements that a search starts from, with no expert twice on a device.

    They even out steps of `batch_size`. Unless the placement is `decided`, the current one is the
    only one. A ValueError is raised if the devices do not divide the slots, or the current
    placement does not fit.
    """
    windows = model.traces
    n_layers, n_experts, n_devices = windows[0].n_layers, windows[0].n_experts, model.n_devices
    n_slots = slots_of_layer(n_experts, replicas, n_devices, OWNER)
    loads = np.concatenate([w.step_loads(batch_size, model.mode) for w in windows])
    moments = np.mean([second_moments(w, batch_size, model.mode) for w in windows], axis=0)
    together = np.zeros_like(moments)
    if model.n_nodes > 1 and not windows[0].is_load_only:
        together = pairs_of_tokens(windows)
    maker = StartMaker(
        loads=loads.astype(np.float64), moments=moments, together=together,
        n_devices=n_devices, n_nodes=model.n_nodes, n_replicas=int(replicas),
    )  # fmt: skip
    named = maker.named()
    best = [name for name in named if name.startswith("spread")][-1]
    if replicas:
        # The others fill devices up with second copies, which would waste memory in a deployment.
        kept = [name for name in named if name.startswith(("replicate", "tokens", best))]
        named = {name: maker.apart(named[name]) for name in kept}
    packed = named["replicate-and-pack"]
    running = current_or_default(current, (n_layers, n_experts, n_devices), packed, OWNER)
    if running.n_slots > n_slots:
        expected = f"of at most {n_slots} slots per layer"
        raise setting_error(OWNER, "current", expected, running.n_slots)
    today = running.physical_to_logical if running.n_slots == n_slots else packed
    rows = {"current": today, **named, "spread": named[best]}
    if not decided:
        rows = {"current": today, "spread": today}
    flat = {name: slots.reshape(-1) for name, slots in rows.items()}
    slots = Slots(
        n_devices, model.n_nodes, maker.mean, moments, together, running.on_device() > 0,
        library=np.array(list(flat.values())), apart=replicas > 0,
    )  # fmt: skip
    return Placed(flat, today.reshape(-1), slots)


def checked_parts(decide: Sequence[str] | None, *, judged: bool) -> tuple[str, ...]:
    """Return the parts to decide; by default all, but gates only if what they lose is `judged`.

    Without an objective or a limit for it, every design would drop as many choices as it can.
    """
    if decide is None:
        return tuple(name for name in PARTS if judged or name != "gates")
    listed = check_names(OWNER, "decide", decide, PARTS)
    advice = "add 'quality_loss' to `objectives`, or give `max_quality_loss`"
    check_judged(OWNER, listed, judged, advice)
    return listed


def decidable(windows: Sequence[RoutingTrace], decided: tuple[str, ...]) -> tuple[str, ...]:
    """Return the parts to decide; a ValueError names those that traces of loads cannot decide."""
    loads = next((window for window in windows if window.is_load_only), None)
    wrong = [name for name in decided if name in ("gates", "buffers")]
    if loads is not None and wrong:
        rest = tuple(name for name in decided if name not in wrong)
        expected = (
            f"without {' and '.join(wrong)}, such as {rest}, as {loads.source} holds loads only: "
            "record the choices of each token (RoutingTrace.record; SGLang: mode per_token) to "
            "decide them"
        )
        raise setting_error(OWNER, "decide", expected, decided)
    return decided


def named_objectives(names: Sequence[str]) -> tuple[str, ...]:
    """Return checked names, with "tokens_per_s" replaced by its minimized form."""
    minimized = [name for name, objective in OBJECTIVES.items() if not objective.maximize]
    known = ["tokens_per_s", SECONDS_PER_TOKEN, *minimized]
    listed = check_names(OWNER, "objectives", names, known)
    renamed = [SECONDS_PER_TOKEN if name == "tokens_per_s" else name for name in listed]
    return check_names(OWNER, "objectives", renamed, known)


def shape_of(windows: Sequence[RoutingTrace], shape: LayerShape | None) -> LayerShape:
    """Return the sizes of a layer; those of the packaged example are known."""
    if shape is not None:
        return shape
    example = example_shape()
    of_example = all(window.source.startswith("example model") for window in windows)
    if of_example and windows[0].n_experts == example.n_experts:
        return example
    expected = "a LayerShape with the sizes of the model's MoE layer, which a trace does not hold"
    raise setting_error(OWNER, "shape", expected, shape)


def checked_batch_sizes(
    model: DeploymentModel, batch_sizes: Sequence[int] | None
) -> tuple[int, ...]:
    """Return checked batch sizes; by default powers of two that leave enough steps to evaluate.

    Steps of any size can be drawn, if no trace has them. By default they are drawn from loads only.
    """
    most = model.max_batch_size
    if batch_sizes is None:
        if model.traces[0].is_load_only:
            most = min(most, _MOST_DRAWN)
        powers = [2**i for i in range(int(np.log2(most)) + 1)]
        return tuple(b for b in powers if b == 1 or model.n_steps(b) >= _LEAST_STEPS)
    return ascending_ints(OWNER, "batch_sizes", batch_sizes, 1)


def checked_limits(
    memory_budget: float, slo_s: float | None, max_quality_loss: float | None
) -> dict[str, float]:
    """Return the finite limits by objective."""
    limits = {}
    for parameter, name, value in (
        ("memory_budget", "memory_bytes", memory_budget),
        ("slo_s", "step_p99_s", slo_s),
        ("max_quality_loss", "quality_loss", max_quality_loss),
    ):
        if value is None or value == float("inf"):
            continue
        # A deployment can lose no quality at all, but it cannot take no time or no memory.
        above = name != "quality_loss"
        limits[name] = check_real(OWNER, parameter, value, 0, above=above)
    return limits
