"""Cases that need torch: gating, thresholds, buffered experts, the packaged model."""

from __future__ import annotations

from typing import Any

import numpy as np

from moe_costmodel import GateRule, RoutingTrace, measured_loss

from . import names

RULES = (GateRule("top-p", 0.6), GateRule("skip", 0.5), GateRule("top-k", 2))


def plain(tensor: Any) -> Any:
    """Return a tensor as an array; 16-bit values become float32, which holds them exactly."""
    return (tensor.float() if tensor.dtype.itemsize == 2 else tensor).detach().numpy()


def layer(dtype: Any, *, gated: bool) -> tuple[Any, ...]:
    """Return tokens, choices, their weights, and experts of a layer."""
    import torch

    from moe_costmodel.kernels import Experts, route

    generator = torch.Generator().manual_seed(3)
    activation = "silu" if gated else "relu"
    experts = Experts.random(8, 16, 24, gated=gated, activation=activation, dtype=dtype, seed=1)
    x = torch.randn(37, 16, generator=generator).to(dtype)
    gate = torch.randn(8, 16, generator=generator).to(dtype)
    return (x, *route(x, gate, 4), experts)


def gating() -> dict[str, Any]:
    """Return the outputs of all kernels, except those that choose a product by its time."""
    import torch

    from moe_costmodel.kernels import (
        apply_rule,
        dynamic_gating,
        padded_batch,
        reference,
        route,
        static_gating,
    )

    torch.set_num_threads(1)
    parts: dict[str, Any] = {}
    for dtype in (torch.float32, torch.float64):
        for gated in (False, True):
            x, ids, weights, experts = layer(dtype, gated=gated)
            thinned = apply_rule(weights, RULES[0])
            products = ("loop", "grouped") if dtype == torch.float32 else ("loop",)
            out = [ids, weights, thinned]
            for w in (weights, thinned):
                out += [reference(x, ids, w, experts), padded_batch(x, ids, w, experts)]
                out += [
                    static_gating(x, ids, w, experts, capacity_factor=c) for c in (0.25, 1.0, 2.0)
                ]
                out += [dynamic_gating(x, ids, w, experts, product=p) for p in products]
            parts[f"{dtype} {'gated' if gated else 'plain'}"] = [plain(t) for t in out]
    x, _, _, _ = layer(torch.float32, gated=False)
    gate = torch.randn(8, 16, generator=torch.Generator().manual_seed(4))
    routed = [
        route(x, gate, 4, rule=rule, **names.normalized(wanted))
        for wanted in (True, False)
        for rule in (None, *RULES)
    ]
    return parts | {"routes": [[plain(t) for t in pair] for pair in routed]}


def sixteen_bits() -> dict[str, Any]:
    """Return the choices that rules keep of 16-bit weights, and outputs of the kernels on them."""
    import torch

    from moe_costmodel.kernels import apply_rule, reference, route

    torch.set_num_threads(1)
    parts = {}
    for dtype in (torch.bfloat16, torch.float16):
        x, ids, weights, experts = layer(dtype, gated=True)
        out = [weights, *[apply_rule(weights, rule) for rule in RULES]]
        gate = torch.randn(8, 16, generator=torch.Generator().manual_seed(4)).to(dtype)
        out += [t for rule in RULES for t in route(x, gate, 4, rule=rule)]
        out.append(reference(x, ids, weights, experts))
        parts[str(dtype)] = [plain(t) for t in out]
    return parts


def buffered() -> dict[str, Any]:
    """Return the outputs, hits and misses of buffered experts over a few steps."""
    import torch

    from moe_costmodel.kernels import BufferedExperts

    torch.set_num_threads(1)
    x, ids, weights, experts = layer(torch.float32, gated=True)
    parts = {}
    for policy in ("paper", "lru"):
        kernel = BufferedExperts(experts, 3, policy=policy)
        outputs = []
        for start in range(0, 36, 4):
            rows = slice(start, start + 4)
            outputs.append(plain(kernel(x[rows], ids[rows], weights[rows])))
        counts = kernel.statistics
        parts[policy] = [outputs, [counts.steps, counts.hits, counts.misses, counts.bytes_copied]]
    return parts


def packaged_model() -> dict[str, Any]:
    """Return the routing and loss of the packaged model, with and without rules."""
    import torch

    from moe_costmodel.example import load_model

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
    "kernels gating of 16 bits": sixteen_bits,
    "kernels buffered experts": buffered,
    "kernels packaged model": packaged_model,
}
