"""Placements that a search starts from: classic ones, spread pairs, and paths from the current."""

from __future__ import annotations

import numpy as np

from moe_costmodel import Placement, anti_correlation, greedy, replicate_and_pack
from problems._arrays import Floats, Ints
from problems.moe.placement.pair_search import copies_of, shares_of, spread_pairs, swap_path

__all__ = ["StartMaker"]

_LONGEST = 64


class StartMaker:
    """Makes placements of all layers for one model, traffic and set of devices.

    Parameters
    ----------
    loads : array [n_steps, n_layers, n_experts]
        Tokens of each expert in each step.
    moments, together : float array [n_layers, n_experts, n_experts]
        Mean products of the experts' shares of a step, and how often two serve one token.
    n_devices, n_nodes, n_replicas : int
    """

    def __init__(
        self,
        *,
        loads: Floats,
        moments: Floats,
        together: Floats,
        n_devices: int,
        n_nodes: int,
        n_replicas: int,
    ) -> None:
        self.loads, self.moments, self.together = loads, moments, together
        self.n_devices, self.n_nodes, self.n_replicas = n_devices, n_nodes, n_replicas
        self.n_layers, self.n_experts = loads.shape[1:]
        self.mean: Floats = shares_of(loads).mean(axis=0)

    def named(self) -> dict[str, Ints]:
        """Return the placements that have a name, each [n_layers, n_slots].

        If the devices do not divide the experts, placements without replicas are left out.
        """
        placements = {"replicate-and-pack": self._packed()}
        if self.n_experts % self.n_devices == 0:
            plain = np.tile(np.arange(self.n_experts), (self.n_layers, 1))
            placements = {
                "contiguous": self.padded(plain),
                "greedy": self.padded(greedy(self.loads, self.n_devices).physical_to_logical),
                "anti-correlation": self.padded(
                    anti_correlation(self.loads, self.n_devices).physical_to_logical
                ),
                **placements,
            }
        rng = np.random.default_rng(0)
        for n_replicas in self._replica_counts():
            name = "spread pairs" + (f", {n_replicas} replicas" if self.n_replicas else "")
            placements[name] = self.padded(self.spread(self.moments, n_replicas, rng))
        if self.n_nodes > 1 and self.together.any():
            scale = np.abs(self.moments).sum() / max(float(np.abs(self.together).sum()), 1e-300)
            for weight in (0.02, 0.1, 0.5, 2.0):
                mixed = self.moments - weight * scale * self.together
                placements[f"tokens on one node, {weight:g}"] = self.padded(
                    self.by_node(mixed, rng)
                )
        return placements

    def _packed(self) -> Ints:
        n_nodes = self.n_nodes if self.n_replicas % self.n_nodes == 0 else 1
        packed = replicate_and_pack(
            self.loads, self.n_devices, n_replicas=self.n_replicas, n_nodes=n_nodes
        )
        return packed.physical_to_logical

    def _replica_counts(self) -> list[int]:
        legal = [
            n for n in range(self.n_replicas + 1) if (self.n_experts + n) % self.n_devices == 0
        ]
        picked = np.linspace(0, len(legal) - 1, min(len(legal), 4)).round().astype(int)
        return [legal[i] for i in picked]

    def padded(self, slots: Ints) -> Ints:
        """Return slots with the empty ones of a device filled with second copies of its experts.

        Second copies take no memory.
        """
        n_local = (self.n_experts + self.n_replicas) // self.n_devices
        by_device = slots.reshape(self.n_layers, self.n_devices, -1)
        short = n_local - by_device.shape[2]
        return np.concatenate(
            [by_device, np.repeat(by_device[:, :, :1], short, axis=2)], axis=2
        ).reshape(self.n_layers, -1)

    def apart(self, slots: Ints) -> Ints:
        """Return slots [n_layers, n_slots] in which no device has two copies of an expert.

        Serving engines cannot use such copies, and exports name them in a note.
        """
        out = slots.copy()
        n_local = out.shape[1] // self.n_devices
        for layer in range(self.n_layers):
            row = out[layer].reshape(self.n_devices, n_local)
            for device in range(self.n_devices):
                for i in range(n_local):
                    if (row[device, :i] == row[device, i]).any():
                        self._part(row, device, i, self.mean[layer])
        return out

    def _part(self, row: Ints, device: int, i: int, mean: Floats) -> None:
        """Swap a second copy with another device's expert; if none fits, copy another expert."""
        expert = row[device, i]
        for other in range(self.n_devices):
            if other != device and expert not in row[other]:
                for j, candidate in enumerate(row[other]):
                    if candidate not in row[device]:
                        row[device, i], row[other, j] = candidate, expert
                        return
        copies = np.bincount(row.ravel(), minlength=self.n_experts)
        worth = mean / copies
        worth[row[device]] = -1.0
        row[device, i] = int(worth.argmax())

    def spread(self, moments: Floats, n_replicas: int, rng: np.random.Generator) -> Ints:
        """Spread experts and replicas so that devices are alike; see ``pair_search``."""
        layers = enumerate(self._experts(n_replicas))
        return np.stack(
            [spread_pairs(moments[i], experts, self.n_devices, rng)[0] for i, experts in layers]
        )

    def _experts(self, n_replicas: int) -> list[Ints]:
        """Return the experts of each layer, each as often as it has copies."""
        experts = np.arange(self.n_experts)
        copies = [copies_of(mean, n_replicas, self.n_devices) for mean in self.mean]
        return [np.repeat(experts, n) for n in copies]

    def by_node(self, cost: Floats, rng: np.random.Generator) -> Ints:
        """Group experts by node at least cost of pairs, and spread each group over its devices."""
        each = self.n_devices // self.n_nodes
        out = []
        for layer, experts in enumerate(self._experts(self._replica_counts()[-1])):
            slots, _ = spread_pairs(cost[layer], experts, self.n_nodes, rng)
            groups = slots.reshape(self.n_nodes, -1)
            weight = 1.0 / np.bincount(experts)
            scaled = self.moments[layer] * np.outer(weight, weight)
            row = []
            for group in groups:
                # Each slot counts as an expert of its own, since the weights account for copies.
                local, _ = spread_pairs(
                    scaled[np.ix_(group, group)], np.arange(len(group)), each, rng, restarts=5
                )
                row.append(group[local])
            out.append(np.concatenate(row))
        return np.stack(out)

    def path_from(self, current: Placement) -> Ints:
        """Return placements ever further from the current one, [n, n_layers, n_slots].

        The swaps that even out the devices most come first, over all layers.
        """
        base = current.physical_to_logical
        n_slots = base.shape[1]
        device = np.arange(n_slots) // (n_slots // self.n_devices)
        steps: list[tuple[float, int, int, int, int]] = []
        for layer in range(self.n_layers):
            experts = base[layer]
            weight = 1.0 / np.bincount(experts, minlength=self.n_experts)[experts]
            cost = self.moments[layer][np.ix_(experts, experts)] * np.outer(weight, weight)
            pairs, gains = swap_path(cost, device.copy(), self.n_devices, _LONGEST)
            # A swap cannot precede the swaps that it builds on, so it ranks no higher than they.
            for i, gain in enumerate(np.minimum.accumulate(gains)):
                steps.append((-float(gain), i, layer, int(pairs[i, 0]), int(pairs[i, 1])))
        steps.sort(key=lambda step: (step[0], step[2], step[1]))
        devices = np.tile(device, (self.n_layers, 1))
        cuts = set(np.unique(np.geomspace(1, max(len(steps), 1), 24).round().astype(int)))
        out = []
        for done, (_, _, layer, a, b) in enumerate(steps, start=1):
            devices[layer, [a, b]] = devices[layer, [b, a]]
            if done in cuts:
                order = np.argsort(devices, axis=1, kind="stable")
                out.append(np.take_along_axis(base, order, axis=1))
        return np.array(out, dtype=np.int64).reshape(-1, self.n_layers, n_slots)
