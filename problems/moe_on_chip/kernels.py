"""Compiled loops: visits of tokens to tiles, and the search for the places of a layer's experts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from problems._arrays import Floats, Ints
from problems.noc.chip.jit import compiled

__all__ = ["Counts", "add_fetches", "add_visits", "describe", "spread"]

Counts = NDArray[np.int32]


@compiled
def add_visits(
    ids: NDArray[np.integer],
    step: Ints,
    source: Ints,
    pe_of: Ints,
    once: bool,
    by: int,
    out: Counts,
) -> None:
    """Add ``by`` for each visit of a token of one layer to a PE with experts of its choice.

    Parameters
    ----------
    ids : int array [n_tokens, k]
        Experts of each token.
    step, source : int array [n_tokens]
        Step of each token, and the PE that holds it; a visit to that PE does not count.
    pe_of : int array [n_experts]
        PE of each expert.
    once : bool
        Whether a token visits a PE with several of its experts once.
    by : int
        -1 removes visits again.
    out : int32 array [n_steps, n_pes, n_pes]
    """
    for t in range(len(ids)):
        i = source[t]
        row = out[step[t], i]
        for c in range(ids.shape[1]):
            j = pe_of[ids[t, c]]
            if j == i:
                continue
            known = False
            if once:
                for d in range(c):
                    if pe_of[ids[t, d]] == j:
                        known = True
                        break
            if not known:
                row[j] += by


@compiled
def add_fetches(active: NDArray[np.bool_], pe_of: Ints, memory: Ints, by: int, out: Counts) -> None:
    """Add ``by`` for each expert of a layer that a step fetches from its memory PE.

    Parameters
    ----------
    active : bool array [n_steps, n_experts]
        Experts that have a token in the step.
    pe_of : int array [n_experts]
    memory : int array [n_experts]
        PE whose memory holds the expert.
    by : int
    out : int32 array [n_steps, n_pes, n_pes]
    """
    for s in range(len(active)):
        for e in range(len(pe_of)):
            if active[s, e] and memory[e] != pe_of[e]:
                out[s, memory[e], pe_of[e]] += by


@compiled
def spread(
    pairs: Floats, alone: Floats, target: Ints, room: Ints, order: Ints, most_rounds: int
) -> float:
    """Improve the targets of experts in place by moves and swaps; return the final cost.

    The cost is the sum of ``pairs`` over ordered pairs of experts with one target, plus the sum of
    ``alone``. Of each expert the best move or swap is made, until a round improves nothing.

    Parameters
    ----------
    pairs : float array [n_experts, n_experts]
        Symmetric.
    alone : float array [n_experts, n_targets]
    target : int array [n_experts]
    room : int array [n_targets]
        Further experts that each target may take; changed in place.
    order : int array [n_experts]
        Order in which experts are tried.
    most_rounds : int
    """
    n_experts, n_targets = alone.shape
    field = alone.copy()
    for e in range(n_experts):
        for o in range(n_experts):
            if o != e:
                field[e, target[o]] += 2.0 * pairs[e, o]
    for _ in range(most_rounds):
        improved = False
        for e in order:
            own = target[e]
            best, best_target, partner = -1e-9 * abs(field[e, own]), -1, -1
            for q in range(n_targets):
                change = field[e, q] - field[e, own]
                if q != own and room[q] > 0 and change < best:
                    best, best_target, partner = change, q, -1
            for o in range(n_experts):
                q = target[o]
                if q == own:
                    continue
                change = field[e, q] - field[e, own] + field[o, own] - field[o, q]
                change -= 4.0 * pairs[e, o]
                if change < best:
                    best, best_target, partner = change, q, o
            if best_target < 0:
                continue
            improved = True
            room[best_target] -= 1
            room[own] += 1
            target[e] = best_target
            for x in range(n_experts):
                if x != e:
                    field[x, own] -= 2.0 * pairs[x, e]
                    field[x, best_target] += 2.0 * pairs[x, e]
            if partner >= 0:
                room[best_target] += 1
                room[own] -= 1
                target[partner] = own
                for x in range(n_experts):
                    if x != partner:
                        field[x, best_target] -= 2.0 * pairs[x, partner]
                        field[x, own] += 2.0 * pairs[x, partner]
        if not improved:
            break
    total = 0.0
    for e in range(n_experts):
        total += 0.5 * (field[e, target[e]] + alone[e, target[e]])
    return total


@compiled
def describe(
    rows: Ints,
    mean: Floats,
    together: Floats,
    first_pe: int,
    place: Ints,
    sources: Floats,
    out: Floats,
) -> None:
    """Fill ``out`` [n, 5] with features of mappings; see `problems.moe_on_chip.moves.FEATURES`.

    Parameters
    ----------
    rows : int array [n, n_layers * n_experts + n_tiles + ...]
        PE of each expert, then the PE on each tile.
    mean : float array [n_layers, n_experts]
        Mean tokens of each expert in a step.
    together : float array [n_layers, n_experts, n_experts]
    first_pe : int
        Smallest id of a PE that holds experts.
    place : int array [n_tiles, 3]
        Position of each tile.
    sources : float array [n_tiles]
        Share of the tokens that live on each PE.
    out : float array [n, 5]
    """
    n_layers, n_experts = mean.shape
    n = len(sources)
    load, layer_load, distance = np.empty(n), np.empty(n), np.empty(n)
    total = mean.sum()
    for i in range(len(rows)):
        placement = rows[i, n_layers * n_experts :]
        for a in range(n):
            far = 0.0
            for b in range(n):
                share = sources[placement[b]]
                if share > 0.0:
                    steps = 0
                    for axis in range(3):
                        steps += abs(place[a, axis] - place[b, axis])
                    far += share * steps
            distance[placement[a]] = far
        load[:] = 0.0
        squares, near, shared = 0.0, 0.0, 0.0
        for layer in range(n_layers):
            layer_load[:] = 0.0
            experts = rows[i, layer * n_experts : (layer + 1) * n_experts]
            for e in range(n_experts):
                pe = experts[e]
                layer_load[pe] += mean[layer, e]
                near += mean[layer, e] * distance[pe]
                for o in range(e):
                    if experts[o] == pe:
                        shared += together[layer, e, o]
            for pe in range(first_pe, n):
                squares += layer_load[pe] ** 2
                load[pe] += layer_load[pe]
        most, deviation = 0.0, 0.0
        for pe in range(first_pe, n):
            most = max(most, load[pe])
            deviation += load[pe] ** 2
        out[i, 0] = near / total
        out[i, 1] = most / total
        out[i, 2] = np.sqrt(deviation) / total
        out[i, 3] = np.sqrt(squares) / total
        out[i, 4] = shared / total
