"""How a function of mixed variables is coded: four codes with MOELA, and NSGA-II, by hypervolume.

    python -m tests.benchmarks.function_encodings --seeds 7 --budgets 300 600 1000

- positions: one real-coded vector; integers and positions of options are rounded by a repair. This
  is the code of `moela.problem`.
- one-hot: the same, but an unordered choice has a number for each option; the largest one wins.
- vars: pymoo's `vars`, with dictionaries as designs.
- own: the vector of the first code with a crossover and a mutation for each type of variable.
- reals (NSGA-II only): the first code with pymoo's operators for real numbers.

Hypervolumes are divided by that of all fronts together, with the reference point at their nadir
plus a tenth of their extent. Medians over seeds.
"""

from __future__ import annotations

import argparse
import math
from functools import partial
from typing import Any

import moocore
import numpy as np
from joblib import Parallel, delayed
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.crossover import Crossover
from pymoo.core.evaluator import Evaluator
from pymoo.core.mixed import MixedVariableGA
from pymoo.core.mutation import Mutation
from pymoo.core.problem import Problem
from pymoo.core.variable import Binary, Choice, Integer, Real
from pymoo.operators.survival.rank_and_crowding import RankAndCrowding
from pymoo.optimize import minimize

import moela
from moela import MOELA
from moela.functions.model import space, variables
from moela.functions.model.codes import _Scaled, code_of
from moela.functions.model.problem import FunctionProblem, problem

MATERIALS = {
    # density (kg/m3), modulus (GPa), strength (MPa), cost per kg, conductivity (W/mK)
    "aluminum": (2700, 70, 240, 2.5, 205),
    "steel": (7850, 210, 350, 0.8, 45),
    "titanium": (4430, 114, 880, 22.0, 22),
    "copper": (8960, 117, 210, 9.0, 390),
    "magnesium": (1740, 45, 160, 3.5, 156),
    "brass": (8500, 100, 200, 6.0, 109),
    "carbon": (1600, 135, 600, 35.0, 8),
    "bamboo": (700, 18, 120, 1.0, 0.2),
}


def heat_sink(d: dict[str, Any]) -> dict[str, float]:
    density, *_, conductivity = MATERIALS[d["material"]]
    area = d["fins"] * d["height"] * 0.2 * (1.4 if d["shape"] == "pin" else 1.0)
    flow = 8 + (0.02 * d["rpm"] if d["fan"] else 0) / (1 + 0.002 * d["fins"] ** 2)
    efficiency = math.tanh(0.02 * conductivity / (1 + 60 * d["height"])) * 0.8 + 0.1
    mass = density * (0.0006 * d["fins"] * d["height"] * 0.1 + 0.0004 * d["base"] * 10)
    mass += 0.15 if d["fan"] else 0.0
    noise = 20 + (12 * math.log10(d["rpm"] / 100) if d["fan"] else 0) + 2 * (d["shape"] == "pin")
    return {"mass": mass, "rise": 30 / (efficiency * flow * (area + 0.01)), "noise": noise}


def welded_frame(d: dict[str, Any]) -> dict[str, float]:
    mass = cost = sag = 0.0
    stress = 0.0
    for k, load in ((1, 900.0), (2, 2100.0), (3, 500.0)):
        density, modulus, strength, price, _ = MATERIALS[d[f"material{k}"]]
        width, height = d[f"width{k}"] / 1000, d[f"height{k}"] / 1000
        part = density * width * height
        mass, cost = mass + part, cost + part * price
        sag += 4 * load / (modulus * 1e9 * width * height**3) * 1000
        stress = max(stress, 6 * load / (width * height**2) / (strength * 1e6 / 1.5))
    return {"mass": mass, "cost": cost + 3 * d["bolts"], "sag": sag, "stress": stress,
            "joint": 9 / d["bolts"] ** 0.5 / (2 if d["glued"] else 1) + 4 * d["glued"]}  # fmt: skip


def spring(d: dict[str, Any]) -> dict[str, float]:
    n, D, wire = d["coils"], d["diameter"], d["wire"]
    C = D / wire
    cf = (4 * C - 1) / (4 * C - 4) + 0.615 / C
    K = 11.5e6 * wire**4 / (8 * n * D**3)
    stress = 8 * cf * 1000 * D / (math.pi * wire**3)
    volume = 0.25 * math.pi**2 * wire**2 * D * (n + 2)
    length = 1000 / K + 1.05 * (n + 2) * wire
    return {"volume": volume, "stress": stress / 1000, "length": length, "index": C,
            "sway": 300 / K}  # fmt: skip


def gears(d: dict[str, Any]) -> dict[str, float]:
    a, b, c, e = (d[name] for name in "abce")
    ratio = abs(6.931 - (c * e) / (a * b))
    return {"error": ratio, "largest": max(a, b, c, e), "share": ratio / 6.931}


def vessel(d: dict[str, Any]) -> dict[str, float]:
    s, h, r, length = 0.0625 * d["shell"], 0.0625 * d["head"], d["radius"], d["length"]
    cost = 1.7781 * h * r**2 + 0.6224 * s * r * length + 3.1661 * s**2 * length + 19.84 * s**2 * r
    volume = math.pi * r**2 * length + 4 / 3 * math.pi * r**3
    return {"cost": cost, "volume": volume, "thin": s / r, "flat": h / r}


JOBS = np.random.default_rng(0).integers(5, 40, (10, 4))


def shop(d: dict[str, Any]) -> dict[str, float]:
    """A flow shop whose machines run at chosen speeds with chosen tools."""
    speed = [d[f"speed{m}"] * {"a": 1.0, "b": 1.3, "c": 0.8}[d[f"tool{m}"]] for m in range(4)]
    ends = np.zeros(4)
    late = 0.0
    for place, job in enumerate(d["order"]):
        for m in range(4):
            start = max(ends[m], ends[m - 1] if m else 0.0)
            ends[m] = start + JOBS[job, m] / speed[m]
        late += max(0.0, ends[-1] - 20 * (job % 5 + 2)) + 0 * place
    tools = sum({"a": 1.0, "b": 2.5, "c": 0.5}[d[f"tool{m}"]] for m in range(4))
    energy = sum(d[f"speed{m}"] ** 2 for m in range(4)) + tools
    return {"late": late, "energy": energy}


LINKS = [moela.real, moela.integer]
CASES: dict[str, dict[str, Any]] = {
    "heat sink": {
        "function": heat_sink,
        "variables": {
            "height": (0.01, 0.06), "base": (0.002, 0.01), "fins": (5, 25),
            "shape": ["plate", "pin"], "material": list(MATERIALS), "fan": bool,
            "rpm": moela.real(200, 6000, log=True, when={"fan": True}),
        },
        "objectives": ["mass", "rise"],
        "constraints": {"noise": (None, 33)},
    },
    "frame": {
        "function": welded_frame,
        "variables": {
            **{f"{side}{k}": (5, 80) for k in (1, 2, 3) for side in ("width", "height")},
            **{f"material{k}": list(MATERIALS) for k in (1, 2, 3)},
            "bolts": (2, 12), "glued": bool,
        },
        "objectives": ["mass", "cost", "sag"],
        "constraints": {"stress": (None, 1), "joint": (None, 5)},
    },
    "frame, real sides": {
        "function": welded_frame,
        "variables": {
            **{f"{side}{k}": (5.0, 80.0) for k in (1, 2, 3) for side in ("width", "height")},
            **{f"material{k}": list(MATERIALS) for k in (1, 2, 3)},
            "bolts": (2, 12), "glued": bool,
        },
        "objectives": ["mass", "cost"],
        "constraints": {"stress": (None, 1), "joint": (None, 5), "sag": (None, 8)},
    },
    "spring": {
        "function": spring,
        "variables": {
            "coils": (1, 32), "diameter": (0.6, 30.0),
            "wire": [0.09, 0.12, 0.15, 0.18, 0.2, 0.225, 0.25, 0.28, 0.31, 0.36, 0.4, 0.5],
        },
        "objectives": ["volume", "stress"],
        "constraints": {"length": (None, 14), "index": (3, None), "sway": (None, 6)},
    },
    "gears": {
        "function": gears,
        "variables": dict.fromkeys("abce", (12, 60)),
        "objectives": ["error", "largest"],
        "constraints": {"share": (None, 0.5)},
    },
    "vessel": {
        "function": vessel,
        "variables": {"shell": (1, 99), "head": (1, 99), "radius": (10.0, 200.0),
                      "length": (10.0, 240.0)},
        "objectives": {"cost": "min", "volume": "max"},
        "constraints": {"thin": (0.0193, None), "flat": (0.00954, None)},
    },
    "shop": {
        "function": shop,
        "variables": {
            "order": moela.permutation(10),
            **{f"speed{m}": (0.5, 2.0) for m in range(4)},
            **{f"tool{m}": ["a", "b", "c"] for m in range(4)},
        },
        "objectives": ["late", "energy"],
    },
}  # fmt: skip


class OneHot(_Scaled):
    """The option with the largest number wins; in settled designs it has one half."""

    def __init__(self, variable: variables.Choice) -> None:
        super().__init__(0.0, 1.0, len(variable.options))
        self.options, self.position = variable.options, variable.position

    def settle(self, A):
        return 0.5 * (np.arange(A.shape[1]) == A.argmax(axis=1)[:, None])

    def values(self, A):
        return [self.options[i] for i in A.argmax(axis=1)]

    def encode(self, value):
        return 0.5 * (np.arange(len(self.options)) == self.position(value))


def one_hot(variable):
    unordered = isinstance(variable, variables.Choice) and not variable.ordered
    return OneHot(variable) if unordered and not variable.when else code_of(variable)


class TypedCrossover(Crossover):
    def __init__(self, own: FunctionProblem) -> None:
        super().__init__(2, 2)
        self._space = own._space

    def _do(self, problem, X, *, random_state, **kwargs):
        out = X.copy()
        u = random_state.random(X.shape[1:])
        beta = np.where(u <= 0.5, 2 * u, 0.5 / (1 - u)) ** (1 / 16)
        mean, half = (X[0] + X[1]) / 2, (X[0] - X[1]) / 2
        out[0], out[1] = mean + beta * half, mean - beta * half
        for name, columns in self._space.slices.items():
            swap = random_state.random(X.shape[1]) < 0.5
            plain = isinstance(
                self._space.variables[name],
                variables.Choice | variables.Boolean | variables.Permutation,
            )
            keep = (
                np.ones(X.shape[1], dtype=bool) if plain else random_state.random(len(swap)) < 0.5
            )
            a = np.where(swap[:, None], X[1][:, columns], X[0][:, columns])
            b = np.where(swap[:, None], X[0][:, columns], X[1][:, columns])
            out[0][:, columns] = np.where(keep[:, None], a, out[0][:, columns])
            out[1][:, columns] = np.where(keep[:, None], b, out[1][:, columns])
        return np.clip(out, problem.xl, problem.xu)


class TypedMutation(Mutation):
    def __init__(self, own: FunctionProblem) -> None:
        super().__init__(prob=1.0, prob_var=1.0)
        self._space = own._space

    def _do(self, problem, X, *, random_state, **kwargs):
        X = X.copy()
        span = problem.xu - problem.xl
        for name, columns in self._space.slices.items():
            variable = self._space.variables[name]
            chosen = random_state.random(len(X)) < 1 / len(self._space.slices)
            n = X[:, columns].shape[1]
            new = problem.xl[columns] + span[columns] * random_state.random((len(X), n))
            if isinstance(variable, variables.Real | variables.Integer):
                size = 0.5 * 10 ** random_state.uniform(-3, 0, (len(X), 1)) * span[columns]
                step = random_state.normal(size=(len(X), n)) * size
                if isinstance(variable, variables.Integer) and not variable.log:
                    step = np.sign(step) * np.ceil(np.abs(step))
                new = np.where(random_state.random((len(X), 1)) < 0.3, new, X[:, columns] + step)
            elif isinstance(variable, variables.Boolean):
                new = 1 - X[:, columns]
            elif isinstance(variable, variables.Permutation):
                one = random_state.random(new.shape) < 1 / n
                new = np.where(one, new, X[:, columns])
            X[:, columns] = np.where(chosen[:, None], new, X[:, columns])
        return np.clip(X, problem.xl, problem.xu)


class Own(FunctionProblem):
    def operators(self):
        return super().operators() | {
            "crossover": TypedCrossover(self), "mutation": TypedMutation(self)
        }  # fmt: skip


class OneNumberEach(FunctionProblem):
    """Has no labels, so MOELA takes all numbers for real ones."""

    def operators(self):
        own = super().operators()
        return {key: own[key] for key in ("sampling", "repair")}


class Named(Problem):
    """The same function with pymoo's `vars`."""

    def __init__(self, inner: FunctionProblem) -> None:
        self.inner = inner
        named: dict[str, Any] = {}
        for name, v in inner.variables.items():
            match v:
                case variables.Real():
                    ends = (math.log(v.low), math.log(v.high)) if v.log else (v.low, v.high)
                    named[name] = Real(bounds=ends)
                case variables.Integer():
                    named[name] = Integer(bounds=(v.low, v.high))
                case variables.Boolean():
                    named[name] = Binary()
                case variables.Choice():
                    named[name] = Choice(options=list(range(len(v.options))))
                case variables.Permutation():
                    named |= {f"{name}.{i}": Real(bounds=(0, 1)) for i in range(len(v.items))}
        super().__init__(vars=named, n_obj=inner.n_obj, n_ieq_constr=inner.n_ieq_constr)

    def _evaluate(self, X, out, *args, **kwargs):
        codes = np.array([[float(x[name]) for name in self.vars] for x in X])
        out |= self.inner.evaluate(codes, return_as_dictionary=True)


def make(case: str, code: str) -> Problem:
    settings = dict(CASES[case])
    function = settings.pop("function")
    space.code_of = one_hot if code == "one-hot" else code_of
    try:
        made = problem(function, **settings)
        if code == "one-hot":
            made = OneNumberEach(function, variables=made.variables, outputs=made.outputs)
    finally:
        space.code_of = code_of
    if code == "vars":
        return Named(made)
    if code == "own":
        return Own(function, variables=made.variables, outputs=made.outputs)
    return made


def run(case: str, code: str, algorithm: str, seed: int, budgets: list[int]) -> list[Any]:
    made = make(case, code)
    rows: list[Any] = []

    def keep(pop: Any) -> None:
        rows.extend((ind.F, ind.CV[0]) for ind in pop)

    if algorithm == "MOELA":
        chosen: Any = MOELA()
    elif code == "vars":
        chosen = MixedVariableGA(pop_size=50, survival=RankAndCrowding())
    elif code == "reals":
        own = made.operators()
        chosen = NSGA2(50, sampling=own["sampling"], repair=own["repair"])
    else:
        chosen = NSGA2(50, **made.operators())
    evaluator = Evaluator(callback=keep)
    minimize(made, chosen, ("n_eval", max(budgets)), seed=seed, evaluator=evaluator)
    F = np.array([f for f, _ in rows])
    ok = np.array([cv <= 0 for _, cv in rows])
    return [F[:budget][ok[:budget]] for budget in budgets]


def front(F: Any) -> Any:
    return F[moocore.is_nondominated(F)] if len(F) else F


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=7)
    parser.add_argument("--budgets", type=int, nargs="+", default=[300, 600, 1000])
    parser.add_argument("--cases", nargs="+", default=list(CASES))
    parser.add_argument("--codes", nargs="+", default=["positions", "one-hot", "vars", "own"])
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    columns = [(code, "MOELA") for code in args.codes]
    columns += [(code, "NSGA-II") for code in [*args.codes, "reals"] if code != "one-hot"]
    print("| problem | evaluations |", " | ".join(f"{a}, {c}" for c, a in columns), "|")
    print("|---|---|" + "---|" * len(columns))
    for case in args.cases:
        call = partial(run, case)
        tasks = [(*column, seed) for column in columns for seed in range(args.seeds)]
        runs = Parallel(args.jobs)(delayed(call)(*task, args.budgets) for task in tasks)
        everything = front(np.vstack([F for fronts in runs for F in fronts]))
        span = np.ptp(everything, axis=0)
        ref = everything.max(axis=0) + 0.1 * np.where(span > 0, span, 1.0)
        whole = moocore.hypervolume(everything, ref=ref)
        for b, budget in enumerate(args.budgets):
            cells = []
            for column in columns:
                values = [
                    moocore.hypervolume(front(fronts[b]), ref=ref) / whole
                    if len(fronts[b])
                    else 0.0
                    for task, fronts in zip(tasks, runs, strict=True)
                    if task[:2] == column
                ]
                cells.append(f"{np.median(values):.3f}")
            print(f"| {case} | {budget} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
