"""The packaged example: its sizes, and what its kernels took on the machine that measured them.

``data/example_kernels.json`` is what ``measure_kernels`` found on one core of an AMD EPYC (Zen 4)
with torch 2.13; of each point's repeats the quartiles are kept. Links between nodes were not
measured; those of the example are what ten-gigabit Ethernet promises.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from moe_costmodel.example import trace_path
from moe_costmodel.hardware import Hardware, Link
from moe_costmodel.latency.model import LatencyModel
from moe_costmodel.latency.step import MemoryModel, RestOfModel
from moe_costmodel.measure.measurements import Measurements
from moe_costmodel.shapes import LayerShape

__all__ = [
    "EXAMPLE_LINK",
    "example_hardware",
    "example_latency",
    "example_measurements",
    "example_memory",
    "example_rest",
    "example_shape",
]

EXAMPLE_LINK = Link(bandwidth=12e9, latency=1e-5)
"""PCIe 3 as copies saturate it in arXiv 2303.06182."""

_ETHERNET = Link(bandwidth=1.25e9, latency=3e-5)
_DEVICE_BYTES = 8_000_000


def _config() -> dict[str, int]:
    config: dict[str, int] = json.loads(trace_path("code").with_name("config.json").read_text())
    return config


def example_shape() -> LayerShape:
    """Return the sizes of one MoE layer of the example model."""
    config = _config()
    return LayerShape(
        n_experts=config["num_local_experts"],
        k=config["num_experts_per_tok"],
        d_model=config["hidden_size"],
        d_ffn=config["intermediate_size"],
        gated=True,
    )


@lru_cache(maxsize=1)
def example_measurements() -> Measurements:
    """Return the packaged measurements."""
    return Measurements.load(Path(__file__).parent / "data" / "example_kernels.json")


@lru_cache(maxsize=1)
def example_latency() -> LatencyModel:
    """Return the latency model of the packaged measurements (linear, which fits them best)."""
    return LatencyModel.fit(example_measurements(), method="linear")


def example_hardware(devices: int = 4, nodes: int = 1) -> Hardware:
    """Return so many of the measured machine, each with 8 MB for the model of 15 MB."""
    measured = example_measurements().hardware
    return replace(
        measured,
        n_devices=devices,
        n_nodes=nodes,
        memory_bytes=_DEVICE_BYTES,
        links=measured.links | {"node_to_node": _ETHERNET},
    )


def example_rest() -> RestOfModel:
    """Return what everything but the MoE layers of the example model takes."""
    config = _config()
    return RestOfModel.fit(
        example_measurements(), d_model=config["hidden_size"], n_layers=config["num_hidden_layers"]
    )


def example_memory() -> MemoryModel:
    """Return the memory of the example model beside its experts."""
    config = _config()
    width, layers = config["hidden_size"], config["num_hidden_layers"]
    attention = 4 * width * width * layers
    return MemoryModel(
        shape=example_shape(),
        n_moe_layers=layers,
        rest_parameters=2 * config["vocab_size"] * width + attention,
        n_attention_layers=layers,
        kv_width=2 * width,
        kv_dtype="float32",
    )
