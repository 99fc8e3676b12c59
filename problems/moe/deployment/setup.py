"""What a joint deployment is set up from: names, batch sizes, and the placements to start with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from moe_costmodel import OBJECTIVES, DeploymentModel, LayerShape, Placement, RoutingTrace
from moe_costmodel._checks import complain
from problems._arrays import Floats, Ints
from problems.moe.base import checked_names
from problems.moe.placement.checks import current_or_default, slots_of_layer
from problems.moe.placement.pair_search import pairs_of_tokens, second_moments
from problems.moe.placement.starts import StartMaker

__all__ = [
    "SECONDS_PER_TOKEN",
    "Placed",
    "batch_sizes",
    "named_objectives",
    "placements",
    "shape_of",
]

SECONDS_PER_TOKEN = "seconds_per_token"
"""What "tokens_per_s" becomes, since all objectives are minimized: one over it."""

_LEAST_STEPS = 16


@dataclass(frozen=True, eq=False)
class Placed:
    """Placements, and what they were made from.

    Attributes
    ----------
    rows : dict of str to int array [n_layers * n_slots]
        By name; "spread" is the one that evens out the devices most.
    today : int array [n_layers * n_slots]
        What a deployment has that does not decide the placement.
    current : bool array [n_layers, n_experts, n_devices]
        Where experts are now.
    mean : float array [n_layers, n_experts]
        Mean shares of a step.
    moments, together : float array [n_layers, n_experts, n_experts]
        See ``problems.moe.placement.pair_search``.
    """

    rows: dict[str, Ints]
    today: Ints
    current: NDArray[np.bool_]
    mean: Floats
    moments: Floats
    together: Floats

    @property
    def n_slots(self) -> int:
        """Slots of a layer."""
        return len(self.today) // len(self.mean)


def placements(
    model: DeploymentModel,
    windows: Sequence[RoutingTrace],
    *,
    batch: int,
    replicas: int,
    current: Placement | None,
    decided: bool,
) -> Placed:
    """Make the placements that a search starts from, no expert twice on a device.

    Parameters
    ----------
    model : DeploymentModel
    windows : sequence of RoutingTrace
    batch : int
        Batch size whose steps are evened out.
    replicas : int
    current : Placement or None
    decided : bool
        Whether the placement is decided; else today's is the only one.

    Raises
    ------
    ValueError
        If the slots do not divide, or today's placement does not fit.
    """
    owner, first = "MoEDeployment", windows[0]
    n_layers, n_experts, n_devices = first.n_layers, first.n_experts, model.n_devices
    n_slots = slots_of_layer(n_experts, replicas, n_devices, owner)
    loads = np.concatenate([w.loads(batch, model.mode) for w in windows])  # type: ignore[arg-type]
    moments = np.mean([second_moments(w, batch, model.mode) for w in windows], axis=0)
    together = pairs_of_tokens(windows) if model.n_nodes > 1 else np.zeros_like(moments)
    maker = StartMaker(
        loads=loads.astype(np.float64), moments=moments, together=together,
        n_devices=n_devices, n_nodes=model.n_nodes, n_replicas=int(replicas),
    )  # fmt: skip
    named = maker.named()
    best = [name for name in named if name.startswith("spread")][-1]
    if replicas:
        # Some fill devices up with second copies, which would waste memory here.
        kept = [name for name in named if name.startswith(("replicate", "tokens", best))]
        named = {name: maker.apart(named[name]) for name in kept}
    packed = named["replicate-and-pack"]
    found = current_or_default(current, (n_layers, n_experts, n_devices), packed, owner)
    if found.n_slots > n_slots:
        raise complain("current", owner, f"of at most {n_slots} slots a layer", found.n_slots)
    today = found.physical_to_logical if found.n_slots == n_slots else packed
    rows = {"current": today, **named, "spread": named[best]}
    if not decided:
        rows = {"current": today, "spread": today}
    return Placed(
        {name: slots.reshape(-1) for name, slots in rows.items()},
        today.reshape(-1), found.on_device() > 0, maker.mean, moments, together,
    )  # fmt: skip


def named_objectives(names: Sequence[str]) -> tuple[str, ...]:
    """Return checked names; "tokens_per_s" becomes what is minimized."""
    renamed = [SECONDS_PER_TOKEN if name == "tokens_per_s" else name for name in names]
    known = [SECONDS_PER_TOKEN, *(name for name, o in OBJECTIVES.items() if not o.maximize)]
    return checked_names(renamed, known, "MoEDeployment")


def shape_of(windows: Sequence[RoutingTrace], shape: LayerShape | None) -> LayerShape:
    """Return the sizes of a layer; those of the packaged example are known."""
    if shape is not None:
        return shape
    from moe_costmodel.example.measured import example_shape

    example = example_shape()
    of_example = all(window.source.startswith("example model") for window in windows)
    if of_example and windows[0].n_experts == example.n_experts:
        return example
    raise complain(
        "shape", "MoEDeployment",
        "a LayerShape with the sizes of the model's MoE layer, which a trace does not hold", shape,
    )  # fmt: skip


def batch_sizes(model: DeploymentModel, batches: Sequence[int] | None) -> tuple[int, ...]:
    """Return checked batch sizes; by default powers of two that make enough steps to judge by."""
    most = model.max_batch_size
    if batches is None:
        powers = [2**i for i in range(int(np.log2(most)) + 1)]
        return tuple(b for b in powers if b == 1 or model.n_steps(b) >= _LEAST_STEPS)
    listed = tuple(batches)
    whole = all(isinstance(b, int | np.integer) and not isinstance(b, bool) for b in listed)
    if not listed or not whole or min(listed) < 1 or list(listed) != sorted(set(listed)):
        raise complain("batches", "MoEDeployment", "ascending positive integers", list(listed))
    if max(listed) > most:
        raise complain(
            "batches", "MoEDeployment",
            f"at most {most}, of which every window has a full step", max(listed),
        )  # fmt: skip
    return tuple(int(b) for b in listed)
