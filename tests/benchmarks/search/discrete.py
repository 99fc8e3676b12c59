"""Functions of many bits, integers, options and orders."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from pymoo.algorithms.moo.sms import SMSEMOA

import moela
from moela import MOELA
from moela.rivals import BatchMOEAD
from tests.benchmarks.search.functions import EVOLUTION, Case, case
from tests.benchmarks.search.reports import study_of_functions
from tests.benchmarks.search.study import OURS


def _names(n: int) -> list[str]:
    return [f"x{i:02}" for i in range(n)]


def cut(n: int = 80) -> Case:
    """A cut of a graph with two weights, as heavy as possible in both."""
    rng = np.random.default_rng(3)
    upper = np.triu(rng.random((2, n, n)) * (rng.random((2, n, n)) < 0.15), 1)
    weights = upper + upper.transpose(0, 2, 1)

    def weigh(d: dict[str, Any]) -> list[float]:
        side = np.array([d[name] for name in _names(n)], dtype=float)
        return (weights @ (1.0 - side) @ side).tolist()

    return case(weigh, dict.fromkeys(_names(n), bool), {"first": "max", "second": "max"})


def leading(n: int = 60) -> Case:
    """Leading ones and trailing zeros: of all bits, only one can improve an objective."""

    def count(d: dict[str, Any]) -> tuple[int, int]:
        bits = np.array([d[name] for name in _names(n)])
        return int(np.cumprod(bits).sum()), int(np.cumprod(~bits[::-1]).sum())

    return case(count, dict.fromkeys(_names(n), bool), {"ones": "max", "zeros": "max"})


def frequencies(n: int = 40, n_channels: int = 5) -> Case:
    """Channels of transmitters: neighbors with the same one, and cost."""
    rng = np.random.default_rng(5)
    first, second = np.argwhere(np.triu(rng.random((n, n)) < 0.2, 1)).T
    costs = rng.random((n, n_channels))
    channels = [f"channel {k}" for k in range(n_channels)]

    def disturb(d: dict[str, Any]) -> tuple[int, float]:
        chosen = np.array([channels.index(d[name]) for name in _names(n)])
        return int((chosen[first] == chosen[second]).sum()), costs[np.arange(n), chosen].sum()

    return case(disturb, dict.fromkeys(_names(n), channels), ["conflicts", "cost"])


def layers(n: int = 14, n_kinds: int = 5) -> Case:
    """Kinds of the layers of a network: error, which depends on neighbors, and latency."""
    rng = np.random.default_rng(6)
    alone, time = rng.random((2, n, n_kinds))
    pairs = 0.4 * rng.standard_normal((n - 1, n_kinds, n_kinds))
    kinds = [f"kind {k}" for k in range(n_kinds)]

    def train(d: dict[str, Any]) -> tuple[float, float]:
        chosen = np.array([kinds.index(d[name]) for name in _names(n)])
        at = np.arange(n)
        gain = alone[at, chosen].sum() + pairs[at[:-1], chosen[:-1], chosen[1:]].sum()
        return float(np.exp(-0.3 * gain)), (time[at, chosen] ** 2 * (1 + chosen)).sum()

    return case(train, dict.fromkeys(_names(n), kinds), ["error", "latency"])


def levels(n: int = 30) -> Case:
    """Integers near two targets, by distances in which all of them depend on each other."""
    rng = np.random.default_rng(4)
    factors, targets = rng.standard_normal((2, n, n)), rng.integers(0, 100, (2, n))

    def miss(d: dict[str, Any]) -> list[float]:
        apart = np.array([d[name] for name in _names(n)]) - targets
        return (np.einsum("kij,ki->kj", factors, apart) ** 2).mean(axis=1).tolist()

    return case(miss, dict.fromkeys(_names(n), (0, 99)), ["first", "second"])


def setups(n: int = 30) -> Case:
    """Jobs on a machine that is set up for each: weighted tardiness and the end."""
    rng = np.random.default_rng(7)
    times, weights = rng.integers(1, 20, n), rng.integers(1, 10, n)
    due, between = rng.integers(0, times.sum(), n), rng.integers(0, 12, (n, n))

    def work(d: dict[str, Any]) -> tuple[int, int]:
        jobs = np.array(d["jobs"])
        wait = np.concatenate([[0], between[jobs[:-1], jobs[1:]]])
        ends = np.cumsum(times[jobs] + wait)
        late = np.maximum(0, ends - due[jobs])
        return int((weights[jobs] * late).sum()), int(ends[-1])

    return case(work, {"jobs": moela.permutation(n)}, ["tardiness", "end"])


def routes(n: int = 40, capacity: int = 100) -> Case:
    """Routes of vans that return when they are full: length, and that of the longest one."""
    rng = np.random.default_rng(8)
    places, loads = rng.random((n + 1, 2)), rng.integers(5, 30, n)
    far = np.linalg.norm(places[:, None] - places, axis=2)

    def drive(d: dict[str, Any]) -> tuple[float, float]:
        lengths, at, load = [0.0], 0, 0
        for place in d["order"]:
            if load + loads[place] > capacity:
                lengths[-1] += far[at, 0]
                lengths, at, load = [*lengths, 0.0], 0, 0
            lengths[-1] += far[at, place + 1]
            at, load = place + 1, load + loads[place]
        lengths[-1] += far[at, 0]
        return sum(lengths), max(lengths)

    return case(drive, {"order": moela.permutation(n)}, ["total", "longest"])


def shares(n: int = 15, most: int = 6) -> Case:
    """At most six assets, and the shares of those that are held: return and risk."""
    rng = np.random.default_rng(9)
    gains, factors = 0.2 * rng.random(n), 0.2 * rng.standard_normal((n, n))
    risks = factors @ factors.T / n + np.diag(0.02 * rng.random(n))

    def invest(d: dict[str, Any]) -> tuple[float, float, int]:
        held = [d[f"hold {name}"] for name in _names(n)]
        parts = np.array([d.get(f"share {name}", 0.0) for name in _names(n)])
        parts = parts / parts.sum() if parts.any() else np.full(n, 1.0 / n)
        return float(parts @ gains), float(parts @ risks @ parts), sum(held)

    variables: dict[str, Any] = {}
    for name in _names(n):
        variables[f"hold {name}"] = bool
        variables[f"share {name}"] = moela.real(0.01, 1.0, when={f"hold {name}": True})
    return case(invest, variables, {"return": "max", "risk": "min"}, {"held": (1, most)})


CASES: dict[str, Any] = {
    "cut": cut,
    "leading bits": leading,
    "frequencies": frequencies,
    "layers": layers,
    "levels": levels,
    "setups": setups,
    "routes": routes,
    "shares": shares,
}

DISCRETE_FUNCTIONS = study_of_functions(
    title="Functions of bits, integers, options and orders",
    about="Functions of many discrete variables. Hypervolume of the feasible front relative to "
    "that of the best rival: medians over the seeds. The box in which it is measured holds the "
    "fronts of all runs with the same budget. All algorithms run in `moela.minimize`. The rivals "
    "have its operators for each kind of variable.",
    problems=CASES,
    algorithms={
        OURS: MOELA,
        **EVOLUTION,
        "SMS-EMOA": partial(SMSEMOA, pop_size=50),
        "MOEA/D batch": BatchMOEAD,
    },
    store="discrete_functions",
    budgets=(300, 1000, 5000),
    quick={"problems": ["layers", "setups"], "budgets": [60]},
)
