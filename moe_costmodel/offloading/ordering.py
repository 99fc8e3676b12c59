"""Compiled moves of an event's experts within the order in which experts leave.

The cache of compiled code sees a change of this file only if kernels.py, which calls it, is newer:
save that one, too.
"""

from __future__ import annotations

from moe_costmodel._arrays import Floats, Ints
from moela.compilation.jit import cached_njit

__all__ = ["move_to_top", "rise", "sink", "sort_event"]


@cached_njit(nogil=True)
def sort_event(some: Ints, key: Floats, event: Ints) -> None:
    """Write the experts of an event into `event`, lowest key first; of equals, the lower id."""
    for i in range(len(some)):
        expert, place = some[i], i
        while place > 0 and key[event[place - 1]] > key[expert]:
            event[place] = event[place - 1]
            place -= 1
        event[place] = expert


@cached_njit(nogil=True)
def move_to_top(order: Ints, event: Ints, k: int, step: int, needed_in: Ints) -> None:
    """Move the experts of an event above all others, which keep their order ("lru")."""
    n, rest = len(order), 0
    for rank in range(n):
        expert = order[rank]
        order[rest] = expert
        rest += needed_in[expert] != step
    for i in range(k):
        order[n - k + i] = event[i]


@cached_njit(nogil=True)
def sink(order: Ints, event: Ints, k: int, key: Floats) -> None:
    """Merge the experts of an event, which were on top, into the order ("min"; no equal keys)."""
    rest, place = len(order) - k - 1, len(order) - 1
    for i in range(k - 1, -1, -1):
        expert = event[i]
        while rest >= 0 and key[order[rest]] > key[expert]:
            order[place] = order[rest]
            rest -= 1
            place -= 1
        order[place] = expert
        place -= 1


@cached_njit(nogil=True)
def rise(
    order: Ints, rank: Ints, event: Ints, k: int, key: Floats, step: int, placed_in: Ints
) -> None:
    """Move the experts of an event up, after their keys have grown (policies that count).

    Of equals, experts of the event are above the others, and higher ids above lower ones.
    """
    n = len(order)
    for i in range(k - 1, -1, -1):
        expert = event[i]
        place, own = rank[expert], key[expert]
        while place + 1 < n:
            other = order[place + 1]
            if key[other] > own or (key[other] == own and placed_in[other] == step):
                break
            order[place] = other
            rank[other] = place
            place += 1
        order[place] = expert
        rank[expert] = place
        placed_in[expert] = step
