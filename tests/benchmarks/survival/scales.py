"""Attacks by size: huge and tiny objectives, constraints and penalties."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import moocore
import numpy as np
from joblib import Parallel, delayed
from pymoo.problems import get_problem

from moela import MOELA
from moela._arrays import Floats
from moela.quality.indicators import hypervolume
from moela.rivals import MOMAD, MOOS, MOOSTAGE, BatchMOEAD
from problems import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP, NoC3D
from tests.benchmarks.digest_cases.running import Mixed, Tours
from tests.benchmarks.survival import Bar, Options, scaled

LARGEST = float(np.finfo(float).max)
N_SEEDS = 7
# Places of the bands of penalized designs, each with a seed of its own.
N_BANDS = 40


@dataclass(frozen=True)
class Case:
    """A problem, evaluations that reach every part of MOELA, and a point for the hypervolume."""

    make: Callable[[], Any]
    n_eval: int
    ref_point: tuple[float, ...] | None = None  # None for the problem's own


CASES = {
    "zdt1": Case(partial(get_problem, "zdt1", n_var=8), 900, (1.1, 1.1)),
    "zdt4": Case(partial(get_problem, "zdt4"), 600, (1.1, 100.0)),
    "dtlz2, 3 objectives": Case(partial(get_problem, "dtlz2", n_var=7, n_obj=3), 600, (1.5,) * 3),
    "dtlz7, 4 objectives": Case(partial(get_problem, "dtlz7", n_var=8, n_obj=4), 400, (20.0,) * 4),
    "dtlz2, 5 objectives": Case(partial(get_problem, "dtlz2", n_var=8, n_obj=5), 500, (1.5,) * 5),
    "bnh, constrained": Case(partial(get_problem, "bnh"), 400, (140.0, 50.0)),
    "mw7, constrained": Case(partial(get_problem, "mw7", n_var=6), 500, (1.5, 1.5)),
    "mixed variables": Case(Mixed, 400, (20.0, 2.0)),
    "tours": Case(Tours, 400, (10.0, 10.0)),
    "qap": Case(partial(MultiObjectiveQAP.random, n_facilities=9, seed=3), 2500),
    "qap, 3 objectives": Case(
        partial(MultiObjectiveQAP.random, n_facilities=12, n_obj=3, seed=4), 800
    ),
    "knapsack": Case(partial(MultiObjectiveKnapsack.random, n_items=30, seed=2), 2500),
    "mnk": Case(partial(MNKLandscape.random, n=16, k=3, seed=1), 1500),
    "noc, 3 objectives": Case(partial(NoC3D.example, "bfs", objectives=3), 1500),
    "noc, 5 objectives": Case(partial(NoC3D.example, "bfs", objectives=5), 800),
}
# Cases whose hypervolume differs little between seeds, so that a median of seven tells 1 %.
STEADY = (
    "zdt1", "dtlz2, 3 objectives", "dtlz2, 5 objectives", "bnh, constrained", "mixed variables",
    "qap", "knapsack", "mnk", "noc, 3 objectives",
)  # fmt: skip
PENALIZED = ("zdt1", "dtlz2, 3 objectives", "mixed variables", "qap", "knapsack", "mnk")

ALGORITHMS: dict[str, Callable[[], Any]] = {
    "MOELA": MOELA,
    "MOELA, thinned archive": partial(MOELA, archive_size=20, batch_size=8),
    "MOELA as published": MOELA.published,
    "MOMAD": MOMAD,
    "MOOS": MOOS,
    "MOOSTAGE": MOOSTAGE,
    "BatchMOEAD": BatchMOEAD,
}

# One exponent for all objectives, or one for each, repeated as needed.
POWERS_OF_TWO = (-830, -300, -101, 100, 300, 830, (-830, 830), (830, 0, -400))
POWERS_OF_TEN = (-250, -80, 80, 250, (-250, 250), (250, 0, -120))


def bars(options: Options) -> Iterator[Bar]:
    """Yield the bars: powers of two and ten, penalties, and the edges of the range."""
    with Parallel(n_jobs=options.processes) as pool:
        yield from _powers_of_two(pool, options)
        yield _powers_of_ten(pool, options)
        yield _penalties(pool, options)
        yield _edges(pool, options)


def _powers_of_two(pool: Parallel, options: Options) -> Iterator[Bar]:
    chosen = _some(POWERS_OF_TWO, options)
    names = list(CASES)[: options.share(len(CASES))]
    for algorithm in ALGORITHMS:
        results = pool(delayed(differing)(name, algorithm, chosen, options.seed) for name in names)
        faults = [fault for found in results for fault in found]
        n = len(names) * len(chosen)
        value = f"{n - len(faults)} of {n} runs equal, bit for bit"
        yield Bar(
            f"{algorithm} on objectives and constraints times 2^e, |e| to 830",
            value + "".join(f"; {fault}" for fault in faults[:3]),
            "all",
            not faults,
        )


def _powers_of_ten(pool: Parallel, options: Options) -> Bar:
    names = STEADY[: options.share(len(STEADY))]
    jobs = list(itertools.product(names, [0, *_some(POWERS_OF_TEN, options)]))
    found = pool(delayed(by_ten)(*job, options.seed) for job in jobs)
    medians = {job: float(np.median(volumes)) for job, volumes in zip(jobs, found, strict=True)}
    ratios = {job: medians[job] / medians[job[0], 0] - 1.0 for job in jobs if job[1] != 0}
    worst = max(ratios, key=lambda job: abs(ratios[job]))
    return Bar(
        f"MOELA on objectives and constraints times 10^e, |e| to 250: median hypervolume of "
        f"{N_SEEDS} seeds, {len(ratios)} problems and scales",
        f"largest deviation {100 * ratios[worst]:+.2f} % ({worst[0]}, e = {worst[1]})",
        "within 1 %",
        abs(ratios[worst]) <= 0.01,
    )


def _penalties(pool: Parallel, options: Options) -> Bar:
    names = PENALIZED[: options.share(len(PENALIZED))]
    n = options.share(N_BANDS, at_least=3)
    jobs = list(itertools.product(names, ("all", "first", "last"), (1e3, 1e100, 1e308)))
    found = pool(delayed(with_penalty)(*job, options.seed, n) for job in jobs)
    volumes = dict(zip(jobs, found, strict=True))
    losses = {}  # mean difference of paired runs, and its standard error, both relative
    for job in jobs:
        baseline = volumes[*job[:2], 1e3]
        differences = (volumes[job] - baseline) / baseline.mean()
        if job[2] > 1e3:
            losses[job] = differences.mean(), differences.std(ddof=1) / len(differences) ** 0.5
    worst = min(losses, key=lambda job: losses[job][0] + 2.0 * losses[job][1])
    mean, error = losses[worst]
    return Bar(
        "MOELA where a third of the designs have penalties of 1e100 or 1e308, in all objectives or "
        f"in one, relative to penalties of 1e3: mean hypervolume over {n} places of the bands, "
        f"{len(losses)} cases",
        f"worst {100 * mean:+.1f} % with a standard error of {100 * error:.1f} % "
        f"({worst[0]}, {worst[1]}, {worst[2]:g}), "
        f"mean {100 * np.mean([loss[0] for loss in losses.values()]):+.1f} %",
        "not below -3 % by more than two standard errors",
        mean + 2.0 * error >= -0.03,
    )


def _edges(pool: Parallel, options: Options) -> Bar:
    jobs = list(itertools.product(CASES, ALGORITHMS, EDGES))
    picked = np.random.default_rng(options.seed).permutation(len(jobs))
    jobs = [jobs[i] for i in picked[: options.share(len(jobs), at_least=10)]]
    faults = [f for f in pool(delayed(at_the_edge)(*job, options.seed) for job in jobs) if f]
    return Bar(
        f"{len(EDGES)} kinds of objectives at the edges of the range of floats, numpy's warnings "
        "raised",
        f"{len(jobs) - len(faults)} of {len(jobs)} runs ended without a warning and with the front "
        "of everything evaluated" + "".join(f"; {fault}" for fault in faults[:3]),
        "all",
        not faults,
    )


def _some(scales: Sequence[Any], options: Options) -> list[Any]:
    """Return as many of the scales as a run tries, the last ones first."""
    n = options.share(len(scales))
    return [scales[round(i)] for i in np.linspace(len(scales) - 1, 0, n)]


def differing(name: str, algorithm: str, exponents: Sequence[Any], seed: int) -> list[str]:
    """Return the exponents for which a run on scaled objectives is not the scaled run."""
    case, make = CASES[name], ALGORITHMS[algorithm]
    problem, faults = case.make(), []
    with strictly():
        plain = scaled.Run(problem, make(), case.n_eval, seed)
        for e in exponents:
            powers = np.resize(e, problem.n_obj)
            other = scaled.times_powers_of_two(problem, powers, int(powers[-1]))
            run = scaled.Run(other, make(), case.n_eval, seed)
            if not plain.is_scaled(run, powers):
                faults.append(f"{name}, e = {e}")
    return faults


def volume(case: Case, problem: Any, other: Any, seed: int, by: Any = 1.0) -> float:
    """Return the hypervolume of MOELA's front of a changed problem, divided by its scale."""
    ref_point = problem.ref_point if case.ref_point is None else case.ref_point
    with strictly():
        run = scaled.Run(other, MOELA(), case.n_eval, seed)
    return hypervolume(run.result.F / by, ref_point)


def by_ten(name: str, exponents: Any, seed: int) -> list[float]:
    """Return the hypervolumes of seven seeds on objectives times powers of ten."""
    problem = CASES[name].make()
    powers = np.resize(exponents, problem.n_obj)
    other = scaled.times_powers_of_ten(problem, powers, int(powers[-1]))
    by = 10.0 ** powers.astype(float)
    return [volume(CASES[name], problem, other, seed + k, by) for k in range(N_SEEDS)]


def with_penalty(name: str, columns: str, size: float, seed: int, n: int) -> Floats:
    """Return the hypervolumes [n] of runs with penalties of a size, relative to the objectives'.

    Each run has its bands in another place. Medians of seven runs differ by up to 25 % on ZDT1.
    """
    case = CASES[name]
    problem = case.make()
    ref_point = problem.ref_point if case.ref_point is None else case.ref_point
    value = size if size > 1e90 else size * max(1.0, float(np.abs(ref_point).max()))
    where = {"all": slice(None), "first": [0], "last": [-1]}[columns]
    others = [scaled.penalized(problem, value, 1.0 / 3.0, where, bands=k) for k in range(n)]
    return np.array([volume(case, problem, other, seed + k) for k, other in enumerate(others)])


def _mixed_sizes(F: Any) -> Any:
    # 600 orders of magnitude, which no difference of floats can resolve.
    part = np.modf(np.abs(F) * 977.0)[0]
    return 10.0 ** (600.0 * part - 300.0)


def _signs(F: Any) -> Any:
    return np.where(np.modf(np.abs(F) * 977.0)[0] < 0.5, -LARGEST, LARGEST)


def _one_constant(F: Any) -> Any:
    F = np.array(F, dtype=float)
    F[..., -1] = 1e308
    return F


EDGES: dict[str, Callable[[Any], Any]] = {
    "from -1.7e308 to 1.7e308": lambda F: (2.0 * np.modf(np.abs(F) * 977.0)[0] - 1.0) * LARGEST,
    "-1.7e308 or 1.7e308": _signs,
    "all 1e308": lambda F: np.full(np.shape(F), 1e308),
    "all -1.7e308": lambda F: np.full(np.shape(F), -LARGEST),
    "one constant at 1e308": _one_constant,
    "offset by 1e308": lambda F: 1e308 + 1e300 * np.clip(F, -1e3, 1e3),
    "multiples of 5e-324": lambda F: np.ldexp(np.round(np.modf(np.abs(F) * 977.0)[0] * 1e3), -1074),
    "-0.0 or more": lambda F: np.where(np.abs(F) < 0.5, -0.0, F),
    "from 1e-300 to 1e300": _mixed_sizes,
    "from -1e300 to -1e-300": lambda F: -_mixed_sizes(F),
    "integers of 64 bits": lambda F: np.round(1e12 * np.clip(F, -1e6, 1e6)).astype(np.int64),
    "Python's integers": lambda F: np.vectorize(lambda v: int(v * 2**20) * 2**60, otypes=[object])(
        np.clip(F, -1e9, 1e9)
    ),
    "booleans": lambda F: np.modf(np.abs(F) * 977.0)[0] < 0.5,
    "single precision": lambda F: np.asarray(np.clip(F, 1e-30, 1e30), dtype=np.float32),
}


def at_the_edge(name: str, algorithm: str, edge: str, seed: int, n_eval: int = 300) -> str:
    """Run on changed objectives; return a fault, if any."""
    problem = CASES[name].make()
    other = scaled.changed(problem, EDGES[edge])
    if getattr(problem, "ref_point", None) is not None and seed % 2:
        other.ref_point = None
    try:
        with strictly(under="raise"):
            run = scaled.Run(other, ALGORITHMS[algorithm](), n_eval, seed)
    except (ArithmeticError, ValueError, RuntimeWarning) as error:
        return f"{name}, {algorithm}, {edge}: {error!r}"
    if problem.has_constraints() or run.result.algorithm.front.max_size is not None:
        return ""
    front = np.unique(run.result.F.astype(float) + 0.0, axis=0)
    best = np.unique(moocore.filter_dominated(run.F.astype(float) + 0.0), axis=0)
    return "" if np.array_equal(front, best) else f"{name}, {algorithm}, {edge}: front incomplete"


class strictly(warnings.catch_warnings):
    """Context in which warnings, and errors of numpy, are raised."""

    def __init__(self, under: Any = "ignore") -> None:
        super().__init__()
        # Elsewhere, as in the problem, underflow is as good as 0.
        self._errors = np.errstate(all="raise", under=under)

    def __enter__(self) -> None:
        super().__enter__()
        warnings.simplefilter("error")
        self._errors.__enter__()

    def __exit__(self, *exc: Any) -> None:
        self._errors.__exit__(*exc)
        super().__exit__(*exc)
