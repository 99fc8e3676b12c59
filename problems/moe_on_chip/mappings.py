"""Mappings of experts to PEs that an engineer would try first, and mappings by local search.

A mapping is an int array [n_layers, n_experts] with the PE of each expert.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from problems._arrays import Floats, Ints
from problems._checks import setting_error
from problems.moe_on_chip.demand import Recorded
from problems.moe_on_chip.kernels import spread

__all__ = ["ExpertStatistics", "Filling", "check_mapping", "correlations"]

_SLACK = 1.05
"""Share of the mean load of a PE up to which the greedy mapping fills it."""

_ROUNDS = 30


def check_mapping(
    owner: str,
    placement: object,
    shape: tuple[int, int],
    pes: Ints,
    capacity: int | None = None,
    layer_capacity: int | None = None,
) -> Ints:
    """Return a mapping as an int64 array, or raise a ValueError that names the first fault.

    Parameters
    ----------
    owner : str
    placement : int array-like [n_layers, n_experts]
        PE of each expert.
    shape : tuple of 2 int
        Layers and experts of the trace.
    pes : int array
        PEs that hold experts.
    capacity, layer_capacity : int, optional
        Experts that a PE can hold, of all layers and of one.
    """
    name = "placement"
    try:
        array = np.asarray(placement)
        whole = array.astype(np.int64)
        exact = bool((whole == array).all())
    except (TypeError, ValueError, OverflowError):
        raise setting_error(owner, name, "an array of PE ids", placement) from None
    if whole.shape != shape or not exact:
        expected = f"whole numbers of shape {shape}, a PE for each expert of each layer"
        raise setting_error(owner, name, expected, array.shape if exact else placement)
    wrong = np.argwhere(~np.isin(whole, pes))
    if len(wrong):
        layer, expert = wrong[0].tolist()
        expected = (
            f"PEs that hold experts ({pes.min()} to {pes.max()}); see expert {expert} of layer "
            f"{layer}"
        )
        raise setting_error(owner, name, expected, int(whole[layer, expert]))
    held = np.bincount(whole.ravel())
    if capacity is not None and held.max() > capacity:
        pe = int(held.argmax())
        expected = f"such that a PE holds at most {capacity} experts; see PE {pe}"
        raise setting_error(owner, name, expected, int(held[pe]))
    if layer_capacity is not None:
        for layer, row in enumerate(whole):
            held = np.bincount(row)
            if held.max() > layer_capacity:
                expected = (
                    f"such that a PE holds at most {layer_capacity} experts of a layer; see PE "
                    f"{held.argmax()} in layer {layer}"
                )
                raise setting_error(owner, name, expected, int(held.max()))
    return whole


def correlations(loads: Floats) -> Floats:
    """Return the correlations of the experts' tokens over the steps, [n_experts, n_experts].

    The loads are [n_steps, n_experts]. Experts without variation have correlation 0.
    """
    centered = loads - loads.mean(axis=0)
    deviation = np.sqrt((centered**2).mean(axis=0))
    safe = np.where(deviation > 0, deviation, 1.0)
    scaled = centered / safe
    out: Floats = scaled.T @ scaled / len(loads)
    np.fill_diagonal(out, 0.0)
    return out


class Filling:
    """Experts that are put on PEs one by one, within the capacities.

    Attributes
    ----------
    number : int array [n_layers, n_experts]
        Number of the PE of each expert among those that hold experts; -1 if not placed yet.
    load : float array [n_pes]
        Mean tokens of the experts of each PE.
    """

    def __init__(self, statistics: ExpertStatistics) -> None:
        self._statistics = statistics
        self._mean = statistics.mean
        n_pes = len(statistics.pes)
        self.number = np.full(self._mean.shape, -1)
        self.load = np.zeros(n_pes)
        self._held = np.zeros(n_pes, dtype=np.int64)
        self._in_layer = np.zeros((len(self._mean), n_pes), dtype=np.int64)

    def put(self, layer: int, expert: int, cost: Floats) -> None:
        """Put an expert on the PE with the least cost [n_pes] that can hold it.

        If none can, another expert makes room.
        """
        statistics = self._statistics
        has_room = self._held < statistics.capacity
        fits = self._in_layer[layer] < statistics.layer_capacity
        if not (has_room & fits).any():
            cost = np.where(fits, cost, np.inf)
            for q in np.argsort(cost)[: int(fits.sum())].tolist():
                if self._make_room(q, np.flatnonzero(has_room)):
                    has_room = np.arange(len(cost)) == q
                    break
        chosen = int(np.where(has_room & fits, cost, np.inf).argmin())
        self._change(layer, expert, chosen, 1)

    def _change(self, layer: int, expert: int, q: int, by: int) -> None:
        self.number[layer, expert] = q if by > 0 else -1
        self.load[q] += by * self._mean[layer, expert]
        self._held[q] += by
        self._in_layer[layer, q] += by

    def _make_room(self, q: int, others: Ints) -> bool:
        """Move an expert from a PE to one of others that have room; return whether one fits."""
        for layer, expert in np.argwhere(self.number == q).tolist():
            fits = self._in_layer[layer, others] < self._statistics.layer_capacity
            if fits.any():
                self._change(layer, expert, q, -1)
                self._change(layer, expert, int(others[fits.argmax()]), 1)
                return True
        return False


@dataclass(frozen=True, eq=False)
class ExpertStatistics:
    """Statistics of recorded routing from which mappings are made.

    Attributes
    ----------
    loads : float array [n_steps, n_layers, n_experts]
        Tokens of each expert in each step.
    together : float array [n_layers, n_experts, n_experts]
        Mean number of tokens of a step that choose both experts; 0 on the diagonal.
    pes : int array [n_pes]
        PEs that hold experts.
    capacity, layer_capacity : int
        Experts that a PE can hold, of all layers and of one.
    """

    loads: Floats
    together: Floats
    pes: Ints
    capacity: int
    layer_capacity: int

    @classmethod
    def of(
        cls, recorded: Sequence[Recorded], n_experts: int, pes: Ints, capacities: tuple[int, int]
    ) -> ExpertStatistics:
        """Return the statistics of recorded steps; all windows count alike in ``together``."""
        n_layers = len(recorded[0].ids)
        loads, together = [], np.zeros((n_layers, n_experts, n_experts))
        for one in recorded:
            window = np.zeros((one.n_steps, n_layers, n_experts))
            for layer, ids in enumerate(one.ids):
                np.add.at(window[:, layer], (one.step[:, None], ids), 1.0)
                chosen = np.zeros((len(ids), n_experts), dtype=np.float32)
                np.put_along_axis(chosen, ids, np.float32(1.0), axis=1)
                together[layer] += (chosen.T @ chosen) / one.n_steps / len(recorded)
            loads.append(window)
        index = np.arange(n_experts)
        together[:, index, index] = 0.0
        return cls(np.concatenate(loads), together, pes, *capacities)

    @property
    def mean(self) -> Floats:
        """Mean tokens of each expert in a step, [n_layers, n_experts]."""
        return self.loads.mean(axis=0)

    def in_order(self) -> Ints:
        """Return experts in the order of their ids, dealt to the PEs in turn."""
        n_layers, n_experts = self.loads.shape[1:]
        order = np.arange(n_layers * n_experts).reshape(n_layers, n_experts)
        return self.pes[order % len(self.pes)]

    def greedy(self, distance: Floats) -> Ints:
        """Return the busiest experts near their sources.

        The experts of all layers are placed in the order of their tokens, each on the PE with the
        least distance that has room and whose experts do not have their share of the tokens yet.

        Parameters
        ----------
        distance : float array [n_pes]
            Mean cycles between the tokens and each PE that holds experts.
        """
        mean, filling = self.mean, Filling(self)
        most = _SLACK * mean.sum() / len(self.pes)
        span = 1.0 + float(distance.max()) + most
        for index in self._busiest_first():
            layer, expert = divmod(index, mean.shape[1])
            after = filling.load + mean[layer, expert]
            # PEs that had their share come last, the least loaded first.
            cost = np.where(after <= most, distance, span + after)
            filling.put(layer, expert, cost)
        return self.pes[filling.number]

    def anti_correlation(self, weight: float = 0.5) -> Ints:
        """Return experts of which those that are chosen together go to different PEs.

        The rule of arXiv 2303.06182, section 6, with a PE's load over all layers: an expert goes to
        the PE with the least sum of tokens there and ``weight`` times the correlations with the
        experts of its layer there.
        """
        mean, filling = self.mean, Filling(self)
        related = np.stack([correlations(layer) for layer in self.loads.transpose(1, 0, 2)])
        n_pes = len(self.pes)
        for index in self._busiest_first():
            layer, expert = divmod(index, mean.shape[1])
            row = filling.number[layer]
            placed = row >= 0
            met = np.bincount(row[placed], related[layer, expert, placed], minlength=n_pes)
            filling.put(layer, expert, filling.load + weight * met)
        return self.pes[filling.number]

    def _busiest_first(self) -> list[int]:
        return np.argsort(-self.mean, axis=None, kind="stable").tolist()

    def fitted(
        self,
        mapping: Ints,
        layer: int,
        distance: Floats,
        weights: tuple[float, float],
        random_state: np.random.Generator,
    ) -> Ints:
        """Return the PEs of a layer's experts after a local search for a weighted cost.

        The cost is the mean square load of the PEs, in units of the squared mean load, plus
        ``weights[0]`` times distance by tokens, less ``weights[1]`` times the visits that experts
        save that share PEs and tokens.

        Parameters
        ----------
        mapping : int array [n_layers, n_experts]
            The other layers stay as they are.
        layer : int
        distance : float array [n_pes]
            As in ``greedy``.
        weights : tuple of 2 float
        random_state : numpy Generator
        """
        number = np.searchsorted(self.pes, mapping)
        mean, n_pes = self.mean, len(self.pes)
        load = np.bincount(number.ravel(), mean.ravel(), minlength=n_pes)
        load -= np.bincount(number[layer], mean[layer], minlength=n_pes)
        held = np.bincount(number[layer], minlength=n_pes)
        room = self.capacity - np.bincount(number.ravel(), minlength=n_pes)
        room = np.minimum(room, self.layer_capacity - held)
        per_pe = mean.sum() / n_pes
        tokens = mean[layer] / per_pe
        scale = max(float(distance.mean()), 1e-9)
        pairs = np.outer(tokens, tokens) - weights[1] * self.together[layer] / per_pe
        alone = np.outer(tokens, 2.0 * load / per_pe + weights[0] * distance / scale)
        target = number[layer].copy()
        order = random_state.permutation(mean.shape[1])
        spread(pairs, alone, target, room.astype(np.int64), order, _ROUNDS)
        return self.pes[target]
