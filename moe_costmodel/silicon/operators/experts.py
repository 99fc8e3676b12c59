"""Times of MoE layers' experts, by kernel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from moe_costmodel._arrays import Array, Floats
from moe_costmodel.models.shape import ExpertShape
from moe_costmodel.shapes import DTYPE_BYTES
from moe_costmodel.silicon.tables.gpu import Gpu
from moe_costmodel.silicon.tables.grid import Grid
from moe_costmodel.silicon.tables.reader import OperatorTime, Table, Tables
from moe_costmodel.silicon.tables.slices import fastest, filled_up

__all__ = ["ExpertTimes", "active_experts"]

_SIZES = ("hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size", "moe_ep_size")
_TEXTS = ("kernel_source", "moe_dtype", "distribution")
# Routing of benchmarks with random prompts, and the rows that stand in.
_SKEWS = ("power_law_1.01", "power_law_1.2", "balanced", "uniform")
# Types whose rows are taken, the faster of several of equal weights. Tables name no size of groups.
_EQUALS = {
    **dict.fromkeys(("int4_wo_g32", "int4_wo_g64", "int4_wo_g128"), ("int4_wo",)),
    **dict.fromkeys(("int8_wo_g64", "int8_wo_g128"), ("int8_wo",)),
    "w4a16_mxfp4": ("w4a16_mxfp4", "w4a8_mxfp4_mxfp8"),
    "w4a8_mxfp4_mxfp8": ("w4a16_mxfp4", "w4a8_mxfp4_mxfp8"),
}
_STAND_INS = {
    "fp8_block": ("fp8",),
    "fp8": ("fp8_block",),
    **dict.fromkeys(
        ("int4_wo", "int4_wo_g32", "int4_wo_g64", "int4_wo_g128", "w4a16_nvfp4"),
        ("w4a16_mxfp4", "fp8_block"),
    ),
    "nvfp4": ("w4a8_mxfp4_mxfp8", "fp8_block", "fp8"),
}
_SLOWER = 1.25  # a point that was measured so many times as slow as larger ones is named
_FAR = 0.5  # logarithmic distance beyond which another type stands in rather


@dataclass(frozen=True)
class _Rows:
    """Rows of one shape and type in a table."""

    table: Table
    dtype: str
    sizes: tuple[int, ...]
    distance: float
    place: int

    @property
    def rank(self) -> float:
        return self.distance + 0.02 * self.place


@dataclass(frozen=True)
class _Kernel:
    """Times of a kernel over tokens, as multiples of the bound.

    Beside them the tokens that were measured, the seconds there, and how many times as long was
    measured.
    """

    grid: Grid
    tokens: Floats
    seconds: Floats
    slower: Floats
    dtype: str
    name: str
    source: str
    outside: float
    distribution: str


def active_experts(tokens: Floats, k: int, n_experts: int, n_local: Floats | float) -> Floats:
    """Return the expected number of experts of a device with a token, under uniform routing."""
    return n_local * (1.0 - (1.0 - k / n_experts) ** np.maximum(tokens, 0.0))


class ExpertTimes:
    """Experts' kernels of one GPU and engine.

    Rows are those of the layer's shape under its parallelism. If no table has the shape, the
    nearest measured one stands in, its time scaled by the bounds; that counts as extrapolation.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._found = cache(self._build)
        self._shapes = cache(self._find_shapes)

    def time(
        self,
        experts: ExpertShape,
        d_model: int,
        tokens: float,
        *,
        tp: int,
        ep: int,
        dtype: str,
    ) -> OperatorTime:
        """Return the time of the busiest device's experts; `tokens` are those of all devices."""
        found = self._found(experts, d_model, tp, ep, dtype)
        asked = (d_model, experts.d_ffn, experts.k, experts.n_experts, tp, ep)
        gpu = self._tables.gpu
        if not found:
            bound = float(_bound(gpu, asked, dtype, np.asarray(tokens, dtype=np.float64)))
            return OperatorTime("moe", bound, "bound", "none", float("inf"))
        best: OperatorTime | None = None
        for kernel in found:
            point = kernel.grid.at([max(tokens, 1.0)])
            seconds = point.ratio * float(
                _bound(gpu, asked, kernel.dtype, np.asarray(tokens, dtype=np.float64))
            )
            seconds, note = _between(kernel, tokens, seconds)
            seconds = max(seconds, _least(gpu, asked, dtype, tokens))
            outside = point.outside * kernel.outside
            name = kernel.name + note
            time = OperatorTime("moe", seconds, name, kernel.source, outside)
            if best is None or time.seconds < best.seconds:
                best = time
        assert best is not None
        return best

    def distribution(
        self, experts: ExpertShape, d_model: int, *, tp: int, ep: int, dtype: str
    ) -> str:
        """Return the distribution of loads under which the layer was measured."""
        found = self._found(experts, d_model, tp, ep, dtype)
        return found[0].distribution if found else "uniform"

    def _build(
        self, experts: ExpertShape, d_model: int, tp: int, ep: int, dtype: str
    ) -> list[_Kernel]:
        asked = (d_model, experts.d_ffn, experts.k, experts.n_experts, tp, ep)
        types = _EQUALS.get(dtype, (dtype,))
        found = [self._nearest(asked, name) for name in types]
        candidates = [item for item in found if item is not None]
        if not any(item.distance < _FAR for item in candidates):
            more = (self._nearest(asked, name) for name in _STAND_INS.get(dtype, ("bfloat16",)))
            candidates += [item for item in more if item is not None]
        if not candidates:
            return []
        least = min(item.distance for item in candidates)
        chosen = [item for item in candidates if item.distance <= least + 1e-9]
        return [kernel for item in chosen for kernel in self._kernels(item, asked)]

    def _nearest(self, asked: tuple[int, ...], dtype: str) -> _Rows | None:
        """Return the rows of a type whose shape is nearest, own and new tables first."""
        best: _Rows | None = None
        for place, table in enumerate(self._read()):
            shapes = self._shapes(place, dtype)
            if not len(shapes):
                continue
            distance = _distances(shapes, asked)
            nearest = int(distance.argmin())
            # An exact shape of another version or engine is better than a distant one.
            sizes = tuple(int(v) for v in shapes[nearest])
            rows = _Rows(table, dtype, sizes, float(distance[nearest]), place)
            if best is None or rows.rank < best.rank:
                best = rows
        return best

    def _find_shapes(self, place: int, dtype: str) -> Floats:
        return _shapes(self._read()[place], dtype)

    def _read(self) -> list[Table]:
        numbers = (*_SIZES, "num_tokens", "latency")
        return list(self._tables.read("moe", "moe", numbers, _TEXTS))

    def _kernels(self, rows: _Rows, asked: tuple[int, ...]) -> list[_Kernel]:
        where: dict[str, object] = dict(zip(_SIZES, rows.sizes, strict=True))
        table = rows.table
        keep = table.where(moe_dtype=rows.dtype, **where) & (table.columns["latency"] > 0)
        columns: dict[str, Array] = {name: v[keep] for name, v in table.columns.items()}
        skew = _skew(columns)
        found = []
        for name in sorted(set(columns["kernel_source"])):
            of = (columns["kernel_source"] == name) & (columns["distribution"] == skew)
            if not of.any():
                continue
            tokens = columns["num_tokens"][of].astype(np.float64)
            axes, measured = fastest(tokens[:, None], columns["latency"][of] / 1e3)
            gpu, points = self._tables.gpu, axes[:, 0]
            bound = _bound(gpu, asked, rows.dtype, points)
            scaled = measured * (bound / _bound(gpu, rows.sizes, rows.dtype, points))
            taken = filled_up(axes, scaled)
            label = f"{name} ({rows.dtype})"
            outside = float(np.exp(rows.distance))
            grid, slower = Grid(axes, taken / bound), scaled / taken
            found.append(
                _Kernel(grid, points, taken, slower, rows.dtype, label, table.source, outside, skew)
            )
        return found


def _skew(columns: dict[str, Array]) -> str:
    """Return the distribution of loads whose rows count: the first with enough of them.

    Some tables break off after a row of one distribution and go on with the next.
    """
    numbers = {
        str(name): len(np.unique(columns["num_tokens"][columns["distribution"] == name]))
        for name in np.unique(columns["distribution"])
    }
    enough = [name for name, n in numbers.items() if 2 * n >= max(numbers.values())]
    return next((name for name in _SKEWS if name in enough), enough[0])


def _between(kernel: _Kernel, tokens: float, seconds: float) -> tuple[float, str]:
    """Return seconds within those of the nearest measured points, and a note if one was slow."""
    last = len(kernel.tokens) - 1
    high = min(int(np.searchsorted(kernel.tokens, tokens)), last)
    low = high if kernel.tokens[high] <= tokens else max(high - 1, 0)
    if low < high:  # the bound may bend between two points
        seconds = min(max(seconds, float(kernel.seconds[low])), float(kernel.seconds[high]))
    factor = float(max(kernel.slower[low], kernel.slower[high]))
    if factor < _SLOWER:
        return seconds, ""
    return seconds, f", measured {factor:.2g} times as slow here, and faster with more tokens"


def _shapes(table: Table, dtype: str) -> Floats:
    columns = table.columns
    keep = columns["moe_dtype"] == dtype
    sizes = np.column_stack([columns[name][keep] for name in _SIZES])
    return np.unique(sizes, axis=0).astype(np.float64)


def _distances(shapes: Floats, asked: tuple[int, ...]) -> Floats:
    """Return logarithmic distances of shapes: per expert and per device."""

    def features(sizes: Floats) -> Floats:
        hidden, inter, k, n, tp, ep = sizes.T
        return np.log(np.column_stack([hidden, inter / tp, k, n / ep, np.sqrt(n)]))

    target = features(np.array([asked], dtype=np.float64))
    gap = np.abs(features(shapes) - target).sum(axis=1)
    # Among equals, the same division over devices.
    same = (shapes[:, 4] != asked[4]) * 1e-3 + (shapes[:, 5] != asked[5]) * 1e-3
    return gap + same


def _least(gpu: Gpu, sizes: tuple[int, ...], dtype: str, tokens: float) -> float:
    """Return the seconds of reading the active experts, if they fit the cache; else zero.

    A benchmark repeats a step, so few experts stay in the cache; those of a model do not.
    """
    hidden, inter, k, n, tp, ep = sizes
    active = float(active_experts(np.asarray(tokens, dtype=np.float64), k, n, n / ep))
    weights = active * 3.0 * hidden * inter / tp * DTYPE_BYTES.get(dtype, 2.0)
    return gpu.read_seconds(weights) if weights <= gpu.cache_bytes else 0.0


def _bound(gpu: Gpu, sizes: tuple[int, ...], dtype: str, tokens: Floats) -> Floats:
    """Return the least seconds of a device's experts (roofline, uniform routing)."""
    hidden, inter, k, n, tp, ep = sizes
    local = n / ep
    active = active_experts(tokens, k, n, local)
    weights = active * 3.0 * hidden * inter / tp * DTYPE_BYTES.get(dtype, 2.0)
    operations = 2.0 * tokens * k / ep * 3.0 * hidden * inter / tp
    data = weights + tokens * k / ep * hidden * 4.0
    return 5e-6 + np.maximum(operations / gpu.rate(dtype), data / gpu.bandwidth)
