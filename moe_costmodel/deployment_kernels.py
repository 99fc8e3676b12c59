"""The compiled parts of a layer's evaluation: what is kept, where it goes, what it takes."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from moe_costmodel.layer_table import _interpolate

__all__ = [
    "copy_ranks",
    "count_kept",
    "kept_choices",
    "remote_nodes",
    "split_counts",
    "table_times",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@numba.njit(cache=True)
def kept_choices(
    weights: NDArray[np.float32],
    total: NDArray[np.float32],
    code: int,
    value: float,
    k_min: int,
    out: NDArray[np.uint8],
) -> None:
    """Write how many of its heaviest choices each token keeps.

    The rules of :func:`moe_costmodel.gate_rules.keep_mask`, all of which keep the heaviest.

    Parameters
    ----------
    weights : ndarray of shape (n_tokens, k)
        Heaviest first.
    total : ndarray of shape (n_tokens,)
        Sum of each token's weights, added in the trace's order (as keep_mask does).
    code : int
        Of the rule, in the order of :data:`moe_costmodel.gate_rules.RULES`.
    """
    n, k = weights.shape
    threshold = np.float32(value)
    for token in range(n):
        row = weights[token]
        kept = 0
        before = np.float32(0.0)
        for rank in range(k):
            if code == 0:
                keep = row[rank] >= threshold * row[0]
            elif code == 1:
                keep = before < threshold * total[token]
            else:
                keep = rank < value
            if not (keep or rank < k_min):
                break
            kept += 1
            before += row[rank]
        out[token] = kept


@numba.njit(cache=True)
def count_kept(
    ids: NDArray[Any], kept: NDArray[np.uint8], step: IntArray, out: NDArray[np.int32]
) -> None:
    """Add up the tokens of each expert in each step, [n_steps, n_experts]."""
    for token in range(len(ids)):
        if step[token] >= 0:
            for rank in range(kept[token]):
                out[step[token], ids[token, rank]] += 1


@numba.njit(cache=True)
def copy_ranks(slots: IntArray, n_experts: int) -> tuple[IntArray, IntArray]:
    """Return the copies of the expert in each slot, and which of them the slot is."""
    copies = np.zeros(n_experts, dtype=np.int64)
    rank = np.empty(len(slots), dtype=np.int64)
    for slot in range(len(slots)):
        rank[slot] = copies[slots[slot]]
        copies[slots[slot]] += 1
    return copies, rank


@numba.njit(cache=True)
def split_counts(
    counts: NDArray[np.int32],
    slots: IntArray,
    copies: IntArray,
    rank: IntArray,
    out: NDArray[np.int32],
) -> None:
    """Deal each expert's tokens out to its copies, [n_steps, n_slots].

    Copies get as many, to one token; which get the one more goes round, step by step.
    """
    n_slots = len(slots)
    for step in range(len(counts)):
        for slot in range(n_slots):
            tokens = counts[step, slots[slot]]
            c = copies[slots[slot]]
            if c > 1 and tokens > 0:
                more = 1 if (rank[slot] - step) % c < tokens % c else 0
                tokens = tokens // c + more
            out[step, slot] = tokens


@numba.njit(cache=True)
def table_times(
    tokens: NDArray[np.int32],
    n_devices: int,
    axes: tuple[FloatArray, FloatArray, FloatArray],
    memo: FloatArray,
    seconds: FloatArray,
    active: IntArray,
    rows: IntArray,
) -> None:
    """Write each device's time as a LayerTable has it, active experts, and rows.

    Parameters
    ----------
    tokens : ndarray of shape (n_steps, n_slots)
    axes : tuple
        `active`, `each` and `log_seconds` of the table.
    memo : ndarray of shape (n_local + 1, most rows + 1, most of one expert + 1)
        Times already looked up, NaN where not; empty to do without. A table's time depends on
        these three alone, so that a time from here is that of the table to the bit.
    seconds, active, rows : ndarray of shape (n_steps, n_devices)
    """
    n_steps, n_slots = tokens.shape
    n_local = n_slots // n_devices
    one = np.empty(1)
    for step in range(n_steps):
        for device in range(n_devices):
            n, total, largest = 0, 0, 0
            start = device * n_local
            for slot in range(start, start + n_local):
                value = tokens[step, slot]
                if value > 0:
                    n += 1
                    total += value
                    largest = max(largest, value)
            active[step, device] = n
            rows[step, device] = total
            known = np.nan
            if memo.size:
                known = memo[n, total, largest]
            if np.isnan(known):
                part = tokens[step : step + 1, start : start + n_local]
                _interpolate(part, axes[0], axes[1], axes[2], one)
                known = one[0]
                if memo.size:
                    memo[n, total, largest] = known
            seconds[step, device] = known


@numba.njit(cache=True)
def remote_nodes(
    ids: NDArray[Any],
    kept: NDArray[np.uint8],
    window: IntArray,
    per_node: NDArray[np.bool_],
    out: FloatArray,
) -> None:
    """Add up the other nodes that tokens are sent to, window by window, over all homes.

    As :func:`moe_costmodel.placement.cross_node_traffic` for one layer, of the kept choices.
    """
    n_nodes = per_node.shape[1]
    primary = np.zeros(per_node.shape[0], dtype=np.int64)
    for expert in range(per_node.shape[0]):
        for node in range(n_nodes - 1, -1, -1):
            if per_node[expert, node]:
                primary[expert] = node
    visited = np.zeros(n_nodes, dtype=np.bool_)
    for token in range(len(ids)):
        for home in range(n_nodes):
            visited[:] = False
            for rank in range(kept[token]):
                expert = ids[token, rank]
                if not per_node[expert, home] and not visited[primary[expert]]:
                    visited[primary[expert]] = True
                    out[window[token]] += 1
