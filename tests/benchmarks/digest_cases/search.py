"""Cases of runs of MOELA and of its rivals."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pymoo.problems import get_problem

from moela import MOELA, Models
from moela.rivals import MOMAD, MOOS, MOOSTAGE, BatchMOEAD
from problems import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP, NoC3D

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
    smooth = solve(PROBLEMS["zdt1"](), MOELA(models=None), 400)
    return {"qap": solve(qap(), MOELA(models=None), 500), "zdt1": smooth}


def some_models_off() -> dict[str, Any]:
    return {
        "no landscape": solve(qap(), MOELA(models=Models(hamming=False)), 500),
        "no surrogate": solve(PROBLEMS["dtlz2"](), MOELA(models=Models(surrogate_size=0)), 400),
    }


def settings() -> dict[str, Any]:
    """Return runs with settings far from the defaults."""
    point = PROBLEMS["qap-3"]().ref_point
    chebyshev = MOELA._tuned(
        n_subproblems=20,
        n_searches=3,
        patience=5,
        descend="chebyshev",
        n_candidates=30,
        shares={"evolution": 1, "search": 2, "pareto": 1},
        archive_size=30,
        perturbation=True,
        n_neighbors=5,
        prob_neighbor_mating=0.5,
        scalarization="weighted_sum",
    )
    return {
        "much else": solve(PROBLEMS["qap-3"](), chebyshev, 500),
        "reference": solve(PROBLEMS["qap-3"](), MOELA(ref_point=point * 0.9), 300),
        "no reference": solve(PROBLEMS["noc-3"](), MOELA(ref_point=None), 300),
        "batches": solve(PROBLEMS["mnk"](), MOELA(batch_size=16), 400),
    }


def restarts(wanted: Any) -> dict[str, Any]:
    """Return a run that stagnates early."""
    problem = MNKLandscape.random(n=12, k=2, seed=1)
    algorithm = MOELA(n_subproblems=10, restarts=wanted, termination=("n_eval", 800))
    recorder = Recorder()
    algorithm.setup(problem, seed=1, evaluator=recorder.evaluator)
    algorithm.run()
    n = algorithm.n_phases
    assert n >= 3 if wanted else n == 1, f"{n} phases: the case no longer tests restarts"
    return outcome(algorithm) | {"regions": n, "evaluated": recorder.batches}


RIVALS: dict[str, dict[str, Make]] = {
    "moos": {
        "defaults": MOOS,
        "small": partial(MOOS, n_init=20, max_steps=4, n_neighbors=3),
    },
    "moo-stage": {
        "defaults": MOOSTAGE,
        "small": partial(
            MOOSTAGE, n_init=20, max_steps=4, n_trees=8, n_model_steps=4, n_neighbors=4
        ),
    },
    "momad": {
        "defaults": MOMAD,
        "small": partial(MOMAD, n_subproblems=15, patience=3, restart="perturbation"),
        "exploring": partial(
            MOMAD, n_subproblems=15, patience=2, n_explore=5, n_explore_neighbors=3
        ),
    },
    "batch-moead": {
        "defaults": BatchMOEAD,
        "small": partial(BatchMOEAD, n_subproblems=20, batch_size=7, n_neighbors=5),
        "sums": partial(BatchMOEAD, scalarization="weighted_sum"),
    },
    "moela-published": {
        "defaults": MOELA.published,
        "small": partial(
            MOELA.published,
            n_subproblems=12,
            n_children=1,
            n_random_generations=1,
            n_neighbors=5,
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
    **{f"rival {name}": partial(rival, name) for name in RIVALS},
}
