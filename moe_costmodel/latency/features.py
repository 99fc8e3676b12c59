"""Features and terms of the latency model: roofline times and sizes of a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from moe_costmodel._arrays import Bools, Floats, Ints
from moe_costmodel.shapes import DTYPE_BYTES, OPERAND_BYTES, LayerShape
from moe_costmodel.work import TILES, Work

__all__ = [
    "Points",
    "Roofline",
    "features",
    "outside_of",
    "range_of",
    "round_terms",
    "smooth_features",
    "terms",
]

_SIZES = ("n_experts", "k", "d_model", "d_ffn", "n_local")


@dataclass(frozen=True)
class Points:
    """Steps to be predicted or fitted, one row each.

    Attributes
    ----------
    sizes : ndarray of shape (n, 5)
        n_experts, k, d_model, d_ffn, n_local.
    width : ndarray of shape (n,)
        Bytes of a weight.
    operand : ndarray of shape (n,)
        Bytes of a value as it enters a product.
    gated : ndarray of shape (n,)
        1 if experts are gated, else 0.
    kernel : ndarray of shape (n,)
        Code of the kernel.
    tokens : ndarray of shape (n,)
        Tokens of the step, over all devices.
    work : Work
    """

    sizes: Floats
    width: Floats
    operand: Floats
    gated: Floats
    kernel: Floats
    tokens: Floats
    work: Work

    @classmethod
    def build(
        cls, shapes: Sequence[LayerShape], layer: Ints, work: Work, tokens: Floats, kernel: Ints
    ) -> Points:
        """Look up each row's shape."""
        sizes = np.array([[getattr(s, name) for name in _SIZES] for s in shapes], dtype=np.float64)
        return cls(
            sizes[layer],
            np.array([DTYPE_BYTES[s.dtype] for s in shapes])[layer],
            np.array([OPERAND_BYTES[s.dtype] for s in shapes])[layer],
            np.array([float(s.gated) for s in shapes])[layer],
            kernel.astype(np.float64),
            tokens.astype(np.float64),
            work,
        )

    def __len__(self) -> int:
        return len(self.width)

    def take(self, index: Ints | Bools) -> Points:
        """Return some of the rows."""
        return Points(
            self.sizes[index],
            self.width[index],
            self.operand[index],
            self.gated[index],
            self.kernel[index],
            self.tokens[index],
            self.work.take(index),
        )

    @property
    def parameters(self) -> Floats:
        """Weights of one expert."""
        return (2 + self.gated) * self.sizes[:, 2] * self.sizes[:, 3]

    @property
    def weight_bytes(self) -> Floats:
        """Bytes of the active experts."""
        return self.work.active * self.parameters * self.width

    @property
    def activation_bytes(self) -> Floats:
        """Bytes that tokens and inner values take, each written and read once."""
        element = np.maximum(self.width, 2.0)
        per_row = 3 * self.sizes[:, 2] + (1 + 2 * self.gated) * self.sizes[:, 3]
        return element * (self.work.rows * per_row + 2 * self.tokens * self.sizes[:, 2])

    @property
    def operations(self) -> Floats:
        """Multiplications and additions of the rows."""
        return 2 * self.work.rows * self.parameters


@dataclass(frozen=True)
class Roofline:
    """Peak rates of a machine.

    Attributes
    ----------
    bandwidth : float
        Bytes per second.
    peak : dict of float to float
        Operations per second, by bytes of an operand.
    floor : float
        Seconds of the fastest measured step.
    units : int
        Processors that take one tile of a product at a time.
    """

    bandwidth: float
    peak: dict[float, float]
    floor: float
    units: int = 1

    @classmethod
    def of(
        cls,
        points: Points,
        seconds: Floats,
        known: tuple[float, dict[float, float]] | None = None,
        units: int = 1,
    ) -> Roofline:
        """Return the known peaks, or else the best rates that were measured."""
        floor = float(seconds.min())
        if known is not None:
            return cls(known[0], known[1], floor, units)
        moved = points.weight_bytes + points.activation_bytes
        peak = {
            float(w): float((points.operations / seconds)[points.operand == w].max())
            for w in np.unique(points.operand)
        }
        return cls(float((moved / seconds).max()), peak, floor, units)

    def peaks(self, points: Points) -> Floats:
        """Return the peak of each row's type; that of the nearest known type for an unknown one."""
        known = np.array(sorted(self.peak))
        nearest = known[np.abs(np.log(points.operand[:, None] / known)).argmin(axis=1)]
        return np.array([self.peak[float(w)] for w in nearest])

    def seconds(self, points: Points) -> Floats:
        """Return the minimum time of memory or arithmetic, whichever is longer, plus the floor."""
        memory = (points.weight_bytes + points.activation_bytes) / self.bandwidth
        return np.maximum(memory, points.operations / self.peaks(points)) + self.floor


def features(points: Points, roofline: Roofline) -> Floats:
    """Return the features of trees, (n, 24 or 32): times and sizes in logarithms.

    Trees look for similar steps; many overlapping measures of size make similar steps of
    different models comparable.
    """
    work, sizes = points.work, points.sizes
    peak = roofline.peaks(points)
    memory = (points.weight_bytes + points.activation_bytes) / roofline.bandwidth
    compute = points.operations / peak
    tiles = work.tiled / np.array([16.0, 64.0, 128.0])
    positive = [
        memory,
        compute,
        2 * work.tiled[:, 1] * points.parameters / peak,
        points.weight_bytes,
        points.activation_bytes,
        work.rows,
        work.active,
        work.rows / np.maximum(work.active, 1e-9),
        work.largest,
        work.largest * work.active / np.maximum(work.rows, 1e-9),
        work.tiled[:, 0],
        work.tiled[:, 2],
        sizes[:, 4],
        sizes[:, 0],
        sizes[:, 1],
        sizes[:, 2],
        sizes[:, 3],
        points.tokens,
        tiles[:, 1] * np.ceil((1 + points.gated) * sizes[:, 3] / 128),
        tiles[:, 1] * np.ceil(sizes[:, 2] / 128),
        roofline.seconds(points),
        compute / np.maximum(memory, 1e-30),
    ]
    if roofline.units > 1:
        inner = sizes[:, 3]
        positive += [alignment_of(inner), np.ceil(inner / 128) * 128 / inner]
        positive += [first + second for first, second in rounds(points, roofline)]
    logs = [np.log(np.maximum(column, 1e-12)) for column in positive]
    return np.column_stack([*logs, points.width, points.kernel])


def rounds(points: Points, roofline: Roofline) -> list[tuple[Floats, Floats]]:
    """Return the length of both products in steps of a tile, for six sizes of tiles.

    The tiles of a result are assigned to the device's processors in rounds; in a round each
    processor works through the inner width of its product. A last round that is nearly empty takes
    as long as a full one.
    """
    up, inner, outer = (
        (1 + points.gated) * points.sizes[:, 3],
        points.sizes[:, 3],
        points.sizes[:, 2],
    )
    lengths = []
    for i, height in enumerate(TILES):
        rows = points.work.tiled[:, i] / height
        for width in (64, 128):
            first = np.ceil(rows * np.ceil(up / width) / roofline.units) * outer
            second = np.ceil(rows * np.ceil(outer / width) / roofline.units) * inner
            lengths.append((first, second))
    return lengths


def round_terms(points: Points, roofline: Roofline) -> Floats:
    """Return the terms of a linear model of rounds, (n, 10), each growing with tokens."""
    work, peak = points.work, roofline.peaks(points)
    columns = [
        np.full(len(points), roofline.floor),
        work.active * roofline.floor * 0.01,
        points.weight_bytes / roofline.bandwidth,
        points.activation_bytes / roofline.bandwidth,
    ]
    of_128 = rounds(points, roofline)[1::2]
    for i, (height, (first, second)) in enumerate(zip(TILES, of_128, strict=True)):
        columns.append((first + second) * 2 * height * 128 * roofline.units / peak)
        columns.append(2 * work.tiled[:, i] * points.parameters / peak)
    return np.column_stack(columns)


def terms(points: Points, roofline: Roofline) -> Floats:
    """Return the terms of a linear model, (n, 8), each growing with tokens."""
    work = points.work
    peak = roofline.peaks(points)
    return np.column_stack(
        [
            np.full(len(points), roofline.floor),
            work.active * roofline.floor,
            work.rows * roofline.floor * 0.01,
            points.tokens * roofline.floor * 0.01,
            points.weight_bytes / roofline.bandwidth,
            points.activation_bytes / roofline.bandwidth,
            points.operations / peak,
            2 * work.tiled[:, 0] * points.parameters / peak,
        ]
    )


def smooth_features(points: Points) -> Floats:
    """Return the few features of a smooth model, (n, 6), in logarithms."""
    work = points.work
    columns = [
        work.rows,
        work.active,
        work.largest * work.active / np.maximum(work.rows, 1e-9),
        points.parameters * points.width,
        points.sizes[:, 2],
        points.weight_bytes,
    ]
    return np.log(np.maximum(np.column_stack(columns), 1e-9))


def outside_of(points: Points, known: Floats) -> list[str]:
    """Return the reasons why some rows are an extrapolation; empty if they are not.

    Parameters
    ----------
    points : Points
        Rows to check.
    known : ndarray of shape (2, 7)
        Result of :func:`range_of` for the fitted rows.

    Notes
    -----
    Kernels work in tiles whose sides are powers of two. A width that divides by a smaller power
    than all fitted ones leaves ragged tiles of a kind that was never measured.
    """
    reasons = []
    for i, name in enumerate(_SIZES):
        low, high = points.sizes[:, i].min(), points.sizes[:, i].max()
        if low < known[0, i] or high > known[1, i]:
            value = low if low < known[0, i] else high
            reasons.append(
                f"{name} = {value:g} is outside the fitted {known[0, i]:g} .. {known[1, i]:g}"
            )
    for column, name, align in ((2, "d_model", power_of_two), (3, "d_ffn", alignment_of)):
        divisors, fitted = align(points.sizes[:, column]), known[0, column + 3]
        lowest, width = divisors.min(), points.sizes[divisors.argmin(), column]
        if lowest < fitted:
            reasons.append(
                f"{name} = {width:g} is divisible by {lowest:g} only, all fitted ones by {fitted:g}"
            )
    return reasons


def power_of_two(sizes: Floats) -> Floats:
    """Return the largest power of two that divides each size."""
    whole = sizes.astype(np.int64)
    return (whole & -whole).astype(np.float64)


def alignment_of(inner: Floats) -> Floats:
    """Return the largest power of two, up to a tile of 128, that divides each inner width."""
    return np.minimum(power_of_two(inner), 128.0)


def range_of(points: Points) -> Floats:
    """Return the lowest and highest sizes, and powers of two that divide the widths, (2, 7)."""
    columns = np.column_stack(
        [points.sizes, power_of_two(points.sizes[:, 2]), alignment_of(points.sizes[:, 3])]
    )
    return np.stack([columns.min(axis=0), columns.max(axis=0)])
