"""Children that explore: fewer where they do not pay, or always as many, in short runs.

    python -m tests.benchmarks.exploration --seeds 21 --out docs/benchmarks/exploration.md

Hypervolume as in `tests.benchmarks.few_functions`. `MOELA, as many` keeps the shares of random
children and of children at bounds, and is no rival.
"""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pymoo.algorithms.moo.age2 import AGEMOEA2
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.problems import get_problem

from moela import MOELA
from moela._arrays import Floats
from moela.rivals import BatchMOEAD
from tests.benchmarks import tables
from tests.benchmarks.few_functions import Page
from tests.benchmarks.local_fronts import function_of_vector, rastrigin, rotated
from tests.benchmarks.plain_functions import Case


class AgeMoea(AGEMOEA2):
    """AGE-MOEA-II, whose run ends where all members of a front have the same distance to it.

    There, pymoo divides by zero.
    """

    def _advance(self, **given: Any) -> Any:
        try:
            return super()._advance(**given)
        except ZeroDivisionError:
            return self.termination.terminate()


DATA = Path(__file__).parent / "results" / "exploration.json"
_AS_MANY = "MOELA, as many"
ALGORITHMS: dict[str, Any] = {
    tables.OURS: MOELA,
    _AS_MANY: partial(MOELA._tuned, least_exploring=1.0),
    "NSGA-II, 20": partial(NSGA2, pop_size=20),
    "AGE-MOEA-II, 20": partial(AgeMoea, pop_size=20),
    "MOEA/D batch": partial(BatchMOEAD, n_subproblems=20),
}


def kursawe(n: int) -> Case:
    """The problem of Kursawe (1990), whose front has four parts, with n variables."""

    def both(x: Floats) -> tuple[float, float]:
        first = -10.0 * np.exp(-0.2 * np.hypot(x[:-1], x[1:])).sum()
        return float(first), float((np.abs(x) ** 0.8 + 5.0 * np.sin(x**3)).sum())

    return function_of_vector(both, n, -5.0, 5.0)


def michalewicz(n: int) -> Case:
    """Two functions of Michalewicz, one of them with its variables mirrored."""
    i = np.arange(1, n + 1)

    def steep(x: Floats) -> float:
        return -float((np.sin(x) * np.sin(i * x**2 / math.pi) ** 20).sum())

    return function_of_vector(lambda x: (steep(x), steep(math.pi - x)), n, 0.0, math.pi)


CASES: dict[str, Any] = {
    "kursawe, 3 variables": partial(kursawe, 3),
    "kursawe, 5": partial(kursawe, 5),
    "kursawe, 10": partial(kursawe, 10),
    "rastrigin, 3": partial(rastrigin, 3),
    "rastrigin, 5": partial(rastrigin, 5),
    "rastrigin, 10": partial(rastrigin, 10),
    "rotated, 3": partial(rotated, 3),
    "rotated, 5": partial(rotated, 5),
    "michalewicz, 5": partial(michalewicz, 5),
    "michalewicz, 10": partial(michalewicz, 10),
    "dtlz4": lambda: {"function": get_problem("dtlz4", n_var=12, n_obj=3)},
    "wfg9": lambda: {"function": get_problem("wfg9", n_var=12, n_obj=2)},
}


def main() -> None:
    """Make the runs that are missing, and write the page."""
    Page(
        title="Children that explore, few evaluations",
        script=__spec__.name,
        doc=__doc__,
        about=ABOUT,
        data=DATA,
        cases=CASES,
        algorithms=ALGORITHMS,
        no_rivals=(_AS_MANY,),
        quick=("kursawe, 3 variables", "dtlz4"),
        least=0.65,
    ).write()


ABOUT = (
    "Problems of few variables with many local fronts, where random children are wasted, and two "
    "problems that need them, DTLZ4 and WFG9. Hypervolume of the front relative to that of the "
    "best rival: medians over the seeds. The box in which it is measured holds the fronts of all "
    "runs with the same budget. All rivals have 20 members. `MOELA, as many` makes a quarter of "
    "the children at random and a tenth at bounds, whether these enter the archive or not, and is "
    "no rival."
)

if __name__ == "__main__":
    main()
