"""Times of dense products."""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np

from moe_costmodel.shapes import DTYPE_BYTES
from moe_costmodel.silicon.tables.grid import Grid
from moe_costmodel.silicon.tables.reader import BACKENDS, OperatorTime, Tables
from moe_costmodel.silicon.tables.slices import fastest

__all__ = ["Products"]

# Types whose table is missing on older GPUs or engines, and the ones that stand in.
_STAND_INS = {
    "nvfp4": ("nvfp4", "fp8", "bfloat16"),
    "fp8_block": ("fp8_block", "fp8", "bfloat16"),
    "fp8": ("fp8", "fp8_block", "bfloat16"),
    "int8_wo": ("int8_wo", "fp8", "bfloat16"),
}

# Some tables were measured without CUDA graphs, so that small products take as long as the host
# needs to start them. A product that another engine runs in less than this fraction counts as such.
_HOST_BOUND = 2.0

# Weights alone are narrow, and are widened for the product. Next to no table has such kernels: they
# take as long as those of bfloat16, less the time that the weights' bytes save.
_WIDENED = (
    "int4_wo", "int4_wo_g32", "int4_wo_g64", "int4_wo_g128", "w4a16_mxfp4", "w4a16_nvfp4",
)  # fmt: skip

_MOST_KEPT = 2**16  # products whose times are kept; a search asks for the same ones again


class Products:
    """Dense products of one GPU and engine, interpolated over rows and both widths."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._grid = cache(self._build)
        self._fastest = lru_cache(maxsize=_MOST_KEPT)(self._find)

    def time(
        self, m: float, n: float, k: float, dtype: str, operator: str = "gemm"
    ) -> OperatorTime:
        """Return the time of a product (m, k) x (k, n)."""
        return self._fastest(m, n, k, dtype, operator)

    def _find(self, m: float, n: float, k: float, dtype: str, operator: str) -> OperatorTime:
        own = self._time(m, n, k, dtype, operator, self._tables.backend)
        others = [b for b in BACKENDS if b != self._tables.backend]
        for backend in others:
            other = self._time(m, n, k, dtype, operator, backend)
            if own is None or (other is not None and other.seconds * _HOST_BOUND < own.seconds):
                own = other
        if own is None:
            bound = self._tables.gpu.product_bound(m, n, k, dtype)
            return OperatorTime(operator, bound, "bound", "none", float("inf"))
        return own

    def _time(
        self, m: float, n: float, k: float, dtype: str, operator: str, backend: str
    ) -> OperatorTime | None:
        found = self._grid(dtype, backend)
        if found is None:
            return None
        grid, used, kernel, source = found
        point = grid.at((max(n, 1.0), max(k, 1.0), max(m, 1.0)))
        gpu = self._tables.gpu
        # A benchmark repeats a product, so small weights stay in the cache; a model's do not.
        least = gpu.read_seconds(n * k * DTYPE_BYTES.get(dtype, 2.0))
        bound = gpu.product_bound(m, n, k, used)
        seconds = point.ratio * bound
        types = used
        if dtype in _WIDENED:
            types += f", weights of {dtype}"
            seconds += gpu.product_bound(m, n, k, dtype) - bound
        seconds = max(seconds, least)
        return OperatorTime(operator, seconds, f"{kernel} ({types})", source, point.outside)

    def _build(self, dtype: str, backend: str) -> tuple[Grid, str, str, str] | None:
        gpu = self._tables.gpu
        numbers, texts = ("m", "n", "k", "latency"), ("gemm_dtype", "kernel_source")
        for name in _STAND_INS.get(dtype, ("bfloat16",)):
            for table in self._tables.read("gemm", "gemm", numbers, texts, only=backend):
                keep = table.where(gemm_dtype=name) & (table.columns["latency"] > 0)
                if not keep.any():
                    continue
                m, n, k = (table.columns[c][keep].astype(np.float64) for c in "mnk")
                bound = gpu.product_bounds(m, n, k, name)
                seconds = table.columns["latency"][keep] / 1e3
                kernels = sorted(set(table.columns["kernel_source"][keep]))
                # Several kernels at a point: the engine takes the fastest.
                axes, ratio = fastest(np.column_stack([n, k, m]), seconds / bound)
                return Grid(axes, ratio), name, "/".join(kernels), table.source
        return None
