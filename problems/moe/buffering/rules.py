"""Rules of ExpertBuffering: those to choose from by default, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from moe_costmodel import (
    Admission,
    ExpertStream,
    MissCost,
    OffloadRule,
    RoutingTrace,
    offload_curves,
)
from problems._arrays import Floats
from problems._checks import setting_error

__all__ = [
    "DEFAULT_RULES",
    "STATIC",
    "OffloadRule",
    "charged_misses",
    "checked_rules",
    "uses_of_start",
]


STATIC = OffloadRule(admission=Admission(per_step=0))
DEFAULT_RULES = (
    STATIC,
    OffloadRule("lru", in_place=False),
    OffloadRule("lru"),
    OffloadRule(admission=Admission(after=4)),
    OffloadRule(admission=Admission(margin=6.0)),
    OffloadRule("decay", Admission(margin=6.0)),
)


def charged_misses(
    streams: Sequence[Sequence[ExpertStream]],
    rules: Sequence[OffloadRule],
    n_capacities: int,
    cost: MissCost,
    unit: float,
    start: Floats | None,
) -> NDArray[np.float32]:
    """Return the cost of each step in units, [n_rules, n_layers, n_devices, n_capacities, n_steps].

    Parameters
    ----------
    streams : list of list of ExpertStream
        ``streams[layer][device]``.
    start : float array [n_layers, n_experts of a device], or None
        Uses of the experts that are resident at first, if there is a single device.
    """
    n_layers, n_devices = len(streams), len(streams[0])
    n_steps = len(streams[0][0].bounds) - 1
    out = np.zeros((len(rules), n_layers, n_devices, n_capacities, n_steps), dtype=np.float32)
    capacities = np.arange(1, n_capacities + 1)
    hidden = cost.hidden / n_layers
    together: dict[tuple[str, float, float], list[int]] = {}
    for i, rule in enumerate(rules):
        together.setdefault((rule.policy, rule.half_life, rule.start_weight), []).append(i)
    for layer, row in enumerate(streams):
        for device, stream in enumerate(row):
            if not stream.n_experts:
                continue
            for (policy, half_life, weight), numbers in together.items():
                curves = offload_curves(
                    [stream], capacities, policies=[policy],
                    admissions=[rules[i].admission for i in numbers],
                    start=None if start is None else start[layer : layer + 1],
                    start_weight=weight, half_life=half_life, per_step=True,
                )[policy]  # fmt: skip
                assert curves.step_misses is not None
                assert curves.step_uploads is not None
                for place, i in enumerate(numbers):
                    seconds = rules[i].seconds(
                        curves.step_misses[:, 0, :, place], curves.step_uploads[:, 0, :, place],
                        cost, hidden,
                    )  # fmt: skip
                    out[i, layer, device] = (seconds / unit).T
    return out


def checked_rules(
    cost: MissCost | None,
    rules: Sequence[OffloadRule] | None,
    start: RoutingTrace | None,
    unused: Mapping[str, object],
    *,
    owner: str = "ExpertBuffering",
    name: str = "rules",
) -> tuple[OffloadRule, ...]:
    """Return the rules of a problem with a cost, none of one without; check what excludes it.

    Parameters
    ----------
    cost, rules, start
        Parameters of the problem.
    unused : mapping of str to object
        Parameters that must be None if there is a cost.
    owner, name : str
        The problem, and its parameter of the rules.
    """
    if cost is None:
        for parameter, value in ((name, rules), ("start", start)):
            if value is not None:
                raise setting_error(owner, parameter, "None if there is no cost", value)
        return ()
    for parameter, given in unused.items():
        if given is not None:
            expected = f"None if there is a cost (use {name})"
            raise setting_error(owner, parameter, expected, given)
    # A static list without first contents would stay empty.
    listed = DEFAULT_RULES[start is None :] if rules is None else tuple(rules)
    good = all(isinstance(rule, OffloadRule) for rule in listed)
    if not listed or not good or len(set(listed)) < len(listed):
        raise setting_error(owner, name, "different OffloadRules, at least one", rules)
    return listed


def uses_of_start(
    start: RoutingTrace, size: tuple[int, int], batch_size: int, mode: str, owner: str
) -> Floats:
    """Return the share of steps in which each expert is needed, [n_layers, n_experts].

    A trace of another `size`, (n_layers, n_experts), is a ValueError.
    """
    if not isinstance(start, RoutingTrace) or (start.n_layers, start.n_experts) != size:
        expected = f"a trace of {size[0]} layers of {size[1]} experts"
        raise setting_error(owner, "start", expected, start)
    loads = start.step_loads(batch_size, mode)  # type: ignore[arg-type]
    uses: Floats = (loads > 0).mean(axis=0)
    return uses
