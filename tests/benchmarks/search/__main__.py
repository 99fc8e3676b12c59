"""Benchmarks of search.

    python -m tests.benchmarks.search NAME [--quick] [--out PAGE]
    python -m tests.benchmarks.search NAME --help

Runs that were made before are not made again. `first_hundred`, `equal_time` and `overhead`
are commands of their own.
"""

from __future__ import annotations

import importlib
import shlex
import sys

from tests.benchmarks import harness
from tests.benchmarks.search.study import Study

_EVOLUTION = "--algorithms NSGA-II NSGA-III MOEA/D AGE-MOEA-II 'MOEA/D batch'"
# What makes each page: a module, a name in it, and options.
BENCHMARKS = {
    "ablations": "ablations.main",
    "asynchronous": "asynchronous.ASYNCHRONOUS",
    "batches": "short.BATCHES",
    "bbob": "coco.BBOB",
    "classic": f"combinatorial.classic {_EVOLUTION} MOOS MOMAD",
    "classic_kc20": f"combinatorial.classic {_EVOLUTION} MOOS MOMAD --problems KC20-2fl-2uni "
    "--seeds 20",
    "discrete_functions": "discrete.DISCRETE_FUNCTIONS",
    "exploration": "fronts.EXPLORATION",
    "few_bbob": "coco.FEW_BBOB",
    "few_evaluations": "short.FEW_EVALUATIONS",
    "few_functions": "functions.FEW_FUNCTIONS",
    "few_inner": "short.FEW_INNER",
    "local_fronts": "fronts.LOCAL_FRONTS",
    "long_runs": "long_runs.LONG_RUNS",
    "many_objectives": "many_objectives.MANY_OBJECTIVES",
    "many_variables": f"smooth.main {_EVOLUTION} --families large --budget 5000 "
    "--reference random --pop 50 --store .benchmarks/large",
    "mixed_orders": "orders.MIXED_ORDERS",
    "noc": f"combinatorial.noc {_EVOLUTION} MOOS MOO-STAGE MOMAD SMS-EMOA",
    "noc_published": "combinatorial.noc --objectives 5 --algorithms 'MOELA published'",
    "noc_released": "combinatorial.noc --model released --objectives 5 --problems bfs-5 "
    "--budget 10000 --algorithms NSGA-II MOEA/D MOOS MOO-STAGE 'MOEA/D batch'",
    "orders": "orders.ORDERS",
    "other_libraries": "combinatorial.classic --budget 5000 --slow-budget 200 --problems "
    "KC10-2fl-1rl KC10-2fl-2uni KC10-2fl-3uni KC10-2fl-4rl 'mnk-18-4-2 rho 0' 'mnk-18-4-3 rho -0.4'"
    " --algorithms 'NSGA-II (pygmo)' 'MOEA/D (pygmo)' 'NSGA-II (jMetalPy)' 'NSGA-II (Optuna)' "
    "'TPE (Optuna)'",
    "plug_in": "plug_in.PLUG_IN",
    "plug_in_more": "plug_in.PLUG_IN_MORE --seeds 13",
    "smooth": f"smooth.main {_EVOLUTION} MOMAD",
    "smooth_early": f"smooth.main {_EVOLUTION} 'no surrogate' --families zdt dtlz wfg "
    "--budget 300 --reference random --pop 50 --store .benchmarks/smooth_early",
}


def main() -> None:
    """Run the benchmark that the first word names."""
    parser = harness.script_parser(__doc__)
    parser.add_argument("name", choices=BENCHMARKS)
    made_by, *options = shlex.split(BENCHMARKS[parser.parse_args(sys.argv[1:2]).name])
    module, _, name = made_by.partition(".")
    made = getattr(importlib.import_module(f"tests.benchmarks.search.{module}"), name)
    run = made.main if isinstance(made, Study) else made
    run([*options, *sys.argv[2:]])


if __name__ == "__main__":
    main()
