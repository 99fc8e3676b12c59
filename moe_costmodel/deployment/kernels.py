"""Compiled parts of a deployment's evaluation: kept choices, loads of steps, statistics."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from moe_costmodel._arrays import Floats, Ints
from moela.compilation.jit import cached_njit

__all__ = [
    "kept_choices", "kth_smallest", "remote_nodes", "step_counts", "step_entries",
    "step_statistics",
]  # fmt: skip


@cached_njit()
def kept_choices(
    weights: NDArray[np.float32],
    total: NDArray[np.float32],
    code: int,
    value: float,
    k_min: int,
    kept: NDArray[np.uint8],
    mass: NDArray[np.float32],
) -> None:
    """Write how many of its heaviest choices each token keeps, and their weight.

    The rules are those of :func:`moe_costmodel.keep_mask`, coded in the order of
    :data:`moe_costmodel.gating.rules.RULES`. `weights`, (n_tokens, k), are heaviest first; their
    sums `total` were added in the order of the trace, as keep_mask does.
    """
    n, k = weights.shape
    threshold = np.float32(value)
    for token in range(n):
        before = np.float32(0.0)
        rank = 0
        while rank < k:
            weight = weights[token, rank]
            if rank >= k_min:
                if code == 0:
                    if weight < threshold * weights[token, 0]:
                        break
                elif code == 1:
                    if before >= threshold * total[token]:
                        break
                elif rank >= value:
                    break
            before += weight
            rank += 1
        kept[token] = rank
        mass[token] = before


@cached_njit()
def step_counts(
    ids: NDArray[np.uint16], kept: NDArray[np.uint8], batch_size: int, out: NDArray[np.int32]
) -> None:
    """Add up the tokens of each expert in each step in `out`, (n_steps, n_experts), of zeros.

    `ids` has the choices of the tokens, step by step, (n_steps * batch_size, k), and `kept` how
    many of the first choices of each token count.
    """
    k = ids.shape[1]
    for step in range(len(out)):
        for token in range(step * batch_size, (step + 1) * batch_size):
            n = kept[token]
            # Adding 0 is faster than a branch that is hard to predict.
            for rank in range(k):
                out[step, ids[token, rank]] += 1 if rank < n else 0


@cached_njit()
def step_entries(
    ids: NDArray[np.uint16], kept: NDArray[np.uint8], batch_size: int, n_experts: int
) -> tuple[Ints, NDArray[np.int32], NDArray[np.int32]]:
    """Return `bounds` of each step, and its active experts, ascending, with their tokens.

    Step s has the entries ``bounds[s]`` to ``bounds[s + 1]``. Parameters as of `step_counts`.
    """
    n_steps = len(ids) // batch_size
    bounds = np.zeros(n_steps + 1, dtype=np.int64)
    experts = np.empty(ids.size, dtype=np.int32)
    tokens = np.empty(ids.size, dtype=np.int32)
    counts = np.zeros(n_experts, dtype=np.int32)
    n = 0
    for step in range(n_steps):
        first = n
        for token in range(step * batch_size, (step + 1) * batch_size):
            for rank in range(kept[token]):
                expert = ids[token, rank]
                if counts[expert] == 0:
                    place = n
                    while place > first and experts[place - 1] > expert:
                        experts[place] = experts[place - 1]
                        place -= 1
                    experts[place] = expert
                    n += 1
                counts[expert] += 1
        for i in range(first, n):
            tokens[i] = counts[experts[i]]
            counts[experts[i]] = 0
        bounds[step + 1] = n
    return bounds, experts[:n].copy(), tokens[:n].copy()


@cached_njit()
def kth_smallest(values: Floats, k: int) -> float:
    """Return the value of rank k, from 0, and reorder the values (Hoare 1961, "Find", CACM 4(7)).

    numba takes several seconds to compile `np.partition`, and a fraction of one for this.
    """
    low, high = 0, len(values) - 1
    while low < high:
        pivot = values[(low + high) // 2]
        left, right = low, high
        while left <= right:
            while values[left] < pivot:
                left += 1
            while values[right] > pivot:
                right -= 1
            if left <= right:
                values[left], values[right] = values[right], values[left]
                left += 1
                right -= 1
        if k <= right:
            high = right
        elif k >= left:
            low = left
        else:
            break
    return values[k]


@cached_njit()
def step_statistics(step: Floats, bounds: Ints, out: Floats) -> None:
    """Write steps per second, mean, median and 99th percentile of each window, [4, n_windows].

    A percentile is the smallest value that this share of the steps does not exceed.
    """
    for w in range(len(bounds) - 1):
        part = step[bounds[w] : bounds[w + 1]].copy()
        n = len(part)
        half, high = int(np.ceil(0.5 * n)) - 1, int(np.ceil(0.99 * n)) - 1
        total = 0.0
        for value in part:
            total += value
        out[0, w] = n / total if total > 0 else np.inf
        out[1, w] = total / n
        out[2, w] = kth_smallest(part, half)
        out[3, w] = kth_smallest(part, high)


@cached_njit()
def remote_nodes(
    ids: NDArray[np.uint16],
    kept: NDArray[np.uint8],
    window: Ints,
    per_node: NDArray[np.bool_],
    out: Floats,
) -> None:
    """Add up the other nodes that tokens are sent to, window by window, over all source nodes.

    Does for the kept choices of one layer what :func:`moe_costmodel.cross_node_traffic` does.
    """
    n_nodes = per_node.shape[1]
    primary = np.zeros(per_node.shape[0], dtype=np.int64)
    for expert in range(per_node.shape[0]):
        for node in range(n_nodes - 1, -1, -1):
            if per_node[expert, node]:
                primary[expert] = node
    visited = np.zeros(n_nodes, dtype=np.bool_)
    for token in range(len(ids)):
        for source in range(n_nodes):
            visited[:] = False
            for rank in range(kept[token]):
                expert = ids[token, rank]
                if not per_node[expert, source] and not visited[primary[expert]]:
                    visited[primary[expert]] = True
                    out[window[token]] += 1
