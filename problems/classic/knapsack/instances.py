"""Instances of the multi-objective knapsack: random ones, and the public files."""

from __future__ import annotations

from array import array
from itertools import count
from math import comb
from pathlib import Path

import numpy as np

from moela.files.guard import brief, check_size, invalid_file
from problems._arrays import Ints
from problems._checks import check_int, check_real
from problems.classic.correlated import check_correlation, correlated_uniforms
from problems.classic.front import KnownFront, kept_points, sorted_front
from problems.classic.knapsack.front import first_unreachable
from problems.classic.textfile import MAX_OBJECTIVES, MAX_POINTS, LineReader

__all__ = ["MIN_ORDERS", "n_orders", "random_instance", "read_instance", "write_instance"]


OWNER = "MultiObjectiveKnapsack.random"
MIN_ORDERS = 50


def n_orders(n_obj: int) -> int:
    """Return the number of weightings by which the problem orders its items."""
    sizes = (comb(steps + n_obj - 1, n_obj - 1) for steps in count(1))
    return 1 if n_obj == 1 else next(size for size in sizes if size >= MIN_ORDERS)


def random_instance(
    n_items: int,
    n_obj: int,
    correlation: float,
    max_value: int,
    max_weight: int,
    tightness: float,
    seed: int,
) -> tuple[Ints, Ints, int]:
    """Return weights [n], values [n, m] and capacity; see `MultiObjectiveKnapsack.random`."""
    n = check_int(OWNER, "n_items", n_items, 1)
    m = check_int(OWNER, "n_obj", n_obj, 1)
    check_correlation(OWNER, "correlation", correlation, m)
    check_int(OWNER, "max_value", max_value, 1, 10**9)
    check_int(OWNER, "max_weight", max_weight, 1, 10**9)
    check_real(OWNER, "tightness", tightness, 0.0, 1.0)
    rng = np.random.default_rng(check_int(OWNER, "seed", seed, 0))
    shares = correlated_uniforms(n, m, correlation, rng)
    values = np.minimum(1 + np.floor(max_value * shares), max_value).astype(np.int64)
    weights = rng.integers(1, max_weight + 1, size=n)
    return weights, values, int(np.ceil(tightness * weights.sum()))


def read_instance(path: str | Path) -> tuple[Ints, Ints, int, KnownFront | None]:
    """Return weights [n], values [n, m], capacity and the front of a `.in` file, if it has one.

    The file holds values to maximize; the returned front holds their negatives, as F does.
    """
    reader = LineReader(path)
    n, m = map(int, reader.numbers("the numbers of items and objectives", 2, low=1))
    if m > MAX_OBJECTIVES:
        raise reader.error(f"at most {MAX_OBJECTIVES} objectives", m, entry=2)
    capacity = int(reader.numbers("the capacity", 1)[0])
    # Orders by value per weight, as indices, and the arrays that they are made of.
    check_size(path, 40 * n * n_orders(m), "arrays", "line 1, the orders of the items")
    entries = array("d")  # grows: no memory is taken for a header alone
    for i in range(n):
        entries.extend(reader.numbers(f"weight and {m} values of item {i + 1} of {n}", m + 1))
    items = np.array(entries, dtype=np.int64).reshape(n, m + 1)
    weights, values = items[:, 0].copy(), items[:, 1:].copy()
    if reader.done:
        return weights, values, capacity, None
    n_points = int(
        reader.numbers("the number of points on the front", 1, low=1, high=MAX_POINTS)[0]
    )
    entries = array("d")
    totals = values.sum(axis=0, dtype=np.float64).tolist()
    for i in range(n_points):
        what = f"{m} values of point {i + 1} of {n_points} of the front"
        point = reader.numbers(what, m)
        if any(value > total for value, total in zip(point, totals, strict=True)):
            limits = brief([int(total) for total in totals])
            raise reader.error(f"{what}, none over the total {limits}", [int(v) for v in point])
        entries.extend(point)
    reader.end()
    points = -np.array(entries).reshape(n_points, m)
    kept = kept_points(points)
    if len(kept) != n_points:
        extra = next(i for i, k in enumerate([*kept.tolist(), -1]) if i != k)
        expected = f"one of {n_points} different non-dominated points"
        place = f"point {extra + 1} of the front"
        raise invalid_file(path, "a repeated or dominated one", expected, place)
    beyond = first_unreachable(weights, values, capacity, -points)
    if beyond is not None:
        got = brief([int(value) for value in -points[beyond]])
        expected = f"values of a packing within the capacity {capacity}"
        raise invalid_file(path, got, expected, f"point {beyond + 1} of the front")
    return weights, values, capacity, sorted_front(points, None, f"file {reader.path.name}")


def write_instance(
    path: str | Path, weights: Ints, values: Ints, capacity: int, front: KnownFront | None
) -> None:
    """Write a `.in` file, with the front if there is one, that `read_instance` reads back."""
    lines = [f"{len(weights)} {values.shape[1]}", str(capacity)]
    lines += [
        f"{w} {' '.join(map(str, row))}"
        for w, row in zip(weights.tolist(), values.tolist(), strict=True)
    ]
    if front is not None:
        lines.append(str(len(front.F)))
        lines += [" ".join(str(int(-v)) for v in point) for point in front.F]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")
