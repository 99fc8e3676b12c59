"""Proof that the routes of a design are free of deadlock."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from problems._arrays import Floats, Ints
from problems.noc.chip.traffic import check_traffic
from problems.noc.evaluation.deadlock import MOST_LAYERS, channel_order, layers_of
from problems.noc.evaluation.routes import cycles_along, hop_matrix, paths_of

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from problems.noc.design.design import Design

__all__ = ["DeadlockProof", "prove_deadlock_free"]


@dataclass(frozen=True)
class DeadlockProof:
    """Virtual layers of the routes of a design, with an order of channels that proves each.

    Attributes
    ----------
    routing : str
        Name of the routes.
    n_layers : int
        Virtual layers, each with virtual channels of its own; routes without any cycle of
        dependencies need one.
    layer : int array [n_tiles, n_tiles]
        Layer of the path from tile to tile.
    channels : int array [n_channels, 2]
        Tiles that each channel leads from and to.
    order : int array [n_layers, n_channels]
        Position of each channel, -1 everywhere if a layer has a cycle. Every path of the layer
        takes channels in ascending positions, so no packets can wait for each other in a circle.
    free : bool
        Whether every path is in a layer and every layer has such an order.
    hop_cycles : float
        Mean cycles of all hops of a packet, over the traffic or over all pairs.

    Examples
    --------
    >>> from problems.noc import Design
    >>> proof = Design.mesh().deadlock_proof("dimension_order")
    >>> proof.free, proof.n_layers
    (True, 1)
    """

    routing: str
    n_layers: int
    layer: Ints
    channels: Ints
    order: Ints
    free: bool
    hop_cycles: float

    def __str__(self) -> str:
        """Return the result as a sentence."""
        if not self.free:
            return f"Routes {self.routing!r} do not fit into {MOST_LAYERS} virtual layers."
        layers = "one virtual layer:"
        if self.n_layers > 1:
            layers = f"{self.n_layers} virtual layers: in each,"
        return (
            f"Routes {self.routing!r} are free of deadlock in {layers} all paths take channels in "
            "one ascending order."
        )


def prove_deadlock_free(
    design: Design, routing: str = "model", *, traffic: ArrayLike | None = None
) -> DeadlockProof:
    """Put the routes of a design into virtual layers, and prove each free of deadlock.

    Layers are those of layered shortest paths (LASH); see ``problems.noc.evaluation.deadlock``.

    Parameters
    ----------
    design : Design
    routing : str
        One of ``problems.noc.evaluation.routes.ROUTINGS``; by default the platform's.
    traffic : float array-like [n_tiles, n_tiles], optional
        From PE to PE: weights of the mean ``hop_cycles``, balanced among the layers.

    Returns
    -------
    DeadlockProof

    Raises
    ------
    ValueError
        The routing is unknown, or dimension order lacks a link.
    """
    n = design.platform.n_tiles
    paths = paths_of(design, routing, "deadlock_proof")
    cost = hop_matrix(n, design.all_links(), design.hop_cycles())
    by_tile = None
    if traffic is not None:
        by_tile = check_traffic(traffic, n)[np.ix_(design.placement, design.placement)]
        np.fill_diagonal(by_tile, 0.0)
    n_layers, layer = layers_of(paths, cost, weight=by_tile)
    channels = np.argwhere(cost > 0)
    order = np.full((n_layers, len(channels)), -1, dtype=np.int64)
    # The order is found independently of how the layers were made.
    free = bool((layer >= 0).all())
    for k in range(n_layers):
        found = channel_order(paths, cost, layer, k)
        free = free and found is not None
        if found is not None:
            order[k] = found
    weights: Floats = np.ones((n, n)) - np.eye(n) if by_tile is None else by_tile
    cycles = float((weights * cycles_along(cost, paths)).sum() / weights.sum())
    if routing == "model" and design.platform.routing != "shortest":
        routing = design.platform.routing
    return DeadlockProof(routing, n_layers, layer, channels, order, free, cycles)
