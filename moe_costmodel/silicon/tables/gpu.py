"""A GPU and the node that it sits in, by the figures of its data sheet."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from moe_costmodel._arrays import Floats
from moe_costmodel.shapes import DTYPE_BYTES, OPERAND_BYTES

__all__ = ["Gpu"]

# The unit that multiplies each type; weights alone may be narrower.
_UNITS = {
    "fp8": "fp8", "fp8_block": "fp8", "w4afp8": "fp8", "w4a8_mxfp4_mxfp8": "fp8", "nvfp4": "fp4",
}  # fmt: skip

# Bytes of the second-level cache by generation, of the largest chip.
_CACHES = {80: 40e6, 89: 96e6, 90: 50e6, 100: 126e6, 103: 126e6, 120: 128e6}
# Streaming multiprocessors by generation, of the largest chip.
_PROCESSORS = {80: 108, 89: 142, 90: 132, 100: 148, 103: 148, 120: 188}


@dataclass(frozen=True)
class Gpu:
    """Figures of a GPU and its node.

    Attributes
    ----------
    name : str
        Name of the GPU.
    data : Path
        Folder of its tables.
    memory_bytes : float
        Memory in bytes.
    bandwidth : float
        Bytes per second of the memory.
    operations : dict of str to float
        Dense operations per second of the units "bf16", "fp8" and "fp4".
    n_per_node : int
        GPUs per node.
    node_bandwidth, network_bandwidth : float
        Bytes per second of one GPU, one direction, within and between nodes.
    generation : int
        Version of the streaming multiprocessors, such as 90 or 100.
    """

    name: str
    data: Path
    memory_bytes: float
    bandwidth: float
    operations: dict[str, float]
    n_per_node: int
    node_bandwidth: float
    network_bandwidth: float
    generation: int

    @property
    def n_processors(self) -> int:
        """Streaming multiprocessors."""
        return _PROCESSORS.get(self.generation, 132)

    @property
    def cache_bytes(self) -> float:
        """Bytes of the second-level cache."""
        return _CACHES.get(self.generation, 50e6)

    def read_seconds(self, weights: float) -> float:
        """Return the least seconds of a kernel that reads these bytes of weights from memory."""
        return weights / self.bandwidth

    def product_bound(self, m: float, n: float, k: float, dtype: str) -> float:
        """Return the least seconds of a product (m, k) x (k, n) (roofline)."""
        return float(self.product_bounds(np.array(m), np.array(n), np.array(k), dtype))

    def product_bounds(self, m: Floats, n: Floats, k: Floats, dtype: str) -> Floats:
        """Return the least seconds of products, one each."""
        operand = OPERAND_BYTES.get(dtype, 2.0)
        data = n * k * DTYPE_BYTES.get(dtype, 2.0) + m * k * operand + 2.0 * m * n
        return np.maximum(2.0 * m * n * k / self.rate(dtype), data / self.bandwidth)

    def rate(self, dtype: str) -> float:
        """Return the operations per second on weights of a type."""
        return self.operations[_UNITS.get(dtype, "bf16")]
