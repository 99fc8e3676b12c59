"""MOELA, evolution and Bayesian methods after a hundred evaluations.

    python -m tests.benchmarks.first_hundred --out docs/benchmarks/first_hundred.md

Each run is kept in `results` as soon as it is done. Optuna's Gaussian processes and BoTorch are
slow, so a run of theirs stops after two minutes of process time. They need the packages optuna,
torch and botorch; `--stored` shows their results without them.
"""

from __future__ import annotations

import sys
from functools import partial

from pymoo.problems import get_problem

from moela import MOELA
from moela.rivals import BatchMOEAD
from problems import MultiObjectiveQAP, NoC3D, engineering
from tests.benchmarks import rivals
from tests.benchmarks.search.reports import to_best_rival
from tests.benchmarks.search.runs import Run, curve
from tests.benchmarks.search.study import OURS, Study

# First designs of the rivals, and process time of slow runs.
_POP, _SECONDS = 20, 120.0
SIX = ("SpeedReducer", "GearTrain", "PressureVessel", "WeldedBeam", "DiscBrake", "CarSideImpact")
PROBLEMS = {
    **{f"zdt{i}": partial(get_problem, f"zdt{i}") for i in (1, 2, 3)},
    "dtlz2": partial(get_problem, "dtlz2", n_obj=3),
    "wfg4": partial(get_problem, "wfg4", n_var=10, n_obj=2),
    **{name: getattr(engineering, name) for name in SIX},
    "noc bfs, 5 objectives": partial(NoC3D.example, "bfs", objectives=5),
    "qap 10": partial(MultiObjectiveQAP.random, n_facilities=10, seed=1),
}
# Problems on which nothing was chosen.
CHECKS = {
    "zdt4": partial(get_problem, "zdt4"),
    "zdt6": partial(get_problem, "zdt6"),
    "dtlz7": partial(get_problem, "dtlz7", n_obj=3),
    "wfg1": partial(get_problem, "wfg1", n_var=10, n_obj=2),
    **{name: getattr(engineering, name) for name in engineering.__all__ if name not in SIX},
}


# Optimizers of vectors and mixed variables; a network-on-chip has no encoding for them.
BAYESIAN = rivals.other_libraries(
    "optuna-tpe", "optuna-gp", "botorch-qlognehvi", pop=_POP, seconds=_SECONDS
)


def wanted(run: Run) -> bool:
    """Whether the algorithm can encode the problem."""
    return run.algorithm not in BAYESIAN or not run.problem.startswith("noc")


STUDY = Study(
    title="The first hundred evaluations",
    about="Hypervolume after {budget} evaluations, relative to that of the best rival: medians "
    "over the seeds. The reference point is the problem's own, or the nadir of the non-dominated "
    "among 1,000 random designs if the problem has none. All rivals begin with "
    f"{_POP} designs. Where `seeds` is a range, the slow methods of Optuna and BoTorch have fewer, "
    "mostly one. `GP (Optuna)` proposes one design at a time, `qLogNEHVI` (BoTorch) ten. `@n` "
    "marks runs that stopped early, for their process time, with n evaluations; an empty cell is a "
    "method that was not run, since it takes minutes. Permutations are the order of keys between 0 "
    "and 1 for the methods of Optuna and BoTorch; these do not apply to the network-on-chip. The "
    "last column is the process time of MOELA in s, problem included.",
    problems=PROBLEMS | CHECKS,
    algorithms={
        OURS: MOELA,
        "NSGA-II": partial(rivals.nsga2, pop=_POP),
        "MOEA/D batch": partial(BatchMOEAD, n_subproblems=_POP),
        **BAYESIAN,
    },
    measure=curve,
    report=to_best_rival,
    store="first_hundred",
    budgets=(100,),
    quick={"problems": ["zdt1", "GearTrain"], "algorithms": [OURS, "NSGA-II", "TPE (Optuna)"]},
    checks=tuple(CHECKS),
    least=0.98,
    wanted=wanted,
)

if __name__ == "__main__":
    STUDY.main(sys.argv[1:], __spec__.name)
