"""Cases that need torch: gating, thresholds, buffered experts, the packaged model."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from moe_costmodel import GateRule, RoutingTrace, kernels, measured_loss
from moe_costmodel.example import load_model

RULES = (GateRule("top-p", 0.6), GateRule("skip", 0.5), GateRule("top-k", 2))


def plain(tensor: Any) -> Any:
    """Return a tensor as an array; 16-bit values become float32, which holds them exactly."""
    return (tensor.float() if tensor.dtype.itemsize == 2 else tensor).detach().numpy()


def layer(dtype: Any, *, gated: bool) -> tuple[Any, ...]:
    """Return tokens, choices, their weights, and experts of a layer."""
    generator = torch.Generator().manual_seed(3)
    activation = "silu" if gated else "relu"
    experts = kernels.Experts.random(
        8, 16, 24, gated=gated, activation=activation, dtype=dtype, seed=1
    )
    x = torch.randn(37, 16, generator=generator).to(dtype)
    gate = torch.randn(8, 16, generator=generator).to(dtype)
    return (x, *kernels.route(x, gate, 4), experts)


def gating() -> dict[str, Any]:
    """Return the outputs of all kernels, except those that choose a product by its time."""
    torch.set_num_threads(1)
    parts: dict[str, Any] = {}
    for dtype in (torch.float32, torch.float64):
        for gated in (False, True):
            x, ids, weights, experts = layer(dtype, gated=gated)
            thinned = kernels.apply_rule(weights, RULES[0])
            products = ("loop", "grouped") if dtype == torch.float32 else ("loop",)
            out = [ids, weights, thinned]
            for w in (weights, thinned):
                out += [
                    kernels.reference(x, ids, w, experts),
                    kernels.padded_batch(x, ids, w, experts),
                ]
                out += [
                    kernels.static_gating(x, ids, w, experts, capacity_factor=c)
                    for c in (0.25, 1.0, 2.0)
                ]
                out += [kernels.dynamic_gating(x, ids, w, experts, product=p) for p in products]
            parts[f"{dtype} {'gated' if gated else 'plain'}"] = [plain(t) for t in out]
    x, _, _, _ = layer(torch.float32, gated=False)
    gate = torch.randn(8, 16, generator=torch.Generator().manual_seed(4))
    routed = [
        kernels.route(x, gate, 4, rule=rule, normalize=wanted)
        for wanted in (True, False)
        for rule in (None, *RULES)
    ]
    return parts | {"routes": [[plain(t) for t in pair] for pair in routed]}


def packaged_model() -> dict[str, Any]:
    """Return the routing and loss of the packaged model, with and without rules."""
    torch.set_num_threads(1)
    model = load_model()
    text = torch.from_numpy(np.random.default_rng(1).integers(32, 120, (2, 48)))
    recorded = RoutingTrace.record(model, [text])
    with torch.no_grad():
        outputs = model(text)
    losses = [measured_loss(model, [text], rule) for rule in RULES]
    return {
        "trace": [recorded.topk_ids, recorded.topk_weights, recorded.sequence_lengths],
        "outputs": plain(outputs),
        "losses": [
            [m.loss, m.experts, m.full_loss, m.fixed_k_loss, m.equal_k_loss, m.n_tokens]
            for m in losses
        ],
    }


CASES = {
    "kernels gating": gating,
    "kernels packaged model": packaged_model,
}
