"""Run optimizers of other libraries on a pymoo problem, recording every evaluation.

    X, F, G = run_adapter("pygmo-nsga2", problem, n_eval=10_000, seed=1)

None of these libraries is a dependency; a missing library raises `ImportError`. All start from the
same designs: those that the problem's `operators()["sampling"]` draws for the seed, or uniform
designs if the problem has no operators. If the problem has a repair, every design is repaired
before it is evaluated, as pymoo's algorithms do, and the repaired design is recorded.

| adapter                              | binary   | permutation | real, mixed, constraints |
|--------------------------------------|----------|-------------|--------------------------|
| pygmo-nsga2                          | integers | keys        | no                       |
| pygmo-moead                          | rounding | keys        | no                       |
| jmetal-nsga2                         | native   | native      | no                       |
| optuna-nsga2, optuna-tpe, optuna-gp  | native   | keys        | native                   |

keys: a real number for each position; their order is the permutation.
"""

from __future__ import annotations

import math
import random
import time
import warnings
from typing import Any

import numpy as np
from pymoo.core.population import Population
from pymoo.core.variable import Binary, Choice, Integer

ADAPTERS = (
    "jmetal-nsga2", "optuna-gp", "optuna-nsga2", "optuna-tpe", "pygmo-moead", "pygmo-nsga2",
)  # fmt: skip


def run_adapter(
    name: str,
    problem: Any,
    n_eval: int,
    seed: int,
    *,
    pop_size: int = 100,
    seconds: float = math.inf,
) -> tuple[Any, Any, Any]:
    """Run an optimizer of another library.

    Parameters
    ----------
    name : str
        One of `ADAPTERS`.
    problem : pymoo.core.problem.Problem
    n_eval : int
        Number of evaluations to record, at least 8.
    seed : int
    pop_size : int
        Population size, and number of start designs; at most `n_eval` of them are used. pygmo's
        NSGA-II needs a multiple of 4, so the size is rounded down.
    seconds : float
        Process time after which Optuna stops, with fewer evaluations than `n_eval`.

    Returns
    -------
    X : ndarray, shape [n_eval, n_var] (of dicts, shape [n_eval], for mixed variables)
        Every design, in the order of evaluation.
    F : ndarray of float, shape [n_eval, n_obj]
    G : ndarray of float, shape [n_eval, n_ieq_constr]
    """
    recorder = Recorder(problem, n_eval, seconds)
    library, algorithm = name.split("-")
    if library != "optuna" and recorder.kind not in ("binary", "permutation"):
        raise ValueError(f"{name} cannot handle {recorder.kind} variables here.")
    start = start_designs(problem, min(pop_size, n_eval), seed)
    run = {"pygmo": _run_pygmo, "optuna": _run_optuna, "jmetal": _run_jmetal}[library]
    run(algorithm, recorder, start, seed)
    return recorder.result()


def variable_type(problem: Any) -> str:
    """Return the type of the variables: real, binary, permutation or mixed."""
    if getattr(problem, "vars", None) is not None:
        return "mixed"
    return {bool: "binary", int: "permutation"}.get(problem.vtype, "real")


def start_designs(problem: Any, n: int, seed: int) -> list[Any]:
    """Return `n` designs of the problem's own sampling, or uniform designs if it has none."""
    rng = np.random.default_rng(seed)
    if hasattr(problem, "operators"):
        pop = problem.operators()["sampling"].do(problem, n, random_state=rng)
        return list(pop.get("X"))
    if variable_type(problem) == "mixed":
        columns = {k: v.sample(n, random_state=rng).tolist() for k, v in problem.vars.items()}
        return [{k: column[i] for k, column in columns.items()} for i in range(n)]
    U = rng.random((n, problem.n_var))
    return list(problem.xl + U * (problem.xu - problem.xl))


class Recorder:
    """Repairs and evaluates designs one by one, and keeps the first `n_eval`.

    It is full before that after `seconds` of process time.
    """

    def __init__(self, problem: Any, n_eval: int, seconds: float = math.inf) -> None:
        self.problem, self.kind = problem, variable_type(problem)
        self.n_eval = n_eval
        self.end = time.process_time() + seconds
        self.X: list[Any] = []
        self.F: list[Any] = []
        self.G: list[Any] = []
        operators = problem.operators() if hasattr(problem, "operators") else {}
        self.repair = operators.get("repair")

    @property
    def full(self) -> bool:
        """Whether n_eval evaluations have been recorded, or the time is over."""
        return len(self.X) >= self.n_eval or (len(self.X) > 0 and time.process_time() > self.end)

    def evaluate(self, x: Any) -> tuple[Any, Any, Any]:
        """Return the repaired design, its F and its G; nothing is evaluated after `n_eval`."""
        if self.full:  # the library must finish its generation: give it the last result again
            return x, self.F[-1], self.G[-1]
        if self.repair is not None:
            pop = Population.new("X", np.array([x]))
            x = self.repair.do(self.problem, pop, random_state=None).get("X")[0]
        row = np.array([x], dtype=object) if isinstance(x, dict) else np.asarray(x)[None]
        out = self.problem.evaluate(row, return_as_dictionary=True)
        self.X.append(x)
        self.F.append(out["F"][0])
        self.G.append(out["G"][0] if "G" in out else np.empty(0))
        return x, self.F[-1], self.G[-1]

    def result(self) -> tuple[Any, Any, Any]:
        """Return X, F and G of all recorded evaluations."""
        X = np.array(self.X, dtype=object if self.kind == "mixed" else None)
        return X, np.array(self.F), np.array(self.G)

    def __deepcopy__(self, memo: Any) -> Recorder:
        return self  # a library may copy its problem; all copies write to this record


def keys_of(permutation: Any) -> np.ndarray[Any, Any]:
    """Return keys in (0, 1) that `np.argsort` turns into the permutation."""
    keys = np.empty(len(permutation))
    keys[np.asarray(permutation, dtype=int)] = np.arange(len(permutation)) + 0.5
    return keys / len(permutation)


# ---- pygmo ------------------------------------------------------------------------------------


class _PygmoProblem:
    """A pymoo problem in the form that pygmo expects: bounded numbers, integers if `whole`."""

    def __init__(self, recorder: Recorder, whole: bool) -> None:
        self.recorder, self.whole = recorder, whole
        self.binary = recorder.kind == "binary"

    def get_nobj(self) -> int:
        return int(self.recorder.problem.n_obj)

    def get_nix(self) -> int:
        return int(self.recorder.problem.n_var) if self.whole else 0

    def get_bounds(self) -> tuple[list[float], list[float]]:
        n = self.recorder.problem.n_var
        margin = 0.5 if self.binary and not self.whole else 0.0
        return [0.0 - margin] * n, [1.0 + margin] * n

    def fitness(self, v: Any) -> list[float]:
        v = np.asarray(v)
        x = np.rint(v).clip(0, 1).astype(bool) if self.binary else np.argsort(v, kind="stable")
        return list(self.recorder.evaluate(x)[1])

    def encode(self, x: Any) -> Any:
        return np.asarray(x, dtype=float) if self.binary else keys_of(x)


def _run_pygmo(algorithm: str, recorder: Recorder, start: list[Any], seed: int) -> None:
    import pygmo

    nsga2 = algorithm == "nsga2"
    start = start[: len(start) // 4 * 4] if nsga2 else start
    generations = max(1, math.ceil(recorder.n_eval / len(start)) - 1)
    if nsga2:
        user = pygmo.nsga2(gen=generations, m=1.0 / recorder.problem.n_var, seed=seed)
    else:
        spread = "grid" if recorder.problem.n_obj == 2 else "low discrepancy"
        neighbors = min(20, len(start) - 1)
        user = pygmo.moead(
            gen=generations, weight_generation=spread, neighbours=neighbors, seed=seed
        )
    inner = _PygmoProblem(recorder, whole=nsga2 and recorder.kind == "binary")
    population = pygmo.population(pygmo.problem(inner), seed=seed)
    for x in start:
        population.push_back(inner.encode(x))
    pygmo.algorithm(user).evolve(population)


# ---- Optuna -----------------------------------------------------------------------------------


def _run_optuna(algorithm: str, recorder: Recorder, start: list[Any], seed: int) -> None:
    import optuna

    samplers = {
        "nsga2": (optuna.samplers.NSGAIISampler, {"population_size": max(2, len(start))}),
        "gp": (optuna.samplers.GPSampler, {"deterministic_objective": True}),
        "tpe": (optuna.samplers.TPESampler, {}),
    }
    problem = recorder.problem
    constraints = (lambda trial: trial.user_attrs["G"]) if problem.n_ieq_constr else None
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Optuna warns of each experimental setting
            make, settings = samplers[algorithm]
            sampler = make(seed=seed, constraints_func=constraints, **settings)
            study = optuna.create_study(directions=["minimize"] * problem.n_obj, sampler=sampler)
            for x in start:
                study.enqueue_trial(_optuna_encode(recorder.kind, x))
            while not recorder.full:
                trial = study.ask()
                _, f, g = recorder.evaluate(_optuna_suggest(trial, problem, recorder.kind))
                trial.set_user_attr("G", [float(v) for v in g])
                study.tell(trial, [float(v) for v in f])
    finally:
        optuna.logging.set_verbosity(verbosity)


def _optuna_encode(kind: str, x: Any) -> dict[str, Any]:
    if kind == "mixed":
        return {k: v.item() if isinstance(v, np.generic) else v for k, v in x.items()}
    values = keys_of(x) if kind == "permutation" else np.asarray(x)
    return {f"x{i}": v.item() for i, v in enumerate(values)}


def _optuna_suggest(trial: Any, problem: Any, kind: str) -> Any:
    if kind == "mixed":
        return {k: _optuna_variable(trial, k, v) for k, v in problem.vars.items()}
    names = [f"x{i}" for i in range(problem.n_var)]
    if kind == "permutation":
        return np.argsort([trial.suggest_float(k, 0.0, 1.0) for k in names], kind="stable")
    if kind == "binary":
        return np.array([trial.suggest_categorical(k, [False, True]) for k in names])
    bounds = zip(names, problem.xl, problem.xu, strict=True)
    return np.array([trial.suggest_float(k, low, high) for k, low, high in bounds])


def _optuna_variable(trial: Any, name: str, variable: Any) -> Any:
    if isinstance(variable, Binary):
        return trial.suggest_categorical(name, [False, True])
    if isinstance(variable, Choice):
        return trial.suggest_categorical(name, list(variable.options))
    low, high = variable.bounds
    if isinstance(variable, Integer):
        return trial.suggest_int(name, int(low), int(high))
    return trial.suggest_float(name, float(low), float(high))


# ---- jMetalPy ---------------------------------------------------------------------------------


def _run_jmetal(algorithm: str, recorder: Recorder, start: list[Any], seed: int) -> None:
    from jmetal.algorithm.multiobjective.nsgaii import NSGAII
    from jmetal.operator import crossover as crossovers
    from jmetal.operator import mutation as mutations
    from jmetal.util.generator import InjectorGenerator
    from jmetal.util.termination_criterion import StoppingByEvaluations

    # jMetalPy draws from the global generators: seed them for the run, and restore them after it.
    python_state, numpy_state = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    try:
        if recorder.kind == "binary":
            crossover: Any = crossovers.SPXCrossover(0.9)
            mutation: Any = mutations.BitFlipMutation(1.0 / recorder.problem.n_var)
        else:
            crossover = crossovers.CXCrossover(0.9)
            mutation = mutations.PermutationSwapMutation(0.9)
        for operator in (crossover, mutation):
            if hasattr(operator, "_rng"):
                operator._rng = np.random.default_rng(seed)
        wrapped = _jmetal_problem(recorder)
        NSGAII(
            problem=wrapped,
            population_size=len(start) // 2 * 2,
            offspring_population_size=len(start) // 2 * 2,
            crossover=crossover,
            mutation=mutation,
            population_generator=InjectorGenerator([wrapped.solution(x) for x in start]),
            termination_criterion=StoppingByEvaluations(recorder.n_eval),
        ).run()
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)  # noqa: NPY002


def _jmetal_problem(recorder: Recorder) -> Any:
    from jmetal.core.problem import Problem
    from jmetal.core.solution import BinarySolution, PermutationSolution

    problem, binary = recorder.problem, recorder.kind == "binary"

    class Permutation(PermutationSolution):  # type: ignore[misc]
        """A permutation that jMetalPy's own operators can change.

        These operators swap entries in place, but `PermutationSolution.variables` returns a copy,
        so that without this class every child would be one of the first designs.
        """

        @property
        def variables(self) -> list[int]:
            return self._variables

        @variables.setter
        def variables(self, values: list[int]) -> None:
            self._variables = list(values)

    class JMetalProblem(Problem):  # type: ignore[misc]
        """A pymoo problem in the form that jMetalPy expects."""

        def number_of_variables(self) -> int:
            return int(problem.n_var)

        def number_of_objectives(self) -> int:
            return int(problem.n_obj)

        def number_of_constraints(self) -> int:
            return int(problem.n_ieq_constr)

        def name(self) -> str:
            return str(problem.name())

        def create_solution(self) -> Any:
            raise AssertionError("every start design is handed over")

        def solution(self, x: Any) -> Any:
            kind = BinarySolution if binary else Permutation
            made: Any = kind(problem.n_var, problem.n_obj, problem.n_ieq_constr)
            made.variables = np.asarray(x).tolist()
            return made

        def evaluate(self, solution: Any) -> Any:
            row = np.array(solution.variables, dtype=bool if binary else int)
            x, f, g = recorder.evaluate(row)
            solution.variables = np.asarray(x).tolist()
            solution.objectives = [float(v) for v in f]
            # In jMetalPy a constraint below 0 is violated.
            solution.constraints = [-float(v) for v in g]
            return solution

    return JMetalProblem()
