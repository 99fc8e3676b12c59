"""The packaged kernel measurements, and the hardware, latency and memory that follow from them.

``data/example_kernels.json`` was measured in the example model (``moe_costmodel.example.measure``)
on one core of an idle AMD EPYC (Zen 4) with torch 2.13; the quartiles of each point's repeats are
kept. Links between nodes were not
measured; the example has the nominal bandwidth of ten-gigabit Ethernet.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from moe_costmodel.example.packaged import config
from moe_costmodel.hardware import Hardware, Link
from moe_costmodel.latency.model import LatencyModel
from moe_costmodel.latency.steps.memory import MemoryModel
from moe_costmodel.latency.steps.rest_of_model import RestOfModel
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
"""The bandwidth that copies reach on PCIe 3 in arXiv 2303.06182."""

_ETHERNET = Link(bandwidth=1.25e9, latency=3e-5)
_DEVICE_BYTES = 8_000_000


def example_shape() -> LayerShape:
    """Return the sizes of one MoE layer of the example model.

    Returns
    -------
    LayerShape

    Examples
    --------
    >>> from moe_costmodel.example import example_shape
    >>> example_shape().n_experts
    32
    """
    sizes = config()
    return LayerShape(
        n_experts=sizes["num_local_experts"],
        k=sizes["num_experts_per_tok"],
        d_model=sizes["hidden_size"],
        d_ffn=sizes["intermediate_size"],
        gated=True,
    )


@lru_cache(maxsize=1)
def example_measurements() -> Measurements:
    """Return the packaged measurements.

    Returns
    -------
    Measurements

    Examples
    --------
    >>> from moe_costmodel.example import example_measurements
    >>> example_measurements().clock
    'cpu'
    """
    return Measurements.load(Path(__file__).parent / "data" / "example_kernels.json")


@lru_cache(maxsize=1)
def example_latency() -> LatencyModel:
    """Return a latency model of the packaged measurements; a linear model fits them best.

    Returns
    -------
    LatencyModel

    Examples
    --------
    >>> from moe_costmodel.example import example_latency, example_shape
    >>> prediction = example_latency().predict(example_shape(), [[1, 3] + 30 * [0]])
    >>> prediction.seconds.shape
    (1,)
    """
    return LatencyModel.fit(example_measurements(), method="linear")


def example_hardware(n_devices: int = 4, n_nodes: int = 1) -> Hardware:
    """Return several of the measured machine, each with 8 MB for the model of 15 MB.

    Parameters
    ----------
    n_devices, n_nodes : int
        Devices of all nodes together, and nodes.

    Returns
    -------
    Hardware

    Examples
    --------
    >>> from moe_costmodel.example import example_hardware
    >>> example_hardware(n_devices=2).memory_bytes
    8000000
    """
    measured = example_measurements().hardware
    return replace(
        measured,
        n_devices=n_devices,
        n_nodes=n_nodes,
        memory_bytes=_DEVICE_BYTES,
        links=measured.links | {"node_to_node": _ETHERNET},
    )


def example_rest() -> RestOfModel:
    """Return the times of the example model beside its MoE layers.

    Returns
    -------
    RestOfModel

    Examples
    --------
    >>> from moe_costmodel.example import example_rest
    >>> bool(example_rest().seconds([1], [16])[0] > 0)
    True
    """
    sizes = config()
    return RestOfModel.fit(
        example_measurements(), d_model=sizes["hidden_size"], n_layers=sizes["num_hidden_layers"]
    )


def example_memory() -> MemoryModel:
    """Return the memory of the example model.

    Returns
    -------
    MemoryModel

    Examples
    --------
    >>> from moe_costmodel.example import example_memory
    >>> example_memory().n_moe_layers
    6
    """
    sizes = config()
    width, layers = sizes["hidden_size"], sizes["num_hidden_layers"]
    attention = 4 * width * width * layers
    return MemoryModel(
        shape=example_shape(),
        n_moe_layers=layers,
        rest_parameters=2 * sizes["vocab_size"] * width + attention,
        n_attention_layers=layers,
        kv_width=2 * width,
        kv_dtype="float32",
    )
