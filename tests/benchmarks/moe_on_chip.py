"""Experts on a 3D chip: joint design against mappings on the mesh, on domains that were held out.

    MOELA_DATA=... python -m tests.benchmarks.moe_on_chip [--seeds 3] [--evals 700] [--quick]

Each case plans for one domain of a model and is judged on another domain, too: the shared traces of
DeepSeek-V2-Lite and the packaged traces. The chip has 4 x 4 x 4 tiles; its 40 GPUs hold tokens and
experts. The design of a run has the least 99th percentile of packet latency over the recorded steps
among those that take no more energy than the greedy mapping on the mesh, all on the domain that is
planned for. "One after the other" maps experts on the mesh with half of the evaluations, and then
optimizes the network for their traffic with the other half. Designs are simulated flit by flit
under the held-out traffic. Results are kept in ``tests/benchmarks/results/moe_on_chip.json`` after
each run, so that nothing is run twice. ``--quick`` runs one seed of the packaged traces with few
evaluations and keeps nothing. ``--out PAGE`` writes a page of what is kept, and runs nothing.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
from pymoo.optimize import minimize

from moe_costmodel import RoutingTrace
from moela import MOELA
from problems import MoEOnChip
from problems.moe_on_chip import Activations, MoEChip
from tests.benchmarks import harness
from tests.benchmarks.harness import Cases, bar

FILE = harness.RESULTS / "moe_on_chip.json"
DOMAINS = ("planned", "held out")
METRICS = ("p99_latency", "latency", "energy", "peak_load", "port_load", "peak_temperature")


def cases():
    """Return name -> (model, domain planned for, domain held out)."""
    listed = {
        f"packaged model, {a} to {b}": (RoutingTrace.example(a), RoutingTrace.example(b))
        for a, b in (("prose", "code"), ("code", "prose"))
    }
    if data := os.environ.get("MOELA_DATA"):
        load = {
            name: RoutingTrace.load(Path(data) / "routing" / f"deepseek-v2-lite-{name}.npz")
            for name in ("intent", "translation")
        }
        for a, b in (("intent", "translation"), ("translation", "intent")):
            listed[f"DeepSeek-V2-Lite, {a} to {b}"] = (load[a], load[b])
    return listed


def problem_of(planned, held_out, **settings):
    return MoEOnChip(
        planned,
        held_out=held_out,
        activations=Activations(d_model=2048),
        batch_size=128,
        objectives=("p99_latency", "energy"),
        **settings,
    )


def best(result, limit):
    """Return the design of a front with the least latency of at most an energy."""
    F, X = np.atleast_2d(result.F), np.atleast_2d(result.X).astype(int)
    fits = np.flatnonzero(F[:, 1] <= limit)
    return X[fits[F[fits, 0].argmin()]] if len(fits) else X[F[:, 1].argmin()]


def one_after_the_other(problem, planned, held_out, limit, evals, seed):
    """Return the chip of mapping experts on the mesh, and then optimizing the network."""
    first = problem_of(planned, held_out, decide=("experts",))
    found = minimize(first, MOELA(), ("n_eval", evals // 2), seed=seed)
    chip = problem.decode(best(found, limit))
    network = problem.network_problem(chip, objectives=("packet_latency", "energy"))
    found = minimize(network, MOELA(), ("n_eval", evals - evals // 2), seed=seed)
    return MoEChip(chip.experts, network.decode(best(found, limit)))


def values(problem, chip):
    """Return a chip's row, its metrics on both domains, and its simulated latency when held out."""
    out = {"row": problem.encode(chip).tolist()}
    for name, one in (("planned", problem), ("held out", problem.held_out)):
        found = one.measure(one.encode(chip)[None], METRICS)
        out[name] = {metric: round(float(v[0]), 5) for metric, v in found.items()}
    result = chip.design.simulate(
        problem.held_out.traffic_of(chip), random_state=np.random.default_rng(0)
    )
    out["held out"]["simulated"] = round(result.packet_latency, 3)
    out["held out"]["standard_error"] = round(result.standard_error, 3)
    return out


def run(planned, held_out, evals, seed):
    """Return values of mappings on the mesh, of the joint design, and of one after the other."""
    begin = time.process_time()
    problem = problem_of(planned, held_out)
    mesh = problem.reference.design
    out = {
        f"{name}, mesh": values(problem, MoEChip(mapping, mesh))
        for name, mapping in problem.named_starts.items()
    }
    limit = out["greedy, mesh"]["planned"]["energy"]
    found = minimize(problem, MOELA(), ("n_eval", evals), seed=seed)
    out["jointly"] = values(problem, problem.decode(best(found, limit)))
    chip = one_after_the_other(problem, planned, held_out, limit, evals, seed)
    out["one after the other"] = values(problem, chip)
    out["seconds"] = round(time.process_time() - begin, 1)
    return out


def change(results, method, domain, metric, rival="greedy, mesh"):
    """Return the median change against a rival over the seeds, in per cent."""
    ratios = [r[method][domain][metric] / r[rival][domain][metric] for r in results]
    return 100 * (float(np.median(ratios)) - 1)


def table(groups):
    """Return the changes by case, number of evaluations and method as a Markdown table."""
    rows = [[
        "case", "evaluations, seeds", "method", "p99 latency, planned", "held out",
        "energy, planned", "held out", "simulated latency, held out",
    ]]  # fmt: skip
    shown = [(domain, metric) for metric in ("p99_latency", "energy") for domain in DOMAINS]
    shown.append(("held out", "simulated"))
    for (name, evals), results in groups.items():
        for method in results[0]:
            if method != "seconds":
                changes = [change(results, method, *what) for what in shown]
                cells = [name, f"{evals}, {len(results)}", method]
                rows.append(cells + [f"{value:+.1f} %" for value in changes])
    return harness.markdown(rows)


def page(kept, out):
    """Write a Markdown page of the results that are kept."""
    groups = {}
    for key, result in kept.items():
        name, evals = key.rsplit(", ", 2)[:2]
        groups.setdefault((name, evals.removesuffix(" evaluations")), []).append(result)
    distances = [
        abs(values["held out"]["latency"] / values["held out"]["simulated"] - 1)
        for result in kept.values()
        for method, values in result.items()
        if method != "seconds"
    ]
    made = dict.fromkeys((len(runs), evals) for (_, evals), runs in groups.items())
    commands = [f"`--seeds {seeds} --evals {evals}`" for seeds, evals in made]
    about = (
        "Change against the greedy mapping on the mesh, the median over the seeds, on the domain "
        "that is planned for and on another one. The chip has 4 x 4 x 4 tiles; its 40 GPUs hold "
        "tokens and experts, and steps have 128 tokens. A design has the least p99 latency among "
        'those that take no more energy than greedy on the mesh, all on the planned domain. "One '
        'after the other" maps experts on the mesh with half of the evaluations, and then '
        "optimizes the network under their traffic with the other half. "
        f"The runs that the page shows were made by {' and by '.join(commands)}."
    )
    parts = [
        harness.header("Experts on a chip, measured", "tests.benchmarks.moe_on_chip", about),
        table(groups),
        f"The model's mean latency differs from the simulated one by at most "
        f"{100 * max(distances):.1f} % over these designs.\n",
    ]
    harness.finish(parts, out)


def report_bars(done):
    """Print the bars, and the joint design against one after the other."""
    for domain in DOMAINS:
        for metric, must in (("p99_latency", "at most -10, aim -25"), ("energy", "at most 0")):
            worst = max(change(results, "jointly", domain, metric) for results in done)
            what = f"{metric} jointly against greedy on the mesh, %, {domain}, worst case"
            bar(what, f"{worst:+.1f}", must)
    worst = max(change(results, "jointly", "held out", "simulated") for results in done)
    bar("the same, simulated mean latency, held out", f"{worst:+.1f}", "at most -10")
    for domain in DOMAINS:
        rival = "one after the other"
        pairs = [change(results, "jointly", domain, "p99_latency", rival) for results in done]
        listed = ", ".join(f"{pair:+.1f}" for pair in pairs)
        print(f"jointly against {rival}, p99_latency, {domain}: {listed} %")


def main() -> None:
    parser = harness.script_parser(__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--evals", type=int, default=700, help="evaluations of each method")
    parser.add_argument("--out", help="Markdown page of the results that are kept")
    arguments = parser.parse_args()
    if arguments.out:
        page(json.loads(FILE.read_text()), arguments.out)
        return
    print(harness.machine())
    listed, seeds, evals = cases(), arguments.seeds, arguments.evals
    if arguments.quick:
        listed, seeds, evals = dict(list(listed.items())[:1]), 1, 100
    kept = Cases(None if arguments.quick else FILE, show=False)
    done = {}
    for seed in range(1, seeds + 1):
        for name, (planned, held_out) in listed.items():
            key = f"{name}, {evals} evaluations, seed {seed}"
            result = kept.get(key, lambda p=planned, h=held_out, s=seed: run(p, h, evals, s))
            done.setdefault((name, str(evals)), []).append(result)
    print(table(done))
    report_bars(done.values())


if __name__ == "__main__":
    main()
