"""Plain functions of all kinds of variables, and short runs on them.

Each entry of `CASES` returns the arguments of `moela.minimize` that describe a problem. The data of
a problem are drawn with a fixed seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2

import moela
from moela import MOELA
from tests.benchmarks.rivals import AgeMoea
from tests.benchmarks.search.reports import study_of_functions
from tests.benchmarks.search.study import OURS

Case = dict[str, Any]


def case(function: Any, variables: Any, objectives: Any, constraints: Any = None) -> Case:
    """Return the arguments of `moela.minimize` that describe a problem."""
    described = {"function": function, "variables": variables, "objectives": objectives}
    return described | ({} if constraints is None else {"constraints": constraints})


def tour(n: int = 40) -> Case:
    """A tour through cities with two independent distances."""
    places = np.random.default_rng(5).random((2, n, 2))
    distances = np.linalg.norm(places[:, :, None] - places[:, None], axis=3)

    def lengths(d: dict[str, Any]) -> tuple[float, ...]:
        order = np.array(d["tour"])
        return tuple(distances[:, order, np.roll(order, -1)].sum(axis=1).tolist())

    return case(lengths, {"tour": moela.permutation(n)}, ["length", "time"])


def flow_shop(n: int = 20, n_machines: int = 5) -> Case:
    """A permutation flow shop: makespan and total tardiness."""
    rng = np.random.default_rng(6)
    times, due = rng.integers(1, 100, (n, n_machines)).tolist(), rng.integers(200, 1100, n).tolist()

    def schedule(d: dict[str, Any]) -> tuple[float, float]:
        free, late = [0] * n_machines, 0
        for job in d["order"]:
            end = 0
            for machine, duration in enumerate(times[job]):
                end = free[machine] = max(end, free[machine]) + duration
            late += max(0, end - due[job])
        return float(free[-1]), float(late)

    return case(schedule, {"order": moela.permutation(n)}, ["makespan", "tardiness"])


def features(n: int = 30, n_rows: int = 80) -> Case:
    """Selection of features of a linear model: error and number; a third are noisy copies."""
    rng = np.random.default_rng(7)

    def draw(rows: int) -> Any:
        X = rng.normal(size=(rows, n))
        X[:, 10:20] = X[:, :10] + 0.3 * rng.normal(size=(rows, 10))
        return X

    weights = np.zeros(n)
    weights[[0, 3, 5, 8, 21, 25]] = 2.0, -1.5, 1.0, 0.8, 0.6, -0.4
    known, unknown = draw(n_rows), draw(200)
    target = known @ weights + 0.5 * rng.normal(size=n_rows)
    gram, moments, truth = known.T @ known + 1e-6 * np.eye(n), known.T @ target, unknown @ weights

    def select(d: dict[str, Any]) -> tuple[float, float]:
        at = [i for i in range(n) if d[f"x{i}"]]
        fit = np.linalg.solve(gram[np.ix_(at, at)], moments[at]) if at else np.empty(0)
        return float(((unknown[:, at] @ fit - truth) ** 2).mean()), float(len(at))

    return case(select, {f"x{i}": bool for i in range(n)}, ["error", "number"])


def covering(n: int = 60) -> Case:
    """A set cover with two costs; at most two elements may be left."""
    rng = np.random.default_rng(8)
    covers, costs = rng.random((100, n)) < 0.08, rng.random((2, n)) + 0.2

    def cover(d: dict[str, Any]) -> dict[str, float]:
        chosen = np.array([d[f"s{i}"] for i in range(n)])
        first, second = (costs @ chosen).tolist()
        left = (~covers[:, chosen].any(axis=1)).sum()
        return {"cost": first, "weight": second, "left": float(left)}

    return case(cover, {f"s{i}": bool for i in range(n)}, ["cost", "weight"], {"left": (None, 2)})


def assignment(n: int = 30, n_machines: int = 6) -> Case:
    """Jobs on unlike machines: makespan and energy."""
    rng = np.random.default_rng(9)
    times = rng.integers(5, 60, (n, n_machines)).astype(float)
    energies = times * rng.uniform(0.5, 2.0, n_machines) * rng.uniform(0.7, 1.3, times.shape)

    def assign(d: dict[str, Any]) -> tuple[float, float]:
        at = np.array([d[f"job{i}"] for i in range(n)])
        loads = np.bincount(at, weights=times[np.arange(n), at], minlength=n_machines)
        return float(loads.max()), float(energies[np.arange(n), at].sum())

    machine = moela.choice(list(range(n_machines)), ordered=False)
    return case(assign, {f"job{i}": machine for i in range(n)}, ["makespan", "energy"])


def exchanger() -> Case:
    """A heat exchanger: cost and heat lost, with a limit on the pressure drop."""
    fluids = {"water": (1.0, 0.6, 1.0), "oil": (0.7, 0.14, 3.0), "glycol": (0.85, 0.4, 1.8)}
    metals = {"steel": (16.0, 1.0), "aluminum": (200.0, 1.6), "copper": (390.0, 3.0)}

    def exchange(d: dict[str, Any]) -> dict[str, float]:
        density, conductivity, price = fluids[d["fluid"]]
        metal, metal_price = metals[d["metal"]]
        speed = d["flow"] / (d["tubes"] * d["diameter"] ** 2)
        reynolds = 1e3 * density * speed * d["diameter"]
        film = 0.02 * conductivity * reynolds**0.8 / d["diameter"]
        path = d["length"] * d["passes"]
        area = d["tubes"] * d["diameter"] * path
        transfer = 1 / (1 / film + d["wall"] / metal + 0.01)
        friction = 0.3 / reynolds**0.25
        filling = price * d["tubes"] * d["diameter"] ** 2 * d["length"] * 10
        return {
            "cost": metal_price * area * d["wall"] * 40 + filling + 5 * d["passes"],
            "loss": 50 * math.exp(-transfer * area / (4 * d["flow"])),
            "drop": friction * path * speed**2 * density / d["diameter"],
        }

    return case(
        exchange,
        {
            "fluid": list(fluids),
            "metal": list(metals),
            "tubes": (5, 80),
            "passes": (1, 6),
            "diameter": (0.01, 0.05),
            "length": (0.5, 4.0),
            "wall": (0.001, 0.01),
            "flow": (0.1, 3.0),
        },
        ["cost", "loss"],
        {"drop": (None, 60)},
    )


def speeds(n: int = 15) -> Case:
    """An order of jobs and their speeds on one machine: tardiness and energy."""
    rng = np.random.default_rng(10)
    work = rng.uniform(1, 10, n)
    due = 0.8 * work.cumsum()[rng.permutation(n)]
    setup = rng.uniform(0, 2, (n, n))

    def schedule(d: dict[str, Any]) -> tuple[float, float]:
        order = np.array(d["order"])
        speed = np.array([d[f"speed{i}"] for i in order])
        durations = work[order] / speed
        durations[1:] += setup[order[:-1], order[1:]]
        late = np.maximum(0.0, durations.cumsum() - due[order])
        return float(late.sum()), float((work[order] * speed**2).sum())

    return case(
        schedule,
        {
            "order": moela.permutation(n),
            **{f"speed{i}": (0.5, 2.5) for i in range(n)},
        },
        ["tardiness", "energy"],
    )


def portfolio(n: int = 20) -> Case:
    """Shares of assets, none too small: return, risk and turnover."""
    rng = np.random.default_rng(11)
    factors = 0.1 * rng.normal(size=(n, 6))
    covariance = factors @ factors.T + np.diag(rng.uniform(0.005, 0.03, n))
    gains, held = rng.uniform(0.01, 0.12, n), rng.dirichlet(np.ones(n))

    def invest(d: dict[str, Any]) -> tuple[float, float, float]:
        x = np.array([d[f"share{i}"] for i in range(n)])
        x[x < 0.15] = 0.0
        x /= max(x.sum(), 1e-9)
        return float(gains @ x), math.sqrt(x @ covariance @ x), float(abs(x - held).sum())

    return case(
        invest,
        {f"share{i}": (0.0, 1.0) for i in range(n)},
        {"gain": "max", "risk": "min", "turnover": "min"},
    )


def controller(n_steps: int = 250, step: float = 0.02) -> Case:
    """A PID controller of a nonlinear spring: settling, effort and overshoot."""

    def control(d: dict[str, Any]) -> dict[str, float]:
        y = slope = total = settling = effort = overshoot = error_time = 0.0
        last = 1.0
        for k in range(n_steps):
            time, error = k * step, 1.0 - y
            total += error * step
            force = d["p"] * error + d["i"] * total + d["d"] * (error - last) / step * d["share"]
            force = max(-d["limit"], min(d["limit"], force))
            last = error
            slope += (force - 1.2 * slope - 2.0 * y - 0.8 * y**3) * step
            y += slope * step
            overshoot = max(overshoot, y - 1.0)
            error_time += abs(error) * step * (1.0 + time)
            effort += force**2 * step
            if abs(error) > 0.02:
                settling = time
        return {"settling": settling + 0.2 * error_time, "effort": effort, "overshoot": overshoot}

    return case(
        control,
        {
            "p": moela.real(0.1, 50.0, log=True),
            "i": moela.real(0.01, 30.0, log=True),
            "d": moela.real(0.001, 10.0, log=True),
            "share": (0.1, 1.0),
            "limit": (2.0, 20.0),
        },
        ["settling", "effort", "overshoot"],
    )


def sections(n: int = 10) -> Case:
    """Bars of a truss from a catalog: weight and strain energy, with a limit on the stress."""
    small = [1.62, 1.8, 2.38, 2.62, 3.09, 3.38, 3.84, 4.18, 4.97, 5.74]
    catalog = [*small, 7.22, 7.97, 11.5, 13.5, 14.2, 16.9, 18.8, 22.0, 26.5, 33.5]
    rng = np.random.default_rng(12)
    lengths, forces, weights = (
        rng.uniform(300, 510, n),
        rng.normal(0, 60, n),
        rng.uniform(0.2, 1, n),
    )

    def truss(d: dict[str, Any]) -> dict[str, float]:
        areas = np.array([d[f"bar{i}"] for i in range(n)])
        force = forces * (1 + 0.3 * np.sin(3 * areas / areas.mean()))
        return {
            "weight": float(0.1 * lengths @ areas),
            "energy": float((weights * force**2 * lengths / areas).sum() / 1e4),
            "stress": float((abs(force) / areas).max()),
        }

    return case(
        truss, {f"bar{i}": catalog for i in range(n)}, ["weight", "energy"], {"stress": (None, 25)}
    )


def configuration() -> Case:
    """Settings of a learner, some of which exist only for some kinds: error and time."""

    def quality(d: dict[str, Any]) -> tuple[float, float]:
        rate = math.log10(d["rate"])
        error = 0.3 + 0.08 * (rate + 2.5) ** 2 + 0.05 * math.sin(9 * rate) ** 2
        if d["model"] == "linear":
            return error + 0.1 + 0.05 * abs(math.log10(d["penalty"]) + 1), 0.05
        if d["model"] == "forest":
            fit = -0.02 * math.log2(d["depth"]) + 0.3 * abs(d["sample"] - 0.8)
            spread = 0.002 * d["depth"] ** 1.5 / math.sqrt(d["trees"])
            return error + fit + spread, 0.002 * d["trees"] * d["depth"]
        size = d["width"] * d["layers"]
        fit = -0.015 * d["layers"] - 0.02 * math.log2(d["width"]) + 2e-5 * size
        return error + fit + 0.2 * (d["dropout"] - 0.3) ** 2, 0.002 * size * d["width"] ** 0.5

    forest, network = {"model": "forest"}, {"model": "network"}
    return case(
        quality,
        {
            "model": ["forest", "network", "linear"],
            "rate": moela.real(1e-5, 1.0, log=True),
            "trees": moela.integer(10, 1000, log=True, when=forest),
            "depth": moela.integer(1, 12, when=forest),
            "sample": moela.real(0.3, 1.0, when=forest),
            "layers": moela.integer(1, 6, when=network),
            "width": moela.integer(8, 512, log=True, when=network),
            "dropout": moela.real(0.0, 0.6, when=network),
            "penalty": moela.real(1e-4, 10.0, log=True, when={"model": "linear"}),
        },
        ["error", "time"],
    )


def antenna(n: int = 12) -> Case:
    """Phases and amplitudes of an antenna array: loss ahead, side lobes, and a null."""
    angles = np.linspace(0.0, math.pi, 181)
    delays = math.pi * np.arange(n) * np.cos(angles)[:, None]

    def radiate(d: dict[str, Any]) -> tuple[float, float, float]:
        phases = math.pi * np.array([d[f"phase{i}"] for i in range(n)])
        amplitudes = np.array([d[f"amplitude{i}"] for i in range(n)])
        field = abs((amplitudes * np.exp(1j * (delays + phases))).sum(axis=1))
        field /= max(amplitudes.sum(), 1e-9)
        side = max(field[:45].max(), field[76:].max())
        return 1.0 - float(field[55:66].min()), float(side), float(field[120:126].mean())

    return case(
        radiate,
        {
            **{f"phase{i}": (-1.0, 1.0) for i in range(n)},
            **{f"amplitude{i}": (0.0, 1.0) for i in range(n)},
        },
        ["loss", "side lobe", "null"],
    )


def partition(n: int = 50, n_parts: int = 4) -> Case:
    """Nodes of a random graph in parts: weight of the edges cut and imbalance."""
    rng = np.random.default_rng(13)
    first, second = np.triu_indices(n, 1)
    kept = rng.random(len(first)) < 0.12
    first, second = first[kept], second[kept]
    edges, nodes = rng.random(len(first)), rng.uniform(1, 3, n)

    def cut(d: dict[str, Any]) -> tuple[float, float]:
        part = np.array([d[f"node{i}"] for i in range(n)])
        loads = np.bincount(part, weights=nodes, minlength=n_parts)
        return float(edges[part[first] != part[second]].sum()), float(np.ptp(loads))

    number = moela.choice(list(range(n_parts)), ordered=False)
    return case(cut, {f"node{i}": number for i in range(n)}, ["cut", "imbalance"])


CASES: dict[str, Callable[[], Case]] = {
    "tour": tour,
    "flow shop": flow_shop,
    "features": features,
    "covering": covering,
    "assignment": assignment,
    "heat exchanger": exchanger,
    "order and speeds": speeds,
    "portfolio": portfolio,
    "controller": controller,
    "truss sections": sections,
    "configuration": configuration,
    "antenna": antenna,
    "partition": partition,
}

# Evolution; the number is the size of the population.
EVOLUTION = {
    "NSGA-II, 50": partial(NSGA2, pop_size=50),
    "NSGA-II, 20": partial(NSGA2, pop_size=20),
}
# With as many sub-problems and first designs as in longer runs; no rival.
_MANY = "MOELA, 50"
FEW_FUNCTIONS = study_of_functions(
    title="Plain functions, few evaluations",
    about="Hypervolume of the feasible front relative to that of the best rival: medians over the "
    "seeds. The box in which it is measured holds the fronts of all runs with the same budget. All "
    "algorithms run in `moela.minimize`, with the same operators for the variables. The number "
    "after a name is the size of the population. `MOELA, 50` has 50 sub-problems and begins with "
    "50 designs, as in longer runs, and is no rival.",
    problems=CASES,
    algorithms={
        OURS: MOELA,
        _MANY: partial(MOELA._tuned, fewer_if_few=False),
        **EVOLUTION,
        "AGE-MOEA-II": partial(AgeMoea, pop_size=50),
    },
    store="few_functions",
    budgets=(300, 1000),
    quick={"problems": ["controller", "features"], "budgets": [60]},
    no_rivals=(_MANY,),
    least=0.95,
)
