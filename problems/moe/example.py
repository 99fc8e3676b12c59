"""The sizes of the packaged example model, and the link behind which its experts are."""

from __future__ import annotations

import json

from moe_costmodel import LayerShape, Link
from moe_costmodel.example import trace_path

__all__ = ["EXAMPLE_LINK", "example_shape"]

EXAMPLE_LINK = Link(bandwidth=12e9, latency=1e-5)
"""PCIe 3 as copies saturate it in arXiv 2303.06182."""


def example_shape() -> LayerShape:
    """Return the sizes of one MoE layer of the example model."""
    config = json.loads(trace_path("code").with_name("config.json").read_text())
    return LayerShape(
        n_experts=config["num_local_experts"],
        k=config["num_experts_per_tok"],
        d_model=config["hidden_size"],
        d_ffn=config["intermediate_size"],
        gated=True,
    )
