"""Memory of a run of a million evaluations: an archive of 200, with or without a store.

python -m tests.benchmarks.evaluator_memory [--evaluations 1000000] [--no-store] [--moela]
"""

import os
import resource
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.optimize import minimize
from pymoo.problems import get_problem
from pymoo.util.archive import MultiObjectiveArchive

from moela import MOELA, Evaluator
from tests.benchmarks import harness


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("--evaluations", type=int, default=1_000_000)
    parser.add_argument("--no-store", action="store_true")
    parser.add_argument("--moela", action="store_true", help="MOELA instead of NSGA2")
    options = parser.parse_args()
    print(harness.machine())
    if options.moela:
        algorithm = MOELA(archive_size=200)
    else:
        archive = MultiObjectiveArchive(max_size=200)
        algorithm = NSGA2(pop_size=200, n_offsprings=1000, archive=archive)

    def megabytes():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    with tempfile.TemporaryDirectory() as folder:
        store = None if options.no_store else Path(folder) / "run.db"
        start = time.perf_counter()
        printed = [start]

        def report(algorithm):
            if time.perf_counter() - printed[-1] >= 10.0:
                printed.append(time.perf_counter())
                print(
                    f"{algorithm.evaluator.n_eval:>9} evaluations, peak {megabytes():.0f} MB, "
                    f"{time.perf_counter() - start:.0f} s",
                    flush=True,
                )

        with Evaluator(store=store, chunk_size=1000) as evaluator:
            minimize(
                get_problem("zdt1", n_var=10),
                algorithm,
                ("n_eval", options.evaluations),
                seed=1,
                evaluator=evaluator,
                callback=report,
            )
        size = store.stat().st_size / 2**20 if store else 0
        print(
            f"{evaluator.n_eval} evaluations, {evaluator.n_fresh} computed: peak {megabytes():.0f} "
            f"MB, store of {size:.0f} MB, {time.perf_counter() - start:.0f} s"
        )


if __name__ == "__main__":
    main()
