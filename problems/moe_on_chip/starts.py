"""Designs that a search begins with: named mappings, fits for several weights, and samples."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from problems._arrays import Floats, Ints
from problems.moe.base import evenly
from problems.moe_on_chip.mappings import ExpertStatistics
from problems.moe_on_chip.moves import Moves

_NEAR = (0.1, 1.0, 5.0, 20.0)
_SHARED = (0.0, 0.3, 3.0)


def named_mappings(statistics: ExpertStatistics, distance: Floats) -> dict[str, Ints]:
    """Return mappings [n_layers, n_experts] that an engineer would try first, by name.

    `distance` [n_pes] is that of the PEs that hold experts from the tokens.
    """
    return {
        "in order of ids": statistics.in_order(),
        "greedy": statistics.greedy(distance),
        "anti-correlation": statistics.anti_correlation(),
    }


def fitted_rows(moves: Moves, named: Mapping[str, Ints], experts: Ints, network: Ints) -> Ints:
    """Return a mapping, the named ones, and fits of the greedy one, with a network each."""
    rng = np.random.default_rng(0)
    mappings = [experts, *named.values()]
    for near in _NEAR:
        for shared in _SHARED:
            mappings.append(moves.refitted(named["greedy"], network, (near, shared), rng))
    return np.array([np.concatenate((m.ravel(), network)) for m in mappings])


def drawn_rows(
    starts: Ints, n_samples: int, random_state: np.random.Generator
) -> tuple[Ints, Ints]:
    """Return starts that are samples as they are, a third, and others that are to be changed."""
    plain = evenly(starts, max(1, n_samples // 3))
    return plain, starts[random_state.integers(0, len(starts), n_samples - len(plain))]
