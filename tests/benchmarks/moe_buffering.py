"""Miss rates on the shared DeepSeek-V2-Lite traces, and the time of all miss curves.

MOELA_DATA=... python -m tests.benchmarks.moe_buffering
"""

from __future__ import annotations

import time

import numpy as np

from moe_costmodel import POLICIES, RoutingTrace, expert_streams, miss_curves, replay
from tests.benchmarks import harness


def main():
    harness.script_parser(__doc__).parse_args()
    data = harness.data_folder()
    print(harness.machine())
    device_of = np.arange(64) // 16
    for domain in ("intent", "translation"):
        trace = RoutingTrace.load(data / f"routing/deepseek-v2-lite-{domain}.npz")
        print(f"\n{domain}: miss rate, 4 devices, 8 of 16 experts; seconds of all 6 policies x 16")
        print(
            "   B  "
            + "".join(f"{policy:>14}" for policy in POLICIES)
            + "   process s   wall s   wall, threads   replay ms"
        )
        for size in (1, 4, 16):
            loads = trace.loads(size)
            miss_curves(loads, device_of, 4)
            took, wall, threads, single = [], [], [], []
            streams = expert_streams(loads, device_of, 4)
            for _ in range(5):
                start, clock = time.process_time(), time.perf_counter()
                curves = miss_curves(loads, device_of, 4)
                took.append(time.process_time() - start)
                wall.append(time.perf_counter() - clock)
                clock = time.perf_counter()
                miss_curves(loads, device_of, 4, n_jobs=-1)
                threads.append(time.perf_counter() - clock)
                start = time.process_time()
                replay(streams, np.full((26, 4), 8), "paper")
                single.append(time.process_time() - start)
            rates = [curves[policy].rate()[7] for policy in POLICIES]
            print(
                f"{size:>4}  "
                + "".join(f"{rate:>14.3f}" for rate in rates)
                + f"{np.median(took):>12.3f}{np.median(wall):>9.3f}{np.median(threads):>16.3f}"
                f"{1e3 * np.median(single):>12.1f}"
            )
            best = min(rates[:-1])
            assert rates[-1] <= best


if __name__ == "__main__":
    main()
