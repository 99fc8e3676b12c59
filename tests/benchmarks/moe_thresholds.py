"""Measured loss of the example model under thresholds, compared with a fixed k of the same mean.

python -m tests.benchmarks.moe_thresholds
"""

from __future__ import annotations

import torch

from moe_costmodel import GateRule, RoutingTrace, gate_mass, measured_loss
from moe_costmodel.example import load_model
from moe_costmodel.example.record import excerpts
from tests.benchmarks import harness

RULES = [
    GateRule("skip", 0.2),
    GateRule("skip", 0.35),
    GateRule("skip", 0.5),
    GateRule("top-p", 0.6),
    GateRule("top-p", 0.8),
    GateRule("top-p", 0.9),
]


def main():
    harness.script_parser(__doc__).parse_args()
    torch.set_num_threads(1)
    print(f"{harness.machine('torch')}; nats per byte on 16 excerpts of held-out text")
    print("domain  rule         experts   loss    fixed k   all 4     gate mass   fixed k")
    model = load_model()
    for domain in ("prose", "code"):
        batches = list(excerpts(domain, n=16))
        trace = RoutingTrace.record(model, batches)
        for rule in RULES:
            loss, mass = measured_loss(model, batches, rule), gate_mass(trace, rule)
            print(
                f"{domain:<7} {rule!s:<12} {loss.experts:>6.2f}  {loss.loss:>8.4f} "
                f"{loss.equal_k_loss:>8.4f} {loss.full_loss:>8.4f} {mass.mass.mean():>10.1%} "
                f"{mass.equal_k_mass.mean():>9.1%}"
            )


if __name__ == "__main__":
    main()
