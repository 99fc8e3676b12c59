"""Measurements of models that run on this machine, and the predictions that are made from them.

A measurement and the plans or prompts that it predicts are timed in turns, so that both see the
same machine. The files of ``tests/benchmarks/results/measured`` hold every repeat of them, to four
digits, and no prediction: these are computed by the code of the tree.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch

from moe_costmodel import DeploymentModel, LatencyModel, Measurements, RestOfModel
from tests.benchmarks import harness, hf_models

FOLDER = harness.RESULTS / "measured"


def in_turns(timer, cases, rounds, random):
    """Run the timer and all cases in turns; return what each case returned in the rounds.

    Parameters
    ----------
    timer : ModelTimer or MissTimer
        Has another turn before and after each round.
    cases : list of callable
        Run in random order; an extra round at first only warms up.
    """
    took = [[] for _ in cases]
    for number in range(rounds + 1):
        timer.turn(keep=number > 0)
        for i in random.permutation(len(cases)):
            one = cases[i]()
            if number:
                took[i].append(one)
    timer.turn()
    return took


def at_usual_speed(timer, took):
    """Return the medians over rounds (axis 1), at the machine's usual speed.

    Cases run between two turns of the timer, so at the mean of their speeds.
    """
    took = np.array(took)
    speeds = timer.speeds[-took.shape[1] - 1 :]
    between = np.sqrt(speeds[:-1] * speeds[1:])
    return np.median(took / between.reshape(1, -1, *[1] * (took.ndim - 2)), axis=1)


def save(path, measurements, rows):
    """Write measurements, and rows of cases with their measured seconds."""
    with tempfile.TemporaryDirectory() as folder:
        content = json.loads(measurements.save(Path(folder) / "all.json").read_text())
    for record in content["records"]:
        record["repeats"] = [float(f"{seconds:.3e}") for seconds in record["repeats"]]
    machine = harness.machine("torch", "transformers")
    text = json.dumps({"machine": machine, "rows": rows, "measurements": content})
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def load(path):
    """Return the measurements and rows that `save` wrote."""
    content = json.loads(gzip.decompress(path.read_bytes()))
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "all.json"
        kept.write_text(json.dumps(content["measurements"]), encoding="utf-8")
        return Measurements.load(kept), content["rows"]


def fitted(name, measurements):
    """Return what makes a DeploymentModel of a trace, from measurements."""
    shape = next(measurements.of("layer")).shape
    return partial(
        DeploymentModel, hardware=measurements.hardware, latency=LatencyModel.fit(measurements),
        shape=shape, rest=RestOfModel.fit(measurements, d_model=shape.d_model, n_layers=1),
        name=name,
    )  # fmt: skip


def recorded(script, predicted):
    """Yield name and predicted rows of each model that a script has measured."""
    for name in hf_models.SETTINGS:
        if (path := path_of(script, name)).exists():
            yield name, predicted(name, *load(path))


def path_of(script, name):
    return FOLDER / f"{script}_{name}.json.gz"


def run(description, script, measure, predicted, words, rounds):
    """Measure the models that were not measured; return the predicted rows of all by name.

    ``measure(name, rounds, quick)`` returns measurements and rows, ``predicted(name, measurements,
    rows)`` the rows with their predictions, and ``words(row)`` names a row.
    """
    parser = harness.script_parser(description)
    parser.add_argument("--models", nargs="+", default=list(hf_models.SETTINGS))
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--again", action="store_true", help="measure what was measured, too")
    parser.add_argument("--quick", action="store_true", help="measure a model in few rounds")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    print(harness.machine("torch", "transformers"))
    rows = {}
    for name in ["mixtral"] if arguments.quick else arguments.models:
        path = path_of(script, name)
        if arguments.quick:
            found = measure(name, min(arguments.rounds, 3), True)
        else:
            if arguments.again or not path.exists():
                save(path, *measure(name, arguments.rounds, False))
            found = load(path)
        rows[name] = predicted(name, *found)
        for row in rows[name]:
            value, measured = row["predicted"], row["measured"]
            print(
                f"{name:<9} {words(row):<24}{1e3 * value:>9.2f} ms {1e3 * measured:>9.2f} ms "
                f"{value / measured - 1:>+7.1%}  "
                f"[{row['low'] / value - 1:+.1%}, {row['high'] / value - 1:+.1%}]"
            )
    return rows


def report(what, rows, most):
    """Print errors and intervals of the predicted rows of models by name; `most` has the bars."""
    error, held = {}, {}
    for name, own in rows.items():
        error[name] = np.array([abs(row["predicted"] / row["measured"] - 1) for row in own])
        held[name] = [row["low"] <= row["measured"] <= row["high"] for row in own]
        print(
            f"{name:<9} {len(own):>3} cases: median error {np.median(error[name]):.1%}, largest "
            f"{error[name].max():.1%}, inside their 80 % interval {np.mean(held[name]):.0%}"
        )
    every = np.concatenate(list(error.values()))
    harness.bar(f"{what}, median error in %", f"{100 * np.median(every):.1f}", f"under {most[0]}")
    harness.bar(f"{what}, largest error in %", f"{100 * every.max():.1f}", f"under {most[1]}")
    shares = {"all models": np.concatenate(list(held.values()))} | held
    for name, inside in shares.items():
        share = f"{100 * np.mean(inside):.0f}"
        harness.bar(f"{what}, 80 % intervals hold in %, {name}", share, "70 to 90")
