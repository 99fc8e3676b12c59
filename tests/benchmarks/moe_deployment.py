"""Deployments evaluated per second on one core: all layers new, one layer changed, none changed.

    MOELA_DATA=... python -m tests.benchmarks.moe_deployment

DeepSeek-V2-Lite's routing (26 layers of 64 experts, 8,222 tokens) on four devices. Every layer has
its own threshold, placement and buffers. The kernel times are made up, which does not change the
speed. A sample of the results is compared, bit for bit, with a model whose cache is empty.
"""

from __future__ import annotations

import time

import numpy as np

from moe_costmodel.deployment.model import DeploymentModel
from moe_costmodel.gating.rules import GateRule
from moe_costmodel.placement.placement import Placement
from moe_costmodel.plans.decision import Decision
from moe_costmodel.shapes import LayerShape
from moe_costmodel.traces.trace import RoutingTrace
from tests.benchmarks import harness
from tests.moe_costmodel.machines import hardware, latency

N_DEVICES, POLICIES = 4, ("paper", "lru", "inactive-lfu")


def drawn(random, policy, batch):
    gates = [GateRule("skip", round(v, 3)) for v in random.uniform(0, 0.5, 26)]
    placement = np.stack([random.permutation(64) for _ in range(26)])
    return {
        "placement": placement,
        "batch_size": batch,
        "gates": gates,
        "capacities": random.integers(4, 17, (26, N_DEVICES)),
        "policy": policy,
    }


def one_changed(design, random):
    gates, capacities = list(design["gates"]), design["capacities"].copy()
    placement = design["placement"].copy()
    layer, part = random.integers(26), random.integers(3)
    if part == 0:
        gates[layer] = GateRule("skip", round(random.uniform(0, 0.5), 3))
    elif part == 1:
        capacities[layer] = random.integers(4, 17, N_DEVICES)
    else:
        placement[layer] = random.permutation(64)
    return design | {"gates": gates, "capacities": capacities, "placement": placement}


def evaluate(model, design):
    placement = Placement(design["placement"], N_DEVICES)
    return model.evaluate(Decision(**design | {"placement": placement}))


def rate(model, designs):
    started = time.process_time()
    for design in designs:
        evaluate(model, design)["tokens_per_s"]
    return len(designs) / (time.process_time() - started)


def main():
    harness.script_parser(__doc__).parse_args()
    path = harness.data_folder() / "routing/deepseek-v2-lite-intent.npz"
    trace = RoutingTrace.load(path)
    shape = LayerShape(n_experts=64, k=6, d_model=128, d_ffn=64, gated=True)
    random = np.random.default_rng(0)

    def fresh():
        return DeploymentModel(trace, hardware(), latency(), shape=shape, n_devices=N_DEVICES)

    print(f"{'batch':>5} {'steps':>6} {'policy':<14}{'cold/s':>8}{'one layer/s':>13}{'none/s':>9}")
    for batch in (1, 4, 16, 64):
        for policy in POLICIES:
            model = fresh()
            evaluate(model, drawn(random, policy, batch))  # compiles, and sorts the steps
            cold = [drawn(random, policy, batch) for _ in range(8)]
            chain = [cold[-1]]
            while len(chain) < 101:
                chain.append(one_changed(chain[-1], random))
            rates = rate(model, cold), rate(model, chain[1:]), rate(model, [chain[-1]] * 200)
            same = evaluate(fresh(), chain[-1]).step_seconds
            assert np.array_equal(evaluate(model, chain[-1]).step_seconds, same)
            print(
                f"{batch:>5} {model.n_steps(batch):>6} {policy:<14}"
                f"{rates[0]:>8.0f}{rates[1]:>13.0f}{rates[2]:>9.0f}"
            )


if __name__ == "__main__":
    main()
