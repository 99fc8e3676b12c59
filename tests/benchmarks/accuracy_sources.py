"""Predicted and measured values of every model, for the page of accuracy."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from moe_costmodel._arrays import Floats
from moe_costmodel.example import example_latency
from moe_costmodel.latency.model import LatencyModel
from moe_costmodel.measure.kernel_table import KernelTable
from problems.noc import NoC3D, Platform
from problems.noc.baselines import express_mesh, folded_torus
from tests.benchmarks import harness, moe_on_chip, serving_run, silicon, wide_ep
from tests.benchmarks.noc_referee_data import shared_designs, simulated_sets
from tests.benchmarks.noc_simulator import simulated

CHIPS, LAYERS, MODELS, SYSTEMS = (
    "Networks on chip",
    "Layers of experts",
    "Whole models on this machine",
    "Whole models on GPUs",
)


class Missing(Exception):
    """Data of a source are not at hand."""


@dataclass(frozen=True)
class Points:
    """Predictions of one kind, and what was measured; all arrays are [n]."""

    section: str
    what: str
    truth: str
    script: str
    predicted: Floats
    measured: Floats
    low: Floats | None = None
    high: Floats | None = None
    level: float | None = None  # of the intervals between low and high
    promise: float | None = None
    statistic: str = "median"  # of the errors, which keeps the promise
    least_rank: float | None = None
    ranked: bool = True  # whether the order of the points means anything
    panel: str = ""  # of the picture
    label: str = ""


def data_file(name: str) -> Path:
    """Return a shared file; raise Missing if there is none."""
    folder = os.environ.get("MOELA_DATA")
    if not folder or not Path(folder, name).exists():
        raise Missing(f"{name} is not in the folder that MOELA_DATA names")
    return Path(folder, name)


def results(name: str) -> dict:
    """Return recorded results."""
    return json.loads((harness.RESULTS / name).read_text(encoding="utf-8"))


# ----------------------------------------------------------------------------------------- chips


def released_evaluator() -> Iterator[Points]:
    """Five objectives of 50 designs, by the evaluator that was released with the paper."""

    path = data_file("noc/released_evaluator_designs.npz")
    with np.load(path, allow_pickle=False) as file:
        data = {name: file[name] for name in file}
    ours, theirs = [], []
    for app in np.unique(data["app"]).tolist():
        problem = NoC3D.from_traffic(
            path.with_name(f"{app}_traffic.csv"), objectives=5, model="released"
        )
        of_app = data["app"] == app
        per_layer = problem.platform.grid[0] * problem.platform.grid[1]
        layers = data["links"][of_app] // per_layer
        planar = [  # vertical links are the same in every design
            np.sort(problem.platform.candidate_index(np.sort(links[same], axis=1)))
            for links, same in zip(
                data["links"][of_app], layers[..., 0] == layers[..., 1], strict=True
            )
        ]
        rows = np.concatenate((data["placement"][of_app], np.array(planar)), axis=1)
        ours.append(problem.evaluate(rows).ravel())
        theirs.append(data["objectives"][of_app].ravel())
    yield Points(
        CHIPS, "five objectives, `model=\"released\"`", "the paper's released evaluator",
        "pytest tests/problems/noc/evaluation/test_models.py",
        np.concatenate(ours), np.concatenate(theirs), ranked=False,
    )  # fmt: skip


def packet_latency() -> Iterator[Points]:
    """Packet latency of the shared designs under load, by BookSim."""
    path = data_file("noc/booksim_hotspot_designs.npz")
    least = {("deep", 0.7): 0.97, ("shallow", 0.4): 0.95, ("shallow", 0.7): 0.85}
    sets = simulated_sets(Platform.paper_4x4x4(), "packet_latency", path)
    for s, kind, problem, truth in sets:
        ours = problem.evaluate(s.rows)[:, 0]
        words = f"packet latency, {s.app}, load {s.level}, {kind} buffers"
        whole = Points(
            CHIPS, words, "BookSim 2", "noc_referees", ours, truth, statistic="mean",
            promise=0.03 if kind == "deep" else 0.04,
            panel="Packet latency (cycles), BookSim 2", label=f"{s.name}, {kind}",
        )  # fmt: skip
        yield whole
        yield replace(
            whole, what=f"{words}, designs of the front", predicted=ours[s.front],
            measured=truth[s.front], least_rank=least[kind, s.level], panel="",
        )  # fmt: skip


def flit_simulator() -> Iterator[Points]:
    """Packet latency by the library's own simulator, against BookSim."""
    path = data_file("noc/booksim_hotspot_designs.npz")
    for s, kind, problem, truth in simulated_sets(Platform.paper_4x4x4(), "mean", path):
        designs = [problem.decode(x) for x in s.rows]
        routing = "model" if kind == "deep" else "booksim"
        yield Points(
            CHIPS, f"`Design.simulate`, {s.app}, load {s.level}, {kind} buffers", "BookSim 2",
            "noc_simulator", simulated(designs, s, routing, 0, 0.15), truth,
            promise=0.03, statistic="mean", least_rank=0.98,
        )  # fmt: skip


def peak_temperature() -> Iterator[Points]:
    """Rise of the peak temperature over ambient, by HotSpot."""
    path = data_file("noc/booksim_hotspot_designs.npz")
    platform = Platform.paper_4x4x4()
    problem = NoC3D.example("bfs", platform=platform, objectives=("peak_temperature",))
    ambient = platform.stack.ambient
    for s in shared_designs(platform, path):
        if s.level != 0.7:
            continue
        rise = problem.evaluate(s.rows)[:, 0] - ambient
        whole = Points(
            CHIPS, f"rise of the peak temperature, {s.app}", "HotSpot 6", "noc_heat",
            rise, s.peak - ambient, promise=0.03, statistic="mean", least_rank=0.99,
            panel="Rise of the peak temperature (K), HotSpot 6", label=s.app,
        )  # fmt: skip
        yield whole
        yield replace(
            whole, what=f"{whole.what}, designs of the front", predicted=rise[s.front],
            measured=whole.measured[s.front], panel="",
        )  # fmt: skip


def best_designs() -> Iterator[Points]:
    """Packet latency of designs that searches found, by the library's own simulator."""
    found, predicted = results("noc_baselines.json"), []
    for key, row in found.items():
        app, name, *run = key.split()
        path = data_file(f"noc/{app}_traffic.csv")
        wires = found[" ".join((app, "MOELA", *run))]["wire_length"] if run else 0.0
        problem = NoC3D.from_traffic(
            path, platform=network_of(name, wires), objectives=("packet_latency",)
        )
        predicted.append(problem.evaluate([row["row"]])[0, 0])
    yield Points(
        CHIPS, "packet latency of optimized designs and baselines", "`Design.simulate`",
        "noc_baselines", np.array(predicted), *columns(list(found.values()), "simulated"),
    )  # fmt: skip
    data_file("routing")
    traces, chips = moe_on_chip.cases(), dict[str, list[dict]]()
    for key, result in results("moe_on_chip.json").items():
        methods = [one for one in result.values() if isinstance(one, dict)]
        chips.setdefault(key.rsplit(", ", 2)[0], []).extend(methods)
    predicted = [
        moe_on_chip.problem_of(*traces[name]).held_out.measure(
            np.array([chip["row"] for chip in own]), ("latency",)
        )["latency"]
        for name, own in chips.items()
    ]
    held_out = [chip["held out"] for own in chips.values() for chip in own]
    yield Points(
        CHIPS, "packet latency of experts on a chip, held-out domain", "`Design.simulate`",
        "moe_on_chip", np.concatenate(predicted), *columns(held_out, "simulated"),
    )  # fmt: skip


def network_of(name: str, wires: float) -> Platform:
    """Return the chip that a baseline is a design of; an express mesh has wires of a length."""
    platform = Platform.paper_4x4x4()
    if name == "torus":
        return folded_torus(platform).platform
    if name == "express":
        return express_mesh(platform, wire_length=max(wires, 96.0)).platform
    return platform


# ------------------------------------------------------------------------- models on this machine


def layers() -> Iterator[Points]:
    """Layers of shapes or sizes that a latency model was not fitted to."""
    yield of_ratios(
        "packaged kernels of a CPU, number of tokens left out", "process time",
        "pytest tests/moe_costmodel/example", example_latency().report.log_ratios,
    )  # fmt: skip


def layers_of_h100() -> Iterator[Points]:
    """Layers of an H100's table, each shape left out; those of extrapolations do not count."""
    table = KernelTable.from_aiconfigurator(
        data_file("kernels/h100_sxm-sglang-0.5.10-moe_perf.parquet")
    )
    model = LatencyModel.fit(table, max_points=30_000)
    yield of_ratios(
        "kernels of an H100 (SGLang), shape left out, if inside the range of the others",
        "published table", "accuracy", model.report.log_ratios,
    )  # fmt: skip


def of_ratios(what: str, truth: str, script: str, log_ratios: Floats) -> Points:
    """Return points of which only log(measured / predicted) is known."""
    measured = np.exp(log_ratios)
    return Points(LAYERS, what, truth, script, np.ones(len(measured)), measured, ranked=False)


def whole_steps() -> Iterator[Points]:
    """Decode steps and prompts of whole models of Hugging Face."""
    from tests.benchmarks import measured_models, prefill, whole_models

    cases = (
        ("decode step", whole_models, 0.08, "Decode steps of whole models (s)"),
        ("prompt", prefill, 0.10, "Prompts of whole models (s)"),
    )
    for what, script, promise, panel in cases:
        for name, rows in measured_models.recorded(script.SCRIPT, script.predicted):
            predicted, measured, low, high = columns(rows, "predicted", "measured", "low", "high")
            yield Points(
                MODELS, f"{what}, {name}-like", "the model, process time", script.SCRIPT,
                predicted, measured, low, high, 0.8, promise, panel=panel, label=f"{name}-like",
            )  # fmt: skip


def offloading() -> Iterator[Points]:
    """Decode steps with experts in slow memory."""
    from tests.benchmarks import offload_kernel

    rows = results("offload_kernel.json")
    for model in offload_kernel.MODELS:
        predicted, measured = [], []
        for case in offload_kernel.cases_of([model]):
            predicted.append(offload_kernel.predicted(case, case.plans(), rows[case.key])[2])
            measured.append(rows[case.key]["seconds"])
        yield Points(
            MODELS, f"decode step with offloaded experts, {model}", "the model, process time",
            "offload_kernel", np.concatenate(predicted), np.concatenate(measured),
            panel="Steps with offloaded experts (s)", label=model,
        )  # fmt: skip


# ------------------------------------------------------------------------------- models on GPUs


def silicon_sample() -> Iterator[Points]:
    """Measured serving points of aiconfigurator-core, each architecture and GPU left out."""
    data = silicon.composed()
    moe = data.moe == 1
    yield Points(
        SYSTEMS, "time per token, composed of tables, no calibration", "`silicon_sample.csv`",
        "silicon", data.composed["tpot"][moe], data.measured["tpot"][moe],
    )  # fmt: skip
    for (target, words), promise in zip(silicon.TARGETS.items(), (0.11, 0.20), strict=True):
        predicted, low, high = silicon.predicted(data, target)[:, moe]
        yield Points(
            SYSTEMS, f"{words}, calibrated, architecture and GPU left out", "`silicon_sample.csv`",
            "silicon", predicted, data.measured[target][moe], low, high, 0.9, promise,
            panel="GPU systems, calibrated (s)", label=words,
        )  # fmt: skip


def vllm_run() -> Iterator[Points]:
    """Requests that vLLM served, the last 200 of 300."""
    data_file(serving_run.FOLDER)
    run, rest = serving_run.run(), slice(serving_run.FITTED, None)
    words = "Qwen3-30B-A3B, 200 requests"
    for name, value, promise, function in (
        ("mean time per token", "tpot", 0.03, np.mean),
        ("median time to first token", "ttft", 0.15, np.median),
        ("mean time to first token", "ttft", 0.25, np.mean),
    ):
        ours, theirs = getattr(run.served, value)[rest], run.observed[value][rest]
        yield Points(
            SYSTEMS, f"{words}, {name}", "a run of vLLM", "serving_run",
            np.array([function(ours)]), np.array([function(theirs)]), promise=promise,
        )  # fmt: skip


def published_systems() -> Iterator[Points]:
    """DeepSeek-V3 under wide expert parallelism, as SGLang published it."""
    found = wide_ep.throughputs(verbose=False)
    for name, published in wide_ep.PUBLISHED.items():
        yield Points(
            SYSTEMS, f"DeepSeek-V3, tokens/s a node, {name}", "published by SGLang", "wide_ep",
            np.array([found[name]]), np.array([published]), promise=0.25,
        )  # fmt: skip


def columns(rows: list[dict], *names: str) -> tuple[Floats, ...]:
    """Return values of rows by name, each [n]."""
    return tuple(np.array([row[name] for row in rows], dtype=float) for name in names)


SOURCES = (
    released_evaluator, packet_latency, flit_simulator, peak_temperature, best_designs, layers,
    layers_of_h100, whole_steps, offloading, silicon_sample, vllm_run, published_systems,
)  # fmt: skip
SLOW = (flit_simulator, layers_of_h100, published_systems, vllm_run)

REASONS = """\
- BookSim's results have standard errors of 0.2 to 0.4 cycles. Our own simulator, repeated with as
  many packets as BookSim had, ranks the designs with correlations of 0.93 to 0.99 (the noise cap
  that `noc_simulator` prints).
- Within fronts, packet latencies differ by less than the noise of short simulations. With buffers
  of four flits, rank designs by `Design.simulate` ([](noc.md)).
- Time to first token is mostly queueing. The sample was measured by clients that send all requests
  at once, which is simulated, with settings of public benchmark scripts. If you know the arrivals,
  simulate the requests ([](whole_models.md)).
- Intervals of one model can be too narrow although those of all models together hold
  ([](whole_models.md))."""
