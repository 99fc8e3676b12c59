"""Instances of the multi-objective QAP: the two published generators, and the public files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from problems._arrays import Floats
from problems._checks import check_choice, check_int, check_real, setting_error
from problems.classic.correlated import pulled_uniforms
from problems.classic.front import KnownFront, nondominated, sorted_front
from problems.classic.qap.kernels import costs
from problems.classic.textfile import LineReader

__all__ = ["random_instance", "read_front", "read_instance", "write_instance"]


OWNER = "MultiObjectiveQAP.random"
_HEADER = re.compile(r"facilities\s*[=:]?\s*(\d+)\s+objectives\s*[=:]?\s*(\d+)\b", re.IGNORECASE)


def random_instance(
    *,
    n_facilities: int,
    n_obj: int,
    kind: str,
    correlation: float | Sequence[float],
    overlap: float,
    max_distance: int,
    max_flow: int,
    flow_exponents: tuple[float, float],
    cluster_radius: float,
    cluster_size: int,
    point_radius: float,
    seed: int,
) -> tuple[Floats, Floats]:
    """Return distances [n, n] and flows [m, n, n]; see `MultiObjectiveQAP.random`."""
    n = check_int(OWNER, "n_facilities", n_facilities, 2)
    m = check_int(OWNER, "n_obj", n_obj, 1)
    check_choice(OWNER, "kind", kind, ("uniform", "real-like"))
    pulls = _correlations(correlation, m)
    rng = np.random.default_rng(check_int(OWNER, "seed", seed, 0))
    upper = np.triu_indices(n, 1)
    n_pairs = len(upper[0])
    if kind == "uniform":
        check_int(OWNER, "max_distance", max_distance, 1)
        check_int(OWNER, "max_flow", max_flow, 1)
        pair_distances = 1.0 + np.floor(max_distance * rng.random(n_pairs))
        first = rng.random(n_pairs)
        variates = [first] + [pulled_uniforms(first, c, rng) for c in pulls]
        pair_flows = [np.minimum(1.0 + np.floor(max_flow * v), max_flow) for v in variates]
    else:
        check_real(OWNER, "overlap", overlap, 0.0, 1.0)
        low, high = _exponents(flow_exponents)
        points = _clustered_points(n, cluster_radius, cluster_size, point_radius, rng)
        gaps = points[upper[0]] - points[upper[1]]
        pair_distances = np.floor(np.hypot(gaps[:, 0], gaps[:, 1]))
        first = rng.random(n_pairs)
        pair_flows = [np.floor(10.0 ** (low + (high - low) * first))]
        for c in pulls:
            shared = rng.random(n_pairs) <= overlap
            pulled = np.floor(10.0 ** (low + (high - low) * pulled_uniforms(first, c, rng)))
            # Outside the overlap a flow stands exactly where the first matrix has none.
            apart = np.where(pair_flows[0] == 0, np.floor(10.0 ** (high * rng.random(n_pairs))), 0)
            pair_flows.append(np.where(shared, pulled, apart))
    distance = np.zeros((n, n))
    flows = np.zeros((m, n, n))
    distance[upper] = pair_distances
    for flow, pairs in zip(flows, pair_flows, strict=True):
        flow[upper] = pairs
    return distance + distance.T, flows + flows.transpose(0, 2, 1)


def _correlations(correlation: float | Sequence[float], n_obj: int) -> list[float]:
    if isinstance(correlation, int | float | np.number):
        return [check_real(OWNER, "correlation", correlation, -1.0, 1.0)] * (n_obj - 1)
    values = list(correlation)
    if len(values) != n_obj - 1:
        raise setting_error(
            OWNER,
            "correlation",
            f"one number, or {n_obj - 1} (one for each objective after the first)",
            values,
        )
    return [check_real(OWNER, "correlation", value, -1.0, 1.0) for value in values]


def _exponents(flow_exponents: tuple[float, float]) -> tuple[float, float]:
    if len(flow_exponents) != 2:
        raise setting_error(OWNER, "flow_exponents", "a pair (A, B)", flow_exponents)
    low = check_real(OWNER, "flow_exponents", flow_exponents[0], -50.0, 12.0)
    high = check_real(OWNER, "flow_exponents", flow_exponents[1], 0.0, 12.0)
    if low >= high:
        raise setting_error(OWNER, "flow_exponents", "a pair (A, B) with A < B", flow_exponents)
    return low, high


def _clustered_points(
    n: int, cluster_radius: float, cluster_size: int, point_radius: float, rng: np.random.Generator
) -> Floats:
    check_real(OWNER, "cluster_radius", cluster_radius, 0.0, 1e6)
    check_real(OWNER, "point_radius", point_radius, 0.0, 1e6)
    check_int(OWNER, "cluster_size", cluster_size, 1)
    points = np.empty((n, 2))
    done = 0
    while done < n:
        center = np.floor(cluster_radius * rng.random()) * _direction(rng)
        for _ in range(min(int(rng.integers(1, cluster_size + 1)), n - done)):
            points[done] = np.trunc(
                center + np.floor(point_radius * rng.random()) * _direction(rng)
            )
            done += 1
    return points


def _direction(rng: np.random.Generator) -> Floats:
    angle = 2.0 * np.pi * rng.random()
    return np.array([np.cos(angle), np.sin(angle)])


def read_instance(path: str | Path) -> tuple[Floats, Floats]:
    """Return distances [n, n] and flows [m, n, n] of a `.dat` file; see `from_file`."""
    reader = LineReader(path)
    expected = "a header such as 'facilities = 10 objectives = 2'"
    header = reader.line(expected)
    match = _HEADER.search(header)
    if match is None:
        raise reader.error(expected, repr(header))
    n, m = int(match[1]), int(match[2])
    if n < 2 or m < 1:
        raise reader.error("at least 2 facilities and 1 objective", f"{n} and {m}")
    rows = []  # no array yet: a header alone must not claim the memory
    for number in range(m + 1):
        what = "the distance matrix" if number == 0 else f"flow matrix {number} of {m}"
        for row in range(n):
            rows.append(reader.numbers(f"row {row + 1} of {n} of {what}", n, whole=False))
    reader.end()
    matrices = np.array(rows).reshape(m + 1, n, n)
    return matrices[0], matrices[1:]


def write_instance(path: str | Path, distance: Floats, flows: Floats) -> None:
    """Write a `.dat` file that `read_instance` reads back bit by bit."""
    m, n = flows.shape[:2]
    blocks = [[f"facilities = {n} objectives = {m}"]]
    for matrix in (distance, *flows):
        blocks.append([" ".join(_number(v) for v in row) for row in matrix])
    lines = blocks[0] + blocks[1]
    for block in blocks[2:]:
        lines += ["", *block]
    Path(path).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def read_front(path: str | Path, distance: Floats, flows: Floats) -> KnownFront:
    """Return the front of a `.PO` file, every line of which is evaluated again.

    A line holds the location (from 1) of each facility, then the objective values.
    """
    reader = LineReader(path)
    m, n = flows.shape[:2]
    flow = np.ascontiguousarray(flows.transpose(1, 2, 0))
    X, F = [], []
    value = np.empty((1, m))
    while not reader.done:
        expected = f"{n} locations from 1 to {n}, then {m} objective values"
        tokens = reader.line(expected).split()
        if len(tokens) != n + m:
            raise reader.error(f"{expected}: {n + m} numbers", str(len(tokens)))
        x = np.array(reader.parse(expected, tokens[:n]), dtype=np.int64) - 1
        f = np.array(reader.parse(expected, tokens[n:], whole=False))
        if costs(x[None], distance, flow, value) >= 0:
            raise reader.error(f"a permutation of 1 to {n}", " ".join(tokens[:n]))
        if not np.allclose(value[0], f, rtol=1e-12, atol=0.0):
            was = " ".join(_number(v) for v in value[0])
            raise reader.error(
                f"the costs {was} that the instance gives this assignment", " ".join(tokens[n:])
            )
        X.append(x)
        F.append(f)
    points = np.array(F)
    if len(np.unique(points, axis=0)) != len(nondominated(points)):
        raise ValueError(
            f"{reader.path}: expected mutually non-dominated points, got {len(points)} of which "
            f"only {len(nondominated(points))} are."
        )
    return sorted_front(points, np.array(X), f"file {reader.path.name}")
