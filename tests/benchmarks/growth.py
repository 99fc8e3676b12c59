"""Growth of the time for an evaluation, and of the memory, over long runs of MOELA.

    python -m tests.benchmarks.growth [--problems zdt1 ...] [--evaluations 200000] [--quick]

A run is copied after a tenth of its evaluations. At its end the copy and the run go on in turns, so
that other load on the machine affects both, and the ratio of their process times outside the
problem is measured. Archives are unbounded. Memory is the peak of a new process whose archive is
bounded by 500. Results are kept in `tests/benchmarks/results`, by case.
"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from pymoo.problems import get_problem

from moela import MOELA
from problems import MultiObjectiveKnapsack, MultiObjectiveQAP, NoC3D
from tests.benchmarks import harness

DATA = Path(__file__).parent / "results" / "growth.json"
CASES = {
    "zdt1": lambda: get_problem("zdt1"),
    "dtlz2": lambda: get_problem("dtlz2"),
    "knapsack 100": lambda: MultiObjectiveKnapsack.random(n_items=100, seed=1),
    "qap 20": lambda: MultiObjectiveQAP.random(n_facilities=20, seed=1),
    "noc, 3 objectives": lambda: NoC3D.example("bfs", objectives=3),
    "noc, 5 objectives": lambda: NoC3D.example("bfs", objectives=5),
}
ROUNDS, ROUND = 5, 1000
MOST_RATIO, MOST_MEGABYTES = 1.3, 600


def go_on(algorithm: MOELA, n_eval: int) -> float:
    """Run until `n_eval` evaluations; return the process time outside the problem, in seconds."""
    problem, inside, start = algorithm.problem, 0.0, time.process_time()
    while algorithm.n_eval < n_eval and algorithm.has_next():
        pop = algorithm.ask()
        begun = time.process_time()
        out = problem.evaluate(pop.get("X"), return_as_dictionary=True)
        inside += time.process_time() - begun
        for name in ("F", "G", "H"):
            if out.get(name) is not None:
                pop.set(name, out[name])
        for ind in pop:
            ind.evaluated.update(("F", "G", "H"))
        algorithm.tell(infills=pop)
    return time.process_time() - start - inside


def grown(name: str, models: str | None, n_eval: int) -> dict[str, Any]:
    """Return the microseconds an evaluation after a tenth and all of `n_eval`, by round."""
    late = MOELA(models=models)
    extra = ROUNDS * ROUND
    late.setup(CASES[name](), termination=("n_eval", n_eval + extra), seed=1)
    go_on(late, n_eval // 10)
    early = copy.deepcopy(late)
    go_on(late, n_eval)
    sizes = [len(early.front), len(late.front)]
    times: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for algorithm, spent in zip((early, late), times, strict=True):
            before = algorithm.n_eval
            seconds = go_on(algorithm, before + ROUND)
            spent.append(1e6 * seconds / (algorithm.n_eval - before))
    return {"archive": sizes, "early": times[0], "late": times[1]}


def megabytes(n_eval: int) -> float:
    """Return the peak memory of a new process that runs ZDT1 with a bounded archive.

    That of `resource.getrusage` begins with the memory of the process that has started it.
    """
    code = (
        "from pathlib import Path\n"
        "from tests.benchmarks import growth\n"
        "algorithm = growth.MOELA(archive_size=500)\n"
        f"algorithm.setup(growth.CASES['zdt1'](), termination=('n_eval', {n_eval}), seed=1)\n"
        f"growth.go_on(algorithm, {n_eval})\n"
        "status = Path('/proc/self/status').read_text(encoding='ascii')\n"
        "print(int(status.split('VmHWM:')[1].split()[0]) / 1024)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def main() -> None:
    """Measure, and print the bars."""
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="a run of under a minute")
    parser.add_argument("--evaluations", type=int, default=200_000)
    parser.add_argument("--problems", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--anew", action="store_true", help="measure what is known again")
    arguments = parser.parse_args()
    n_eval, names = arguments.evaluations, arguments.problems
    if arguments.quick:
        n_eval, names = 10_000, ["zdt1"]
    known = json.loads(DATA.read_text()) if DATA.exists() and not arguments.quick else {}
    ratios = {}
    for name in names:
        for models in ("auto", None):
            case = f"{name}, {'default models' if models else 'no models'}, {n_eval}"
            if case not in known or arguments.anew:
                known[case] = grown(name, models, n_eval)
                known[case]["machine"] = harness.machine()
                if not arguments.quick:
                    DATA.write_text(json.dumps(known, indent=1) + "\n")
            entry = known[case]
            each = np.array(entry["late"]) / np.array(entry["early"])
            ratios[case] = float(np.median(each))
            early, late = (np.median(entry[key]) for key in ("early", "late"))
            print(
                f"{case}: {early:.0f} to {late:.0f} us, archive {entry['archive'][0]} to "
                f"{entry['archive'][1]}",
                flush=True,
            )
    memory = f"memory, {n_eval}"
    if memory not in known or arguments.anew:
        known[memory] = megabytes(n_eval)
        if not arguments.quick:
            DATA.write_text(json.dumps(known, indent=1) + "\n")
    for case, ratio in ratios.items():
        print(f"bar: time over that after a tenth, {case}, {ratio:.2f}, at most {MOST_RATIO}")
    print(f"bar: megabytes, {memory}, {known[memory]:.0f}, at most {MOST_MEGABYTES}")


if __name__ == "__main__":
    main()
