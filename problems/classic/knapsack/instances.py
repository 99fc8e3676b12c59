"""Instances of the multi-objective knapsack: random ones, and the public files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from problems._arrays import Ints
from problems._checks import check_int, check_real
from problems.classic.correlated import check_correlation, correlated_uniforms
from problems.classic.front import KnownFront, nondominated, sorted_front
from problems.classic.textfile import LineReader

__all__ = ["random_instance", "read_instance", "write_instance"]


OWNER = "MultiObjectiveKnapsack.random"


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
    capacity = int(reader.numbers("the capacity", 1)[0])
    rows = []  # no array: the memory for it must not be allocated for a header alone
    for i in range(n):
        rows.append(reader.numbers(f"weight and {m} values of item {i + 1} of {n}", m + 1))
    items = np.array(rows, dtype=np.int64)
    weights, values = items[:, 0].copy(), items[:, 1:].copy()
    if reader.done:
        return weights, values, capacity, None
    count = int(reader.numbers("the number of points on the front", 1, low=1)[0])
    rows = []
    totals = values.sum(axis=0)
    for i in range(count):
        what = f"{m} values of point {i + 1} of {count} of the front"
        point = reader.numbers(what, m)
        if np.any(point > totals):
            raise reader.error(
                f"{what}, none over the total {totals.tolist()}", [int(v) for v in point]
            )
        rows.append(point)
    reader.end()
    points = np.array(rows)
    kept = nondominated(-points)
    if len(kept) != count:
        extra = min(set(range(count)) - set(kept.tolist()))
        raise ValueError(
            f"{reader.path}: expected {count} different non-dominated points, got point "
            f"{extra + 1} of the front, which is repeated or dominated."
        )
    return weights, values, capacity, sorted_front(-points, None, f"file {reader.path.name}")


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
