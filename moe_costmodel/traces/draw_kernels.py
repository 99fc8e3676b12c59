"""Compiled draws of tokens from the loads of recorded steps."""

from __future__ import annotations

import numpy as np

from moe_costmodel._arrays import Floats, Ints
from moela.compilation.jit import cached_njit

__all__ = ["draw_choices"]

_SPARSE = 64  # steps of so many times the drawn tokens are large: a token is hardly drawn twice


@cached_njit()
def draw_choices(
    counts: Floats,
    parts: Ints,
    sizes: Ints,
    k: int,
    orders: Ints,
    uniform: Floats,
    out: Ints,
) -> None:
    """Draw the choices of tokens from the loads of one layer.

    The choices of a recorded step of n tokens lie on a line of length n k, expert by expert in
    random order. Token t takes those at t, t + n, ..., t + (k - 1) n: k different experts, since no
    expert has more than n choices (systematic sampling with unequal probabilities; Hartley and Rao,
    Annals of Mathematical Statistics 33, 1962). All n tokens together take each choice once.

    Parameters
    ----------
    counts : float array of shape (n_recorded, n_experts)
        Choices of each expert in each recorded step.
    parts : int array of shape (n_parts, 2)
        Recorded step of each part of a drawn step, and the tokens to draw from it.
    sizes : int array of shape (n_recorded,)
        Tokens of each recorded step, each of which is drawn at most once in a part; 0 to draw
        tokens independently of each other.
    k : int
        Choices of a token.
    orders : int array of shape (n_parts, n_experts)
        Random orders of the experts.
    uniform : float array of shape (n_parts + n_tokens,)
        Random numbers from 0 to 1: for each part, one and those of its tokens.
    out : int array of shape (n_tokens, k)
        Takes the choices.
    """
    n_experts = counts.shape[1]
    ends = np.empty(n_experts)
    pool = np.arange(sizes.max())
    row, at = 0, 0
    for p in range(len(parts)):
        step, n = parts[p, 0], parts[p, 1]
        order, size = orders[p], sizes[step]
        total, last = 0.0, 0
        for i in range(n_experts):
            total += counts[step, order[i]]
            ends[i] = total
            if counts[step, order[i]] > 0:
                last = i
        length = total / k
        phase = uniform[at]
        if n <= size <= _SPARSE * n:
            for i in range(size):
                pool[i] = i
        for i in range(n):
            u = uniform[at + 1 + i]
            if n > size:
                place = u * length
            elif size > _SPARSE * n:
                place = (np.floor(u * size) + phase) * length / size
            else:
                # Shuffle as many as are needed (Fisher and Yates).
                other = i + int(u * (size - i))
                pool[i], pool[other] = pool[other], pool[i]
                place = (pool[i] + phase) * length / size
            for j in range(k):
                found = np.searchsorted(ends, place + j * length, side="right")
                out[row, j] = order[min(found, last)]
            row += 1
        at += 1 + n
