"""Cases of runs of MOELA and of its rivals."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from pymoo.problems import get_problem

from moela.rivals import MOMAD, MOOS, MOOSTAGE, BatchMOEAD
from problems import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP, NoC3D

from . import names
from .names import MOELA
from .running import Mixed, Recorder, Tours, outcome, solve

Make = Callable[[], Any]


def qap() -> MultiObjectiveQAP:
    """Return a small assignment problem of two objectives."""
    return MultiObjectiveQAP.random(n_facilities=15, seed=3)


PROBLEMS: dict[str, Make] = {
    "noc-3": partial(NoC3D.example, "bfs", objectives=3),
    "noc-5": partial(NoC3D.example, "bfs", objectives=5),
    "qap": qap,
    "qap-long": partial(MultiObjectiveQAP.random, n_facilities=20, correlation=0.5, seed=9),
    "qap-3": partial(MultiObjectiveQAP.random, n_facilities=12, n_obj=3, seed=4),
    "knapsack": partial(MultiObjectiveKnapsack.random, n_items=60, seed=2),
    "mnk": partial(MNKLandscape.random, n=40, k=4, rho=-0.2, seed=1),
    "zdt1": partial(get_problem, "zdt1", n_var=10),
    "dtlz2": partial(get_problem, "dtlz2", n_var=7, n_obj=3),
    "bnh": partial(get_problem, "bnh"),
    "mw7": partial(get_problem, "mw7", n_var=6),
    "mixed": Mixed,
    "tours": Tours,
}
"""Problems that MOELA runs on with its defaults."""

BUDGETS = {"qap-long": 2000, "zdt1": 300, "dtlz2": 300, "bnh": 300, "mw7": 300, "mixed": 300}


def with_defaults(name: str) -> dict[str, Any]:
    return solve(PROBLEMS[name](), MOELA(), BUDGETS.get(name, 600))


def models_off() -> dict[str, Any]:
    smooth = solve(PROBLEMS["zdt1"](), MOELA(**names.MODELS_OFF), 400)
    return {"qap": solve(qap(), MOELA(**names.MODELS_OFF), 500), "zdt1": smooth}


def some_models_off() -> dict[str, Any]:
    return {
        "no landscape": solve(qap(), MOELA(**names.NO_HAMMING_MODEL), 500),
        "no surrogate": solve(PROBLEMS["dtlz2"](), MOELA(**names.NO_SURROGATE), 400),
    }


def settings() -> dict[str, Any]:
    """Return runs with settings far from the defaults."""
    point = PROBLEMS["qap-3"]().ref_point
    chebyshev = names.tuned(
        n_subproblems=20,
        n_searches=3,
        patience=5,
        descend="chebyshev",
        n_candidates=30,
        shares={"evolution": 1, "search": 2, "pareto": 1},
        archive_size=30,
        **names.PERTURBATION,
        **names.neighborhood(5),
        **names.near_mating(0.5),
        **names.scalarization("weighted_sum"),
    )
    return {
        "much else": solve(PROBLEMS["qap-3"](), chebyshev, 500),
        "reference": solve(PROBLEMS["qap-3"](), MOELA(**names.ref_point(point * 0.9)), 300),
        "no reference": solve(PROBLEMS["noc-3"](), MOELA(**names.ref_point(None)), 300),
        "batches": solve(PROBLEMS["mnk"](), MOELA(batch_size=16), 400),
    }


def restarts(wanted: Any) -> dict[str, Any]:
    """Return a run that stagnates early."""
    problem = MNKLandscape.random(n=12, k=2, seed=1)
    algorithm = MOELA(n_subproblems=10, restarts=wanted, termination=("n_eval", 800))
    recorder = Recorder()
    algorithm.setup(problem, seed=1, evaluator=recorder.evaluator)
    algorithm.run()
    n = names.n_phases(algorithm)
    assert n >= 3 if wanted else n == 1, f"{n} phases: the case no longer tests restarts"
    return outcome(algorithm) | {"regions": n, "evaluated": recorder.batches}


def ask_and_tell() -> dict[str, Any]:
    """Return a run through `ask` and `tell`."""
    problem, batches = qap(), []
    algorithm = MOELA(batch_size=12)
    algorithm.setup(problem, termination=("n_eval", 400), seed=7)
    while algorithm.has_next():
        asked = algorithm.ask()
        algorithm.evaluator.eval(problem, asked)
        batches.append([asked.get("X"), asked.get("F")])
        algorithm.tell(infills=asked)
    return outcome(algorithm) | {"evaluated": batches}


def from_given_designs() -> dict[str, Any]:
    """Return runs that begin from given designs and from an evaluated population."""
    problem = qap()
    X = np.stack([np.random.default_rng(s).permutation(15) for s in range(8)])
    first = MOELA(sampling=X)
    parts = solve(problem, first, 200)
    earlier = first_population(problem)
    return parts | {"population": solve(problem, MOELA(sampling=earlier), 200)}


def first_population(problem: Any) -> Any:
    """Return the front of a short run, as evaluated individuals."""
    algorithm = MOELA()
    algorithm.setup(problem, termination=("n_eval", 150), seed=2)
    algorithm.run()
    return algorithm.opt


RIVALS: dict[str, dict[str, Make]] = {
    "moos": {
        "defaults": MOOS,
        "small": partial(MOOS, n_init=20, max_steps=4, **names.tried_neighbors(3)),
    },
    "moo-stage": {
        "defaults": MOOSTAGE,
        "small": partial(
            MOOSTAGE, n_init=20, max_steps=4, n_trees=8, n_model_steps=4, **names.tried_neighbors(4)
        ),
    },
    "momad": {
        "defaults": MOMAD,
        "small": partial(MOMAD, n_subproblems=15, patience=3, restart="perturbation"),
        "exploring": partial(
            MOMAD, n_subproblems=15, patience=2, n_explore=5, **names.explored_neighbors(3)
        ),
    },
    "batch-moead": {
        "defaults": BatchMOEAD,
        "small": partial(BatchMOEAD, n_subproblems=20, batch_size=7, **names.neighborhood(5)),
        "sums": partial(BatchMOEAD, **names.scalarization("weighted_sum")),
    },
    "moela-published": {
        "defaults": MOELA.published,
        "small": partial(
            MOELA.published,
            n_subproblems=12,
            n_children=1,
            n_random_generations=1,
            **names.neighborhood(5),
        ),
    },
}


def rival(name: str) -> dict[str, Any]:
    """Return runs of a rival with its defaults and with other settings."""
    made = RIVALS[name]
    parts = {kind: solve(qap(), make(), 400) for kind, make in made.items()}
    parts["noc"] = solve(PROBLEMS["noc-3"](), made["small"](), 250)
    parts["zdt1"] = solve(PROBLEMS["zdt1"](), made["small"](), 200)
    parts["constrained"] = solve(PROBLEMS["bnh"](), made["small"](), 200)
    return parts


CASES = {
    **{f"moela {name}": partial(with_defaults, name) for name in PROBLEMS},
    "moela models off": models_off,
    "moela some models off": some_models_off,
    "moela other settings": settings,
    "moela with restarts": partial(restarts, "auto"),
    "moela without restarts": partial(restarts, False),
    "moela ask and tell": ask_and_tell,
    "moela from given designs": from_given_designs,
    **{f"rival {name}": partial(rival, name) for name in RIVALS},
}
