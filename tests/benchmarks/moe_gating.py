"""Dynamic gating against its bare products, static gating, and transformers' own experts.

    python -m tests.benchmarks.moe_gating

Prints one table per comparison. Each round times every alternative once, and ratios are formed
within a round, so that changes in the speed of the machine cancel out.
"""

from __future__ import annotations

import time

import numpy as np
import torch

from moe_costmodel.kernels import (
    Experts,
    dynamic_gating,
    peak_activation_bytes,
    route,
    static_gating,
)
from moe_costmodel.kernels.dynamic import products_of, sort_by_expert
from tests.benchmarks import harness

# Number of experts, k and capacity factor are the paper's; width and tokens are scaled to one CPU
# thread. Routing is as skewed as the paper describes it: about 75 % of the experts of MT's decoder
# are idle.
WORKLOADS = {
    "LM": {"E": 512, "k": 2, "C": 0.05, "S": 1024, "D": 256, "F": 1024, "skew": 1.0, "v2": 6.2},
    "MT encoder": {
        "E": 128,
        "k": 2,
        "C": 1.0,
        "S": 256,
        "D": 128,
        "F": 512,
        "skew": 1.0,
        "v2": 5.8,
    },
    "MT decoder": {
        "E": 128,
        "k": 2,
        "C": 1.0,
        "S": 48,
        "D": 256,
        "F": 1024,
        "skew": 1.6,
        "v2": 2.6,
    },
}
PAPER_MEMORY = {"LM": 0.796, "MT encoder": 0.442, "MT decoder": 0.442}


def rounds(calls, n):
    """Time every call once per round; return {name: [seconds]} of process time."""
    took = {name: [] for name in calls}
    for name in calls:
        calls[name]()
    for _ in range(n):
        for name, call in calls.items():
            start = time.process_time()
            call()
            took[name].append(time.process_time() - start)
    return {name: np.array(values) for name, values in took.items()}


def skewed_routing(S, E, k, skew, seed=0):
    """Return choices of experts whose popularity is a power of their rank; weights sum to 1."""
    generator = torch.Generator().manual_seed(seed)
    popularity = torch.arange(1, E + 1).float().pow(-skew)[torch.randperm(E, generator=generator)]
    gumbel = -torch.log(-torch.log(torch.rand(S, E, generator=generator)))
    scores = popularity.log() + gumbel
    weights, ids = scores.softmax(dim=-1).topk(k, dim=-1)
    return ids, weights / weights.sum(dim=-1, keepdim=True)


def against_static():
    print("\ndynamic gating against its bare products and against static gating (fp32, 1 thread)")
    print(
        "workload      routing   E    k  C     active  dyn/bare  static/dyn  paper v2  "
        "memory saved (paper)"
    )
    for name, workload in WORKLOADS.items():
        for label, skew in (("uniform", 0.0), ("skewed", workload["skew"])):
            one_static(name, label, skew, **workload)


def at_other_scales():
    """Print the ratio to static gating at several scales of the LM, on which it depends."""
    print("\nthe LM's E, k and C at other scales")
    for S in (256, 512, 1024, 2048):
        for D in (128, 256):
            for label, skew in (("uniform", 0.0), ("skewed", 1.0)):
                print(f"S {S:>4}, d_model {D}: ", end="")
                one_static("LM", label, skew, E=512, k=2, C=0.05, S=S, D=D, F=4 * D, v2=6.2)


def one_static(name, label, routing_skew, *, E, k, C, S, D, F, v2, **_):
    experts = Experts.random(E, D, F)
    x = torch.randn(S, D, generator=torch.Generator().manual_seed(1))
    ids, weights = skewed_routing(S, E, k, routing_skew)
    order, counts = sort_by_expert(ids, weights, E)
    rows = x[order // k].clone()
    calls = {
        "bare": lambda: products_of(rows, counts, experts),
        "dynamic": lambda: dynamic_gating(x, ids, weights, experts),
    }
    fast = rounds(calls, 31)
    calls["static"] = lambda: static_gating(x, ids, weights, experts, capacity_factor=C)
    slow = rounds(calls, 5)
    bare = np.median(fast["dynamic"] / fast["bare"])
    static = np.median(slow["static"] / slow["dynamic"])
    saved = 1 - peak_activation_bytes(calls["dynamic"]) / peak_activation_bytes(calls["static"])
    print(
        f"{name:<13} {label:<8} {E:>4} {k:>3} {C:<5} {int((counts > 0).sum()):>5} {bare:>9.3f} "
        f"{static:>10.1f} {v2:>10.1f} {saved:>9.1%} ({PAPER_MEMORY[name]:.1%})"
    )


def against_transformers():
    print("\ndynamic gating against transformers' experts, same weights (Mixtral, 1 thread)")
    print("   E  k     D     F    S  ours/eager  ours/grouped_mm  ours/batched_mm  ours/best")
    for E, k, D, F, S in (
        (8, 2, 256, 896, 256),
        (32, 4, 128, 40, 16),
        (32, 4, 128, 40, 512),
        (64, 6, 256, 176, 16),
        (64, 6, 256, 176, 256),
        (128, 8, 256, 96, 64),
    ):
        one_of_transformers(E, k, D, F, S)


def one_of_transformers(E, k, D, F, S):
    from transformers import MixtralConfig
    from transformers.models.mixtral.modeling_mixtral import MixtralExperts

    config = MixtralConfig(
        hidden_size=D, intermediate_size=F, num_local_experts=E, num_experts_per_tok=k
    )
    module = MixtralExperts(config)
    for parameter in module.parameters():
        parameter.normal_(std=0.05, generator=torch.Generator().manual_seed(0))
    experts = Experts.from_module(module)
    x = torch.randn(S, D, generator=torch.Generator().manual_seed(1))
    ids, weights = route(x, torch.randn(E, D, generator=torch.Generator().manual_seed(2)), k)

    def implementation(name):
        def call():
            config._experts_implementation = name
            return module(x, ids, weights)

        return call

    calls = {"ours": lambda: dynamic_gating(x, ids, weights, experts)}
    calls |= {name: implementation(name) for name in ("eager", "grouped_mm", "batched_mm")}
    expected = calls["eager"]()
    for name, call in calls.items():
        assert torch.allclose(call(), expected, atol=1e-4), name
    slow = rounds({name: calls[name] for name in ("ours", "batched_mm")}, 5)
    del calls["batched_mm"]
    took = rounds(calls, 61)
    ratio = {name: np.median(took["ours"] / took[name]) for name in calls}
    ratio["batched_mm"] = np.median(slow["ours"] / slow["batched_mm"])
    best = max((name for name in ratio if name != "ours"), key=lambda name: ratio[name])
    print(
        f"{E:>4} {k:>2} {D:>5} {F:>5} {S:>4} {ratio['eager']:>10.2f} {ratio['grouped_mm']:>16.2f} "
        f"{ratio['batched_mm']:>16.2f} {ratio[best]:>10.2f} ({best})"
    )


def main():
    harness.script_parser(__doc__).parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    print(harness.machine("torch", "transformers"))
    against_static()
    at_other_scales()
    against_transformers()


if __name__ == "__main__":
    main()
