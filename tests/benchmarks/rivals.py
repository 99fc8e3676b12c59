"""The algorithms of the benchmark tables, by name, all with the same initial sampling.

Each is a function of the problem that returns a fresh algorithm with the problem's own operators,
or with pymoo's defaults for real variables if the problem has none.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np
from pymoo.algorithms.moo.age2 import AGEMOEA2
from pymoo.algorithms.moo.moead import MOEAD
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.moo.nsga3 import NSGA3
from pymoo.algorithms.moo.sms import SMSEMOA
from pymoo.core.mixed import MixedVariableDuplicateElimination, MixedVariableMating
from pymoo.util.ref_dirs import get_reference_directions

from moela import MOELA
from moela.core.operators import resolve
from moela.experiments.run import External
from moela.rivals import MOMAD, MOOS, MOOSTAGE, VSRLS, BatchMOEAD, MemeticGBT
from tests.benchmarks.search.adapters import run_adapter
from tests.benchmarks.search.botorch_rival import run_qlognehvi

Make = Callable[..., Any]


@lru_cache
def directions(n_obj: int, n: int) -> Any:
    """Return n reference directions [n, n_obj]."""
    if n_obj == 2:
        return get_reference_directions("das-dennis", 2, n_partitions=n - 1)
    return get_reference_directions("energy", n_obj, n, seed=1)


class AgeMoea(AGEMOEA2):
    """AGE-MOEA-II, whose run ends where all members of a front have the same distance to it.

    There, pymoo divides by zero.
    """

    def _advance(self, **given: Any) -> Any:
        try:
            return super()._advance(**given)
        except ZeroDivisionError:
            return self.termination.terminate()


def operators(problem: Any) -> dict[str, Any]:
    """Return the problem's operators, pymoo's for mixed variables, else nothing."""
    chosen = resolve(problem)
    if chosen.mating is None:
        return dict(problem.operators()) if hasattr(problem, "operators") else {}
    distinct = MixedVariableDuplicateElimination()
    mating = MixedVariableMating(eliminate_duplicates=distinct)
    return {"sampling": chosen.sampling, "mating": mating, "eliminate_duplicates": distinct}


def evolved(problem: Any, *, kind: Any, pop: int) -> Any:
    """Return an algorithm of this kind with a population of `pop`."""
    return kind(pop_size=pop, **operators(problem))


nsga2, sms, age2 = (partial(evolved, kind=kind) for kind in (NSGA2, SMSEMOA, AgeMoea))


def nsga3(problem: Any, *, pop: int) -> NSGA3:
    """NSGA-III with `pop` reference directions."""
    return NSGA3(directions(problem.n_obj, pop), pop_size=pop, **operators(problem))


def moead(problem: Any, *, pop: int) -> MOEAD:
    """MOEA/D with `pop` sub-problems."""
    return MOEAD(
        directions(problem.n_obj, pop),
        n_neighbors=15,
        prob_neighbor_mating=0.9,
        **operators(problem),
    )


def adapted(
    problem: Any, n_eval: int, seed: int, *, name: str, pop: int, seconds: float = math.inf
) -> tuple[Any, ...]:
    """Run an optimizer of another library; see `adapters`."""
    run = run_qlognehvi if name == "botorch-qlognehvi" else partial(run_adapter, name)
    # scipy and others seed in 32 bits.
    return run(problem, n_eval, int(np.uint32(seed)), pop_size=pop, seconds=seconds)


def pymoo_rivals(pop: int, *, constrained: bool = False) -> dict[str, Make]:
    """Return pymoo's algorithms that take microseconds per evaluation."""
    makers: dict[str, Make] = {
        "NSGA-II": partial(nsga2, pop=pop),
        "NSGA-III": partial(nsga3, pop=pop),
        "MOEA/D": partial(moead, pop=pop),
        "AGE-MOEA-II": partial(age2, pop=pop),
    }
    if constrained:
        del makers["MOEA/D"]  # pymoo's MOEA/D does not support constraints
    return makers


def our_rivals() -> dict[str, Make]:
    """Return the published competitors that the project implements."""
    return {
        "MOOS": MOOS,
        "MOO-STAGE": MOOSTAGE,
        "MOMAD": MOMAD,
        "MOEA/D batch": BatchMOEAD,
        "VS-RLS": VSRLS,
    }


def slow_rivals(pop: int) -> dict[str, Make]:
    """Return the algorithms that take milliseconds per evaluation, for a smaller budget.

    The released MOELA is slow on large designs: in every generation it fits a forest to all
    designs that its searches visited, with every variable as a feature. The memetic algorithm with
    gradient-boosted trees searches on their predictions for every batch.
    """
    return {
        "SMS-EMOA": partial(sms, pop=pop),
        "MOELA published": MOELA.published,
        "Memetic GBT": MemeticGBT,
    }


def other_libraries(*names: str, pop: int, seconds: float = math.inf) -> dict[str, External]:
    """Return optimizers of other libraries."""
    titles = {
        "pygmo-nsga2": "NSGA-II (pygmo)",
        "pygmo-moead": "MOEA/D (pygmo)",
        "optuna-nsga2": "NSGA-II (Optuna)",
        "optuna-tpe": "TPE (Optuna)",
        "optuna-gp": "GP (Optuna)",
        "jmetal-nsga2": "NSGA-II (jMetalPy)",
        "botorch-qlognehvi": "qLogNEHVI",
    }
    settings = {"pop": pop, "seconds": seconds}
    return {titles[name]: External(adapted, {"name": name, **settings}) for name in names}
