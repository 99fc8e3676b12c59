"""Instances of the multi-objective QAP: the two published generators, and the public files."""

from __future__ import annotations

import re
from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from moela.files.guard import brief, invalid_file
from problems._arrays import Floats, Ints
from problems._checks import check_int, check_real, setting_error
from problems.classic.correlated import pulled_uniforms
from problems.classic.front import KnownFront, sorted_front
from problems.classic.qap.kernels import costs
from problems.classic.textfile import MAX_OBJECTIVES, MAX_POINTS, LineReader

__all__ = [
    "OWNER",
    "clustered_points",
    "correlations",
    "read_front",
    "read_instance",
    "real_like_pairs",
    "symmetric",
    "uniform_pairs",
    "write_instance",
]


OWNER = "MultiObjectiveQAP.random"
_HEADER = re.compile(
    r"facilities\s*[=:]?\s*([0-9]{1,9})\s+objectives\s*[=:]?\s*([0-9]{1,9})\b", re.IGNORECASE
)
_MAX_OPERATIONS = 10**9  # of the evaluation of a front: some seconds


def uniform_pairs(
    n: int, pulls: Sequence[float], max_distance: int, max_flow: int, rng: np.random.Generator
) -> list[Floats]:
    """Return distances, and flows of each objective, of the pairs of facilities [n(n-1)/2]."""
    check_int(OWNER, "max_distance", max_distance, 1)
    check_int(OWNER, "max_flow", max_flow, 1)
    n_pairs = n * (n - 1) // 2
    distances = 1.0 + np.floor(max_distance * rng.random(n_pairs))
    first = rng.random(n_pairs)
    variates = [first] + [pulled_uniforms(first, c, rng) for c in pulls]
    return [distances] + [np.minimum(1.0 + np.floor(max_flow * v), max_flow) for v in variates]


def real_like_pairs(
    points: Floats,
    pulls: Sequence[float],
    overlap: float,
    flow_exponents: tuple[float, float],
    rng: np.random.Generator,
) -> list[Floats]:
    """Return distances, and flows of each objective, of the pairs of points [n(n-1)/2]."""
    check_real(OWNER, "overlap", overlap, 0.0, 1.0)
    low, high = _exponents(flow_exponents)
    upper = np.triu_indices(len(points), 1)
    gaps = points[upper[0]] - points[upper[1]]
    distances = np.floor(np.hypot(gaps[:, 0], gaps[:, 1]))
    first = rng.random(len(gaps))
    flows = [np.floor(10.0 ** (low + (high - low) * first))]
    for c in pulls:
        shared = rng.random(len(gaps)) <= overlap
        pulled = np.floor(10.0 ** (low + (high - low) * pulled_uniforms(first, c, rng)))
        # Outside the overlap, a flow exists exactly where the first matrix has none.
        apart = np.where(flows[0] == 0, np.floor(10.0 ** (high * rng.random(len(gaps)))), 0)
        flows.append(np.where(shared, pulled, apart))
    return [distances, *flows]


def symmetric(n: int, values: Floats) -> Floats:
    """Return the symmetric matrix [n, n] with zero diagonal of the values of its pairs."""
    matrix = np.zeros((n, n))
    matrix[np.triu_indices(n, 1)] = values
    return matrix + matrix.T


def correlations(correlation: float | Sequence[float], n_obj: int) -> list[float]:
    """Return one checked correlation for each objective after the first."""
    if isinstance(correlation, int | float | np.number):
        return [check_real(OWNER, "correlation", correlation, -1.0, 1.0)] * (n_obj - 1)
    values = list(correlation)
    if len(values) != n_obj - 1:
        expected = f"one number, or {n_obj - 1} (one for each objective after the first)"
        raise setting_error(OWNER, "correlation", expected, values)
    return [check_real(OWNER, "correlation", value, -1.0, 1.0) for value in values]


def _exponents(flow_exponents: tuple[float, float]) -> tuple[float, float]:
    if len(flow_exponents) != 2:
        raise setting_error(OWNER, "flow_exponents", "a pair (A, B)", flow_exponents)
    low = check_real(OWNER, "flow_exponents", flow_exponents[0], -50.0, 12.0)
    high = check_real(OWNER, "flow_exponents", flow_exponents[1], 0.0, 12.0)
    if low >= high:
        raise setting_error(OWNER, "flow_exponents", "a pair (A, B) with A < B", flow_exponents)
    return low, high


def clustered_points(
    n: int, cluster_radius: float, cluster_size: int, point_radius: float, rng: np.random.Generator
) -> Floats:
    """Return points [n, 2] with whole coordinates in clusters; see `MultiObjectiveQAP.random`."""
    check_real(OWNER, "cluster_radius", cluster_radius, 0.0, 1e6)
    check_real(OWNER, "point_radius", point_radius, 0.0, 1e6)
    check_int(OWNER, "cluster_size", cluster_size, 1)
    points: list[Floats] = []
    while len(points) < n:
        center = np.floor(cluster_radius * rng.random()) * _direction(rng)
        for _ in range(min(int(rng.integers(1, cluster_size + 1)), n - len(points))):
            offset = np.floor(point_radius * rng.random()) * _direction(rng)
            points.append(np.trunc(center + offset))
    return np.array(points)


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
        raise reader.error(expected, brief(header))
    n, m = int(match[1]), int(match[2])
    if n < 2 or not 1 <= m <= MAX_OBJECTIVES:
        sizes = f"at least 2 facilities and 1 to {MAX_OBJECTIVES} objectives"
        raise reader.error(sizes, f"{n} and {m}")
    entries = array("d")  # grows: no memory is taken for a header alone
    for number in range(m + 1):
        what = "the distance matrix" if number == 0 else f"flow matrix {number} of {m}"
        for row in range(n):
            entries.extend(reader.numbers(f"row {row + 1} of {n} of {what}", n, whole=False))
    reader.end()
    matrices = np.array(entries).reshape(m + 1, n, n)
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
    """Return the front of a `.PO` file after an evaluation of each line.

    A line holds the location (from 1) of each facility, then the objective values.
    """
    reader = LineReader(path)
    m, n = flows.shape[:2]
    flow = np.ascontiguousarray(flows.transpose(1, 2, 0))
    X: list[Ints] = []
    F: list[Floats] = []
    value = np.empty((1, m))
    most = min(MAX_POINTS, max(1, _MAX_OPERATIONS // (m * n * n)))
    expected = f"{n} locations from 1 to {n}, then {m} objective values"
    while not reader.done:
        tokens = reader.words(expected, n + m)
        if len(X) == most:
            raise reader.error(f"the end of the file after {most:,} points", brief(tokens[0]))
        x = np.array(reader.parse(expected, tokens[:n], high=n), dtype=np.int64) - 1
        f = np.array(reader.parse(expected, tokens[n:], whole=False, first=n + 1))
        if costs(x[None], distance, flow, value) >= 0:
            raise reader.error(f"a permutation of 1 to {n}", " ".join(tokens[:n]))
        if not np.allclose(value[0], f, rtol=1e-12, atol=0.0):
            own = " ".join(_number(v) for v in value[0])
            raise reader.error(
                f"the costs {own} that the instance gives this assignment", " ".join(tokens[n:])
            )
        X.append(x)
        F.append(f)
    points = np.array(F)
    front = sorted_front(points, np.array(X), f"file {reader.path.name}")
    if len(front.F) != len(np.unique(points, axis=0)):
        words = f"{len(points)} of which only {len(front.F)} are"
        raise invalid_file(path, words, "mutually non-dominated points")
    return front
