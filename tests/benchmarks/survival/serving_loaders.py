"""Loaders of what serving engineers have: configs, plans, prices, requests, recorded responses."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np

from moe_costmodel import ModelShape, ServingPlan, read_requests
from moe_costmodel.traces.files import read_trace
from moe_costmodel.traces.recorders.recorded import Sizes
from moela.commands.run.prices import read_prices
from problems import MoEServing
from problems.moe_on_chip import MoEChip
from problems.noc import Design, Platform
from tests.benchmarks.survival.loader import Loader
from tests.moe_costmodel.models.test_config import QWEN3_30B
from tests.moe_costmodel.silicon.tables import CONFIG, write_tables
from tests.moe_costmodel.traces.test_recorders import lab_lines, llama_rows, sglang, vllm


def _write(name: str, text: str):
    def write(folder: Path) -> Path:
        path = folder / name
        path.write_text(text)
        return path

    return write


def load_config(path: Path) -> None:
    shape = ModelShape.from_config(path)
    assert sum(shape.parameters().values()) > 0
    assert np.isfinite(shape.kv_bytes(128, "fp8"))


def write_serving_plan(folder: Path) -> Path:
    with tempfile.TemporaryDirectory() as tables:
        root = write_tables(Path(tables))
        problem = MoEServing(
            CONFIG, gpu="toy", n_gpus=2, backend="sglang", root=root, input_tokens=64,
            output_tokens=16,
        )  # fmt: skip
        return problem.plan(problem.starts()[0]).save(folder / "plan.json")


def load_serving_plan(path: Path) -> None:
    plan = ServingPlan.load(path)
    assert ServingPlan.load(plan.save(path.with_name("again.json"))) == plan
    assert str(plan)


def load_requests(path: Path) -> None:
    assert read_requests(path)[0].arrival == 0.0


def write_chip(folder: Path) -> Path:
    platform = Platform(
        grid=(2, 2, 1),
        pe_types={"GPU": {"count": 3, "power": 4.0}, "LLC": {"count": 1, "power": 1.0}},
        n_planar_links=4,
    )
    MoEChip([[0, 1, 2, 0]], Design.mesh(platform)).save(folder / "chip.json")
    return folder / "chip.json"


def load_chip(path: Path) -> None:
    chip = MoEChip.load(path)
    chip.save(again := path.with_name("again.json"))
    assert MoEChip.load(again).tiles.shape == chip.tiles.shape


def load_recorded(path: Path) -> None:
    trace, _ = read_trace(path, sizes=Sizes(n_layers=2, k=2))
    again = trace.save(path.with_name("again.npz"))
    assert read_trace(again)[0].n_layers == trace.n_layers


REQUESTS = "\n".join(
    json.dumps({"arrival_time": 0.5 * i, "input_tokens": 10 + i, "output_tokens": 5})
    for i in range(6)
)
LOADS = "\n".join(json.dumps({"expert_load": [[3, 1, 0, 4], [2, 2, 2, 2]]}) for _ in range(4))
PRICES = {"h200_sxm": 3.5, "l40s": {"price_per_gpu_hour": 0.9, "gpus": 4}}

LOADERS = [
    Loader("config of a model", _write("config.json", json.dumps(QWEN3_30B)), load_config),
    Loader("serving plan", write_serving_plan, load_serving_plan),
    Loader("prices", _write("prices.json", json.dumps(PRICES)), read_prices),
    Loader(
        "prices, table",
        _write("prices.csv", "gpu,price_per_gpu_hour\nh200_sxm,3.5\nl40s,0.9\n"),
        read_prices,
    ),
    Loader("requests", _write("requests.jsonl", REQUESTS), load_requests),
    Loader("chip with experts", write_chip, load_chip),
    Loader("response of vLLM", _write("a.json", json.dumps(vllm())), load_recorded),
    Loader("response of SGLang", _write("c.json", json.dumps(sglang())), load_recorded),
    Loader("loads of vLLM", _write("l.jsonl", LOADS), load_recorded),
    Loader("lines of moe-cache-lab", _write("e.jsonl", lab_lines()), load_recorded),
    Loader("rows of llama.cpp", _write("f.csv", llama_rows()), load_recorded),
]
