"""Placements of the shared traces, fitted on the first half and scored on the second.

Run: ``MOELA_DATA=... python tests/benchmarks/moe_placement.py``
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from moe_costmodel import (
    RoutingTrace,
    anti_correlation,
    avg_max_load,
    balancedness,
    contiguous,
    cross_node_traffic,
    greedy,
    max_load,
    optimal_placement,
    replicate_and_pack,
    swap_search,
)


def halves(data):
    for domain in ("intent", "translation"):
        trace = RoutingTrace.load(data / f"routing/deepseek-v2-lite-{domain}.npz")
        loads = trace.loads(4)
        yield domain, trace, loads[: len(loads) // 2], loads[len(loads) // 2 :]


def placements(data):
    print("DeepSeek-V2-Lite, 4 sequences a step; means over 26 layers, second half")
    print("domain       devices  placement          avg max   max load   nodes reached   seconds")
    for domain, trace, first, second in halves(data):
        for n in (4, 8):
            ways = {
                "contiguous": lambda n=n: contiguous(26, 64, n),
                "greedy": lambda n=n, x=first: greedy(x, n),
                "replicate-and-pack": lambda n=n, x=first: replicate_and_pack(x, n),
                "anti-correlation": lambda n=n, x=first: anti_correlation(x, n),
                "swaps": lambda n=n, x=first: swap_search(
                    x, n, start=anti_correlation(x, n), random_state=1
                ),
            }
            for name, way in ways.items():
                start = time.process_time()
                placement = way()
                took = time.process_time() - start
                print(
                    f"{domain:<12} {n:>7}  {name:<18} {avg_max_load(placement, second).mean():.4f}"
                    f"    {max_load(placement, second).mean():.4f}"
                    f"   {cross_node_traffic(trace, placement, 2).mean():>12.3f} {took:>9.2f}"
                )
            same = greedy(first, n).device_of() == replicate_and_pack(first, n).device_of()
            print(f"{'':<12} {n:>7}  greedy equals EPLB's packing: {bool(same.all())}")


def optimum(data):
    print(
        "\ngap to the exact optimum (milp), 24 experts of a layer, 4 devices, 16 sequences a step"
    )
    print("layer  steps  best found   bound     greedy  anti-corr.   swaps  (above best found)")
    trace = RoutingTrace.load(data / "routing/deepseek-v2-lite-intent.npz")
    for layer in (0, 8, 16, 24):
        part = trace.loads(16)[:16, layer : layer + 1, :24]
        best = optimal_placement(part[:, 0], 4, time_limit=60)
        scores = [
            avg_max_load(placement, part)[0] / best.value - 1
            for placement in (
                greedy(part, 4),
                anti_correlation(part, 4),
                swap_search(part, 4, random_state=1),
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
            placement = replicate_and_pack(fitted, 32, n_replicas=replicas)
            row = [balancedness(placement, scored).mean() for scored in loads.values()]
            print(f"  {name:<24}" + "".join(f"{value:>8.3f}" for value in row))
    row = [balancedness(contiguous(58, 256, 32), scored).mean() for scored in loads.values()]
    print(f"  {'contiguous':<24}" + "".join(f"{value:>8.3f}" for value in row))


if __name__ == "__main__":
    np.set_printoptions(precision=4)
    folder = Path(os.environ["MOELA_DATA"])
    placements(folder)
    optimum(folder)
    drift(folder)
