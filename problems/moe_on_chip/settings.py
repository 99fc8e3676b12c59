"""Checks of the settings of a joint problem: limits of objectives, and room for the experts."""

from __future__ import annotations

from collections.abc import Mapping

from problems._checks import check_int, check_names, check_real, require
from problems.moe_on_chip.evaluation import UNITS
from problems.noc.chip.platform import Platform
from problems.noc.evaluation.limits import with_platform_limits

OWNER = "MoEOnChip"


def checked_constraints(
    constraints: Mapping[str, float] | None, platform: Platform
) -> dict[str, float]:
    """Return the largest values allowed by name, those of the platform included."""
    limits = {} if constraints is None else constraints
    expected = "a mapping from names to the largest value allowed"
    require(OWNER, "constraints", constraints, isinstance(limits, Mapping), expected)
    if limits:
        check_names(OWNER, "constraints", list(limits), UNITS)
    checked = {
        name: check_real(OWNER, f"constraints[{name!r}]", limit, 0.0, above=True)
        for name, limit in limits.items()
    }
    return with_platform_limits(checked, platform, OWNER)


def checked_capacities(
    size: tuple[int, int, int], capacity: int | None, layer_capacity: int | None
) -> tuple[int, int]:
    """Return how many experts a PE can hold, and how many of a layer; by default the fewest.

    `size` is the number of PEs that hold experts, of layers, and of the experts of a layer.
    """
    n_pes, n_layers, n_experts = size
    given = {
        "capacity": (capacity, n_layers * n_experts),
        "layer_capacity": (layer_capacity, n_experts),
    }
    found = []
    for name, (value, n_held) in given.items():
        fewest = -(-n_held // n_pes)
        value = check_int(OWNER, name, fewest if value is None else value, 1)
        expected = f"at least {fewest}, so that {n_pes} PEs hold {n_held} experts"
        require(OWNER, name, value, value >= fewest, expected)
        found.append(value)
    return found[0], found[1]
