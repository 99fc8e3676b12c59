"""Compiled sorting of a step's choices on the CPU, where each torch operation costs microseconds.

A decode step of a small layer takes some 200 us on one core. The torch operations that sort its
choices took a fifth of that, more when a threshold had dropped some.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from moe_costmodel._arrays import Bools, Ints
from moela.compilation.jit import cached_njit

__all__ = ["bags_of", "rows_of", "sort_choices"]


@cached_njit()
def sort_choices(expert: NDArray[np.integer], kept: Bools, n_experts: int) -> tuple[Ints, Ints]:
    """Return the kept choices sorted by expert, in their order within an expert, and the counts.

    `expert` and `kept` have shape (n,); the results have shapes (n_kept,) and (n_experts,).
    """
    counts = np.zeros(n_experts, dtype=np.int64)
    n_kept = 0
    for i in range(len(expert)):
        if kept[i]:
            counts[expert[i]] += 1
            n_kept += 1
    place = np.empty(n_experts, dtype=np.int64)
    begin = 0
    for e in range(n_experts):
        place[e] = begin
        begin += counts[e]
    order = np.empty(n_kept, dtype=np.int64)
    for i in range(len(expert)):
        if kept[i]:
            order[place[expert[i]]] = i
            place[expert[i]] += 1
    return order, counts


@cached_njit()
def rows_of(order: Ints) -> Ints:
    """Return the position in `order`, a permutation, of each choice."""
    row = np.empty(len(order), dtype=np.int64)
    for i in range(len(order)):
        row[order[i]] = i
    return row


@cached_njit()
def bags_of(order: Ints, n_tokens: int, k: int) -> tuple[Ints, Ints, Ints]:
    """Return where each token's choices begin, the choices by token, and their places in `order`.

    `order` (n,) holds some of the ``n_tokens * k`` choices. The results have shapes (n_tokens,),
    (n,), and (n,).
    """
    row = np.full(n_tokens * k, -1, dtype=np.int64)
    for i in range(len(order)):
        row[order[i]] = i
    bags = np.empty(n_tokens, dtype=np.int64)
    chosen = np.empty(len(order), dtype=np.int64)
    places = np.empty(len(order), dtype=np.int64)
    n = 0
    for token in range(n_tokens):
        bags[token] = n
        for choice in range(token * k, token * k + k):
            if row[choice] >= 0:
                chosen[n] = choice
                places[n] = row[choice]
                n += 1
    return bags, chosen, places
