"""Parts of the cost model by themselves: the tables of docs/moe_costmodel.md.

    MOELA_DATA=... python -m tests.benchmarks.moe_parts [--parts NAME ...] [--quick]

gating      dynamic gating against its bare products and static gating
buffering   miss rates of all policies on recorded routing
placement   placements fitted on the first half and scored on the second, the gap to the optimum,
            and balancedness on workloads that a placement was not fitted to
thresholds  measured loss of the example model, beside that of a fixed k of the same mean

Each round times every alternative once, and ratios are formed within a round, so that changes in
the speed of the machine cancel out. Process time, one thread.
"""

from __future__ import annotations

import time
from itertools import product

import numpy as np
import torch

import moe_costmodel as cost
from moe_costmodel import GateRule, RoutingTrace
from moe_costmodel.example import load_model
from moe_costmodel.example.record import excerpts
from moe_costmodel.kernels import (
    Experts,
    dynamic_gating,
    peak_activation_bytes,
    static_gating,
)
from moe_costmodel.kernels.dynamic import products_of, sort_by_expert
from problems import ExpertPlacement
from tests.benchmarks import harness

DOMAINS = ("intent", "translation")
# Experts, k, capacity factor, tokens, width and skew. The first three are the paper's; width and
# tokens are scaled to one CPU thread. Routing is as skewed as the paper describes it: about 75 % of
# the experts of MT's decoder are idle.
WORKLOADS = {
    "LM": (512, 2, 0.05, 1024, 256, 1.0),
    "MT encoder": (128, 2, 1.0, 256, 128, 1.0),
    "MT decoder": (128, 2, 1.0, 48, 256, 1.6),
}
SCALES = {
    f"LM, {tokens} tokens, d_model {width}": (512, 2, 0.05, tokens, width, 1.0)
    for tokens, width in product((256, 512, 1024, 2048), (128, 256))
}
RULES = [
    *(GateRule("skip", value) for value in (0.2, 0.35, 0.5)),
    *(GateRule("top-p", value) for value in (0.6, 0.8, 0.9)),
]


def gating(quick):
    yield "## Against bare products and static gating (fp32)", static_rows(quick)


def static_rows(quick):
    yield ["workload", "routing", "active", "dynamic/bare", "static/dynamic", "memory saved"]
    for name, case in (WORKLOADS if quick else WORKLOADS | SCALES).items():
        n_experts, k, factor, tokens, width, skewed = case
        experts = Experts.random(n_experts, width, 4 * width)
        x = torch.randn(tokens, width, generator=torch.Generator().manual_seed(1))
        for label, skew in (("uniform", 0.0), ("skewed", skewed)):
            ids, weights = skewed_routing(tokens, n_experts, k, skew)
            order, counts = sort_by_expert(ids, weights, n_experts)
            rows = x[order // k].clone()
            calls = {
                "bare": lambda r=rows, c=counts, e=experts: products_of(r, c, e),
                "dynamic": lambda i=ids, w=weights, x=x, e=experts: dynamic_gating(x, i, w, e),
            }
            fast = rounds(calls, 5 if quick else 31)
            calls["static"] = lambda i=ids, w=weights, x=x, e=experts, c=factor: static_gating(
                x, i, w, e, capacity_factor=c
            )
            slow = rounds(calls, 1 if quick else 5)
            peaks = [peak_activation_bytes(calls[name]) for name in ("dynamic", "static")]
            yield [
                name, label, str(int((counts > 0).sum())),
                f"{np.median(fast['dynamic'] / fast['bare']):.3f}",
                f"{np.median(slow['static'] / slow['dynamic']):.1f}",
                f"{1 - peaks[0] / peaks[1]:.1%}",
            ]  # fmt: skip


def skewed_routing(tokens, n_experts, k, skew):
    """Return choices of experts whose popularity is a power of their rank; weights sum to 1."""
    generator = torch.Generator().manual_seed(0)
    ranks = torch.arange(1, n_experts + 1).float()
    popularity = ranks.pow(-skew)[torch.randperm(n_experts, generator=generator)]
    gumbel = -torch.log(-torch.log(torch.rand(tokens, n_experts, generator=generator)))
    weights, ids = (popularity.log() + gumbel).softmax(dim=-1).topk(k, dim=-1)
    return ids, weights / weights.sum(dim=-1, keepdim=True)


def rounds(calls, n):
    """Time every call once per round; return the seconds of process time by name."""
    took = {name: [] for name in calls}
    for number in range(n + 1):
        for name, call in calls.items():
            start = time.process_time()
            call()
            if number:
                took[name].append(time.process_time() - start)
    return {name: np.array(values) for name, values in took.items()}


def buffering(quick):
    yield "## Miss rates, 4 devices, 8 of 16 experts", miss_rates(quick)


def miss_rates(quick):
    yield ["domain, B", *cost.POLICIES, "all policies x 16 capacities"]
    device_of = np.arange(64) // 16
    for domain, size in product(DOMAINS, (1, 4, 16)):
        loads = routing(domain).loads(size)
        took = rounds({"curves": lambda x=loads: cost.miss_curves(x, device_of, 4)}, 5 - 4 * quick)
        curves = cost.miss_curves(loads, device_of, 4)
        rates = [curves[policy].rate()[7] for policy in cost.POLICIES]
        assert rates[-1] <= min(rates[:-1])
        seconds = f"{np.median(took['curves']):.2f} s"
        yield [f"{domain}, {size}", *(f"{rate:.3f}" for rate in rates), seconds]


def routing(domain):
    """Return a shared trace of DeepSeek-V2-Lite."""
    return RoutingTrace.load(harness.data_folder() / f"routing/deepseek-v2-lite-{domain}.npz")


def placement(quick):
    yield "## Avg Max Load (Max Load) on the second half, 4 sequences per step", halves()
    yield "## Above the best found, 24 experts, 4 devices, 16 steps of 16 sequences", gaps(quick)
    yield "## Balancedness of DeepSeek-V3 loads, fitted on a row, scored on a column", drift()


def halves():
    rows = {}
    for domain, n in product(DOMAINS, (4, 8)):
        loads = routing(domain).loads(4)
        first, second = loads[: len(loads) // 2], loads[len(loads) // 2 :]
        apart = ExpertPlacement(RoutingTrace.from_counts(first), n_devices=n, batch_size=4)
        paper = cost.anti_correlation(first, n)
        made = {
            "contiguous": cost.contiguous(26, 64, n),
            "greedy": cost.greedy(first, n),
            "anti-correlation": paper,
            "swaps, from anti-correlation": cost.swap_search(first, n, start=paper, random_state=1),
            "pairs kept apart": apart.named_starts["spread pairs"],
        }
        packed = cost.replicate_and_pack(first, n)
        assert (made["greedy"].device_of() == packed.device_of()).all()  # EPLB's packing
        for name, found in made.items():
            scores = (f(found, second).mean() for f in (cost.avg_max_load, cost.max_load))
            rows.setdefault(name, [name]).append("{:.3f} ({:.3f})".format(*scores))
    yield ["", *(f"{domain}, {n} devices" for domain, n in product(DOMAINS, (4, 8)))]
    yield from rows.values()


def gaps(quick):
    """Yield how far heuristics are above the optimum (milp)."""
    yield ["layer", "best found", "bound", "greedy", "anti-correlation", "swaps"]
    trace = routing("intent")
    for layer in (0,) if quick else (0, 8, 16, 24):
        part = trace.loads(16)[:16, layer : layer + 1, :24]
        best = cost.optimal_placement(part[:, 0], 4, time_limit=60)
        made = (
            cost.greedy(part, 4),
            cost.anti_correlation(part, 4),
            cost.swap_search(part, 4, random_state=1),
        )
        above = [cost.avg_max_load(found, part)[0] / best.value - 1 for found in made]
        cells = [f"{best.value:.4f}", f"{best.bound:.4f}", *(f"{x:+.1%}" for x in above)]
        yield [str(layer), *cells]


def drift():
    paths = sorted((harness.data_folder() / "loads/deepseek-v3").glob("*.json"))
    loads = {path.stem: RoutingTrace.load(path).loads()[:, 3:] for path in paths}
    made = {"contiguous": cost.contiguous(58, 256, 32)} | {
        f"{name}, {replicas} replicas": cost.replicate_and_pack(fitted, 32, n_replicas=replicas)
        for replicas, (name, fitted) in product((0, 32), loads.items())
    }
    yield ["", *loads]
    for name, found in made.items():
        yield [name, *(f"{cost.balancedness(found, x).mean():.3f}" for x in loads.values())]


def thresholds(quick):
    yield "## Nats per byte on held-out text", losses(4 if quick else 16)


def losses(n_excerpts):
    yield ["domain", "rule", "experts", "loss", "fixed k", "all 4", "gate mass", "fixed k"]
    model = load_model()
    for domain in ("prose", "code"):
        batches = list(excerpts(domain, n=n_excerpts))
        trace = RoutingTrace.record(model, batches)
        for rule in RULES:
            loss, mass = cost.measured_loss(model, batches, rule), cost.gate_mass(trace, rule)
            nats = (loss.loss, loss.equal_k_loss, loss.full_loss)
            kept = (mass.mass.mean(), mass.equal_k_mass.mean())
            yield [
                domain, str(rule), f"{loss.experts:.2f}", *(f"{x:.4f}" for x in nats),
                *(f"{x:.1%}" for x in kept),
            ]  # fmt: skip


PARTS = {f.__name__: f for f in (gating, buffering, placement, thresholds)}


def main():
    parser = harness.script_parser(__doc__)
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--quick", action="store_true", help="fewer cases and rounds")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    print(harness.machine("torch"))
    for part in arguments.parts:
        for title, rows in PARTS[part](arguments.quick):
            print(f"\n{title}\n\n{harness.markdown(list(rows))}", flush=True)


if __name__ == "__main__":
    main()
