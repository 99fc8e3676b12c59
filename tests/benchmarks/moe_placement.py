"""Placements of the shared traces, fitted on the first half and scored on the second.

MOELA_DATA=... python -m tests.benchmarks.moe_placement
"""

from __future__ import annotations

import time

import numpy as np

import moe_costmodel as cost
from moe_costmodel import RoutingTrace
from tests.benchmarks import harness


def halves(data):
    for domain in ("intent", "translation"):
        trace = RoutingTrace.load(data / f"routing/deepseek-v2-lite-{domain}.npz")
        loads = trace.loads(4)
        yield domain, trace, loads[: len(loads) // 2], loads[len(loads) // 2 :]


def placements(data):
    print("DeepSeek-V2-Lite, 4 sequences per step; means over 26 layers, second half")
    print("domain       devices  placement          avg max   max load   nodes reached   seconds")
    for domain, trace, first, second in halves(data):
        for n in (4, 8):
            heuristics = {
                "contiguous": lambda n=n: cost.contiguous(26, 64, n),
                "greedy": lambda n=n, x=first: cost.greedy(x, n),
                "replicate-and-pack": lambda n=n, x=first: cost.replicate_and_pack(x, n),
                "anti-correlation": lambda n=n, x=first: cost.anti_correlation(x, n),
                "swaps": lambda n=n, x=first: cost.swap_search(
                    x, n, start=cost.anti_correlation(x, n), random_state=1
                ),
            }
            for name, heuristic in heuristics.items():
                start = time.process_time()
                placement = heuristic()
                took = time.process_time() - start
                nodes = cost.cross_node_traffic(trace, placement, 2).mean()
                print(
                    f"{domain:<12} {n:>7}  {name:<18} "
                    f"{cost.avg_max_load(placement, second).mean():.4f}"
                    f"    {cost.max_load(placement, second).mean():.4f}"
                    f"   {nodes:>12.3f} {took:>9.2f}"
                )
            packed = cost.replicate_and_pack(first, n).device_of()
            same = cost.greedy(first, n).device_of() == packed
            print(f"{'':<12} {n:>7}  greedy equals EPLB's packing: {bool(same.all())}")


def optimum(data):
    print(
        "\ngap to the exact optimum (milp), 24 experts of a layer, 4 devices, 16 sequences per step"
    )
    print("layer  steps  best found   bound     greedy  anti-corr.   swaps  (above best found)")
    trace = RoutingTrace.load(data / "routing/deepseek-v2-lite-intent.npz")
    for layer in (0, 8, 16, 24):
        part = trace.loads(16)[:16, layer : layer + 1, :24]
        best = cost.optimal_placement(part[:, 0], 4, time_limit=60)
        scores = [
            cost.avg_max_load(placement, part)[0] / best.value - 1
            for placement in (
                cost.greedy(part, 4),
                cost.anti_correlation(part, 4),
                cost.swap_search(part, 4, random_state=1),
            )
        ]
        print(
            f"{layer:>5}  {len(part):>5}      {best.value:.4f}   {best.bound:.4f}"
            + "".join(f"{score:>+10.1%}" for score in scores)
        )


def drift(data):
    print("\nDeepSeek-V3 loads, 32 devices: balancedness, fitted on a row, scored on a column")
    paths = sorted((data / "loads/deepseek-v3").glob("*.json"))
    loads = {path.stem: RoutingTrace.load(path).loads()[:, 3:] for path in paths}
    for replicas in (0, 32):
        print(f"{replicas} replicas")
        for name, fitted in loads.items():
            placement = cost.replicate_and_pack(fitted, 32, n_replicas=replicas)
            row = [cost.balancedness(placement, scored).mean() for scored in loads.values()]
            print(f"  {name:<24}" + "".join(f"{value:>8.3f}" for value in row))
    placement = cost.contiguous(58, 256, 32)
    row = [cost.balancedness(placement, scored).mean() for scored in loads.values()]
    print(f"  {'contiguous':<24}" + "".join(f"{value:>8.3f}" for value in row))


def main():
    harness.script_parser(__doc__).parse_args()
    folder = harness.data_folder()
    np.set_printoptions(precision=4)
    placements(folder)
    optimum(folder)
    drift(folder)


if __name__ == "__main__":
    main()
