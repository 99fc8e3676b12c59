"""Designs that a search of serving plans starts from."""

from __future__ import annotations

from collections.abc import Mapping

import moocore
import numpy as np

from moe_costmodel import ModelShape
from problems._arrays import Floats, Ints
from problems.moe.base import evenly
from problems.moe.serving.columns import Columns
from problems.moe.serving.evaluation import Evaluator
from problems.moe.serving.setup import Choices

__all__ = ["candidates", "default_values", "finer"]

# Most batches of each layout, pairs of pools, and gates that are tried.
_BATCHES, _PAIRS, _GATES = 12, 24, 4
_DEFAULT_SEQUENCES, _DEFAULT_TOKENS = 64, 8192


def default_values(
    choices: Choices, highest: Mapping[str, int], n_per_node: int, shape: ModelShape
) -> dict[str, int]:
    """Return the engine's defaults, as indices: tensor parallelism over a node or what is there."""

    def rank(i: int) -> tuple[int, int, int, int]:
        layout = choices.layouts[i]
        beyond = max(0, layout.n_gpus - n_per_node)
        return (layout.pp * layout.dp, beyond, -layout.tp, layout.moe_ep)

    def nearest(values: tuple[int, ...], wanted: int) -> int:
        return int(np.abs(np.log(values) - np.log(wanted)).argmin())

    return {
        "layout": min(range(len(choices.layouts)), key=rank),
        "sequences": nearest(choices.sequences, _DEFAULT_SEQUENCES),
        "tokens": nearest(choices.tokens, _DEFAULT_TOKENS),
        "redundancy": 0,
        "placement": 0,
        "gates": highest["gates"],
    }


def candidates(
    columns: Columns, evaluator: Evaluator, limits: Mapping[str, float], *, all_tokens: bool
) -> Ints:
    """Return designs that an engineer would try first, [n, n_var].

    They are all layouts with a range of batches, the engine's own placement and the best known one,
    and rules that drop ever more. Of two pools, the non-dominated ones are paired. The most tokens
    of a step are the default unless `all_tokens`.
    """
    pools = [
        _pool_rows(columns, evaluator, pool, limits, all_tokens)
        for pool in range(len(columns.pools))
    ]
    rows = pools[0]
    if len(pools) == 2:
        first, second = (evenly(pool, _PAIRS) for pool in pools)
        pairs = np.indices((len(first), len(second))).reshape(2, -1)
        rows = first[pairs[0]]
        rows[:, columns.pools[1]] = second[pairs[1]][:, columns.pools[1]]
    parts = [rows]
    best = int(columns.xu[columns.placement].max(initial=0))
    if best:
        better = rows.copy()
        better[:, columns.placement] = min(best, 2)
        parts.append(better)
    if len(columns.known_gates):
        for gates in evenly(columns.known_gates, _GATES)[1:]:
            gated = parts[-1].copy()
            gated[:, columns.gates] = gates
            parts.append(gated)
    rows = np.clip(np.concatenate(parts), columns.xl, columns.xu)
    distinct: Ints = np.unique(rows, axis=0)
    return distinct


def finer(columns: Columns, rows: Ints) -> Ints:
    """Return rows with the next smaller and larger batches, and all limits of a step's tokens."""
    out = []
    for pool in columns.pools:
        sequences, tokens = pool.start + 1, pool.start + 2
        for step in (-1, 0, 1):
            for most in range(int(columns.xl[tokens]), int(columns.xu[tokens]) + 1):
                near = rows.copy()
                near[:, sequences] += step
                near[:, tokens] = most
                out.append(near)
    found: Ints = np.clip(np.concatenate(out), columns.xl, columns.xu)
    return found


def _pool_rows(
    columns: Columns,
    evaluator: Evaluator,
    pool: int,
    limits: Mapping[str, float],
    all_tokens: bool,
) -> Ints:
    """Return rows with all layouts and batches of one pool; of several pools, its best ones."""
    at = columns.pools[pool]
    low, high = columns.xl[at], columns.xu[at]
    batches = evenly(np.arange(low[1], high[1] + 1), _BATCHES)
    tokens = [int(np.clip(columns.default[at][2], low[2], high[2]))]
    if all_tokens:
        tokens = list(range(int(low[2]), int(high[2]) + 1))
    rows = []
    for layout in range(low[0], high[0] + 1):
        for n in batches:
            for most in tokens:
                row = columns.base_row()
                row[at] = (layout, n, most)
                instance = evaluator.instance(pool, row[at], int(row[columns.redundancy]))
                fits = instance.memory_bytes <= limits["memory_bytes"]
                # The smallest batch stays, for the message about a limit that nothing meets.
                if fits or (n == batches[0] and most == tokens[0]):
                    rows.append(row)
    found = np.array(rows)
    if len(columns.pools) == 1:
        return found
    values = [_pool_values(columns, evaluator, pool, row) for row in found]
    return found[moocore.is_nondominated(np.array(values), keep_weakly=False)]


def _pool_values(columns: Columns, evaluator: Evaluator, pool: int, row: Ints) -> Floats:
    """Return the time of a pool's instance and the GPU-seconds of a request, both minimized."""
    instance = evaluator.instance(pool, row[columns.pools[pool]], int(row[columns.redundancy]))
    times = evaluator.times(instance, row[columns.placement], row[columns.gates])
    time = times.ttft if instance.role == "prefill" else times.tpot_mean
    return np.array([time, instance.layout.n_gpus / times.requests_per_s, instance.memory_bytes])
