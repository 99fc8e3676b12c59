"""Times of exchanges between GPUs: sums, gathers, dispatch and combine."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np

from moe_costmodel._arrays import Floats
from moe_costmodel.silicon.slices import Bound, Slice, cut
from moe_costmodel.silicon.tables import OperatorTime, Tables

__all__ = ["Exchanges"]

_MOST = {"all_reduce": 2.0, "all_gather": 1.0, "reduce_scatter": 1.0, "alltoall": 1.0}


class Exchanges:
    """Collective operations of one GPU and engine. Sizes are those of the whole message."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._custom = cache(self._build_custom)
        self._nccl = cache(self._build_nccl)

    def all_reduce(self, values: float, n_gpus: int) -> OperatorTime:
        """Return the time of summing `values` numbers of two bytes over GPUs."""
        if n_gpus <= 1 or values <= 0:
            return OperatorTime("all_reduce", 0.0, "none", "none")
        times = [self.nccl("all_reduce", values, n_gpus)]
        custom = self._custom()
        if custom is not None:
            within = min(n_gpus, self._tables.gpu.n_per_node)
            times.append(custom.time("all_reduce", num_gpus=n_gpus, message_size=values))
            if n_gpus > within:
                times = times[:1]
        return min(times, key=lambda time: time.seconds)

    def nccl(self, name: str, values: float, n_gpus: int) -> OperatorTime:
        """Return the time of a collective operation of NCCL on `values` numbers of two bytes."""
        if n_gpus <= 1 or values <= 0:
            return OperatorTime(name, 0.0, "none", "none")
        found = self._nccl(name)
        if found is None:
            point = {"num_gpus": np.float64(n_gpus), "message_size": np.float64(values)}
            seconds = float(self._bound(name)(point))
            return OperatorTime(name, seconds, "bound", "none", float("inf"))
        return found.time(name, num_gpus=n_gpus, message_size=values)

    def _bound(self, name: str) -> Bound:
        gpu = self._tables.gpu

        def bound(point: Mapping[str, Floats]) -> Floats:
            n, data = point["num_gpus"], 2.0 * point["message_size"]
            share = _MOST[name] * data * (n - 1) / n
            # Beyond a node, the slower link carries what leaves it.
            nodes = np.ceil(n / gpu.n_per_node)
            outside = share * (nodes - 1) / nodes / gpu.n_per_node
            inner = share / gpu.node_bandwidth
            return 4e-6 * nodes + np.maximum(inner, outside / gpu.network_bandwidth)

        return bound

    def _build_custom(self) -> Slice | None:
        tables = self._tables.read(
            "comm", "custom_allreduce", ("num_gpus", "message_size", "latency"),
            ("allreduce_dtype", "kernel_source"),
        )  # fmt: skip
        axes = ("num_gpus", "message_size")
        return cut(tables, [{"allreduce_dtype": "bfloat16"}], axes, self._bound("all_reduce"))

    def _build_nccl(self, name: str) -> Slice | None:
        tables = self._tables.read(
            "comm", "nccl", ("num_gpus", "message_size", "latency"),
            ("nccl_dtype", "op_name", "kernel_source"),
        )  # fmt: skip
        wanted = [{"nccl_dtype": "half", "op_name": name}]
        return cut(tables, wanted, ("num_gpus", "message_size"), self._bound(name))
