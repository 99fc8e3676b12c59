"""Every reader of files of the three packages: a good file for it, and how it is read and used.

A new reader is one line of `READERS`. `test_readers` runs the suite over them,
and ``python -m tests.benchmarks.survival mutants`` 2,000 damaged files of each.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.problems import get_problem

import moe_costmodel as moe
from moe_costmodel.example.measured import example_hardware
from moe_costmodel.kernels.experts import Experts
from moe_costmodel.traces.files import read_trace
from moe_costmodel.traces.recorders.recorded import Sizes
from moe_costmodel.traces.saved_model import load_saved_model
from moela import compare, describe_runs
from moela.commands.run.prices import read_prices
from moela.commands.traffic import with_technology
from moela.comparison.read.dispatch import read
from moela.evaluation.storage.errors import StoreError
from moela.experiments.files import Run
from moela.experiments.run import run_experiment
from moela.files.guard import read_bytes
from problems import MNKLandscape, MultiObjectiveKnapsack, MultiObjectiveQAP
from problems.classic.designs import Assignment, BitString, Packing
from problems.moe_on_chip import MoEChip
from problems.noc import BaselineComparison, Design, NoC3D, Platform, load_traffic
from problems.noc.chip.technology import TECHNOLOGIES
from problems.noc.design.booksim import read_output
from problems.noc.design.hotspot import read_steady
from tests.benchmarks.survival import damage, stores
from tests.conformance import good_files as good

Write = Callable[[Path], Path]
Load = Callable[[Path], Any]


@dataclass(frozen=True)
class Reader:
    """A function of the library that reads a file, with a good file for it."""

    name: str
    write: Write
    """Writes a small good file into an empty folder, and returns its path.

    Files beside it, which `load` reads too, are not damaged.
    """
    load: Load
    """Reads the file, every array that is read at access included, and uses what was read.

    A file that is damaged must load as valid data, or raise one of `errors` with its path and the
    damaged place in the message. To use data means to evaluate, to save or to describe it.
    """
    save: str = ""  # the method that writes what was read into a file of this format
    errors: tuple[type[Exception], ...] = (ValueError, OSError)
    mutate: damage.Mutate = damage.mutate


def used(load: Load, use: Callable[[Any], object]) -> Load:
    """Return a function that reads a value, uses it, and returns it."""

    def load_and_use(path: Path) -> Any:
        value = load(path)
        use(value)
        return value

    return load_and_use


def text(name: str, content: object) -> Write:
    """Return a function that writes a text, or other content as JSON."""
    words = content if isinstance(content, str) else json.dumps(content)

    def write(folder: Path) -> Path:
        (path := folder / name).write_text(words, encoding="utf-8")
        return path

    return write


def lines(name: str, *values: object) -> Write:
    """Return a function that writes values as lines of JSON."""
    return text(name, "\n".join(map(json.dumps, values)))


def saved(name: str, make: Callable[[], Any], method: str = "save") -> Write:
    """Return a function that makes a value and has it written by a method of its own."""

    def write(folder: Path) -> Path:
        getattr(make(), method)(path := folder / name)
        return path

    return write


def assert_finite(*values: Any) -> None:
    assert all(np.isfinite(value).all() for value in values)


# -------------------------------------------------------------------------------- networks on chip


def use_design(design: Design) -> None:
    n = design.platform.n_tiles
    assert str(design)
    assert hash(design) == hash(Design.from_dict(json.loads(json.dumps(design.to_dict()))))
    assert_finite(design.temperatures(), design.link_loads(np.ones((n, n))))


def use_platform(*objectives: str) -> Callable[[Platform], None]:
    def use(platform: Platform) -> None:
        n = platform.n_tiles
        problem = NoC3D(np.full((n, n), 1e-3), platform=platform, objectives=objectives)
        row = problem.mesh_row()[None]
        assert_finite(problem.evaluate(row, return_values_of=["F"]))
        assert_finite(list(problem.measure(row).values()))
        assert str(Design.mesh(platform))

    return use


def use_technology(path: Path) -> None:
    use_package(with_technology(good.package(), str(path)))


def use_baselines(found: BaselineComparison) -> None:
    assert str(found)
    for network in found.networks.values():
        use_design(network)


def write_csv(file: str, folder: Path) -> Path:
    good.mesh().to_csv(folder / "placement.csv", folder / "links.csv")
    return folder / file


def load_csv(path: Path) -> Design:
    return Design.from_csv(path.parent / "placement.csv", path.parent / "links.csv", good.chip())


def use_traffic(values: np.ndarray) -> None:
    problem = NoC3D(values, platform=good.chip(), objectives=3)
    assert_finite(problem.evaluate(problem.mesh_row()[None]))


def load_booksim(path: Path) -> None:
    # As `run_program` decodes the output of a program.
    assert_finite(read_output(read_bytes(path).decode("utf-8", errors="replace"), path))


# ------------------------------------------------------------------------------ classic problems


def use_instance(problem: Any) -> None:
    sampling = problem.operators()["sampling"]
    X = sampling(problem, 3, random_state=np.random.default_rng(0)).get("X")
    assert_finite(problem.evaluate(X, return_values_of=["F"]), problem.ref_point)
    assert str(problem.decode(X[0]))


def write_front_of_qap(folder: Path) -> Path:
    (problem := good.instance(MultiObjectiveQAP)).to_file(folder / "instance.dat")
    front = problem.exact_front()
    rows = np.column_stack([front.X + 1, front.F]).astype(int)
    np.savetxt(path := folder / "instance.PO", rows, fmt="%d")
    return path


# ------------------------------------------------------------------------- fronts and experiments


def write_array(folder: Path) -> Path:
    np.save(path := folder / "points.npy", np.random.default_rng(0).random((3, 8, 2)))
    return path


def write_record(folder: Path) -> Path:
    text("front.csv", "cost,delay,x0\n1.5,4,1\n2.5,3,3\n")(folder)
    return text("run.json", good.RECORD)(folder)


def write_run(folder: Path) -> Path:
    problem = get_problem("bnh")
    problem.ref_point = np.array([140.0, 50.0])
    run_experiment({"bnh": problem}, {"a": partial(NSGA2, 10)}, 1, 30, store=folder, progress=False)
    (path,) = folder.glob("*.npz")
    return path


def compare_all(path: Path) -> None:
    """Read runs, with their histories, and compare them, as `moela compare` does."""
    source = path.parent if path.name == "run.json" else path
    if not any(len(run.F) for run in read(source)):
        return  # nothing to compare, as compare says
    with warnings.catch_warnings():
        # Few points, and runs of different versions, are said.
        warnings.simplefilter("ignore", UserWarning)
        comparison = compare(source)
        assert str(comparison)
        if comparison.has_history:
            assert len(comparison.convergence())


def load_run(path: Path) -> None:
    run = Run.load(path)
    arrays = [run.F, run.CV, run.G, run.H, run.front_F, run.front_X, run.scored_F()]
    assert all(array is not None for array in arrays)
    run.save(path.with_name("again.npz").parent)
    compare_all(path)


# ---------------------------------------------------------------------------------------- traces


def use_trace(read: moe.RoutingTrace) -> None:
    description = read.describe()
    assert str(description)
    assert_finite(description.inactive, read.shares())
    assert read.loads().sum() > 0
    read.save(Path(read.source).parent / "described.npz")
    if not read.is_load_only:
        assert len(read.steps(2, drop_last=False)) == read.n_tokens
        assert read.topk_ids.max() < read.n_experts


load_trace = used(moe.RoutingTrace.load, use_trace)


def load_recorded(path: Path) -> None:
    use_trace(read_trace(path, sizes=Sizes(n_layers=2, k=2))[0])


def torch_file(name: str, make: Callable[[Any], object]) -> Write:
    def write(folder: Path) -> Path:
        import torch

        torch.save(make(torch), path := folder / name)
        return path

    return write


# ------------------------------------------------------------- machines, kernels, models, plans


def fit_measurements(read: moe.Measurements) -> None:
    assert_finite(*([record.seconds, record.spread] for record in read.records))
    try:
        model = moe.LatencyModel.fit(read, method="linear")
    except ValueError as error:
        # A valid file may hold too little for a model, or times that follow none.
        refusals = "The 'source' parameter of LatencyModel.fit", "LatencyModel.fit must predict"
        if not str(error).startswith(refusals):
            raise
    else:
        shape = moe.LayerShape(n_experts=4, k=2, d_model=16, d_ffn=8, gated=True)
        assert_finite(model.predict(shape, [[1] * shape.n_experts]).seconds)


def write_kernels(folder: Path) -> Path:
    import pyarrow as pa
    from pyarrow import parquet

    n = 24
    same = {"device": "NVIDIA H100 80GB HBM3", "hidden_size": 2048, "inter_size": 768, "topk": 8,
            "num_experts": 64, "moe_tp_size": 1, "moe_ep_size": 2}  # fmt: skip
    columns = {name: [value] * n for name, value in same.items()} | {
        "kernel_source": ["triton", "cutlass"] * (n // 2),
        "moe_dtype": ["bfloat16", "fp8"] * (n // 2),
        "distribution": ["balanced"] * 12 + ["power_law_1.2"] * 12,
        "num_tokens": [2**i for i in range(12)] * 2,
        "latency": [0.1 * (1 + i) for i in range(n)],
    }
    parquet.write_table(pa.table(columns), path := folder / "table.parquet")
    return path


def use_kernels(table: moe.KernelTable) -> None:
    assert str(table)
    assert_finite(table.seconds, *vars(table.work).values())


def load_plan(path: Path) -> moe.Plan:
    read = moe.Plan.load(path)
    assert read.explain()
    for export in (read.to_vllm, read.to_tensorrt_llm, read.to_sglang):
        export(path.with_name("export"))
    return read


def use_config(shape: moe.ModelShape) -> None:
    assert sum(shape.parameters().values()) > 0
    assert_finite(shape.kv_bytes(128, "fp8"))


def load_experts(path: Path) -> None:
    import torch

    experts = Experts.map_file(path)
    assert experts.product(0, torch.ones(1, experts.d_model).to(experts.up)).shape[0] == 1


def write_saved_model(folder: Path) -> Path:
    import tokenizers
    import transformers

    words = {word: i for i, word in enumerate(["[UNK]", "a", "b", "c"])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[UNK]"))
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    config = transformers.MixtralConfig(
        vocab_size=8, hidden_size=8, intermediate_size=4, num_hidden_layers=1,
        num_attention_heads=2, num_key_value_heads=2, num_local_experts=2,
        max_position_embeddings=16,
    )  # fmt: skip
    transformers.MixtralForCausalLM(config).save_pretrained(folder)
    return folder / "config.json"


def write_weights(folder: Path) -> Path:
    return write_saved_model(folder).with_name("model.safetensors")


def load_model(path: Path) -> None:
    load_saved_model(path.parent)


# ------------------------------------------------------------------------------------ all readers


def classic(kind: Any) -> Load:
    return used(kind.from_file, use_instance)


use_chip = use_platform("mean", "deviation", "energy", "thermal", "temperature")
use_package = use_platform("mean", "energy", "packet_latency", "peak_load")
load_qap = used(lambda path: MultiObjectiveQAP.from_file(path.with_suffix(".dat")), use_instance)
KNAPSACK, MNK, QAP = MultiObjectiveKnapsack, MNKLandscape, MultiObjectiveQAP
TRAFFIC = "\n".join(",".join(map(str, row)) for row in good.traffic(12))
COUNTS = {"logical_count": good.trace().loads(5, "prefill").tolist()}
PRICES = {"h200_sxm": 3.5, "l40s": {"price_per_gpu_hour": 0.9, "gpus": 4}}
STORE: dict[str, Any] = {"errors": (StoreError,), "mutate": stores.mutate}

READERS = [
    Reader("NoC design", saved("design.json", good.mesh), used(Design.load, use_design), "save"),
    Reader("baselines", saved("beside.json", good.baselines),
           used(BaselineComparison.load, use_baselines), "save"),
    Reader("platform", saved("platform.json", good.chip), used(Platform.load, use_chip), "save"),
    Reader("package of dies", saved("dies.json", good.package), used(Platform.load, use_package),
           "save"),
    Reader("technology", text("technology.json", TECHNOLOGIES["32nm"]), use_technology),
    Reader("traffic", text("traffic.csv", TRAFFIC),
           used(lambda path: load_traffic(path, n=12, scale=1.0), use_traffic)),
    Reader("placement of a design", partial(write_csv, "placement.csv"), load_csv),
    Reader("links of a design", partial(write_csv, "links.csv"), used(load_csv, use_design)),
    Reader("output of HotSpot", text("steady.txt", good.steady()),
           used(lambda path: read_steady(good.mesh(), path), assert_finite)),
    # Programs that fail are RuntimeErrors.
    Reader("output of BookSim", text("output.txt", good.BOOKSIM), load_booksim,
           errors=(RuntimeError,)),
    Reader("chip with experts", saved("chip.json", good.expert_chip), MoEChip.load, "save"),
    Reader("QAP", saved("a.dat", partial(good.instance, QAP), "to_file"), classic(QAP), "to_file"),
    Reader("front of a QAP", write_front_of_qap, load_qap),
    Reader("knapsack", saved("a.in", partial(good.instance, KNAPSACK), "to_file"),
           classic(KNAPSACK), "to_file"),
    Reader("MNK-landscape", saved("a.dat", partial(good.instance, MNK), "to_file"), classic(MNK),
           "to_file"),
    Reader("assignment", saved("a.json", partial(good.best, QAP)), Assignment.load, "save"),
    Reader("packing", saved("a.json", partial(good.best, KNAPSACK)), Packing.load, "save"),
    Reader("bit string", saved("a.json", partial(good.best, MNK)), BitString.load, "save"),
    Reader("front, commas", text("points.csv", good.POINTS), compare_all),
    Reader("front, blank lines", text("sets.txt", good.SETS), compare_all),
    Reader("front, array", write_array, compare_all),
    Reader("run.json", write_record, compare_all),
    Reader("run of an experiment", write_run, load_run),
    Reader("trace", saved("trace.npz", good.trace), load_trace, "save"),
    Reader("mapped trace", lambda folder: good.trace().save(folder / "mapped.npz", compress=False),
           used(partial(moe.RoutingTrace.load, mmap=True), use_trace)),
    Reader("loads", saved("loads.npz", good.loads), load_trace, "save"),
    Reader("counts", text("counts.json", COUNTS), load_trace),
    Reader("SGLang, stat", torch_file("stat.pt", good.sglang_stat), load_trace),
    Reader("SGLang, per_token", torch_file("tokens.pt", good.sglang_tokens), load_trace),
    Reader("SGLang, per_pass", torch_file("passes.pt", good.sglang_passes), load_trace),
    Reader("response of vLLM", text("a.json", good.VLLM), load_recorded),
    Reader("response of SGLang", text("a.json", good.SGLANG), load_recorded),
    Reader("loads of vLLM", lines("a.jsonl", *[good.LOADS] * 4), load_recorded),
    Reader("lines of moe-cache-lab", lines("a.jsonl", *good.LAB), load_recorded),
    Reader("rows of llama.cpp", text("a.csv", good.LLAMA), load_recorded),
    Reader("hardware", saved("hardware.json", example_hardware), moe.Hardware.load, "save"),
    Reader("measurements", saved("kernels.json", good.measurements),
           used(moe.Measurements.load, fit_measurements), "save"),
    Reader("kernel table", write_kernels, used(moe.KernelTable.from_aiconfigurator, use_kernels)),
    Reader("plan", saved("plan.json", good.plan), load_plan, "save"),
    Reader("serving plan", saved("plan.json", good.serving_plan), moe.ServingPlan.load, "save"),
    Reader("config of a model", text("config.json", good.MODEL),
           used(moe.ModelShape.from_config, use_config)),
    Reader("prices", text("prices.json", PRICES), read_prices),
    Reader("prices, table", text("a.csv", "gpu,price_per_gpu_hour\nl40s,0.9\n"), read_prices),
    Reader("requests", lines("a.jsonl", *good.REQUESTS), moe.read_requests),
    Reader("experts", saved("experts.safetensors", good.experts), load_experts),
    Reader("saved model", write_saved_model, load_model),
    Reader("weights of a saved model", write_weights, load_model),
    Reader("store", stores.write, stores.read_all, **STORE),
    Reader("store, described", stores.write, describe_runs, **STORE),
    # It takes files of any kind, and says in a ValueError what it cannot compare.
    Reader("store, compared", stores.write, compare, errors=(StoreError, ValueError),
           mutate=stores.mutate),
    Reader("store, resumed", stores.write, stores.solve, **STORE),
]  # fmt: skip
