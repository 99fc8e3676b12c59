"""Simple, slow versions of the three problems, to check the fast ones."""

from __future__ import annotations

import itertools

import numpy as np


def qap_costs(problem, x):
    n = len(x)
    return [
        sum(problem.distance[x[i]][x[j]] * flow[i][j] for i in range(n) for j in range(n))
        for flow in problem.flow
    ]


def knapsack_values(problem, x):
    return [
        -sum(int(problem.values[i][k]) for i in range(len(x)) if x[i]) for k in range(problem.n_obj)
    ]


def mnk_values(problem, x):
    n = len(x)
    out = []
    for links, tables in zip(problem.links, problem.tables, strict=True):
        total = 0.0
        for i in range(n):
            index = sum(int(x[link]) * 2**j for j, link in enumerate(links[i]))
            total += tables[i][index]
        out.append(-total / n)
    return out


def values(problem, x):
    kind = type(problem).__name__
    return {
        "MultiObjectiveQAP": qap_costs,
        "MultiObjectiveKnapsack": knapsack_values,
        "MNKLandscape": mnk_values,
    }[kind](problem, x)


def legal_designs(problem):
    """Return every legal, feasible design."""
    if type(problem).__name__ == "MultiObjectiveQAP":
        yield from itertools.permutations(range(problem.n_var))
        return
    for bits in itertools.product([False, True], repeat=problem.n_var):
        if type(problem).__name__ == "MultiObjectiveKnapsack":
            weight = sum(int(w) for w, b in zip(problem.weights, bits, strict=True) if b)
            if weight > problem.capacity:
                continue
        yield bits


def front(points):
    """Return the set of non-dominated points. A point that dominates another one sorts first."""
    kept = []
    for p in sorted(set(map(tuple, points))):
        if not any(all(b <= a for a, b in zip(p, q, strict=True)) for q in kept):
            kept.append(p)
    return set(kept)


def is_legal(problem, x):
    """Return whether operators may return `x`: a permutation, or bits, feasible and maximal."""
    if type(problem).__name__ == "MultiObjectiveQAP":
        return sorted(int(v) for v in x) == list(range(problem.n_var))
    if x.dtype != bool or len(x) != problem.n_var:
        return False
    if type(problem).__name__ == "MultiObjectiveKnapsack":
        room = problem.capacity - int(problem.weights[x].sum())
        return room >= 0 and not np.any(problem.weights[~x] <= room)
    return True
